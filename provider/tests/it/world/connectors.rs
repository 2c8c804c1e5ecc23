//! The connectors of the platform in memory.

use axum::response::Response;
use integraci_api::catalogue::{Field, FieldValues};
use integraci_api::connectors::{Connector, ConnectorStatus, VerificationStatus, VerifyMode};
use integraci_api::oidc::OidcTrust;
use integraci_api::{ConnectorId, FieldProblem, Page, Problem, ProblemCode, catalogue};
use serde_json::{Value as Json, json as value};
use time::OffsetDateTime;

use super::State;
use crate::fake::{Seen, json, problem, problem_of};

impl State {
    pub(super) fn connectors(&mut self, method: &str, tenant: &str, rest: &[&str], seen: &Seen) -> Response {
        match (method, rest) {
            ("POST", []) => self.connector_create(tenant, &seen.json()),
            ("GET", []) => self.connector_list(tenant, &seen.query),
            (_, [id, ..]) if !self.connectors.contains_key(*id) => problem_of(ProblemCode::NotFound),
            ("GET", [id]) => json(200, &self.connectors[*id]),
            ("PATCH", [id]) => self.connector_update(id, seen),
            ("DELETE", [id]) => {
                if seen.query == "old_secret=revoke" {
                    self.revoked.push((*id).to_owned());
                }
                self.connectors.remove(*id);
                self.accepted("con", tenant, id)
            }
            ("POST", [id, "secret-comparisons"]) => {
                let is_other = self.secrets.get(*id) != Some(&seen.json()["secrets"]);
                let differs = is_other && !self.minted.contains(*id);
                json(200, &value!({"differs": differs, "secret_version": 1}))
            }
            _ => problem_of(ProblemCode::NotFound),
        }
    }

    /// The only connector.
    pub(crate) fn connector(&mut self) -> &mut Connector {
        assert_eq!(self.connectors.len(), 1);
        self.connectors.values_mut().next().unwrap()
    }

    /// The far side has made the only connector a new secret.
    pub(crate) fn mint(&mut self) {
        self.connector().secret_version += 1;
        self.connector().revision += 2;
        let id = self.connector().id.to_string();
        self.minted.insert(id);
    }

    fn connector_create(&mut self, tenant: &str, wanted: &Json) -> Response {
        let id = ConnectorId::from_uuid(self.id());
        let kind = catalogue::kind(wanted["kind"].as_str().unwrap()).unwrap();
        let inbound_url = kind.inbound.map(|_| format!("https://platform.example/inbound/{id}"));
        let mut connector = Connector {
            id,
            tenant_id: tenant.parse().unwrap(),
            name: String::new(),
            kind: kind.name.to_owned(),
            config: serde_json::Map::new(),
            secret_version: 0,
            secret_set_at: None,
            status: ConnectorStatus::Active,
            secret_expires_at: None,
            secret_drifted: false,
            verify: VerifyMode::Required,
            verification_status: VerificationStatus::Unverified,
            verification_reason: None,
            last_verified_at: None,
            last_checked_at: None,
            rotate_every_days: None,
            retiring: None,
            inbound_url,
            revision: 0,
            created_at: OffsetDateTime::UNIX_EPOCH,
            updated_at: OffsetDateTime::UNIX_EPOCH,
        };
        self.put(&mut connector, wanted);
        self.connectors.insert(id.to_string(), connector);
        self.accepted("con", tenant, &id.to_string())
    }

    fn connector_update(&mut self, id: &str, seen: &Seen) -> Response {
        let (mut connector, change) = (self.connectors[id].clone(), seen.json());
        if seen.header("if-match").is_some_and(|etag| etag != format!("\"{}\"", connector.revision)) {
            return problem_of(ProblemCode::PreconditionFailed);
        }
        if let Some(field) = led_elsewhere(&connector, &change) {
            let detail = format!("`{field}` changes, so the secret must be sent again with it");
            return problem(
                &Problem::new(ProblemCode::InvalidRequest, "a field is wrong")
                    .with_errors(vec![FieldProblem::new("/secrets", detail)]),
            );
        }
        self.put(&mut connector, &change);
        let tenant = connector.tenant_id.to_string();
        self.connectors.insert(id.to_owned(), connector);
        self.accepted("con", &tenant, id)
    }

    /// Puts what is sent in force, which the far side takes.
    fn put(&mut self, connector: &mut Connector, sent: &Json) {
        connector.revision += 1;
        if let Some(name) = sent["name"].as_str() {
            connector.name = name.into();
        }
        if let Some(config) = sent["config"].as_object() {
            connector.config = config.clone();
        }
        if let Some(days) = sent["rotate_every_days"].as_u64() {
            connector.rotate_every_days = u32::try_from(days).ok().filter(|days| *days > 0);
        }
        if sent["verify"].is_string() {
            connector.verify = serde_json::from_value(sent["verify"].clone()).unwrap();
        }
        if let Some(secrets) = sent["secrets"].as_object() {
            let (id, none) = (connector.id.to_string(), secrets.is_empty());
            connector.secret_version = if none { 0 } else { connector.secret_version + 1 };
            connector.secret_drifted = false;
            self.minted.remove(&id);
            self.secrets.insert(id, sent["secrets"].clone());
        }
        connector.verification_reason = None;
        let is_asked = connector.verify != VerifyMode::Off;
        connector.verification_status =
            if is_asked { VerificationStatus::Verified } else { VerificationStatus::Unverified };
        if is_asked {
            let later = time::Duration::minutes(connector.revision);
            connector.last_verified_at = Some(OffsetDateTime::UNIX_EPOCH + later);
        }
    }

    fn connector_list(&self, tenant: &str, query: &str) -> Response {
        let word = |name: &str| {
            query
                .split('&')
                .filter_map(|part| part.split_once('='))
                .find(|part| part.0 == name)
                .map(|part| part.1)
        };
        let fits = |connector: &&Connector| {
            connector.tenant_id.to_string() == tenant
                && word("name").is_none_or(|name| connector.name == name)
                && word("kind").is_none_or(|kind| connector.kind == kind)
        };
        let skipped: usize = word("cursor").map_or(0, |cursor| cursor.parse().unwrap());
        let limit: usize = word("limit").map_or(50, |limit| limit.parse().unwrap());
        let mut items: Vec<_> = self.connectors.values().filter(fits).skip(skipped).cloned().collect();
        let next_cursor = (items.len() > limit).then(|| (skipped + limit).to_string());
        items.truncate(limit);
        json(200, &Page { items, next_cursor })
    }
}

/// The field whose change would have the secret in force sent to somewhere else.
fn led_elsewhere(connector: &Connector, change: &Json) -> Option<&'static str> {
    let config = change["config"].as_object()?;
    let kind = catalogue::kind(&connector.kind).unwrap();
    if connector.secret_version == 0 || change["secrets"].is_object() {
        return None;
    }
    let leads = |field: &&Field| {
        matches!(field.values, FieldValues::Url | FieldValues::OneOf(_) | FieldValues::Certificates)
    };
    let mut leading = kind.fields.iter().filter(leads);
    leading.find(|field| config.get(field.name) != connector.config.get(field.name)).map(|field| field.name)
}

pub(super) fn oidc_trust(tenant: &str, query: &str) -> Response {
    let (connector, kind) = query.split_once('&').unwrap();
    let kind = catalogue::kind(kind.trim_start_matches("kind=")).unwrap();
    let issuer = format!("https://platform.example/oidc/{tenant}");
    json(
        200,
        &OidcTrust {
            discovery_url: format!("{issuer}/.well-known/openid-configuration"),
            jwks_url: format!("{issuer}/jwks.json"),
            subject: format!("tenant:{tenant}:{}", connector.trim_start_matches("connector=")),
            audience: kind.keyless.unwrap().audience.map(ToOwned::to_owned),
            issuer,
        },
    )
}
