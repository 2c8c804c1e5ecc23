import {
  to = integraci_connector.hook
  id = "acme/hook"
}
