resource "integraci_quota" "acme" {
  tenant_id = integraci_tenant.acme.id

  limits = {
    connectors = 20
  }
}
