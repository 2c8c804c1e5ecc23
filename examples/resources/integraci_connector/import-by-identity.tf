import {
  to = integraci_connector.hook
  identity = {
    tenant_id = "ten_0192f3c4a5b67c8d9e0f1a2b3c4d5e6f"
    id        = "con_0192f3c4b1c27d3e8f4a5b6c7d8e9f01"
  }
}
