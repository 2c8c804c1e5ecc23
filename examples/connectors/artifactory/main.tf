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

variable "artifactory_token" {
  description = "Access token or identity token."
  type        = string
  ephemeral   = true
  sensitive   = true
}

resource "integraci_connector" "artifactory" {
  tenant_id = data.integraci_tenant.acme.id
  name      = "artifactory"

  artifactory = {
    url        = "https://acme.jfrog.io/artifactory"
    repository = "libs-release"
    token_wo   = var.artifactory_token

    # Or, in place of the token:
    # username    = "robot"
    # password_wo = var.artifactory_password
  }
}
