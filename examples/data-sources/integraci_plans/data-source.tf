data "integraci_plans" "all" {}

output "memory_by_plan" {
  description = "How much memory each plan brings, such as 16Gi."
  value       = { for plan in data.integraci_plans.all.plans : plan.name => plan.limits.memory }
}
