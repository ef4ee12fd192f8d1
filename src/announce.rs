//! When to tell the LAN where the address is.
//!
//! At once, since every millisecond is felt; again after 1.2 s, because kernels before 4.13 ignore a second gratuitous ARP
//! within a second; after 3 s and 7 s, because a port may be deaf that long; then at the announce interval, for caches that
//! were wrong for another reason, or more often while a peer is missing. All within a budget of frames, since switches shut a
//! port at 15 ARP frames a second; Neighbour Discovery shares it, and the schedule.

use crate::budget::Budget;
use crate::config::{Cidr, of_family};
use crate::time::{Duration, Instant};

/// The schedule of one ACTIVE.
#[derive(Debug, Clone)]
pub struct Announcer {
    /// A bit for each address, by its family.
    v4: u16,
    v6: u16,
    interval: Duration,
    /// Addresses still to be announced.
    pending: u16,
    /// Where the last one stood among them: a new round that begins early starts with the next.
    turn: u32,
    /// When the next round begins, and how many repeats of [`REPEATS`] are behind us.
    next: Option<(Instant, usize)>,
    started: Instant,
}

impl Announcer {
    /// For these addresses; silent until [`Self::restart`].
    pub fn new(addresses: &[Cidr], interval: Duration, now: Instant) -> Self {
        let (v4, v6) = (of_family(addresses, true), of_family(addresses, false));
        Self { v4, v6, interval, pending: 0, turn: 0, next: None, started: now }
    }

    /// Announces all addresses at `at`, then on schedule.
    pub fn restart(&mut self, at: Instant) {
        self.started = at;
        self.next = Some((at, 0));
    }

    /// When the schedule began last; may lie ahead.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// From now on the steady rounds are `interval` apart, the next one too.
    pub fn pace(&mut self, now: Instant, interval: Duration) {
        self.interval = interval;
        if let Some((at, round)) = self.next.filter(|&(_, round)| round == REPEATS.len()) {
            self.next = Some((at.min(now + interval), round));
        }
    }

    /// Falls silent: the address is no longer ours.
    pub fn stop(&mut self) {
        self.next = None;
        self.pending = 0;
    }

    /// The index of an address to announce now, in both forms; ask until there is none.
    pub fn poll(&mut self, now: Instant, frames: &mut Budget) -> Option<u8> {
        let (at, round) = self.next?;
        if at <= now {
            self.pending = self.v4 | self.v6;
            self.next = Some(match REPEATS.get(round) {
                Some(&after) => (self.started + after, round + 1),
                None => (now + self.interval, round),
            });
        }
        let (index, cost) = self.upcoming()?;
        if !frames.spend(cost, now) {
            return None;
        }
        self.pending &= !(1 << index);
        self.turn = (index + 1) % 16;
        u8::try_from(index).ok()
    }

    /// True if there is something to announce for which there are no frames yet.
    pub fn is_pending(&self) -> bool {
        self.pending != 0
    }

    /// When [`Self::poll`] may have something.
    pub fn deadline(&self, frames: &Budget) -> Option<Instant> {
        let (next, _) = self.next?;
        Some(self.upcoming().map_or(next, |(_, cost)| frames.has_at(cost).min(next)))
    }

    /// The address whose turn it is, and what it costs.
    fn upcoming(&self) -> Option<(u32, u64)> {
        let later = self.pending & (u16::MAX << self.turn);
        let pending = if later == 0 { self.pending } else { later };
        (0..16).find(|index| pending & 1 << index != 0).map(|index| (index, cost(self.v4 & 1 << index != 0)))
    }
}

/// After the start of the schedule; then comes the announce interval.
const REPEATS: [Duration; 3] = [Duration::from_millis(1_200), Duration::from_secs(3), Duration::from_secs(7)];

/// Frames of one announcement: a request and a reply by ARP, or one NA, which every host takes.
pub fn cost(is_v4: bool) -> u64 {
    if is_v4 { MOST } else { 1 }
}

/// The most of them.
pub(crate) const MOST: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use std::vec;
    use std::vec::Vec;

    /// IPv4 addresses, and IPv6 addresses after them.
    fn addresses(v4: usize, v6: usize) -> Vec<Cidr> {
        let v4 = vec![Cidr::new(Ipv4Addr::new(192, 0, 2, 1).into(), 24); v4];
        let v6 = vec![Cidr::new(Ipv6Addr::LOCALHOST.into(), 64); v6];
        [v4, v6].concat()
    }

    /// Every announcement until `end`, as (milliseconds, index).
    fn run(announcer: &mut Announcer, frames: &mut Budget, end: Instant) -> Vec<(u64, u8)> {
        let mut seen = Vec::new();
        while let Some(at) = announcer.deadline(frames).filter(|&at| at <= end) {
            let mut progressed = false;
            while let Some(index) = announcer.poll(at, frames) {
                seen.push((at.as_micros() / 1_000, index));
                progressed = true;
            }
            assert!(progressed, "a deadline without work at {at:?}");
        }
        seen
    }

    #[test]
    fn one_address_is_announced_at_once_then_at_1200_3000_7000_and_each_interval() {
        let start = Instant::from_micros(0);
        let mut announcer = Announcer::new(&addresses(1, 0), Duration::from_secs(60), start);
        let mut frames = Budget::new(8, 10, start);
        assert_eq!(announcer.deadline(&frames), None);
        announcer.restart(start);
        let seen = run(&mut announcer, &mut frames, Instant::from_micros(130_000_000));
        let times: Vec<u64> = seen.iter().map(|seen| seen.0).collect();
        assert_eq!(times, [0, 1_200, 3_000, 7_000, 67_000, 127_000]);
    }

    #[test]
    fn sixteen_addresses_never_exceed_ten_frames_a_second_beyond_the_burst() {
        let start = Instant::from_micros(0);
        let mut announcer = Announcer::new(&addresses(16, 0), Duration::from_secs(5), start);
        announcer.restart(start);
        let seen = run(&mut announcer, &mut Budget::new(8, 10, start), Instant::from_micros(60_000_000));
        for (position, &(at, _)) in seen.iter().enumerate() {
            let frames = (position as u64 + 1) * 2;
            assert!(frames <= 8 + at / 100, "{frames} frames after {at} ms");
        }
        for index in 0..16 {
            assert!(seen.iter().filter(|seen| seen.1 == index).count() >= 8, "address {index}");
        }
    }

    #[test]
    fn an_address_of_ipv6_costs_one_frame_and_one_of_ipv4_two() {
        let start = Instant::from_micros(0);
        let mut announcer = Announcer::new(&addresses(2, 14), Duration::from_secs(60), start);
        announcer.restart(start);
        let seen = run(&mut announcer, &mut Budget::new(8, 10, start), Instant::from_micros(1_100_000));
        let at_once = [0, 1, 2, 3, 4, 5].map(|index| (0, index));
        let later = [(100, 6), (200, 7), (300, 8), (400, 9), (500, 10), (600, 11), (700, 12), (800, 13), (900, 14)];
        assert_eq!(seen, [&at_once[..], &later, &[(1_000, 15)]].concat());
    }

    #[test]
    fn a_stopped_announcer_is_silent() {
        let start = Instant::from_micros(0);
        let mut announcer = Announcer::new(&addresses(16, 0), Duration::from_secs(60), start);
        let mut frames = Budget::new(8, 10, start);
        announcer.restart(start);
        assert!(announcer.poll(start, &mut frames).is_some());
        announcer.stop();
        assert_eq!((announcer.poll(start, &mut frames), announcer.deadline(&frames)), (None, None));
    }

    #[test]
    fn a_schedule_that_begins_again_and_again_comes_to_every_address() {
        let at = |millis: u64| Instant::from_micros(millis * 1_000);
        let mut announcer = Announcer::new(&addresses(16, 0), Duration::from_secs(60), at(0));
        let mut frames = Budget::new(8, 10, at(0));
        let mut times = [0; 16];
        for millis in (0..20_000).step_by(10) {
            announcer.restart(at(millis));
            while let Some(index) = announcer.poll(at(millis), &mut frames) {
                times[usize::from(index)] += 1;
            }
        }
        assert!(times.iter().all(|&times| times >= 6), "{times:?}");
    }
}
