# All of the tenant's connectors; with `kind`, those of one kind.
data "integraci_connectors" "all" {
  tenant_id = integraci_tenant.acme.id
}

output "expiring_within_a_week" {
  value = [
    for connector in data.integraci_connectors.all.connectors : connector.name
    if connector.secret_expires_at != null
    && timecmp(coalesce(connector.secret_expires_at, timestamp()), timeadd(timestamp(), "168h")) < 0
  ]
}
