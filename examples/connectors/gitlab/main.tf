terraform {
  # Write-only attributes, which keep secrets out of state, came with 1.11.
  required_version = ">= 1.11"

  required_providers {
    integraci = {
      source = "integraci/integraci"
    }
  }
}

# Endpoint and token: INTEGRACI_ENDPOINT and INTEGRACI_TOKEN.
provider "integraci" {}

data "integraci_tenant" "acme" {
  slug = "acme"
}

variable "gitlab_token" {
  description = "Personal, group or project access token with the scope read_api."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "gitlab_webhook_secret" {
  description = "Secret token of the webhook in GitLab, if it sends events here."
  type        = string
  ephemeral   = true
  sensitive   = true
  default     = null
}

resource "integraci_connector" "gitlab" {
  tenant_id = data.integraci_tenant.acme.id
  name      = "gitlab"

  gitlab = {
    base_url          = "https://gitlab.com"
    group             = "acme/platform"
    token_wo          = var.gitlab_token
    webhook_secret_wo = var.gitlab_webhook_secret
  }

  # When the connector is destroyed, its token is revoked at GitLab too.
  on_destroy = "revoke"
}
