//! A tenant's place in a real NATS.

mod answers;
mod attest;
pub(crate) mod faults;
mod limits;
mod operator;

use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Subscriber};
use futures_util::StreamExt as _;
use integraci_api::tenants::TenantNames;
use integraci_api::{CredentialId, SecretText};
use integraci_server::isolation::nats::{Nats, NatsConfig, NatsSetupError};
use integraci_server::isolation::openbao::TenantKeys;
use integraci_server::isolation::{
    Drift, ErrorClass, Finding, Isolation as _, Issued, Remnant, System, Wanted,
};
use integraci_server::source::Source;
use local_platform::Endpoints;
use secrecy::ExposeSecret as _;
use tokio::time::timeout;
use uuid::Uuid;

use crate::openbao_world::{Bao, wanted};
use operator::Operator;

/// How long something may take that is bound to happen.
const SOON: Duration = Duration::from_secs(10);
/// How long is waited for an answer that does not come.
const NEVER: Duration = Duration::from_millis(300);

pub(crate) fn config() -> NatsConfig {
    let endpoints = Endpoints::from_env().unwrap();
    let nats = endpoints.nats().unwrap();
    NatsConfig {
        servers: vec![nats.url.clone()],
        operator_signing_seed: SecretText::new(nats.operator_signing_seed.expose_secret().to_owned()),
        system_credentials_file: nats.system_creds.clone(),
        resolvers: 1,
        ca_certificate: None,
        timeout: SOON,
    }
}

/// The system, and the keys it works with, which are nobody else's.
pub(crate) struct World {
    pub(crate) nats: Nats,
    keys: TenantKeys,
}

impl World {
    pub(crate) async fn new() -> Self {
        let keys = TenantKeys::new(Bao::new().await.client());
        Self { nats: Nats::new(config(), keys.clone(), Source::real()).unwrap(), keys }
    }

    /// A tenant that no other test has, with its place made.
    pub(crate) async fn tenant(&self) -> Wanted {
        let tenant = fresh();
        self.nats.ensure(&tenant).await.unwrap();
        tenant
    }

    pub(crate) async fn user(&self, tenant: &Wanted) -> Issued {
        self.nats.credentials_issue(tenant, credential(), Duration::from_secs(60)).await.unwrap()
    }

    async fn account(&self, tenant: &Wanted) -> String {
        self.nats.ensure(tenant).await.unwrap()["account"].clone()
    }

    pub(crate) async fn removed(&self, tenants: &[&Wanted]) {
        for tenant in tenants {
            self.nats.ensure_none(tenant).await.unwrap();
            assert_eq!(self.nats.remains(tenant).await.unwrap(), []);
        }
    }
}

pub(crate) fn fresh() -> Wanted {
    let slug = format!("n{}", &Uuid::new_v4().simple().to_string()[..16]);
    wanted(&TenantNames::of(&slug.parse().unwrap()))
}

pub(crate) fn credential() -> CredentialId {
    CredentialId::from_uuid(Uuid::now_v7())
}

/// Connects as anybody with the credentials file would.
pub(crate) async fn connected(user: &Issued) -> Result<Client, ConnectError> {
    ConnectOptions::with_credentials(user.secrets["credentials"].expose())
        .unwrap()
        .max_reconnects(1)
        .request_timeout(Some(NEVER))
        .connect(user.fields["url"].as_str())
        .await
}

async fn is_refused(user: &Issued) -> bool {
    connected(user).await.is_err_and(|refused| refused.kind() == ConnectErrorKind::AuthorizationViolation)
}

/// What comes next; `None` when the connection was ended by the server.
async fn heard(listener: &mut Subscriber) -> Option<Vec<u8>> {
    timeout(SOON, listener.next()).await.unwrap().map(|message| message.payload.to_vec())
}

async fn hears_nothing(listener: &mut Subscriber) -> bool {
    timeout(NEVER, listener.next()).await.is_err()
}

/// Where the server keeps an account, and where its streams.
fn files(account: &str) -> (PathBuf, PathBuf) {
    let endpoints = Endpoints::from_env().unwrap();
    let nats = endpoints.nats().unwrap();
    let streams = nats.jetstream_dir.join("jetstream").join(account).join("streams");
    (nats.resolver_dir.join(format!("{account}.jwt")), streams)
}

#[tokio::test]
async fn a_place_is_made_found_as_it_is_and_removed_whole() {
    let world = World::new().await;
    let tenant = fresh();
    assert_eq!(world.nats.remains(&tenant).await.unwrap(), []);
    let facts = world.nats.ensure(&tenant).await.unwrap();
    assert_eq!(world.nats.ensure(&tenant).await.unwrap(), facts);
    assert_eq!(facts["subject_prefix"], tenant.names.nats_subject_prefix);
    assert_eq!(facts["url"], config().servers[0]);
    assert_eq!(world.nats.drift(&tenant).await.unwrap(), []);
    let left = world.nats.remains(&tenant).await.unwrap();
    let account = facts["account"].clone();
    let remnant = |class| Remnant { class, name: account.clone() };
    assert_eq!(left, [remnant("account_keys"), remnant("account")]);
    let (jwt, streams) = files(&account);
    assert!(jwt.exists());
    assert_eq!(streams.read_dir().unwrap().count(), 2);

    // With streams of the tenant's own in it, and somebody connected.
    let client = connected(&world.user(&tenant).await).await.unwrap();
    let own = stream("OWN", &tenant);
    jetstream::new(client.clone()).create_stream(own).await.unwrap();
    world.removed(&[&tenant]).await;
    assert!(!jwt.exists());
    assert_eq!(streams.read_dir().map_or(0, Iterator::count), 0, "streams are left on the disk");
    world.nats.ensure_none(&tenant).await.unwrap();
}

fn stream(name: &str, tenant: &Wanted) -> Config {
    let subjects = vec![format!("{}.own", tenant.names.nats_subject_prefix)];
    Config { name: name.to_owned(), subjects, max_bytes: 1 << 20, ..Config::default() }
}

#[tokio::test]
async fn a_deletion_that_was_cut_off_anywhere_is_finished_by_the_next() {
    let world = World::new().await;
    let operator = Operator::new().await;
    let tenant = world.tenant().await;
    let account = world.account(&tenant).await;
    // Somebody deleted the account by hand, and left its streams.
    operator.delete(&account).await;
    assert_eq!(world.nats.drift(&tenant).await.unwrap(), [Drift("the account is missing")]);
    assert_eq!(files(&account).1.read_dir().unwrap().count(), 2);
    world.removed(&[&tenant]).await;
    assert_eq!(files(&account).1.read_dir().map_or(0, Iterator::count), 0);

    // Without its keys an account is told of, and left alone.
    let tenant = world.tenant().await;
    let account = world.account(&tenant).await;
    world.keys.remove(System::Nats, &tenant.names).await.unwrap();
    let lost = [Remnant { class: "account", name: account.clone() }];
    assert_eq!(world.nats.remains(&tenant).await.unwrap(), lost);
    assert_eq!(World::new().await.nats.remains(&tenant).await.unwrap(), [], "another platform's");
    world.nats.ensure_none(&tenant).await.unwrap();
    assert_eq!(world.nats.remains(&tenant).await.unwrap(), lost);
    operator.delete(&account).await;

    // Keys were made, and the account never.
    let tenant = fresh();
    let text = SecretText::new("SA of no account".to_owned());
    world.keys.ensure(System::Nats, &tenant.names, || text).await.unwrap();
    let refused = world.nats.ensure_none(&tenant).await.unwrap_err();
    assert_eq!((refused.operation, refused.class), ("key_read", ErrorClass::Refused));
    world.keys.remove(System::Nats, &tenant.names).await.unwrap();
}

#[tokio::test]
async fn ensure_mends_an_account_that_was_changed_by_hand() {
    let world = World::new().await;
    let operator = Operator::new().await;
    let tenant = world.tenant().await;
    let account = world.account(&tenant).await;
    for (path, value, drift) in [
        ("/limits/conn", 1.into(), "the account's limits differ"),
        ("/signing_keys/0/template/sub/allow/0", ">".into(), "what the account's users may do differs"),
        ("/default_permissions", serde_json::json!({}), "what the account's users may do differs"),
        ("/revocations", serde_json::json!({ "*": 4_000_000_000_i64 }), "the account is closed"),
        ("/tags", serde_json::json!([]), "the account's claims differ"),
    ] {
        operator.change(&account, path, value).await;
        assert_eq!(world.nats.drift(&tenant).await.unwrap(), [Drift(drift)], "{path}");
        world.nats.ensure(&tenant).await.unwrap();
        assert_eq!(world.nats.drift(&tenant).await.unwrap(), [], "{path}");
    }
    operator.export(&account).await;
    let drift = world.nats.drift(&tenant).await.unwrap();
    assert_eq!(drift[0], Drift("the account shares subjects with other accounts"));
    world.nats.ensure(&tenant).await.unwrap();
    assert_eq!(world.nats.drift(&tenant).await.unwrap(), []);
    // Who was let in is out again when the account is mended.
    const LET_IN: Drift = Drift("what the account's users may do differs");
    let streams = operator.inside(&account).await;
    streams.delete_stream("INTEGRACI_EVENTS").await.unwrap();
    let missing = Drift("the stream of events is missing");
    assert_eq!(world.nats.drift(&tenant).await.unwrap(), [LET_IN, missing]);
    world.nats.ensure(&tenant).await.unwrap();
    assert_eq!(world.nats.drift(&tenant).await.unwrap(), []);
    let streams = operator.inside(&account).await;
    let events = streams.get_stream("INTEGRACI_EVENTS").await.unwrap().cached_info().config.clone();
    streams.update_stream(Config { max_bytes: events.max_bytes + 1, ..events }).await.unwrap();
    let differs = Drift("the stream of events differs");
    assert_eq!(world.nats.drift(&tenant).await.unwrap(), [LET_IN, differs]);
    world.nats.ensure(&tenant).await.unwrap();
    assert_eq!(world.nats.drift(&tenant).await.unwrap(), []);
    world.removed(&[&tenant]).await;
}

#[tokio::test]
async fn a_tenants_user_works_in_its_own_account_and_its_own_subjects() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let user = world.user(&tenant).await;
    let (own, theirs) =
        (connected(&user).await.unwrap(), connected(&world.user(&other).await).await.unwrap());
    let prefix = &tenant.names.nats_subject_prefix;

    // Talks with itself, by requests too.
    let mut service = own.subscribe(format!("{prefix}.service")).await.unwrap();
    let asked = own.clone();
    let answering = tokio::spawn(async move {
        let request = service.next().await.unwrap();
        asked.publish(request.reply.unwrap(), request.payload).await.unwrap();
    });
    assert_eq!(own.request(format!("{prefix}.service"), "echo".into()).await.unwrap().payload, "echo");
    answering.await.unwrap();

    // Keeps streams, within its bytes.
    let streams = jetstream::new(own.clone());
    streams.create_stream(stream("OWN", &tenant)).await.unwrap();
    streams.publish(format!("{prefix}.own"), "kept".into()).await.unwrap().await.unwrap();
    let boundless = Config { max_bytes: -1, ..stream("BOUNDLESS", &tenant) };
    streams.create_stream(boundless).await.unwrap_err();
    let rest = i64::try_from(tenant.limits.nats_stream_bytes).unwrap();
    let too_much =
        Config { subjects: vec![format!("{prefix}.more")], max_bytes: rest, ..stream("MORE", &tenant) };
    streams.create_stream(too_much.clone()).await.unwrap_err();
    streams.create_stream(Config { max_bytes: rest - (1 << 20), ..too_much }).await.unwrap();

    // Reads its events; changes and tells none.
    let mut events = streams.get_stream("INTEGRACI_EVENTS").await.unwrap();
    assert_eq!(events.info().await.unwrap().config.subjects, [format!("{prefix}.events.>")]);
    assert!(streams.delete_stream("INTEGRACI_EVENTS").await.is_err());
    assert!(events.purge().await.is_err());
    assert!(
        streams.publish(format!("{prefix}.events.tenant.made"), "up".into()).await.unwrap().await.is_err()
    );
    assert_eq!(events.info().await.unwrap().state.messages, 0);

    // Neither hears nor tells the other, under the other's subjects or the same ones.
    for subject in
        [format!("{}.x", other.names.nats_subject_prefix), format!("{prefix}.x"), "_INBOX.x".to_owned()]
    {
        let mut listener = theirs.subscribe(subject.clone()).await.unwrap();
        own.publish(subject, "let me in".into()).await.unwrap();
        own.flush().await.unwrap();
        assert!(hears_nothing(&mut listener).await);
    }
    world.removed(&[&tenant, &other]).await;
}

#[tokio::test]
async fn a_suspended_tenant_is_cut_off_at_once_and_resumed_with_all_it_had() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let suspended = Wanted { suspended: true, ..tenant.clone() };
    let user = world.user(&tenant).await;
    let client = connected(&user).await.unwrap();
    let own = format!("{}.own", tenant.names.nats_subject_prefix);
    let streams = jetstream::new(client.clone());
    streams.create_stream(stream("OWN", &tenant)).await.unwrap();
    streams.publish(own.clone(), "before".into()).await.unwrap().await.unwrap();
    let mut listener = client.subscribe(own.clone()).await.unwrap();
    client.flush().await.unwrap();

    world.nats.ensure(&suspended).await.unwrap();
    assert_eq!(heard(&mut listener).await, None, "the connection is kept");
    assert!(is_refused(&user).await);
    let refused = world.nats.credentials_issue(&suspended, credential(), SOON).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Refused);
    assert_eq!(world.nats.drift(&suspended).await.unwrap(), []);
    assert_eq!(world.nats.drift(&tenant).await.unwrap(), [Drift("the account is closed")]);
    world.nats.ensure(&suspended).await.unwrap();

    world.nats.ensure(&tenant).await.unwrap();
    assert_eq!(world.nats.drift(&tenant).await.unwrap(), []);
    let client = connected(&user).await.unwrap();
    let streams = jetstream::new(client);
    streams.publish(own, "after".into()).await.unwrap().await.unwrap();
    assert_eq!(streams.get_stream("OWN").await.unwrap().cached_info().state.messages, 2);
    world.removed(&[&tenant]).await;

    // One that is suspended can be removed too.
    let tenant = world.tenant().await;
    world.nats.ensure(&Wanted { suspended: true, ..tenant.clone() }).await.unwrap();
    world.removed(&[&tenant]).await;
}

#[tokio::test]
async fn credentials_that_are_revoked_are_dead_and_stay_so() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let (one, two) = (world.user(&tenant).await, world.user(&tenant).await);
    let shown = format!("{one:?}");
    for secret in one.secrets.values() {
        assert!(!shown.contains(secret.expose()), "{shown}");
    }
    let client = connected(&one).await.unwrap();
    let mut listener = client.subscribe(format!("{}.x", tenant.names.nats_subject_prefix)).await.unwrap();
    client.flush().await.unwrap();
    let renewed =
        world.nats.credentials_renew(&tenant.names, credential(), one.handle.as_deref(), SOON).await;
    assert_eq!(renewed, Ok(()));

    // Both at once, as two replicas would.
    let again = Nats::new(config(), world.keys.clone(), Source::real()).unwrap();
    let (first, second) = tokio::join!(
        world.nats.credentials_revoke(&tenant.names, credential(), one.handle.as_deref()),
        again.credentials_revoke(&tenant.names, credential(), two.handle.as_deref()),
    );
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_eq!(heard(&mut listener).await, None, "the connection is kept");
    for user in [&one, &two] {
        assert!(is_refused(user).await);
        let renewed =
            world.nats.credentials_renew(&tenant.names, credential(), user.handle.as_deref(), SOON).await;
        assert_eq!(renewed.unwrap_err().class, ErrorClass::Refused);
    }
    assert_eq!(world.nats.drift(&tenant).await.unwrap(), []);
    world.nats.ensure(&Wanted { suspended: true, ..tenant.clone() }).await.unwrap();
    world.nats.ensure(&tenant).await.unwrap();
    assert!(is_refused(&one).await && is_refused(&two).await, "they came back");
    connected(&world.user(&tenant).await).await.unwrap();
    world.removed(&[&tenant]).await;
    world.nats.credentials_revoke(&tenant.names, credential(), one.handle.as_deref()).await.unwrap();
}

#[tokio::test]
async fn two_that_make_the_same_place_at_once_make_one() {
    let world = World::new().await;
    let tenant = fresh();
    let again = Nats::new(config(), world.keys.clone(), Source::real()).unwrap();
    let (one, two) = tokio::join!(world.nats.ensure(&tenant), again.ensure(&tenant));
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(world.nats.drift(&tenant).await.unwrap(), []);
    world.removed(&[&tenant]).await;
}

#[tokio::test]
async fn a_nats_that_is_away_or_refuses_is_told_apart_and_no_secret_with_it() {
    let world = World::new().await;
    let with = |config| Nats::new(config, world.keys.clone(), Source::real()).unwrap();
    let tenant = world.tenant().await;
    let short = Duration::from_millis(500);
    // Nothing listens on the discard port of the loopback address.
    let away =
        with(NatsConfig { servers: vec!["nats://127.0.0.1:9".to_owned()], timeout: short, ..config() });
    for failed in [
        away.ensure(&tenant).await.map(drop),
        away.remains(&tenant).await.map(drop),
        away.drift(&tenant).await.map(drop),
        away.ensure_none(&tenant).await,
    ] {
        assert_eq!(failed.unwrap_err().class, ErrorClass::Broken);
    }
    assert!(away.check().await.iter().any(|finding| finding.check == "reachable" && !finding.passed()));

    // A node of the two does not answer.
    let lame = with(NatsConfig { resolvers: 2, timeout: short, ..config() });
    assert_eq!(lame.remains(&tenant).await.unwrap_err().class, ErrorClass::Broken);
    let findings = lame.check().await;
    let nodes = findings.iter().find(|finding| finding.check == "resolver nodes").unwrap();
    assert_eq!(nodes.found, "1 answer, 2 are configured");

    // Another operator's key.
    let stranger = SecretText::new(nkeys::KeyPair::new_operator().seed().unwrap());
    let strange = with(NatsConfig { operator_signing_seed: stranger, ..config() });
    let never = fresh();
    let refused = strange.ensure(&never).await.unwrap_err();
    assert_eq!((refused.operation, refused.class), ("operator_check", ErrorClass::Refused));
    let findings = strange.check().await;
    assert!(findings.iter().any(|finding| finding.check == "operator's signing key" && !finding.passed()));
    let shown = format!("{refused} {refused:?} {:?} {findings:?}", config());
    assert!(!shown.contains(config().operator_signing_seed.expose()), "{shown}");

    let none = NatsConfig { operator_signing_seed: SecretText::new("SU".to_owned()), ..config() };
    assert_eq!(Nats::new(none, world.keys.clone(), Source::real()).err(), Some(NatsSetupError::Seed));
    assert!(world.nats.check().await.iter().all(Finding::passed));
    world.removed(&[&tenant]).await;
}
