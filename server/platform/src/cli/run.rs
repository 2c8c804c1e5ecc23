//! `local-platform start`, `stop` and `status`.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use local_platform::{Endpoints, Error, Held, Platform, Progress, Wanted, holder};
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// How often `start` looks whether a system has ended by itself, and `stop` whether all have.
const POLL: Duration = Duration::from_millis(200);
/// The systems stop side by side, and each is killed after 20 s.
const STOP_DEADLINE: Duration = Duration::from_secs(90);

pub(super) async fn start(dir: &Path, wanted: &Wanted) -> anyhow::Result<u8> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let progress = Progress::stderr();
    let mut platform = tokio::select! {
        started = Platform::start(dir, wanted, &progress) => started?,
        _ = interrupt.recv() => return Ok(130),
        _ = terminate.recv() => return Ok(143),
    };
    show(platform.endpoints(), &platform.endpoints_file())?;
    let outcome = loop {
        tokio::select! {
            _ = interrupt.recv() => break Ok(0),
            _ = terminate.recv() => break Ok(0),
            () = tokio::time::sleep(POLL) => if let Err(ended) = platform.check() {
                break Err(ended.into());
            },
        }
    };
    platform.stop().await;
    outcome
}

pub(super) async fn stop(dir: &Path) -> anyhow::Result<u8> {
    let Held::By(owner) = holder(dir)? else {
        return Err(Error::NotRunning { dir: dir.to_owned() }.into());
    };
    owner.signal(Signal::SIGTERM);
    let told = Instant::now();
    while holder(dir)? != Held::Free {
        if told.elapsed() > STOP_DEADLINE {
            bail!("still running {} s after it was told to stop", STOP_DEADLINE.as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
    writeln!(std::io::stdout(), "stopped {}", dir.display())?;
    Ok(0)
}

pub(super) fn status(dir: &Path) -> anyhow::Result<u8> {
    if holder(dir)? == Held::Free {
        writeln!(std::io::stdout(), "nothing runs on {}", dir.display())?;
        return Ok(1);
    }
    let file = dir.join("platform.json");
    if !file.exists() {
        writeln!(std::io::stdout(), "starting on {}", dir.display())?;
        return Ok(0);
    }
    show(&Endpoints::read(&file)?, &file)?;
    Ok(0)
}

fn show(endpoints: &Endpoints, file: &Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for (system, address) in endpoints.addresses() {
        writeln!(out, "{system:<11} {address}")?;
    }
    writeln!(out, "credentials {}", file.display())?;
    Ok(())
}
