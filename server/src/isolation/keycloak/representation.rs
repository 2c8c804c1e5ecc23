//! A tenant's realm as it is to be, in Keycloak's own JSON (admin REST API, 26).
//!
//! The same shapes are written and read back, so that what differs is found by comparing them. Only
//! what the platform answers for is in them: the rest of a realm, such as its users and its themes, is
//! the tenant's.

use std::collections::BTreeMap;

use integraci_api::SecretText;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Wanted;
use super::clients::{ClientRep, MANAGEMENT, Secretive, WORKLOAD};

/// The roles that a tenant's people have.
pub(super) const ROLES: [&str; 4] = ["owner", "admin", "member", "viewer"];

/// The realm's own client, whose roles are those of its administration.
pub(super) const REALM_MANAGEMENT: &str = "realm-management";

/// The role that may do everything in its realm, and nothing outside it.
pub(super) const REALM_ADMIN: &str = "realm-admin";

/// The attribute of a realm that proves that this installation made it.
pub(super) const MARK: &str = "integraci.mark";

/// The attribute of a realm that names the tenant, by its id.
pub(super) const TENANT: &str = "integraci.tenant";

/// The attribute in which a suspended realm keeps from when its tokens count.
pub(super) const NOT_BEFORE_KEPT: &str = "integraci.not_before";

/// From when the tokens of a suspended realm count: never. A moment such as "now" would depend on
/// whose clock it is, and Keycloak takes a disabled realm's tokens at its userinfo endpoint until they
/// run out.
pub(super) const NEVER: i64 = i32::MAX as i64;

/// A realm's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Realm {
    /// Absent where Keycloak tells only that there is such a realm, to a client with no rights in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) realm: String,
    #[serde(default)]
    pub(super) enabled: bool,
    /// Tokens from before this, in seconds since 1970, do not count.
    #[serde(default)]
    pub(super) not_before: i64,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
    #[serde(flatten)]
    pub(super) doors: Doors,
    #[serde(flatten)]
    pub(super) brute_force: BruteForce,
    #[serde(flatten)]
    pub(super) lifetimes: Lifetimes,
}

/// By which ways people get in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Doors {
    ssl_required: String,
    registration_allowed: bool,
    reset_password_allowed: bool,
    edit_username_allowed: bool,
    remember_me: bool,
    duplicate_emails_allowed: bool,
}

/// What guessing passwords gets: after `failure_factor` failures a wait that grows, never a lock that
/// only an administrator opens, since that would let anybody lock anybody out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BruteForce {
    brute_force_protected: bool,
    permanent_lockout: bool,
    failure_factor: u32,
    wait_increment_seconds: u32,
    max_failure_wait_seconds: u32,
    max_delta_time_seconds: u32,
    minimum_quick_login_wait_seconds: u32,
    quick_login_check_milli_seconds: u32,
}

/// How long tokens and sessions last, in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Lifetimes {
    access_token_lifespan: u32,
    access_code_lifespan: u32,
    sso_session_idle_timeout: u32,
    sso_session_max_lifespan: u32,
    offline_session_idle_timeout: u32,
    offline_session_max_lifespan_enabled: bool,
    offline_session_max_lifespan: u32,
    /// A refresh token works once.
    revoke_refresh_token: bool,
    refresh_token_max_reuse: u32,
}

impl Realm {
    /// Whether it has an attribute of this value.
    pub(super) fn has(&self, attribute: &str, value: &str) -> bool {
        self.attributes.get(attribute).is_some_and(|it| it == value)
    }

    /// The settings of a tenant's realm. `mark` is its [`MARK`].
    pub(super) fn wanted(wanted: &Wanted, mark: &str) -> Self {
        let tenant = wanted.tenant.to_string();
        let mut attributes =
            BTreeMap::from([(MARK.to_owned(), mark.to_owned()), (TENANT.to_owned(), tenant)]);
        if wanted.suspended {
            attributes.insert(NOT_BEFORE_KEPT.to_owned(), "0".to_owned());
        }
        Self {
            id: None,
            realm: wanted.names.keycloak_realm.clone(),
            enabled: !wanted.suspended,
            not_before: if wanted.suspended { NEVER } else { 0 },
            attributes,
            doors: Doors { ssl_required: "external".to_owned(), ..Doors::default() },
            brute_force: BruteForce {
                brute_force_protected: true,
                permanent_lockout: false,
                failure_factor: 10,
                wait_increment_seconds: 60,
                max_failure_wait_seconds: 15 * 60,
                max_delta_time_seconds: 12 * 60 * 60,
                minimum_quick_login_wait_seconds: 60,
                quick_login_check_milli_seconds: 1000,
            },
            lifetimes: Lifetimes {
                access_token_lifespan: 5 * 60,
                access_code_lifespan: 60,
                sso_session_idle_timeout: 30 * 60,
                sso_session_max_lifespan: 8 * 60 * 60,
                offline_session_idle_timeout: 14 * 24 * 60 * 60,
                offline_session_max_lifespan_enabled: true,
                offline_session_max_lifespan: 30 * 24 * 60 * 60,
                revoke_refresh_token: true,
                refresh_token_max_reuse: 0,
            },
        }
    }
}

/// A whole realm, to be made in one request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WholeRealm<'a> {
    #[serde(flatten)]
    settings: &'a Realm,
    display_name: &'a str,
    password_policy: &'static str,
    roles: Value,
    clients: Vec<Secretive<'a>>,
    users: Value,
    scope_mappings: Value,
}

impl<'a> WholeRealm<'a> {
    /// The realm with its roles and clients, and who manages it.
    pub(super) fn new(settings: &'a Realm, clients: &'a [ClientRep; 3], secret: &'a SecretText) -> Self {
        let [management, api, workload] = clients;
        let role = |name: &str| json!({ "name": name });
        Self {
            settings,
            display_name: &settings.realm,
            password_policy: "length(12) and notUsername(undefined) and notEmail(undefined)",
            roles: json!({ "realm": ROLES.map(role) }),
            clients: vec![
                Secretive { client: management, secret: Some(secret) },
                Secretive { client: api, secret: None },
                Secretive { client: workload, secret: None },
            ],
            // Named here, so that they have these roles and not every user's besides.
            users: json!([manager(), service_account(WORKLOAD, &json!({}))]),
            scope_mappings: json!([
                { "client": api.client_id, "roles": ROLES },
                { "client": workload.client_id, "roles": ROLES },
            ]),
        }
    }
}

/// The management client and its account, to be put in place of what is there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Management<'a> {
    if_resource_exists: &'static str,
    clients: [Secretive<'a>; 1],
    users: [Value; 1],
}

impl<'a> Management<'a> {
    /// With this secret. `client` is [`ClientRep::management`].
    pub(super) fn new(client: &'a ClientRep, secret: &'a SecretText) -> Self {
        Self {
            if_resource_exists: "OVERWRITE",
            clients: [Secretive { client, secret: Some(secret) }],
            users: [manager()],
        }
    }
}

/// Who manages the realm.
fn manager() -> Value {
    service_account(MANAGEMENT, &json!({ REALM_MANAGEMENT: [REALM_ADMIN] }))
}

fn service_account(client_id: &str, roles: &Value) -> Value {
    json!({
        "username": format!("service-account-{client_id}"),
        "enabled": true,
        "serviceAccountClientId": client_id,
        "clientRoles": roles,
    })
}
