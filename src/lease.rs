//! How long the kernel keeps the address without us, and how long we may sleep.
//!
//! The lease is a parking meter: the daemon feeds it with every heartbeat, and when the daemon dies the kernel tows the
//! address away before anybody else parks there.

use crate::time::Duration;

/// The lifetime of the shared address in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    secs: u32,
    is_late: bool,
}

impl Lease {
    /// Longest whole-second lease that has surely ended before a peer may take over.
    ///
    /// `tolerance` is what peers wait after our last heartbeat. The kernel removes an expired address up to one second
    /// late, so the result `n` satisfies `n s + 1 s <= tolerance`. Seconds, at least 1.
    /// Source: `IFA_CACHEINFO` in linux/if_addr.h; the second of lateness measured on Linux 6.18 (veth, HZ=250).
    pub fn for_tolerance(tolerance: Duration) -> Self {
        let fitting = tolerance.as_micros() / 1_000_000;
        Self { secs: u32::try_from(fitting.saturating_sub(1).max(1)).unwrap_or(u32::MAX), is_late: fitting < 2 }
    }

    /// Seconds, as the kernel gets them (`valid_lft`).
    pub fn secs(self) -> u32 {
        self.secs
    }

    /// True for a tolerance below 2 s: a dead daemon may then lose the address after a peer has taken it.
    pub fn is_late(self) -> bool {
        self.is_late
    }

    /// From the last refresh to the moment when the address is surely gone.
    pub fn end(self) -> Duration {
        Duration::from_secs(u64::from(self.secs) + 1)
    }
}

/// How long an ACTIVE may pause between two heartbeats and still believe that it has the address.
///
/// Beyond its lease the kernel has removed it; without a lease a peer has taken over after `tolerance`. A pause between
/// tolerance and lease is possible for tolerances below 2 s: then a node that took over meanwhile is heard, and rule 5 decides.
pub fn longest_pause(lease: Option<Lease>, tolerance: Duration) -> Duration {
    lease.map_or(tolerance, |lease| Duration::from_secs(u64::from(lease.secs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_before_a_peer_takes_over_or_says_that_it_is_late() {
        for (tolerance_ms, secs, is_late) in [
            (35, 1, true),
            (350, 1, true),
            (1_999, 1, true),
            (2_000, 1, false),
            (2_999, 1, false),
            (3_000, 2, false),
            (3_500, 2, false),
            (4_000, 3, false),
            (600_000, 599, false),
        ] {
            let lease = Lease::for_tolerance(Duration::from_millis(tolerance_ms));
            assert_eq!((lease.secs(), lease.is_late()), (secs, is_late), "tolerance {tolerance_ms} ms");
            assert!(lease.is_late() || lease.end() <= Duration::from_millis(tolerance_ms));
        }
    }

    #[test]
    fn a_pause_beyond_the_lease_ends_the_belief_and_without_a_lease_one_beyond_the_tolerance() {
        for (tolerance_ms, leased_ms) in [(3_500, 2_000), (350, 1_000), (10_000, 9_000)] {
            let tolerance = Duration::from_millis(tolerance_ms);
            let lease = Some(Lease::for_tolerance(tolerance));
            assert_eq!(longest_pause(lease, tolerance), Duration::from_millis(leased_ms));
            assert_eq!(longest_pause(None, tolerance), tolerance);
        }
    }
}
