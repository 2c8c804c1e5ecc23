resource "integraci_tenant" "acme" {
  slug        = "acme"
  name        = "Acme Ltd"
  plan        = "team"
  owner_email = "it@acme.example"

  labels = {
    cost_centre = "42"
  }
}

# Other providers find the tenant's places by their names.
output "acme_realm" {
  value = integraci_tenant.acme.names.keycloak_realm
}
