//! What Linux says of a process, and of the machine.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// The time a process has spent on processors, all threads together, to the nanosecond.
/// (`/proc/PID/stat` counts in hundredths of a second, which is too coarse here.)
pub(crate) fn cpu(pid: Pid) -> Result<Duration> {
    let clock = clock_getcpuclockid(pid).context("finding a process's clock")?;
    Ok(clock_gettime(clock).context("reading a process's clock")?.into())
}

/// `VmRSS`.
pub(crate) fn resident_bytes(pid: Pid) -> Result<u64> {
    kib(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// `VmHWM`: the most that was ever resident.
pub(crate) fn peak_bytes(pid: Pid) -> Result<u64> {
    kib(&format!("/proc/{pid}/status"), "VmHWM:")
}

/// What the machine has.
pub(crate) fn memory_bytes() -> Result<u64> {
    kib("/proc/meminfo", "MemTotal:")
}

/// How many threads the machine runs at once.
pub(crate) fn cores() -> Result<usize> {
    Ok(std::thread::available_parallelism()?.get())
}

fn kib(path: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    number.map(|kib| kib * 1024).with_context(|| format!("{path} has no {name}"))
}
