//! PlanResourceChange: what is planned of a note.

use expect_test::{Expect, expect};
use tfplugin::{Dynamic, Type};

use crate::plugin::{Plugin, null, path_shown, pb, shown, told, value};

struct Planner {
    plugin: Plugin,
    ty: Type,
}

impl Planner {
    async fn new() -> Self {
        let mut plugin = Plugin::start("notebook", &[("NOTEBOOK_DIRECTORY", "/nonexistent")]).await;
        plugin.configure("{}").await;
        let ty = plugin.type_of("notebook_note").await;
        Self { plugin, ty }
    }

    async fn plan(&mut self, prior: Option<&str>, config: &str) -> String {
        let config = value(config, &self.ty);
        self.plan_value(prior, config).await
    }

    async fn plan_value(&mut self, prior: Option<&str>, config: pb::DynamicValue) -> String {
        let request = pb::plan_resource_change::Request {
            type_name: "notebook_note".to_owned(),
            prior_state: Some(prior.map_or_else(null, |prior| value(prior, &self.ty))),
            // Core's own proposal holds the write-only values; only whether there is one matters.
            proposed_new_state: Some(config.clone()),
            config: Some(config),
            ..Default::default()
        };
        let answer =
            self.plugin.provider.plan_resource_change(request).await.expect("an answer").into_inner();
        assert_eq!(told(&answer.diagnostics), "");
        assert!(!answer.legacy_type_system);
        let planned = shown(answer.planned_state.as_ref(), &self.ty);
        if answer.requires_replace.is_empty() {
            return planned;
        }
        let because = answer.requires_replace.iter().map(path_shown).collect::<Vec<_>>();
        format!("{planned}\nreplaced because of {}", because.join(", "))
    }
}

async fn check(prior: Option<&str>, config: &str, expected: &Expect) {
    expected.assert_eq(&Planner::new().await.plan(prior, config).await);
}

const STORED: &str = r#"{"id":"note-1","shelf":"inbox","title":"t","revision":3,
    "reminder":{"at":"today","repeat":"once"},"attachments":[{"name":"a","number":1}],
    "readers":[{"email":"e","role":"reader"}]}"#;
const CONFIGURED: &str = r#"{"title":"t","reminder":{"at":"today"},"attachments":[{"name":"a"}],
    "readers":[{"email":"e"}]}"#;

#[tokio::test]
async fn what_is_computed_is_unknown_at_first_and_defaults_are_known() {
    check(
        None,
        CONFIGURED,
        &expect![[r#"{"attachments":[{"name":"a","number":"<unknown>"}],"id":"<unknown>","readers":[{"email":"e","role":"reader"}],"reminder":{"at":"today","repeat":"once"},"revision":1,"shelf":"inbox","title":"t"}"#]],
    )
    .await;
}

#[tokio::test]
async fn nothing_changes_if_nothing_is_changed() {
    check(
        Some(STORED),
        CONFIGURED,
        &expect![[r#"{"attachments":[{"name":"a","number":1}],"id":"note-1","readers":[{"email":"e","role":"reader"}],"reminder":{"at":"today","repeat":"once"},"revision":3,"shelf":"inbox","title":"t"}"#]],
    )
    .await;
}

#[tokio::test]
async fn a_change_makes_unknown_what_it_may_change_and_keeps_the_rest() {
    check(
        Some(STORED),
        &CONFIGURED.replace(r#""title":"t""#, r#""title":"other""#),
        &expect![[r#"{"attachments":[{"name":"a","number":"<unknown>"}],"id":"note-1","readers":[{"email":"e","role":"reader"}],"reminder":{"at":"today","repeat":"once"},"revision":4,"shelf":"inbox","title":"other"}"#]],
    )
    .await;
}

#[tokio::test]
async fn a_default_is_what_holds_when_nothing_is_configured_any_more() {
    check(
        Some(&STORED.replace(r#""repeat":"once""#, r#""repeat":"daily""#)),
        CONFIGURED,
        &expect![[r#"{"attachments":[{"name":"a","number":"<unknown>"}],"id":"note-1","readers":[{"email":"e","role":"reader"}],"reminder":{"at":"today","repeat":"once"},"revision":4,"shelf":"inbox","title":"t"}"#]],
    )
    .await;
}

#[tokio::test]
async fn some_changes_replace() {
    check(
        Some(STORED),
        &CONFIGURED.replace(r#""title":"t""#, r#""title":"t","shelf":"archive""#),
        &expect![[r#"
            {"attachments":[{"name":"a","number":"<unknown>"}],"id":"note-1","readers":[{"email":"e","role":"reader"}],"reminder":{"at":"today","repeat":"once"},"revision":4,"shelf":"archive","title":"t"}
            replaced because of shelf"#]],
    )
    .await;
}

#[tokio::test]
async fn what_is_unknown_in_the_configuration_is_unknown_in_the_plan() {
    check(
        None,
        r#"{"title":"<unknown>","labels":{"a":"<unknown>","b":"c"},"attachments":[{"name":"<unknown>"}],"readers":[{"email":"<unknown>"}]}"#,
        &expect![[r#"{"attachments":[{"name":"<unknown>","number":"<unknown>"}],"id":"<unknown>","labels":{"a":"<unknown>","b":"c"},"readers":[{"email":"<unknown>","role":"reader"}],"revision":1,"shelf":"inbox","title":"<unknown>"}"#]],
    )
    .await;
}

#[tokio::test]
async fn what_the_resource_cannot_read_yet_is_planned_without_it() {
    // An attachment is bare in its list: it cannot be unknown as a whole. The resource, which would
    // know the revision, is asked when it can read everything.
    let mut planner = Planner::new().await;
    let mut config = Dynamic::from_json(br#"{"title":"t"}"#, &planner.ty).expect("a note");
    if let Dynamic::Object(fields) = &mut config {
        fields.insert("attachments", Dynamic::List(vec![Dynamic::UNKNOWN]));
    }
    let config = config.to_msgpack(&planner.ty).expect("a note");
    let config = pb::DynamicValue { msgpack: config.into(), ..pb::DynamicValue::default() };
    expect![[
        r#"{"attachments":["<unknown>"],"id":"<unknown>","revision":"<unknown>","shelf":"inbox","title":"t"}"#
    ]]
    .assert_eq(&planner.plan_value(None, config).await);
}

#[tokio::test]
async fn what_is_write_only_is_nowhere_in_the_plan() {
    check(
        Some(STORED),
        &CONFIGURED.replace(r#""title":"t""#, r#""title":"t","passphrase_wo":"s3cret""#),
        &expect![[r#"{"attachments":[{"name":"a","number":1}],"id":"note-1","readers":[{"email":"e","role":"reader"}],"reminder":{"at":"today","repeat":"once"},"revision":3,"shelf":"inbox","title":"t"}"#]],
    )
    .await;
}

#[tokio::test]
async fn a_destroy_is_planned_as_nothing() {
    let mut planner = Planner::new().await;
    let request = pb::plan_resource_change::Request {
        type_name: "notebook_note".to_owned(),
        prior_state: Some(value(STORED, &planner.ty)),
        proposed_new_state: Some(null()),
        config: Some(null()),
        prior_private: b"".to_vec().into(),
        ..Default::default()
    };
    let answer = planner.plugin.provider.plan_resource_change(request).await.expect("an answer").into_inner();
    assert_eq!(told(&answer.diagnostics), "");
    assert_eq!(shown(answer.planned_state.as_ref(), &planner.ty), "null");
}

#[tokio::test]
async fn memory_does_not_grow_with_calls() {
    // The least, so that a call that keeps anything shows.
    let mut planner = Planner::new().await;
    let pid = planner.plugin.process.child.id();
    for _ in 0..500 {
        planner.plan(Some(STORED), CONFIGURED).await;
    }
    let before = resident_kib(pid);
    for _ in 0..1500 {
        planner.plan(Some(STORED), CONFIGURED).await;
    }
    let after = resident_kib(pid);
    assert!(after < before + 1024, "{before} KiB before 1,500 plans, {after} KiB after");
}

/// The memory of a process, where it can be had.
fn resident_kib(pid: u32) -> u64 {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
        return 0;
    };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
