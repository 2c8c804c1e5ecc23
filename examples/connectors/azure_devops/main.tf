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

variable "azure_devops_token" {
  description = "Personal access token that can read projects."
  type        = string
  ephemeral   = true
  sensitive   = true
}

resource "integraci_connector" "azure_devops" {
  tenant_id = data.integraci_tenant.acme.id
  name      = "azure-devops"

  azure_devops = {
    organization = "acme"
    project      = "app"
    token_wo     = var.azure_devops_token
  }
}
