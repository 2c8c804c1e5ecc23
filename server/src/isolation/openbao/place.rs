//! What a tenant's place is made of, in what one differs from that, and how a difference is mended.
//!
//! A place is closed (its tenant is suspended) by two things that lose nothing: the policy that all of
//! its tokens hold denies everything from the next call on, and the role gets an id that nobody knows,
//! so that no login is even looked at: a secret id is not used up by it, and with the old id back
//! everything works as before.
//!
//! Facts (seen with OpenBao 2.7.2): mounting what is mounted is refused with 400, and so is the
//! configuration of a store that is still setting itself up; a role's id can be chosen; a login by an
//! id that no role has is refused with 400 and leaves the secret id as it is; locking a namespace
//! (`sys/namespaces/api-lock`) would close it too, to the platform's own work as well; a rate limit is
//! counted for each client address by itself, stands in the root namespace, takes a path that is there
//! only, and is deleted with the namespace.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::is_path;
use super::kv::{self, Mount, StoreConfig};
use super::{Call, Client, ErrorClass, KV_MOUNT, SystemError, Wanted, error};
use crate::isolation::Drift;
use crate::source::Source;

/// The tenant's policy and its role; both have this name.
pub(super) const TENANT: &str = "tenant";

/// Where the tenant's tokens log in.
pub(super) const LOGIN_MOUNT: &str = "approle";

/// What the tenant's own tokens may do.
const OPEN: &str = include_str!("../../../openbao/tenant.hcl");

/// The same, of a tenant that is suspended.
const CLOSED: &str = "path \"*\" { capabilities = [\"deny\"] }\n";

/// The policy that every namespace has and none of ours uses.
const DEFAULT_POLICY: &str = "default";

/// How long a token lasts that a workload logs in for: credentials for longer are renewed by the
/// platform, up to the second.
const TOKEN_TTL_S: u64 = 60 * 60;
pub(super) const TOKEN_MAX_TTL_S: u64 = 24 * 60 * 60;

/// One tenant's place, as it is to be.
pub(super) struct Place<'a> {
    client: &'a Client,
    wanted: &'a Wanted,
}

/// In what a place differs from what it is to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Difference {
    Store,
    OtherStore,
    StoreConfig,
    Policy,
    OtherPolicies(Vec<String>),
    Login,
    OtherLogins(Vec<String>),
    Role,
    OtherRoles(Vec<String>),
    Open,
    Closed,
    RateLimit,
}

impl Difference {
    pub(super) const fn drift(&self) -> Drift {
        Drift(match self {
            Self::Store => "the key-value store at `secret/` is not there",
            Self::OtherStore => "something else than a version 2 key-value store is mounted at `secret/`",
            Self::StoreConfig => "the store is configured otherwise: check-and-set or the number of versions",
            Self::Policy => "the policy `tenant` is not there or says something else",
            Self::OtherPolicies(_) => "there are other policies than `tenant`",
            Self::Login => "the AppRole login is not there",
            Self::OtherLogins(_) => "there are other auth methods than AppRole",
            Self::Role => "the AppRole role `tenant` is not there or gives something else",
            Self::OtherRoles(_) => "there are other AppRole roles than `tenant`",
            Self::Open => "it can be logged in to, and the tenant is suspended",
            Self::Closed => "it cannot be logged in to, and the tenant is not suspended",
            Self::RateLimit => "the rate limit is not there or is another",
        })
    }
}

/// What is there. Its default is a namespace that was just made.
#[derive(Default)]
struct Seen {
    mounts: BTreeMap<String, Mount>,
    store: Option<StoreConfig>,
    logins: BTreeMap<String, Mount>,
    policies: Vec<String>,
    policy: Option<String>,
    roles: Vec<String>,
    role: Option<Role>,
    role_id: Option<String>,
    rate_limit: Option<RateLimit>,
}

/// What of a role is ours to say.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Role {
    bind_secret_id: bool,
    secret_id_ttl: u64,
    token_policies: Vec<String>,
    token_no_default_policy: bool,
    token_ttl: u64,
    token_max_ttl: u64,
    token_period: u64,
    token_type: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct RateLimit {
    path: String,
    /// Calls in each interval.
    rate: f64,
    /// Seconds.
    interval: u64,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct Policy {
    policy: String,
}

#[derive(Deserialize)]
struct RoleId {
    role_id: String,
}

impl Role {
    fn wanted() -> Self {
        Self {
            bind_secret_id: true,
            secret_id_ttl: TOKEN_MAX_TTL_S,
            token_policies: vec![TENANT.to_owned()],
            token_no_default_policy: true,
            token_ttl: TOKEN_TTL_S,
            token_max_ttl: TOKEN_MAX_TTL_S,
            token_period: 0,
            token_type: "service".to_owned(),
        }
    }
}

impl<'a> Place<'a> {
    pub(super) const fn new(client: &'a Client, wanted: &'a Wanted) -> Self {
        Self { client, wanted }
    }

    fn namespace(&self) -> &'a str {
        &self.wanted.names.openbao_namespace
    }

    const fn policy(&self) -> &'static str {
        if self.wanted.suspended { CLOSED } else { OPEN }
    }

    fn rate_limit(&self) -> RateLimit {
        RateLimit {
            path: format!("{}/", self.client.namespace_path(self.namespace())),
            rate: self.wanted.limits.openbao_requests_per_second.into(),
            interval: 1,
        }
    }

    /// The differences of a namespace that was just made: all there can be.
    pub(super) fn all_differences(&self) -> Vec<Difference> {
        self.compared(Seen::default())
    }

    /// The differences of a namespace that is there.
    pub(super) async fn differences(&self) -> Result<Vec<Difference>, SystemError> {
        // Nine reads under way at a time are too much for a caller's stack.
        Ok(self.compared(Box::pin(self.look()).await?))
    }

    async fn look(&self) -> Result<Seen, SystemError> {
        let namespace = Some(self.namespace());
        let read = |path| self.client.read("place_read", namespace, path);
        let quota = format!("sys/quotas/rate-limit/{}", self.client.quota_name(self.namespace()));
        let (mounts, store, logins, policies, policy, roles, role, role_id, rate_limit) = tokio::try_join!(
            read("sys/mounts"),
            async { unless_unready(self.client.read("place_read", namespace, "secret/config").await) },
            self.client.read("place_read", namespace, "sys/auth"),
            self.client.read::<Keys>("place_read", namespace, "sys/policies/acl?list=true"),
            self.client.read::<Policy>("place_read", namespace, "sys/policies/acl/tenant"),
            self.of_login::<Keys>("role?list=true"),
            self.of_login("role/tenant"),
            self.of_login::<RoleId>("role/tenant/role-id"),
            self.client.found(Call::get("rate_limit_read", &quota).root()),
        )?;
        Ok(Seen {
            mounts: mounts.unwrap_or_default(),
            store,
            logins: logins.unwrap_or_default(),
            policies: policies.map(|found| found.keys).unwrap_or_default(),
            policy: policy.map(|found| found.policy),
            roles: roles.map(|found| found.keys).unwrap_or_default(),
            role,
            role_id: role_id.map(|found| found.role_id),
            rate_limit,
        })
    }

    /// Reads below the login, which may not be mounted.
    async fn of_login<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Option<T>, SystemError> {
        let path = format!("auth/{LOGIN_MOUNT}/{path}");
        unless_gone(self.client.read("place_read", Some(self.namespace()), &path).await)
    }

    fn compared(&self, seen: Seen) -> Vec<Difference> {
        let mut found = Vec::new();
        match seen.mounts.get(&format!("{KV_MOUNT}/")) {
            None => found.push(Difference::Store),
            Some(mount) if !mount.is_kv_2() => found.push(Difference::OtherStore),
            Some(_) if seen.store != Some(StoreConfig::WANTED) => found.push(Difference::StoreConfig),
            Some(_) => {}
        }
        if seen.policy.as_deref() != Some(self.policy()) {
            found.push(Difference::Policy);
        }
        found.extend(others(seen.policies, &[TENANT, DEFAULT_POLICY]).map(Difference::OtherPolicies));
        let login = format!("{LOGIN_MOUNT}/");
        if seen.logins.get(&login).is_none_or(|mount| mount.kind != LOGIN_MOUNT) {
            found.push(Difference::Login);
        } else if seen.role != Some(Role::wanted()) {
            found.push(Difference::Role);
        } else if (seen.role_id == Some(self.role_id())) == self.wanted.suspended {
            found.push(if self.wanted.suspended { Difference::Open } else { Difference::Closed });
        }
        let logins = seen.logins.into_keys().collect();
        found.extend(others(logins, &["token/", &login]).map(Difference::OtherLogins));
        found.extend(others(seen.roles, &[TENANT]).map(Difference::OtherRoles));
        if seen.rate_limit != Some(self.rate_limit()) {
            found.push(Difference::RateLimit);
        }
        found
    }

    /// The id by which the tenant logs in. No secret.
    pub(super) fn role_id(&self) -> String {
        self.wanted.tenant.to_string()
    }

    /// Mends all of them, side by side. One that cannot be mended keeps none of the others from it: a
    /// place that is to be closed is closed whatever else is wrong with it.
    pub(super) async fn mend(&self, differences: &[Difference]) -> Result<(), SystemError> {
        join_all(differences.iter().map(|difference| self.mend_one(difference))).await.into_iter().collect()
    }

    async fn mend_one(&self, difference: &Difference) -> Result<(), SystemError> {
        match difference {
            Difference::Store => {
                let body = json!({ "type": "kv", "options": { "version": "2" } });
                self.mount("kv_mount", &format!("sys/mounts/{KV_MOUNT}"), &body).await?;
                kv::configure(self.client, Some(self.namespace()), KV_MOUNT).await
            }
            Difference::OtherStore => Err(error(
                "kv_mount",
                ErrorClass::Refused,
                "something else than a version 2 key-value store is mounted at `secret/` in the tenant's \
                 namespace; remove it",
            )),
            Difference::StoreConfig => kv::configure(self.client, Some(self.namespace()), KV_MOUNT).await,
            Difference::Policy => {
                let path = format!("sys/policies/acl/{TENANT}");
                self.write("policy_write", &path, &json!({ "policy": self.policy() })).await
            }
            Difference::Login => {
                let path = format!("sys/auth/{LOGIN_MOUNT}");
                self.mount("login_mount", &path, &json!({ "type": LOGIN_MOUNT })).await?;
                self.write_role().await
            }
            Difference::Role | Difference::Open | Difference::Closed => self.write_role().await,
            Difference::OtherPolicies(names) => self.remove("policy_delete", "sys/policies/acl", names).await,
            Difference::OtherLogins(names) => self.remove("login_unmount", "sys/auth", names).await,
            Difference::OtherRoles(names) => {
                self.remove("role_delete", &format!("auth/{LOGIN_MOUNT}/role"), names).await
            }
            Difference::RateLimit => {
                let path = format!("sys/quotas/rate-limit/{}", self.client.quota_name(self.namespace()));
                let body = serde_json::to_value(self.rate_limit()).unwrap_or_default();
                self.client.send(Call::post("rate_limit_write", &path).root().json(&body)).await.map(drop)
            }
        }
    }

    async fn write(
        &self,
        operation: &'static str,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<(), SystemError> {
        let call = Call::post(operation, path).namespace(self.namespace()).json(body);
        self.client.send(call).await.map(drop)
    }

    /// Mounts. Another replica may have been first; whether what it mounted is right is seen when the
    /// place is looked at again, and by what is written to it next.
    async fn mount(
        &self,
        operation: &'static str,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<(), SystemError> {
        match self.write(operation, path, body).await {
            Err(taken) if taken.status == Some(400) => Ok(()),
            done => done,
        }
    }

    async fn write_role(&self) -> Result<(), SystemError> {
        let role_id = if self.wanted.suspended {
            format!("closed-{}", hex::encode(Source::real().bytes()))
        } else {
            self.role_id()
        };
        let mut body = serde_json::to_value(Role::wanted()).unwrap_or_default();
        body["role_id"] = role_id.into();
        self.write("role_write", &format!("auth/{LOGIN_MOUNT}/role/{TENANT}"), &body).await
    }

    async fn remove(&self, operation: &'static str, at: &str, names: &[String]) -> Result<(), SystemError> {
        for name in names {
            let name = name.trim_end_matches('/');
            if !is_path(name) {
                return Err(error(
                    operation,
                    ErrorClass::Refused,
                    "something of an odd name was put into the tenant's namespace; remove it by hand",
                ));
            }
            let path = format!("{at}/{name}");
            let call = Call::delete(operation, &path).namespace(self.namespace());
            unless_gone(self.client.send(call).await.map(Some))?;
        }
        Ok(())
    }
}

/// Those that are not among the expected, if there are any.
fn others(names: Vec<String>, expected: &[&str]) -> Option<Vec<String>> {
    let others: Vec<_> = names.into_iter().filter(|name| !expected.contains(&name.as_str())).collect();
    (!others.is_empty()).then_some(others)
}

fn unless_gone<T>(read: Result<Option<T>, SystemError>) -> Result<Option<T>, SystemError> {
    match read {
        Err(gone) if gone.class == ErrorClass::Gone => Ok(None),
        read => read,
    }
}

/// A store that is not mounted, or still sets itself up, has no configuration.
fn unless_unready<T>(read: Result<Option<T>, SystemError>) -> Result<Option<T>, SystemError> {
    match read {
        Err(unready) if unready.status == Some(400) => Ok(None),
        read => unless_gone(read),
    }
}
