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

variable "pagerduty_token" {
  description = "REST API key, of the account or of a user."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "pagerduty_webhook_secret" {
  description = "Secret of the webhook subscription, if PagerDuty sends events here."
  type        = string
  ephemeral   = true
  sensitive   = true
  default     = null
}

resource "integraci_connector" "pagerduty" {
  tenant_id = data.integraci_tenant.acme.id
  name      = "pagerduty"

  pagerduty = {
    service_id        = "PABC123"
    token_wo          = var.pagerduty_token
    webhook_secret_wo = var.pagerduty_webhook_secret
  }
}
