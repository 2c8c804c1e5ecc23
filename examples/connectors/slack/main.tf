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

variable "slack_bot_token" {
  description = "The app's bot token, xoxb-…"
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "slack_signing_secret" {
  description = "The app's signing secret, if Slack sends events here."
  type        = string
  ephemeral   = true
  sensitive   = true
  default     = null
}

resource "integraci_connector" "slack" {
  tenant_id = data.integraci_tenant.acme.id
  name      = "slack"

  slack = {
    team              = "T0123ABCD"
    default_channel   = "C0123ABCD"
    bot_token_wo      = var.slack_bot_token
    signing_secret_wo = var.slack_signing_secret
  }
}
