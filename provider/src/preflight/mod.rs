//! The quota preflight: whether what a plan creates fits in its tenants' quotas.
//!
//! At plan it counts the connectors, and their secret values, that this plan creates and destroys in a tenant,
//! and asks the server once how much is left there. What does not fit is told once a tenant and dimension, at the
//! connector that is too many.
//!
//! Core's calls come in no order and none ends a plan, so a destroy that makes room, or a quota that is raised,
//! may be planned after the create that does not fit. That one create, and no other, holds its answer until core
//! has been quiet for [`SPELL`], and counts again. Where all fits, nothing is held.
//!
//! It knows only what core asks of this process: not what another configuration does meanwhile, not tenants
//! that are still to be created, nor that a replacement is to be created before the old one is destroyed. It
//! refuses nothing that the server would not refuse in the end; the server's check is the one that holds.

mod tally;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use integraci_api::TenantId;
use integraci_api::quotas::{Quota, dimension};
use tfplugin::{Cx, Diagnostic, Diagnostics, Text, Value};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

use self::tally::{Amounts, DIMENSIONS, Limit, Tally, TooMuch};
use crate::api::{Api, Error, Invalid, Patience};
use crate::connection::Connection;

/// How long core has asked nothing when the plan is taken to be complete. Core leaves far less between two
/// calls, unless it waits for another provider.
const SPELL: Duration = Duration::from_millis(200);
/// How long an answer is held at most.
const HELD_AT_MOST: Duration = Duration::from_secs(5);
/// How long the server may take. A plan does without the preflight rather than wait for long.
const ASKED_AT_MOST: Duration = Duration::from_secs(5);

/// What becomes of a plan that does not fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is refused.
    Error,
    /// It is warned of.
    #[default]
    Warn,
    /// Nothing is counted, and the server is not asked.
    Off,
}

impl Mode {
    /// What a word in the configuration means.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "off" => Ok(Self::Off),
            _ => Err(Invalid("expected one of: error, warn, off")),
        }
    }
}

/// What one plan, which is one process, does to its tenants' quotas.
#[derive(Default)]
pub struct Preflight {
    mode: Mode,
    tenants: Mutex<HashMap<TenantId, Arc<Tenant>>>,
    /// The server has not told how a quota stands. It is not asked again.
    is_blind: AtomicBool,
}

#[derive(Default)]
struct Tenant {
    tally: Mutex<Tally>,
    /// None: it cannot be known.
    quota: OnceCell<Option<Quota>>,
}

/// A connector in the terms of a quota.
pub(crate) struct Place<'a> {
    pub(crate) tenant: &'a Value<Text<TenantId>>,
    pub(crate) name: &'a Value<String>,
    /// How many secret values it has.
    pub(crate) secrets: usize,
}

impl Place<'_> {
    fn amounts(&self) -> Amounts {
        [1, i64::try_from(self.secrets).unwrap_or(i64::MAX)]
    }
}

/// A connector is there, and under that name after the plan as well. A create of that name replaces it:
/// core does not tell the provider that it was tainted, or is to be replaced by `-replace`.
pub(crate) fn stays(cx: &Cx<Connection>, connector: &Place<'_>) {
    if let (Some(now), Some(name)) = (Now::of(cx, connector.tenant), connector.name.as_known()) {
        now.tally().stays(name);
    }
}

/// A connector is to be destroyed, be it to make place for another in its stead.
pub(crate) fn goes(cx: &Cx<Connection>, connector: &Place<'_>) {
    if let (Some(now), Some(name)) = (Now::of(cx, connector.tenant), connector.name.as_known()) {
        now.tally().goes(name, connector.amounts());
    }
}

/// Limits by dimension, as `integraci_quota` has them.
type Limits = BTreeMap<String, Value<String>>;

/// The own limits of a tenant are to be these from now on; none, where the quota is created or destroyed.
pub(crate) fn limits(
    cx: &Cx<Connection>,
    tenant: &Value<Text<TenantId>>,
    before: Option<&Value<Limits>>,
    after: Option<&Value<Limits>>,
) {
    let Some(now) = Now::of(cx, tenant) else { return };
    let own = |limits: Option<&Value<Limits>>, name: &str| match limits {
        None | Some(Value::Null) => Value::Null,
        Some(Value::Unknown) => Value::Unknown,
        Some(Value::Known(limits)) => limits.get(name).cloned().unwrap_or_default(),
    };
    let limit = |name: &str| match own(after, name) {
        Value::Known(text) => {
            dimension(name).and_then(|it| it.parse(&text).ok()).map_or(Limit::NotKnown, Limit::Set)
        }
        Value::Null if own(before, name).is_null() => Limit::Stays,
        // Back to the plan's, of which a quota does not tell.
        Value::Null | Value::Unknown => Limit::NotKnown,
    };
    now.tally().limits = DIMENSIONS.map(limit);
}

/// A tenant is to have another plan, whose limits are not known here.
pub(crate) fn plan_changes(cx: &Cx<Connection>, tenant: &Value<Text<TenantId>>) {
    if let Some(now) = Now::of(cx, tenant) {
        now.tally().plan_changes = true;
    }
}

/// A connector is to be created. Warns, or refuses, if it is the one at which to tell that there is no room.
pub(crate) async fn create(cx: &Cx<Connection>, connector: &Place<'_>) -> Result<(), Diagnostics> {
    let Some(now) = Now::of(cx, connector.tenant) else { return Ok(()) };
    now.tally().create(connector.name.as_deref(), connector.amounts());
    let Some(quota) = now.quota(cx).await else { return Ok(()) };
    let Some(_held) = Held::at(&now.of, quota) else { return Ok(()) };
    tokio::select! {
        biased;
        // What is made room for at an apply is on its way then, and the server tells what does not fit.
        () = cx.applying() => return Ok(()),
        () = cx.quiet(SPELL) => {}
        () = sleep(HELD_AT_MOST) => {}
    }
    let mut refused = Diagnostics::new();
    for too_much in now.tally().tell(quota) {
        match now.preflight.mode {
            Mode::Error => refused.push(told(Diagnostic::error, now.id, &too_much).at("tenant_id")),
            Mode::Warn | Mode::Off => cx.warn(told(Diagnostic::warning, now.id, &too_much).at("tenant_id")),
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(refused) }
}

/// A tenant in a plan that is looked at.
struct Now<'a> {
    api: &'a Api,
    preflight: &'a Preflight,
    id: TenantId,
    of: Arc<Tenant>,
}

impl<'a> Now<'a> {
    /// None if it is not to be looked at: it was switched off, this is an apply already, or it is not known
    /// yet which tenant or which server.
    fn of(cx: &'a Cx<Connection>, tenant: &Value<Text<TenantId>>) -> Option<Self> {
        let Connection::Ready(api, preflight) = cx.api().ok()? else { return None };
        if preflight.mode == Mode::Off || cx.is_applying() {
            return None;
        }
        let id = tenant.as_known()?.0;
        Some(Self { api, preflight, id, of: preflight.tenant(id) })
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.of.tally()
    }

    /// How the quota stands: asked once, whoever asks first. None if that is not to be had.
    async fn quota(&self, cx: &Cx<Connection>) -> Option<&Quota> {
        let ask = || async {
            if self.preflight.is_blind.load(Ordering::Relaxed) {
                return None;
            }
            let patience = Patience { until: Instant::now() + ASKED_AT_MOST, stopped: cx.stopped() };
            let asked = timeout(ASKED_AT_MOST, self.api.quota_read(self.id, &patience)).await;
            let error = match asked {
                // No such tenant: its create will tell.
                Ok(Ok(quota)) => return quota,
                Ok(Err(error)) => error,
                Err(_) => Error::TimedOut { after: ASKED_AT_MOST },
            };
            let is_first = !self.preflight.is_blind.swap(true, Ordering::Relaxed);
            // Whoever wants a plan refused has to know that this one was let through.
            if is_first && self.preflight.mode == Mode::Error {
                cx.warn(blind(&error));
            }
            None
        };
        self.of.quota.get_or_init(ask).await.as_ref()
    }
}

impl Preflight {
    pub(crate) fn new(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }

    fn tenant(&self, id: TenantId) -> Arc<Tenant> {
        // Whole even if a holder has panicked: nothing is done under it but this.
        Arc::clone(self.tenants.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default())
    }
}

impl Tenant {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        // The same: every change is an insert or an assignment.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One create of a tenant holds its answer, until this is dropped: also where it is interrupted.
struct Held<'a>(&'a Tenant);

impl<'a> Held<'a> {
    /// None if all fits, or another does it.
    fn at(tenant: &'a Tenant, quota: &Quota) -> Option<Self> {
        let mut tally = tenant.tally();
        if tally.is_held || tally.too_much(quota).is_empty() {
            return None;
        }
        tally.is_held = true;
        Some(Self(tenant))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.tally().is_held = false;
    }
}

fn told(severity: fn(String) -> Diagnostic, tenant: TenantId, too_much: &TooMuch) -> Diagnostic {
    let TooMuch { dimension, creates, destroys, limit, in_use } = too_much;
    let things = if *dimension == "secrets" { "secret values of connectors" } else { dimension };
    let destroyed = if *destroys > 0 { format!(" and destroys {destroys}") } else { String::new() };
    let fit = (limit - in_use + destroys).max(0);
    severity(format!("The quota of tenant {tenant} has no room for these {dimension}")).detail(format!(
        "This plan creates {creates} {things} in tenant {tenant}{destroyed}, and {fit} fit (limit {limit}, {in_use} in \
         use). The apply will be refused what does not. Raise `{dimension}` in the tenant's quota (integraci_quota), \
         move the tenant to a larger plan, or remove some.\n\nWhat Terraform plans only after this is not counted, \
         as with -parallelism=1; how firmly this is taken is set by `quota_preflight` of the provider.",
    ))
}

fn blind(error: &Error) -> Diagnostic {
    Diagnostic::warning("The quotas could not be looked at").detail(format!(
        "Asked how much of a quota is used, for `quota_preflight`: {error}. The plan was made without that. The \
         token needs the scope quotas:read, and the server must be reachable at plan."
    ))
}
