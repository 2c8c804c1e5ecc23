ephemeral "integraci_openbao_credentials" "acme" {
  tenant_id = integraci_tenant.acme.id
}

# OpenBao speaks Vault's protocol.
provider "vault" {
  address          = ephemeral.integraci_openbao_credentials.acme.address
  namespace        = ephemeral.integraci_openbao_credentials.acme.namespace
  token            = ephemeral.integraci_openbao_credentials.acme.token
  skip_child_token = true
}
