//! What users do, done with the real tools.

use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use crate::cli::{Workspace, clis};
use crate::plugin::PATIENCE;

fn with_each(test: impl Fn(&Workspace)) {
    for cli in clis() {
        test(&Workspace::new(&cli));
    }
}

const NOTE: &str = r#"
resource "notebook_note" "own" {
  title    = "t"
  body     = "b"
  labels   = { a = "b" }
  reminder = { at = "2026-11-24" }
  readers  = [{ email = "a@example" }, { email = "b@example", role = "editor" }]

  attachments = [{ name = "x" }, { name = "y" }]

  passphrase_wo         = var.passphrase
  passphrase_wo_version = "1"
}

variable "passphrase" {
  ephemeral = true
  default   = "p"
}

data "notebook_notes" "all" {
  depends_on = [notebook_note.own]
}

output "slug" {
  value = provider::notebook::slug("To Do", "2026")
}

output "found" {
  value = data.notebook_notes.all.notes[*].title
}
"#;

#[test]
fn a_note_is_created_changed_replaced_and_destroyed() {
    with_each(|workspace| {
        workspace.configure(NOTE);
        workspace.apply();
        let created = workspace.attributes("own").expect("the note");
        assert_eq!(created["revision"], 1);
        assert_eq!(created["shelf"], "inbox");
        assert_eq!(created["reminder"]["repeat"], "once");
        assert_eq!(created["attachments"][1]["number"], 2);
        assert_eq!(created["passphrase_wo"], serde_json::Value::Null);
        assert_eq!(workspace.state()["outputs"]["slug"]["value"], "to-do-2026");
        assert_eq!(workspace.state()["outputs"]["found"]["value"], serde_json::json!(["t"]));
        workspace.no_changes();

        workspace.configure(&NOTE.replace(r#""b@example", role = "editor""#, r#""c@example""#));
        let ran = workspace.apply();
        assert!(ran.stdout.contains("0 added, 1 changed, 0 destroyed"), "{}", ran.stdout);
        let changed = workspace.attributes("own").expect("the note");
        assert_eq!((&changed["id"], &changed["revision"]), (&created["id"], &2.into()));
        workspace.no_changes();

        workspace.configure(&NOTE.replace(r#"title    = "t""#, "title = \"t\"\n  shelf = \"archive\""));
        let ran = workspace.apply();
        assert!(ran.stdout.contains("forces replacement"), "{}", ran.stdout);
        assert!(ran.stdout.contains("1 added, 0 changed, 1 destroyed"), "{}", ran.stdout);
        let replaced = workspace.attributes("own").expect("the note");
        assert_ne!(replaced["id"], created["id"]);
        workspace.no_changes();

        let ran = workspace.run(&["destroy", "-auto-approve"]);
        assert!(ran.success, "{}", ran.stderr);
        assert_eq!(std::fs::read_dir(workspace.path("notes")).expect("the notes").count(), 0);
    });
}

#[test]
fn what_vanished_is_created_again() {
    with_each(|workspace| {
        workspace.configure(NOTE);
        workspace.apply();
        let id = workspace.attributes("own").expect("the note")["id"].as_str().expect("an id").to_owned();
        std::fs::remove_file(workspace.path("notes").join(format!("{id}.json"))).expect("the note");
        let ran = workspace.apply();
        assert!(ran.stdout.contains("1 added, 0 changed, 0 destroyed"), "{}", ran.stdout);
        workspace.no_changes();
    });
}

#[test]
fn what_exists_is_imported_and_there_is_nothing_to_do() {
    with_each(|workspace| {
        let config = r#"
            resource "notebook_note" "own" {
              title       = "t"
              labels      = { a = "b" }
              attachments = [{ name = "x" }]
            }
        "#;
        workspace.configure(config);
        workspace.apply();
        let id = workspace.attributes("own").expect("the note")["id"].as_str().expect("an id").to_owned();
        std::fs::remove_file(workspace.path("terraform.tfstate")).expect("the state");
        let ran = workspace.run(&["import", "-input=false", "notebook_note.own", &id]);
        assert!(ran.success, "{}", ran.stderr);
        workspace.no_changes();

        std::fs::remove_file(workspace.path("terraform.tfstate")).expect("the state");
        workspace.configure(&format!("{config}\nimport {{\n  to = notebook_note.own\n  id = \"{id}\"\n}}\n"));
        let ran = workspace.apply();
        assert!(ran.stdout.contains("1 imported, 0 added, 0 changed, 0 destroyed"), "{}", ran.stdout);
        workspace.no_changes();

        // Older ones do not know of identities, and then there is none in the state.
        if workspace.state()["resources"][0]["instances"][0]["identity"].is_object() {
            std::fs::remove_file(workspace.path("terraform.tfstate")).expect("the state");
            let import = format!(
                "import {{\n  to = notebook_note.own\n  identity = {{\n    id = \"{id}\"\n  }}\n}}\n"
            );
            workspace.configure(&format!("{config}\n{import}"));
            let ran = workspace.apply();
            assert!(ran.stdout.contains("1 imported, 0 added, 0 changed, 0 destroyed"), "{}", ran.stdout);
        }

        let ran = workspace.run(&["import", "-input=false", "notebook_note.own", "other"]);
        assert!(!ran.success);
    });
}

#[test]
fn what_is_write_only_is_nowhere_but_where_it_belongs() {
    const CANARY: &str = "a-canary-that-no-file-may-hold";
    with_each(|workspace| {
        workspace.configure(NOTE);
        let log = workspace.path("trace.log");
        let ran = workspace
            .command(&["apply", "-auto-approve"])
            .env("TF_VAR_passphrase", CANARY)
            .env("TF_LOG", "TRACE")
            .env("TF_LOG_PATH", &log)
            .output()
            .expect("it can be started");
        assert!(ran.status.success());
        assert!(
            std::fs::read_to_string(&log).expect("a log").contains("plan_resource_change"),
            "it is logged"
        );
        let ran = workspace.run(&["plan", "-out=plan.zip", "-destroy"]);
        assert!(ran.success, "{}", ran.stderr);
        let json = workspace.run(&["show", "-json", "plan.zip"]);
        workspace.write("plan.json", &json.stdout);
        assert_eq!(workspace.files_with(CANARY), [""; 0]);
        let note =
            std::fs::read_dir(workspace.path("notes")).expect("the notes").map_while(Result::ok).next();
        let note = std::fs::read_to_string(note.expect("a note").path()).expect("a note");
        assert!(note.contains(CANARY), "it belongs to the note");
    });
}

#[test]
fn a_state_of_an_earlier_version_is_upgraded() {
    with_each(|workspace| {
        let config = "resource \"notebook_note\" \"own\" {\n  title = \"t\"\n  body  = \"b\"\n}\n";
        workspace.configure(config);
        workspace.apply();
        let mut state = workspace.state();
        let instance = &mut state["resources"][0]["instances"][0];
        instance["schema_version"] = 0.into();
        let attributes = &mut instance["attributes"];
        *attributes = serde_json::json!({
            "id": attributes["id"], "shelf": attributes["shelf"], "title": "t", "text": "b",
        });
        state["serial"] = 99.into();
        workspace.write("terraform.tfstate", &state.to_string());
        workspace.no_changes();
        let ran = workspace.run(&["apply", "-refresh-only", "-auto-approve"]);
        assert!(ran.success, "{}", ran.stderr);
        assert_eq!(workspace.attributes("own").expect("the note")["body"], "b");
        assert_eq!(workspace.state()["resources"][0]["instances"][0]["schema_version"], 1);
    });
}

#[test]
fn a_note_can_be_moved_within_and_from_another_type() {
    with_each(|workspace| {
        workspace.configure("resource \"notebook_note\" \"old\" {\n  title = \"t\"\n}\n");
        workspace.apply();
        let id = workspace.attributes("old").expect("the note")["id"].clone();
        let moved = |from: &str| {
            format!(
                "resource \"notebook_note\" \"own\" {{\n  title = \"t\"\n}}\nmoved {{\n  from = {from}\n  to   = \
                 notebook_note.own\n}}\n"
            )
        };
        workspace.configure(&moved("notebook_note.old"));
        let ran = workspace.apply();
        assert!(ran.stdout.contains("0 added, 0 changed, 0 destroyed"), "{}", ran.stdout);
        assert_eq!(workspace.attributes("own").expect("the note")["id"], id);

        // The state of another type, as if it had been kept there before there was a notebook.
        let mut state = workspace.state();
        let resource = &mut state["resources"][0];
        resource["type"] = "terraform_data".into();
        resource["name"] = "elsewhere".into();
        resource["provider"] = r#"provider["terraform.io/builtin/terraform"]"#.into();
        let instance = &mut resource["instances"][0];
        instance["schema_version"] = 0.into();
        instance["attributes"] =
            serde_json::json!({ "id": id, "input": null, "output": null, "triggers_replace": null });
        instance.as_object_mut().expect("an instance").retain(|name, _| !name.contains("identity"));
        state["serial"] = 99.into();
        workspace.write("terraform.tfstate", &state.to_string());
        workspace.configure(&moved("terraform_data.elsewhere"));
        let ran = workspace.apply();
        assert!(ran.stdout.contains("0 added, 0 changed, 0 destroyed"), "{}", ran.stdout);
        assert_eq!(workspace.attributes("own").expect("the note")["id"], id);
        workspace.no_changes();
    });
}

#[test]
fn a_lock_is_held_for_a_run_and_given_back() {
    with_each(|workspace| {
        workspace.configure(
            "ephemeral \"notebook_lock\" \"own\" {\n  name = \"all\"\n}\nresource \"notebook_note\" \"own\" {\n  \
             title = \"t\"\n  passphrase_wo = ephemeral.notebook_lock.own.token\n}\n",
        );
        workspace.apply();
        assert!(!workspace.path("notes").join("all.lock").exists(), "it is given back");
        assert_eq!(workspace.files_with("all-"), [""; 0], "its token is nowhere");
        workspace.write("notes/all.lock", "");
        let ran = workspace.run(&["plan"]);
        assert!(!ran.success && ran.stderr.contains("Somebody else has the lock"), "{}", ran.stderr);
    });
}

#[test]
fn what_is_wrong_is_shown_where_it_is_written() {
    with_each(|workspace| {
        workspace
            .configure("resource \"notebook_note\" \"own\" {\n  title = \"t\"\n  shelf = \"In Box\"\n}\n");
        let ran = workspace.run(&["validate"]);
        assert!(!ran.success);
        assert!(ran.stderr.contains("shelf = \"In Box\""), "{}", ran.stderr);
        assert!(ran.stderr.contains("Use lower-case letters and dashes."), "{}", ran.stderr);
    });
}

#[test]
fn a_panic_is_an_error_like_others() {
    with_each(|workspace| {
        workspace.configure(
            "resource \"faulty_thing\" \"bad\" {\n  fault = \"panic in create\"\n}\nresource \"faulty_thing\" \
             \"good\" {\n}\n",
        );
        let ran = workspace.run(&["apply", "-auto-approve", "-input=false"]);
        assert!(!ran.success);
        assert!(ran.stderr.contains("The provider failed to create faulty_thing"), "{}", ran.stderr);
        assert!(
            !ran.stderr.contains("stack backtrace") && !ran.stderr.contains("plugin crashed"),
            "{}",
            ran.stderr
        );
        assert!(workspace.attributes("good").is_some(), "the others are not concerned");
        assert!(workspace.attributes("bad").is_none());
    });
}

#[test]
fn who_presses_ctrl_c_loses_nothing() {
    with_each(|workspace| {
        workspace.configure("resource \"faulty_thing\" \"own\" {\n  fault = \"wait\"\n}\n");
        let waiting = workspace.path("waiting");
        // A process group of its own, for Ctrl-C goes to a whole group: core and provider alike.
        let mut command = workspace.command(&["apply", "-auto-approve", "-input=false"]);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .env("FAULTY_WAITING", &waiting)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let deadline = std::time::Instant::now() + PATIENCE;
        while !waiting.exists() {
            assert!(std::time::Instant::now() < deadline, "the create does not get to waiting");
            std::thread::sleep(Duration::from_millis(5));
        }
        let group = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGINT).expect("a signal");
        let mut stderr = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
        assert!(!child.wait().expect("a child").success());
        assert!(stderr.contains("Interrupted"), "{stderr}");
        let kept = workspace.attributes("own").expect("what was created is kept");
        assert_eq!(kept["id"], "thing-1");
    });
}
