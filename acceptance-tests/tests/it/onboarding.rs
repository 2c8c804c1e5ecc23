//! The main job: `examples/onboarding`, unchanged, from its first apply to its end.

use std::fs;
use std::path::Path;

use acceptance_tests::far::{new_secret, side};
use acceptance_tests::{Cli, Workdir, World, for_each_cli};
use anyhow::{Context as _, Result};
use serde_json::json;

for_each_cli!(the_example_makes_its_tenants);

fn the_example_makes_its_tenants(cli: Cli) -> Result<()> {
    // Its slugs are its own, so it has a world to itself.
    let world = World::new("onboarding")?;
    let server = world.serve()?;
    let mut work = Workdir::mirrored(cli, server.endpoint(), world.token())?;
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/onboarding");
    for entry in fs::read_dir(&example).context("reading the example")? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|it| it == "tf" || it == "yaml") {
            work.write(name, &fs::read_to_string(&path)?)?;
        }
    }

    let secrets = Secrets::known()?;
    work.set_var("registry_url", side()?.url());
    work.set_var("hooks_url", side()?.webhook_url("").trim_end_matches('/'));
    work.set_var("connector_secrets", &secrets.variable());
    work.set_var("delete_protection", "false");

    work.init()?;
    let ran = work.apply()?;
    // The attestations are read once the tenants are there, which counts as something applied.
    assert_eq!(ran.applied(), 3 + 6 + 2 + 3, "tenants, connectors, quotas: {:?}", ran.planned());
    work.plan_is_empty()?;
    secrets.are_not_in(&work)?;

    let api = server.api()?;
    let tenants = api.list("/v1/tenants")?;
    let slugs: Vec<_> = tenants.iter().filter_map(|it| it["slug"].as_str()).collect();
    assert_eq!(slugs.len(), 3, "{slugs:?}");
    let stored = world.openbao().secret_texts()?;
    assert!(secrets.0.iter().all(|(_, _, secret)| stored.contains(secret)), "not all secrets are in OpenBao");

    // A connector less, in the file alone.
    let yaml = fs::read_to_string(example.join("tenants.yaml"))?;
    let (before, after) = yaml.split_once("    billing:\n").context("the example has changed")?;
    let (_, after) = after.split_once("\n\n").context("the example has changed")?;
    work.write("tenants.yaml", &format!("{before}\n{after}"))?;
    assert_eq!(work.apply()?.planned(), ["delete integraci_connector.this[\"nordlicht/billing\"]"]);
    work.plan_is_empty()?;

    work.destroy()?;
    assert_eq!(api.list("/v1/tenants")?.len(), 0);
    for slug in slugs {
        assert_eq!(world.remains(slug)?, [""; 0], "{slug}");
    }
    Ok(())
}

/// The example's connectors with a secret each, which the far side knows.
struct Secrets(Vec<(&'static str, &'static str, String)>);

impl Secrets {
    /// The far side's names are the example's own, so both CLIs present the same secrets there.
    fn known() -> Result<Self> {
        static KNOWN: std::sync::OnceLock<Vec<(&'static str, &'static str, String)>> =
            std::sync::OnceLock::new();
        let side = side()?;
        let known = KNOWN.get_or_init(|| {
            let mut known = Vec::new();
            for (connector, user, repository) in [
                ("nordlicht/images", "ci-nordlicht", "nordlicht/grid-control"),
                ("harbour-labs/images", "ci-harbour-labs", "harbour-labs/api"),
            ] {
                let password = new_secret();
                side.registry_user(user, password.clone().into());
                side.registry_repository(repository, vec!["1.0".to_owned()]);
                known.push((connector, "password", password));
            }
            for (connector, hook) in [
                ("nordlicht/deploys", "nordlicht-deploys"),
                ("nordlicht/billing", "nordlicht-billing"),
                ("harbour-labs/chat", "harbour-labs-chat"),
                ("quill/site", "quill-site"),
            ] {
                let key = new_secret();
                side.webhook_key(hook, key.clone().into());
                known.push((connector, "hmac_key", key));
            }
            known
        });
        Ok(Self(known.clone()))
    }

    /// As the example's variable.
    fn variable(&self) -> String {
        let entries = self
            .0
            .iter()
            .map(|(connector, name, secret)| ((*connector).to_owned(), json!({ *name: secret })));
        serde_json::Value::Object(entries.collect()).to_string()
    }

    fn are_not_in(&self, work: &Workdir) -> Result<()> {
        let state = work.state()?.to_string();
        assert!(!self.0.iter().any(|(_, _, secret)| state.contains(secret)), "a secret is in state");
        Ok(())
    }
}
