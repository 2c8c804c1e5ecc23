//! Starting and stopping processes so that none is ever left behind.
//!
//! Three things end a process of ours: `stop`, dropping the [`Service`] that holds it, and the
//! death of this process by whatever means, `kill -9` included. The last is the kernel's doing:
//! `setpriv --pdeathsig` (util-linux) sets `prctl(PR_SET_PDEATHSIG)` and then becomes the program.
//! That signal is bound to the *thread* that started the child, so all children are started by
//! one thread that lives as long as this process.
//!
//! Each child leads a process group of its own: a Ctrl-C in the terminal reaches us, and we stop
//! the systems in order.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::error::At as _;
use crate::user::RunAs;
use crate::{Error, ProcessId, System};

/// How often a condition that nobody announces is looked at.
const POLL: Duration = Duration::from_millis(20);
/// Killed outright when it has not ended by then. The slowest of the five ends within five seconds.
const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// How much of a log an error shows.
const TAIL_LINES: usize = 15;

/// What to start and how it ends.
pub(crate) struct Launch<'a> {
    pub(crate) system: System,
    /// Its name among the processes of the system: names its log and its process id file.
    pub(crate) name: &'static str,
    /// Where its log and process id file go.
    pub(crate) dir: &'a Path,
    pub(crate) program: &'a Path,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(&'static str, OsString)>,
    pub(crate) run_as: Option<&'a RunAs>,
    /// Asks it to end in good order.
    pub(crate) stop: Signal,
    /// Ends it when we are gone and can no longer insist.
    pub(crate) orphaned: Signal,
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    system: System,
    child: Child,
    stop: Signal,
    log: PathBuf,
    pid_file: PathBuf,
}

impl Process {
    pub(crate) fn start(launch: Launch<'_>) -> Result<Self, Error> {
        let log = launch.dir.join(format!("{}.log", launch.name));
        let pid_file = launch.dir.join(format!("{}.pid", launch.name));
        end_leftover(&pid_file)?;
        let output = File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&log)
            .at("opening the log", &log)?;
        let errors = output.try_clone().at("opening the log", &log)?;

        let mut command = guarded(launch.program, launch.orphaned, launch.run_as);
        command
            .args(launch.args)
            .env_clear() // what happens to be set here (PGDATA, BAO_ADDR, …) is none of its business
            .envs(
                ["PATH", "HOME", "TMPDIR"]
                    .into_iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .envs(launch.env)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        let child = spawn(command).map_err(|source| missing_setpriv(launch.system, source))?;
        let mut process = Self { system: launch.system, child, stop: launch.stop, log, pid_file };
        if let Err(error) = process.pid_file_write() {
            process.end();
            return Err(error);
        }
        Ok(process)
    }

    /// Notes who it is, for [`end_leftover`] of a later start.
    fn pid_file_write(&self) -> Result<(), Error> {
        let id = ProcessId::of(self.id()).map(|id| id.to_string()).unwrap_or_default();
        fs::write(&self.pid_file, id).at("writing", &self.pid_file)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Polls `ready` until it holds. An error when the process ends first or `deadline` passes.
    pub(crate) async fn wait_ready<F: Future<Output = bool>>(
        &mut self,
        deadline: Duration,
        mut ready: impl FnMut() -> F,
    ) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            self.check()?;
            if ready().await {
                return Ok(());
            }
            if began.elapsed() > deadline {
                return Err(self.failed(format!("not ready after {} s", deadline.as_secs())));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// An error when the process has ended.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failed(format!("it ended with {status}"))),
            Err(source) => Err(Error::Io { operation: format!("watching {}", self.system), source }),
        }
    }

    fn failed(&self, why: String) -> Error {
        Error::Down { system: self.system, why, log: self.log.clone(), tail: tail(&self.log) }
    }

    /// Asks it to end, insists after a deadline, and returns when it is gone.
    fn end(&mut self) {
        self.tell(self.stop);
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if began.elapsed() > STOP_DEADLINE {
                // The whole group: whatever it started goes with it.
                let _ = killpg(self.pid(), Signal::SIGKILL);
                let _ = self.child.wait();
                break;
            }
            thread::sleep(POLL);
        }
        let _ = fs::remove_file(&self.pid_file);
    }

    fn tell(&mut self, signal: Signal) {
        // Not yet waited for, so the id is still its own.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill(self.pid(), signal);
        }
    }

    fn pid(&self) -> Pid {
        // A process id is positive and fits: pid_t is an i32.
        Pid::from_raw(self.child.id().cast_signed())
    }
}

/// The processes of one system, in the order in which they were started.
#[derive(Debug)]
pub(crate) struct Service {
    processes: Vec<Process>,
}

impl Service {
    pub(crate) fn new() -> Self {
        Self { processes: Vec::new() }
    }

    /// Adds a process, and gives it to be waited for.
    pub(crate) fn start(&mut self, launch: Launch<'_>) -> Result<&mut Process, Error> {
        self.processes.push(Process::start(launch)?);
        let last = self.processes.len() - 1;
        Ok(&mut self.processes[last])
    }

    /// An error when one of its processes has ended.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        self.processes.iter_mut().try_for_each(Process::check)
    }

    pub(crate) fn process_ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.processes.iter().map(Process::id)
    }
}

impl Drop for Service {
    /// Stops it and waits until it is gone: at most [`STOP_DEADLINE`] for each process.
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            process.end();
        }
    }
}

/// Stops several side by side. Blocks until all are gone.
pub(crate) fn stop_all(services: Vec<Service>) {
    thread::scope(|scope| {
        for service in services {
            scope.spawn(move || drop(service));
        }
    });
}

/// A run of a program that ends by itself, such as `initdb`; its output goes to a log.
pub(crate) async fn run_to_end(launch: Launch<'_>) -> Result<(), Error> {
    let mut service = Service::new();
    let process = service.start(launch)?;
    loop {
        match process.child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(None) => tokio::time::sleep(POLL).await,
            Ok(Some(status)) => return Err(process.failed(format!("it ended with {status}"))),
            Err(source) => {
                return Err(Error::Io { operation: format!("waiting for {}", process.system), source });
            }
        }
    }
}

/// `program`, to be given `orphaned` when the thread that starts it is gone.
pub(crate) fn guarded(program: &Path, orphaned: Signal, run_as: Option<&RunAs>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", orphaned.as_str().trim_start_matches("SIG")]);
    if let Some(user) = run_as {
        command.args(["--reuid", &user.uid.to_string(), "--regid", &user.gid.to_string(), "--clear-groups"]);
        if let Some(capability) = user.keeps {
            let kept = format!("+{capability}");
            // Without `no_setuid_fixup`, access(2) would still judge by the user alone.
            command.args(["--securebits", "+no_setuid_fixup", "--inh-caps", &kept, "--ambient-caps", &kept]);
        }
    }
    command.arg("--").arg(program);
    command
}

fn missing_setpriv(system: System, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::NotFound {
        let what = system.to_string();
        return Error::ToolMissing { what, tool: "setpriv", remedy: "install util-linux" };
    }
    Error::Io { operation: format!("starting {system}"), source }
}

/// Starts a child from the one thread that never ends.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();

    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // Nobody waits for the answer any more: the child is dropped, and ends with us.
                let _ = answer.send(command.spawn());
            }
        });
        jobs
    });
    let (answer, outcome) = mpsc::channel();
    spawner.send((command, answer)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
    outcome.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?
}

/// Ends what an earlier owner of the directory left behind. The kernel has told it to end already;
/// this waits for it, so that two never share the data.
fn end_leftover(pid_file: &Path) -> Result<(), Error> {
    let Ok(text) = fs::read_to_string(pid_file) else { return Ok(()) };
    let Ok(id) = text.parse::<ProcessId>() else { return Ok(()) };
    if !id.wait_gone(Duration::from_secs(10)) {
        id.signal(Signal::SIGKILL);
        if !id.wait_gone(Duration::from_secs(10)) {
            return Err(Error::StillRunning { pid: id.pid(), waited: Duration::from_secs(20) });
        }
    }
    Ok(())
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(16 * 1024)))?;
        let mut bytes = Vec::new();
        file.take(16 * 1024).read_to_end(&mut bytes)?;
        Ok(last_lines(&String::from_utf8_lossy(&bytes)))
    };
    read().unwrap_or_else(|_| "(the log cannot be read)".to_owned())
}

/// The last lines of a text, indented.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let shown: Vec<String> =
        lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| format!("  {line}")).collect();
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_shown() {
        let text: String = (0..100).map(|n| format!("line {n}\n\n")).collect();
        let shown = last_lines(&text);
        assert_eq!(shown.lines().count(), TAIL_LINES);
        assert!(shown.ends_with("line 99"));
    }
}
