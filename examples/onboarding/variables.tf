variable "registry_url" {
  description = "Container registry that tenants.yaml calls $${registry}."
  type        = string
  default     = "https://registry.example.com"
}

variable "hooks_url" {
  description = "Where tenants.yaml's $${hooks} are received."
  type        = string
  default     = "https://hooks.example.com"
}

variable "connector_secrets" {
  description = <<-EOT
    The connectors' secrets, by "tenant/connector", then by the secret's name:
    { "nordlicht/images" = { password = "…" } }. Neither plan nor state ever holds them.
  EOT
  type        = map(map(string))
  sensitive   = true
  ephemeral   = true
}

variable "delete_protection" {
  description = "While true, tenants refuse to be deleted. Apply once with false before a destroy."
  type        = bool
  default     = true
}
