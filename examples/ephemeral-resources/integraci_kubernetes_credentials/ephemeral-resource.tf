ephemeral "integraci_kubernetes_credentials" "acme" {
  tenant_id = integraci_tenant.acme.id
}

# Any provider can work inside the tenant, and nothing of it is stored.
provider "kubernetes" {
  host                   = ephemeral.integraci_kubernetes_credentials.acme.host
  cluster_ca_certificate = ephemeral.integraci_kubernetes_credentials.acme.ca_certificate
  token                  = ephemeral.integraci_kubernetes_credentials.acme.token
}
