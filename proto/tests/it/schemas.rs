//! What there is: metadata, schemas, identities, functions.

use expect_test::expect;

use crate::plugin::{Plugin, pb, told};

#[tokio::test]
async fn metadata_names_everything() {
    let mut plugin = Plugin::start("notebook", &[]).await;
    let answer =
        plugin.provider.get_metadata(pb::get_metadata::Request {}).await.expect("an answer").into_inner();
    let capabilities = answer.server_capabilities.expect("capabilities");
    assert!(capabilities.plan_destroy && capabilities.get_provider_schema_optional);
    assert!(capabilities.move_resource_state && capabilities.generate_resource_config);
    assert_eq!(answer.resources[0].type_name, "notebook_note");
    assert_eq!(answer.data_sources[0].type_name, "notebook_notes");
    assert_eq!(answer.ephemeral_resources[0].type_name, "notebook_lock");
    assert_eq!(answer.functions[0].name, "slug");
    assert_eq!(answer.list_resources[0].type_name, "notebook_note");
    assert_eq!(answer.actions[0].type_name, "notebook_archive");
}

#[tokio::test]
async fn a_schema_is_what_the_struct_says() {
    let mut plugin = Plugin::start("notebook", &[]).await;
    let mut schemas = plugin.schemas().await;
    assert_eq!(told(&schemas.diagnostics), "");
    let note = schemas.resource_schemas.remove("notebook_note").expect("the note");
    assert_eq!(note.version, 1);
    let block = note.block.expect("a block");
    assert_eq!(block.description, "A note on a shelf.");
    let mut shown = String::new();
    show(&block.attributes, 0, &mut shown);
    expect![[r#"
        id "string" computed
        shelf "string" optional computed
        title "string" required
        body "string" optional
        labels ["map","string"] optional
        reminder Single optional
          at "string" required
          repeat "string" optional computed
        attachments List optional
          name "string" required
          number "number" computed
        readers Set optional
          email "string" required
          role "string" optional computed
        passphrase_wo "string" optional sensitive write_only
        passphrase_wo_version "string" optional
        revision "number" computed
        timeouts Single optional
          create "string" optional
          update "string" optional
    "#]]
    .assert_eq(&shown);
}

fn show(attributes: &[pb::schema::Attribute], depth: usize, shown: &mut String) {
    for own in attributes {
        assert!(!own.description.is_empty() || own.name == "timeouts", "{} has no description", own.name);
        let ty = match &own.nested_type {
            Some(object) => object.nesting().as_str_name().to_owned(),
            None => String::from_utf8(own.r#type.to_vec()).expect("text"),
        };
        let ty = match &*ty {
            "SINGLE" => "Single",
            "LIST" => "List",
            "SET" => "Set",
            "MAP" => "Map",
            other => other,
        };
        let flags = [
            (own.required, "required"),
            (own.optional, "optional"),
            (own.computed, "computed"),
            (own.sensitive, "sensitive"),
            (own.write_only, "write_only"),
        ];
        let flags =
            flags.iter().filter(|(is, _)| *is).map(|(_, name)| format!(" {name}")).collect::<String>();
        shown.push_str(&format!("{:1$}{2} {ty}{flags}\n", "", depth * 2, own.name));
        if let Some(object) = &own.nested_type {
            show(&object.attributes, depth + 1, shown);
        }
    }
}

#[tokio::test]
async fn identities_and_functions_are_described() {
    let mut plugin = Plugin::start("notebook", &[]).await;
    let request = pb::get_resource_identity_schemas::Request {};
    let answer =
        plugin.provider.get_resource_identity_schemas(request).await.expect("an answer").into_inner();
    let note = &answer.identity_schemas["notebook_note"];
    assert_eq!(note.identity_attributes.len(), 1);
    assert!(note.identity_attributes[0].required_for_import);
    assert_eq!(&note.identity_attributes[0].r#type[..], br#""string""#);

    let answer =
        plugin.provider.get_functions(pb::get_functions::Request {}).await.expect("an answer").into_inner();
    let slug = &answer.functions["slug"];
    assert_eq!(slug.summary, "Makes the name of a shelf out of words.");
    assert_eq!(slug.parameters.len(), 1);
    assert!(!slug.parameters[0].allow_null_value && !slug.parameters[0].allow_unknown_values);
    let more = slug.variadic_parameter.as_ref().expect("a variadic parameter");
    assert_eq!((&*more.name, &more.r#type[..]), ("more", &br#""string""#[..]));
    assert_eq!(&slug.r#return.as_ref().expect("a type").r#type[..], br#""string""#);
    assert!(plugin.schemas().await.functions["slug"] == *slug, "both ways to ask have one answer");
}

#[tokio::test]
async fn there_are_no_state_stores_and_core_is_told_so() {
    let mut plugin = Plugin::start("notebook", &[]).await;
    let none = "error: This provider has no state store";
    let provider = &mut plugin.provider;
    let answer = provider.validate_state_store_config(pb::validate_state_store::Request::default()).await;
    assert_eq!(told(&answer.expect("an answer").into_inner().diagnostics), none);
    let answer = provider.configure_state_store(pb::configure_state_store::Request::default()).await;
    assert_eq!(told(&answer.expect("an answer").into_inner().diagnostics), none);
    let answer = provider.lock_state(pb::lock_state::Request::default()).await;
    assert_eq!(told(&answer.expect("an answer").into_inner().diagnostics), none);
    let answer = provider.unlock_state(pb::unlock_state::Request::default()).await;
    assert_eq!(told(&answer.expect("an answer").into_inner().diagnostics), none);
    let answer = provider.get_states(pb::get_states::Request::default()).await;
    assert_eq!(told(&answer.expect("an answer").into_inner().diagnostics), none);
    let answer = provider.delete_state(pb::delete_state::Request::default()).await;
    assert_eq!(told(&answer.expect("an answer").into_inner().diagnostics), none);
    let answer = provider.read_state_bytes(pb::read_state_bytes::Request::default()).await;
    let mut chunks = answer.expect("an answer").into_inner();
    assert_eq!(told(&chunks.message().await.expect("a chunk").expect("a chunk").diagnostics), none);
    let answer = provider.write_state_bytes(tokio_stream::empty()).await;
    assert_eq!(told(&answer.expect("an answer").into_inner().diagnostics), none);
}
