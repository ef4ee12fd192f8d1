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
    doubt: Doubt,
    /// Since when answers count.
    since: Option<Instant>,
    /// The last answers, each of another host.
    answers: [Option<Answer>; MOST_ANSWERS],
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

/// Whether somebody has claimed the address whom nobody had asked: worth three questions, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Doubt {
    #[default]
    None,
    /// To be asked now.
    Raised,
    /// Asked since then.
    Asked(Instant),
    /// Nobody answered.
    Settled,
}

impl Probing {
    /// Answers count from now on, without a question.
    pub(super) fn since(now: Instant) -> Self {
        Self { since: Some(now), ..Self::default() }
    }

    /// The last answer.
    fn answer(&self) -> Option<Answer> {
        self.answers.iter().flatten().max_by_key(|answer| answer.at).copied()
    }

    /// Forgets the oldest, if there is no room.
    fn enter(&mut self, new: Answer) {
        let is_same = |old: &Option<Answer>| old.is_some_and(|old| old.mac == new.mac);
        let known = self.answers.iter().position(is_same);
        let oldest = || (0..MOST_ANSWERS).min_by_key(|&place| self.answers[place].map(|answer| answer.at));
        if let Some(place) = known.or_else(oldest) {
            self.answers[place] = Some(new);
        }
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
            let first = self.config.addresses().first().map(|cidr| cidr.address);
            if let Some(address) = self.probing.answer().map(|answer| answer.address).or(first) {
                self.probe(now, address, out);
            }
            if self.probing.doubt == Doubt::Raised {
                self.probing.doubt = Doubt::Asked(now);
            }
        }
        self.timers.set(Timer::Probe, now + self.probe_interval());
    }

    /// Asks the LAN who has `address`.
    pub(super) fn probe(&mut self, now: Instant, address: Ipv4Addr, out: &mut Outputs) {
        self.probed_at = Some(now);
        push(out, Output::Probe(address));
    }

    /// Nobody is heard any more: whoever answers for the address from now on has it.
    pub(super) fn listen_for_claims(&mut self, now: Instant) {
        self.probing.since.get_or_insert(now);
    }

    /// Somebody has answered our question: it has the address, as far as ARP says. True if that is of interest.
    pub(super) fn answered(&mut self, now: Instant, mac: Mac, address: Ipv4Addr) -> bool {
        let counts = self.is_looking_out(now);
        if counts {
            self.probing.enter(Answer { mac, address, at: now });
            self.timers.set(Timer::Probe, now + self.probe_interval());
        }
        counts
    }

    /// Somebody says unasked that it has the address, perhaps because it has just taken it, as blindly as we would: it is asked.
    pub(super) fn doubt_silence(&mut self, now: Instant) {
        if self.is_looking_out(now) && self.probing.doubt == Doubt::None {
            self.probing.doubt = Doubt::Raised;
            self.timers.set(Timer::Probe, now);
        }
    }

    /// This one answers for everybody: what it has answered says nothing.
    pub(super) fn forget_answer_of(&mut self, now: Instant, mac: Mac) {
        for answer in &mut self.probing.answers {
            if answer.take_if(|answer| answer.mac == mac).is_some() {
                self.timers.set(Timer::Decide, now);
            }
        }
    }

    /// Nobody was heard for nearly long enough. ARP may be read before the tick that finds that out.
    fn is_looking_out(&mut self, now: Instant) -> bool {
        let end = self.peers.active(now).map(Peer::expires_at).or(self.listening.ready_at(&self.config));
        if end.is_some_and(|end| now >= self.last_part(end)) {
            self.listen_for_claims(now);
        }
        self.probing.since.is_some()
    }

    /// True while three questions are put to whoever claimed the address unasked.
    fn is_in_doubt(&mut self, now: Instant) -> bool {
        let is_open = match self.probing.doubt {
            Doubt::None | Doubt::Settled => return false,
            Doubt::Raised => true,
            Doubt::Asked(since) => now < since + SHORTEST_PROBE_INTERVAL.times(3),
        };
        if !is_open {
            self.probing.doubt = Doubt::Settled;
        }
        is_open && self.config.on_conflict() == OnConflict::Hold
    }

    /// True if the address has to be left alone, since somebody has it who is not heard.
    pub(super) fn is_in_use(&mut self, now: Instant, out: &mut Outputs) -> bool {
        let Some(answer) = self.probing.answer() else { return self.is_in_doubt(now) };
        let is_frozen = self.may_be_frozen(answer);
        // A frozen owner is waited for no longer than it must, a healthy one is given what a heartbeat is given.
        let patience = if is_frozen { Duration::ZERO } else { self.config.tolerance() };
        if now >= answer.at + patience.max(self.probe_interval().times(3)) {
            self.probing.answers = [None; MOST_ANSWERS];
            return self.is_in_doubt(now);
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
        let is_doubtful = matches!(self.probing.doubt, Doubt::Raised | Doubt::Asked(_));
        let is_urgent = is_doubtful || self.probing.answer().is_some_and(|answer| self.may_be_frozen(answer));
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

/// An owner, and routers that answer for everybody.
const MOST_ANSWERS: usize = 4;

/// Ten ARP frames a second.
pub(super) const SHORTEST_PROBE_INTERVAL: Duration = Duration::from_millis(100);
