import {
  to = integraci_tenant.acme
  id = "acme"
}
