# All filters must let a tenant through.
data "integraci_tenants" "billed_to_42" {
  plan      = "team"
  suspended = false
  label     = "cost_centre=42"
}

output "slugs" {
  value = data.integraci_tenants.billed_to_42.tenants[*].slug
}
