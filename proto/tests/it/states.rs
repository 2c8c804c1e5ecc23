//! States that are not as they would be written today: upgrades and moves.

use expect_test::expect;
use tfplugin::Type;

use crate::plugin::{Plugin, pb, shown, told};

fn raw(json: &str) -> pb::RawState {
    pb::RawState { json: json.to_owned().into(), ..pb::RawState::default() }
}

async fn upgrade(version: i64, state: pb::RawState) -> String {
    let mut plugin = Plugin::start("notebook", &[]).await;
    let ty = plugin.type_of("notebook_note").await;
    let request = pb::upgrade_resource_state::Request {
        type_name: "notebook_note".to_owned(),
        version,
        raw_state: Some(state),
    };
    let answer = plugin.provider.upgrade_resource_state(request).await.expect("an answer").into_inner();
    if answer.diagnostics.is_empty() {
        shown(answer.upgraded_state.as_ref(), &ty)
    } else {
        assert!(answer.upgraded_state.is_none());
        told(&answer.diagnostics)
    }
}

#[tokio::test]
async fn a_state_of_this_version_is_read_as_it_is() {
    // An attribute that is no more is dropped, one that is new is null, and nothing that must not
    // be stored comes back, whoever has stored it.
    let stored = r#"{"id":"note-1","title":"t","revision":2,"gone":{"a":1},"passphrase_wo":"s3cret",
        "readers":[{"email":"e","role":"reader","also":"gone"}]}"#;
    expect![[r#"{"id":"note-1","readers":[{"email":"e","role":"reader"}],"revision":2,"title":"t"}"#]]
        .assert_eq(&upgrade(1, raw(stored)).await);
}

#[tokio::test]
async fn a_state_of_an_earlier_version_is_upgraded_by_the_resource() {
    expect![[r#"{"body":"b","id":"note-1","revision":1,"shelf":"inbox","title":"t"}"#]]
        .assert_eq(&upgrade(0, raw(r#"{"id":"note-1","shelf":"inbox","title":"t","text":"b"}"#)).await);
}

#[tokio::test]
async fn what_cannot_be_upgraded_is_refused() {
    expect!["error: The state was written by a newer version of the provider: It holds a notebook_note of schema version 2, and this version of the provider knows up to 1. Upgrade the provider."]
        .assert_eq(&upgrade(2, raw("{}")).await);
    expect!["error at title: The stored state cannot be read: It does not fit the schema of this provider: title: a string is required."]
        .assert_eq(&upgrade(1, raw(r#"{"title":["s3cret"]}"#)).await);
    expect!["error: The stored state cannot be read: It does not fit the schema of this provider: the encoding is damaged or incomplete."]
        .assert_eq(&upgrade(1, raw("{")).await);
    let flat = pb::RawState {
        flatmap: [("id".to_owned(), "1".to_owned())].into_iter().collect(),
        ..pb::RawState::default()
    };
    expect!["error: The state is too old: It was written before Terraform 0.12. Refresh it with Terraform 0.12 or 0.13 first."]
        .assert_eq(&upgrade(0, flat).await);
}

#[tokio::test]
async fn identities_are_upgraded_too() {
    let mut plugin = Plugin::start("notebook", &[]).await;
    let mut upgrade = async |type_name: &str, version| {
        let request = pb::upgrade_resource_identity::Request {
            type_name: type_name.to_owned(),
            version,
            raw_identity: Some(raw(r#"{"id":"note-1"}"#)),
        };
        let answer =
            plugin.provider.upgrade_resource_identity(request).await.expect("an answer").into_inner();
        match answer.upgraded_identity {
            Some(identity) => shown(identity.identity_data.as_ref(), &Type::object([("id", Type::String)])),
            None => told(&answer.diagnostics),
        }
    };
    assert_eq!(upgrade("notebook_note", 0).await, r#"{"id":"note-1"}"#);
    assert!(upgrade("notebook_note", 1).await.starts_with("error: The state was written by a newer version"));
    assert!(upgrade("notebook_other", 0).await.starts_with("error: There is no resource `notebook_other`"));
}

#[tokio::test]
async fn another_resource_becomes_a_note_if_the_note_knows_how() {
    let mut plugin = Plugin::start("notebook", &[]).await;
    let ty = plugin.type_of("notebook_note").await;
    let request = |from: &str| pb::move_resource_state::Request {
        source_provider_address: "terraform.io/builtin/terraform".to_owned(),
        source_type_name: from.to_owned(),
        source_state: Some(raw(r#"{"id":"note-1","input":null}"#)),
        target_type_name: "notebook_note".to_owned(),
        ..Default::default()
    };
    let answer =
        plugin.provider.move_resource_state(request("terraform_data")).await.expect("an answer").into_inner();
    assert_eq!(told(&answer.diagnostics), "");
    assert_eq!(shown(answer.target_state.as_ref(), &ty), r#"{"id":"note-1"}"#);
    assert!(answer.target_identity.is_some());
    let answer =
        plugin.provider.move_resource_state(request("random_pet")).await.expect("an answer").into_inner();
    assert!(told(&answer.diagnostics).starts_with("error: A random_pet cannot be moved to a notebook_note"));
}
