//! The resources, one file each.

mod connector;
mod quota;
mod tenant;

pub(crate) use connector::Connector;
pub(crate) use quota::{Limits, Quota, written};
pub(crate) use tenant::Tenant;

use integraci_api::operations::Operation;

use crate::api::{Api, Error, Patience};

/// Asks for a deletion and waits for it. What is gone already is as wanted.
async fn delete_wholly<F>(api: &Api, patience: &Patience, ask: impl Fn() -> F + Send) -> Result<(), Error>
where
    F: Future<Output = Result<Option<Operation>, Error>> + Send,
{
    match api.once_free(patience, ask).await? {
        None => Ok(()),
        Some(operation) => api.operation_wait(operation, patience).await.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use tfplugin::AttributeSet;

    use super::*;

    /// What is in every state file. An attribute more is read as null from older ones; one that goes or
    /// changes its type needs a new `VERSION` and an `upgrade`.
    #[test]
    fn states_keep_their_types() {
        let types = [Tenant::schema(), Connector::schema(), Quota::schema()];
        let types = types.map(|schema| schema.ty().to_json()).join("\n");
        expect![[r#"
            ["object",{"created_at":"string","delete_protection":"bool","id":"string","isolation":["object",{"keycloak":["object",{"issuer_url":"string","state":"string"}],"kubernetes":["object",{"namespace":"string","server":"string","state":"string"}],"nats":["object",{"account":"string","state":"string","subject_prefix":"string","url":"string"}],"openbao":["object",{"address":"string","namespace":"string","state":"string"}],"postgres":["object",{"state":"string"}]}],"labels":["map","string"],"name":"string","names":["object",{"keycloak_realm":"string","kubernetes_namespace":"string","nats_account":"string","nats_subject_prefix":"string","openbao_namespace":"string"}],"owner_email":"string","plan":"string","slug":"string","suspended":"bool","timeouts":["object",{"create":"string","delete":"string","update":"string"}]}]
            ["object",{"artifactory":["object",{"ca_certificate":"string","password_wo":"string","repository":"string","token_wo":"string","url":"string","username":"string"}],"aws":["object",{"audience":"string","region":"string","role_arn":"string","sts_url":"string"}],"azure":["object",{"audience":"string","authority_url":"string","client_id":"string","directory_id":"string","scope":"string"}],"azure_devops":["object",{"base_url":"string","ca_certificate":"string","organization":"string","project":"string","token_wo":"string"}],"bitbucket":["object",{"base_url":"string","ca_certificate":"string","email":"string","token_wo":"string","webhook_secret_wo":"string","workspace":"string"}],"container_registry":["object",{"ca_certificate":"string","password_wo":"string","repository":"string","token_wo":"string","url":"string","username":"string"}],"datadog":["object",{"api_key_wo":"string","app_key_wo":"string","base_url":"string","site":"string"}],"gcp":["object",{"audience":"string","iam_credentials_url":"string","service_account":"string","sts_url":"string","workload_identity_provider":"string"}],"github_app":["object",{"app_id":"number","base_url":"string","ca_certificate":"string","installation_id":"number","private_key_wo":"string","webhook_secret_wo":"string"}],"gitlab":["object",{"base_url":"string","ca_certificate":"string","group":"string","token_wo":"string","webhook_secret_wo":"string"}],"id":"string","inbound_url":"string","jira":["object",{"api_token_wo":"string","ca_certificate":"string","email":"string","project":"string","url":"string","webhook_secret_wo":"string"}],"kubernetes_cluster":["object",{"audience":"string","ca_certificate":"string","kubeconfig_wo":"string","namespace":"string","service_account":"string","token_wo":"string","url":"string"}],"last_verified_at":"string","name":"string","on_destroy":"string","pagerduty":["object",{"base_url":"string","service_id":"string","token_wo":"string","webhook_secret_wo":"string"}],"rotate_every_days":"number","secret_expires_at":"string","secret_version":"number","secret_wo_version":"string","slack":["object",{"base_url":"string","bot_token_wo":"string","default_channel":"string","signing_secret_wo":"string","team":"string"}],"sonarqube":["object",{"ca_certificate":"string","organization":"string","project":"string","token_wo":"string","url":"string","webhook_secret_wo":"string"}],"tenant_id":"string","timeouts":["object",{"create":"string","delete":"string","update":"string"}],"vault":["object",{"audience":"string","ca_certificate":"string","mount":"string","namespace":"string","role":"string","token_role":"string","token_wo":"string","url":"string"}],"verification_reason":"string","verification_status":"string","verify":"string","webhook":["object",{"ca_certificate":"string","events":["set","string"],"hmac_key_wo":"string","url":"string"}]}]
            ["object",{"effective":["map","string"],"limits":["map","string"],"on_exceed":"string","tenant_id":"string","timeouts":["object",{"create":"string","delete":"string","update":"string"}]}]"#]].assert_eq(&types);
    }
}
