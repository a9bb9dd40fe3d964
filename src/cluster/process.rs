//! Processes by identity: a pid alone may be another program's by now, a pid with its start time may not.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

/// How long a component may take to end by itself. Nothing of a throw-away cluster is worth a longer wait.
const GRACE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// A process of this boot of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot (`/proc/PID/stat`, field 22).
    pub start: u64,
}

impl ProcessId {
    /// The process that has this number now; none where there is none or where it has ended and waits to be reaped.
    pub fn of(pid: u32) -> Option<ProcessId> {
        parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
            .map(|start| ProcessId { pid, start })
    }

    /// This process.
    pub fn own() -> ProcessId {
        let pid = std::process::id();
        ProcessId::of(pid).unwrap_or(ProcessId { pid, start: 0 })
    }

    /// Whether it still runs: the number is in use by a process with the same start time.
    pub fn alive(self) -> bool {
        ProcessId::of(self.pid) == Some(self)
    }

    /// How long it has been running, by the kernel's own count.
    pub fn age(self) -> Option<Duration> {
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let now: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        let started = self.start as f64 / rustix::param::clock_ticks_per_second() as f64;
        Duration::try_from_secs_f64((now - started).max(0.0)).ok()
    }

    /// Sends a signal if the process is still the same one.
    pub(super) fn signal(self, signal: Signal) {
        if self.alive()
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
        {
            // It may end between the look and the signal; then there is nothing left to do.
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks it to end, and makes it end after a few seconds. False if it is still there.
    pub(super) async fn stop(self) -> bool {
        self.signal(Signal::TERM);
        if self.gone_within(GRACE).await {
            return true;
        }
        self.signal(Signal::KILL);
        self.gone_within(GRACE).await
    }

    async fn gone_within(self, limit: Duration) -> bool {
        let gone = async {
            while self.alive() {
                sleep(POLL).await;
            }
        };
        timeout(limit, gone).await.is_ok()
    }
}

/// Names this boot, so that a state file from before a restart of the machine matches no process.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The start time from `/proc/PID/stat`; none for a zombie. The program's name may hold spaces and parentheses.
fn parse_stat(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_start_time_behind_a_hostile_name() {
        let tail = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(parse_stat(&format!("7 (a) b (c) S {tail}")), Some(4711));
        assert_eq!(parse_stat(&format!("7 (x) Z {tail}")), None);
        assert_eq!(parse_stat("7 (x"), None);
    }

    #[test]
    fn a_recycled_pid_is_another_process() {
        let own = ProcessId::own();
        assert!(own.alive());
        assert!(!ProcessId { start: own.start + 1, ..own }.alive());
        assert!(own.age().unwrap() < Duration::from_hours(1));
    }

    #[tokio::test]
    async fn stops_the_process_that_was_meant_and_no_other() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        assert!(ProcessId { start: id.start + 1, ..id }.stop().await);
        assert!(id.alive(), "a process with another start time was stopped");
        assert!(id.stop().await);
        assert!(!id.alive());
        child.wait().unwrap();
    }
}
