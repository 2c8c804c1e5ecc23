//! A command run under a platform of its own, which is gone when the command ends.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::signal::unix::{self, SignalKind};

use crate::process::{guarded, spawn};
use crate::{ENDPOINTS_ENV, Error, Platform, Progress, Wanted};

const POLL: Duration = Duration::from_millis(20);

/// Starts systems in a temporary data directory, runs a command with [`ENDPOINTS_ENV`] in its
/// environment, and stops everything when the command has ended. Gives the code to exit with:
/// the command's own, or 128 and the signal that ended it, as a shell does.
///
/// SIGINT, SIGTERM and SIGHUP are passed on; the second of them kills the command. If this process
/// itself is killed, the kernel ends the command and the systems.
///
/// # Errors
/// When the systems do not start or one of them ended while the command ran. The command's failure
/// is not an error.
pub async fn with(wanted: &Wanted, command: &[OsString], progress: &Progress) -> Result<u8, Error> {
    let mut signals = Signals::listen()?;
    let dir = tempfile::Builder::new()
        .prefix("local-platform-")
        .tempdir()
        .map_err(Error::io("making a temporary directory"))?;
    let root = dir.path().join("data");
    let mut platform = tokio::select! {
        started = Platform::start(&root, wanted, progress) => started?,
        signal = signals.next() => return Ok(code_of_signal(signal)),
    };
    let outcome = match run(command, &platform.endpoints_file()) {
        Ok(mut child) => wait(&mut child, &mut signals).await,
        Err(error) => Err(error),
    };
    let health = platform.check();
    platform.stop().await;
    dir.close().map_err(Error::io("removing the temporary directory"))?;
    let code = outcome?;
    health?;
    Ok(code)
}

/// Starts the command in our process group, so that it stays in the terminal's foreground.
fn run(command: &[OsString], endpoints: &Path) -> Result<Child, Error> {
    let (program, args) = command
        .split_first()
        .ok_or_else(|| std::io::ErrorKind::InvalidInput.into())
        .map_err(Error::io("no command given"))?;
    let mut guarded = guarded(Path::new(program), Signal::SIGTERM, None);
    guarded.args(args).env(ENDPOINTS_ENV, endpoints);
    spawn(guarded).map_err(Error::io(format!("starting {}", Path::new(program).display())))
}

async fn wait(child: &mut Child, signals: &mut Signals) -> Result<u8, Error> {
    let pid = Pid::from_raw(child.id().cast_signed());
    // A Ctrl-C in a terminal goes to the whole group: the command has it already, and to some a
    // second one means that they are not to clean up.
    let terminal = std::io::stdin().is_terminal();
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait().map_err(Error::io("waiting for the command"))? {
            return Ok(code_of_status(status));
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            signal = signals.next() => {
                let pass = if told { Some(Signal::SIGKILL) } else { Some(signal).filter(|it| !(terminal && *it == Signal::SIGINT)) };
                if let Some(pass) = pass {
                    // Not yet waited for, so the id is still the command's.
                    let _ = nix::sys::signal::kill(pid, pass);
                }
                told = true;
            }
        }
    }
}

fn code_of_status(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn code_of_signal(signal: Signal) -> u8 {
    u8::try_from(128 + signal as i32).unwrap_or(1)
}

/// The signals that ask a program to end.
struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self, Error> {
        let listen = |kind| unix::signal(kind).map_err(Error::io("listening for signals"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.hangup.recv() => Signal::SIGHUP,
        }
    }
}
