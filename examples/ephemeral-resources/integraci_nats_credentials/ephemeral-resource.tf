ephemeral "integraci_nats_credentials" "acme" {
  tenant_id = integraci_tenant.acme.id
}

provider "jetstream" {
  servers         = ephemeral.integraci_nats_credentials.acme.url
  credential_data = ephemeral.integraci_nats_credentials.acme.credentials
}
