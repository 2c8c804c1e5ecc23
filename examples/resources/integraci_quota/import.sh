# The tenant's slug or id.
terraform import integraci_quota.acme acme
