//! The run of one attestation: what every system tries, side by side, and what is said of a system in
//! which nothing could be tried.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use integraci_api::attestations::{Check, CheckKind};

use crate::isolation::{Cells, ErrorClass, Isolation, System, SystemError, Wanted};
use crate::source::Source;

/// How long one system may take for its attempts; a client waits for the slowest.
const ATTEMPTS: Duration = Duration::from_secs(20);
/// How long the canary's place in a system may take to be there: a new realm takes seconds.
const CANARY: Duration = Duration::from_secs(15);
/// How long the canary's place is taken to be as it was last made. If somebody spoils it meanwhile, the
/// controls tell, and the next attestation makes it anew.
const CANARY_KEPT: Duration = Duration::from_secs(300);
/// How often a system is asked that is busy, with another replica making the same place for instance: there
/// is no saga that would come back for the canary.
const BUSY_PAUSE: Duration = Duration::from_millis(500);

/// Tries tenants' isolation in every system.
#[derive(Clone)]
pub(super) struct Tries {
    postgres: Arc<dyn Isolation>,
    cells: Arc<Cells>,
    source: Source,
    canaries: Arc<Mutex<BTreeMap<(System, String), Kept>>>,
}

/// When the canary's place in a cell was last made. Held while it is made.
type Kept = Arc<tokio::sync::Mutex<Option<Instant>>>;

/// What came of it.
pub(super) struct Tried {
    pub(super) checks: Vec<Check>,
    pub(super) off: Vec<System>,
}

impl Tries {
    pub(super) fn new(postgres: Arc<dyn Isolation>, cells: Arc<Cells>, source: Source) -> Self {
        Self { postgres, cells, source, canaries: Arc::default() }
    }

    /// Tries everything for a tenant that lives in these cells.
    pub(super) async fn run(&self, own: &Wanted, canary: &Wanted, homes: &BTreeMap<System, String>) -> Tried {
        let off = |system: &&System| **system != System::Postgres && !homes.contains_key(*system);
        let on = System::ALL.iter().filter(|system| !off(system));
        let tried = on.map(|system| self.system(*system, homes.get(system).map(String::as_str), own, canary));
        Tried {
            checks: join_all(tried).await.into_iter().flatten().collect(),
            off: System::ALL.iter().filter(off).copied().collect(),
        }
    }

    async fn system(&self, system: System, cell: Option<&str>, own: &Wanted, canary: &Wanted) -> Vec<Check> {
        let home = match cell {
            None => Some(&self.postgres),
            Some(cell) => self.cells.get(system, cell),
        };
        let Some(home) = home else {
            return vec![self.failed(system, &ANSWER, "the tenant's cell of it is not in the configuration")];
        };
        let mut checks = Vec::new();
        if let Some(cell) = cell {
            checks.extend(self.canary_missing(system, cell, home.as_ref(), canary).await);
        }
        match tokio::time::timeout(ATTEMPTS, home.attest(own, canary)).await {
            Ok(found) => {
                let kinds: BTreeSet<_> = found.iter().map(|check| check.kind == CheckKind::Attempt).collect();
                if kinds.len() < 2 {
                    checks.push(self.failed(system, &BOTH_SIDES, "one of them is missing"));
                }
                checks.extend(found);
            }
            Err(_) => checks.push(self.failed(system, &ANSWER, "it did not end in time")),
        }
        if let Some(cell) = cell
            && checks.iter().any(|check| !check.passed)
            && let Ok(mut made) = self.kept(system, cell).try_lock()
        {
            *made = None;
        }
        checks
    }

    /// Sees to it that the canary has its place; a failed check if it has not.
    async fn canary_missing(
        &self,
        system: System,
        cell: &str,
        home: &dyn Isolation,
        canary: &Wanted,
    ) -> Option<Check> {
        let kept = self.kept(system, cell);
        let made = async {
            // Of several attestations at once, one makes it and the others wait.
            let mut made = kept.lock().await;
            if made.is_none_or(|made| made.elapsed() >= CANARY_KEPT) {
                make(home, canary).await?;
                *made = Some(Instant::now());
            }
            Ok::<_, SystemError>(())
        };
        let observed = match tokio::time::timeout(CANARY, made).await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it was not there in time".to_owned(),
        };
        Some(self.failed(system, &CANARY_THERE, &observed))
    }

    fn kept(&self, system: System, cell: &str) -> Kept {
        let mut canaries = self.canaries.lock().unwrap_or_else(PoisonError::into_inner);
        canaries.entry((system, cell.to_owned())).or_default().clone()
    }

    fn failed(&self, system: System, wanted: &Control, observed: &str) -> Check {
        Check {
            system,
            check: wanted.name.to_owned(),
            kind: CheckKind::Control,
            attempted: wanted.attempted.to_owned(),
            expected: wanted.expected.to_owned(),
            observed: observed.to_owned(),
            passed: false,
            at: self.source.now(),
        }
    }
}

/// Makes the canary's place, however often a system says that it is busy.
async fn make(home: &dyn Isolation, canary: &Wanted) -> Result<(), SystemError> {
    loop {
        match home.ensure(canary).await {
            Ok(_) => return Ok(()),
            Err(SystemError { class: ErrorClass::Busy { retry_after }, .. }) => {
                tokio::time::sleep(retry_after.unwrap_or(BUSY_PAUSE).min(BUSY_PAUSE)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// A control that is only told of when it fails.
struct Control {
    name: &'static str,
    attempted: &'static str,
    expected: &'static str,
}

const ANSWER: Control = Control {
    name: "system_answers",
    attempted: "try the tenant's isolation there",
    expected: "the attempts are made, and end",
};

const CANARY_THERE: Control = Control {
    name: "canary_is_there",
    attempted: "give the canary its place there, to be tried to reach",
    expected: "it is there",
};

const BOTH_SIDES: Control = Control {
    name: "attempts_and_controls",
    attempted: "make attempts on another tenant's place, and controls that show that they could succeed",
    expected: "there are both",
};

#[cfg(test)]
mod tests {
    use integraci_api::TenantId;
    use uuid::Uuid;

    use super::super::canary;
    use super::*;
    use crate::isolation::postgres::Postgres;
    use crate::store::{Store, StoreConfig};

    fn nowhere() -> Tries {
        let config = StoreConfig {
            tenant_url: "postgres://integraci_tenant@127.0.0.1:1/none".to_owned().into(),
            platform_url: "postgres://integraci_platform@127.0.0.1:1/none".to_owned().into(),
            max_connections: 2,
        };
        let store = Store::new(&config).unwrap();
        Tries::new(Arc::new(Postgres::new(store)), Arc::default(), Source::real())
    }

    #[tokio::test(start_paused = true)]
    async fn a_system_that_is_away_fails_and_one_that_is_off_is_only_named() {
        let homes = BTreeMap::from([(System::Nats, "gone".to_owned())]);
        let [own, canary] = [1, 2].map(|id| canary::wanted(TenantId::from_uuid(Uuid::from_u128(id))));
        let tried = nowhere().run(&own, &canary, &homes).await;
        assert_eq!(tried.off, [System::OpenBao, System::Keycloak, System::Kubernetes]);
        assert!(tried.checks.iter().all(|check| !check.passed), "{:?}", tried.checks);
        let systems: BTreeSet<_> = tried.checks.iter().map(|check| check.system).collect();
        assert_eq!(systems, BTreeSet::from([System::Postgres, System::Nats]));
    }
}
