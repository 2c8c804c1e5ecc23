# Known before there is a connector: first the role that trusts the tenant's tokens, then the connector
# with the role.
data "integraci_oidc_trust" "aws" {
  tenant_id = integraci_tenant.acme.id
  connector = "aws"
  kind      = "aws"
}

locals {
  issuer = trimprefix(data.integraci_oidc_trust.aws.issuer, "https://")

  # For `assume_role_policy` of an `aws_iam_role`.
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/${local.issuer}" }
      Condition = {
        StringEquals = {
          "${local.issuer}:sub" = data.integraci_oidc_trust.aws.subject
          "${local.issuer}:aud" = data.integraci_oidc_trust.aws.audience
        }
      }
    }]
  })
}
