//! How long the packet path stays open without a heartbeat.
//!
//! The lease needs seconds; the fence is a dead man's switch that the kernel works by itself: each heartbeat of an ACTIVE that
//! leaves the machine opens the way for frames from the shared addresses once more, for a time `T`. When none follows, because
//! the daemon is dead, frozen or held up, the way is closed, and nothing has to run for that.

use crate::node::last_part;
use crate::time::Duration;
use crate::wire::heartbeat::{GROUP_AT, MAGIC, SECOND_FLAGS_AT, STATE_AT, VERSION};
use crate::wire::{Kind, LEN, State};

/// The time for which a heartbeat opens the packet path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    timeout: Duration,
    grain: Duration,
}

impl Fence {
    /// Longest time that fits into [`span`]: `grain` is one tick of the kernel's timer, if it counts in ticks: `T` is rounded down to
    /// it, and to milliseconds. The way closes in `(T - grain, T]`: never late, and up to a tick early.
    ///
    /// None where a heartbeat that is a quarter of an interval late would find the way closed already.
    /// Source: `nft_set_elem_expired` and `nf_msecs_to_jiffies64` of Linux; measured on 6.18 (veth, HZ=250), see docs/fence.md.
    pub fn for_timing(interval: Duration, tolerance: Duration, grain: Duration) -> Option<Self> {
        let grain = grain.max(EXACT);
        let ticks = span(interval, tolerance).as_micros() / MILLI * MILLI / grain.as_micros();
        let timeout = Duration::from_millis((ticks * grain.as_micros()).div_ceil(MILLI));
        let fence = Self { timeout, grain };
        (fence.surely_open() >= interval + interval / 4).then_some(fence)
    }

    /// Shortest tolerance for which there is a fence at this interval, of those with whole milliseconds.
    pub fn least_tolerance(interval: Duration, grain: Duration) -> Duration {
        let ticks = (interval + interval / 4 + grain).as_micros().div_ceil(grain.as_micros().max(1));
        let timeout = (ticks * grain.as_micros()).div_ceil(MILLI);
        let tolerance = Duration::from_millis(timeout) + interval + interval / 20;
        let mut least = Duration::from_millis(tolerance.as_micros().div_ceil(MILLI));
        // Some milliseconds, where the interval is shorter than the time in which peers ask by ARP.
        while Self::for_timing(interval, least, grain).is_none() {
            least = least + Duration::from_millis(1);
        }
        least
    }

    /// `T`: after a heartbeat the way is closed no later than this. Whole milliseconds, as the kernel gets them.
    pub fn timeout(self) -> Duration {
        self.timeout
    }

    /// After a heartbeat the way is open at least this long.
    pub fn surely_open(self) -> Duration {
        self.timeout.saturating_sub(self.grain)
    }
}

/// How long a heartbeat may open the packet path: this has ended before a peer takes over, even if the last heartbeat was lost on its
/// way, and before a peer asks by ARP (rule 9), which a closed path does not answer.
///
/// The kernel counts from the last heartbeat that left; peers count from the last one that they have heard. One that is lost is an
/// interval older, and the twentieth is for heartbeats that leave late.
pub fn span(interval: Duration, tolerance: Duration) -> Duration {
    tolerance.saturating_sub(interval.max(last_part(tolerance)) + interval / 20)
}

/// The grain of a fence by which the kernel counts nanoseconds: as fine as our own time.
pub const EXACT: Duration = Duration::from_micros(1);

/// What a packet of this node does to its fence when it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Opens it, or keeps it open.
    Opens,
    /// Closes it at once.
    Closes,
    /// Neither.
    None,
}

/// The same bytes that the kernel compares: a heartbeat of an ACTIVE that has the address opens the fence of its group, a packet of
/// any kind in another state closes it. What an ACTIVE says before it has the address does neither.
pub fn effect(packet: &[u8; LEN]) -> Effect {
    if packet.starts_with(&opening(packet[GROUP_AT])) && packet[SECOND_FLAGS_AT] == FENCED {
        Effect::Opens
    } else if packet.starts_with(&EVERY) && !says_active(packet) {
        Effect::Closes
    } else {
        Effect::None
    }
}

/// True if the sender says that it is ACTIVE.
pub fn says_active(packet: &[u8; LEN]) -> bool {
    packet[STATE_AT] == ACTIVE
}

/// How a heartbeat of an ACTIVE of `group` begins.
pub const fn opening(group: u8) -> [u8; 6] {
    [MAGIC[0], MAGIC[1], VERSION, Kind::Heartbeat as u8, group, ACTIVE]
}

/// How every packet begins.
pub const EVERY: [u8; 3] = [MAGIC[0], MAGIC[1], VERSION];

/// The state of an ACTIVE.
pub const ACTIVE: u8 = State::Active as u8;

/// What the second byte of the flags is in a packet that opens: [`Flags::FENCED`](crate::wire::Flags::FENCED) alone.
pub const FENCED: u8 = 1;

/// Microseconds.
const MILLI: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Context, Flags, Heartbeat, NodeId, Seal};

    #[test]
    fn only_a_heartbeat_of_an_active_with_the_address_opens_and_every_other_state_closes() {
        let node = NodeId::from_v4([192, 0, 2, 10].into());
        for kind in [Kind::Heartbeat, Kind::Claim, Kind::Query, Kind::Challenge, Kind::Response] {
            for state in [State::Standby, State::Active, State::Unfit, State::Shutdown] {
                for (bits, is_fenced) in [(0, false), (0, true), (0x1f, false), (0x1f, true)] {
                    let all = [Flags::SETTLED, Flags::STICKY, Flags::SEALED, Flags::READY, Flags::RELEASED];
                    let flags = all.iter().fold(Flags::default(), |flags, &flag| flags.with(flag, bits != 0));
                    let flags = flags.with(Flags::FENCED, is_fenced);
                    let said = Heartbeat { kind, state, flags, ..Heartbeat::plain(node) };
                    let packet = Seal::public(Context::of_group(said.group)).sign(&said);
                    let expected = match (kind, state, is_fenced) {
                        (Kind::Heartbeat, State::Active, true) => Effect::Opens,
                        (_, State::Active, _) => Effect::None,
                        (_, State::Standby | State::Unfit | State::Shutdown, _) => Effect::Closes,
                    };
                    assert_eq!(effect(&packet), expected, "{kind} {state} {flags}");
                }
            }
        }
    }

    fn timeout_ms(interval_us: u64, tolerance_us: u64, grain_us: u64) -> Option<u64> {
        let [interval, tolerance, grain] = [interval_us, tolerance_us, grain_us].map(Duration::from_micros);
        Fence::for_timing(interval, tolerance, grain).map(|fence| fence.timeout().as_micros() / 1_000)
    }

    #[test]
    fn a_fence_forgives_one_lost_heartbeat_and_counts_in_ticks() {
        for (interval_ms, tolerance_ms, at_100, at_250, at_1000) in [
            (1_000, 3_500, Some(2_450), Some(2_448), Some(2_450)),
            (100, 350, Some(240), Some(244), Some(245)),
            (10, 35, None, Some(24), Some(24)),
            (10, 60, Some(40), Some(48), Some(49)),
            (2, 8, None, None, Some(5)),
            (1, 5, None, None, Some(3)),
            (1, 4, None, None, None),
            (1_000, 2_250, None, None, None),
            (1_000, 2_320, Some(1_270), Some(1_268), Some(1_270)),
            (10, 400, Some(340), Some(348), Some(349)),
            (1_000, 60_000, Some(58_950), Some(58_948), Some(58_950)),
        ] {
            let at = |grain_us| timeout_ms(interval_ms * 1_000, tolerance_ms * 1_000, grain_us);
            let found = [at(10_000), at(4_000), at(1_000)];
            assert_eq!(found, [at_100, at_250, at_1000], "interval {interval_ms} ms, tolerance {tolerance_ms} ms");
        }
    }

    #[test]
    fn whatever_the_tick_it_closes_before_a_peer_that_missed_the_last_heartbeat_takes_over() {
        for grain_us in [0, 976, 1_000, 3_333, 3_906, 4_000, 10_000, 41_666] {
            for interval_us in [1_000, 1_999, 2_000, 9_999, 10_000, 100_000, 1_000_000] {
                for tenths in 11..120 {
                    let tolerance_us = interval_us * tenths / 10;
                    let [interval, tolerance, grain] = [interval_us, tolerance_us, grain_us].map(Duration::from_micros);
                    let Some(fence) = Fence::for_timing(interval, tolerance, grain) else { continue };
                    let label = std::format!("{interval} {tolerance} {grain}");
                    assert!(fence.timeout() + interval + interval / 20 <= tolerance, "{label}");
                    assert!(fence.surely_open() >= interval + interval / 4, "{label}");
                    assert_eq!(fence.timeout().as_micros() % 1_000, 0, "{label}");
                    let ticks = fence.timeout().as_micros() / grain_us.max(1);
                    let lost = fence.timeout().saturating_sub(Duration::from_micros(ticks * grain_us.max(1)));
                    assert!(lost < Duration::from_millis(1), "{label}: not rounded to a tick");
                }
            }
        }
    }

    #[test]
    fn the_shortest_tolerance_has_a_fence_and_a_shorter_one_has_none() {
        for grain_ms in [1, 4, 10] {
            for interval_us in [1_000, 1_500, 2_000, 9_999, 10_000, 100_000, 1_000_000] {
                let [interval, grain] = [Duration::from_micros(interval_us), Duration::from_millis(grain_ms)];
                let least = Fence::least_tolerance(interval, grain);
                let has_fence = |tolerance| Fence::for_timing(interval, tolerance, grain).is_some();
                assert!(has_fence(least), "{interval} {grain}: {least}");
                let shorter = least.saturating_sub(Duration::from_millis(1));
                assert!(!has_fence(shorter), "{interval} {grain}: {shorter}");
            }
        }
        let least = Fence::least_tolerance(Duration::from_millis(10), Duration::from_millis(1));
        assert_eq!(least, Duration::from_millis(25), "14 ms after 10.5 ms, and no half milliseconds");
    }

    #[test]
    fn a_longer_tolerance_never_makes_a_shorter_fence() {
        let grain = Duration::from_millis(4);
        let interval = Duration::from_millis(10);
        let mut last = Duration::ZERO;
        for tolerance_ms in 11..1_000 {
            let fence = Fence::for_timing(interval, Duration::from_millis(tolerance_ms), grain);
            let timeout = fence.map_or(Duration::ZERO, Fence::timeout);
            assert!(timeout >= last, "{tolerance_ms} ms");
            last = timeout;
        }
        assert!(last > Duration::from_millis(860));
    }
}
