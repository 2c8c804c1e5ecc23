//! Kubernetes clusters: who the API server takes the login for, and whether that may list pods.
//!
//! The login is a bearer token, a kubeconfig's own, or a token that the platform signs, for a cluster whose
//! authentication configuration names the platform as an issuer. Of a service account, the API server
//! makes another token by the login there is.
//!
//! Facts: the Kubernetes API (authentication.k8s.io/v1 `SelfSubjectReview`, since 1.28, and `TokenRequest`;
//! authorization.k8s.io/v1 `SelfSubjectAccessReview`); seen with 1.37: a token that is wrong, expired or of
//! a service account that is gone gets 401; a review is answered with 201; a token may be granted for less
//! time than was asked for; tokens of service accounts are JWTs and cannot be revoked one by one; a login
//! that is taken gets 403 for a path that there is not.

mod kubeconfig;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integraci_api::SecretText;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;
use url::Url;

use super::far_side::{self, Asked, FarSide, below};
use super::{Minted, Protocol, URL_POINTER, Verified, VerifyError};
use crate::connectors::outbound::Request;

const CLUSTER: &str = "the cluster";
const TOKEN: &str = "/secrets/token";
const KUBECONFIG: &str = "/secrets/kubeconfig";
const NAMESPACE: &str = "/config/namespace";
const SERVICE_ACCOUNT: &str = "/config/service_account";
/// Where to look when the platform's own token is refused.
const AUDIENCE_POINTER: &str = "/config/audience";
const AUDIENCE: &str = "integraci";
const ANONYMOUS: &str = "system:anonymous";
/// What a minted token is asked to last, in seconds: 90 days, so that a rotation that fails for weeks
/// locks nobody out. The API server grants what it allows.
const TOKEN_LIFE_S: u32 = 90 * 24 * 60 * 60;

pub(super) struct KubernetesCluster;

#[async_trait]
impl Protocol for KubernetesCluster {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let namespace = namespace_of(far_side)?;
        let base = far_side.address("url", "")?;
        let login = Login::of(far_side, &base).await?;
        let identified = login.identified(far_side)?;
        let cluster = Cluster { far_side: identified.as_ref().unwrap_or(far_side), base, login };
        cluster.review_self().await?;
        cluster.review_access(namespace).await?;
        Ok(Verified { expires_at: cluster.login.expires_at() })
    }

    async fn mint(&self, far_side: &FarSide<'_>) -> Result<Minted, VerifyError> {
        let namespace = namespace_of(far_side)?;
        let Some(account) = far_side.text("service_account") else {
            return Err(VerifyError::refused(
                SERVICE_ACCOUNT,
                "`service_account` says of which service account the next token is; set it, or rotate with a new \
                 secret",
            ));
        };
        let account = name_checked(account, SERVICE_ACCOUNT)?;
        if far_side.subject.secrets.is_empty() {
            return Err(VerifyError::refused(
                "/secrets",
                "a connector that logs in without a secret has none to rotate: each login is a new one",
            ));
        }
        let base = far_side.address("url", "")?;
        let login = Login::of(far_side, &base).await?;
        let identified = login.identified(far_side)?;
        let cluster = Cluster { far_side: identified.as_ref().unwrap_or(far_side), base, login };
        let granted = cluster.request_token(namespace, account).await?;
        // What takes the old secret's place is what the old one was.
        let secret = match cluster.login.pointer {
            KUBECONFIG => {
                let authorities = cluster.login.authorities.as_deref();
                ("kubeconfig", kubeconfig::with_token(&cluster.base, authorities, &granted.token))
            }
            _ => ("token", granted.token),
        };
        let expires_at = far_side::time_of(&granted.expiration_timestamp);
        Ok(Minted { secrets: [(secret.0.to_owned(), secret.1)].into(), expires_at })
    }
}

fn namespace_of<'a>(far_side: &FarSide<'a>) -> Result<&'a str, VerifyError> {
    name_checked(far_side.text("namespace").unwrap_or("default"), NAMESPACE)
}

/// A name of an object, which is a segment of a path and nothing else.
fn name_checked<'a>(name: &'a str, pointer: &str) -> Result<&'a str, VerifyError> {
    let ends = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let inner = |b: u8| ends(b) || matches!(b, b'-' | b'.');
    let bytes = name.as_bytes();
    let fits = bytes.len() <= 253
        && bytes.iter().all(|b| inner(*b))
        && [bytes.first(), bytes.last()].iter().all(|b| b.is_some_and(|b| ends(*b)));
    if fits {
        Ok(name)
    } else {
        Err(VerifyError::refused(
            pointer,
            "expected a name of Kubernetes: lower-case letters, digits, `-` and `.`",
        ))
    }
}

/// How the connector logs in.
struct Login {
    token: Option<SecretText>,
    /// A client certificate with its key, in PEM.
    identity: Option<SecretText>,
    /// The certificate authorities that the kubeconfig brought along, in PEM.
    authorities: Option<String>,
    /// The field that it comes from.
    pointer: &'static str,
}

impl Login {
    async fn of(far_side: &FarSide<'_>, base: &Url) -> Result<Self, VerifyError> {
        let secrets = far_side.subject.secrets;
        let by = |token, pointer| Self { token: Some(token), identity: None, authorities: None, pointer };
        match (secrets.get("token"), secrets.get("kubeconfig")) {
            (Some(token), None) => Ok(by(token.clone(), TOKEN)),
            (None, Some(text)) => kubeconfig::read(text, base),
            (None, None) => Ok(by(far_side.platform_token(AUDIENCE).await?, AUDIENCE_POINTER)),
            (Some(_), Some(_)) => {
                Err(VerifyError::refused("/secrets", "give one of `token`, `kubeconfig`, or none"))
            }
        }
    }

    /// The far side as the kubeconfig says to reach it, if that says more than the connector.
    fn identified<'a>(&self, far_side: &FarSide<'a>) -> Result<Option<FarSide<'a>>, VerifyError> {
        if self.identity.is_none() && self.authorities.is_none() {
            return Ok(None);
        }
        let unusable = || {
            VerifyError::refused(
                KUBECONFIG,
                "its certificate authority, client certificate or key cannot be used",
            )
        };
        far_side
            .identified(self.authorities.as_deref(), self.identity.as_ref())
            .ok_or_else(unusable)
            .map(Some)
    }

    /// When the token expires, if it is a JWT that says so. What is only told need not be checked.
    fn expires_at(&self) -> Option<OffsetDateTime> {
        match self.pointer {
            // The platform's own lasts for this login alone.
            AUDIENCE_POINTER => None,
            _ => expiry(self.token.as_ref()?.expose()),
        }
    }
}

fn expiry(token: &str) -> Option<OffsetDateTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    OffsetDateTime::from_unix_timestamp(claims.exp).ok()
}

#[derive(Deserialize)]
struct Answered<T> {
    status: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reviewed {
    user_info: UserInfo,
}

#[derive(Deserialize)]
struct UserInfo {
    username: String,
}

#[derive(Deserialize)]
struct Access {
    allowed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Granted {
    token: SecretText,
    expiration_timestamp: String,
}

struct Cluster<'a> {
    far_side: &'a FarSide<'a>,
    base: Url,
    login: Login,
}

impl Cluster<'_> {
    /// Asks who the login is taken for.
    async fn review_self(&self) -> Result<(), VerifyError> {
        const KIND: (&str, &str) = ("authentication.k8s.io/v1", "SelfSubjectReview");
        let path = ["apis", "authentication.k8s.io", "v1", "selfsubjectreviews"];
        let reviewed: Reviewed = self.create(&path, KIND, &json!({})).await?;
        if reviewed.user_info.username == ANONYMOUS {
            return Err(self.refused("the cluster takes the login for nobody's: it lets in whoever comes"));
        }
        Ok(())
    }

    /// Asks whether the login may list the pods of the namespace.
    async fn review_access(&self, namespace: &str) -> Result<(), VerifyError> {
        const KIND: (&str, &str) = ("authorization.k8s.io/v1", "SelfSubjectAccessReview");
        let path = ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"];
        let wanted =
            json!({ "resourceAttributes": { "namespace": namespace, "verb": "list", "resource": "pods" } });
        let access: Access = self.create(&path, KIND, &wanted).await?;
        if access.allowed {
            return Ok(());
        }
        Err(VerifyError::refused(
            NAMESPACE,
            format!(
                "the cluster takes the login but does not let it list pods in the namespace `{namespace}`; bind it \
                 a role that does, such as the cluster role `view`"
            ),
        ))
    }

    async fn request_token(&self, namespace: &str, account: &str) -> Result<Granted, VerifyError> {
        const KIND: (&str, &str) = ("authentication.k8s.io/v1", "TokenRequest");
        let path = ["api", "v1", "namespaces", namespace, "serviceaccounts", account, "token"];
        let audiences: Vec<_> = self.far_side.text("audience").into_iter().collect();
        let wanted = json!({ "audiences": audiences, "expirationSeconds": TOKEN_LIFE_S });
        let answer = self.far_side.send(self.asked(), self.request(&path, KIND, &wanted)?).await?;
        match answer.status.as_u16() {
            403 => Err(self.refused(format!(
                "the login may not make the next token (status 403): it needs a role in the namespace `{namespace}` \
                 with the verb `create` on `serviceaccounts/token`"
            ))),
            404 => Err(VerifyError::refused(
                SERVICE_ACCOUNT,
                format!("the cluster has no such service account in the namespace `{namespace}` (status 404)"),
            )),
            200..=299 => far_side::json::<Answered<Granted>>(self.asked(), &answer).map(|it| it.status),
            _ => Err(self.far_side.declined(self.asked(), &answer)),
        }
    }

    /// Creates an object that is an answer rather than kept, and gives its status.
    async fn create<T: DeserializeOwned>(
        &self,
        path: &[&str],
        kind: (&str, &str),
        spec: &Value,
    ) -> Result<T, VerifyError> {
        let request = self.request(path, kind, spec)?;
        let answer = self.far_side.send(self.asked(), request).await?;
        match answer.status.as_u16() {
            200..=299 => far_side::json::<Answered<T>>(self.asked(), &answer).map(|it| it.status),
            401 if self.login.pointer == AUDIENCE_POINTER => {
                let identity = self.far_side.identity(AUDIENCE)?;
                Err(self.refused(format!(
                    "the cluster refused the platform's token (status 401): its authentication configuration must \
                     trust {identity}, and it must be able to reach the issuer"
                )))
            }
            403 => Err(VerifyError::refused(
                URL_POINTER,
                "the cluster takes the login but not what it asks (status 403): the address must be the API \
                 server's own, and the cluster role `system:basic-user` must be bound",
            )),
            _ => Err(self.far_side.declined(self.asked(), &answer)),
        }
    }

    fn request(
        &self,
        path: &[&str],
        (version, kind): (&str, &str),
        spec: &Value,
    ) -> Result<Request, VerifyError> {
        let object = json!({ "apiVersion": version, "kind": kind, "spec": spec });
        let request = Request::post(below(&self.base, path), object.to_string().into())
            .header(CONTENT_TYPE.as_str(), HeaderValue::from_static("application/json"));
        match &self.login.token {
            None => Ok(request),
            Some(token) => Ok(request.authorization(far_side::bearer(token, self.login.pointer)?)),
        }
    }

    const fn asked(&self) -> Asked<'static> {
        Asked { who: CLUSTER, secret: self.login.pointer, place: URL_POINTER }
    }

    fn refused(&self, why: impl Into<String>) -> VerifyError {
        VerifyError::refused(self.login.pointer, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment() {
        for good in ["default", "a", "a-b.c", "0"] {
            assert!(name_checked(good, NAMESPACE).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "A", "-a", "a-", "a b", "a%2fb", "é", &"a".repeat(254)] {
            assert_eq!(name_checked(bad, NAMESPACE).unwrap_err().faults()[0].pointer, NAMESPACE, "{bad}");
        }
    }

    #[test]
    fn when_a_token_expires_is_read_from_a_jwt_and_nothing_else() {
        let jwt = |claims: &str| format!("e30.{}.AAAA", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(expiry(&jwt(r#"{"exp":1795478400}"#)).unwrap().unix_timestamp(), 1_795_478_400);
        for other in ["opaque", "a.b", "a.b.c.d", "e30.*.AAAA"].map(str::to_owned) {
            assert_eq!(expiry(&other), None, "{other}");
        }
        for claims in ["{}", r#"{"exp":"soon"}"#, r#"{"exp":9223372036854775807}"#, "[]"] {
            assert_eq!(expiry(&jwt(claims)), None, "{claims}");
        }
    }
}
