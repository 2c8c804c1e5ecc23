//! Configurations: what is checked of them, and what is made of the provider's own.

use expect_test::expect;

use crate::plugin::{Plugin, json, pb, told};

async fn check(config: &str, write_only: bool) -> String {
    let mut plugin = Plugin::start("notebook", &[]).await;
    let request = pb::validate_resource_config::Request {
        type_name: "notebook_note".to_owned(),
        config: Some(json(config)),
        client_capabilities: Some(pb::ClientCapabilities {
            write_only_attributes_allowed: write_only,
            ..Default::default()
        }),
    };
    let answer = plugin.provider.validate_resource_config(request).await.expect("an answer");
    told(&answer.into_inner().diagnostics)
}

#[tokio::test]
async fn what_is_right_is_right() {
    assert_eq!(check(r#"{"title":"t"}"#, false).await, "");
    let whole = r#"{"title":"t","reminder":{"at":"2026-11-24","repeat":"daily"},"passphrase_wo":"p",
        "passphrase_wo_version":"1","attachments":[{"name":"a"}],"timeouts":{"create":"1h30m"}}"#;
    assert_eq!(check(whole, true).await, "");
}

#[tokio::test]
async fn what_is_wrong_is_said_where_it_is() {
    let wrong = r#"{"title":" ","shelf":"In Box","reminder":{"at":"today","repeat":"often"},
        "attachments":[{"name":"a"},{"name":"b","number":2}],"readers":[{"email":"e"}],
        "timeouts":{"create":"soon"}}"#;
    expect![[r#"
        error at shelf: Invalid value for `shelf`: Use lower-case letters and dashes.
        error at title: Invalid value for `title`: It must not be empty.
        error at reminder.repeat: Invalid value for `reminder.repeat`: Use `once`, `daily` or `yearly`.
        error at attachments[1].number: Read-only attribute: `number` is set by the provider. Remove it from the configuration.
        error at timeouts.create: Invalid value for `timeouts.create`: This is not a duration; write it as `90s`, `30m` or `1h30m`."#]]
    .assert_eq(&check(wrong, false).await);
}

#[tokio::test]
async fn the_whole_is_checked_once_its_parts_are_right() {
    expect!["error at passphrase_wo_version: There is no passphrase to write: `passphrase_wo_version` says when to write `passphrase_wo`, which is not set."]
        .assert_eq(&check(r#"{"title":"t","passphrase_wo_version":"1"}"#, true).await);
}

#[tokio::test]
async fn an_old_core_cannot_be_given_what_must_not_be_stored() {
    let config = r#"{"title":"t","passphrase_wo":"a s3cret"}"#;
    let told = check(config, false).await;
    assert!(!told.contains("s3cret"));
    expect!["error at passphrase_wo: Write-only attributes are not supported by this version: `passphrase_wo` must not be stored, and only Terraform 1.11, OpenTofu 1.11 and later can keep it out of state."]
        .assert_eq(&told);
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_not_quoted() {
    let told = check(r#"{"title":{"a":"s3cret"}}"#, true).await;
    expect!["error at title: A value from Terraform cannot be read: It does not fit the schema of this provider: title: a string is required."]
        .assert_eq(&told);
}

#[tokio::test]
async fn the_other_kinds_are_checked_too() {
    let mut plugin = Plugin::start("notebook", &[]).await;
    let provider = &mut plugin.provider;
    let type_name = |name: &str| name.to_owned();
    let answer = provider
        .validate_data_resource_config(pb::validate_data_resource_config::Request {
            type_name: type_name("notebook_notes"),
            config: Some(json(r#"{"notes":[]}"#)),
        })
        .await
        .expect("an answer");
    assert!(told(&answer.into_inner().diagnostics).starts_with("error at notes: Read-only attribute"));
    let answer = provider
        .validate_ephemeral_resource_config(pb::validate_ephemeral_resource_config::Request {
            type_name: type_name("notebook_lock"),
            config: Some(json(r#"{"name":"n"}"#)),
        })
        .await
        .expect("an answer");
    assert_eq!(told(&answer.into_inner().diagnostics), "");
    let answer = provider
        .validate_list_resource_config(pb::validate_list_resource_config::Request {
            type_name: type_name("notebook_note"),
            config: Some(json("{}")),
            include_resource_object: None,
            limit: None,
        })
        .await
        .expect("an answer");
    assert_eq!(told(&answer.into_inner().diagnostics), "");
    let answer = provider
        .validate_action_config(pb::validate_action_config::Request {
            type_name: type_name("notebook_archive"),
            config: Some(json(r#"{"name":"../.."}"#)),
        })
        .await
        .expect("an answer");
    assert!(told(&answer.into_inner().diagnostics).starts_with("error at name: Invalid value"));
    let answer = provider
        .validate_provider_config(pb::validate_provider_config::Request { config: Some(json("{}")) })
        .await
        .expect("an answer");
    assert_eq!(told(&answer.into_inner().diagnostics), "");
    let answer = provider
        .validate_action_config(pb::validate_action_config::Request {
            type_name: type_name("notebook_other"),
            config: Some(json("{}")),
        })
        .await
        .expect("an answer");
    assert_eq!(
        told(&answer.into_inner().diagnostics),
        "error: There is no action `notebook_other`: This version of the provider does not offer it.",
    );
}

#[tokio::test]
async fn a_provider_says_what_it_lacks_and_takes_what_is_not_known_yet() {
    let mut plugin = Plugin::start("notebook", &[]).await;
    assert_eq!(
        told(&plugin.configure("{}").await),
        "error at directory: The notebook has no directory: Set `directory`, or the environment variable \
         NOTEBOOK_DIRECTORY.",
    );
    let ty = crate::plugin::block_type(&plugin.schemas().await.provider.expect("a schema"));
    let request = pb::configure_provider::Request {
        config: Some(crate::plugin::value(r#"{"directory":"<unknown>"}"#, &ty)),
        ..Default::default()
    };
    let answer = plugin.provider.configure_provider(request).await.expect("an answer").into_inner();
    assert_eq!(told(&answer.diagnostics), "");
    let read = pb::read_data_source::Request {
        type_name: "notebook_notes".to_owned(),
        config: Some(json("{}")),
        ..Default::default()
    };
    let answer = plugin.provider.read_data_source(read).await.expect("an answer").into_inner();
    assert!(told(&answer.diagnostics).starts_with("error: The provider is not configured yet"));
}
