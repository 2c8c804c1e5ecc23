# A role of an AWS account for a tenant, without any key: the platform signs a token for the tenant's
# connector, and the role trusts that token and no other.
#
# The trust comes first and the connector after it. What must be trusted follows from the tenant and the
# connector's name, so it is known before there is a connector.

terraform {
  required_version = ">= 1.11"
  required_providers {
    integraci = {
      source = "integraci/integraci"
    }
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
    time = {
      source  = "hashicorp/time"
      version = ">= 0.12"
    }
  }
}

provider "integraci" {}
provider "aws" {}

variable "tenant_id" {
  description = "The tenant, ten_…"
  type        = string
}

locals {
  connector = "aws"
}

data "integraci_oidc_trust" "this" {
  tenant_id = var.tenant_id
  connector = local.connector
  kind      = "aws"
}

# One for each tenant in an account: the issuer is the tenant's own.
resource "aws_iam_openid_connect_provider" "tenant" {
  url            = data.integraci_oidc_trust.this.issuer
  client_id_list = [data.integraci_oidc_trust.this.audience]
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.tenant.arn]
    }

    # Without it every connector of the tenant could assume the role.
    condition {
      test     = "StringEquals"
      variable = "${trimprefix(data.integraci_oidc_trust.this.issuer, "https://")}:sub"
      values   = [data.integraci_oidc_trust.this.subject]
    }

    condition {
      test     = "StringEquals"
      variable = "${trimprefix(data.integraci_oidc_trust.this.issuer, "https://")}:aud"
      values   = [data.integraci_oidc_trust.this.audience]
    }
  }
}

resource "aws_iam_role" "integraci" {
  name               = "integraci"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

# A role is known everywhere in AWS some seconds after it is made.
resource "time_sleep" "role_is_known" {
  create_duration = "15s"
  triggers = {
    role_arn = aws_iam_role.integraci.arn
  }
}

resource "integraci_connector" "aws" {
  tenant_id = var.tenant_id
  name      = local.connector

  aws = {
    role_arn = time_sleep.role_is_known.triggers.role_arn
    region   = "eu-central-1"
  }
}
