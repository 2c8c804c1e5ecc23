//! A process id that can be trusted after the process has ended.
//!
//! Ids are given out again, so one that was written down is never signalled on its own word: it goes
//! with the moment at which its process began (`/proc/PID/stat`, see `proc(5)`).

use std::fmt;
use std::fs;
use std::io;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often a process is looked at that is waited for.
const POLL: Duration = Duration::from_millis(20);

/// A process id with the moment its process began, which together are never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessId {
    pid: i32,
    /// Clock ticks since the machine started.
    began: u64,
}

impl ProcessId {
    /// This very process.
    pub(crate) fn current() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// The process that has this id now.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        Some(Self { pid, began: began(pid)? })
    }

    /// The id alone.
    #[must_use]
    pub fn pid(self) -> i32 {
        self.pid
    }

    /// Whether the process is still there.
    #[must_use]
    pub fn is_alive(self) -> bool {
        began(self.pid) == Some(self.began)
    }

    /// Signals it, unless it is gone.
    pub fn signal(self, signal: Signal) {
        if self.is_alive() {
            // Gone in between: then it has what it was to get.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Waits until it is gone; `false` when it is still there after `deadline`.
    #[must_use]
    pub fn wait_gone(self, deadline: Duration) -> bool {
        let began = Instant::now();
        while self.is_alive() {
            if began.elapsed() > deadline {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }
}

/// When the process with this id began, if it is there and not a zombie.
fn began(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces and parentheses: what follows the last one counts.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok() // field 22, `starttime`
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.began)
    }
}

impl FromStr for ProcessId {
    type Err = io::Error;

    fn from_str(text: &str) -> Result<Self, io::Error> {
        let parse = || {
            let (pid, began) = text.trim().split_once(' ')?;
            Some(Self { pid: pid.parse().ok()?, began: began.parse().ok()? })
        };
        parse().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_id_reads_back() {
        let id = ProcessId::current().unwrap();
        assert_eq!(id.to_string().parse::<ProcessId>().unwrap(), id);
        assert!(id.is_alive());
    }

    #[test]
    fn an_id_given_out_again_is_another_process() {
        let id = ProcessId::current().unwrap();
        let earlier = ProcessId { began: id.began.saturating_sub(1), ..id };
        assert!(!earlier.is_alive());
    }
}
