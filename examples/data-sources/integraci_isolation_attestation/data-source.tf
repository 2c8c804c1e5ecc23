check "acme_is_isolated" {
  # Inside the check: what fails here, fails nothing else.
  data "integraci_isolation_attestation" "acme" {
    tenant_id = integraci_tenant.acme.id
    max_age   = "24h"
  }

  assert {
    condition     = data.integraci_isolation_attestation.acme.passed
    error_message = "Acme can reach another tenant: ${join(", ", data.integraci_isolation_attestation.acme.failed_checks)}"
  }
}
