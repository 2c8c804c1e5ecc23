//! Keycloak: the admin API of another tenant's realm, and the endpoints at which its clients and users
//! log in and are asked after, with a tenant's clients and their tokens.
//!
//! What Keycloak tells everybody is told here as well: that there is no realm of a name, for a realm's
//! discovery document is public. So an answer at a realm that never was may differ from that at another
//! tenant's if it is word for word what nobody at all is told, and if the other tenant's realm, with all
//! that is in it, cannot be told from an empty one.

use acceptance_tests::World;
use acceptance_tests::runtime::block_on;
use anyhow::{Context as _, Result};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::cast::{Issued, Logins};
use crate::http::{Ask, Http, Reply};
use crate::score::{Score, Seen};
use crate::target::Target;

/// What every object is called that is attacked.
const OBJECT: &str = "attacked";

/// What is read of a realm; `USER` and the like are the ids of what the victim has.
const READ: &[&str] = &[
    "",
    "/users",
    "/users/count",
    "/users/USER",
    "/users/USER/credentials",
    "/users/USER/groups",
    "/users/USER/role-mappings",
    "/users/USER/sessions",
    "/users/profile",
    "/clients",
    "/clients/CLIENT",
    "/clients/CLIENT/client-secret",
    "/clients/CLIENT/service-account-user",
    "/clients/CLIENT/roles",
    "/client-scopes",
    "/roles",
    "/roles/attacked",
    "/roles/attacked/users",
    "/roles-by-id/ROLE",
    "/groups",
    "/groups/count",
    "/groups/GROUP",
    "/groups/GROUP/members",
    "/components",
    "/keys",
    "/events",
    "/events/config",
    "/admin-events",
    "/authentication/flows",
    "/authentication/required-actions",
    "/identity-provider/instances",
    "/client-session-stats",
    "/client-policies/policies",
    "/client-policies/profiles",
    "/clients-initial-access",
    "/credential-registrators",
    "/default-groups",
    "/default-default-client-scopes",
    "/default-optional-client-scopes",
    "/localization",
    "/attack-detection/brute-force/users/USER",
];
/// What is added to a realm, or done to all of it, with a body that does.
const ADDED: &[(&str, &str)] = &[
    ("/users", r#"{ "username": "added" }"#),
    ("/clients", r#"{ "clientId": "added" }"#),
    ("/client-scopes", r#"{ "name": "added", "protocol": "openid-connect" }"#),
    ("/roles", r#"{ "name": "added" }"#),
    ("/groups", r#"{ "name": "added" }"#),
    ("/groups/GROUP/children", r#"{ "name": "added" }"#),
    ("/clients-initial-access", r#"{ "count": 1, "expiration": 60 }"#),
    ("/clients/CLIENT/roles", r#"{ "name": "added" }"#),
    ("/clients/CLIENT/client-secret", "{}"),
    ("/users/USER/logout", "{}"),
    ("/logout-all", "{}"),
    ("/push-revocation", "{}"),
    ("/partial-export", "{}"),
    ("/partialImport", r#"{ "ifResourceExists": "SKIP", "users": [] }"#),
];
/// What is changed.
const CHANGED: &[(&str, &str)] = &[
    ("", r#"{ "displayName": "changed" }"#),
    ("/users/USER", r#"{ "firstName": "Changed" }"#),
    (
        "/users/USER/reset-password",
        r#"{ "type": "password", "value": "changed-1Q-enough", "temporary": false }"#,
    ),
    ("/clients/CLIENT", r#"{ "clientId": "attacked", "name": "changed" }"#),
    ("/roles/attacked", r#"{ "name": "attacked", "description": "changed" }"#),
    ("/groups/GROUP", r#"{ "name": "attacked" }"#),
    ("/users/USER/groups/GROUP", "{}"),
];
/// What is removed; the empty path is the realm itself.
const REMOVED: &[&str] =
    &["/users/USER", "/groups/GROUP", "/roles/attacked", "/clients/CLIENT", "/admin-events", "/events", ""];

/// A request of the admin API.
struct Operation {
    method: &'static str,
    path: &'static str,
    body: Option<&'static str>,
}

/// What the victim has in its realm, by the words that stand for it.
type Objects = Vec<(&'static str, String)>;

/// One Keycloak, and its administrator's token.
struct Keycloak {
    http: Http,
    admin: String,
}

/// Makes every attempt, and does the same as the owner.
pub(crate) fn attack(world: &World, logins: &Logins, victim: &Target) -> Result<Score> {
    block_on(async {
        let keycloak = Keycloak::new(world).await?;
        let (empty, nobody) = (victim.nobody(), victim.nobody());
        let realm = json!({ "realm": empty.place(), "enabled": true });
        keycloak.as_admin("POST", "/admin/realms", Some(realm)).await?.expect("making an empty realm")?;
        let objects = keycloak.objects_made(&victim.place()).await?;
        let mut score = Score::default();
        let outcome = async {
            keycloak.endpoints(&mut score, logins, victim, &nobody, &empty).await?;
            for operation in operations() {
                keycloak
                    .attempts(&mut score, &operation, &objects, logins, [victim, &nobody, &empty])
                    .await?;
            }
            keycloak.of_all_realms(&mut score, logins, victim, &nobody).await
        };
        let outcome = outcome.await;
        keycloak.as_admin("DELETE", &format!("/admin/realms/{}", empty.place()), None).await?;
        outcome?;
        // Only now: each of them changes what is attacked. The realm itself goes with the tenant, whose
        // removal is a control of the API's.
        for operation in operations().iter().filter(|it| (it.method, it.path) != ("DELETE", "")) {
            let path = operation.path(&victim.place(), &objects);
            let reply = keycloak.as_admin(operation.method, &path, operation.body()?).await?;
            reply.expect(&format!("the owner cannot {} {path}", operation.method))?;
            score.control();
        }
        Ok(score)
    })
}

fn operations() -> Vec<Operation> {
    let read = READ.iter().map(|path| Operation { method: "GET", path, body: None });
    let added = ADDED.iter().map(|(path, body)| Operation { method: "POST", path, body: Some(*body) });
    let changed = CHANGED.iter().map(|(path, body)| Operation { method: "PUT", path, body: Some(*body) });
    let removed = REMOVED.iter().map(|path| Operation { method: "DELETE", path, body: None });
    read.chain(added).chain(changed).chain(removed).collect()
}

impl Operation {
    fn path(&self, realm: &str, objects: &Objects) -> String {
        let path = format!("/admin/realms/{realm}{}", self.path);
        objects.iter().fold(path, |path, (word, id)| path.replace(word, id))
    }

    fn body(&self) -> Result<Option<Value>> {
        Ok(self.body.map(serde_json::from_str).transpose()?)
    }
}

impl Keycloak {
    async fn new(world: &World) -> Result<Self> {
        let keycloak = world.platform().keycloak()?;
        let http = Http::new(&keycloak.url, None)?;
        let secret = keycloak.client_secret.expose_secret();
        let admin = token(&http, "master", &keycloak.client_id, secret).await?.expect("the administrator")?;
        let admin = admin.body["access_token"].as_str().context("a token")?.to_owned();
        Ok(Self { http, admin })
    }

    async fn as_admin(&self, method: &str, path: &str, body: Option<Value>) -> Result<Reply> {
        self.http.ask(&Ask { body, ..Ask::new(method, path).bearer(Some(&self.admin)) }).await
    }

    /// Makes something of each kind in the victim's realm.
    async fn objects_made(&self, realm: &str) -> Result<Objects> {
        let mut objects = Objects::new();
        for (word, kind, name, found) in [
            ("USER", "users", json!({ "username": OBJECT, "enabled": true }), "users?username=attacked"),
            (
                "CLIENT",
                "clients",
                json!({ "clientId": OBJECT, "serviceAccountsEnabled": true }),
                "clients?clientId=attacked",
            ),
            ("ROLE", "roles", json!({ "name": OBJECT }), "roles?search=attacked"),
            ("GROUP", "groups", json!({ "name": OBJECT }), "groups?search=attacked"),
        ] {
            let realm = format!("/admin/realms/{realm}");
            self.as_admin("POST", &format!("{realm}/{kind}"), Some(name))
                .await?
                .expect("making an object")?;
            let found =
                self.as_admin("GET", &format!("{realm}/{found}"), None).await?.expect("finding it")?;
            objects.push((word, found.body[0]["id"].as_str().context("an object has an id")?.to_owned()));
        }
        Ok(objects)
    }

    async fn attempts(
        &self,
        score: &mut Score,
        operation: &Operation,
        objects: &Objects,
        logins: &Logins,
        [victim, nobody, empty]: [&Target; 3],
    ) -> Result<()> {
        for (name, token) in tokens(logins)? {
            let what = format!("Keycloak, {} REALM{}, with {name}", operation.method, operation.path);
            let ask = async |token: Option<&str>, at: &Target| -> Result<Seen> {
                let path = operation.path(&at.place(), objects);
                let ask = Ask { body: operation.body()?, ..Ask::new(operation.method, &path).bearer(token) };
                Ok(seen(&self.http.ask(&ask).await?, at))
            };
            let there = ask(token, victim).await.with_context(|| what.clone())?;
            let nowhere = ask(token, nobody).await?;
            if there == nowhere {
                score.attempt(&what, &there, &nowhere);
                continue;
            }
            score.public(&what, &nowhere, &ask(None, nobody).await?);
            score.attempt(&what, &there, &ask(token, empty).await?);
        }
        Ok(())
    }

    /// The endpoints of a realm that are not its administration.
    async fn endpoints(
        &self,
        score: &mut Score,
        logins: &Logins,
        victim: &Target,
        nobody: &Target,
        empty: &Target,
    ) -> Result<()> {
        let stranger = &logins.live;
        for (name, login) in [
            ("another tenant's client", Some(stranger)),
            ("a revoked client", Some(&logins.revoked)),
            ("a suspended tenant's client", Some(&logins.suspended)),
            ("no client", None),
        ] {
            for (what, path, rest) in ENDPOINTS {
                let what = format!("Keycloak, {what} at another realm, as {name}");
                let ask = async |login: Option<&Issued>, at: &Target| -> Result<Seen> {
                    let path = format!("/realms/{}{path}", at.place());
                    let reply = self.http.ask(&endpoint(&path, rest, login, stranger)?).await?;
                    Ok(seen(&reply, at))
                };
                let there = ask(login, victim).await.with_context(|| what.clone())?;
                let nowhere = ask(login, nobody).await?;
                if there == nowhere {
                    score.attempt(&what, &there, &nowhere);
                    continue;
                }
                score.public(&what, &nowhere, &ask(None, nobody).await?);
                score.attempt(&what, &there, &ask(login, empty).await?);
            }
        }
        for (what, path, rest) in ENDPOINTS {
            let owner = &logins.owner;
            let path = format!("/realms/{}{path}", victim.place());
            let reply = self.http.ask(&endpoint(&path, rest, Some(owner), owner)?).await?;
            reply.expect(&format!("the owner's {what}"))?;
            score.control();
        }
        // The attacker's own realm is asked after a token of the victim's, and after one that never was.
        let own = Issued::place(stranger)?;
        let after = async |token: &str| -> Result<Seen> {
            let path = format!("/realms/{own}/protocol/openid-connect/token/introspect");
            let form = format!("{}&token={token}", client(stranger)?);
            Ok(seen(&self.http.ask(&Ask::new("POST", &path).body(json!(form))).await?, victim))
        };
        let (there, nowhere) = (after(logins.owner.secret("access_token")?).await?, after("a.b.c").await?);
        score.attempt("Keycloak, introspection of another's token at one's own realm", &there, &nowhere);
        Ok(())
    }

    /// The realm `master`, and the list of all realms.
    async fn of_all_realms(
        &self,
        score: &mut Score,
        logins: &Logins,
        victim: &Target,
        nobody: &Target,
    ) -> Result<()> {
        for (name, token) in tokens(logins)? {
            for (method, path) in [
                ("GET", "/admin/realms"),
                ("POST", "/admin/realms"),
                ("GET", "/admin/realms/master"),
                ("GET", "/admin/realms/master/clients?clientId=REALM-realm"),
                ("GET", "/admin/realms/master/users"),
                ("GET", "/admin/realms/master/roles"),
                ("GET", "/admin/serverinfo"),
                ("GET", "/realms/master/protocol/openid-connect/userinfo"),
            ] {
                let what = format!("Keycloak, {method} {path}, with {name}");
                let ask = async |token: Option<&str>, at: &Target| -> Result<Reply> {
                    let ask = Ask::new(method, &path.replace("REALM", &at.place())).bearer(token);
                    let body = (method == "POST").then(|| json!({ "realm": at.place(), "enabled": true }));
                    self.http.ask(&Ask { body, ..ask }).await
                };
                let there = seen(&ask(token, victim).await?, victim);
                score.attempt(&what, &there, &seen(&ask(token, nobody).await?, nobody));
                if method == "GET" && !path.ends_with("userinfo") && token.is_none() {
                    ask(Some(&self.admin), victim).await?.expect("the administrator's")?;
                    score.control();
                }
            }
        }
        Ok(())
    }
}

/// What a client does at a realm's endpoints: what it is, where, and the rest of the form.
const ENDPOINTS: &[(&str, &str, &str)] = &[
    ("login", "/protocol/openid-connect/token", "grant_type=client_credentials"),
    ("introspection", "/protocol/openid-connect/token/introspect", "token=TOKEN"),
    ("revocation", "/protocol/openid-connect/revoke", "token=never"),
];

fn endpoint(path: &str, rest: &str, login: Option<&Issued>, subject: &Issued) -> Result<Ask> {
    if rest.is_empty() {
        let token = login.map(|login| login.secret("access_token")).transpose()?;
        return Ok(Ask::new("GET", path).bearer(token));
    }
    let rest = rest.replace("TOKEN", subject.secret("access_token")?);
    let form = match login {
        Some(login) => format!("{}&{rest}", client(login)?),
        None => rest,
    };
    Ok(Ask::new("POST", path).body(json!(form)))
}

/// A client's part of a form.
fn client(login: &Issued) -> Result<String> {
    Ok(format!("client_id={}&client_secret={}", login.field("client_id")?, login.secret("client_secret")?))
}

/// Asks for a token as a client of a realm.
pub(crate) async fn token(http: &Http, realm: &str, id: &str, secret: &str) -> Result<Reply> {
    let path = format!("/realms/{realm}/protocol/openid-connect/token");
    let form = format!("grant_type=client_credentials&scope=openid&client_id={id}&client_secret={secret}");
    http.ask(&Ask::new("POST", &path).body(json!(form))).await
}

fn tokens(logins: &Logins) -> Result<Vec<(&'static str, Option<&str>)>> {
    Ok(vec![
        ("another tenant's token", Some(logins.live.secret("access_token")?)),
        ("a revoked client's token", Some(logins.revoked.secret("access_token")?)),
        ("a suspended tenant's token", Some(logins.suspended.secret("access_token")?)),
        ("nonsense", Some("let.me.in")),
        ("nothing", None),
    ])
}

/// That a token is not active is all that a stranger is to learn of it.
fn seen(reply: &Reply, at: &Target) -> Seen {
    let says_nothing = reply.body == json!({ "active": false });
    Seen { is_granted: reply.is_success() && !says_nothing, answer: reply.comparable(at) }
}
