# By slug, or by id (ten_…).
terraform import integraci_tenant.acme acme
