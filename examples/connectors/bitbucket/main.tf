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

variable "bitbucket_token" {
  description = "API token of an account, which goes with its email; or access token of a workspace, without one."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "bitbucket_webhook_secret" {
  description = "Secret of the webhook in Bitbucket, if it sends events here."
  type        = string
  ephemeral   = true
  sensitive   = true
  default     = null
}

resource "integraci_connector" "bitbucket" {
  tenant_id = data.integraci_tenant.acme.id
  name      = "bitbucket"

  bitbucket = {
    workspace         = "acme"
    email             = "robot@acme.example" # leave out for an access token
    token_wo          = var.bitbucket_token
    webhook_secret_wo = var.bitbucket_webhook_secret
  }
}
