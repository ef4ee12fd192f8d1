//! How long the kernel keeps the address without us, and how long we may sleep.
//!
//! The lease is a parking meter: the daemon feeds it with every heartbeat, and when the daemon dies the kernel tows the
//! address away before anybody else parks there.

use crate::time::Duration;

/// The lifetime of the shared address in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    secs: u32,
    lateness: Duration,
    is_late: bool,
}

impl Lease {
    /// Longest whole-second lease that has surely ended before a peer may take over.
    ///
    /// `tolerance` is what peers wait after our last heartbeat. The kernel removes an expired address up to one second
    /// late, and one of IPv6 up to half a second later, so the result `n` satisfies `n s + 1 s <= tolerance`, or `n s + 1.5 s`
    /// if one of the addresses `has_v6`. Seconds, at least 1.
    /// Source: `IFA_CACHEINFO` in linux/if_addr.h; the lateness measured on Linux 6.18 (veth, HZ=250).
    pub fn for_tolerance(tolerance: Duration, has_v6: bool) -> Self {
        Self::with(tolerance, if has_v6 { LATENESS_6 } else { LATENESS_4 })
    }

    /// That of a node with another tolerance.
    pub fn of_other(self, tolerance: Duration) -> Self {
        Self::with(tolerance, self.lateness)
    }

    fn with(tolerance: Duration, lateness: Duration) -> Self {
        let fitting = tolerance.as_micros().saturating_sub(lateness.as_micros()) / 1_000_000;
        Self { secs: u32::try_from(fitting.max(1)).unwrap_or(u32::MAX), lateness, is_late: fitting < 1 }
    }

    /// How much later than that the kernel removes the address, at most.
    pub fn lateness(self) -> Duration {
        self.lateness
    }

    /// Seconds, as the kernel gets them (`valid_lft`).
    pub fn secs(self) -> u32 {
        self.secs
    }

    /// True for a tolerance below 2 s, or 2.5 s with addresses of IPv6: a dead daemon may then lose the address after a peer has taken it.
    pub fn is_late(self) -> bool {
        self.is_late
    }

    /// From the last refresh to the moment when the address is surely gone.
    pub fn end(self) -> Duration {
        Duration::from_secs(self.secs.into()) + self.lateness
    }
}

/// How long an ACTIVE may pause between two heartbeats and still believe that it has the address.
///
/// Beyond its lease the kernel has removed it; without a lease a peer has taken over after `tolerance`. A pause between
/// tolerance and lease is possible for tolerances below 2 s: then a node that took over meanwhile is heard, and rule 5 decides.
pub fn longest_pause(lease: Option<Lease>, tolerance: Duration) -> Duration {
    lease.map_or(tolerance, |lease| Duration::from_secs(u64::from(lease.secs)))
}

const LATENESS_4: Duration = Duration::from_secs(1);
const LATENESS_6: Duration = Duration::from_millis(1_500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_before_a_peer_takes_over_or_says_that_it_is_late() {
        for (has_v6, tolerance_ms, secs, is_late) in [
            (false, 35, 1, true),
            (false, 350, 1, true),
            (false, 1_999, 1, true),
            (false, 2_000, 1, false),
            (false, 2_999, 1, false),
            (false, 3_000, 2, false),
            (false, 3_500, 2, false),
            (false, 4_000, 3, false),
            (false, 600_000, 599, false),
            (true, 2_499, 1, true),
            (true, 2_500, 1, false),
            (true, 3_499, 1, false),
            (true, 3_500, 2, false),
            (true, 600_000, 598, false),
        ] {
            let lease = Lease::for_tolerance(Duration::from_millis(tolerance_ms), has_v6);
            assert_eq!((lease.secs(), lease.is_late()), (secs, is_late), "tolerance {tolerance_ms} ms, IPv6: {has_v6}");
            assert!(lease.is_late() || lease.end() <= Duration::from_millis(tolerance_ms));
        }
    }

    #[test]
    fn a_pause_beyond_the_lease_ends_the_belief_and_without_a_lease_one_beyond_the_tolerance() {
        for (tolerance_ms, leased_ms) in [(3_500, 2_000), (350, 1_000), (10_000, 9_000)] {
            let tolerance = Duration::from_millis(tolerance_ms);
            let lease = Some(Lease::for_tolerance(tolerance, false));
            assert_eq!(longest_pause(lease, tolerance), Duration::from_millis(leased_ms));
            assert_eq!(longest_pause(None, tolerance), tolerance);
        }
    }
}
