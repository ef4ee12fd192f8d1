//! From the frames that the probe sent and saw to what a client felt: pure functions on recorded times.
//!
//! Four values for a span of time, like four witnesses of one accident:
//!
//! - *blackout*: the longest time that the client, having sent an echo, had no reply to that or any later one;
//! - *gap*: the longest time that, after any question on the wire, no frame showed that a station has the address;
//! - *two owners*: how long two stations had it, to the grain of the rounds (5 ms);
//! - *moves*: how often another station began to reply to "who has".
//!
//! A fifth value, the *stall*, is the longest pause of the probe itself. Tables show it beside the others and never
//! subtract it.

use std::io;

use serde::Serialize;

use crate::frames::{Mac, Proof};
use crate::sys::Nanos;

/// The recording of a probe, on one clock.
#[derive(Debug, Default)]
pub struct Recording {
    /// When each echo was sent, by its index.
    pub echoes: Vec<Nanos>,
    /// When each "who has" was sent.
    pub rounds: Vec<Nanos>,
    /// All frames that showed who has the shared address, in the order of time.
    pub sightings: Vec<Sighting>,
    /// Frames that the kernel dropped because a buffer was full: a recording with any is worth nothing.
    pub lost_frames: u32,
    /// By how much the wall clock was set meanwhile: a recording with more than a millisecond is worth nothing.
    pub clock_step: Nanos,
}

/// One frame that shows who has the shared address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// When the client's kernel saw it.
    pub at: Nanos,
    /// The station that has the address.
    pub mac: Mac,
    /// How the frame shows it.
    pub proof: Proof,
}

/// From, until.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first moment.
    pub from: Nanos,
    /// The moment after it.
    pub until: Nanos,
}

impl Span {
    /// `from` to `until`.
    pub const fn new(from: Nanos, until: Nanos) -> Self {
        Self { from, until }
    }

    /// How long it is.
    pub fn length(self) -> Nanos {
        self.until.saturating_sub(self.from)
    }

    /// Whether that moment is in it.
    pub fn contains(self, at: Nanos) -> bool {
        self.from <= at && at < self.until
    }

    fn within(self, other: Self) -> Self {
        Self::new(self.from.max(other.from), self.until.min(other.until))
    }
}

impl Recording {
    /// Refuses one with holes or with times that mean nothing.
    ///
    /// # Errors
    /// The reason why the recording proves nothing.
    pub fn check_witness(&self) -> io::Result<()> {
        if self.lost_frames > 0 {
            return Err(io::Error::other(format!("the probe lost {} frames: nothing is known", self.lost_frames)));
        }
        if self.clock_step > 1_000_000 {
            let step = self.clock_step / 1_000_000;
            return Err(io::Error::other(format!("the wall clock was set by {step} ms: nothing is known")));
        }
        Ok(())
    }

    /// Longest wait of the client for a sign of life: from an echo sent in `span` to the first reply to it or to one
    /// sent after it. An echo without a reply counts until the end of `span`.
    pub fn blackout(&self, span: Span) -> Nanos {
        let mut answered = vec![span.until; self.echoes.len()];
        for sighting in &self.sightings {
            let Proof::Echo(index) = sighting.proof else { continue };
            if let Some(at) = usize::try_from(index).ok().and_then(|index| answered.get_mut(index)) {
                *at = sighting.at.min(*at);
            }
        }
        let (mut soonest, mut longest) = (span.until, 0);
        for (&sent, &answered) in self.echoes.iter().zip(&answered).rev() {
            soonest = soonest.min(answered);
            if span.contains(sent) {
                longest = longest.max(soonest.saturating_sub(sent));
            }
        }
        longest
    }

    /// Longest wait for any sign that a station has the address: from an echo or a "who has" sent in `span` to the
    /// first sighting after it, by whatever frame.
    pub fn gap(&self, span: Span) -> Nanos {
        let asked = self.echoes.iter().chain(&self.rounds).copied().filter(|at| span.contains(*at));
        let until_claimed = |at: Nanos| {
            let next = self.sightings.partition_point(|sighting| sighting.at < at);
            self.sightings.get(next).map_or(span.until, |sighting| sighting.at.min(span.until)).saturating_sub(at)
        };
        asked.map(until_claimed).max().unwrap_or(0)
    }

    /// When two stations had the address, as spans that do not overlap, in the order of time.
    ///
    /// Two things prove it: two stations reply to one round (it counts in full, until the next), and a station shows
    /// that it has the address before and, a moment later, after another station did.
    pub fn two_owners(&self, span: Span) -> Vec<Span> {
        let mut spans = Vec::new();
        for (index, owners) in self.owners_by_round().iter().enumerate() {
            if owners.len() > 1 {
                let from = self.rounds[index];
                spans.push(Span::new(from, self.rounds.get(index + 1).map_or(from + ROUND, |next| *next)));
            }
        }
        for (index, pair) in self.sightings.windows(2).enumerate() {
            let [first, other] = pair else { continue };
            if first.mac == other.mac {
                continue;
            }
            let soon = self.sightings[index + 2..].iter().take_while(|sighting| sighting.at - first.at <= MOMENT);
            if let Some(again) = soon.into_iter().find(|sighting| sighting.mac == first.mac) {
                spans.push(Span::new(first.at, again.at));
            }
        }
        let mut clipped: Vec<_> = spans.into_iter().map(|s| s.within(span)).filter(|s| s.length() > 0).collect();
        clipped.sort_by_key(|span| span.from);
        let mut merged: Vec<Span> = Vec::new();
        for next in clipped {
            match merged.last_mut() {
                Some(last) if next.from <= last.until => last.until = last.until.max(next.until),
                _ => merged.push(next),
            }
        }
        merged
    }

    /// Whether another station than `mac` had the address both a moment before that time and a moment after it.
    pub fn is_had_by_another(&self, at: Nanos, mac: Mac) -> bool {
        let from = |time: Nanos| self.sightings.partition_point(|sighting| sighting.at < time);
        let (first, here, last) = (from(at.saturating_sub(MOMENT)), from(at), from(at + MOMENT));
        let has_another = |seen: &[Sighting]| seen.iter().any(|sighting| sighting.mac != mac);
        has_another(&self.sightings[first..here]) && has_another(&self.sightings[here..last])
    }

    /// How often a station began to reply to "who has" that had not replied before: a hand-over or take-over is one
    /// move, and so is a short second owner. That one of two owners leaves is none.
    pub fn moves(&self, span: Span) -> usize {
        let (mut known, mut last, mut moves) = (Vec::new(), Vec::new(), 0);
        for (at, owners) in self.rounds.iter().zip(self.owners_by_round()) {
            if *at >= span.until {
                break;
            }
            if owners.is_empty() {
                continue;
            }
            if *at >= span.from && !known.is_empty() {
                moves += owners.iter().filter(|owner| !known.contains(*owner)).count();
            }
            known.clone_from(&owners);
            if owners.len() > 1 || last.len() > 1 {
                known.extend(&last); // a reply that slips into the next round is no move
            }
            last = owners;
        }
        moves
    }

    /// Longest pause of the probe itself between two echoes, where it touches `span`.
    pub fn stall(&self, span: Span) -> Nanos {
        let pauses = self.echoes.windows(2).filter(|pair| pair[1] > span.from && pair[0] < span.until);
        pauses.map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
    }

    /// All stations that claimed in `span`.
    pub fn owners(&self, span: Span) -> Vec<Mac> {
        let mut owners: Vec<_> = self.sightings_in(span).map(|sighting| sighting.mac).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// The first sighting in `span` that `is_wanted`.
    pub fn first_sighting(&self, span: Span, is_wanted: impl Fn(Mac) -> bool) -> Option<Nanos> {
        self.sightings_in(span).find(|sighting| is_wanted(sighting.mac)).map(|sighting| sighting.at)
    }

    /// The last sighting of `mac` in `span`.
    pub fn last_sighting(&self, span: Span, mac: Mac) -> Option<Nanos> {
        self.sightings_in(span).filter(|sighting| sighting.mac == mac).last().map(|sighting| sighting.at)
    }

    fn sightings_in(&self, span: Span) -> impl Iterator<Item = &Sighting> {
        self.sightings.iter().filter(move |sighting| span.contains(sighting.at))
    }

    fn owners_by_round(&self) -> Vec<Vec<Mac>> {
        let mut owners = vec![Vec::new(); self.rounds.len()];
        for sighting in self.sightings.iter().filter(|sighting| sighting.proof == Proof::Reply) {
            let sent_before = self.rounds.partition_point(|round| *round <= sighting.at);
            let Some(index) = sent_before.checked_sub(1) else { continue };
            if !owners[index].contains(&sighting.mac) {
                owners[index].push(sighting.mac);
            }
        }
        owners
    }
}

/// The values of [`Recording`] for one span of time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Witness {
    /// The longest time that the client got no reply.
    pub blackout_ms: f64,
    /// The longest time that no frame on the wire showed an owner of the address.
    pub gap_ms: f64,
    /// How long two stations had it.
    pub two_owners_ms: f64,
    /// How often another station took it.
    pub moves: usize,
    /// The longest pause of the probe itself.
    pub stall_ms: f64,
}

impl Witness {
    /// The values of all `spans` together.
    pub fn of(recording: &Recording, spans: &[Span]) -> Self {
        let longest =
            |of: fn(&Recording, Span) -> Nanos| spans.iter().map(|span| of(recording, *span)).max().unwrap_or(0);
        let overlaps = spans.iter().flat_map(|span| recording.two_owners(*span));
        Self {
            blackout_ms: millis(longest(Recording::blackout)),
            gap_ms: millis(longest(Recording::gap)),
            two_owners_ms: millis(overlaps.map(Span::length).sum()),
            moves: spans.iter().map(|span| recording.moves(*span)).sum(),
            stall_ms: millis(longest(Recording::stall)),
        }
    }
}

/// Milliseconds with three digits after the point, for people.
pub fn millis(nanos: Nanos) -> f64 {
    let micros = u32::try_from((nanos + 500) / 1_000).unwrap_or(u32::MAX); // 71 minutes: longer than any run
    f64::from(micros) / 1e3
}

/// Between two echoes.
pub const ECHO: Nanos = 500_000;
/// Between two rounds of "who has".
pub const ROUND: Nanos = 5_000_000;
/// Within two rounds and a bit nothing can have gone there and back in good order.
const MOMENT: Nanos = 12_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const US: Nanos = 1_000;
    const MS: Nanos = 1_000_000;
    const A: Mac = Mac::of(1);
    const B: Mac = Mac::of(2);
    const ALL: Span = Span::new(0, 100 * MS);

    /// 100 ms of echoes and rounds; `has(mac, at)` says whether a station has the address, `cached(at)` which station
    /// the client asks.
    fn lan(has: impl Fn(Mac, Nanos) -> bool, cached: impl Fn(Nanos) -> Mac) -> Recording {
        let mut recording = Recording::default();
        for index in 0..200_u32 {
            let at = Nanos::from(index) * ECHO;
            recording.echoes.push(at);
            if has(cached(at), at) {
                recording.sightings.push(Sighting { at: at + 50 * US, mac: cached(at), proof: Proof::Echo(index) });
            }
            if at.is_multiple_of(ROUND) {
                recording.rounds.push(at + 10 * US);
                for mac in [A, B] {
                    if has(mac, at) {
                        recording.sightings.push(Sighting { at: at + 60 * US, mac, proof: Proof::Reply });
                    }
                }
            }
        }
        recording
    }

    fn total(spans: &[Span]) -> Nanos {
        spans.iter().map(|span| span.length()).sum()
    }

    #[test]
    fn at_rest_nothing_happens() {
        let rest = lan(|mac, _| mac == A, |_| A);
        assert_eq!(rest.blackout(ALL), 50 * US);
        assert_eq!(rest.moves(ALL), 0);
        assert!(rest.two_owners(ALL).is_empty());
        assert!(rest.gap(ALL) <= ECHO);
        assert_eq!(rest.stall(ALL), ECHO);
        assert_eq!(rest.owners(ALL), [A]);
    }

    #[test]
    fn a_clean_hand_over_is_one_move_and_never_two_owners() {
        let at_b = |at| at >= 42 * MS;
        let recording = lan(|mac, at| (mac == B) == at_b(at), |at| if at_b(at) { B } else { A });
        assert_eq!(recording.moves(ALL), 1);
        assert!(recording.two_owners(ALL).is_empty());
        assert_eq!(recording.blackout(ALL), 50 * US);
        assert_eq!(recording.first_sighting(ALL, |mac| mac != A), Some(42 * MS + 50 * US));
        assert_eq!(recording.last_sighting(ALL, A), Some(41_550 * US));
    }

    #[test]
    fn an_outage_is_blackout_and_gap() {
        let recording = lan(|mac, at| mac == A && !(20 * MS..70 * MS).contains(&at), |_| A);
        assert_eq!(recording.blackout(ALL), 50 * MS + 50 * US);
        assert_eq!(recording.gap(ALL), 50 * MS + 50 * US);
        assert_eq!(recording.moves(ALL), 0);
    }

    #[test]
    fn a_stale_cache_is_blackout_but_no_gap() {
        let recording = lan(|mac, at| (mac == B) == (at >= 20 * MS), |at| if at >= 60 * MS { B } else { A });
        assert_eq!(recording.blackout(ALL), 40 * MS + 50 * US);
        assert!(recording.gap(ALL) <= ROUND + ECHO);
        assert_eq!(recording.moves(ALL), 1);
    }

    #[test]
    fn two_owners_count_for_as_long_as_both_answer() {
        let recording = lan(|mac, at| mac == A || (30 * MS..60 * MS).contains(&at), |_| A);
        let spans = recording.two_owners(ALL);
        assert_eq!(spans.len(), 1);
        assert!((29 * MS..=36 * MS).contains(&total(&spans)), "{spans:?}");
        assert!(recording.two_owners(Span::new(70 * MS, 100 * MS)).is_empty());
        assert_eq!(recording.moves(ALL), 1, "B came");
        assert_eq!(recording.moves(Span::new(40 * MS, 100 * MS)), 0, "B went");
        assert_eq!(recording.blackout(ALL), 50 * US);
    }

    #[test]
    fn another_has_the_address_if_it_was_seen_a_moment_before_and_is_a_moment_later() {
        let at_b = |at| (30 * MS..70 * MS).contains(&at);
        let recording = lan(|mac, at| (mac == B) == at_b(at), |at| if at_b(at) { B } else { A });
        let had = |at| recording.is_had_by_another(at, A);
        assert_eq!([10, 29, 31, 50, 69, 71, 90].map(|at| had(at * MS)), [false, false, true, true, true, false, false]);
    }

    #[test]
    fn a_station_that_replies_after_another_has_announced_is_a_second_owner() {
        let mut recording = lan(|mac, _| mac == A, |_| A);
        recording.sightings.push(Sighting { at: 40_200 * US, mac: B, proof: Proof::Announcement });
        recording.sightings.sort_by_key(|sighting| sighting.at);
        assert_eq!(total(&recording.two_owners(ALL)), 490 * US);
    }

    #[test]
    fn a_late_reply_counts_in_full() {
        let mut recording = lan(|mac, at| mac == A && at < 20 * MS, |_| A);
        // The kernel kept the echoes back until it knew the MAC.
        for index in 40..200 {
            recording.sightings.push(Sighting { at: 99 * MS + 900 * US, mac: B, proof: Proof::Echo(index) });
        }
        assert_eq!(recording.blackout(ALL), 79 * MS + 900 * US);
    }

    #[test]
    fn an_echo_without_a_reply_counts_to_the_end() {
        let recording = lan(|mac, at| mac == A && at < 20 * MS, |_| A);
        assert_eq!(recording.blackout(ALL), 80 * MS);
        assert_eq!(recording.gap(ALL), 80 * MS);
    }

    #[test]
    fn a_probe_that_slept_says_so() {
        let mut recording = lan(|mac, _| mac == A, |_| A);
        recording.echoes.drain(100..120);
        assert_eq!(recording.stall(ALL), 10 * MS + ECHO);
        assert_eq!(recording.stall(Span::new(80 * MS, 100 * MS)), ECHO);
    }
}
