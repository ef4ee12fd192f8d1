//! What the kernel refuses for lack of memory, descriptors or processes it may grant later: the daemon asks again, less and less
//! often, and logs it once.

use ha::time::Duration;
use rustix::io::Errno;

/// Since when something has been refused, and how often.
#[derive(Debug, Default)]
pub struct Shortage {
    /// Until the next try; zero while all is well.
    pause: Duration,
}

impl Shortage {
    /// The kernel has refused. True if that is new, and worth a line.
    #[must_use]
    pub fn record_refusal(&mut self) -> bool {
        let is_new = self.pause == Duration::ZERO;
        self.pause = next_pause(self.pause);
        is_new
    }

    /// The kernel has done it. True if it had refused before, and that is worth a line.
    #[must_use]
    pub fn record_success(&mut self) -> bool {
        std::mem::take(&mut self.pause) > Duration::ZERO
    }

    /// How long to wait before the next try.
    pub fn pause(&self) -> Duration {
        self.pause
    }
}

/// The pause after this one.
pub fn next_pause(pause: Duration) -> Duration {
    pause.saturating_mul(2).max(FIRST_PAUSE).min(MAX_PAUSE)
}

/// Not for lack of permission, or of a kernel that knows such a thing: these do not come by waiting.
pub fn may_pass(errno: Errno) -> bool {
    !matches!(
        errno,
        Errno::PERM | Errno::ACCESS | Errno::NOSYS | Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT | Errno::OPNOTSUPP
    )
}

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_logged_at_its_begin_and_end_and_pauses_grow() {
        let mut shortage = Shortage::default();
        assert!(!shortage.record_success(), "there was none");
        let mut pauses = Vec::new();
        for round in 0..7 {
            assert_eq!(shortage.record_refusal(), round == 0, "{round}");
            pauses.push(shortage.pause().as_micros() / 1_000);
        }
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        assert!(shortage.record_success());
        assert!(!shortage.record_success());
        assert!(shortage.record_refusal(), "the next one is another one");
        assert_eq!(shortage.pause(), FIRST_PAUSE);
    }

    #[test]
    fn what_does_not_come_by_waiting_is_no_shortage() {
        let short = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NODEV];
        assert!(short.into_iter().all(may_pass));
        assert!(![Errno::PERM, Errno::NOSYS, Errno::ACCESS, Errno::AFNOSUPPORT].into_iter().any(may_pass));
    }
}
