//! Asking the LAN by ARP whether silence means that no host has the address (rule 9).
//!
//! A phone that rings unanswered says nothing about the lights in the house. A dead owner does not answer ARP; a frozen one answers
//! until its lease ends; one whose heartbeats are filtered on their way answers for ever. So the successor looks at the lights
//! in the last part of the tolerance, and does not move in while they are on.

use super::Note;
use super::io::{Output, Outputs, push};
use super::station::Station;
use crate::config::{MAX_LINKS, OnConflict};
use crate::neighbours::Host;
use crate::peers::Peer;
use crate::time::{Duration, Instant};
use crate::timers::Timer;
use crate::wire::arp::Mac;

/// What a STANDBY has asked and what it was answered since it hears no ACTIVE.
#[derive(Debug, Clone)]
pub(super) struct Probing {
    /// The next look.
    pub look: Timer,
    doubt: Doubt,
    /// Since when answers count.
    since: Option<Instant>,
    /// The last answers, each of another host.
    answers: [Option<Answer>; MOST_ANSWERS],
    /// The node has reported that the address is in use.
    is_reported: bool,
}

/// A host has the address.
#[derive(Debug, Clone, Copy)]
struct Answer {
    mac: Mac,
    host: Host,
    at: Instant,
}

/// Whether a host has said unasked that it has the address: worth three questions, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    None,
    /// To be asked now.
    Raised,
    /// Asked since then.
    Asked(Instant),
    /// Nobody answered.
    Settled,
}

impl Default for Probing {
    fn default() -> Self {
        Self { look: Timer::OFF, doubt: Doubt::None, since: None, answers: [None; MOST_ANSWERS], is_reported: false }
    }
}

impl Probing {
    /// Answers count from now on, without a question.
    pub(super) fn since(now: Instant) -> Self {
        Self { since: Some(now), ..Self::default() }
    }

    /// What was answered does not matter any more; the next look stays where it is.
    pub(super) fn forget(&mut self) {
        *self = Self { look: self.look, ..Self::default() };
    }

    /// Answers count from now on, unless they do already: this node hears no other one that has the address.
    pub(super) fn listen(&mut self, now: Instant) {
        self.since.get_or_insert(now);
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

    /// This host answers for everybody: what it has answered says nothing.
    pub(super) fn forget_answers_of(&mut self, mac: Mac) -> bool {
        let mut was_any = false;
        for answer in &mut self.answers {
            was_any |= answer.take_if(|answer| answer.mac == mac).is_some();
        }
        was_any
    }

    fn interval(&self, station: &Station) -> Duration {
        let is_doubtful = matches!(self.doubt, Doubt::Raised | Doubt::Asked(_));
        let is_urgent = is_doubtful || self.answer().is_some_and(|answer| station.may_be_frozen(answer));
        let interval = station.config.interval();
        if is_urgent { SHORTEST_PROBE_INTERVAL } else { interval.max(SHORTEST_PROBE_INTERVAL) }
    }

    /// True while three questions are put to a host that said unasked that it has the address.
    fn is_in_doubt(&mut self, station: &Station, now: Instant) -> bool {
        let is_open = match self.doubt {
            Doubt::None | Doubt::Settled => return false,
            Doubt::Raised => true,
            Doubt::Asked(since) => now < since + SHORTEST_PROBE_INTERVAL.saturating_mul(3),
        };
        if !is_open {
            self.doubt = Doubt::Settled;
        }
        is_open && station.config.on_conflict() == OnConflict::Hold
    }

    /// In the last part of the time that silence has to last, which ends at `end`: listens for hosts that say by ARP that they have
    /// the address, and asks if it is this node's turn; again, when a look `is_due`, as long as it is answered.
    pub(super) fn look_out(
        &mut self,
        station: &mut Station,
        now: Instant,
        end: Instant,
        is_due: bool,
        asks: bool,
        out: &mut Outputs,
    ) {
        if self.since.is_none() {
            let begin = station.last_part(end);
            if now < begin {
                self.look.set(begin);
                return;
            }
            self.since = Some(now);
        } else if !is_due {
            return;
        }
        if asks {
            // The addresses move together: a node that has one of them has all. But each link may be cut by itself.
            let answer = self.answer().map(|answer| answer.host);
            for link in (0..).take(MAX_LINKS) {
                let first = station.config.on_link(link).first().map(|cidr| (link, cidr.address));
                if let Some(first) = first.filter(|_| answer.is_none_or(|(its, _)| its == link))
                    && station.lan.frames.spend(1, now)
                {
                    station.lan.probe(now, answer.unwrap_or(first), out);
                    if self.doubt == Doubt::Raised {
                        self.doubt = Doubt::Asked(now);
                    }
                }
            }
        }
        self.look.set(now + self.interval(station));
    }

    /// A host has answered this node's question: it has the address, as far as ARP says. True if that is of interest.
    pub(super) fn enter_answer(&mut self, station: &Station, now: Instant, mac: Mac, host: Host) -> bool {
        let counts = self.is_looking_out(station, now);
        if counts {
            self.enter(Answer { mac, host, at: now });
            self.look.set(now + self.interval(station));
        }
        counts
    }

    /// A host says unasked that it has the address, perhaps because it has just taken it, as blindly as this node would: it is asked.
    pub(super) fn doubt_silence(&mut self, station: &Station, now: Instant) {
        if self.is_looking_out(station, now) && self.doubt == Doubt::None {
            self.doubt = Doubt::Raised;
            self.look.set(now);
        }
    }

    /// True if the silence has lasted nearly long enough. ARP may be read before the tick that finds that out.
    fn is_looking_out(&mut self, station: &Station, now: Instant) -> bool {
        let expiry = station.peers.active(now).map(Peer::expires_at);
        let end = expiry.or(station.listening.ready_at(&station.config));
        if end.is_some_and(|end| now >= station.last_part(end)) {
            self.listen(now);
        }
        self.since.is_some()
    }

    /// Rule 9: true if this node has to leave the address alone, since a host has it that it does not hear.
    pub(super) fn is_in_use(&mut self, station: &mut Station, now: Instant, out: &mut Outputs) -> bool {
        let Some(answer) = self.answer() else { return self.is_in_doubt(station, now) };
        let is_frozen = station.may_be_frozen(answer);
        // The node waits for a frozen owner no longer than it must, and gives a healthy one what it gives a heartbeat.
        let patience = if is_frozen { Duration::ZERO } else { station.config.tolerance() };
        if now >= answer.at + patience.max(self.interval(station).saturating_mul(3)) {
            self.answers = [None; MOST_ANSWERS];
            return self.is_in_doubt(station, now);
        }
        if is_frozen {
            return true;
        }
        let is_held = station.config.on_conflict() == OnConflict::Hold;
        if !core::mem::replace(&mut self.is_reported, true) {
            station.counters.in_use += 1;
            let hears_another_key = station.forged_at.is_some_and(|at| now < at + station.config.tolerance());
            let Answer { mac, host: (_, address), .. } = answer;
            let member = station.lan.member(mac, &station.peers);
            push(out, Output::Note(Note::InUse { mac, member, address, is_held, hears_another_key }));
        }
        is_held
    }
}

impl Station {
    /// When the last part of a silence begins that is long enough at `end`.
    pub(super) fn last_part(&self, end: Instant) -> Instant {
        end.saturating_sub(last_part(self.owner_hold().min(self.config.tolerance())))
    }

    /// How long the node that was ACTIVE last lets others wait.
    fn owner_hold(&self) -> Duration {
        self.last_owner().map_or(self.config.tolerance(), |peer| peer.said.hold)
    }

    /// Its kernel may answer for a daemon that does not run, until the lease ends.
    fn may_be_frozen(&self, answer: Answer) -> bool {
        let heard_at = self.last_owner().map(|peer| peer.heard_at);
        let silent_since = heard_at.max(self.released_at).max(self.listening.begin());
        let lease = self.config.lease().map(|lease| lease.of_other(self.owner_hold()));
        lease.zip(silent_since).is_some_and(|(lease, since)| answer.at < since + lease.end())
    }
}

/// How long before the end of a silence a node asks by ARP.
pub(crate) fn last_part(tolerance: Duration) -> Duration {
    (tolerance / LAST_PART).min(LONGEST_PART)
}

/// The last eighth of the tolerance: after the lease has ended, with the usual times.
const LAST_PART: u32 = 8;
const LONGEST_PART: Duration = Duration::from_millis(500);

/// An owner, and routers that answer for everybody.
const MOST_ANSWERS: usize = 4;

/// Ten ARP frames a second.
pub(super) const SHORTEST_PROBE_INTERVAL: Duration = Duration::from_millis(100);
