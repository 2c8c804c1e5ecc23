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

variable "cluster_ca" {
  description = "The cluster's certificate authority, in PEM."
  type        = string
}

# Without a token: the cluster's API server trusts the tokens that the platform signs for the tenant. What it
# must trust is known before there is a connector.
data "integraci_oidc_trust" "cluster" {
  tenant_id = data.integraci_tenant.acme.id
  connector = "cluster"
  kind      = "kubernetes_cluster"
}

# For the API server's `--authentication-config`.
output "authentication_config" {
  value = yamlencode({
    apiVersion = "apiserver.config.k8s.io/v1"
    kind       = "AuthenticationConfiguration"
    jwt = [{
      issuer = {
        url       = data.integraci_oidc_trust.cluster.issuer
        audiences = [data.integraci_oidc_trust.cluster.audience]
      }
      claimMappings = { username = { claim = "sub", prefix = "integraci:" } }
      claimValidationRules = [{
        claim         = "sub"
        requiredValue = data.integraci_oidc_trust.cluster.subject
      }]
    }]
  })
}

# Who the platform then is: the subject of a RoleBinding.
output "user" {
  value = "integraci:${data.integraci_oidc_trust.cluster.subject}"
}

resource "integraci_connector" "cluster" {
  tenant_id = data.integraci_tenant.acme.id
  name      = data.integraci_oidc_trust.cluster.connector

  kubernetes_cluster = {
    url            = "https://cluster.acme.example:6443"
    ca_certificate = var.cluster_ca
    namespace      = "deploy"
  }
}

variable "service_account_token" {
  description = "The first token of the service account; the cluster makes the next ones by it."
  type        = string
  ephemeral   = true
  sensitive   = true
}

# With a service account's token, which is made anew every thirty days.
resource "integraci_connector" "cluster_by_token" {
  tenant_id = data.integraci_tenant.acme.id
  name      = "cluster-by-token"

  kubernetes_cluster = {
    url             = "https://cluster.acme.example:6443"
    ca_certificate  = var.cluster_ca
    namespace       = "deploy"
    service_account = "integraci"
    token_wo        = var.service_account_token
  }
  secret_wo_version = "1"
  rotate_every_days = 30
}
