//! A world in which one case after the other is run, with its server, its faults and its bystander.

use std::time::{Duration, Instant};

use acceptance_tests::far::{self, Webhook, webhook};
use acceptance_tests::faults::{Armed, Faults};
use acceptance_tests::runtime::block_on;
use acceptance_tests::{Api, Gate, OpenBao, Server, World, new_slug};
use anyhow::{Context as _, Result, bail, ensure};
use local_platform::Endpoints;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::deed::Secrets;
use crate::tally::Tally;

/// A dead server's operations are taken up within seconds: few, for there are a hundred deaths, and
/// enough for a machine that is busy.
const TAKEN_UP_SOON: [(&str, &str); 2] =
    [("INTEGRACI_SERVER__OPERATIONS__LEASE_S", "2"), ("INTEGRACI_SERVER__OPERATIONS__LATE_S", "1")];
/// How long a server waits for a system: a test that makes one slow has to be slower.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// A server that comes to its crash point is dead within this.
const DEATH_DEADLINE: Duration = Duration::from_secs(10);
/// Longer than any operation takes that is not stuck, on a busy machine.
const SETTLE_DEADLINE: Duration = Duration::from_secs(100);
const POLL: Duration = Duration::from_millis(50);
/// A removal waits for most of its time.
const DELETED_AT_ONCE: usize = 4;

/// A tenant that cases are run on.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) id: String,
    pub(crate) slug: String,
}

/// A world with its server.
pub(crate) struct Lane<'a> {
    tally: &'a Tally,
    world: World,
    server: Server,
    faults: Faults,
    /// Before the far side of the connectors.
    far: Gate,
    /// Tenants to run cases on, as new.
    free: Vec<Tenant>,
    /// Every slug that was ever asked for.
    slugs: Vec<String>,
    bystander: (Tenant, Webhook),
    /// What every tenant has in the systems.
    whole: Vec<String>,
}

impl<'a> Lane<'a> {
    pub(crate) fn new(tally: &'a Tally) -> Result<Self> {
        let world = World::whole("faults")?;
        let faults = Faults::new()?;
        let server = serve(&world, &faults)?;
        let api = server.api()?;
        let slug = new_slug("bystander");
        let bystander = Tenant { id: api.tenant(&slug)?, slug };
        let hook = webhook()?;
        let body = json!({
            "name": "hook",
            "kind": "webhook",
            "config": { "url": hook.url, "events": ["tenant.updated"] },
            "secrets": { "hmac_key": hook.key },
        });
        api.succeeded(&api.post(&format!("/v1/tenants/{}/connectors", bystander.id), &body)?)?;
        let whole = world.remains(&bystander.slug)?;
        ensure!(whole.len() >= 2, "a tenant has places: {whole:?}");
        let (_, far) = far::side()?.url().split_once("://").context("the far side has a URL")?;
        let far = Gate::before(far.trim_end_matches('/'))?;
        let (free, slugs) = (Vec::new(), Vec::new());
        Ok(Self { tally, world, server, faults, far, free, slugs, bystander: (bystander, hook), whole })
    }

    pub(crate) fn api(&self) -> Result<Api> {
        self.server.api()
    }

    pub(crate) fn arm(&self, at: &str) -> Result<Armed> {
        self.faults.arm(at)
    }

    /// The gate before a system, or before the far side.
    pub(crate) fn gate(&self, system: &str) -> Result<&Gate> {
        if system == "far" { Ok(&self.far) } else { self.world.gate(system) }
    }

    /// The address of something at the far side, through its gate.
    pub(crate) fn through_gate(&self, url: &str) -> Result<String> {
        let rest = url.strip_prefix(far::side()?.url().trim_end_matches('/')).context("at the far side")?;
        Ok(format!("http://{}{rest}", self.far.address()))
    }

    /// A tenant that nobody has.
    pub(crate) fn unmade(&mut self) -> Tenant {
        let slug = new_slug("faults");
        self.slugs.push(slug.clone());
        Tenant { id: String::new(), slug }
    }

    /// A tenant as new.
    pub(crate) fn tenant(&mut self) -> Result<Tenant> {
        if let Some(tenant) = self.free.pop() {
            return Ok(tenant);
        }
        let Tenant { slug, .. } = self.unmade();
        Ok(Tenant { id: self.api()?.tenant(&slug)?, slug })
    }

    /// Takes back a tenant that is as new.
    pub(crate) fn give_back(&mut self, tenant: Tenant) {
        self.free.push(tenant);
    }

    /// Waits for the server to die, and starts another.
    pub(crate) fn replace_dead(&mut self) -> Result<()> {
        self.server.process().end_awaited(DEATH_DEADLINE)?;
        self.server = serve(&self.world, &self.faults)?;
        Ok(())
    }

    /// Another replica, which comes to the same faults.
    pub(crate) fn another_server(&self) -> Result<Server> {
        serve(&self.world, &self.faults)
    }

    /// Waits until one of the two servers has died, and goes on with the other.
    pub(crate) fn go_on_with_survivor(&mut self, mut other: Server) -> Result<()> {
        let began = Instant::now();
        while !other.process().has_ended()? {
            if self.server.process().has_ended()? {
                self.server = other;
                return Ok(());
            }
            ensure!(began.elapsed() < DEATH_DEADLINE, "both servers live");
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    pub(crate) const fn platform(&self) -> &Endpoints {
        self.world.platform()
    }

    pub(crate) const fn openbao(&self) -> &OpenBao {
        self.world.openbao()
    }

    pub(crate) fn remains(&self, slug: &str) -> Result<Vec<String>> {
        self.world.remains(slug)
    }

    /// Starts again after a case that failed, with nothing armed and every tenant left where it is.
    pub(crate) fn restart(&mut self) {
        self.free.clear();
        if let (Ok(faults), _) = (Faults::new(), self.server.process().kill())
            && let Ok(server) = serve(&self.world, &faults)
        {
            (self.faults, self.server) = (faults, server);
        }
    }

    /// Waits until an operation settles, whatever the server has to go through meanwhile.
    pub(crate) fn settled(&self, id: &str) -> Result<Value> {
        let (api, began) = (self.api()?, Instant::now());
        let (mut seen, mut last) = (0, String::new());
        while began.elapsed() < SETTLE_DEADLINE {
            match api.get(&format!("/v1/operations/{id}?wait_s=5&seen={seen}")) {
                Ok(answer) if answer.status == 200 => {
                    if matches!(answer.body["state"].as_str(), Some("succeeded" | "failed" | "stuck")) {
                        return Ok(answer.body);
                    }
                    seen = answer.body["revision"].as_i64().unwrap_or(0);
                    last = answer.body.to_string();
                }
                Ok(answer) if answer.status < 500 => bail!("looking at {id}: {answer:?}"),
                // The database is away, or was a moment ago.
                Ok(_) | Err(_) => std::thread::sleep(POLL),
            }
        }
        bail!("{id} has not settled in {SETTLE_DEADLINE:?}: {last}")
    }

    /// Counts what is not as it should be in the systems.
    fn compare(&self, slug: &str, wanted: &[String]) -> Result<()> {
        let found = self.world.remains(slug)?;
        found.iter().filter(|it| !wanted.contains(it)).for_each(|it| self.tally.orphan(slug, it));
        wanted.iter().filter(|it| !found.contains(it)).for_each(|it| self.tally.lost(slug, it));
        Ok(())
    }

    /// A tenant is active, and all of its places are there and in this state.
    pub(crate) fn is_whole(&self, slug: &str, state: &str) -> Result<()> {
        self.compare(slug, &self.whole)?;
        let listed = self.api()?.list(&format!("/v1/tenants?slug={slug}"))?;
        let [tenant] = &listed[..] else { bail!("{} tenants of one slug", listed.len()) };
        ensure!(tenant["status"] == "active", "not active: {tenant}");
        let places = tenant["isolation"].as_object().context("a tenant has places")?;
        for (system, place) in places {
            ensure!(place["state"] == state || place["state"] == "off", "{system} is not {state}: {tenant}");
        }
        Ok(())
    }

    /// Nothing is there under a tenant's name but what is not ours, and that still is.
    pub(crate) fn is_gone_but(&self, slug: &str, theirs: &[String]) -> Result<()> {
        self.compare(slug, theirs)?;
        let listed = self.api()?.list(&format!("/v1/tenants?slug={slug}"))?;
        ensure!(listed.is_empty(), "it is still there: {listed:?}");
        Ok(())
    }

    /// Nothing is left of a tenant, and no row of it but the record of what was done.
    pub(crate) fn is_gone(&self, slug: &str, id: Option<&str>) -> Result<()> {
        self.compare(slug, &[])?;
        let listed = self.api()?.list(&format!("/v1/tenants?slug={slug}"))?;
        ensure!(listed.is_empty(), "it is still there: {listed:?}");
        let Some(id) = id.and_then(|id| id.strip_prefix("ten_")) else { return Ok(()) };
        for table in self.tables_of_tenants()? {
            let rows = self.world.count(&format!("{table} WHERE tenant_id = '{id}'"))?;
            if rows > 0 {
                self.tally.orphan(slug, &format!("postgres: {rows} rows in {table}"));
            }
        }
        Ok(())
    }

    /// Tables with rows of a tenant that are to go with it. What was done is remembered, and which slugs
    /// are not to be given out again.
    fn tables_of_tenants(&self) -> Result<Vec<String>> {
        let mut database = self.world.database()?;
        let statement = AssertSqlSafe(
            "SELECT table_name::text FROM information_schema.columns
             WHERE table_schema = 'public' AND column_name = 'tenant_id'
               AND table_name NOT IN ('operation', 'operation_step', 'slug_retired', 'idempotency_key')"
                .to_owned(),
        );
        Ok(block_on(sqlx::query_scalar(statement).fetch_all(&mut database))?)
    }

    /// The tenant's place in OpenBao holds these secrets and no others.
    pub(crate) fn holds_secrets(&self, slug: &str, wanted: &Secrets) -> Result<()> {
        let stored = self.world.openbao().below(&format!("tenant-{slug}")).secret_texts()?;
        for _ in stored.difference(wanted) {
            self.tally.orphan(slug, "openbao: a secret");
        }
        for _ in wanted.difference(&stored) {
            self.tally.lost(slug, "openbao: a secret");
        }
        Ok(())
    }

    /// None of these, and none of the platform's own, is in a text.
    pub(crate) fn shows_no_secret(&self, text: &str, secrets: &[&str]) -> Result<()> {
        let shows = secrets.iter().chain([&self.world.token()]).any(|secret| text.contains(secret));
        ensure!(!shows, "a secret is in an operation");
        Ok(())
    }

    /// Removes every tenant but the bystander, and asks the systems of each that there ever was.
    pub(crate) fn close(mut self) -> Result<()> {
        let api = self.api()?;
        let left = api.list("/v1/tenants")?;
        let left = left.iter().filter(|it| it["slug"] != self.bystander.0.slug);
        let ids: Vec<_> = left.filter_map(|it| it["id"].as_str()).collect();
        for some in ids.chunks(DELETED_AT_ONCE) {
            let delete = |id: &&str| api.delete(&format!("/v1/tenants/{id}"));
            for accepted in some.iter().map(delete).collect::<Result<Vec<_>>>()? {
                api.succeeded(&accepted)?;
            }
        }
        for slug in std::mem::take(&mut self.slugs) {
            self.compare(&slug, &[])?;
        }
        let (bystander, hook) = &self.bystander;
        self.is_whole(&bystander.slug, "ready")?;
        self.holds_secrets(&bystander.slug, &Secrets::from([hook.key.clone()]))?;
        api.succeeded(&api.delete(&format!("/v1/tenants/{}", bystander.id))?)?;
        self.compare(&bystander.slug, &[])
    }
}

fn serve(world: &World, faults: &Faults) -> Result<Server> {
    let timeout = TIMEOUT.as_secs().to_string();
    let timeouts = ["OPENBAO", "KEYCLOAK", "NATS", "KUBERNETES"]
        .map(|system| (format!("INTEGRACI_SERVER__{system}__TIMEOUT_S"), timeout.clone()));
    let timeouts = timeouts.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let env: Vec<_> = TAKEN_UP_SOON.into_iter().chain([faults.env()]).chain(timeouts).collect();
    world.serve_with(&env)
}
