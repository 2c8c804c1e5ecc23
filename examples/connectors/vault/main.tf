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

# Without a token: the platform logs in with a JWT that it signs for the tenant's connector, and the vault
# trusts that one and no other. What it must trust is known before there is a connector.
data "integraci_oidc_trust" "vault" {
  tenant_id = data.integraci_tenant.acme.id
  connector = "vault"
  kind      = "vault"
}

# For `vault write auth/jwt/config` and `vault write auth/jwt/role/integraci -`.
output "jwt_config" {
  value = { oidc_discovery_url = data.integraci_oidc_trust.vault.issuer }
}

output "jwt_role" {
  value = {
    role_type       = "jwt"
    user_claim      = "sub"
    bound_subject   = data.integraci_oidc_trust.vault.subject
    bound_audiences = [data.integraci_oidc_trust.vault.audience]
    token_policies  = ["integraci"]
    token_ttl       = "10m"
  }
}

# Apply the outputs first: -target=output.jwt_config -target=output.jwt_role. Then the role must be there.
resource "integraci_connector" "vault" {
  tenant_id = data.integraci_tenant.acme.id
  name      = data.integraci_oidc_trust.vault.connector

  vault = {
    url  = "https://vault.acme.example:8200"
    role = "integraci"
  }
}

variable "vault_token" {
  description = "The first token; the vault makes the next ones by it."
  type        = string
  ephemeral   = true
  sensitive   = true
}

# With a token: it makes its successor every thirty days by a token role, and is revoked when the connector is
# destroyed. The role makes orphans, and the token's policy lets it use the role:
#
#   vault write auth/token/roles/integraci orphan=true allowed_policies=integraci
#   path "auth/token/create/integraci" { capabilities = ["update"] }
resource "integraci_connector" "vault_by_token" {
  tenant_id = data.integraci_tenant.acme.id
  name      = "vault-by-token"

  vault = {
    url        = "https://vault.acme.example:8200"
    token_role = "integraci"
    token_wo   = var.vault_token
  }
  secret_wo_version = "1"
  rotate_every_days = 30
  on_destroy        = "revoke"
}
