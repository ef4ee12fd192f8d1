//! The nodes that were heard: a bounded table of leases.
//!
//! A heartbeat is a lease: it says how long its sender may be counted on. The table keeps the last word of every sender
//! and when it was heard; which peers are alive follows from that and from the time.

use core::mem::MaybeUninit;

use heapless::Vec;

use crate::election::Candidate;
use crate::time::{Duration, Instant};
use crate::wire::{Flags, Heartbeat, NodeId, State};

/// Most peers.
pub const MAX: usize = 255;

/// The last word of one sender.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// What it said.
    pub said: Heartbeat,
    /// When that was heard.
    pub heard_at: Instant,
    /// Since when it has been alive and not ready, if it is not.
    unready_since: Option<Instant>,
    /// Since when it has been alive and has said the same state and the same `following`.
    pub steady_since: Instant,
    /// The boot before this one: its packets are late or recorded.
    previous_boot: Option<u64>,
    /// It has been silent for its hold, and that was said.
    is_missing: bool,
}

/// Why a packet was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disbelief {
    /// The last packet again.
    Duplicate,
    /// Not newer than what was heard of this boot, or of an earlier boot.
    Replayed,
    /// [`MAX`] peers are alive.
    Full,
}

impl Peer {
    /// Who it is.
    pub fn node(&self) -> NodeId {
        self.said.node
    }

    /// True while its heartbeat can be counted on.
    pub fn is_alive(&self, now: Instant) -> bool {
        now < self.expires_at()
    }

    /// True since it was found missing; it was not heard since then.
    pub fn is_missing(&self) -> bool {
        self.is_missing
    }

    /// True while it has the address, or may have it.
    pub fn is_active(&self, now: Instant) -> bool {
        self.said.state == State::Active && self.is_alive(now)
    }

    /// True if it may be elected.
    pub fn is_eligible(&self, now: Instant) -> bool {
        let is_fit = matches!(self.said.state, State::Standby | State::Active);
        is_fit && self.said.worthiness > 0 && self.is_alive(now)
    }

    /// Its place in the election.
    pub fn candidate(&self) -> Candidate {
        Candidate::from(&self.said)
    }

    /// True if its last word carried `flag`.
    pub fn has(&self, flag: Flags) -> bool {
        self.said.flags.has(flag)
    }

    /// When to begin to fear that it is gone: at half of its hold, and not before its next word is overdue.
    pub fn suspect_at(&self) -> Instant {
        self.overdue_at().max(self.heard_at + self.said.hold / 2)
    }

    /// When its next word should have been heard.
    pub fn overdue_at(&self) -> Instant {
        self.heard_at + self.said.interval + hearsay(self.said.interval)
    }

    /// By when it says that it is ready, if that is about to happen: its word may be under way. It listens for its hold, from its
    /// own first word or, after link-up, from the first one that it heard.
    pub fn ready_by(&self, now: Instant) -> Option<Instant> {
        let hearsay = hearsay(self.said.interval);
        let ready_at = self.unready_since? + self.said.hold;
        let by = ready_at + self.said.interval + hearsay;
        (ready_at <= now + hearsay.saturating_mul(2) && now < by).then_some(by)
    }

    /// Until when it can be counted on.
    pub fn expires_at(&self) -> Instant {
        self.heard_at + self.said.hold
    }
}

/// Until others have heard what is said each `interval`: a packet's flight and some lateness of theirs.
pub(crate) fn hearsay(interval: Duration) -> Duration {
    interval / 20
}

/// All peers.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    table: Vec<Peer, MAX>,
}

impl Peers {
    /// Room for peers that were not heard yet.
    pub fn unused(&mut self) -> &mut [MaybeUninit<Peer>] {
        self.table.spare_capacity_mut()
    }

    /// Enters a genuine heartbeat that arrived at `at`. Returns what the sender had said before, if it was known. `is_proven`: it is
    /// the answer to a new question, so its boot is the one that lives.
    ///
    /// A full table evicts the peer that has been dead for longest.
    ///
    /// # Errors
    /// [`Disbelief`]; nothing is changed then.
    pub fn hear(&mut self, at: Instant, said: &Heartbeat, is_proven: bool) -> Result<Option<Peer>, Disbelief> {
        if let Some(peer) = self.table.iter_mut().find(|peer| peer.node() == said.node) {
            if (said.boot, said.seq) == (peer.said.boot, peer.said.seq) {
                return Err(Disbelief::Duplicate);
            }
            let is_late = if said.boot == peer.said.boot {
                // A virtual machine that was set back says again what it said before.
                let silent_until = peer.expires_at() + if is_proven { Duration::ZERO } else { LONGEST_WAY };
                said.seq <= peer.said.seq && at < silent_until
            } else {
                // Or it is this boot that lives, and a late packet of an older one came between.
                !is_proven && peer.previous_boot == Some(said.boot) && peer.is_alive(at)
            };
            if is_late {
                return Err(Disbelief::Replayed);
            }
            let before = *peer;
            let is_same_boot = said.boot == before.said.boot;
            let previous_boot = if is_same_boot { before.previous_boot } else { Some(before.said.boot) };
            let unready_before = before.unready_since.filter(|_| is_same_boot && before.is_alive(at));
            let unready_since = (!said.flags.has(Flags::READY)).then(|| unready_before.unwrap_or(at));
            let words = |said: &Heartbeat| (said.boot, said.state, said.following);
            let is_steady = before.is_alive(at) && words(said) == words(&before.said);
            let steady_since = if is_steady { before.steady_since } else { at };
            // What the shell says of the times of two packets may be a little wrong.
            let heard_at = before.heard_at.max(at);
            *peer = Peer { said: *said, heard_at, unready_since, steady_since, previous_boot, is_missing: false };
            return Ok(Some(before));
        }
        if self.table.is_full() {
            let longest_dead = (0..self.table.len())
                .filter(|&index| !self.table[index].is_alive(at))
                .min_by_key(|&index| self.table[index].expires_at());
            self.table.swap_remove(longest_dead.ok_or(Disbelief::Full)?);
        }
        let unready_since = (!said.flags.has(Flags::READY)).then_some(at);
        let peer =
            Peer { said: *said, heard_at: at, unready_since, steady_since: at, previous_boot: None, is_missing: false };
        let entered = self.table.push(peer);
        assert!(entered.is_ok(), "there is room");
        Ok(None)
    }

    /// Every peer ever heard and not evicted, dead ones included.
    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.table.iter()
    }

    /// This peer, dead or alive.
    pub fn get(&self, node: NodeId) -> Option<&Peer> {
        self.table.iter().find(|peer| peer.node() == node)
    }

    /// The most worthy of those that say they are ACTIVE.
    pub fn active(&self, now: Instant) -> Option<&Peer> {
        self.table.iter().filter(|peer| peer.is_active(now)).max_by_key(|peer| peer.candidate())
    }

    /// A peer that was silent for its hold, by ears that have been open since `since`, and was not found missing before.
    pub fn newly_missing(&mut self, now: Instant, since: Instant) -> Option<Peer> {
        let is_silent = |peer: &Peer| now >= peer.heard_at.max(since) + peer.said.hold;
        let missing = self.table.iter_mut().find(|peer| !peer.is_missing && is_silent(peer))?;
        missing.is_missing = true;
        Some(*missing)
    }

    /// When the next living peer's word runs out.
    pub fn next_expiry(&self, now: Instant) -> Option<Instant> {
        self.table.iter().map(Peer::expires_at).filter(|&at| at > now).min()
    }
}

/// No packet is on its way for so long.
const LONGEST_WAY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    fn heartbeat(number: u16, boot: u64, seq: u64) -> Heartbeat {
        let [high, low] = number.to_be_bytes();
        Heartbeat { boot, seq, ..Heartbeat::plain(NodeId::from_v4(Ipv4Addr::new(10, 0, high, low))) }
    }

    const fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    #[test]
    fn a_peer_is_alive_within_its_own_hold() {
        let mut peers = Peers::default();
        peers.hear(at(0), &heartbeat(1, 1, 1), false).unwrap();
        let peer = *peers.iter().next().unwrap();
        assert!(peer.is_alive(at(3_499)) && !peer.is_alive(at(3_500)));
        assert_eq!(peers.next_expiry(at(0)), Some(at(3_500)));
        assert_eq!(peers.next_expiry(at(3_500)), None);
    }

    #[test]
    fn only_news_is_believed() {
        let mut peers = Peers::default();
        for (label, boot, seq, expected) in [
            ("first word", 5, 10, Ok(())),
            ("the same again", 5, 10, Err(Disbelief::Duplicate)),
            ("older", 5, 9, Err(Disbelief::Replayed)),
            ("newer", 5, 12, Ok(())),
            ("next boot", 6, 1, Ok(())),
            ("late packet of the boot before", 5, 13, Err(Disbelief::Replayed)),
        ] {
            assert_eq!(peers.hear(at(0), &heartbeat(1, boot, seq), false).map(drop), expected, "{label}");
        }
    }

    #[test]
    fn a_machine_that_was_set_back_is_heard_again_after_a_minute_of_silence_or_when_it_has_proved_that_it_lives() {
        let mut peers = Peers::default();
        let mut hear = |millis, seq, is_proven| peers.hear(at(millis), &heartbeat(1, 5, seq), is_proven).map(drop);
        for (millis, seq, is_proven, expected) in [
            (0, 1_000, false, Ok(())),
            (3_499, 10, true, Err(Disbelief::Replayed)),
            (3_500, 11, true, Ok(())),
            (4_500, 12, false, Ok(())),
            (67_999, 5, false, Err(Disbelief::Replayed)),
            (68_000, 6, false, Ok(())),
            (69_000, 7, false, Ok(())),
        ] {
            assert_eq!(hear(millis, seq, is_proven), expected, "{seq} after {millis} ms");
        }
    }

    #[test]
    fn a_peer_is_steady_while_it_lives_and_says_the_same() {
        let mut peers = Peers::default();
        let mut hear = |millis, boot, seq, state| {
            peers.hear(at(millis), &Heartbeat { state, ..heartbeat(1, boot, seq) }, false).unwrap();
            peers.iter().next().unwrap().steady_since
        };
        assert_eq!(hear(0, 5, 1, State::Active), at(0));
        assert_eq!(hear(3_000, 5, 2, State::Active), at(0));
        assert_eq!(hear(6_500, 5, 3, State::Active), at(6_500), "it was dead for a moment");
        assert_eq!(hear(7_000, 5, 4, State::Standby), at(7_000));
        assert_eq!(hear(8_000, 5, 5, State::Standby), at(7_000));
        assert_eq!(hear(9_000, 6, 1, State::Standby), at(9_000), "it started again");
    }

    #[test]
    fn a_late_packet_of_an_older_boot_does_not_shut_out_the_living_one_for_ever() {
        let mut peers = Peers::default();
        peers.hear(at(0), &heartbeat(1, 6, 1), false).unwrap();
        peers.hear(at(100), &heartbeat(1, 5, 99), false).unwrap();
        assert!(peers.hear(at(3_599), &heartbeat(1, 6, 4), false).is_err());
        assert!(peers.hear(at(3_600), &heartbeat(1, 6, 5), false).is_ok());
    }

    #[test]
    fn a_full_table_evicts_the_longest_dead_and_no_living_peer() {
        let mut peers = Peers::default();
        for number in 0..255 {
            peers.hear(at(number.into()), &heartbeat(number, 1, 1), false).unwrap();
        }
        assert_eq!(peers.hear(at(3_000), &heartbeat(1_000, 1, 1), false).map(drop), Err(Disbelief::Full));
        assert_eq!(peers.hear(at(3_501), &heartbeat(1_000, 1, 1), false).map(drop), Ok(()));
        assert!(peers.get(heartbeat(0, 1, 1).node).is_none());
        assert!(peers.get(heartbeat(1, 1, 1).node).is_some());
    }
}
