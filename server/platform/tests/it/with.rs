//! `local-platform with`: nothing is left behind, however it ends.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use local_platform::ProcessId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Tells the ids of the command and of Postgres, once both run.
const TELL: &str = r#"echo $$; cut -d' ' -f1 "$(dirname "$INTEGRACI_PLATFORM")/postgres/postgres.pid""#;
const DEADLINE: Duration = Duration::from_secs(30);

struct Run {
    with: Child,
    command: ProcessId,
    postgres: ProcessId,
}

/// Starts `with postgres -- sh -c "BEFORE; TELL; AFTER"`, with its temporary directory in `tmp`.
fn run(tmp: &Path, before: &str, after: &str) -> Run {
    let mut with = Command::new(env!("CARGO_BIN_EXE_local-platform"))
        .args(["with", "postgres", "--", "sh", "-c", &format!("{before}; {TELL}; {after}")])
        .env("TMPDIR", tmp)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(with.stdout.take().unwrap()).lines();
    let mut id = || {
        let line = lines.next().unwrap().unwrap();
        ProcessId::of(line.parse().unwrap()).unwrap()
    };
    let (command, postgres) = (id(), id());
    Run { with, command, postgres }
}

impl Run {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.with.id().cast_signed()), signal).unwrap();
    }

    fn assert_gone(&self) {
        assert!(self.command.wait_gone(DEADLINE), "the command is left");
        assert!(self.postgres.wait_gone(DEADLINE), "postgres is left");
    }
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn the_code_is_the_commands_own() {
    let tmp = tempfile::tempdir().unwrap();
    // Waits to be released, so that what it tells is true when it is read.
    let release = tmp.path().join("release");
    let script = format!("until test -e {}; do sleep 0.05; done; exit 7", release.display());
    let mut run = run(tmp.path(), "true", &script);
    std::fs::write(&release, "").unwrap();
    assert_eq!(run.with.wait().unwrap().code(), Some(7));
    run.assert_gone();
    std::fs::remove_file(&release).unwrap();
    assert!(is_empty(tmp.path()), "its temporary directory is left");
}

#[test]
fn a_signal_is_passed_on() {
    let tmp = tempfile::tempdir().unwrap();
    let mut run = run(tmp.path(), "trap 'exit 9' TERM", "while :; do sleep 0.05; done");
    run.signal(Signal::SIGTERM);
    assert_eq!(run.with.wait().unwrap().code(), Some(9));
    run.assert_gone();
    assert!(is_empty(tmp.path()), "its temporary directory is left");
}

#[test]
fn killed_outright_it_leaves_no_process() {
    let tmp = tempfile::tempdir().unwrap();
    let mut run = run(tmp.path(), "true", "exec sleep 600");
    run.signal(Signal::SIGKILL);
    run.with.wait().unwrap();
    run.assert_gone();
}
