import {
  to = integraci_tenant.acme
  identity = {
    id = "ten_0192f3c4a5b67c8d9e0f1a2b3c4d5e6f"
  }
}
