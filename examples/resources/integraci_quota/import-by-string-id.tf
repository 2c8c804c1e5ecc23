import {
  to = integraci_quota.acme
  id = "acme"
}
