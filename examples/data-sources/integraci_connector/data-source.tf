data "integraci_connector" "gitlab" {
  tenant_id = integraci_tenant.acme.id
  name      = "gitlab"
}

output "gitlab_group" {
  value = data.integraci_connector.gitlab.config["group"]
}

# A warning with every plan while GitLab does not take the token.
check "gitlab_takes_the_token" {
  assert {
    condition     = data.integraci_connector.gitlab.verification_status == "verified"
    error_message = "GitLab: ${coalesce(data.integraci_connector.gitlab.verification_reason, "not asked yet")}"
  }
}
