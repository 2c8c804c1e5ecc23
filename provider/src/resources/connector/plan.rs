//! What is planned for a connector.

use tfplugin::{Cx, Diagnostics, Plan, Value};

use super::Connector;
use super::adopted::{self, Adopted};
use super::secret::{self, Secret};
use crate::connection::Connection;
use crate::preflight;

/// Improves on the usual plan. An update of which the platform hears nothing, and one that finds nothing
/// to do, leave alone what the platform says of the connector; any other has the far system asked.
pub(super) async fn plan(cx: &Cx<Connection>, plan: &mut Plan<Connector>) -> Result<(), Diagnostics> {
    let Some(prior) = &plan.prior else {
        create(plan);
        let secrets = plan.config.kinds.chosen().map_or(0, |chosen| chosen.secret_count());
        return preflight::create(cx, &plan.planned.place(secrets)).await;
    };
    if let (Some(before), Some(after)) = (prior.kinds.kind(), plan.planned.kinds.kind())
        && before != after
    {
        preflight::goes(cx, &prior.place_given_back());
        plan.replace(before.name);
        plan.replace(after.name);
        return Ok(());
    }
    if prior.tenant_id != plan.planned.tenant_id {
        preflight::goes(cx, &prior.place_given_back());
        return Ok(());
    }
    preflight::stays(cx, &plan.planned.place_given_back());
    let may_be_new = match secret::of(cx, prior, &plan.config) {
        // Core plans once more when it applies, and takes no new secret then where it was told that there
        // is none; but one from something ephemeral may have changed meanwhile. So the apply finds out.
        Secret::Ask(_) if is_heard(prior, &plan.planned) => true,
        secret => secret.find_out_if_new(cx, prior).await?,
    };
    let planned = update(prior, &plan.config, plan.planned.clone(), may_be_new);
    plan.planned = planned;
    Ok(())
}

fn create(plan: &mut Plan<Connector>) {
    let Plan { config, planned, .. } = plan;
    planned.secret_wo_version.clone_from(&config.secret_wo_version);
    planned.timeouts.clone_from(&config.timeouts);
    if planned.kinds.kind().is_some_and(|kind| kind.inbound.is_none()) {
        planned.inbound_url = Value::Null;
    }
}

/// Whether the platform hears of an update to `usual`, also if the secret stays.
fn is_heard(prior: &Connector, usual: &Connector) -> bool {
    !usual.has_config_of(prior)
        || usual.name != prior.name
        || usual.verify != prior.verify
        || usual.rotate_every_days != prior.rotate_every_days
}

/// The plan of an update of `prior`; the same as that where nothing is to be done.
fn update(prior: &Connector, config: &Connector, usual: Connector, may_have_new_secret: bool) -> Connector {
    let has_same_config = usual.has_config_of(prior);
    let is_sent = may_have_new_secret || is_heard(prior, &usual);
    let Adopted { planned: secret_wo_version, is_change: is_new_version } =
        adopted::version(&prior.secret_wo_version, &config.secret_wo_version);
    let Adopted { planned: timeouts, is_change: has_new_times } = prior.timeouts.adopting(&config.timeouts);
    if !is_sent && !is_new_version && !has_new_times && usual.on_destroy == prior.on_destroy {
        return prior.clone();
    }
    let told = |prior: &Value<String>| if is_sent { Value::Unknown } else { prior.clone() };
    let gets_address = may_have_new_secret
        && prior.inbound_url.is_null()
        && usual.kinds.kind().is_some_and(|kind| kind.inbound.is_some());
    Connector {
        // Where only the way it is written differs, core lets the way it was stand.
        kinds: if has_same_config { prior.kinds.clone() } else { usual.kinds },
        secret_wo_version,
        timeouts,
        // Unknown is how the plan says that there is, or may be, a new secret.
        secret_version: if may_have_new_secret { Value::Unknown } else { prior.secret_version },
        secret_expires_at: told(&prior.secret_expires_at),
        verification_status: told(&prior.verification_status),
        verification_reason: told(&prior.verification_reason),
        last_verified_at: told(&prior.last_verified_at),
        inbound_url: if gets_address { Value::Unknown } else { prior.inbound_url.clone() },
        ..usual
    }
}
