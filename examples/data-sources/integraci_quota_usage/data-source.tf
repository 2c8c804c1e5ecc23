data "integraci_quota_usage" "acme" {
  tenant_id = integraci_tenant.acme.id
}

# A warning with every plan as long as something is nearly used up.
check "room_is_left" {
  assert {
    condition = alltrue([
      for dimension in data.integraci_quota_usage.acme.dimensions :
      dimension.remaining >= 0.1 * dimension.limit if dimension.remaining != null
    ])
    error_message = join("\n", [
      for name, dimension in data.integraci_quota_usage.acme.dimensions :
      "${name}: ${dimension.remaining} of ${dimension.limit} ${dimension.unit} are left"
      if try(dimension.remaining < 0.1 * dimension.limit, false)
    ])
  }
}
