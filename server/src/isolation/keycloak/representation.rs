//! A tenant's realm as it is to be, in Keycloak's own JSON (admin REST API, 26).
//!
//! The same shapes are written and read back, so that what differs is found by comparing them. Only
//! what the platform answers for is in them: the rest of a realm, such as its users and its themes, is
//! the tenant's.

use std::collections::{BTreeMap, BTreeSet};

use integraci_api::SecretText;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::Wanted;

/// The roles that a tenant's people have.
pub(super) const ROLES: [&str; 4] = ["owner", "admin", "member", "viewer"];

/// The client as which the platform manages the realm.
pub(super) const MANAGEMENT: &str = "integraci-management";

/// The client as which what the tenant runs logs in.
pub(super) const WORKLOAD: &str = "workload";

/// What the ids of leased clients begin with.
pub(super) const LEASE: &str = "lease-";

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

/// The attribute of a leased client that tells when the lease is over, in seconds since 1970.
pub(super) const LEASE_ENDS: &str = "integraci.lease_ends";

/// From when the tokens of a suspended realm count: never. A moment such as "now" would depend on
/// whose clock it is, and Keycloak takes a disabled realm's tokens at its userinfo endpoint until they
/// run out.
pub(super) const NEVER: i64 = i32::MAX as i64;

/// How long a token of the management client is good for, in seconds: one verb's calls.
const MANAGEMENT_TOKEN_S: &str = "120";

/// The scopes that the realm's own clients have: `sub`, and the roles that are in their scope. A
/// client with a service account has `service_account` besides, which Keycloak adds by itself.
const SCOPES: [&str; 2] = ["basic", "roles"];
const SCOPE_SERVICE_ACCOUNT: &str = "service_account";

/// The client that is the tenant's own API, which the realm's tokens are for. It is called after the
/// realm, since an audience of the same name in every realm would say nothing.
pub(super) fn api_client(realm: &str) -> String {
    format!("{realm}-api")
}

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

/// A client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientRep {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) client_id: String,
    #[serde(default)]
    pub(super) enabled: bool,
    #[serde(default)]
    public_client: bool,
    #[serde(default)]
    bearer_only: bool,
    #[serde(default)]
    client_authenticator_type: String,
    #[serde(default)]
    standard_flow_enabled: bool,
    #[serde(default)]
    implicit_flow_enabled: bool,
    #[serde(default)]
    direct_access_grants_enabled: bool,
    #[serde(default)]
    service_accounts_enabled: bool,
    #[serde(default)]
    pub(super) full_scope_allowed: bool,
    #[serde(default)]
    redirect_uris: BTreeSet<String>,
    #[serde(default)]
    web_origins: BTreeSet<String>,
    #[serde(default)]
    pub(super) default_client_scopes: BTreeSet<String>,
    #[serde(default)]
    pub(super) optional_client_scopes: BTreeSet<String>,
    #[serde(default)]
    pub(super) protocol_mappers: Vec<Mapper>,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
}

/// What puts claims into tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mapper {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) name: String,
    protocol: String,
    pub(super) protocol_mapper: String,
    #[serde(default)]
    config: BTreeMap<String, String>,
}

/// The kind of mapper that names an audience.
pub(super) const AUDIENCE_MAPPER: &str = "oidc-audience-mapper";

impl Mapper {
    /// Names a realm's own API as what its tokens are for.
    fn audience(realm: &str) -> Self {
        let api = api_client(realm);
        let config = [
            ("included.client.audience", api.as_str()),
            ("access.token.claim", "true"),
            ("introspection.token.claim", "true"),
            ("id.token.claim", "false"),
            ("userinfo.token.claim", "false"),
        ];
        Self {
            id: None,
            name: "audience".to_owned(),
            protocol: "openid-connect".to_owned(),
            protocol_mapper: AUDIENCE_MAPPER.to_owned(),
            config: config.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        }
    }

    fn is(&self, wanted: &Self) -> bool {
        Self { id: None, ..self.clone() } == *wanted
    }
}

impl ClientRep {
    /// A confidential client that logs nobody in, sees no role that is not put into its scope, and
    /// whose tokens are for its realm's own API.
    fn confidential(realm: &str, client_id: String) -> Self {
        Self {
            id: None,
            client_id,
            enabled: true,
            public_client: false,
            bearer_only: false,
            client_authenticator_type: "client-secret".to_owned(),
            standard_flow_enabled: false,
            implicit_flow_enabled: false,
            direct_access_grants_enabled: false,
            service_accounts_enabled: false,
            full_scope_allowed: false,
            redirect_uris: BTreeSet::new(),
            web_origins: BTreeSet::new(),
            default_client_scopes: SCOPES.iter().map(|&scope| scope.to_owned()).collect(),
            optional_client_scopes: BTreeSet::new(),
            protocol_mappers: vec![Mapper::audience(realm)],
            attributes: BTreeMap::new(),
        }
    }

    fn with_service_account(mut self) -> Self {
        self.service_accounts_enabled = true;
        self.default_client_scopes.insert(SCOPE_SERVICE_ACCOUNT.to_owned());
        self
    }

    /// The tenant's own API: it asks the realm about the tokens that it is given.
    pub(super) fn api(realm: &str) -> Self {
        Self::confidential(realm, api_client(realm))
    }

    /// What the tenant runs.
    pub(super) fn workload(realm: &str) -> Self {
        Self::confidential(realm, WORKLOAD.to_owned()).with_service_account()
    }

    /// A workload's client until a moment, in seconds since 1970.
    pub(super) fn lease(realm: &str, client_id: String, ends_at: i64) -> Self {
        let mut client = Self::confidential(realm, client_id).with_service_account();
        client.attributes.insert(LEASE_ENDS.to_owned(), ends_at.to_string());
        client
    }

    /// The account as which the platform manages the realm. Its tokens name neither roles nor
    /// audiences (a "lightweight access token"): Keycloak looks them up at each call, and finds those
    /// of the account itself, the scope being full.
    pub(super) fn management(realm: &str) -> Self {
        let attributes = [
            ("client.use.lightweight.access.token.enabled", "true"),
            ("access.token.lifespan", MANAGEMENT_TOKEN_S),
        ];
        Self {
            full_scope_allowed: true,
            protocol_mappers: Vec::new(),
            attributes: attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ..Self::confidential(realm, MANAGEMENT.to_owned()).with_service_account()
        }
    }

    /// Every client that a realm is to have.
    pub(super) fn all(realm: &str) -> [Self; 3] {
        [Self::management(realm), Self::api(realm), Self::workload(realm)]
    }

    /// When the lease is over, of a client that is one.
    pub(super) fn lease_ends(&self) -> Option<i64> {
        self.attributes.get(LEASE_ENDS)?.parse().ok()
    }

    /// Whether it is set as wanted, its mappers and scopes aside.
    pub(super) fn is_set_as(&self, wanted: &Self) -> bool {
        let of_wanted = |(key, value): (&String, &String)| self.attributes.get(key) == Some(value);
        let others = Self {
            id: None,
            default_client_scopes: wanted.default_client_scopes.clone(),
            optional_client_scopes: wanted.optional_client_scopes.clone(),
            protocol_mappers: wanted.protocol_mappers.clone(),
            attributes: wanted.attributes.clone(),
            ..self.clone()
        };
        others == *wanted && wanted.attributes.iter().all(of_wanted)
    }

    /// Whether it has just the mappers that are wanted.
    pub(super) fn maps_as(&self, wanted: &Self) -> bool {
        let (here, there) = (&self.protocol_mappers, &wanted.protocol_mappers);
        here.len() == there.len() && there.iter().all(|mapper| here.iter().any(|it| it.is(mapper)))
    }
}

/// A client with its secret, to be written.
#[derive(Serialize)]
pub(super) struct Secretive<'a> {
    #[serde(flatten)]
    pub(super) client: &'a ClientRep,
    #[serde(serialize_with = "exposed", skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<&'a SecretText>,
}

fn exposed<S: Serializer>(secret: &Option<&SecretText>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.map(SecretText::expose).serialize(serializer)
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
