//! What the daemon inherits from the process that starts it: limits, a mask for new files, a place in the order in which the
//! kernel kills processes when memory is short.
//!
//! Like tools on loan: the daemon sets them for its own work at the start, and the programs of the user get them as they were.
//! (Signals are simpler: the daemon has its own, and hooks have the defaults, linux/signals.rs.)

use std::fmt::{self, Display, Write};

use rustix::fs::{Mode, OFlags};
use rustix::io;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

use super::once::Once;
use crate::linux::file;

/// Takes all that was inherited, and leaves room for the daemon's work. To be called before anything is opened.
#[cfg_attr(test, expect(dead_code, reason = "tests begin elsewhere"))]
pub fn take() {
    let limits = LIMITS.map(|need| {
        let limit = getrlimit(need.resource);
        if !need.is_met_by(limit.current) {
            // As far as it is permitted.
            let _ = setrlimit(need.resource, Rlimit { current: limit.maximum, ..limit });
        }
        limit
    });
    let taken = Inherited { umask: umask(Mode::from_raw_mode(OWN_UMASK)), limits, oom_score: Once::new() };
    let _ = INHERITED.set(taken);
}

/// Asks the kernel to kill this process late when memory is short; a score that is lower already stays.
pub fn spare_from_oom(score: i32) -> io::Result<()> {
    let inherited = read_score()?;
    if let Some(taken) = INHERITED.get() {
        let _ = taken.oom_score.set(inherited);
    }
    if inherited <= score { Ok(()) } else { write_score(score) }
}

/// The score of this process is again what was inherited.
pub fn give_back_oom_score() {
    if let Some(&score) = INHERITED.get().and_then(|taken| taken.oom_score.get()) {
        // Where the daemon was not permitted to lower it, it is still there.
        let _ = write_score(score);
    }
}

/// In a process that becomes a program of the user: all is again as it was. By system calls only.
pub fn give_back() {
    give_back_oom_score();
    let Some(taken) = INHERITED.get() else { return };
    umask(taken.umask);
    for (need, limit) in LIMITS.iter().zip(&taken.limits) {
        let _ = setrlimit(need.resource, *limit);
    }
}

/// What limits are too low for the daemon, and cannot be raised by it; none if all are good.
pub fn low_limits() -> Option<impl Display> {
    let is_low = |need: &Need| need.is_logged && !need.is_met_by(getrlimit(need.resource).current);
    LIMITS.iter().any(is_low).then_some(LowLimits)
}

struct Inherited {
    umask: Mode,
    limits: [Rlimit; LIMITS.len()],
    /// Known where there is a /proc.
    oom_score: Once<i32>,
}

static INHERITED: Once<Inherited> = Once::new();

/// What the daemon needs of a resource.
struct Need {
    resource: Resource,
    /// `None`: no limit at all.
    least: Option<u64>,
    name: &'static str,
    /// Worth a line where it is not met.
    is_logged: bool,
}

impl Need {
    const fn new(resource: Resource, least: Option<u64>, name: &'static str) -> Self {
        Self { resource, least, name, is_logged: true }
    }

    /// With privileges the limit does not count, and without them the log has another line about it.
    const fn unlogged(resource: Resource) -> Self {
        Self { resource, least: None, name: "", is_logged: false }
    }

    fn is_met_by(&self, limit: Option<u64>) -> bool {
        match (limit, self.least) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(limit), Some(least)) => limit >= least,
        }
    }
}

/// All that can end or hamper the daemon (setrlimit(2)). RLIMIT_CORE stays: a dump may have keys in it.
const LIMITS: [Need; 10] = [
    Need::new(Resource::Nofile, Some(64), "open files"),
    Need::new(Resource::Cpu, None, "seconds of CPU time"),
    Need::new(Resource::Rttime, Some(1_000_000), "microseconds of realtime CPU time"),
    Need::new(Resource::Fsize, None, "bytes of a file, such as the log"),
    Need::new(Resource::As, Some(16 << 20), "bytes of address space"),
    Need::new(Resource::Data, Some(8 << 20), "bytes of data"),
    Need::new(Resource::Stack, Some(1 << 20), "bytes of stack"),
    Need::unlogged(Resource::Memlock),
    Need::unlogged(Resource::Nproc),
    Need::unlogged(Resource::Rtprio),
];

/// In one line.
struct LowLimits;

impl Display for LowLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for need in LIMITS.iter().filter(|need| need.is_logged) {
            let Some(limit) = getrlimit(need.resource).current.filter(|&limit| !need.is_met_by(Some(limit))) else {
                continue;
            };
            write!(f, "{comma}{limit} {}, expected ", need.name)?;
            match need.least {
                Some(least) => write!(f, "at least {least}")?,
                None => f.write_str("no limit")?,
            }
            comma = "; ";
        }
        Ok(())
    }
}

fn read_score() -> io::Result<i32> {
    let mut digits = [0; MAX_SCORE_LEN];
    let filled = file::fill(rustix::fs::open(SCORE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, &mut digits)?;
    let digits = str::from_utf8(&digits[..filled]).map_err(|_| io::Errno::ILSEQ)?;
    digits.trim_ascii().parse().map_err(|_| io::Errno::ILSEQ)
}

fn write_score(score: i32) -> io::Result<()> {
    let mut digits = heapless::String::<MAX_SCORE_LEN>::new();
    write!(digits, "{score}").map_err(|_| io::Errno::RANGE)?;
    file::write(rustix::fs::open(SCORE, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?, &digits)
}

const SCORE: &std::ffi::CStr = c"/proc/self/oom_score_adj";

/// `-1000` and a line feed, and more.
const MAX_SCORE_LEN: usize = 12;

/// No other user can enter the directory that a worker makes for an instant.
const OWN_UMASK: u32 = 0o077;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_is_met_by_as_much_or_by_no_limit() {
        let files = Need::new(Resource::Nofile, Some(64), "open files");
        for (limit, expected) in [(Some(0), false), (Some(63), false), (Some(64), true), (None, true)] {
            assert_eq!(files.is_met_by(limit), expected, "{limit:?}");
        }
        let time = Need::new(Resource::Cpu, None, "seconds of CPU time");
        assert!(!time.is_met_by(Some(u64::MAX - 1)) && time.is_met_by(None));
    }

    #[test]
    fn the_score_is_a_number() {
        assert!((-1000..=1000).contains(&read_score().unwrap()));
    }
}
