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

variable "webhook_key" {
  description = "Key of the signatures, at least 16 bytes, which the receiver has as well."
  type        = string
  ephemeral   = true
  sensitive   = true
}

# Creating it sends a signed `integraci.ping`, which the receiver must answer with a 2xx status.
resource "integraci_connector" "webhook" {
  tenant_id = data.integraci_tenant.acme.id
  name      = "webhook"

  webhook = {
    url         = "https://hooks.acme.example/integraci"
    events      = ["connector.failing", "operation.failed", "quota.set"]
    hmac_key_wo = var.webhook_key
  }
}
