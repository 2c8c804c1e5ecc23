# A service account of Google Cloud for a tenant, without any key: the platform signs a token for the
# tenant's connector, a workload identity provider takes that token and no other, and who comes in by it
# may act as the service account.
#
# The trust comes first and the connector after it. What must be trusted follows from the tenant and the
# connector's name, so it is known before there is a connector.

terraform {
  required_version = ">= 1.11"
  required_providers {
    integraci = {
      source = "integraci/integraci"
    }
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0"
    }
    time = {
      source  = "hashicorp/time"
      version = ">= 0.12"
    }
  }
}

provider "integraci" {}
provider "google" {}

variable "tenant_id" {
  description = "The tenant, ten_…"
  type        = string
}

locals {
  connector = "gcp"
}

data "integraci_oidc_trust" "this" {
  tenant_id = var.tenant_id
  connector = local.connector
  kind      = "gcp"
}

resource "google_project_service" "this" {
  for_each = toset(["iam.googleapis.com", "sts.googleapis.com", "iamcredentials.googleapis.com"])

  service            = each.key
  disable_on_destroy = false
}

resource "google_iam_workload_identity_pool" "integraci" {
  workload_identity_pool_id = "integraci"
  depends_on                = [google_project_service.this]
}

# The audience is the provider itself unless it says another: none needs to be named.
resource "google_iam_workload_identity_pool_provider" "tenant" {
  workload_identity_pool_id          = google_iam_workload_identity_pool.integraci.workload_identity_pool_id
  workload_identity_pool_provider_id = "integraci"
  attribute_mapping                  = { "google.subject" = "assertion.sub" }
  attribute_condition                = "assertion.sub == '${data.integraci_oidc_trust.this.subject}'"

  oidc {
    issuer_uri = data.integraci_oidc_trust.this.issuer
  }
}

resource "google_service_account" "integraci" {
  account_id = "integraci"
}

resource "google_service_account_iam_member" "connector" {
  service_account_id = google_service_account.integraci.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principal://iam.googleapis.com/${google_iam_workload_identity_pool.integraci.name}/subject/${data.integraci_oidc_trust.this.subject}"
}

# A grant is in force everywhere in Google Cloud some time after it is made.
resource "time_sleep" "grant_is_known" {
  create_duration = "90s"
  triggers = {
    service_account = google_service_account.integraci.email
    grant           = google_service_account_iam_member.connector.id
  }
}

resource "integraci_connector" "gcp" {
  tenant_id = var.tenant_id
  name      = local.connector

  gcp = {
    workload_identity_provider = google_iam_workload_identity_pool_provider.tenant.name
    service_account            = time_sleep.grant_is_known.triggers.service_account
  }
}
