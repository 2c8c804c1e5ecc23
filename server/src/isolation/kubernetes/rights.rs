//! What the platform's account may do, asked of the cluster: all that it needs, and nothing that would
//! show that it was given more.

use futures_util::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::params::PostParams;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::SystemError;
use super::client::{Client, json, make};

/// Something that an account may do: verb, group, resource, name. Everywhere, where it has a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Right(&'static str, &'static str, &'static str, Option<&'static str>);

const RBAC: &str = "rbac.authorization.k8s.io";
const NETWORKING: &str = "networking.k8s.io";

/// What the platform does.
const NEEDED: &[Right] = &[
    Right("create", "", "namespaces", None),
    Right("get", "", "namespaces", None),
    Right("patch", "", "namespaces", None),
    Right("delete", "", "namespaces", None),
    Right("create", "", "resourcequotas", None),
    Right("get", "", "resourcequotas", Some("tenant")),
    Right("patch", "", "resourcequotas", Some("tenant")),
    Right("delete", "", "resourcequotas", Some("tenant")),
    Right("create", "", "limitranges", None),
    Right("patch", "", "limitranges", Some("tenant")),
    Right("create", "", "serviceaccounts", None),
    Right("patch", "", "serviceaccounts", Some("tenant")),
    Right("patch", "", "serviceaccounts", Some("default")),
    Right("create", "", "serviceaccounts/token", Some("tenant")),
    Right("create", "", "secrets", None),
    Right("delete", "", "secrets", None),
    Right("create", NETWORKING, "networkpolicies", None),
    Right("list", NETWORKING, "networkpolicies", None),
    Right("patch", NETWORKING, "networkpolicies", Some("default-deny")),
    Right("create", RBAC, "roles", None),
    Right("patch", RBAC, "roles", Some("tenant")),
    Right("escalate", RBAC, "roles", Some("tenant")),
    Right("bind", RBAC, "roles", Some("tenant")),
    Right("create", RBAC, "rolebindings", None),
    Right("list", RBAC, "rolebindings", None),
    Right("patch", RBAC, "rolebindings", Some("tenant")),
    Right("delete", RBAC, "rolebindings", Some("tenant")),
    Right("list", RBAC, "clusterrolebindings", None),
];

/// What it does not do, and what an account can do that was given too much.
const EXCESSIVE: &[Right] = &[
    Right("*", "*", "*", None),
    Right("get", "", "secrets", None),
    Right("create", "", "pods", None),
    Right("get", "", "nodes", None),
    Right("impersonate", "", "users", None),
    Right("create", RBAC, "clusterrolebindings", None),
    Right("escalate", RBAC, "clusterroles", None),
    Right("bind", RBAC, "clusterroles", None),
    Right("bind", RBAC, "roles", None),
];

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(verb, _, resource, name) = self;
        match name {
            Some(name) => write!(f, "{verb} {resource} `{name}`"),
            None => write!(f, "{verb} {resource}"),
        }
    }
}

/// What of the needed the client's account may not do.
pub(super) async fn missing(client: &Client) -> Result<Vec<Right>, SystemError> {
    asked(client, NEEDED, false).await
}

/// What of the excessive it may do.
pub(super) async fn excessive(client: &Client) -> Result<Vec<Right>, SystemError> {
    asked(client, EXCESSIVE, true).await
}

/// Whether the admission policy of the setup holds the account to tenants' namespaces: it is refused
/// another, which is tried without making it.
pub(super) async fn is_fenced(client: &Client) -> Result<bool, SystemError> {
    const OPERATION: &str = "fence_try";
    let other = Namespace {
        metadata: ObjectMeta { name: Some("integraci-no-tenant".to_owned()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    let params = PostParams { dry_run: true, field_manager: None };
    let request = make::<Namespace>(None).create(&params, json(OPERATION, &other)?);
    match client.call::<IgnoredAny>(OPERATION, request).await {
        Ok(_) => Ok(false),
        Err(refused) if refused.status == Some(403) => Ok(true),
        Err(failed) => Err(failed),
    }
}

async fn asked(client: &Client, rights: &[Right], allowed: bool) -> Result<Vec<Right>, SystemError> {
    let answers = try_join_all(rights.iter().map(|right| may(client, right))).await?;
    Ok(rights.iter().zip(answers).filter(|(_, may)| *may == allowed).map(|(right, _)| *right).collect())
}

#[derive(Deserialize)]
struct Review {
    status: Verdict,
}

#[derive(Deserialize)]
struct Verdict {
    allowed: bool,
}

async fn may(client: &Client, right: &Right) -> Result<bool, SystemError> {
    const OPERATION: &str = "rights_read";
    let Right(verb, group, resource, name) = *right;
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource)),
        None => (resource, None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource: subresource.map(str::to_owned),
                name: name.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let request =
        make::<SelfSubjectAccessReview>(None).create(&PostParams::default(), json(OPERATION, &review)?);
    client.call::<Review>(OPERATION, request).await.map(|review| review.status.allowed)
}
