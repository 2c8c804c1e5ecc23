variable "hook_key" {
  type      = string
  ephemeral = true
  sensitive = true
}

variable "registry_password" {
  type      = string
  ephemeral = true
  sensitive = true
}

# Every plan asks the platform whether the key is still the one in force.
resource "integraci_connector" "hook" {
  tenant_id = integraci_tenant.acme.id
  name      = "hook"

  webhook = {
    url         = "https://hooks.acme.example/integraci"
    events      = ["connector.updated", "quota.changed"]
    hmac_key_wo = var.hook_key
  }
}

# The password is sent when the version changes, and only then.
resource "integraci_connector" "registry" {
  tenant_id = integraci_tenant.acme.id
  name      = "registry"

  container_registry = {
    url         = "https://registry.acme.example"
    repository  = "acme/app"
    username    = "integraci"
    password_wo = var.registry_password
  }
  secret_wo_version = "2026-11"
}
