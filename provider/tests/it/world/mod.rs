//! A platform in memory, as far as the provider sees one. What the real server does is tested with
//! the real server; this one can be told to misbehave.

mod connectors;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::http::Method;
use axum::response::Response;
use integraci_api::attestations::{Attestation, Check, CheckKind, Envelope, Statement};
use integraci_api::connectors::Connector;
use integraci_api::credentials::Credential;
use integraci_api::isolation::{PlaceState, System, TenantIsolation};
use integraci_api::operations::{Operation, OperationKind, OperationState};
use integraci_api::quotas::{OnExceed, Quota};
use integraci_api::tenants::{Tenant, TenantNames, TenantStatus};
use integraci_api::{AttestationId, CredentialId, OperationId, Page, Problem, ProblemCode, TenantId};
use serde_json::Value as Json;
use time::OffsetDateTime;
use uuid::Uuid;

use self::connectors::oidc_trust;
use crate::fake::{Fake, Seen, json, problem, problem_of, respond};

/// Everything there is.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) tenants: BTreeMap<String, Tenant>,
    pub(crate) connectors: BTreeMap<String, Connector>,
    /// The secrets in force, by connector.
    pub(crate) secrets: BTreeMap<String, Json>,
    /// The connectors whose secret the far side has made.
    pub(crate) minted: BTreeSet<String>,
    /// The connectors whose secret was revoked when they were removed.
    pub(crate) revoked: Vec<String>,
    pub(crate) limits: BTreeMap<String, BTreeMap<String, i64>>,
    /// The newest first.
    pub(crate) attestations: Vec<Attestation>,
    /// Whether the next attestation finds that one tenant reaches another.
    pub(crate) is_open: bool,
    /// The credentials that are lent.
    pub(crate) lent: BTreeMap<String, Credential>,
    /// The state in which new operations stay.
    pub(crate) operations: Option<OperationState>,
    next: u128,
}

/// The platform; it answers until it is dropped.
pub(crate) struct World {
    pub(crate) fake: Fake,
    pub(crate) state: Arc<Mutex<State>>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::misbehaving(|_, _| None).await
    }

    /// One that answers as `instead` says, where it says anything.
    pub(crate) async fn misbehaving(
        instead: impl Fn(&Seen, &mut State) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let fake = Fake::start(move |seen| {
            let mut state = shared.lock().unwrap();
            instead(seen, &mut state).unwrap_or_else(|| state.answer(seen))
        })
        .await;
        Self { fake, state }
    }

    /// The requests since the last call, `GET`s of things and operations left out.
    pub(crate) fn changes(&self) -> Vec<String> {
        let seen = self.fake.take_seen();
        let changes = seen.iter().filter(|seen| seen.method != Method::GET).map(|seen| {
            let words = seen.path.trim_start_matches("/v1/").split('/');
            let words: Vec<_> = words
                .map(|word| if word.contains("_0") { word.split('_').next().unwrap() } else { word })
                .collect();
            format!("{} {}", seen.method, words.join("/"))
        });
        changes.collect()
    }
}

impl State {
    fn id(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(self.next)
    }

    pub(crate) fn answer(&mut self, seen: &Seen) -> Response {
        let path: Vec<_> = seen.path.trim_start_matches("/v1/").split('/').collect();
        match (seen.method.as_str(), path.as_slice()) {
            ("POST", ["tenants"]) => self.tenant_create(&seen.json()),
            ("GET", ["tenants"]) => self.tenant_list(&seen.query),
            ("GET", ["operations", id]) if self.settle(id) => {
                json(200, &operation(OperationState::Succeeded, "ten", Uuid::nil(), Uuid::nil()))
            }
            ("GET", ["operations", _]) => {
                json(200, &operation(OperationState::Running, "ten", Uuid::nil(), Uuid::nil()))
            }
            (_, ["tenants", tenant, ..]) if !self.tenants.contains_key(*tenant) => {
                problem_of(ProblemCode::NotFound)
            }
            ("GET", ["tenants", tenant]) => json(200, &self.tenants[*tenant]),
            ("PATCH", ["tenants", tenant]) => self.tenant_update(tenant, seen),
            ("DELETE", ["tenants", tenant]) => self.tenant_delete(tenant),
            ("GET", ["tenants", _, "attestations"]) => {
                let items = self.attestations.iter().take(1).cloned().collect();
                json(200, &Page { items, next_cursor: None })
            }
            ("POST", ["tenants", tenant, "attestations"]) => self.attest(tenant),
            ("POST", ["tenants", tenant, "credentials", system]) => self.lend(tenant, system),
            (_, ["tenants", _, "credentials", _, id, ..]) if !self.lent.contains_key(*id) => {
                problem_of(ProblemCode::NotFound)
            }
            ("POST", ["tenants", _, "credentials", _, id, "renewals"]) => json(200, &self.lent[*id]),
            ("DELETE", ["tenants", _, "credentials", _, id]) => {
                self.lent.remove(*id);
                respond(204, "", "")
            }
            (method, ["tenants", tenant, "quota"]) => self.quota(method, tenant, seen),
            (method, ["tenants", tenant, "connectors", rest @ ..]) => {
                self.connectors(method, tenant, rest, seen)
            }
            ("GET", ["tenants", tenant, "oidc-trust"]) => oidc_trust(tenant, &seen.query),
            _ => respond(404, "text/plain", "no such route"),
        }
    }

    fn accepted(&mut self, kind: &str, tenant: &str, target: &str) -> Response {
        let state = self.operations.unwrap_or(OperationState::Succeeded);
        let uuid = |id: &str| Uuid::try_parse(id.split_once('_').unwrap().1).unwrap();
        json(202, &operation(state, kind, uuid(tenant), uuid(target)))
    }

    fn tenant_create(&mut self, wanted: &Json) -> Response {
        let slug = wanted["slug"].as_str().unwrap();
        if let Some(other) = self.tenants.values().find(|tenant| tenant.slug.as_str() == slug) {
            return problem(
                &Problem::new(ProblemCode::SlugTaken, "taken").at("/slug").with_existing(&other.id),
            );
        }
        let id = TenantId::from_uuid(self.id());
        let tenant = Tenant {
            id,
            names: TenantNames::of(&slug.parse().unwrap()),
            slug: slug.parse().unwrap(),
            name: wanted["name"].as_str().unwrap().into(),
            plan: wanted["plan"].as_str().unwrap().into(),
            owner_email: wanted["owner_email"].as_str().unwrap().into(),
            labels: serde_json::from_value(wanted["labels"].clone()).unwrap(),
            delete_protection: wanted["delete_protection"].as_bool().unwrap(),
            suspended: false,
            payment_overdue: false,
            status: TenantStatus::Active,
            isolation: TenantIsolation::default(),
            operation_id: None,
            revision: 1,
            created_at: OffsetDateTime::UNIX_EPOCH,
            updated_at: OffsetDateTime::UNIX_EPOCH,
        };
        self.tenants.insert(id.to_string(), tenant);
        self.accepted("ten", &id.to_string(), &id.to_string())
    }

    fn tenant_list(&self, query: &str) -> Response {
        let slug = query.split('&').find_map(|part| part.strip_prefix("slug="));
        let items =
            self.tenants.values().filter(|tenant| slug.is_none_or(|slug| tenant.slug.as_str() == slug));
        json(200, &Page { items: items.cloned().collect(), next_cursor: None })
    }

    fn tenant_update(&mut self, id: &str, seen: &Seen) -> Response {
        let tenant = self.tenants.get_mut(id).unwrap();
        if seen.header("if-match").is_some_and(|etag| etag != format!("\"{}\"", tenant.revision)) {
            return problem_of(ProblemCode::PreconditionFailed);
        }
        let mut whole = serde_json::to_value(&*tenant).unwrap();
        for (name, value) in seen.json().as_object().unwrap() {
            whole[name] = value.clone();
        }
        let was_suspended = tenant.suspended;
        *tenant = serde_json::from_value(whole).unwrap();
        tenant.revision += 1;
        if tenant.suspended != was_suspended {
            tenant.isolation.openbao.place.state = PlaceState::Pending;
            tenant.operation_id = Some(OperationId::from_uuid(Uuid::from_u128(1 << 64)));
        }
        json(200, tenant)
    }

    /// Ends the operation on a tenant's places, if this is one.
    fn settle(&mut self, id: &str) -> bool {
        let of = |tenant: &&mut Tenant| tenant.operation_id.is_some_and(|own| own.to_string() == id);
        let Some(tenant) = self.tenants.values_mut().find(of) else { return false };
        tenant.operation_id = None;
        tenant.isolation.openbao.place.state =
            if tenant.suspended { PlaceState::Suspended } else { PlaceState::Ready };
        true
    }

    fn attest(&mut self, tenant: &str) -> Response {
        if self.tenants[tenant].suspended {
            return problem_of(ProblemCode::Suspended);
        }
        let id = AttestationId::from_uuid(self.id());
        let (tenant, now, passed) = (&self.tenants[tenant], OffsetDateTime::now_utc(), !self.is_open);
        let check = Check {
            system: System::Nats,
            check: "subscribe_to_another_tenant".into(),
            kind: CheckKind::Attempt,
            attempted: "subscribe".into(),
            expected: "a refusal".into(),
            observed: "as the test wants it".into(),
            passed,
            at: now,
        };
        let statement = Statement {
            id,
            tenant_id: tenant.id,
            slug: tenant.slug.clone(),
            issued_at: now,
            off: vec![System::Kubernetes],
            checks: vec![check],
            passed,
        };
        let envelope =
            Envelope { payload_type: "test".into(), payload: String::new(), signatures: Vec::new() };
        let made = Attestation { statement, envelope };
        self.attestations.insert(0, made.clone());
        json(201, &made)
    }

    fn lend(&mut self, tenant: &str, system: &str) -> Response {
        let named = |names: &[&str]| {
            names.iter().map(|name| ((*name).to_owned(), format!("of-{name}-0123456789"))).collect()
        };
        let (fields, secrets): (_, BTreeMap<String, String>) = match system {
            "kubernetes" => (named(&["host", "namespace", "ca_certificate"]), named(&["token"])),
            "nats" => {
                (named(&["url", "account", "subject_prefix", "user"]), named(&["credentials", "jwt", "seed"]))
            }
            "openbao" => {
                (named(&["address", "namespace", "role_id"]), named(&["token", "wrapped_secret_id"]))
            }
            _ => (named(&["issuer_url", "token_url", "client_id"]), named(&["client_secret"])),
        };
        let now = OffsetDateTime::now_utc();
        let credential = Credential {
            id: CredentialId::from_uuid(self.id()),
            tenant_id: tenant.parse().unwrap(),
            system: System::from_word(system).unwrap(),
            fields,
            expires_at: now + time::Duration::minutes(10),
            renewable_until: now + time::Duration::hours(1),
        };
        self.lent.insert(credential.id.to_string(), credential.clone());
        json(201, &serde_json::json!({"credential": credential, "secrets": secrets}))
    }

    fn tenant_delete(&mut self, id: &str) -> Response {
        if self.tenants[id].delete_protection {
            return problem_of(ProblemCode::DeleteProtected);
        }
        self.tenants.remove(id);
        self.accepted("ten", id, id)
    }

    fn quota(&mut self, method: &str, tenant: &str, seen: &Seen) -> Response {
        let limits = self.limits.entry(tenant.to_owned()).or_default();
        match method {
            "PUT" => *limits = serde_json::from_value(seen.json()["limits"].clone()).unwrap(),
            "DELETE" => {
                limits.clear();
                return respond(204, "", "");
            }
            _ => {}
        }
        let used = self.connectors.values().filter(|it| it.tenant_id.to_string() == tenant).count();
        let in_force = limits.get("connectors").copied().unwrap_or(3);
        json(
            200,
            &Quota {
                tenant_id: tenant.parse().unwrap(),
                limits: limits.clone(),
                effective: [("connectors".to_owned(), in_force)].into(),
                used: [("connectors".to_owned(), i64::try_from(used).unwrap())].into(),
                reserved: [("connectors".to_owned(), 0)].into(),
                on_exceed: None,
                effective_on_exceed: OnExceed::Allow,
                revision: 1,
                operation_id: None,
                updated_at: None,
            },
        )
    }
}

fn operation(state: OperationState, kind: &str, tenant: Uuid, target: Uuid) -> Operation {
    Operation {
        id: OperationId::from_uuid(target),
        kind: OperationKind::TenantCreate,
        tenant_id: TenantId::from_uuid(tenant),
        target_id: format!("{kind}_{}", target.simple()),
        state,
        steps: Vec::new(),
        error: None,
        revision: 1,
        created_at: OffsetDateTime::UNIX_EPOCH,
        finished_at: None,
    }
}
