//! What the layer makes of a provider's faults: diagnostics, and never a dead plugin.

use std::time::Duration;

use tfplugin::Type;

use crate::plugin::{PATIENCE, Plugin, json, null, path_shown, pb, shown, told, value};

struct Faulty {
    plugin: Plugin,
    ty: Type,
}

impl Faulty {
    async fn new(env: &[(&str, &str)]) -> Self {
        let mut plugin = Plugin::start("faulty", env).await;
        plugin.configure("{}").await;
        let ty = plugin.type_of("faulty_thing").await;
        Self { plugin, ty }
    }

    fn apply_request(&self, prior: Option<&str>, fault: &str) -> pb::apply_resource_change::Request {
        let planned = format!(r#"{{"id":"<unknown>","fault":"{fault}","name":"n"}}"#);
        pb::apply_resource_change::Request {
            type_name: "faulty_thing".to_owned(),
            prior_state: Some(prior.map_or_else(null, |prior| value(prior, &self.ty))),
            planned_state: Some(value(&planned, &self.ty)),
            config: Some(value(&format!(r#"{{"fault":"{fault}","name":"n"}}"#), &self.ty)),
            ..Default::default()
        }
    }

    async fn apply(&mut self, prior: Option<&str>, fault: &str) -> (String, String) {
        let request = self.apply_request(prior, fault);
        let answer =
            self.plugin.provider.apply_resource_change(request).await.expect("an answer").into_inner();
        (shown(answer.new_state.as_ref(), &self.ty), told(&answer.diagnostics))
    }

    async fn read(&mut self, state: &str) -> (String, String) {
        let request = pb::read_resource::Request {
            type_name: "faulty_thing".to_owned(),
            current_state: Some(value(state, &self.ty)),
            ..Default::default()
        };
        let answer = self.plugin.provider.read_resource(request).await.expect("an answer").into_inner();
        (shown(answer.new_state.as_ref(), &self.ty), told(&answer.diagnostics))
    }
}

#[tokio::test]
async fn a_panic_is_an_error_and_the_provider_goes_on() {
    let mut faulty = Faulty::new(&[]).await;
    let prior = r#"{"id":"thing-1","fault":"panic in update","name":"m"}"#;

    let (state, told_) = faulty.apply(None, "panic in create").await;
    assert_eq!(state, "null", "nothing was created");
    assert!(
        told_.starts_with("error: The provider failed to create faulty_thing: It panicked at "),
        "{told_}"
    );
    assert!(!told_.contains("s3cret") && !told_.contains("stack backtrace"), "{told_}");

    let (state, told_) = faulty.apply(Some(prior), "panic in update").await;
    assert_eq!(state, r#"{"fault":"panic in update","id":"thing-1","name":"m"}"#, "it is as it was");
    assert!(told_.starts_with("error: The provider failed to update faulty_thing"), "{told_}");

    let (state, told_) = faulty.read(r#"{"id":"thing-1","fault":"panic in read"}"#).await;
    assert_eq!(state, r#"{"fault":"panic in read","id":"thing-1"}"#);
    assert!(told_.starts_with("error: The provider failed to read a faulty_thing"), "{told_}");

    let provider = &mut faulty.plugin.provider;
    let config = json(r#"{"fault":"panic in validate"}"#);
    let request = pb::validate_resource_config::Request {
        type_name: "faulty_thing".to_owned(),
        config: Some(config),
        client_capabilities: None,
    };
    let answer = provider.validate_resource_config(request).await.expect("an answer").into_inner();
    assert!(told(&answer.diagnostics).starts_with("error: The provider failed to check the configuration"));

    let config = value(r#"{"fault":"panic in plan"}"#, &faulty.ty);
    let request = pb::plan_resource_change::Request {
        type_name: "faulty_thing".to_owned(),
        prior_state: Some(null()),
        proposed_new_state: Some(config.clone()),
        config: Some(config),
        ..Default::default()
    };
    let answer = provider.plan_resource_change(request).await.expect("an answer").into_inner();
    assert!(told(&answer.diagnostics).starts_with("error: The provider failed to plan a faulty_thing"));

    let request = pb::read_data_source::Request {
        type_name: "faulty_thing".to_owned(),
        config: Some(json(r#"{"fault":"panic"}"#)),
        ..Default::default()
    };
    let answer = provider.read_data_source(request).await.expect("an answer").into_inner();
    assert!(told(&answer.diagnostics).starts_with("error: The provider failed to read the data source"));

    let divide = |divisor: &str| pb::call_function::Request {
        name: "divide".to_owned(),
        arguments: vec![json("6"), json(divisor)],
    };
    let answer = provider.call_function(divide("0")).await.expect("an answer").into_inner();
    assert!(answer.error.expect("an error").text.starts_with("It panicked at "));
    let answer = provider.call_function(divide("2")).await.expect("an answer").into_inner();
    assert_eq!(shown(answer.result.as_ref(), &Type::Number), "3", "it goes on");

    faulty.plugin.shutdown().await;
    assert!(faulty.plugin.process.ended().await.success());
    assert_eq!(faulty.plugin.process.stderr(), "", "not a word on stderr unless TF_LOG asks");
}

#[tokio::test]
async fn a_resource_can_force_what_no_attribute_shows() {
    let mut faulty = Faulty::new(&[]).await;
    let mut plan = async |fault: &str| {
        let own = |more: &str| value(&format!(r#"{{"fault":"{fault}","name":"n"{more}}}"#), &faulty.ty);
        let request = pb::plan_resource_change::Request {
            type_name: "faulty_thing".to_owned(),
            prior_state: Some(own(r#","id":"thing-1","stamp":"then""#)),
            proposed_new_state: Some(own("")),
            config: Some(own("")),
            ..Default::default()
        };
        let answer =
            faulty.plugin.provider.plan_resource_change(request).await.expect("an answer").into_inner();
        assert_eq!(told(&answer.diagnostics), "");
        let because = answer.requires_replace.iter().map(path_shown).collect::<Vec<_>>();
        (shown(answer.planned_state.as_ref(), &faulty.ty), because.join(", "))
    };
    let (planned, because) = plan("none").await;
    assert_eq!(planned, r#"{"fault":"none","id":"thing-1","name":"n","stamp":"then"}"#);
    assert_eq!(because, "");
    let (planned, because) = plan("force update").await;
    assert_eq!(planned, r#"{"fault":"force update","id":"thing-1","name":"n","stamp":"<unknown>"}"#);
    assert_eq!(because, "");
    let (planned, because) = plan("force replacement").await;
    assert_eq!(planned, r#"{"fault":"force replacement","id":"thing-1","name":"n","stamp":"<unknown>"}"#);
    assert_eq!(because, "stamp");
}

#[tokio::test]
async fn a_panic_is_told_whole_to_who_looks_for_it() {
    let mut faulty = Faulty::new(&[("TF_LOG_PROVIDER", "error")]).await;
    faulty.apply(None, "panic in create").await;
    faulty.plugin.shutdown().await;
    faulty.plugin.process.ended().await;
    let written = faulty.plugin.process.stderr();
    let [line] = written.lines().collect::<Vec<_>>()[..] else { panic!("one line: {written}") };
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(line["@level"], "error");
    assert!(line["@message"].as_str().expect("text").contains("a panic with a"));
    assert!(line["location"].as_str().expect("text").contains("main.rs"));
    assert!(line["backtrace"].as_str().is_some_and(|backtrace| backtrace.contains("faulty")));
}

#[tokio::test]
async fn what_is_saved_is_kept_whatever_comes_after() {
    let mut faulty = Faulty::new(&[]).await;
    let (state, told_) = faulty.apply(None, "save and panic").await;
    assert!(told_.starts_with("error: The provider failed to create faulty_thing"), "{told_}");
    assert_eq!(state, r#"{"fault":"save and panic","id":"thing-1","name":"n"}"#);
    let (state, told_) = faulty.apply(None, "save and fail").await;
    assert_eq!(state, r#"{"fault":"save and fail","name":"n"}"#, "what is unknown is null");
    assert_eq!(told_, "error at name: It was created, but is not well");
}

#[tokio::test]
async fn a_lie_is_told_on() {
    let mut faulty = Faulty::new(&[]).await;
    let (state, told_) = faulty.apply(None, "leave unknown").await;
    assert_eq!(state, r#"{"fault":"leave unknown","name":"n"}"#);
    assert!(told_.starts_with("error at id: The provider left a value unknown after apply"), "{told_}");
    let (state, told_) = faulty.apply(None, "save nothing").await;
    assert_eq!(state, r#"{"fault":"save nothing","name":"n"}"#);
    assert!(told_.starts_with("error: The provider saved no state"), "{told_}");
    let request = pb::read_data_source::Request {
        type_name: "faulty_thing".to_owned(),
        config: Some(json(r#"{"fault":"leave unknown"}"#)),
        ..Default::default()
    };
    let answer = faulty.plugin.provider.read_data_source(request).await.expect("an answer").into_inner();
    assert!(told(&answer.diagnostics).starts_with("error at known: The provider left a value unknown"));
    assert!(answer.state.is_none());
}

#[tokio::test]
async fn an_interrupted_create_keeps_what_it_has_and_later_calls_are_not_meant() {
    let directory = tempfile::tempdir().expect("a directory");
    let waiting = directory.path().join("waiting");
    let mut faulty = Faulty::new(&[("FAULTY_WAITING", waiting.to_str().expect("a plain path"))]).await;
    let request = faulty.apply_request(None, "wait");
    let mut provider = faulty.plugin.provider.clone();
    let create = tokio::spawn(async move { provider.apply_resource_change(request).await });
    let deadline = std::time::Instant::now() + PATIENCE;
    while !waiting.exists() {
        assert!(std::time::Instant::now() < deadline, "the create does not get to waiting");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    faulty.plugin.provider.stop_provider(pb::stop_provider::Request {}).await.expect("an answer");
    let created = create.await.expect("no panic").expect("an answer").into_inner();
    assert_eq!(told(&created.diagnostics), "error: Interrupted");
    assert_eq!(
        shown(created.new_state.as_ref(), &faulty.ty),
        r#"{"fault":"wait","id":"thing-1","name":"n"}"#,
        "the id is not lost",
    );
    let (state, told_) = faulty.apply(None, "none").await;
    assert_eq!((&*state, &*told_), (r#"{"fault":"none","id":"thing-1","name":"n"}"#, ""));
}

#[tokio::test]
async fn an_interrupted_read_is_dropped() {
    let mut faulty = Faulty::new(&[]).await;
    let request = pb::read_resource::Request {
        type_name: "faulty_thing".to_owned(),
        current_state: Some(value(r#"{"id":"thing-1","fault":"wait in read"}"#, &faulty.ty)),
        ..Default::default()
    };
    let mut provider = faulty.plugin.provider.clone();
    let mut read = tokio::spawn(async move { provider.read_resource(request).await });
    // A stop that comes before the read is not meant for it; so it is asked until it is heard.
    let answer = loop {
        faulty.plugin.provider.stop_provider(pb::stop_provider::Request {}).await.expect("an answer");
        match tokio::time::timeout(Duration::from_millis(20), &mut read).await {
            Ok(answer) => break answer.expect("no panic").expect("an answer").into_inner(),
            Err(_) => continue,
        }
    };
    assert_eq!(told(&answer.diagnostics), "error: Interrupted");
    assert_eq!(shown(answer.new_state.as_ref(), &faulty.ty), r#"{"fault":"wait in read","id":"thing-1"}"#);
}

#[tokio::test]
async fn what_is_stored_beside_a_state_and_cannot_be_read_is_an_error() {
    let mut faulty = Faulty::new(&[]).await;
    let request = pb::read_resource::Request {
        type_name: "faulty_thing".to_owned(),
        current_state: Some(value(r#"{"id":"thing-1"}"#, &faulty.ty)),
        private: b"another's".to_vec().into(),
        ..Default::default()
    };
    let answer = faulty.plugin.provider.read_resource(request).await.expect("an answer").into_inner();
    assert!(told(&answer.diagnostics).starts_with("error: The private data of this resource cannot be read"));
    assert_eq!(&answer.private[..], b"another's", "it stays as it is");
}
