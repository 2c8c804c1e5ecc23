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

variable "jira_api_token" {
  description = "API token of the account, from id.atlassian.com."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "jira_webhook_secret" {
  description = "Secret of the webhook in Jira, if it sends events here."
  type        = string
  ephemeral   = true
  sensitive   = true
  default     = null
}

resource "integraci_connector" "jira" {
  tenant_id = data.integraci_tenant.acme.id
  name      = "jira"

  jira = {
    url               = "https://acme.atlassian.net"
    email             = "robot@acme.example"
    project           = "ACME"
    api_token_wo      = var.jira_api_token
    webhook_secret_wo = var.jira_webhook_secret
  }
}
