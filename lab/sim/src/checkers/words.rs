//! What a node does must follow from what it was told: by an account of every node's mail that the core does not keep.
//!
//! These rules hold under any loss, since they speak of what arrived only.

use ha::node::Reason;
use ha::time::Instant;
use ha::wire::{Flags, Heartbeat, State};

use super::{Rule, Status, Violation, blame, span};
use crate::bounds::Bounds;
use crate::plan::Us;

/// Everybody's last word, as far as it reached everybody.
#[derive(Debug)]
pub struct Words {
    nodes: usize,
    last: Vec<Option<Word>>,
    readers: Vec<Reader>,
}

/// The last word of one node that reached another.
#[derive(Debug, Clone, Copy)]
struct Word {
    said: Heartbeat,
    heard_at: Instant,
    boot_before: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Reader {
    /// Since when it has known, without interruption, of a more worthy ACTIVE while it was ACTIVE itself.
    outdone_since: Option<Us>,
    /// The more worthy node that it knew to be ready when it took the address.
    passed_over: Option<usize>,
}

impl Words {
    /// For so many nodes.
    pub fn new(nodes: usize) -> Self {
        Self { nodes, last: vec![None; nodes * nodes], readers: vec![Reader::default(); nodes] }
    }

    /// A node starts: it knows nothing.
    pub fn forget(&mut self, reader: usize) {
        self.last[reader * self.nodes..][..self.nodes].fill(None);
        self.readers[reader] = Reader::default();
    }

    /// A node slept: what it must do is counted anew.
    pub fn slept(&mut self, reader: usize) {
        self.readers[reader].outdone_since = None;
    }

    /// An intact packet was handed in; `clock` is the reader's.
    pub fn heard(&mut self, reader: usize, writer: usize, said: &Heartbeat, clock: Instant) {
        let last = &mut self.last[reader * self.nodes + writer];
        let boot_before = match last {
            None => None,
            Some(word) if word.said.boot == said.boot && said.seq > word.said.seq => word.boot_before,
            Some(word) if word.said.boot == said.boot || word.boot_before == Some(said.boot) => return,
            Some(word) => Some(word.said.boot),
        };
        *last = Some(Word { said: *said, heard_at: clock, boot_before });
    }

    /// After everything that a node did at `now`: is it still ACTIVE beside a more worthy one that it hears?
    #[allow(clippy::too_many_arguments)] // one moment seen by one reader: they belong together
    pub fn done(
        &mut self,
        now: Us,
        reader: usize,
        is_active: bool,
        clock: Instant,
        all: &[Status],
        bounds: &Bounds,
        out: &mut Option<Violation>,
    ) {
        let outdone = is_active
            && self.fresh(reader, clock).any(|(writer, word)| {
                word.said.state == State::Active && all[writer].candidate > all[reader].candidate
            });
        let since = &mut self.readers[reader].outdone_since;
        if !outdone {
            *since = None;
            return;
        }
        let since = *since.get_or_insert(now);
        if since + bounds.interval + 4 * bounds.local < now {
            blame(out, Rule::Yield, now, || {
                format!("{reader} has known of a more worthy owner for {} and is ACTIVE", span(since, now))
            });
        }
    }

    /// A STANDBY takes the address.
    pub fn takes(&mut self, now: Us, reader: usize, clock: Instant, all: &[Status], out: &mut Option<Violation>) {
        let active = self.fresh(reader, clock).find(|(_, word)| word.said.state == State::Active);
        if let Some((writer, word)) = active {
            let silence = clock.since(word.heard_at);
            blame(out, Rule::Knowledge, now, || {
                format!("{reader} takes the address {silence} after {writer} said that it was ACTIVE")
            });
        }
        let mine = all[reader].candidate;
        let ready = self.fresh(reader, clock).find(|(writer, word)| {
            let is_eligible = word.said.state == State::Standby && word.said.worthiness > 0;
            is_eligible && word.said.flags.has(Flags::READY) && all[*writer].candidate > mine
        });
        self.readers[reader].passed_over = ready.map(|(writer, _)| writer);
    }

    /// A node got ACTIVE for this reason.
    pub fn got_active(&self, now: Us, reader: usize, reason: Reason, out: &mut Option<Violation>) {
        let is_vacant = matches!(reason, Reason::Silent { .. } | Reason::Nobody { .. } | Reason::Resigned { .. });
        if let Some(better) = self.readers[reader].passed_over.filter(|_| is_vacant) {
            blame(out, Rule::Order, now, || format!("{reader} takes the address though {better} is ready ({reason})"));
        }
    }

    fn fresh(&self, reader: usize, clock: Instant) -> impl Iterator<Item = (usize, &Word)> {
        let row = &self.last[reader * self.nodes..][..self.nodes];
        let words = row.iter().enumerate().filter_map(|(writer, word)| word.as_ref().map(|word| (writer, word)));
        words.filter(move |(_, word)| clock < word.heard_at + word.said.hold)
    }
}
