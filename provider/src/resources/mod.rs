//! The resources, one file each.

mod connector;
mod quota;
mod tenant;

pub(crate) use connector::Connector;
pub(crate) use quota::Quota;
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
            ["object",{"container_registry":["object",{"password_wo":"string","repository":"string","token_wo":"string","url":"string","username":"string"}],"id":"string","last_verified_at":"string","name":"string","secret_version":"number","secret_wo_version":"string","tenant_id":"string","timeouts":["object",{"create":"string","delete":"string","update":"string"}],"webhook":["object",{"events":["set","string"],"hmac_key_wo":"string","url":"string"}]}]
            ["object",{"effective":["map","string"],"limits":["map","string"],"tenant_id":"string"}]"#]].assert_eq(&types);
    }
}
