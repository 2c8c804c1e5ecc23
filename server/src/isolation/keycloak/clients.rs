//! A realm's clients as they are to be, in Keycloak's own JSON (admin REST API, 26).

use std::collections::{BTreeMap, BTreeSet};

use integraci_api::SecretText;
use serde::{Deserialize, Serialize, Serializer};

/// The client as which the platform manages the realm.
pub(super) const MANAGEMENT: &str = "integraci-management";

/// The client as which what the tenant runs logs in.
pub(super) const WORKLOAD: &str = "workload";

/// What the ids of leased clients begin with.
pub(super) const LEASE: &str = "lease-";

/// The attribute of a leased client that tells when the lease is over, in seconds since 1970.
pub(super) const LEASE_ENDS: &str = "integraci.lease_ends";

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
