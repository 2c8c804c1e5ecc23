# An application of Microsoft Entra for a tenant, without any secret: the platform signs a token for the
# tenant's connector, and a federated credential of the application takes that token and no other.
#
# The trust comes first and the connector after it. What must be trusted follows from the tenant and the
# connector's name, so it is known before there is a connector.

terraform {
  required_version = ">= 1.11"
  required_providers {
    integraci = {
      source = "integraci/integraci"
    }
    azuread = {
      source  = "hashicorp/azuread"
      version = ">= 3.0"
    }
    time = {
      source  = "hashicorp/time"
      version = ">= 0.12"
    }
  }
}

provider "integraci" {}
provider "azuread" {}

variable "tenant_id" {
  description = "The tenant, ten_…"
  type        = string
}

locals {
  connector = "azure"
}

data "azuread_client_config" "current" {}

data "integraci_oidc_trust" "this" {
  tenant_id = var.tenant_id
  connector = local.connector
  kind      = "azure"
}

resource "azuread_application" "integraci" {
  display_name = "integraci"
}

# What roles are granted to, in the subscriptions that the tenant works in.
resource "azuread_service_principal" "integraci" {
  client_id = azuread_application.integraci.client_id
}

# Entra compares all three letter by letter.
resource "azuread_application_federated_identity_credential" "connector" {
  application_id = azuread_application.integraci.id
  display_name   = "integraci-${local.connector}"
  issuer         = data.integraci_oidc_trust.this.issuer
  subject        = data.integraci_oidc_trust.this.subject
  audiences      = [data.integraci_oidc_trust.this.audience]
}

# A credential is known everywhere in Entra some time after it is made.
resource "time_sleep" "credential_is_known" {
  create_duration = "30s"
  triggers = {
    client_id         = azuread_application.integraci.client_id
    credential        = azuread_application_federated_identity_credential.connector.id
    service_principal = azuread_service_principal.integraci.id
  }
}

resource "integraci_connector" "azure" {
  tenant_id = var.tenant_id
  name      = local.connector

  azure = {
    directory_id = data.azuread_client_config.current.tenant_id
    client_id    = time_sleep.credential_is_known.triggers.client_id
  }
}
