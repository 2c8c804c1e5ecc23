resource "integraci_quota" "acme" {
  tenant_id = integraci_tenant.acme.id

  limits = {
    connectors              = 20
    pods                    = 50
    cpu                     = "7500m"
    memory                  = "24Gi"
    nats_connections        = 200
    pipeline_runs_per_month = 10000
  }

  # Events past a month's limit are not taken; without this, it is as the plan has it.
  on_exceed = "refuse"
}
