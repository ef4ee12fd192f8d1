//! What a node does must follow from what it heard: by an account of every node's packets that the core does not keep.
//!
//! These rules hold under any loss, since they speak of what arrived only.

use std::net::IpAddr;

use ha::config::OnConflict;
use ha::node::Reason;
use ha::time::{Duration, Instant};
use ha::wire::{Flags, Heartbeat, Kind, State};

use super::{Rule, Status, Violation, blame, rank, span};
use crate::bounds::Bounds;
use crate::settings::Settings;
use crate::time::Us;

/// The last packet of each node that reached each other node.
#[derive(Debug)]
pub struct Words {
    nodes: usize,
    last: Vec<Option<Word>>,
    /// Until then the reader may believe something else of the writer than its last packet said.
    doubtful: Vec<Us>,
    /// What the reader asked the writer last, where a boot has to prove that it lives.
    asked: Option<Vec<Option<u64>>>,
    readers: Vec<Reader>,
}

/// A node does something.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// When.
    pub now: Us,
    /// Who.
    pub node: usize,
    /// What its clock shows.
    pub clock: Instant,
}

/// The last packet of one node that reached another.
#[derive(Debug, Clone, Copy)]
struct Word {
    said: Heartbeat,
    heard_at: Instant,
    boot_before: Option<u64>,
    /// Since when it has said again and again that it is ACTIVE and follows itself, less worthy than the reader.
    unanswered_since: Option<Instant>,
    /// The reader surely believed it.
    is_sure: bool,
}

#[derive(Debug, Clone, Copy)]
struct Reader {
    /// Since when it has known, without interruption, of a more worthy ACTIVE while it was ACTIVE itself.
    outdone_since: Option<Us>,
    /// Since when it has been ACTIVE.
    active_since: Option<Instant>,
    /// An ACTIVE that does not hear it was heard for its hold then.
    unheard_at: Option<Us>,
    /// The latest that its clock has shown.
    clock: Instant,
    /// It cannot tell the time before.
    sleeps_until: Us,
    /// Since when its silence is evidence; may lie ahead.
    listens_since: Instant,
    /// How long it had listened when it took the address.
    listened: Duration,
    /// When it asked last who has the address, and for which one.
    probed: Option<(Instant, IpAddr)>,
    /// When another host answered, and how long before the take that was.
    answered_at: Option<Instant>,
    answered_before: Option<Duration>,
    /// The more worthy node that it knew to be ready when it took the address.
    passed_over: Option<usize>,
    /// Until then its last packet, if that says ACTIVE, lets it open its fence again.
    may_open_until: Option<Instant>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            outdone_since: None,
            active_since: None,
            unheard_at: None,
            clock: Instant::from_micros(0),
            sleeps_until: 0,
            listens_since: Instant::from_micros(0),
            listened: Duration::ZERO,
            probed: None,
            answered_at: None,
            answered_before: None,
            passed_over: None,
            may_open_until: None,
        }
    }
}

impl Words {
    /// For this number of nodes; those with a key ask each other.
    pub fn new(nodes: usize, keyed: bool) -> Self {
        Self {
            nodes,
            last: vec![None; nodes * nodes],
            doubtful: vec![0; nodes * nodes],
            asked: keyed.then(|| vec![None; nodes * nodes]),
            readers: vec![Reader::default(); nodes],
        }
    }

    /// A node starts: it knows nothing.
    pub fn forget(&mut self, reader: usize) {
        self.last[reader * self.nodes..][..self.nodes].fill(None);
        if let Some(asked) = &mut self.asked {
            asked[reader * self.nodes..][..self.nodes].fill(None);
        }
        self.readers[reader] = Reader::default();
    }

    /// A challenge to `writer` was sent.
    pub fn asked(&mut self, reader: usize, writer: Option<usize>, nonce: u64) {
        if let (Some(asked), Some(writer)) = (&mut self.asked, writer) {
            asked[reader * self.nodes + writer] = Some(nonce);
        }
    }

    /// True if the reader has reason to believe what this boot says: there is no key, or it has proved itself and not been
    /// silent for its hold since.
    pub fn believes(&self, turn: Turn, writer: usize, boot: u64) -> bool {
        let is_alive = |word: &Word| word.said.boot == boot && turn.clock < word.heard_at + word.said.hold;
        self.asked.is_none() || self.last[turn.node * self.nodes + writer].as_ref().is_some_and(is_alive)
    }

    /// A packet of an earlier boot was handed in.
    pub fn deceived(&mut self, until: Us, reader: usize, writer: usize) {
        self.doubtful[reader * self.nodes + writer] = until;
        if let Some(word) = &mut self.last[reader * self.nodes + writer] {
            word.is_sure = false;
        }
        (self.readers[reader].outdone_since, self.readers[reader].unheard_at) = (None, None);
    }

    /// A node slept, or its clock stands still for the core until then: what it must do is counted anew.
    pub fn slept(&mut self, until: Us, reader: usize) {
        let account = &mut self.readers[reader];
        (account.outdone_since, account.unheard_at, account.sleeps_until) = (None, None, until);
    }

    /// The core heard that it has a link, which may be deaf for `delay`.
    pub fn linked(&mut self, turn: Turn, delay: Us) {
        self.readers[turn.node].listens_since = turn.clock + Duration::from_micros(delay);
    }

    /// An intact packet was handed in, which had arrived when the reader's clock showed `at`.
    pub fn heard(&mut self, turn: Turn, at: Instant, writer: usize, said: &Heartbeat, all: &[Status], bounds: &Bounds) {
        // A clock that runs backwards stands still for the core.
        let turn = Turn { clock: turn.clock.max(self.readers[turn.node].clock), ..turn };
        let at = at.min(turn.clock);
        let is_believed = self.believes(Turn { clock: at, ..turn }, writer, said.boot);
        if let Some(asked) = &mut self.asked {
            let asked = &mut asked[turn.node * self.nodes + writer];
            let is_answer = said.kind == Kind::Response && asked.take_if(|nonce| *nonce == said.nonce).is_some();
            if !is_believed && !is_answer {
                return;
            }
        }
        let reader = &mut self.readers[turn.node];
        reader.listens_since = reader.listens_since.min(turn.clock);
        let place = turn.node * self.nodes + writer;
        let last = &mut self.last[place];
        let boot_before = match last {
            None => None,
            Some(word) if word.said.boot == said.boot && said.seq > word.said.seq => word.boot_before,
            Some(word) if word.said.boot == said.boot => return,
            Some(word) if word.boot_before == Some(said.boot) && self.asked.is_none() => return,
            Some(word) => Some(word.said.boot),
        };
        // The core may have disbelieved a doubtful word, and counts anew then.
        let goes_on =
            last.filter(|word| word.is_sure && word.said.boot == said.boot && at < word.heard_at + word.said.hold);
        let is_lesser = rank(said) < all[turn.node].rank;
        let is_unanswered = is_lesser && said.state == State::Active && said.following == Some(said.node);
        let unanswered_since = is_unanswered.then(|| goes_on.and_then(|word| word.unanswered_since).unwrap_or(at));
        let is_sure = self.doubtful[place] < turn.now;
        let heard_at = last.map_or(at, |word| word.heard_at.max(at));
        *last = Some(Word { said: *said, heard_at, boot_before, unanswered_since, is_sure });
        let account = &mut self.readers[turn.node];
        if let (Some(unanswered), Some(active), true) = (unanswered_since, account.active_since, is_sure) {
            let patience = said.hold.as_micros() + bounds.local + bounds.drift;
            if turn.clock.since(unanswered.max(active)).as_micros() > patience {
                account.unheard_at.get_or_insert(turn.now.max(account.sleeps_until));
            }
        }
    }

    /// A node has sent a packet.
    pub fn spoke(&mut self, turn: Turn, said: &Heartbeat) {
        let reader = &mut self.readers[turn.node];
        let clock = turn.clock.max(reader.clock);
        reader.may_open_until = (said.state == State::Active).then(|| clock + longest_open(said));
    }

    /// A packet opens a node's fence.
    pub fn opens(&self, turn: Turn, out: &mut Option<Violation>) {
        let Reader { may_open_until, clock, .. } = self.readers[turn.node];
        let late = may_open_until.map_or(Duration::ZERO, |until| turn.clock.max(clock).since(until));
        if late > Duration::ZERO {
            blame(out, Rule::Fence, turn.now, || {
                format!("{} opens its fence {late} after others may have taken the address", turn.node)
            });
        }
    }

    /// A node asks by ARP or ND who has the address.
    pub fn probed(&mut self, turn: Turn, address: IpAddr) {
        self.readers[turn.node].probed = Some((turn.clock, address));
    }

    /// The answer of an owner, which has this address, was handed to a STANDBY. One that comes late is none, nor is an NA that may
    /// be about something else.
    pub fn answered(&mut self, turn: Turn, address: IpAddr) {
        let reader = &mut self.readers[turn.node];
        let is_answer = |(at, probed): (Instant, IpAddr)| {
            let passed = turn.clock.since(at).as_micros();
            if address.is_ipv4() { passed < PROMPT } else { passed < PROMPT_6 && probed == address }
        };
        if reader.probed.is_some_and(is_answer) {
            reader.answered_at = Some(turn.clock);
        }
    }

    /// After everything that a node did at `now`: is it still ACTIVE beside a more worthy one that it hears?
    pub fn done(&mut self, turn: Turn, is_active: bool, all: &[Status], bounds: &Bounds, out: &mut Option<Violation>) {
        let Turn { now, node: reader, .. } = turn;
        let outdone = is_active
            && self
                .fresh(turn)
                .any(|(_, word)| word.said.state == State::Active && rank(&word.said) > all[reader].rank);
        let account = &mut self.readers[reader];
        account.clock = account.clock.max(turn.clock);
        account.active_since = is_active.then(|| account.active_since.unwrap_or(turn.clock));
        account.unheard_at = account.unheard_at.filter(|_| is_active);
        if let Some(since) = account.unheard_at.filter(|since| since + 4 * bounds.local < now) {
            blame(out, Rule::Yield, now, || {
                format!("{reader} has heard for {} that another owner does not hear it and is ACTIVE", span(since, now))
            });
        }
        if !outdone {
            account.outdone_since = None;
            return;
        }
        let since = *account.outdone_since.get_or_insert(now.max(account.sleeps_until));
        if since + bounds.tolerance + 4 * bounds.local < now {
            blame(out, Rule::Yield, now, || {
                format!("{reader} has known of a more worthy owner for {} and is ACTIVE", span(since, now))
            });
        }
    }

    /// A STANDBY takes the address.
    pub fn takes(&mut self, turn: Turn, all: &[Status], out: &mut Option<Violation>) {
        let Turn { now, node: reader, clock } = turn;
        let active = self.fresh(turn).find(|(_, word)| word.said.state == State::Active);
        if let Some((writer, word)) = active {
            let silence = clock.since(word.heard_at);
            blame(out, Rule::Knowledge, now, || {
                format!("{reader} takes the address {silence} after {writer} said that it was ACTIVE")
            });
        }
        let mine = all[reader].rank;
        let ready = self.fresh(turn).find(|(_, word)| {
            let is_eligible = word.said.state == State::Standby && word.said.worthiness > 0;
            is_eligible && word.said.flags.has(Flags::READY) && rank(&word.said) > mine
        });
        let passed_over = ready.map(|(writer, _)| writer);
        let account = &mut self.readers[reader];
        account.passed_over = passed_over;
        // It has let go before, in the same moment perhaps: what it must do as ACTIVE is counted anew.
        (account.outdone_since, account.active_since, account.unheard_at) = (None, None, None);
        // From now on it is its own; what was answered before is about an earlier owner.
        account.answered_before = account.answered_at.take().map(|at| clock.since(at));
        account.listened = clock.max(account.clock).since(account.listens_since);
    }

    /// A node got ACTIVE for this reason.
    pub fn got_active(&self, now: Us, reader: usize, settings: &Settings, reason: Reason, out: &mut Option<Violation>) {
        if !matches!(reason, Reason::Silent { .. } | Reason::Nobody { .. } | Reason::Resigned { .. }) {
            return;
        }
        let Reader { listened, passed_over, answered_before, .. } = self.readers[reader];
        let is_silence = matches!(reason, Reason::Silent { .. } | Reason::Nobody { .. });
        // It asks in the last eighth of the tolerance, its own or the owner's, at most for 500 ms; what it hears before is not about
        // the silence.
        let row = &self.last[reader * self.nodes..][..self.nodes];
        let holds = row.iter().flatten().map(|word| word.said.hold.as_micros());
        let fresh = (holds.fold(settings.tolerance, Us::min) / 10).min(FRESH);
        let answered_before = answered_before.filter(|before| before.as_micros() < fresh);
        if let Some(before) = answered_before.filter(|_| is_silence && settings.on_conflict == OnConflict::Hold) {
            blame(out, Rule::Knowledge, now, || {
                format!("{reader} takes the address {before} after its owner answered ({reason})")
            });
        }
        if listened.as_micros() < settings.tolerance {
            blame(out, Rule::Patience, now, || format!("{reader} takes the address after {listened} ({reason})"));
        }
        if let Some(better) = passed_over {
            blame(out, Rule::Order, now, || format!("{reader} takes the address though {better} is ready ({reason})"));
        }
    }

    fn fresh(&self, turn: Turn) -> impl Iterator<Item = (usize, &Word)> {
        let row = &self.last[turn.node * self.nodes..][..self.nodes];
        let words = row.iter().enumerate().filter_map(|(writer, word)| Some((writer, word.as_ref()?)));
        // A clock that runs backwards makes no node alive again.
        let clock = turn.clock.max(self.readers[turn.node].clock);
        words.filter(move |(_, word)| word.is_sure && clock < word.heard_at + word.said.hold)
    }
}

/// How long this packet of an ACTIVE may keep its fence open: others take over when the hold is over, and if they lost this packet
/// they count from one that is an interval older.
pub fn longest_open(said: &Heartbeat) -> Duration {
    said.hold.saturating_sub(said.interval)
}

/// An answer that is not older was heard while the node asked.
const FRESH: Us = 200_000;

/// An answer that takes longer may be to another question.
const PROMPT: Us = 900_000;

/// The same for an NA, which may not be an answer at all.
const PROMPT_6: Us = 90_000;
