//! What processes have used: processor time, and how often they went to sleep.
//!
//! The time is the scheduler's own account, in nanoseconds (the first field of /proc/PID/schedstat): whatever the
//! process did itself and in the kernel, and what interrupts did meanwhile. The ticks of /proc/PID/stat are 10 ms,
//! which is what a daemon at rest uses in a minute.

use std::fs;
use std::io;
use std::time::Duration;

/// What some processes have used since they began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time.
    pub busy: Duration,
    /// How often a thread went to sleep by itself (`voluntary_ctxt_switches` of proc(5)).
    pub sleeps: u64,
}

impl Usage {
    /// Of all threads of these processes together.
    ///
    /// # Errors
    /// When one of them has ended, or the kernel keeps no account.
    pub fn of(pids: &[i32]) -> io::Result<Self> {
        let mut sum = Self::default();
        for pid in pids {
            let tasks = format!("/proc/{pid}/task");
            let entries = fs::read_dir(&tasks).map_err(|error| io::Error::other(format!("{tasks}: {error}")))?;
            for entry in entries {
                let path = entry?.path();
                let read = |name| {
                    let path = path.join(name);
                    let refusal = |error| io::Error::other(format!("{}: {error}", path.display()));
                    fs::read_to_string(&path).map_err(refusal)
                };
                let unknown = |what| io::Error::other(format!("{}: no {what}", path.display()));
                sum.busy += busy(&read("schedstat")?).ok_or_else(|| unknown("processor time"))?;
                sum.sleeps += sleeps(&read("status")?).ok_or_else(|| unknown("number of sleeps"))?;
            }
        }
        Ok(sum)
    }

    /// What was used since an `earlier` look at the same processes.
    pub fn since(self, earlier: Self) -> Self {
        let busy = self.busy.saturating_sub(earlier.busy);
        Self { busy, sleeps: self.sleeps.saturating_sub(earlier.sleeps) }
    }
}

fn busy(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn sleeps(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::thread;
    use std::time::Instant;

    use super::*;

    #[test]
    fn sleeps_are_those_of_their_own_will() {
        let status =
            "Name:\tvoluntary_ctxt_switches: 9\nvoluntary_ctxt_switches:\t31\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(sleeps(status), Some(31));
        assert_eq!(sleeps("nonvoluntary_ctxt_switches:\t7\n"), None);
        assert_eq!(busy("1234567 8 9\n"), Some(Duration::from_nanos(1_234_567)));
        assert_eq!(busy(""), None);
    }

    /// Whether a shell that does this soon has used that much.
    fn soon_uses(script: &str, is_enough: fn(Usage) -> bool) -> bool {
        let mut child = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).spawn().unwrap();
        let pid = [i32::try_from(child.id()).unwrap()];
        let before = Usage::of(&pid).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut has_used = false;
        while !has_used && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
            has_used = is_enough(Usage::of(&pid).unwrap().since(before));
        }
        end(&mut child);
        has_used
    }

    fn end(child: &mut Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn who_computes_uses_time_and_who_waits_sleeps() {
        assert!(soon_uses("while :; do :; done", |used| used.busy > Duration::from_millis(50)));
        // Each round starts a process and waits for it.
        assert!(soon_uses("while :; do sleep 0.01; done", |used| used.sleeps >= 10));
    }

    #[test]
    fn who_does_nothing_uses_nothing_and_who_has_ended_has_no_account() {
        let mut idle = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = [i32::try_from(idle.id()).unwrap()];
        let mut last = Usage::of(&pid).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            thread::sleep(Duration::from_millis(100));
            let now = Usage::of(&pid).unwrap();
            if now == last {
                break;
            }
            assert!(Instant::now() < deadline, "{now:?} after {last:?}");
            last = now; // it was still about to start
        }
        end(&mut idle);
        assert!(Usage::of(&pid).is_err());
    }
}
