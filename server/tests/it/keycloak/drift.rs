//! What somebody changes in a realm by hand is told, and mended.

use super::*;

/// A way to spoil a realm, and what is then said of it.
type Spoiling = (&'static str, &'static [&'static str]);

const SPOILINGS: &[Spoiling] = &[
    ("lifetimes", &["the lifetimes of tokens and sessions differ"]),
    ("brute force", &["the realm's brute-force protection differs"]),
    ("registration", &["the realm's login settings differ"]),
    ("closed", &["the realm is closed though the tenant is not suspended"]),
    ("mark", &["the realm's mark is missing"]),
    ("role", &["a role is missing"]),
    ("workload gone", &["a client is missing"]),
    ("full scope", &["a client's settings differ"]),
    ("redirect", &["a client's settings differ"]),
    ("audience", &["a client's audience differs"]),
    ("no audience", &["a client's audience differs"]),
    ("scope", &["a client has a scope that it should not have"]),
    ("scope's audience", &["a scope widens the audience of tokens"]),
    ("roles in scope", &["a client's tokens tell of roles that they should not tell of"]),
    ("administering", &["the workload may administer the realm"]),
    ("management's secret", &["the platform's client cannot log in"]),
    ("management gone", &["the platform's client cannot log in", "a client is missing"]),
];

impl Realms {
    async fn done(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.admin(method, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    async fn id_of(&self, realm: &str, client: &str) -> String {
        self.client(realm, client).await["id"].as_str().unwrap().to_owned()
    }

    async fn scope_id(&self, realm: &str, scope: &str) -> String {
        let scopes = self.done(Method::GET, &format!("/{realm}/client-scopes"), Value::Null).await;
        let found = scopes.as_array().unwrap().iter().find(|it| it["name"] == scope).unwrap();
        found["id"].as_str().unwrap().to_owned()
    }

    /// Makes the workload's tokens good for another's API, too.
    pub(super) async fn audience_loosen(&self, realm: &str, client: &str) {
        let id = self.id_of(realm, client).await;
        let path = format!("/{realm}/clients/{id}/protocol-mappers/models");
        self.done(Method::POST, &path, audience("another-api")).await;
    }

    /// Makes the workload an administrator of its realm.
    pub(super) async fn workload_promote(&self, realm: &str) {
        let (id, owner) = (self.id_of(realm, "workload").await, self.id_of(realm, "realm-management").await);
        let user =
            self.done(Method::GET, &format!("/{realm}/clients/{id}/service-account-user"), Value::Null).await;
        let role =
            self.done(Method::GET, &format!("/{realm}/clients/{owner}/roles/realm-admin"), Value::Null).await;
        let user = user["id"].as_str().unwrap();
        let path = format!("/{realm}/users/{user}/role-mappings/clients/{owner}");
        self.done(Method::POST, &path, json!([role])).await;
    }

    async fn spoil(&self, realm: &str, how: &str) {
        let root = format!("/{realm}");
        let client = async |name| format!("/{realm}/clients/{}", self.id_of(realm, name).await);
        let (method, path, body) = match how {
            "lifetimes" => (Method::PUT, root, json!({ "accessTokenLifespan": 86400 })),
            "brute force" => (Method::PUT, root, json!({ "bruteForceProtected": false })),
            "registration" => (Method::PUT, root, json!({ "registrationAllowed": true })),
            "closed" => (Method::PUT, root, json!({ "enabled": false })),
            "mark" => (Method::PUT, root, json!({ "attributes": { "theirs": "stays" } })),
            "role" => (Method::DELETE, format!("{root}/roles/member"), Value::Null),
            "workload gone" => (Method::DELETE, client("workload").await, Value::Null),
            "management gone" => (Method::DELETE, client("integraci-management").await, Value::Null),
            "management's secret" => {
                (Method::POST, client("integraci-management").await + "/client-secret", Value::Null)
            }
            "full scope" => (Method::PUT, client("workload").await, json!({ "fullScopeAllowed": true })),
            "redirect" => {
                let open = json!({ "standardFlowEnabled": true, "redirectUris": ["https://elsewhere/*"] });
                (Method::PUT, client("workload").await, open)
            }
            "no audience" => (Method::PUT, client("workload").await, json!({ "protocolMappers": [] })),
            "audience" => return self.audience_loosen(realm, "workload").await,
            "administering" => return self.workload_promote(realm).await,
            "scope" => {
                let scope = self.scope_id(realm, "email").await;
                (Method::PUT, client("workload").await + "/default-client-scopes/" + &scope, Value::Null)
            }
            "scope's audience" => {
                let scope = self.scope_id(realm, "roles").await;
                let path = format!("{root}/client-scopes/{scope}/protocol-mappers/models");
                (Method::POST, path, audience("another-api"))
            }
            "roles in scope" => {
                let role = self.done(Method::GET, &format!("{root}/roles/offline_access"), Value::Null).await;
                (Method::POST, client("workload").await + "/scope-mappings/realm", json!([role]))
            }
            other => panic!("{other}"),
        };
        self.done(method, &path, body).await;
    }
}

fn audience(name: &str) -> Value {
    json!({
        "name": "another",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": { "included.custom.audience": name, "access.token.claim": "true" },
    })
}

#[tokio::test]
async fn what_was_changed_by_hand_is_told_and_mended() {
    let (realms, tenant) = (Realms::new().await, tenant("drift"));
    let (system, name) = (realms.system().await, &tenant.keycloak_realm);
    let wanted = wanted(&tenant);
    ensured(&system, &wanted).await;
    for (how, words) in SPOILINGS {
        realms.spoil(name, how).await;
        let found: Vec<_> = system.drift(&wanted).await.unwrap().iter().map(|it| it.0).collect();
        assert_eq!(found, *words, "{how}");
        ensured(&system, &wanted).await;
        assert_eq!(system.drift(&wanted).await.unwrap(), [], "{how}");
    }
    assert_eq!(realms.realm(name).await["attributes"]["theirs"], "stays");
    let token = claims(&realms.workload_token(name).await);
    assert_eq!(token["aud"], format!("{name}-api"));
    removed(&system, &tenant).await;
}

#[tokio::test]
async fn a_mended_client_keeps_its_secret() {
    let (realms, tenant) = (Realms::new().await, tenant("secret"));
    let (system, name) = (realms.system().await, &tenant.keycloak_realm);
    let wanted = wanted(&tenant);
    ensured(&system, &wanted).await;
    let before = realms.client(name, "workload").await["secret"].clone();
    realms.spoil(name, "full scope").await;
    ensured(&system, &wanted).await;
    assert_eq!(realms.client(name, "workload").await["secret"], before);
    removed(&system, &tenant).await;
}

#[tokio::test]
async fn when_a_tokens_validity_was_moved_it_is_so_again_after_a_suspension() {
    let (realms, tenant) = (Realms::new().await, tenant("moved"));
    let (system, name) = (realms.system().await, &tenant.keycloak_realm);
    let open = wanted(&tenant);
    ensured(&system, &open).await;
    realms.done(Method::PUT, &format!("/{name}"), json!({ "notBefore": 1_700_000_000 })).await;
    assert_eq!(system.drift(&open).await.unwrap(), []);
    for _ in 0..2 {
        ensured(&system, &Wanted { suspended: true, ..open.clone() }).await;
    }
    ensured(&system, &open).await;
    assert_eq!(realms.realm(name).await["notBefore"], 1_700_000_000);
    removed(&system, &tenant).await;
}

#[tokio::test]
async fn a_realm_whose_key_is_lost_gets_another() {
    let (realms, tenant) = (Realms::new().await, tenant("keyless"));
    let system = realms.system().await;
    let wanted = wanted(&tenant);
    ensured(&system, &wanted).await;
    realms.keys().remove(System::Keycloak, &tenant).await.unwrap();
    assert_eq!(system.drift(&wanted).await.unwrap(), [Drift("the key to the realm is missing")]);
    let left: Vec<_> = system.remains(&wanted).await.unwrap().iter().map(|it| it.class).collect();
    assert_eq!(left, ["realm"]);
    ensured(&system, &wanted).await;
    assert_eq!(system.drift(&wanted).await.unwrap(), []);
    realms.keys().remove(System::Keycloak, &tenant).await.unwrap();
    removed(&system, &tenant).await;
    assert_eq!(system.remains(&wanted).await.unwrap(), []);
}
