//! Changes of a tenant: of what is written down of it, of its plan, and whether it is suspended.

use integraci_api::operations::OperationKind;
use integraci_api::tenants::{Tenant, TenantUpdate};
use integraci_api::{Problem, ProblemCode, TenantId};
use serde_json::json;
use time::OffsetDateTime;

use super::row::{self, Row};
use super::{Tenants, lock, payment, places_changed, read_for, refuse_unless_active, sagas};
use crate::accounts::TenantAuthority;
use crate::error::Error;
use crate::events::{self, Kind};
use crate::plans::Plan;
use crate::quotas::{self, Change, InSystems};
use crate::store::{StoreError, TenantTx};

impl Tenants {
    /// Changes a tenant. Its plan and whether it is suspended are the platform's to decide.
    ///
    /// # Errors
    /// `invalid_request`, `forbidden`, `not_found`, `precondition_failed`, `busy`, `quota_below_use`
    /// for a plan too small for what is used, `unavailable` where a system does not tell how much that is, or
    /// the store's.
    pub async fn update(
        &self,
        by: &TenantAuthority,
        expected: Option<i64>,
        wanted: &TenantUpdate,
    ) -> Result<Tenant, Error> {
        wanted.check().map_err(Error::invalid)?;
        for (pointer, given) in [("/plan", wanted.plan.is_some()), ("/suspended", wanted.suspended.is_some())]
        {
            if given && !by.of_platform() {
                return Err(Problem::new(ProblemCode::Forbidden, "only a platform token may change this")
                    .at(pointer)
                    .into());
            }
        }
        let now = self.source.now();
        let plan = wanted.plan.as_deref().map(|name| self.plans.get(name)).transpose();
        let plan = plan.map_err(|fault| Error::invalid(vec![fault]))?;
        let in_systems = match plan {
            Some(plan) => self.used_of_what_it_lowers(by.tenant(), plan, now).await?,
            None => InSystems::default(),
        };
        let mut tx = self.store.tenant_tx(by.tenant()).await?;
        let now_there = lock(&mut tx, by.tenant(), expected).await?;
        refuse_unless_active(&now_there)?;
        if let Some(plan) = plan.filter(|plan| plan.name != now_there.plan)
            && quotas::change_plan(&mut tx, plan, &in_systems, now).await?
        {
            places_changed(&mut tx, self.source, &now_there).await?;
        }
        let row: Row = sqlx::query_as(row::UPDATE)
            .bind(by.tenant().uuid())
            .bind(&wanted.name)
            .bind(&wanted.plan)
            .bind(&wanted.owner_email)
            .bind(wanted.labels.as_ref().map(sqlx::types::Json))
            .bind(wanted.delete_protection)
            .bind(wanted.suspended)
            .bind(now)
            .fetch_one(tx.conn())
            .await
            .map_err(StoreError::on("change a tenant"))?;
        let mut tenant = row.into_tenant()?;
        self.tell_update(&mut tx, &now_there, wanted).await?;
        // One that is under way sees the change, or begins another when it ends.
        if tenant.suspended != now_there.suspended && tenant.operation_id.is_none() {
            let kind = OperationKind::TenantUpdate;
            let operation = sagas::enqueue(&mut tx, self.source, kind, by.tenant(), &tenant.slug).await?;
            tenant.operation_id = Some(operation.id);
        }
        if wanted.plan.is_some() || wanted.name.is_some() || wanted.owner_email.is_some() {
            self.billing.wanted_changed(&mut tx, by.tenant(), &tenant.plan).await?;
        }
        tx.commit().await?;
        Ok(tenant)
    }

    /// What the tenant uses in systems of all that another plan has less of.
    async fn used_of_what_it_lowers(
        &self,
        tenant: TenantId,
        plan: &Plan,
        now: OffsetDateTime,
    ) -> Result<InSystems, Error> {
        let there = read_for(&mut self.store.tenant_tx(tenant).await?).await?;
        refuse_unless_active(&there)?;
        if there.plan == plan.name {
            return Ok(InSystems::default());
        }
        Change::Plan(plan).used_in_systems(&self.store, &self.cells, tenant, now).await
    }

    /// Tells which fields were given, and not what they hold: some of it is of people.
    async fn tell_update(
        &self,
        tx: &mut TenantTx,
        before: &Tenant,
        wanted: &TenantUpdate,
    ) -> Result<(), StoreError> {
        let (id, object) = (before.id, before.id.to_string());
        let fields = [
            ("name", wanted.name.is_some()),
            ("plan", wanted.plan.is_some()),
            ("owner_email", wanted.owner_email.is_some()),
            ("labels", wanted.labels.is_some()),
            ("delete_protection", wanted.delete_protection.is_some()),
        ];
        let fields: Vec<_> = fields.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        if !fields.is_empty() {
            let facts = json!({ "fields": fields });
            events::emit(tx, self.source.uuid(), id, Kind::TenantUpdated, &object, facts).await?;
        }
        match wanted.suspended {
            // One that is closed for another reason stays so.
            Some(suspended) if suspended != before.suspended && !before.payment_overdue => {
                let kind = if suspended { Kind::TenantSuspended } else { Kind::TenantResumed };
                let facts = json!({ "reason": payment::REASON_PLATFORM });
                events::emit(tx, self.source.uuid(), id, kind, &object, facts).await
            }
            _ => Ok(()),
        }
    }
}
