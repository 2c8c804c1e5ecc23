//! `tenant_create`: gives one tenant all it needs, or leaves nothing behind.
//! `tenant_update`: brings its places to what they are to be by now; only goes forward.
//! `tenant_delete`: takes all of it away; only goes forward.
//!
//! create: record → a place in each system, side by side → activate; undo runs right to left.
//! update: the places, side by side → settle.
//! delete: the places and what Stripe has, side by side → the records.
//!
//! There is a definition of each for every set of systems that can be on: an operation's steps are
//! those of the systems that its tenant has a place in. Stripe is one of them where there is something to
//! remove; what it has is made by a saga of its own (`billing`), which begins when the tenant comes into use.

use std::sync::Arc;

use async_trait::async_trait;
use integraci_api::isolation::PlaceState;
use integraci_api::operations::{Operation, OperationKind};
use integraci_api::tenants::TenantNames;
use integraci_api::{OperationId, Slug, TenantId};
use serde::Deserialize;

use super::places;
use crate::billing::{self, Billing};
use crate::events::{self, Kind};
use crate::isolation::{Cells, Isolation, Limits, System, Wanted};
use crate::saga::log::{self, NewOperation};
use crate::saga::{Definition, Direction, Probe, Step, StepCx, StepError};
use crate::source::Source;
use crate::store::{PlatformTx, Store, StoreError, Tx};
use crate::usage;

const RECORD: &str = "tenant_record";
const ACTIVATE: &str = "tenant_activate";
const SETTLE: &str = "tenant_settle";
const REMOVAL: &str = "tenant_removal";

/// The systems that tenants have places in, beside the database.
const SYSTEMS: [System; 4] = [System::OpenBao, System::Keycloak, System::Nats, System::Kubernetes];

/// What the sagas are told.
#[derive(Deserialize)]
struct TenantInput {
    slug: Slug,
}

/// What every step works with.
#[derive(Clone)]
struct Tools {
    store: Store,
    cells: Arc<Cells>,
    source: Source,
    billing: Billing,
}

/// The sagas, for every set of systems.
#[must_use]
pub fn definitions(store: &Store, cells: &Arc<Cells>, source: Source, billing: &Billing) -> Vec<Definition> {
    let tools = Tools { store: store.clone(), cells: cells.clone(), source, billing: billing.clone() };
    let sets = (0..1 << SYSTEMS.len()).map(|set: usize| {
        let within = |(n, _): &(usize, &System)| set & (1 << n) != 0;
        SYSTEMS.iter().enumerate().filter(within).map(|(_, system)| *system).collect::<Vec<_>>()
    });
    let of_set = |systems: Vec<System>| {
        [
            Definition {
                kind: OperationKind::TenantCreate,
                direction: Direction::OrNothing,
                steps: tools.create(&systems),
            },
            Definition {
                kind: OperationKind::TenantUpdate,
                direction: Direction::ForwardOnly,
                steps: tools.update(&systems),
            },
            Definition {
                kind: OperationKind::TenantDelete,
                direction: Direction::ForwardOnly,
                steps: tools.delete(&systems, false),
            },
            Definition {
                kind: OperationKind::TenantDelete,
                direction: Direction::ForwardOnly,
                steps: tools.delete(&systems, true),
            },
        ]
    };
    sets.flat_map(of_set).collect()
}

/// The names of a saga's steps, for a tenant with places in these systems, and perhaps something at Stripe.
fn step_names(kind: OperationKind, systems: &[System], is_billed: bool) -> Vec<&'static str> {
    match kind {
        OperationKind::TenantCreate => around(Some(RECORD), systems.iter().map(|it| place(*it)), ACTIVATE),
        OperationKind::TenantUpdate => around(None, systems.iter().map(|it| place(*it)), SETTLE),
        _ => {
            let billed = is_billed.then_some(billing::REMOVAL);
            around(None, systems.iter().map(|it| removal(*it)).chain(billed), REMOVAL)
        }
    }
}

fn around(
    first: Option<&'static str>,
    middle: impl Iterator<Item = &'static str>,
    last: &'static str,
) -> Vec<&'static str> {
    first.into_iter().chain(middle).chain([last]).collect()
}

/// The step that makes a place. Names are in the log and never change.
const fn place(system: System) -> &'static str {
    match system {
        System::Postgres => "postgres_place",
        System::OpenBao => "openbao_place",
        System::Keycloak => "keycloak_place",
        System::Nats => "nats_place",
        System::Kubernetes => "kubernetes_place",
    }
}

/// The step that removes a place.
const fn removal(system: System) -> &'static str {
    match system {
        System::Postgres => "postgres_removal",
        System::OpenBao => "openbao_removal",
        System::Keycloak => "keycloak_removal",
        System::Nats => "nats_removal",
        System::Kubernetes => "kubernetes_removal",
    }
}

/// Enqueues an operation on a tenant's places, and makes it the tenant's own.
pub(super) async fn enqueue(
    tx: &mut impl Tx,
    source: Source,
    kind: OperationKind,
    tenant: TenantId,
    slug: &Slug,
) -> Result<Operation, StoreError> {
    let is_billed = billing::Removal::is_needed(tx, tenant).await?;
    let steps = step_names(kind, &places::systems(tx, tenant).await?, is_billed);
    let id = OperationId::from_uuid(source.uuid());
    let input = serde_json::json!({ "slug": slug });
    let new = NewOperation { id, tenant, kind, target_id: tenant.to_string(), input, steps: &steps };
    let operation = log::operation_insert(tx, &new).await?;
    sqlx::query("UPDATE tenant SET operation_id = $2 WHERE id = $1")
        .bind(tenant.uuid())
        .bind(id.uuid())
        .execute(tx.conn())
        .await
        .map_err(StoreError::on("name a tenant's operation"))?;
    Ok(operation)
}

impl Tools {
    fn create(&self, systems: &[System]) -> Vec<Box<dyn Step>> {
        let mut steps: Vec<Box<dyn Step>> = vec![Box::new(Record(self.clone()))];
        steps.extend(systems.iter().map(|system| self.place(*system, &[RECORD], false)));
        let needs = steps.iter().map(|step| step.name()).collect();
        steps.push(Box::new(Activate { tools: self.clone(), needs }));
        steps
    }

    fn update(&self, systems: &[System]) -> Vec<Box<dyn Step>> {
        let mut steps: Vec<Box<dyn Step>> =
            systems.iter().map(|system| self.place(*system, &[], true)).collect();
        let needs = steps.iter().map(|step| step.name()).collect();
        steps.push(Box::new(Settle { tools: self.clone(), needs }));
        steps
    }

    fn delete(&self, systems: &[System], is_billed: bool) -> Vec<Box<dyn Step>> {
        let removal = |system: &System| -> Box<dyn Step> {
            Box::new(RemovePlace { system: *system, tools: self.clone() })
        };
        let mut steps: Vec<_> = systems.iter().map(removal).collect();
        if is_billed {
            steps.push(Box::new(billing::Removal(self.billing.clone())));
        }
        let needs = steps.iter().map(|step| step.name()).collect();
        steps.push(Box::new(Remove { tools: self.clone(), needs }));
        steps
    }

    fn place(&self, system: System, needs: &'static [&'static str], looks_again: bool) -> Box<dyn Step> {
        Box::new(Place { system, needs, looks_again, tools: self.clone() })
    }

    /// The instance of the system that the tenant lives in.
    async fn home(&self, cx: &StepCx, system: System) -> Result<Arc<dyn Isolation>, StepError> {
        let mut tx = self.store.platform_tx().await?;
        let cell = places::cell(&mut tx, cx.tenant, system).await?.ok_or_else(|| places::no_cell(system))?;
        self.cells.get(system, &cell).cloned().ok_or_else(|| places::no_cell(system))
    }

    async fn wanted(&self, cx: &StepCx) -> Result<(Wanted, i64), StepError> {
        let mut tx = self.store.platform_tx().await?;
        let wanted = places::wanted(&mut tx, cx.tenant).await?;
        wanted.ok_or_else(|| StepError::broken("The tenant's record is not there any more."))
    }

    /// A transaction that only commits what the holder of the operation does.
    async fn fenced(&self, cx: &StepCx) -> Result<PlatformTx, StepError> {
        let mut tx = self.store.platform_tx().await?;
        cx.fence.hold(&mut tx).await?;
        Ok(tx)
    }
}

/// The tenant, where only whose place it is counts.
fn named(cx: &StepCx) -> Result<Wanted, StepError> {
    let names = TenantNames::of(&cx.input::<TenantInput>()?.slug);
    Ok(Wanted { tenant: cx.tenant, names, suspended: false, limits: Limits::SHIPPED })
}

/// The tenant's row. The request wrote it with the operation; the undo takes it away again, and with
/// it the slug's being taken.
struct Record(Tools);

#[async_trait]
impl Step for Record {
    fn name(&self) -> &'static str {
        RECORD
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Present)
    }

    async fn apply(&self, _: &StepCx) -> Result<(), StepError> {
        Ok(())
    }

    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        let mut tx = self.0.fenced(cx).await?;
        sqlx::query("DELETE FROM tenant WHERE id = $1 AND status = 'creating'")
            .bind(cx.tenant.uuid())
            .execute(tx.conn())
            .await
            .map_err(StoreError::on("remove a half-made tenant"))?;
        Ok(tx.commit().await?)
    }
}

/// The tenant's place in one system.
struct Place {
    system: System,
    needs: &'static [&'static str],
    /// Whether to look, once it is done, at what could not be mended.
    looks_again: bool,
    tools: Tools,
}

#[async_trait]
impl Step for Place {
    fn name(&self) -> &'static str {
        place(self.system)
    }

    fn needs(&self) -> &[&'static str] {
        self.needs
    }

    /// `ensure` looks for itself at what is there, so the answer may always be to apply it again.
    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let home = self.tools.home(cx, self.system).await?;
        let (wanted, revision) = self.tools.wanted(cx).await?;
        let facts = home.ensure(&wanted).await?;
        let left = if self.looks_again { home.drift(&wanted).await? } else { Vec::new() };
        let mut tx = self.tools.fenced(cx).await?;
        places::made(&mut tx, &wanted, revision, self.system, &facts, cx.now).await?;
        if !left.is_empty() {
            let state = PlaceState::Drifted;
            places::found(&mut tx, cx.tenant, self.system, state, &left, cx.now).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        let home = self.tools.home(cx, self.system).await?;
        Ok(home.ensure_none(&named(cx)?).await?)
    }
}

/// The moment from which the tenant can be used.
struct Activate {
    tools: Tools,
    needs: Vec<&'static str>,
}

#[async_trait]
impl Step for Activate {
    fn name(&self) -> &'static str {
        ACTIVATE
    }

    fn needs(&self) -> &[&'static str] {
        &self.needs
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        self.set_status(cx, "creating", "active", Some(Kind::TenantCreated)).await
    }

    async fn undo(&self, cx: &StepCx) -> Result<(), StepError> {
        self.set_status(cx, "active", "creating", None).await?;
        billing::Removal(self.tools.billing.clone()).apply(cx).await
    }
}

impl Activate {
    async fn set_status(
        &self,
        cx: &StepCx,
        from: &'static str,
        to: &'static str,
        told: Option<Kind>,
    ) -> Result<(), StepError> {
        let mut tx = self.tools.fenced(cx).await?;
        let plan: Option<String> = sqlx::query_scalar(
            "UPDATE tenant SET status = $3, revision = revision + 1, updated_at = $4, operation_id = NULL
             WHERE id = $1 AND status = $2 RETURNING plan",
        )
        .bind(cx.tenant.uuid())
        .bind(from)
        .bind(to)
        .bind(cx.now)
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::on("change a tenant's status"))?;
        if let (Some(kind), Some(plan)) = (told, plan) {
            let id = self.tools.source.uuid();
            events::emit(&mut tx, id, cx.tenant, kind, &cx.target, serde_json::json!({})).await?;
            // Only now: of a tenant whose making fails Stripe hears nothing.
            self.tools.billing.wanted_changed(&mut tx, cx.tenant, &plan).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// The end of an update: nothing is under way any more, unless the tenant was changed meanwhile.
struct Settle {
    tools: Tools,
    needs: Vec<&'static str>,
}

#[async_trait]
impl Step for Settle {
    fn name(&self) -> &'static str {
        SETTLE
    }

    fn needs(&self) -> &[&'static str] {
        &self.needs
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let mut tx = self.tools.fenced(cx).await?;
        // Locked, so that no change comes between the look and the end.
        let settled: Option<bool> = sqlx::query_scalar(
            "UPDATE tenant SET operation_id = NULL WHERE id = $1 AND operation_id = $2
             RETURNING NOT EXISTS (SELECT 1 FROM tenant_system s
                                   WHERE s.tenant_id = tenant.id AND s.spec_revision < tenant.spec_revision)",
        )
        .bind(cx.tenant.uuid())
        .bind(cx.operation.uuid())
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::on("settle a tenant"))?;
        if settled == Some(false) {
            let slug = cx.input::<TenantInput>()?.slug;
            enqueue(&mut tx, self.tools.source, OperationKind::TenantUpdate, cx.tenant, &slug).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// The end of the tenant's place in one system.
struct RemovePlace {
    system: System,
    tools: Tools,
}

#[async_trait]
impl Step for RemovePlace {
    fn name(&self) -> &'static str {
        removal(self.system)
    }

    async fn probe(&self, cx: &StepCx) -> Result<Probe, StepError> {
        let home = self.tools.home(cx, self.system).await?;
        let left = home.remains(&named(cx)?).await?;
        Ok(if left.is_empty() { Probe::Present } else { Probe::Absent })
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        let home = self.tools.home(cx, self.system).await?;
        Ok(home.ensure_none(&named(cx)?).await?)
    }
}

/// The end of the tenant's records. The slug is retired if the tenant was ever used.
struct Remove {
    tools: Tools,
    needs: Vec<&'static str>,
}

#[async_trait]
impl Step for Remove {
    fn name(&self) -> &'static str {
        REMOVAL
    }

    fn needs(&self) -> &[&'static str] {
        &self.needs
    }

    async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
        Ok(Probe::Absent)
    }

    async fn apply(&self, cx: &StepCx) -> Result<(), StepError> {
        // More than one statement can remove, and no more come: the tenant is being deleted.
        usage::forget_all_of(&self.tools.store, cx.tenant).await?;
        let mut tx = self.tools.fenced(cx).await?;
        for statement in [
            "INSERT INTO slug_retired (slug, tenant_id, retired_at)
             SELECT slug, id, now() FROM tenant WHERE id = $1 AND first_used_at IS NOT NULL ON CONFLICT DO NOTHING",
            "DELETE FROM connector WHERE tenant_id = $1",
            "DELETE FROM idempotency_key WHERE tenant_id = $1",
            "DELETE FROM tenant WHERE id = $1",
        ] {
            sqlx::query(statement)
                .bind(cx.tenant.uuid())
                .execute(tx.conn())
                .await
                .map_err(StoreError::on("remove a tenant's records"))?;
        }
        Ok(tx.commit().await?)
    }
}
