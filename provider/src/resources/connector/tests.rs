//! What can be told of a connector without Terraform and without a server.

use expect_test::{Expect, expect};
use integraci_api::catalogue;
use serde_json::{Value as Json, json};
use tfplugin::value::Fields;
use tfplugin::{AttributeSet, Diagnostics, Dynamic, ObjectReader};

use super::kinds::{self, Chosen, Kinds};

/// The kinds as Terraform hands them over: `json` as written, what is left out null.
fn kinds(json: &Json) -> Kinds {
    let text = json.to_string();
    let value = Dynamic::from_json(text.as_bytes(), &Kinds::schema().ty()).unwrap();
    decode(value)
}

fn decode(value: Dynamic) -> Kinds {
    let Dynamic::Object(fields) = value else { panic!("an object") };
    Kinds::decode(&mut ObjectReader::new(fields)).unwrap()
}

fn webhook() -> Json {
    json!({"url": "https://x.example", "events": ["quota.set"], "hmac_key_wo": "0123456789abcdef"})
}

fn registry() -> Json {
    json!({"url": "https://r.example", "username": "me", "password_wo": "hunter2"})
}

fn told(kinds: &Kinds, expected: &Expect) {
    let mut diags = Diagnostics::new();
    kinds.validate(&mut diags);
    let lines = diags.iter().map(|diag| {
        let at = diag.path().map(|path| format!(" at {path}")).unwrap_or_default();
        format!("{}{at}: {}\n", diag.summary(), diag.detail_text())
    });
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn exactly_one_kind_is_set() {
    told(&kinds(&json!({"webhook": webhook()})), &expect![[""]]);
    told(
        &kinds(&json!({})),
        &expect![[r#"
            The connector has no kind: Set exactly one of: artifactory, aws, azure, azure_devops, bitbucket, container_registry, datadog, gcp, github_app, gitlab, jira, kubernetes_cluster, pagerduty, slack, sonarqube, vault, webhook.
        "#]],
    );
    told(
        &kinds(&json!({"webhook": webhook(), "container_registry": registry()})),
        &expect![[r#"
            The connector has more than one kind at container_registry: A connector is of exactly one kind, and container_registry and webhook are set. Make another connector of the other.
            The connector has more than one kind at webhook: A connector is of exactly one kind, and container_registry and webhook are set. Make another connector of the other.
        "#]],
    );
}

#[test]
fn what_is_not_known_yet_may_still_be_right() {
    let unknown: Fields =
        [("webhook", Dynamic::UNKNOWN), ("container_registry", Dynamic::Null)].into_iter().collect();
    let kinds = decode(Dynamic::Object(unknown));
    told(&kinds, &expect![[""]]);
    assert!(kinds.chosen().is_none());
    assert_eq!(kinds.kind().map(|kind| kind.name), Some("webhook"));
}

#[test]
fn a_registry_has_one_of_its_secrets() {
    let mut both = registry();
    both["token_wo"] = "t".into();
    told(
        &kinds(&json!({"container_registry": both})),
        &expect![[r#"
            Give exactly one secret at container_registry: A container_registry has exactly one of `password_wo`, `token_wo`.
        "#]],
    );
    told(
        &kinds(&json!({"container_registry": {"url": "https://r.example"}})),
        &expect![[r#"
            Give exactly one secret at container_registry: A container_registry has exactly one of `password_wo`, `token_wo`.
        "#]],
    );
}

#[test]
fn a_request_has_what_is_set_and_secrets_apart() {
    let kinds = kinds(&json!({"container_registry": registry()}));
    let chosen = kinds.chosen().unwrap();
    assert_eq!(Json::Object(chosen.config()), json!({"url": "https://r.example", "username": "me"}));
    let secrets = chosen.secrets().unwrap();
    assert_eq!(secrets.keys().collect::<Vec<_>>(), ["password"]);
    assert_eq!(secrets["password"].expose(), "hunter2");
}

#[test]
fn the_users_way_of_writing_an_address_stays() {
    let before = kinds(&json!({"webhook": webhook()}));
    let kind = catalogue::kind("webhook").unwrap();
    let theirs = json!({"url": "https://x.example/", "events": ["quota.set"]});
    let observed = Chosen::observed(kind, theirs.as_object().unwrap(), before.chosen());
    assert_eq!(observed.get("url"), Some(&Dynamic::from("https://x.example")));
    assert_eq!(observed.get("hmac_key_wo"), Some(&Dynamic::Null));
    let moved = json!({"url": "https://y.example/", "events": ["quota.set"]});
    let observed = Chosen::observed(kind, moved.as_object().unwrap(), before.chosen());
    assert_eq!(observed.get("url"), Some(&Dynamic::from("https://y.example/")));
}

#[test]
fn pointers_lead_to_attributes() {
    let kind = catalogue::kind("webhook").unwrap();
    let path = |pointer: &str| {
        kinds::locate(kind, &crate::pointer::parts(pointer)).map(|path| path.to_string()).unwrap_or_default()
    };
    for (pointer, attribute) in [
        ("/name", "name"),
        ("/kind", "webhook"),
        ("/config", "webhook"),
        ("/config/url", "webhook.url"),
        ("/config/events/0", "webhook.events"),
        ("/config/elsewhere", "webhook"),
        ("/secrets", "webhook"),
        ("/secrets/hmac_key", "webhook.hmac_key_wo"),
        ("/secrets/elsewhere", "webhook"),
        ("", ""),
    ] {
        assert_eq!(path(pointer), attribute, "{pointer}");
    }
}
