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

variable "datadog_api_key" {
  description = "API key."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "datadog_app_key" {
  description = "Application key, if what is read needs one."
  type        = string
  ephemeral   = true
  sensitive   = true
  default     = null
}

resource "integraci_connector" "datadog" {
  tenant_id = data.integraci_tenant.acme.id
  name      = "datadog"

  datadog = {
    site       = "datadoghq.eu"
    api_key_wo = var.datadog_api_key
    app_key_wo = var.datadog_app_key
  }
}
