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

variable "github_app_private_key" {
  description = "The app's private key: the PEM file that GitHub gave, whole."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "github_app_webhook_secret" {
  description = "The app's webhook secret, if GitHub sends events here."
  type        = string
  ephemeral   = true
  sensitive   = true
  default     = null
}

resource "integraci_connector" "github" {
  tenant_id = data.integraci_tenant.acme.id
  name      = "github"

  github_app = {
    # On the app's page, and at the end of the installation's address.
    app_id            = 123456
    installation_id   = 45678901
    private_key_wo    = var.github_app_private_key
    webhook_secret_wo = var.github_app_webhook_secret

    # Of a GitHub Enterprise Server:
    # base_url = "https://github.acme.example/api/v3"
  }

  # The secrets are sent when this changes, and only then. Without it, every plan asks the platform
  # whether they differ from those in force.
  secret_wo_version = "2026-11"
}
