locals {
  tenants = yamldecode(templatefile("${path.module}/tenants.yaml", {
    registry = var.registry_url
    hooks    = var.hooks_url
  }))

  # Every connector of every tenant, by "tenant/connector".
  connectors = merge([
    for slug, tenant in local.tenants : {
      for name, connector in try(tenant.connectors, {}) :
      "${slug}/${name}" => merge(connector, { tenant = slug, name = name })
    }
  ]...)
}

resource "integraci_tenant" "this" {
  for_each = local.tenants

  slug              = each.key
  name              = each.value.name
  plan              = each.value.plan
  owner_email       = each.value.owner_email
  labels            = try(each.value.labels, {})
  delete_protection = var.delete_protection && try(each.value.delete_protection, true)
}

resource "integraci_quota" "this" {
  for_each = { for slug, tenant in local.tenants : slug => tenant.quota if can(tenant.quota) }

  tenant_id = integraci_tenant.this[each.key].id
  limits    = each.value
}

resource "integraci_connector" "this" {
  for_each = local.connectors

  tenant_id = integraci_tenant.this[each.value.tenant].id
  name      = each.value.name

  container_registry = !can(each.value.container_registry) ? null : {
    url         = each.value.container_registry.url
    repository  = try(each.value.container_registry.repository, null)
    username    = try(each.value.container_registry.username, null)
    password_wo = var.connector_secrets[each.key].password
  }

  webhook = !can(each.value.webhook) ? null : {
    url         = each.value.webhook.url
    events      = each.value.webhook.events
    hmac_key_wo = var.connector_secrets[each.key].hmac_key
  }

  # A quota that is raised is raised first: then there is room.
  depends_on = [integraci_quota.this]
}

# Tried by the platform, in every system: whether one of these tenants reaches another.
data "integraci_isolation_attestation" "this" {
  for_each = integraci_tenant.this

  tenant_id = each.value.id
  max_age   = "24h"
}

check "tenants_are_isolated" {
  assert {
    condition = alltrue([for attestation in data.integraci_isolation_attestation.this : attestation.passed])
    error_message = join("\n", [
      for slug, attestation in data.integraci_isolation_attestation.this :
      "${slug} is not seen to be isolated: ${join(", ", attestation.failed_checks)}" if !attestation.passed
    ])
  }
}
