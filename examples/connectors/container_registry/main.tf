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

variable "registry_password" {
  description = "Password or access token of the user."
  type        = string
  ephemeral   = true
  sensitive   = true
}

resource "integraci_connector" "container_registry" {
  tenant_id = data.integraci_tenant.acme.id
  name      = "images"

  container_registry = {
    url         = "https://registry.acme.example"
    repository  = "acme/app"
    username    = "integraci"
    password_wo = var.registry_password

    # A registry whose certificate is your own:
    # ca_certificate = file("registry-ca.pem")
  }
}
