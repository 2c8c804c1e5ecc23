//! Child processes that end with us.
//!
//! A server outlives the test that started it only as far as its holder does: dropping the holder
//! ends it, a panic included. For everything else (a test binary that is killed, a static that is
//! never dropped) `setpriv --pdeathsig` has the kernel tell the child. That signal is bound to the
//! *thread* that started the child, and test threads come and go, so one thread that never ends
//! starts them all.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How often a process is looked at: nobody announces its end without a signal handler.
const POLL: Duration = Duration::from_millis(20);
/// A process that was asked to end and has not by then is killed.
const END_DEADLINE: Duration = Duration::from_secs(20);

/// A command whose process is told to end when we are gone.
#[must_use]
pub fn guarded(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program).process_group(0).stdin(Stdio::null());
    command
}

/// A process in the background, with its output in files.
#[derive(Debug)]
pub struct Background {
    child: Child,
    name: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Background {
    /// Starts a command made by [`guarded`]; its output goes to `NAME.out` and `NAME.err` in `dir`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command, name: &str, dir: &Path) -> Result<Self> {
        let stdout = dir.join(format!("{name}.out"));
        let stderr = dir.join(format!("{name}.err"));
        let errors = File::options().create(true).append(true).open(&stderr)?;
        command.stdout(File::create(&stdout)?).stderr(errors);
        let child = spawn(command).with_context(|| format!("starting {name}"))?;
        Ok(Self { child, name: name.to_owned(), stdout, stderr })
    }

    /// What follows `prefix` on the first line of standard output that begins with it.
    ///
    /// # Errors
    /// When the process ends, or `deadline` passes, before there is one.
    pub fn line_with(&mut self, prefix: &str, deadline: Duration) -> Result<String> {
        let began = Instant::now();
        loop {
            let ended = self.child.try_wait()?;
            let text = fs::read_to_string(&self.stdout)?;
            let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
            if let Some(rest) = complete.lines().find_map(|line| line.strip_prefix(prefix)) {
                return Ok(rest.trim().to_owned());
            }
            if let Some(status) = ended {
                bail!("{} ended with {status} before it said `{prefix}`:\n{}", self.name, self.errors());
            }
            if began.elapsed() > deadline {
                bail!("{} did not say `{prefix}` in {deadline:?}:\n{}", self.name, self.errors());
            }
            thread::sleep(POLL);
        }
    }

    /// Its process id (setpriv becomes the command, under the same id).
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it still runs after `deadline`.
    pub fn end_awaited(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if began.elapsed() > deadline {
                bail!("{} still runs after {deadline:?}", self.name);
            }
            thread::sleep(POLL);
        }
    }

    /// Asks it to end in good order and waits for that.
    ///
    /// # Errors
    /// When it has to be killed.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM);
        self.end_awaited(END_DEADLINE)
    }

    /// Kills it, as a power cut would, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGKILL);
        Ok(self.child.wait()?)
    }

    /// The last lines that it wrote to standard error.
    #[must_use]
    pub fn errors(&self) -> String {
        let text = fs::read(&self.stderr).unwrap_or_default();
        last_lines(&String::from_utf8_lossy(&text), 40)
    }

    /// The file that its standard error goes to.
    #[must_use]
    pub fn stderr_file(&self) -> &Path {
        &self.stderr
    }

    fn signal(&mut self, signal: Signal) {
        // Not yet waited for, so the id, and the group that it leads, are still its own.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), signal);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.terminate().is_err() {
            let _ = self.kill();
        }
    }
}

/// How a process went that ends by itself.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// All that it wrote to standard output.
    pub stdout: String,
    /// All that it wrote to standard error.
    pub stderr: String,
}

/// Runs a command made by [`guarded`] to its end.
///
/// # Errors
/// When it cannot be started, or is killed because it still runs after `deadline`.
pub fn run(mut command: Command, name: &str, deadline: Duration) -> Result<Finished> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(command).with_context(|| format!("starting {name}"))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if began.elapsed() > deadline {
            // The whole group: a CLI has started providers.
            let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
            child.wait()?;
            break None;
        }
        thread::sleep(POLL);
    };
    let (stdout, stderr) = (collected(stdout), collected(stderr));
    let Some(status) = status else {
        bail!(
            "{name} still ran after {deadline:?}; its last lines:\n{}\n{}",
            last_lines(&stdout, 20),
            last_lines(&stderr, 20)
        );
    };
    Ok(Finished { status, stdout, stderr })
}

/// The last lines of a text.
#[must_use]
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

type Drained = thread::JoinHandle<Vec<u8>>;

fn drain(pipe: Option<impl io::Read + Send + 'static>) -> Option<Drained> {
    let mut pipe = pipe?;
    Some(thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks has given what it had.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    }))
}

fn collected(drained: Option<Drained>) -> String {
    let bytes = drained.and_then(|thread| thread.join().ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Starts a child from the one thread that never ends.
fn spawn(command: Command) -> io::Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();

    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        jobs
    });
    let (answer, outcome) = mpsc::channel();
    spawner.send((command, answer)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
    outcome.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch;

    fn shell(script: &str) -> Command {
        let mut command = guarded(Path::new("/bin/sh"));
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_status_are_kept() {
        let done = run(shell("echo out; echo err >&2; exit 3"), "sh", Duration::from_secs(10)).unwrap();
        assert_eq!(
            (done.status.code(), done.stdout.as_str(), done.stderr.as_str()),
            (Some(3), "out\n", "err\n")
        );
    }

    #[test]
    fn what_hangs_is_killed_with_its_children() {
        let error = run(shell("echo begun; sleep 600 & wait"), "sh", Duration::from_millis(200)).unwrap_err();
        assert!(error.to_string().contains("begun"), "{error}");
    }

    #[test]
    fn dropping_ends_it() {
        let dir = scratch::dir("process").unwrap();
        let mut background =
            Background::start(shell("echo pid $$; exec sleep 600"), "sleeper", &dir).unwrap();
        let pid: i32 = background.line_with("pid ", Duration::from_secs(10)).unwrap().parse().unwrap();
        drop(background);
        assert_eq!(nix::sys::signal::kill(Pid::from_raw(pid), None), Err(nix::errno::Errno::ESRCH));
    }

    #[test]
    fn an_early_end_is_told_with_its_last_words() {
        let dir = scratch::dir("process").unwrap();
        let mut background = Background::start(shell("echo oh no >&2; exit 1"), "failing", &dir).unwrap();
        let error = background.line_with("ready", Duration::from_secs(10)).unwrap_err();
        assert!(error.to_string().contains("oh no"), "{error}");
    }
}
