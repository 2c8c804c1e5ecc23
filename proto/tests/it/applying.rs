//! A note's life: create, read, update, delete, import; and locks and functions beside it.

use expect_test::expect;
use tfplugin::Type;

use crate::plugin::{Plugin, block_type, json, null, pb, shown, told, value};

struct Notebook {
    plugin: Plugin,
    ty: Type,
    directory: tempfile::TempDir,
}

impl Notebook {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut plugin = Plugin::notebook(directory.path()).await;
        let ty = plugin.type_of("notebook_note").await;
        Self { plugin, ty, directory }
    }

    async fn apply(
        &mut self,
        prior: Option<&pb::DynamicValue>,
        config: &str,
    ) -> pb::apply_resource_change::Response {
        let prior = prior.cloned().unwrap_or_else(null);
        let config = value(config, &self.ty);
        let plan = pb::plan_resource_change::Request {
            type_name: "notebook_note".to_owned(),
            prior_state: Some(prior.clone()),
            proposed_new_state: Some(config.clone()),
            config: Some(config.clone()),
            ..Default::default()
        };
        let planned = self.plugin.provider.plan_resource_change(plan).await.expect("an answer").into_inner();
        assert_eq!(told(&planned.diagnostics), "");
        let apply = pb::apply_resource_change::Request {
            type_name: "notebook_note".to_owned(),
            prior_state: Some(prior),
            planned_state: planned.planned_state,
            config: Some(config),
            planned_private: planned.planned_private,
            planned_identity: planned.planned_identity,
            ..Default::default()
        };
        self.plugin.provider.apply_resource_change(apply).await.expect("an answer").into_inner()
    }

    async fn created(&mut self, config: &str) -> pb::DynamicValue {
        let answer = self.apply(None, config).await;
        assert_eq!(told(&answer.diagnostics), "");
        answer.new_state.expect("a state")
    }

    async fn read(&mut self, state: &pb::DynamicValue) -> pb::read_resource::Response {
        let request = pb::read_resource::Request {
            type_name: "notebook_note".to_owned(),
            current_state: Some(state.clone()),
            ..Default::default()
        };
        self.plugin.provider.read_resource(request).await.expect("an answer").into_inner()
    }

    fn shown(&self, state: Option<&pb::DynamicValue>) -> String {
        // Ids differ from run to run.
        let shown = shown(state, &self.ty);
        match shown.split_once(r#""id":""#) {
            Some((before, after)) => {
                let (_, after) = after.split_once('"').expect("the end of the id");
                format!(r#"{before}"id":"…"{after}"#)
            }
            None => shown,
        }
    }

    fn id(&self, state: &pb::DynamicValue) -> String {
        let state: serde_json::Value = serde_json::from_str(&shown(Some(state), &self.ty)).expect("JSON");
        state["id"].as_str().expect("an id").to_owned()
    }
}

#[tokio::test]
async fn a_note_lives_and_dies() {
    let mut notebook = Notebook::new().await;
    let config = r#"{"title":"t","labels":{"a":"b"},"reminder":{"at":"today"},"attachments":[{"name":"x"}],
        "readers":[{"email":"e"}],"passphrase_wo":"s3cret","passphrase_wo_version":"1"}"#;
    let created = notebook.created(config).await;
    expect![[r#"{"attachments":[{"name":"x","number":1}],"id":"…","labels":{"a":"b"},"passphrase_wo_version":"1","readers":[{"email":"e","role":"reader"}],"reminder":{"at":"today","repeat":"once"},"revision":1,"shelf":"inbox","title":"t"}"#]]
    .assert_eq(&notebook.shown(Some(&created)));
    let file = notebook.directory.path().join(format!("{}.json", notebook.id(&created)));
    assert!(
        std::fs::read_to_string(&file).expect("the note").contains("s3cret"),
        "it arrives where it belongs"
    );

    let read = notebook.read(&created).await;
    assert_eq!(told(&read.diagnostics), "");
    assert_eq!(notebook.shown(read.new_state.as_ref()), notebook.shown(Some(&created)));

    let updated = notebook.apply(Some(&created), &config.replace(r#""title":"t""#, r#""title":"u""#)).await;
    assert_eq!(told(&updated.diagnostics), "");
    let updated = updated.new_state.expect("a state");
    assert!(notebook.shown(Some(&updated)).contains(r#""revision":2,"shelf":"inbox","title":"u""#));
    assert!(std::fs::read_to_string(&file).expect("the note").contains("s3cret"), "it is still there");

    let destroy = pb::apply_resource_change::Request {
        type_name: "notebook_note".to_owned(),
        prior_state: Some(updated.clone()),
        planned_state: Some(null()),
        config: Some(null()),
        ..Default::default()
    };
    let destroyed =
        notebook.plugin.provider.apply_resource_change(destroy).await.expect("an answer").into_inner();
    assert_eq!(told(&destroyed.diagnostics), "");
    assert_eq!(notebook.shown(destroyed.new_state.as_ref()), "null");
    let gone = notebook.read(&updated).await;
    assert_eq!(told(&gone.diagnostics), "", "that it is gone is no error");
    assert_eq!(notebook.shown(gone.new_state.as_ref()), "null");
}

#[tokio::test]
async fn a_note_has_an_identity_from_its_creation_on() {
    let mut notebook = Notebook::new().await;
    let answer = notebook.apply(None, r#"{"title":"t"}"#).await;
    let state = answer.new_state.expect("a state");
    let ty = Type::object([("id", Type::String)]);
    let identity = answer.new_identity.expect("an identity").identity_data;
    assert_eq!(shown(identity.as_ref(), &ty), format!(r#"{{"id":"{}"}}"#, notebook.id(&state)));
    let read = notebook.read(&state).await.new_identity.expect("an identity").identity_data;
    assert_eq!(shown(read.as_ref(), &ty), shown(identity.as_ref(), &ty));
}

#[tokio::test]
async fn a_note_is_imported_by_id_and_by_identity() {
    let mut notebook = Notebook::new().await;
    let created = notebook.created(r#"{"title":"t","passphrase_wo":"s3cret"}"#).await;
    let id = notebook.id(&created);
    let ty = Type::object([("id", Type::String)]);
    let identity = value(&format!(r#"{{"id":"{id}"}}"#), &ty);
    let by_id = pb::import_resource_state::Request {
        type_name: "notebook_note".to_owned(),
        id,
        ..Default::default()
    };
    let by_identity = pb::import_resource_state::Request {
        type_name: "notebook_note".to_owned(),
        identity: Some(pb::ResourceIdentityData { identity_data: Some(identity.clone()) }),
        ..Default::default()
    };
    for request in [by_id, by_identity] {
        let answer =
            notebook.plugin.provider.import_resource_state(request).await.expect("an answer").into_inner();
        assert_eq!(told(&answer.diagnostics), "");
        let [imported] = &answer.imported_resources[..] else { panic!("one note") };
        assert_eq!(imported.type_name, "notebook_note");
        assert_eq!(notebook.shown(imported.state.as_ref()), notebook.shown(Some(&created)));
        let own = imported.identity.as_ref().and_then(|own| own.identity_data.as_ref());
        assert_eq!(shown(own, &ty), shown(Some(&identity), &ty));
    }
    let other = pb::import_resource_state::Request {
        type_name: "notebook_note".to_owned(),
        id: "other".to_owned(),
        ..Default::default()
    };
    let answer = notebook.plugin.provider.import_resource_state(other).await.expect("an answer").into_inner();
    assert_eq!(told(&answer.diagnostics), "error: There is no note `other`");
}

#[tokio::test]
async fn a_configuration_is_made_of_what_exists() {
    let mut notebook = Notebook::new().await;
    let created =
        notebook.created(r#"{"title":"t","reminder":{"at":"today"},"attachments":[{"name":"x"}]}"#).await;
    let request =
        pb::generate_resource_config::Request { type_name: "notebook_note".to_owned(), state: Some(created) };
    let answer =
        notebook.plugin.provider.generate_resource_config(request).await.expect("an answer").into_inner();
    assert_eq!(told(&answer.diagnostics), "");
    expect![[r#"{"attachments":[{"name":"x"}],"reminder":{"at":"today","repeat":"once"},"shelf":"inbox","title":"t"}"#]]
        .assert_eq(&notebook.shown(answer.config.as_ref()));
}

#[tokio::test]
async fn notes_are_found() {
    let mut notebook = Notebook::new().await;
    notebook.created(r#"{"title":"first"}"#).await;
    notebook.created(r#"{"title":"second","shelf":"archive"}"#).await;
    let ty = block_type(&notebook.plugin.schemas().await.data_source_schemas["notebook_notes"]);
    let request = pb::read_data_source::Request {
        type_name: "notebook_notes".to_owned(),
        config: Some(json(r#"{"shelf":"archive"}"#)),
        ..Default::default()
    };
    let answer = notebook.plugin.provider.read_data_source(request).await.expect("an answer").into_inner();
    assert_eq!(told(&answer.diagnostics), "");
    let found: serde_json::Value = serde_json::from_str(&shown(answer.state.as_ref(), &ty)).expect("JSON");
    assert_eq!(found["shelf"], "archive");
    assert_eq!(found["notes"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["notes"][0]["title"], "second");
}

#[tokio::test]
async fn a_lock_is_opened_renewed_and_closed() {
    let mut notebook = Notebook::new().await;
    let ty = block_type(&notebook.plugin.schemas().await.ephemeral_resource_schemas["notebook_lock"]);
    let type_name = || "notebook_lock".to_owned();
    let open = pb::open_ephemeral_resource::Request {
        type_name: type_name(),
        config: Some(json(r#"{"name":"all"}"#)),
        ..Default::default()
    };
    let provider = &mut notebook.plugin.provider;
    let opened = provider.open_ephemeral_resource(open.clone()).await.expect("an answer").into_inner();
    assert_eq!(told(&opened.diagnostics), "");
    assert!(shown(opened.result.as_ref(), &ty).starts_with(r#"{"name":"all","token":"all-"#));
    let renew_at = opened.renew_at.expect("a time");
    assert!(renew_at.seconds > 1_700_000_000);
    let refused = provider.open_ephemeral_resource(open.clone()).await.expect("an answer").into_inner();
    assert_eq!(told(&refused.diagnostics), "error at name: Somebody else has the lock");

    let renew =
        pb::renew_ephemeral_resource::Request { type_name: type_name(), private: opened.private.clone() };
    let renewed = provider.renew_ephemeral_resource(renew).await.expect("an answer").into_inner();
    assert_eq!(told(&renewed.diagnostics), "");
    assert!(renewed.renew_at.is_some() && renewed.private == opened.private);

    let close = pb::close_ephemeral_resource::Request { type_name: type_name(), private: opened.private };
    let closed = provider.close_ephemeral_resource(close).await.expect("an answer").into_inner();
    assert_eq!(told(&closed.diagnostics), "");
    let again = provider.open_ephemeral_resource(open).await.expect("an answer").into_inner();
    assert_eq!(told(&again.diagnostics), "", "it is free again");
}

#[tokio::test]
async fn a_function_takes_its_arguments_by_position() {
    let mut plugin = Plugin::start("notebook", &[]).await;
    let mut call = async |name: &str, arguments: &[&str]| {
        let request = pb::call_function::Request {
            name: name.to_owned(),
            arguments: arguments.iter().map(|argument| json(argument)).collect(),
        };
        let answer = plugin.provider.call_function(request).await.expect("an answer").into_inner();
        match answer.error {
            Some(error) => format!("{:?}: {}", error.function_argument, error.text),
            None => shown(answer.result.as_ref(), &Type::String),
        }
    };
    assert_eq!(call("slug", &[r#""To Do""#]).await, r#""to-do""#);
    assert_eq!(call("slug", &[r#""To Do""#, r#""2026""#, r#""!""#]).await, r#""to-do-2026""#);
    assert_eq!(call("slug", &[r#""!""#]).await, "Some(0): There is no letter in it.");
    assert!(call("slug", &[r#""a""#, "[]"]).await.starts_with("Some(1): "));
    assert_eq!(call("slug", &[]).await, "None: An argument is missing.");
    assert_eq!(call("other", &[]).await, "None: There is no function `other` in this provider.");
}
