//! Connectors without a secret: who takes the platform's tokens, and what each says of who is not let in.
//! The clouds are doubles that check the tokens as the real ones do; the vault is the real OpenBao, and so is
//! the issuer the real one.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use integraci_api::operations::OperationState;
use integraci_api::{ConnectorId, ProblemCode, TenantId};
use integraci_server::connectors::outbound::{Outbound, OutboundConfig};
use integraci_server::connectors::verify::{Subject, Verifier, VerifyError};
use integraci_server::isolation::openbao::Signer;
use integraci_server::oidc::{Issuer, subject};
use local_platform::far_side::{
    AWS_ROLE_ARN, AZURE_CLIENT_ID, AZURE_DIRECTORY_ID, Behaviour, GCP_PROVIDER, GCP_SERVICE_ACCOUNT,
};
use reqwest::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::app::App;
use crate::oidc::issuer;
use crate::openbao_world::Bao;
use crate::verify::Scripted;

const KINDS: [&str; 3] = ["aws", "azure", "gcp"];

/// The field that must be changed where a cloud does not trust the connector.
fn trust_pointer(kind: &str) -> &'static str {
    match kind {
        "aws" => "/config/role_arn",
        "azure" => "/config/client_id",
        _ => "/config/workload_identity_provider",
    }
}

fn audience(kind: &str) -> String {
    match kind {
        "aws" => "sts.amazonaws.com".to_owned(),
        "azure" => "api://AzureADTokenExchange".to_owned(),
        _ => format!("//iam.googleapis.com/{GCP_PROVIDER}"),
    }
}

/// A platform, and the clouds beside it.
struct World {
    bao: Bao,
    app: App,
    tenant: TenantId,
}

impl World {
    async fn new() -> Self {
        let bao = Bao::new().await;
        let app = App::with(&bao, Vec::new()).await;
        Self { bao, app, tenant: TenantId::from_uuid(Uuid::now_v7()) }
    }

    /// What a connector of a kind is configured with, with some of it changed.
    fn config(&self, kind: &str, changed: Value) -> Value {
        let at = self.app.far_side.address(kind);
        let mut config = match kind {
            "aws" => json!({"role_arn": AWS_ROLE_ARN, "sts_url": at}),
            "azure" => {
                json!({"directory_id": AZURE_DIRECTORY_ID, "client_id": AZURE_CLIENT_ID, "authority_url": at})
            }
            _ => json!({"workload_identity_provider": GCP_PROVIDER, "service_account": GCP_SERVICE_ACCOUNT,
                "sts_url": at, "iam_credentials_url": at}),
        };
        let Value::Object(changed) = changed else { panic!("{changed}") };
        for (field, value) in changed {
            config[field] = value;
        }
        config
    }

    fn issuer_url(&self) -> String {
        self.app.url(&format!("/oidc/{}", self.tenant))
    }

    /// Has every cloud trust the connector `prod`.
    fn trust(&self) {
        for kind in KINDS {
            let subject = subject(self.tenant, "prod");
            self.app.far_side.trust(kind, &self.issuer_url(), &subject, &audience(kind));
        }
    }

    async fn verify_as(
        &self,
        issuer: Issuer,
        (tenant, name): (TenantId, &str),
        kind: &str,
        config: &Value,
        now: OffsetDateTime,
    ) -> Result<(), VerifyError> {
        let outbound = Outbound::new(&OutboundConfig {
            allow: vec!["127.0.0.0/8".parse().unwrap()],
            allow_http: true,
            timeout: Duration::from_secs(20),
            max_body_bytes: 64 * 1024,
            ca_certificate: None,
        });
        let subject = Subject {
            tenant,
            connector: ConnectorId::from_uuid(Uuid::from_u128(7)),
            name,
            kind,
            config: config.as_object().unwrap(),
            secrets: &BTreeMap::new(),
            now,
            attempt: Uuid::now_v7(),
        };
        Verifier::new(outbound.unwrap(), issuer).verify(&subject).await.map(drop)
    }

    /// Verifies the tenant's connector `prod`.
    async fn verify(&self, kind: &str, changed: Value) -> Result<(), VerifyError> {
        let issuer = issuer(&self.bao, &self.app.url(""));
        let config = self.config(kind, changed);
        self.verify_as(issuer, (self.tenant, "prod"), kind, &config, OffsetDateTime::now_utc()).await
    }
}

/// Where a refusal points, and what it says.
fn refusal(verified: Result<(), VerifyError>) -> (String, String) {
    match verified {
        Err(VerifyError::Refused { errors }) if errors.len() == 1 => {
            (errors[0].pointer.clone(), errors[0].detail.clone())
        }
        other => (format!("{other:?}"), String::new()),
    }
}

fn unreachable(verified: Result<(), VerifyError>) -> String {
    match verified {
        Err(VerifyError::Unreachable { detail }) => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_cloud_lets_in_whom_it_trusts_while_it_trusts() {
    let world = World::new().await;
    let own = subject(world.tenant, "prod");
    for kind in KINDS {
        let (pointer, detail) = refusal(world.verify(kind, json!({})).await);
        assert_eq!(pointer, trust_pointer(kind), "{detail}");
        assert!(detail.contains(&world.issuer_url()), "{kind} says which issuer to trust: {detail}");
        world.app.far_side.trust(kind, &world.issuer_url(), &own, &audience(kind));
        world.verify(kind, json!({})).await.unwrap();
        world.app.far_side.distrust(kind, &world.issuer_url(), &own, &audience(kind));
        assert_eq!(refusal(world.verify(kind, json!({})).await).0, trust_pointer(kind));
    }
}

#[tokio::test]
async fn who_is_trusted_is_let_in_and_nobody_else() {
    let world = World::new().await;
    world.trust();
    let now = OffsetDateTime::now_utc();
    let issuer = || issuer(&world.bao, &world.app.url(""));
    let other = TenantId::from_uuid(Uuid::now_v7());
    for kind in KINDS {
        let config = world.config(kind, json!({}));
        let as_other = async |who| world.verify_as(issuer(), who, kind, &config, now).await;
        as_other((world.tenant, "prod")).await.unwrap();
        // Another connector of the tenant: the issuer is the same, the subject is not.
        let (pointer, detail) = refusal(as_other((world.tenant, "dev")).await);
        assert_eq!(pointer, trust_pointer(kind));
        assert!(detail.contains(&subject(world.tenant, "dev")), "{detail}");
        // Another tenant's connector of the same name: another issuer.
        assert_eq!(refusal(as_other((other, "prod")).await).0, trust_pointer(kind));
        let elsewhere = json!({"audience": "somebody-else"});
        assert_eq!(refusal(world.verify(kind, elsewhere).await).0, trust_pointer(kind));
        // Another platform that says it is this one: its keys are not the published ones.
        let impostor =
            Issuer::new(Some(world.app.url("").parse().unwrap()), Signer::new(Bao::new().await.client()));
        let forged = world.verify_as(impostor, (world.tenant, "prod"), kind, &config, now).await;
        assert!(forged.is_err(), "{kind}: a forged token was taken");
    }
}

#[tokio::test]
async fn an_audience_of_ones_own_is_used_where_the_cloud_trusts_it() {
    let world = World::new().await;
    for kind in KINDS {
        world.app.far_side.trust(kind, &world.issuer_url(), &subject(world.tenant, "prod"), "own");
        world.verify(kind, json!({"audience": "own"})).await.unwrap();
        assert_eq!(refusal(world.verify(kind, json!({})).await).0, trust_pointer(kind));
    }
}

#[tokio::test]
async fn what_the_cloud_does_not_have_points_at_its_field() {
    let world = World::new().await;
    world.trust();
    let provider = |number: u32| GCP_PROVIDER.replace("123456789012", &number.to_string());
    for (kind, changed, pointer) in [
        ("aws", json!({"role_arn": AWS_ROLE_ARN.replace("integraci", "other")}), "/config/role_arn"),
        ("azure", json!({"directory_id": Uuid::from_u128(1)}), "/config/directory_id"),
        ("azure", json!({"client_id": Uuid::from_u128(1)}), "/config/client_id"),
        ("azure", json!({"scope": "https://vault.example/.default"}), "/config/scope"),
        ("gcp", json!({"workload_identity_provider": provider(1)}), "/config/workload_identity_provider"),
        (
            "gcp",
            json!({"service_account": "other@far-side.iam.gserviceaccount.com"}),
            "/config/service_account",
        ),
    ] {
        assert_eq!(refusal(world.verify(kind, changed.clone()).await).0, pointer, "{kind} {changed}");
    }
    let no_account = json!({"service_account": null});
    world.verify("gcp", no_account).await.unwrap();
    world.verify("azure", json!({"scope": "https://graph.microsoft.com/.default"})).await.unwrap();
    world.verify("aws", json!({"region": "eu-central-1"})).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_right_is_told_before_anybody_is_called() {
    let world = World::new().await;
    for (kind, changed, pointer) in [
        ("aws", json!({"role_arn": "integraci"}), "/config/role_arn"),
        ("aws", json!({"region": "x.evil.example/"}), "/config/region"),
        ("aws", json!({"region": "cn-north-1"}), "/config/region"),
        (
            "aws",
            json!({"role_arn": "arn:aws-cn:iam::123456789012:role/x", "sts_url": null}),
            "/config/region",
        ),
        (
            "aws",
            json!({"role_arn": "arn:aws-iso:iam::123456789012:role/x", "sts_url": null}),
            "/config/sts_url",
        ),
        ("azure", json!({"directory_id": "common"}), "/config/directory_id"),
        ("azure", json!({"client_id": "../x"}), "/config/client_id"),
        ("azure", json!({"scope": "User.Read"}), "/config/scope"),
        ("gcp", json!({"workload_identity_provider": "integraci"}), "/config/workload_identity_provider"),
        ("gcp", json!({"service_account": "me@example.com"}), "/config/service_account"),
    ] {
        assert_eq!(refusal(world.verify(kind, changed.clone()).await).0, pointer, "{kind} {changed}");
    }
    let off = || Issuer::new(None, Signer::new(world.bao.client()));
    for kind in KINDS {
        let config = world.config(kind, json!({}));
        let now = OffsetDateTime::now_utc();
        let refused = world.verify_as(off(), (world.tenant, "prod"), kind, &config, now).await;
        let (pointer, detail) = refusal(refused);
        assert_eq!(pointer, "/kind");
        assert!(detail.contains("public_url"), "{detail}");
    }
    assert!(world.app.far_side.seen().is_empty());
}

#[tokio::test]
async fn a_token_from_a_clock_that_is_wrong_is_nobodys_fault_but_ours() {
    let world = World::new().await;
    world.trust();
    let long_ago = OffsetDateTime::now_utc() - Duration::from_secs(3600);
    let old = async |kind: &str| {
        let issuer = issuer(&world.bao, &world.app.url(""));
        let config = world.config(kind, json!({}));
        world.verify_as(issuer, (world.tenant, "prod"), kind, &config, long_ago).await
    };
    for kind in ["aws", "azure"] {
        let detail = unreachable(old(kind).await);
        assert!(detail.contains("clock"), "{detail}");
    }
    assert_eq!(refusal(old("gcp").await).0, trust_pointer("gcp"), "it says no more than that");
}

#[tokio::test]
async fn an_issuer_that_the_cloud_cannot_reach_is_named() {
    let world = World::new().await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let own = format!("{nowhere}/oidc/{}", world.tenant);
    for kind in KINDS {
        world.app.far_side.trust(kind, &own, &subject(world.tenant, "prod"), &audience(kind));
        let config = world.config(kind, json!({}));
        let now = OffsetDateTime::now_utc();
        let from = issuer(&world.bao, &nowhere);
        let failed = world.verify_as(from, (world.tenant, "prod"), kind, &config, now).await.unwrap_err();
        let detail = failed.faults().remove(0).detail;
        assert!(detail.contains(&own), "{kind}: {detail}");
    }
}

#[tokio::test]
async fn a_cloud_that_is_busy_down_or_no_cloud_is_told_apart() {
    let world = World::new().await;
    world.trust();
    world.app.far_side.behave(Behaviour::Down);
    for kind in KINDS {
        let busy = VerifyError::Busy { retry_after: Some(Duration::from_secs(1)) };
        assert_eq!(world.verify(kind, json!({})).await, Err(busy), "{kind}");
    }
    world.app.far_side.behave(Behaviour::EchoesCredential);
    for kind in KINDS {
        let said = format!("{:?}", world.verify(kind, json!({})).await.unwrap_err());
        assert!(!said.contains("eyJ"), "{kind} echoed the token: {said}");
    }
    let error = |code: &str| format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>");
    for (kind, url, status, body, expected) in [
        ("aws", "sts_url", 400, error("Throttling"), "busy"),
        ("aws", "sts_url", 403, error("RegionDisabledException"), "/config/region"),
        ("aws", "sts_url", 400, error("ValidationError"), "/config/role_arn"),
        ("aws", "sts_url", 403, error("IDPRejectedClaim"), "/config/role_arn"),
        ("aws", "sts_url", 500, error("InternalFailure"), "unreachable"),
        ("aws", "sts_url", 200, "<html>".to_owned(), "/config/sts_url"),
        ("azure", "authority_url", 400, r#"{"error":"temporarily_unavailable"}"#.to_owned(), "busy"),
        ("azure", "authority_url", 401, r#"{"error":"invalid_client"}"#.to_owned(), "/config/client_id"),
        (
            "azure",
            "authority_url",
            401,
            r#"{"error":"x","error_codes":[7002138]}"#.to_owned(),
            "/config/client_id",
        ),
        (
            "azure",
            "authority_url",
            400,
            r#"{"error":"x","error_codes":[7000112]}"#.to_owned(),
            "/config/client_id",
        ),
        ("azure", "authority_url", 404, String::new(), "/config/authority_url"),
        ("azure", "authority_url", 200, "{}".to_owned(), "/config/authority_url"),
        ("gcp", "sts_url", 429, String::new(), "busy"),
        ("gcp", "sts_url", 502, String::new(), "unreachable"),
        ("gcp", "sts_url", 200, "[]".to_owned(), "/config/sts_url"),
        ("gcp", "sts_url", 404, "<html>".to_owned(), "/config/sts_url"),
    ] {
        let answer = body.clone();
        let cloud = Scripted::start("127.0.0.1", move |_, _| {
            (StatusCode::from_u16(status).unwrap(), answer.clone()).into_response()
        })
        .await;
        let told = match world.verify(kind, json!({ url: cloud.url })).await {
            Err(VerifyError::Busy { .. }) => "busy".to_owned(),
            Err(VerifyError::Unreachable { .. }) => "unreachable".to_owned(),
            other => refusal(other).0,
        };
        assert_eq!(told, expected, "{kind} {status} {body}");
        assert_eq!(cloud.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_trust_is_made_first_and_the_connector_by_it() {
    let world = World::new().await;
    let tenant = world.app.tenant().await;
    let own = format!("/v1/tenants/{tenant}");
    let connectors = format!("{own}/connectors");
    let wanted = json!({"name": "prod", "kind": "aws", "config": world.config("aws", json!({}))});
    let early =
        world.app.settled(&world.app.send(Method::POST, &connectors, Some(wanted.clone())).await).await;
    let error = early.error.unwrap();
    assert_eq!(error.code, ProblemCode::VerificationFailed);
    assert_eq!(error.errors[0].pointer, "/config/role_arn");

    let trust = world.app.get(&format!("{own}/oidc-trust?connector=prod&kind=aws")).await;
    let text = |name: &str| trust[name].as_str().unwrap();
    world.app.far_side.trust("aws", text("issuer"), text("subject"), text("audience"));
    let made = world.app.settled(&world.app.send(Method::POST, &connectors, Some(wanted)).await).await;
    assert_eq!(made.state, OperationState::Succeeded, "{made:?}");
    let connector = world.app.get(&format!("{connectors}/{}", made.target_id)).await;
    assert_eq!(connector["status"], "active");

    // By another name it is somebody else.
    let path = format!("{connectors}/{}", made.target_id);
    let renamed = json!({"name": "staging"});
    let failed = world.app.settled(&world.app.send(Method::PATCH, &path, Some(renamed)).await).await;
    assert_eq!(failed.error.unwrap().errors[0].pointer, "/config/role_arn");
    assert_eq!(world.app.get(&path).await["name"], "prod");
}

#[tokio::test]
async fn a_real_vault_lets_the_connector_in_by_what_the_issuer_publishes() {
    let world = World::new().await;
    let admin = async |path: &str, body: Value| {
        let (status, answer) = world.bao.root(Method::POST, "", path, body).await;
        assert!(status < 300, "{path}: {status} {answer}");
    };
    admin("sys/auth/jwt", json!({"type": "jwt"})).await;
    let issuer_url = world.issuer_url();
    admin("auth/jwt/config", json!({"oidc_discovery_url": issuer_url, "bound_issuer": issuer_url})).await;
    let role = |subject: &str| {
        json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["integraci"],
            "bound_subject": subject, "token_policies": ["default"]})
    };
    admin("auth/jwt/role/own", role(&subject(world.tenant, "prod"))).await;
    admin("auth/jwt/role/other", role(&subject(world.tenant, "dev"))).await;
    let verify = async |tenant: TenantId, changed: Value| {
        let mut config =
            json!({"url": world.bao.config.address, "namespace": world.bao.path(""), "role": "own"});
        config.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        let issuer = issuer(&world.bao, &world.app.url(""));
        let now = OffsetDateTime::now_utc();
        world.verify_as(issuer, (tenant, "prod"), "vault", &config, now).await
    };
    verify(world.tenant, json!({})).await.unwrap();
    assert_eq!(refusal(verify(world.tenant, json!({"role": "other"})).await).0, "/config/role");
    assert_eq!(refusal(verify(world.tenant, json!({"audience": "somebody-else"})).await).0, "/config/role");
    let other = TenantId::from_uuid(Uuid::now_v7());
    assert_eq!(refusal(verify(other, json!({})).await).0, "/config/role");
}
