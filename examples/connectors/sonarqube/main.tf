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

variable "sonarqube_token" {
  description = "Token of a user."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "sonarqube_webhook_secret" {
  description = "Secret of the webhook in SonarQube, if it sends events here."
  type        = string
  ephemeral   = true
  sensitive   = true
  default     = null
}

resource "integraci_connector" "sonarqube" {
  tenant_id = data.integraci_tenant.acme.id
  name      = "sonarqube"

  sonarqube = {
    url               = "https://sonarcloud.io"
    organization      = "acme"
    project           = "acme_app"
    token_wo          = var.sonarqube_token
    webhook_secret_wo = var.sonarqube_webhook_secret
  }
}
