data "integraci_tenant" "acme" {
  slug = "acme"
}

output "acme_namespace" {
  value = data.integraci_tenant.acme.names.kubernetes_namespace
}
