output "tenants" {
  description = "Each tenant's id, and its connectors with their ids."
  value = {
    for slug, tenant in integraci_tenant.this : slug => {
      id   = tenant.id
      plan = tenant.plan
      connectors = {
        for key, connector in integraci_connector.this :
        connector.name => connector.id if connector.tenant_id == tenant.id
      }
    }
  }
}
