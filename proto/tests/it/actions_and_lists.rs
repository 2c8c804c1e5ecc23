//! The methods that answer with a stream.

use tfplugin::Type;

use crate::plugin::{Plugin, json, null, pb, shown, told, value};

/// A notebook with notes of these titles.
async fn notebook(directory: &std::path::Path, titles: &[&str]) -> (Plugin, Type) {
    let mut plugin = Plugin::notebook(directory).await;
    let ty = plugin.type_of("notebook_note").await;
    for title in titles {
        let request = pb::apply_resource_change::Request {
            type_name: "notebook_note".to_owned(),
            prior_state: Some(null()),
            planned_state: Some(value(
                &format!(r#"{{"id":"<unknown>","title":"{title}","shelf":"inbox","revision":1}}"#),
                &ty,
            )),
            config: Some(value(&format!(r#"{{"title":"{title}"}}"#), &ty)),
            ..Default::default()
        };
        let answer = plugin.provider.apply_resource_change(request).await.expect("an answer").into_inner();
        assert_eq!(told(&answer.diagnostics), "");
    }
    (plugin, ty)
}

async fn list(plugin: &mut Plugin, request: pb::list_resource::Request) -> Vec<pb::list_resource::Event> {
    let mut stream = plugin.provider.list_resource(request).await.expect("a stream").into_inner();
    let mut events = Vec::new();
    while let Some(event) = stream.message().await.expect("an event") {
        events.push(event);
    }
    events
}

#[tokio::test]
async fn notes_are_listed_as_many_as_are_wanted_and_as_much_of_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut plugin, ty) = notebook(directory.path(), &["a", "b", "c"]).await;
    let request = pb::list_resource::Request {
        type_name: "notebook_note".to_owned(),
        config: Some(json(r#"{"shelf":"inbox"}"#)),
        include_resource_object: true,
        limit: 2,
    };
    let events = list(&mut plugin, request.clone()).await;
    assert_eq!(events.iter().map(|event| &*event.display_name).collect::<Vec<_>>(), ["a", "b"]);
    for event in &events {
        assert_eq!(told(&event.diagnostic), "");
        assert!(event.identity.is_some());
        let note = shown(event.resource_object.as_ref(), &ty);
        assert!(note.contains(&format!(r#""title":"{}""#, event.display_name)), "{note}");
    }
    let request = pb::list_resource::Request { include_resource_object: false, limit: 0, ..request };
    let events = list(&mut plugin, request.clone()).await;
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event.resource_object.is_none()));

    drop(directory);
    let events = list(&mut plugin, request).await;
    assert!(told(&events[0].diagnostic).starts_with("error: Could not read the notes"));
}

#[tokio::test]
async fn an_action_says_how_it_gets_on_and_how_it_ended() {
    use pb::invoke_action::event::Type as Event;
    let directory = tempfile::tempdir().expect("a directory");
    let (mut plugin, _) = notebook(directory.path(), &["a", "b"]).await;
    let config = Some(json(r#"{"name":"copies"}"#));
    let action_type = "notebook_archive".to_owned();
    let plan = pb::plan_action::Request {
        action_type: action_type.clone(),
        config: config.clone(),
        ..Default::default()
    };
    let planned = plugin.provider.plan_action(plan).await.expect("an answer").into_inner();
    assert_eq!(told(&planned.diagnostics), "");

    let invoke = pb::invoke_action::Request { action_type, config, ..Default::default() };
    let mut stream = plugin.provider.invoke_action(invoke).await.expect("a stream").into_inner();
    let mut told_ = Vec::new();
    while let Some(event) = stream.message().await.expect("an event") {
        told_.push(match event.r#type.expect("an event") {
            Event::Progress(progress) => progress.message,
            Event::Completed(completed) => format!("completed: {}", told(&completed.diagnostics)),
        });
    }
    assert_eq!(told_, ["1 of 2: a", "2 of 2: b", "completed: "]);
    assert_eq!(std::fs::read_dir(directory.path().join("copies")).expect("the copies").count(), 2);

    let other = pb::invoke_action::Request { action_type: "notebook_other".to_owned(), ..Default::default() };
    let mut stream = plugin.provider.invoke_action(other).await.expect("a stream").into_inner();
    let event = stream.message().await.expect("an event").and_then(|event| event.r#type);
    let Some(Event::Completed(completed)) = event else { panic!("an end") };
    assert!(told(&completed.diagnostics).starts_with("error: There is no action `notebook_other`"));
}
