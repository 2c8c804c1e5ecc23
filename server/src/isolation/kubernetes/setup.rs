//! What an administrator does once in a cluster before the server can work there: the server's own
//! account, the role of it, and the two admission policies that hold it and the tenants where roles do
//! not reach. `integraci-server setup` calls it; `kubectl apply -f server/kubernetes/setup.json` does the
//! same by hand.
//!
//! The token is that of a Secret, not one that was asked for: the latter ends at a time that the cluster
//! chooses (a day, in some), and nobody would be there to ask again. Every installation that shares a
//! cluster is the same account and gets the same token, so that preparing for one leaves the others be.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use integraci_api::SecretText;
use k8s_openapi::api::core::v1::Secret;
use kube::Resource as _;
use kube::core::params::{GetParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde::Deserialize;
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use super::client::{Client, FIELD_MANAGER, failure, make};
use super::token::Token;
use super::{ErrorClass, KubernetesConfig, SystemError, rights};
use crate::config::CellConfig;
use crate::setup::SetupError;

const MANIFEST: &str = include_str!("../../../kubernetes/setup.json");

const NAMESPACE: &str = "integraci-system";
const TOKEN_SECRET: &str = "integraci-token";

/// How long the cluster is waited for to follow: it takes a second.
const WAIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

#[derive(Deserialize)]
struct Manifest {
    items: Vec<DynamicObject>,
}

/// The Secret, of which the token alone is read.
#[derive(Deserialize)]
struct TokenSecret {
    #[serde(default)]
    data: TokenData,
}

#[derive(Default, Deserialize)]
struct TokenData {
    token: Option<SecretText>,
}

/// Prepares a cluster, and tells the server's token for it. Safe to repeat.
///
/// # Errors
/// The cluster refused, or did not answer.
pub async fn prepare(cell: &CellConfig<KubernetesConfig>) -> Result<SecretText, SetupError> {
    let token = cell.admin.as_ref().map_or(&cell.system.token, |admin| &admin.secret);
    let admin = Client::new(&KubernetesConfig { token: token.clone(), ..cell.system.clone() })?;
    for object in manifest()? {
        apply(&admin, &object).await?;
    }
    let token = own_token(&admin).await?;
    in_force(&admin, &token).await?;
    Ok(token)
}

fn manifest() -> Result<Vec<DynamicObject>, SystemError> {
    serde_json::from_str::<Manifest>(MANIFEST)
        .map(|manifest| manifest.items)
        .map_err(|_| failure("setup_apply", ErrorClass::Refused, "the manifest of this build is not one"))
}

async fn apply(admin: &Client, object: &DynamicObject) -> Result<(), SystemError> {
    const OPERATION: &str = "setup_apply";
    let kind = object.types.as_ref().and_then(|types| GroupVersionKind::try_from(types).ok());
    let kind =
        kind.ok_or_else(|| failure(OPERATION, ErrorClass::Refused, "an object of the manifest has no kind"))?;
    let path = DynamicObject::url_path(&ApiResource::from_gvk(&kind), object.metadata.namespace.as_deref());
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let request = kube::core::Request::new(path).patch(name, &params, &Patch::Apply(object));
    admin.call::<IgnoredAny>(OPERATION, request).await.map(drop)
}

/// The token of the server's account, which the token controller writes into its Secret.
async fn own_token(admin: &Client) -> Result<SecretText, SystemError> {
    const OPERATION: &str = "token_read";
    let asked_at = Instant::now();
    loop {
        let request = make::<Secret>(Some(NAMESPACE)).get(TOKEN_SECRET, &GetParams::default());
        let secret: TokenSecret = admin.call(OPERATION, request).await?;
        if let Some(encoded) = secret.data.token {
            let bytes = BASE64.decode(encoded.expose()).map(Zeroizing::new).ok();
            let token = bytes.and_then(|bytes| std::str::from_utf8(&bytes).map(str::to_owned).ok());
            return token.map(SecretText::new).ok_or_else(|| {
                failure(OPERATION, ErrorClass::Broken, "the answer is not what Kubernetes sends")
            });
        }
        if asked_at.elapsed() > WAIT {
            let reason = "no token is made for the server; see whether the controller manager runs";
            return Err(failure(OPERATION, ErrorClass::Broken, reason));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until the token may do what it is for and no more, so that a server which is started next can
/// work, and never works unfenced. An API server looks for new admission policies every second; the
/// server's is the last of the manifest, so that the tenants' holds once it does.
async fn in_force(admin: &Client, token: &SecretText) -> Result<(), SystemError> {
    const OPERATION: &str = "setup_verify";
    let not_one = || failure(OPERATION, ErrorClass::Broken, "the answer is not what Kubernetes sends");
    let server = admin.acting_by(Token::fixed(token).ok_or_else(not_one)?);
    let asked_at = Instant::now();
    loop {
        let is_given = rights::missing(&server).await?.is_empty();
        if is_given && rights::is_fenced(&server).await? {
            return Ok(());
        }
        if asked_at.elapsed() > WAIT {
            let reason = if is_given {
                "the admission policies are not in force; is the cluster older than Kubernetes 1.30?"
            } else {
                "the server's account is not given its rights; does the cluster use RBAC?"
            };
            return Err(failure(OPERATION, ErrorClass::Refused, reason));
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_names_every_object() {
        let objects = manifest().unwrap();
        assert_eq!(objects.len(), 9);
        assert!(objects.iter().all(|object| object.types.is_some() && object.metadata.name.is_some()));
    }
}
