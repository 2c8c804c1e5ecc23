ephemeral "integraci_oidc_client_credentials" "acme" {
  tenant_id = integraci_tenant.acme.id
}

# Hands the client to a connector, as a secret that is written and never read.
resource "integraci_connector" "tokens" {
  tenant_id = integraci_tenant.acme.id
  name      = "tokens"
  webhook = {
    url         = "https://hooks.acme.example"
    events      = ["quota.set"]
    hmac_key_wo = ephemeral.integraci_oidc_client_credentials.acme.client_secret
  }
}
