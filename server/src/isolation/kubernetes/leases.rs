//! Short-lived credentials of a tenant: a token of its service account, bound to a Secret that stands
//! for the lease. Deleting the Secret revokes the token.
//!
//! Facts (seen with Kubernetes 1.37): a token lives ten minutes at least; it cannot be prolonged; an API
//! server goes on accepting a revoked one that it knows for ten seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use integraci_api::tenants::TenantNames;
use integraci_api::{CredentialId, SecretText};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::core::params::{DeleteParams, PostParams};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::client::{Client, failure, json, make};
use super::objects::{TENANT, metadata};
use super::{ErrorClass, Issued, SystemError, Wanted};

/// The shortest life of a token that Kubernetes makes.
const TOKEN_MIN: Duration = Duration::from_secs(600);

/// The answer to a request for a token, of which the token alone is read.
#[derive(Deserialize)]
struct Made {
    status: MadeStatus,
}

#[derive(Deserialize)]
struct MadeStatus {
    token: SecretText,
}

/// The Secret that stands for a lease. It holds nothing.
fn lease(tenant: &TenantNames, credential: CredentialId) -> Secret {
    let name = format!("integraci-lease-{}", credential.uuid().simple());
    Secret { metadata: metadata(&tenant.kubernetes_namespace, &name), ..Secret::default() }
}

fn name_of(lease: &Secret) -> &str {
    lease.metadata.name.as_deref().unwrap_or_default()
}

/// Makes credentials that last for `ttl`; the token itself lasts ten minutes at least, and the lease is
/// what ends it.
pub(super) async fn issue(
    client: &Client,
    tenant: &Wanted,
    credential: CredentialId,
    ttl: Duration,
) -> Result<Issued, SystemError> {
    if tenant.suspended {
        return Err(failure("credentials_issue", ErrorClass::Refused, "the tenant is suspended"));
    }
    let lease = lease(&tenant.names, credential);
    // One that an earlier call left behind has a token that nobody got.
    delete(client, &tenant.names, &lease).await?;
    let token = token(client, &tenant.names, &lease, ttl).await?;
    let mut fields = BTreeMap::from([
        ("host", client.server().to_owned()),
        ("namespace", tenant.names.kubernetes_namespace.clone()),
    ]);
    fields.extend(client.ca_pem().map(|pem| ("ca_certificate", pem.to_owned())));
    let handle = Some(name_of(&lease).to_owned());
    Ok(Issued { handle, fields, secrets: BTreeMap::from([("token", token)]) })
}

/// Makes the Secret of a lease, and a token that is bound to it.
pub(super) async fn token(
    client: &Client,
    tenant: &TenantNames,
    lease: &Secret,
    ttl: Duration,
) -> Result<SecretText, SystemError> {
    const OPERATION: &str = "token_create";
    let at = Some(tenant.kubernetes_namespace.as_str());
    let made = client.create("lease_create", at, lease).await?;
    let expiration_seconds = i64::try_from(ttl.max(TOKEN_MIN).as_secs()).ok();
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: Vec::new(), // the API server's own
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Secret".to_owned()),
                name: made.metadata.name,
                uid: made.metadata.uid,
            }),
            expiration_seconds,
        },
        ..TokenRequest::default()
    };
    let body = json(OPERATION, &request)?;
    let request =
        make::<ServiceAccount>(at).create_subresource("token", TENANT, &PostParams::default(), body);
    client.call::<Made>(OPERATION, request).await.map(|made| made.status.token)
}

/// A token cannot be prolonged: it lasts as long as it was made for. What is answered is whether it was
/// not revoked, without the right to read Secrets: making the same one, not for good, is refused where it
/// is there.
pub(super) async fn renew(
    client: &Client,
    tenant: &TenantNames,
    credential: CredentialId,
) -> Result<(), SystemError> {
    const OPERATION: &str = "lease_read";
    let params = PostParams { dry_run: true, field_manager: None };
    let body = json(OPERATION, &lease(tenant, credential))?;
    let request = make::<Secret>(Some(&tenant.kubernetes_namespace)).create(&params, body);
    match client.call::<IgnoredAny>(OPERATION, request).await {
        Ok(_) => Err(failure(OPERATION, ErrorClass::Gone, "the credentials are revoked")),
        Err(there) if there.status == Some(409) => Ok(()),
        Err(failed) => Err(failed),
    }
}

pub(super) async fn revoke(
    client: &Client,
    tenant: &TenantNames,
    credential: CredentialId,
) -> Result<(), SystemError> {
    delete(client, tenant, &lease(tenant, credential)).await
}

pub(super) async fn delete(client: &Client, tenant: &TenantNames, lease: &Secret) -> Result<(), SystemError> {
    let at = Some(tenant.kubernetes_namespace.as_str());
    client.delete::<Secret>("lease_delete", at, name_of(lease), &DeleteParams::default()).await
}
