//! Asking the LAN by ARP whether silence means that nobody has the address.
//!
//! A phone that rings unanswered says nothing about the lights in the house. A dead owner does not answer ARP; a frozen one answers
//! until its lease ends; one whose heartbeats are filtered on their way answers for ever. So the successor looks at the lights
//! in the last part of the tolerance, and does not move in while they are on.

use core::net::Ipv4Addr;

use super::io::{Output, Outputs, push};
use super::{Node, Note};
use crate::config::OnConflict;
use crate::lease::Lease;
use crate::peers::Peer;
use crate::time::{Duration, Instant};
use crate::timers::Timer;
use crate::wire::arp::Mac;

/// What was asked and answered since no ACTIVE is heard.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Probing {
    /// Since when answers count.
    since: Option<Instant>,
    answer: Option<Answer>,
    /// That the address is in use was said.
    is_told: bool,
}

/// Somebody has the address.
#[derive(Debug, Clone, Copy)]
struct Answer {
    mac: Mac,
    address: Ipv4Addr,
    at: Instant,
}

impl Probing {
    /// Answers count from now on, without a question.
    pub(super) fn since(now: Instant) -> Self {
        Self { since: Some(now), ..Self::default() }
    }
}

impl Node {
    /// In the last part of the time that silence has to last, which ends at `end`: listens for who claims the address, and asks if
    /// it is this node's turn; again, when the timer `is_due`, as long as it is answered.
    pub(super) fn look_out(&mut self, now: Instant, end: Instant, is_due: bool, asks: bool, out: &mut Outputs) {
        if self.probing.since.is_none() {
            let begin = self.last_part(end);
            if now < begin {
                self.timers.set(Timer::Probe, begin);
                return;
            }
            self.probing.since = Some(now);
        } else if !is_due {
            return;
        }
        if asks && self.frames.spend(1, now) {
            // They move together: whoever has one of them has all.
            let index = self.probing.answer.and_then(|answer| self.index_of(answer.address)).unwrap_or_default();
            push(out, Output::Probe(index));
        }
        self.timers.set(Timer::Probe, now + self.probe_interval());
    }

    /// Nobody is heard any more: whoever claims the address from now on has it.
    pub(super) fn listen_for_claims(&mut self, now: Instant) {
        self.probing.since.get_or_insert(now);
    }

    /// Somebody has the address, as far as ARP says.
    pub(super) fn answered(&mut self, now: Instant, mac: Mac, address: Ipv4Addr) {
        // It may be read before the tick that finds out how long nobody was heard.
        let end = self.peers.active(now).map(Peer::expires_at).or(self.listening.ready_at(&self.config));
        if end.is_some_and(|end| now >= self.last_part(end)) {
            self.listen_for_claims(now);
        }
        if self.probing.since.is_some() {
            self.probing.answer = Some(Answer { mac, address, at: now });
            self.timers.set(Timer::Probe, now + self.probe_interval());
        }
    }

    /// True if the address has to be left alone, since somebody has it who is not heard.
    pub(super) fn is_in_use(&mut self, now: Instant, out: &mut Outputs) -> bool {
        let Some(answer) = self.probing.answer else { return false };
        let is_frozen = self.may_be_frozen(answer);
        // A frozen owner is waited for no longer than it must, a healthy one is given what a heartbeat is given.
        let patience = if is_frozen { Duration::ZERO } else { self.config.tolerance() };
        if now >= answer.at + patience.max(self.probe_interval().times(3)) {
            self.probing.answer = None;
            return false;
        }
        if is_frozen {
            return true;
        }
        let is_held = self.config.on_conflict() == OnConflict::Hold;
        if !core::mem::replace(&mut self.probing.is_told, true) {
            self.counters.conflicts += 1;
            let hears_another_key = self.forged_at.is_some_and(|at| now < at + self.config.tolerance());
            let Answer { mac, address, .. } = answer;
            let member = self.member(mac);
            push(out, Output::Note(Note::InUse { mac, member, address, is_held, hears_another_key }));
        }
        is_held
    }

    /// When the last part of a silence begins that is long enough at `end`.
    fn last_part(&self, end: Instant) -> Instant {
        end.less(self.config.tolerance().split(LAST_PART).min(LONGEST_PART))
    }

    fn probe_interval(&self) -> Duration {
        let is_urgent = self.probing.answer.is_some_and(|answer| self.may_be_frozen(answer));
        if is_urgent { SHORTEST_PROBE_INTERVAL } else { self.config.interval().max(SHORTEST_PROBE_INTERVAL) }
    }

    /// Its kernel may answer for a daemon that does not run, until the lease ends.
    fn may_be_frozen(&self, answer: Answer) -> bool {
        let owner = self.last_active.and_then(|node| self.peers.get(node));
        let heard_at = owner.map(|peer| peer.heard_at);
        let silent_since = heard_at.max(self.released_at).max(self.listening.begin());
        let tolerance = owner.map_or(self.config.tolerance(), |peer| peer.said.hold);
        let has_lease = self.config.lease().is_some();
        has_lease && silent_since.is_some_and(|since| answer.at < since + Lease::for_tolerance(tolerance).end())
    }
}

/// The last eighth of the tolerance: after the lease has ended, with the usual times.
const LAST_PART: u64 = 8;
const LONGEST_PART: Duration = Duration::from_millis(500);

/// Ten ARP frames a second.
const SHORTEST_PROBE_INTERVAL: Duration = Duration::from_millis(100);
