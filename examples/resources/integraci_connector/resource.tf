variable "hook_key" {
  type      = string
  ephemeral = true
  sensitive = true
}

variable "gitlab_token" {
  type      = string
  ephemeral = true
  sensitive = true
}

variable "vault_token" {
  type      = string
  ephemeral = true
  sensitive = true
}

# Every plan asks the platform whether the key is still the one in force.
resource "integraci_connector" "hook" {
  tenant_id = integraci_tenant.acme.id
  name      = "hook"

  webhook = {
    url         = "https://hooks.acme.example/integraci"
    events      = ["connector.updated", "quota.set"]
    hmac_key_wo = var.hook_key
  }
}

# The token is sent when the version changes, and only then. When the connector is destroyed, GitLab
# revokes it.
resource "integraci_connector" "gitlab" {
  tenant_id = integraci_tenant.acme.id
  name      = "gitlab"

  gitlab = {
    base_url = "https://gitlab.acme.example"
    group    = "acme/platform"
    token_wo = var.gitlab_token
  }
  secret_wo_version = "2026-11"
  on_destroy        = "revoke"
}

# No secret at all: the platform signs a token for the tenant, which AWS trusts. The data source
# integraci_oidc_trust has what the role must trust, before there is a connector.
resource "integraci_connector" "aws" {
  tenant_id = integraci_tenant.acme.id
  name      = "aws"

  aws = {
    role_arn = "arn:aws:iam::123456789012:role/integraci"
  }
}

# The first token is given; from then on the vault makes the next one by it every thirty days.
resource "integraci_connector" "vault" {
  tenant_id = integraci_tenant.acme.id
  name      = "vault"

  vault = {
    url        = "https://vault.acme.example:8200"
    token_role = "integraci"
    token_wo   = var.vault_token
  }
  secret_wo_version = "1"
  rotate_every_days = 30
}
