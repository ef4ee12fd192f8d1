//! What a node says and does by itself: true words, few packets, and no address without being ACTIVE.

use ha::wire::{Heartbeat, Kind, State};

use super::{Rule, Violation, blame};
use crate::time::Us;

/// One account for each node.
#[derive(Debug)]
pub struct Duties {
    senders: Vec<Sender>,
    /// Packets of all, for the statistics.
    pub sent: u64,
    /// Most packets that one node sent in an interval, for the statistics.
    pub most: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sender {
    boot: u64,
    seq: u64,
    state: Option<State>,
    /// When it sent that last.
    sent_at: Us,
    /// Packets of this state that nobody asked for, since it has had no link or has been shut down.
    last_words: u32,
    /// Packets since `window`, and what called for answers meanwhile.
    sent: u64,
    calls: u64,
    /// Packets that call for proof, or for a proof.
    doubts: u64,
    window: Us,
    /// The kernel has added the address, and it was not ordered to remove it.
    is_added: bool,
}

/// A packet and what was true when it was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// Who.
    pub node: usize,
    /// What.
    pub said: &'a Heartbeat,
    /// The states of the core before and after the input that made it speak.
    pub states: [State; 2],
    /// The kernel has the address.
    pub has_address: bool,
    /// The core heard that it has a link.
    pub has_link: bool,
    /// There has been no trouble for long.
    pub is_calm: bool,
}

impl Duties {
    /// For this number of nodes.
    pub fn new(nodes: usize) -> Self {
        Self { senders: vec![Sender::default(); nodes], sent: 0, most: 0 }
    }

    /// A node was handed a packet, or its state changed: it may have to answer.
    pub fn called(&mut self, node: usize, times: u64) {
        self.senders[node].calls += times;
    }

    /// A node was handed a packet of a boot that it cannot know, or a challenge: it may ask, and answer.
    pub fn doubted(&mut self, node: usize) {
        self.senders[node].doubts += DOUBT;
    }

    /// The keeper has added the address, or was told to remove it.
    pub fn added(&mut self, node: usize, is_added: bool) {
        self.senders[node].is_added = is_added;
    }

    /// A packet opens a node's fence.
    pub fn opened(&self, now: Us, node: usize, out: &mut Option<Violation>) {
        if !self.senders[node].is_added {
            blame(out, Rule::Fence, now, || format!("{node} opens its fence before the kernel has added the address"));
        }
    }

    /// A node sends.
    pub fn sent(&mut self, now: Us, sent: &Sent<'_>, out: &mut Option<Violation>) {
        self.sent += 1;
        let Sent { node, said, states, has_address, has_link, is_calm } = *sent;
        let sender = &mut self.senders[node];
        let is_same_boot = said.boot == sender.boot;
        let expected = if is_same_boot { sender.seq + 1 } else { 1 };
        if said.seq != expected {
            blame(out, Rule::Sequence, now, || format!("{node} sends packet {} after {}", said.seq, sender.seq));
        }
        (sender.boot, sender.seq) = (said.boot, said.seq);
        if !states.contains(&said.state) || (said.state != State::Active && has_address) {
            blame(out, Rule::Truth, now, || {
                let has = if has_address { "has" } else { "does not have" };
                format!("{node} says {} while it is {} and {has} the address", said.state, states[1])
            });
        }
        let is_leaving = said.state == State::Shutdown || !has_link;
        let is_more = is_leaving && is_same_boot && sender.state == Some(said.state);
        // Until its address is gone a node hears, and what it responds lets others believe that it leaves.
        let is_asked_for = said.kind == Kind::Response && has_link;
        sender.last_words = match (is_more, is_asked_for) {
            (true, true) => sender.last_words,
            (true, false) => sender.last_words + 1,
            (false, _) => is_leaving.into(),
        };
        (sender.state, sender.sent_at) = (Some(said.state), now);
        if sender.last_words > LAST_WORDS {
            blame(out, Rule::Silence, now, || format!("{node} sends {} packets after its end", sender.last_words));
        }
        let interval = said.interval.as_micros();
        if now >= sender.window + interval {
            (sender.window, sender.sent, sender.calls) = (now, 0, 0);
            // It may be what the last packet calls for.
            sender.doubts = sender.doubts.min(DOUBT);
        }
        sender.sent += 1;
        self.most = self.most.max(sender.sent);
        let allowed = sender.doubts + if is_calm { AT_REST } else { BUSY + sender.calls };
        if sender.sent > allowed {
            blame(out, Rule::Flood, now, || {
                format!("{node} sends packet {} within an interval, {allowed} are allowed", sender.sent)
            });
        }
    }

    /// A packet says in the name of a node that dies that the address is gone.
    pub fn last_word(&self, now: Us, node: usize, has_address: bool, out: &mut Option<Violation>) {
        if has_address {
            blame(out, Rule::Truth, now, || format!("{node} resigns with its last word and has the address"));
        }
    }

    /// A node reports that its state has changed: it has just said so to the others, or, if it `is_fenced`, before the keeper was
    /// done. One that gets fit says so with its next tick.
    pub fn changed(&self, now: Us, node: usize, [from, to]: [State; 2], is_fenced: bool, out: &mut Option<Violation>) {
        let Sender { state, sent_at, .. } = self.senders[node];
        let is_said = state == Some(to) && (sent_at == now || is_fenced && to != State::Active);
        if from != State::Unfit && !is_said {
            blame(out, Rule::Change, now, || format!("{node} does not say that it is {to}"));
        }
    }

    /// After everything that a node did at `now`.
    pub fn done(&self, now: Us, node: usize, state: Option<State>, has_address: bool, out: &mut Option<Violation>) {
        if has_address && state != Some(State::Active) {
            let state = state.map_or_else(|| "gone".to_owned(), |state| state.to_string());
            blame(out, Rule::Duty, now, || format!("{node} has the address and is {state}"));
        }
    }

    /// A node announces the address.
    pub fn announced(&self, now: Us, node: usize, has_address: bool, out: &mut Option<Violation>) {
        if !has_address {
            blame(out, Rule::Announce, now, || format!("{node} announces the address and does not have it"));
        }
    }

    /// A tick left a deadline in the past, for the `times`th time in a row.
    pub fn spun(&self, now: Us, node: usize, times: u32, out: &mut Option<Violation>) {
        if times > MOST_SPINS {
            blame(out, Rule::Spin, now, || format!("{node} has had {times} wake-ups at once"));
        }
    }
}

/// A change is said three times; a freeze meanwhile may make a beat due as well.
const LAST_WORDS: u32 = 4;

/// A question, and an answer.
const DOUBT: u64 = 2;

/// One beat, and one at the window's edge.
const AT_REST: u64 = 2;

/// Six questions an interval to an ACTIVE that is overdue, or four claims; what a change before the window left.
const BUSY: u64 = 2 * AT_REST + 6 + 2;

/// A second tick at the same moment is normal after an answer.
const MOST_SPINS: u32 = 5;
