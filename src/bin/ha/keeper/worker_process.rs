//! A worker as the keeper sees it: a process that has to show that it lives.

use std::os::fd::{AsFd, OwnedFd};

use ha::config::Config;
use ha::time::{Duration, Instant};
use ha::wire::LEN;
use rustix::io;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, pidfd_open, waitpid};

use super::send_queue::SendQueue;
use crate::channel::{Channel, beat_interval};
use crate::linux::poll::Watch;

/// A worker, from the fork to the end of its process.
#[derive(Debug)]
pub struct WorkerProcess {
    /// Its number.
    pub pid: Pid,
    /// Readable when it has ended. Before Linux 5.3 there is none, and only the end of the channel shows it.
    pub end: Option<OwnedFd>,
    /// To it and from it.
    pub channel: Channel,
    /// News for it.
    pub queue: SendQueue,
    /// When it was started.
    pub started: Instant,
    /// The packet that the keeper sends for it when it dies.
    pub resign_packet: Option<[u8; LEN]>,
    /// How many times the keeper has sent it.
    pub resigned: u8,
    heard_at: Instant,
    patience: Duration,
}

impl WorkerProcess {
    /// The process `pid`, which was just started.
    pub fn new(pid: Pid, channel: Channel, config: &Config, now: Instant) -> Self {
        Self {
            pid,
            end: pidfd_open(pid, PidfdFlags::empty()).ok(),
            channel,
            queue: SendQueue::default(),
            started: now,
            resign_packet: None,
            resigned: 0,
            heard_at: now,
            patience: patience(config, false).max(START_LIMIT),
        }
    }

    /// Notes that it has just shown that it lives; `is_exposed`: it has the address, and no fence silences it.
    pub fn record_life(&mut self, config: &Config, is_exposed: bool, now: Instant) {
        self.heard_at = now;
        self.patience = patience(config, is_exposed);
    }

    /// When it counts as stalled.
    pub fn deadline(&self) -> Instant {
        self.heard_at + self.patience
    }

    /// True if it has not shown for too long that it lives. A keeper that was held up itself gives the worker as much time once
    /// more.
    pub fn check_stalled(&mut self, now: Instant) -> bool {
        if now < self.deadline() {
            return false;
        }
        if now.since(self.deadline()) > self.patience / 4 {
            self.heard_at = now;
            return false;
        }
        true
    }

    /// Ends it, whatever it does.
    pub fn kill(&self) {
        // Not reaped, it keeps its number, so that nothing else is hit; if it has ended, all the better.
        let _ = kill_process(self.pid, Signal::KILL);
    }

    /// How it ended, if it has.
    pub fn reap(&self) -> Option<WaitStatus> {
        match waitpid(Some(self.pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => Some(status),
            Ok(None) | Err(_) => None,
        }
    }

    /// Waits for its end, not longer than `limit`.
    pub fn await_end(&self, limit: Duration) -> io::Result<()> {
        if let Some(end) = &self.end {
            let mut watch = Watch::<1>::default();
            watch.add(end.as_fd());
            watch.wait(Some(limit))?;
        }
        Ok(())
    }
}

/// How long a worker may be silent: it shows once an interval that it lives, and peers wait for the tolerance. Where the address is
/// not at stake there is no hurry, it shows it more rarely, and closing a socket may take a while.
fn patience(config: &Config, is_exposed: bool) -> Duration {
    let interval = config.interval();
    let in_time = config.tolerance().saturating_sub(interval).max(interval.saturating_mul(3) / 2);
    if is_exposed { in_time } else { in_time.max(beat_interval(config).saturating_mul(4) / 3) }
}

/// Until the first beat: before it can show that it lives a worker reads its key from a disk and loses its privileges.
const START_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use ha::config::{Cidr, Params};

    use super::*;

    #[test]
    fn patience_ends_before_that_of_the_peers_and_outlasts_an_interval() {
        for (interval_ms, tolerance_ms, expected_ms) in [(1_000, 3_500, 2_500), (10, 35, 25), (1_000, 2_100, 1_500)] {
            let mut params = Params {
                interval: Duration::from_millis(interval_ms),
                tolerance: Duration::from_millis(tolerance_ms),
                lease: false,
                ..Params::default()
            };
            params.addresses.push(Cidr::new([192, 0, 2, 1].into(), 24)).unwrap();
            let config = Config::new(params).unwrap();
            assert_eq!(patience(&config, true), Duration::from_millis(expected_ms), "{interval_ms}");
            assert!(patience(&config, false) >= Duration::from_secs(2));
        }
    }
}
