//! What is tried against a realm's isolation: with what the tenant runs as, against the canary's realm.
//!
//! Nothing is made for it and nothing is left: the workload's own client logs in, and its token lasts
//! some minutes. That a token is refused by another realm's endpoints can be tried; that somebody
//! else's API would refuse it can not, so the token's own claims are read, and with them what the
//! clients are set to put into tokens.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{join, try_join};
use integraci_api::SecretText;
use integraci_api::attestations::{Check, CheckKind};
use serde::Deserialize;

use super::client::{By, Call, Client, Login, Token};
use super::clients::{WORKLOAD, api_client};
use super::drift::{Difference, differences};
use super::state::State;
use super::{ErrorClass, Keycloak, System, SystemError, Wanted, error};

/// How long all of it may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// One check, before it was tried.
struct Plan {
    /// Never renamed.
    name: &'static str,
    kind: CheckKind,
    attempted: &'static str,
    expected: &'static str,
}

const fn attempt(name: &'static str, attempted: &'static str, expected: &'static str) -> Plan {
    Plan { name, kind: CheckKind::Attempt, attempted, expected }
}

const fn control(name: &'static str, attempted: &'static str, expected: &'static str) -> Plan {
    Plan { name, kind: CheckKind::Control, attempted, expected }
}

const REFUSED: &str = "refused";
const ANSWERED: &str = "answered";

const ADMINISTER_CANARY: Plan =
    attempt("administer_another_realm", "list the canary's users with the tenant's token", REFUSED);
const ADMINISTER_CANARY_CONTROL: Plan =
    control("canary_administers_its_realm", "list them as the canary's own manager", ANSWERED);
const ADMINISTER_OWN: Plan =
    attempt("administer_own_realm", "list the tenant's own users with its workload's token", REFUSED);
const ADMINISTER_OWN_CONTROL: Plan =
    control("manager_administers_own_realm", "list them as the realm's manager", ANSWERED);
const ADMINISTER_MASTER: Plan =
    attempt("administer_the_master_realm", "list the users of `master` with the tenant's token", REFUSED);
const USERINFO_CANARY: Plan =
    attempt("userinfo_of_another_realm", "use the tenant's token at the canary's userinfo endpoint", REFUSED);
const USERINFO_CANARY_CONTROL: Plan = control("canary_userinfo", "use the canary's token there", ANSWERED);
const USERINFO_OWN_CONTROL: Plan =
    control("userinfo_of_own_realm", "use the tenant's token at its own userinfo endpoint", ANSWERED);
const INTROSPECT_CANARY: Plan = attempt(
    "introspection_by_another_api",
    "have the canary's API ask its realm about the tenant's token",
    "told that it is not active",
);
const INTROSPECT_CANARY_CONTROL: Plan = control(
    "canary_introspection",
    "have the canary's API ask about the canary's token",
    "told that it is active",
);
const INTROSPECT_OWN_CONTROL: Plan = control(
    "introspection_by_own_api",
    "have the tenant's API ask its realm about the tenant's token",
    "told that it is active",
);
const LOGIN_CANARY: Plan =
    attempt("login_at_another_realm", "log in to the canary's realm with the tenant's credentials", REFUSED);
const LOGIN_CANARY_CONTROL: Plan =
    control("canary_login", "log in there with the canary's credentials", "logged in");
const AUDIENCE: Plan = attempt(
    "token_is_for_own_api_alone",
    "read the issuer, the audience and the roles that the tenant's token claims",
    "its own realm, its own API and nothing else, and no rights to administer",
);
const CLIENTS: Plan = attempt(
    "clients_give_tokens_for_own_api_alone",
    "read what the realm's clients put into tokens",
    "the realm's own API as the one audience, the tenant's roles, and no other role",
);

const PLANS: [Plan; 15] = [
    ADMINISTER_CANARY,
    ADMINISTER_CANARY_CONTROL,
    ADMINISTER_OWN,
    ADMINISTER_OWN_CONTROL,
    ADMINISTER_MASTER,
    USERINFO_CANARY,
    USERINFO_CANARY_CONTROL,
    USERINFO_OWN_CONTROL,
    INTROSPECT_CANARY,
    INTROSPECT_CANARY_CONTROL,
    INTROSPECT_OWN_CONTROL,
    LOGIN_CANARY,
    LOGIN_CANARY_CONTROL,
    AUDIENCE,
    CLIENTS,
];

/// What came of a check: what was seen, and whether it is what was expected.
struct Outcome {
    observed: String,
    passed: bool,
}

/// The outcomes by the names of their checks.
type Outcomes = BTreeMap<&'static str, Outcome>;

/// One of the two tenants, with its credentials.
struct Side<'a> {
    wanted: &'a Wanted,
    manager: By,
    workload: SecretText,
    api: SecretText,
    token: Token,
}

/// What a token claims (RFC 9068).
#[derive(Deserialize)]
struct Claims {
    iss: String,
    #[serde(default)]
    aud: Audience,
    #[serde(default)]
    resource_access: BTreeMap<String, serde::de::IgnoredAny>,
}

/// One audience, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Audience {
    fn is_just(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Several(several) => several.iter().map(String::as_str).eq([name]),
        }
    }
}

impl Difference {
    /// Whether it lets more be done with the tenant's tokens than should be.
    const fn loosens(&self) -> bool {
        match self {
            Self::ClientSettings { .. }
            | Self::ScopeExtra { .. }
            | Self::ScopeAudience { .. }
            | Self::RoleInScope { .. }
            | Self::ClientRoleInScope { .. }
            | Self::WorkloadAdministers { .. } => true,
            Self::Realm(_)
            | Self::Role(_)
            | Self::Client(_)
            | Self::ScopeMissing { .. }
            | Self::RoleNotInScope { .. }
            | Self::LeaseOver { .. } => false,
        }
    }
}

impl Keycloak {
    pub(super) async fn isolation_attest(&self, own: &Wanted, canary: &Wanted) -> Vec<Check> {
        // Boxed: every call that is made side by side has room in it.
        let tried = Box::pin(self.isolation_try(own, canary));
        let (mut outcomes, otherwise) = match tokio::time::timeout(DEADLINE, tried).await {
            Ok(Ok(outcomes)) => (outcomes, "it was not tried".to_owned()),
            Ok(Err(failed)) => (Outcomes::new(), failed.to_string()),
            Err(_) => (Outcomes::new(), "it was not tried in time".to_owned()),
        };
        let check = |plan: Plan| {
            let untried = || Outcome { observed: otherwise.clone(), passed: false };
            let Outcome { observed, passed } = outcomes.remove(plan.name).unwrap_or_else(untried);
            Check {
                system: System::Keycloak,
                check: plan.name.to_owned(),
                kind: plan.kind,
                attempted: plan.attempted.to_owned(),
                expected: plan.expected.to_owned(),
                observed,
                passed,
                at: self.source.now(),
            }
        };
        PLANS.into_iter().map(check).collect()
    }

    async fn isolation_try(&self, own: &Wanted, canary: &Wanted) -> Result<Outcomes, SystemError> {
        let (own, canary) = try_join!(self.side(own), self.side(canary))?;
        let (tenant, bird) = (By::Bearer(own.token.clone()), By::Bearer(canary.token.clone()));
        let (own_users, canary_users) = (own.users(), canary.users());
        let (own_info, canary_info) = (own.endpoint("userinfo"), canary.endpoint("userinfo"));
        let administered = async {
            join!(
                self.knock(ADMINISTER_CANARY, &canary_users, &tenant),
                self.knock(ADMINISTER_CANARY_CONTROL, &canary_users, &canary.manager),
                self.knock(ADMINISTER_OWN, &own_users, &tenant),
                self.knock(ADMINISTER_OWN_CONTROL, &own_users, &own.manager),
                self.knock(ADMINISTER_MASTER, "/admin/realms/master/users?max=1", &tenant),
            )
        };
        let informed = async {
            join!(
                self.knock(USERINFO_CANARY, &canary_info, &tenant),
                self.knock(USERINFO_CANARY_CONTROL, &canary_info, &bird),
                self.knock(USERINFO_OWN_CONTROL, &own_info, &tenant),
            )
        };
        let introspected = async {
            join!(
                self.introspect(INTROSPECT_CANARY, &canary, &own.token),
                self.introspect(INTROSPECT_CANARY_CONTROL, &canary, &canary.token),
                self.introspect(INTROSPECT_OWN_CONTROL, &own, &own.token),
            )
        };
        let others = async {
            join!(
                self.log_in(LOGIN_CANARY, &canary, &own.workload),
                self.log_in(LOGIN_CANARY_CONTROL, &canary, &canary.workload),
                self.claims(&own),
                self.clients(&own),
            )
        };
        let (a, b, c, d) = join!(administered, informed, introspected, others);
        let all = [a.0, a.1, a.2, a.3, a.4, b.0, b.1, b.2, c.0, c.1, c.2, d.0, d.1, d.2, d.3];
        Ok(Outcomes::from(all))
    }

    /// Logs a tenant's workload in.
    async fn side<'a>(&self, wanted: &'a Wanted) -> Result<Side<'a>, SystemError> {
        const OPERATION: &str = "workload_login";
        let realm = &wanted.names.keycloak_realm;
        let manager = self.manager(OPERATION, wanted).await?;
        let api = api_client(realm);
        let (workload, api) = try_join!(
            self.client.secret_of(&manager, realm, WORKLOAD),
            self.client.secret_of(&manager, realm, &api),
        )?;
        // Userinfo answers tokens of this scope alone.
        let scope = [("scope", "openid")];
        match self.client.login(OPERATION, realm, WORKLOAD, &workload, &scope).await? {
            Login::Token(given) => Ok(Side { wanted, manager, workload, api, token: given.token }),
            Login::Closed => Err(error(OPERATION, ErrorClass::Refused, "the realm is closed")),
            Login::NoRealm | Login::Rejected => {
                Err(error(OPERATION, ErrorClass::Refused, "the realm does not take its own workload"))
            }
        }
    }

    /// Reads at an address: refused or answered.
    async fn knock(&self, plan: Plan, path: &str, by: &By) -> (&'static str, Outcome) {
        let outcome = match self.client.send(Call::get(plan.name, path, by)).await {
            Ok(answer) => {
                let status = answer.status.as_u16();
                let (word, is_let_in) = match status {
                    200..=299 => (ANSWERED, true),
                    401 | 403 => (REFUSED, false),
                    _ => return (plan.name, neither(status)),
                };
                let passed = is_let_in == matches!(plan.kind, CheckKind::Control);
                Outcome { observed: format!("{word} (status {status})"), passed }
            }
            Err(failed) => untried(&failed),
        };
        (plan.name, outcome)
    }

    /// Has a tenant's API ask its realm about a token.
    async fn introspect(&self, plan: Plan, side: &Side<'_>, token: &Token) -> (&'static str, Outcome) {
        #[derive(Deserialize)]
        struct Introspected {
            active: bool,
        }
        let id = api_client(&side.wanted.names.keycloak_realm);
        let form = [("client_id", &*id), ("client_secret", side.api.expose()), ("token", token.text())];
        let path = side.endpoint("token/introspect");
        let call = Call::post(plan.name, &path, &By::Nobody).form(&form);
        let outcome = match self.client.parsed(call).await {
            Ok(Introspected { active }) => Outcome {
                observed: format!("told that it is {}active", if active { "" } else { "not " }),
                passed: active == matches!(plan.kind, CheckKind::Control),
            },
            Err(failed) => untried(&failed),
        };
        (plan.name, outcome)
    }

    /// Logs in to a tenant's realm as its workload, with this secret.
    async fn log_in(&self, plan: Plan, side: &Side<'_>, secret: &SecretText) -> (&'static str, Outcome) {
        let realm = &side.wanted.names.keycloak_realm;
        let wants_in = matches!(plan.kind, CheckKind::Control);
        let outcome = match self.client.login(plan.name, realm, WORKLOAD, secret, &[]).await {
            Ok(Login::Token(_)) => Outcome { observed: "logged in".to_owned(), passed: wants_in },
            Ok(Login::Rejected) => Outcome { observed: REFUSED.to_owned(), passed: !wants_in },
            Ok(Login::Closed | Login::NoRealm) => {
                Outcome { observed: "there is no such realm, or it is closed".to_owned(), passed: false }
            }
            Err(failed) => untried(&failed),
        };
        (plan.name, outcome)
    }

    async fn claims(&self, own: &Side<'_>) -> (&'static str, Outcome) {
        let realm = &own.wanted.names.keycloak_realm;
        let outcome = match (self.client.issuer_base().await, own.token.claims::<Claims>()) {
            (Ok(base), Some(claims)) => {
                let faults = [
                    (claims.iss != format!("{base}/realms/{realm}"), "another issuer than its own realm"),
                    (!claims.aud.is_just(&api_client(realm)), "another audience than its own API alone"),
                    (!claims.resource_access.is_empty(), "roles of other clients"),
                ];
                seen(faults.into_iter().filter(|(is_so, _)| *is_so).map(|(_, words)| words))
            }
            (Err(failed), _) => untried(&failed),
            (_, None) => Outcome { observed: "the token has no claims".to_owned(), passed: false },
        };
        (AUDIENCE.name, outcome)
    }

    async fn clients(&self, own: &Side<'_>) -> (&'static str, Outcome) {
        let outcome = match State::read(&self.client, &own.manager, &own.wanted.names.keycloak_realm).await {
            Ok(Some(state)) => {
                let found = differences(&state, own.wanted, "", self.source.now());
                seen(found.iter().filter(|it| it.loosens()).map(|it| it.words().0))
            }
            Ok(None) => Outcome { observed: "there is no such realm".to_owned(), passed: false },
            Err(failed) => untried(&failed),
        };
        (CLIENTS.name, outcome)
    }
}

impl Side<'_> {
    fn endpoint(&self, name: &str) -> String {
        Client::oidc(&self.wanted.names.keycloak_realm, name)
    }

    fn users(&self) -> String {
        format!("/admin/realms/{}/users?max=1", self.wanted.names.keycloak_realm)
    }
}

/// What was read: nothing amiss, or this.
fn seen<'a>(faults: impl Iterator<Item = &'a str>) -> Outcome {
    let mut faults: Vec<_> = faults.collect();
    faults.dedup();
    let passed = faults.is_empty();
    Outcome { observed: if passed { "as expected".to_owned() } else { faults.join(", ") }, passed }
}

fn neither(status: u16) -> Outcome {
    Outcome { observed: format!("neither refused nor answered (status {status})"), passed: false }
}

fn untried(failed: &SystemError) -> Outcome {
    Outcome { observed: format!("it could not be tried: {failed}"), passed: false }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let names: BTreeSet<_> = PLANS.iter().map(|plan| plan.name).collect();
        assert_eq!(names.len(), PLANS.len());
    }

    #[test]
    fn an_audience_is_one_alone() {
        let is_just = |json: &str| serde_json::from_str::<Audience>(json).is_ok_and(|it| it.is_just("a"));
        assert!(is_just(r#""a""#) && is_just(r#"["a"]"#));
        assert!(!is_just(r#""b""#) && !is_just(r#"["a","b"]"#) && !is_just("[]"));
        assert!(!Audience::default().is_just("a"));
    }
}
