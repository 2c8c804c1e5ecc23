//! An apply whose server dies under it. What becomes of an operation whose server dies, wherever it
//! dies, is the fault matrix's to see: `tests/faults`.

use std::thread;

use acceptance_tests::far::webhook;
use acceptance_tests::{Cli, Faults, Server, Workdir, World, for_each_cli, new_slug};
use anyhow::Result;

use crate::support::{tenant_hcl, webhook_hcl};

/// A dead server's operations are taken up within seconds.
const TAKEN_UP_SOON: [(&str, &str); 2] =
    [("INTEGRACI_SERVER__OPERATIONS__LEASE_S", "2"), ("INTEGRACI_SERVER__OPERATIONS__LATE_S", "1")];

for_each_cli!(an_apply_goes_on_when_its_server_comes_back, the_same_apply_succeeds_after_one_that_gave_up,);

/// A tenant and a connector in it.
fn config(work: &mut Workdir, timeouts: &str) -> Result<String> {
    let hook = webhook()?;
    work.set_var("key", &hook.key);
    let connector = webhook_hcl("TENANT", &hook, timeouts).replace("\"TENANT\"", "integraci_tenant.acme.id");
    Ok(tenant_hcl(&new_slug("killed"), timeouts) + &connector)
}

fn an_apply_goes_on_when_its_server_comes_back(cli: Cli) -> Result<()> {
    for at in ["tenant_create/openbao_place/after", "connector_create/verified/after"] {
        let world = World::new("comeback")?;
        let mut dying = serve_dying(&world, at)?;
        let mut work = Workdir::new(cli, dying.endpoint(), world.token())?;
        let config = config(&mut work, "")?;
        work.write("main.tf", &config)?;
        let listen = dying.endpoint().trim_start_matches("http://").to_owned();

        let applied = thread::scope(|scope| {
            let applying = scope.spawn(|| work.apply());
            let died = dying.process().end_awaited(std::time::Duration::from_secs(60));
            let back = died.and_then(|_| {
                world.serve_with(&[TAKEN_UP_SOON[0], TAKEN_UP_SOON[1], ("INTEGRACI_SERVER__LISTEN", &listen)])
            });
            (applying.join(), back)
        });
        let (applied, back) = applied;
        let _back = back?;
        applied.map_err(|_| anyhow::anyhow!("the apply panicked"))??;
        work.plan_is_empty()?;
    }
    Ok(())
}

fn the_same_apply_succeeds_after_one_that_gave_up(cli: Cli) -> Result<()> {
    for at in ["tenant_create/openbao_place/before", "connector_create/connector_activate/before"] {
        let world = World::new("gave-up")?;
        let dying = serve_dying(&world, at)?;
        let mut work = Workdir::new(cli, dying.endpoint(), world.token())?;
        let impatient = config(&mut work, "timeouts = { create = \"6s\" }")?;
        work.write("main.tf", &impatient)?;
        let errors = work.try_apply()?.failed()?;
        assert_eq!(errors.len(), 1, "{errors:#?}");
        drop(dying);

        let server = world.serve_with(&TAKEN_UP_SOON)?;
        work.set_env("INTEGRACI_ENDPOINT", server.endpoint());
        work.write("main.tf", &impatient.replace("\"6s\"", "\"2m\""))?;
        work.apply()?;
        work.plan_is_empty()?;
        let tenants = server.api()?.list("/v1/tenants")?;
        assert_eq!(tenants.len(), 1, "{tenants:?}");
        assert_eq!(world.openbao().namespaces()?.len(), 1);
    }
    Ok(())
}

/// A server that dies at a point.
fn serve_dying(world: &World, at: &str) -> Result<Server> {
    let faults = Faults::new()?;
    let _armed = faults.arm(at)?;
    world.serve_with(&[TAKEN_UP_SOON[0], TAKEN_UP_SOON[1], faults.env()])
}
