//! Never two owners, but for a stated reason and for a stated time.
//!
//! ```text
//!   lost packet a -> b        b takes           last lost packet
//!         |------ excuse ------->|=== two owners ======|--- overlap bound --->| must be one
//! ```

use super::{Rule, Status, Violation, blame, span};
use crate::bounds::Bounds;
use crate::time::{FOREVER, Us};

/// Pairs of owners, and what excuses them.
#[derive(Debug)]
pub struct Owners {
    nodes: usize,
    /// When a packet from one to the other was last missed.
    missed: Vec<Us>,
    /// What happened to a node itself; may lie ahead.
    odd: Vec<Us>,
    /// Until then no daemon looks after the address of a node; this excuses no beginning, but a late end.
    unattended: Vec<Us>,
    /// Until then the last heartbeat of a node may keep its fence open; for ever without a fence.
    open_until: Vec<Us>,
    /// When a node was last one of two owners.
    doubled: Vec<Us>,
    /// When a node last lost the address.
    lost: Vec<Option<Us>>,
    /// The nodes that may have handed the address to a node in a planned move, and that node itself.
    heir_of: Vec<Vec<usize>>,
    pairs: Vec<Pair>,
}

/// Two that have the address.
#[derive(Debug, Clone, Copy)]
struct Pair {
    a: usize,
    b: usize,
    since: Us,
    is_excused: bool,
    due: Us,
}

impl Owners {
    /// For this number of nodes.
    pub fn new(nodes: usize) -> Self {
        Self {
            nodes,
            missed: vec![0; nodes * nodes],
            odd: vec![0; nodes],
            unattended: vec![0; nodes],
            open_until: vec![FOREVER; nodes],
            doubled: vec![0; nodes],
            lost: vec![None; nodes],
            heir_of: (0..nodes).map(|node| vec![node]).collect(),
            pairs: Vec::new(),
        }
    }

    /// A packet was not handed in within the stated delay.
    pub fn missed(&mut self, now: Us, from: usize, to: usize) {
        self.missed[from * self.nodes + to] = now + 1;
    }

    /// True if a packet from one to the other was missed after `since`.
    pub fn missed_since(&self, since: Us, from: usize, to: usize) -> bool {
        self.missed[from * self.nodes + to] > since
    }

    /// A node jumped in time, or has an address that no daemon looks after and that may outlast a tolerance: until `until`.
    pub fn odd(&mut self, until: Us, node: usize) {
        self.odd[node] = self.odd[node].max(until.saturating_add(1));
    }

    /// True if a node jumped in time, or has an address that no daemon looks after, after `since`.
    pub fn was_odd_since(&self, since: Us, node: usize) -> bool {
        self.odd[node] > since
    }

    /// No daemon looks after the address that this node may have until `until`.
    pub fn unattended(&mut self, until: Us, node: usize) {
        self.unattended[node] = until;
    }

    /// Its daemon runs again: what lies ahead is no excuse any more.
    pub fn attended(&mut self, now: Us, node: usize) {
        self.odd[node] = self.odd[node].min(now + 1);
        self.unattended[node] = self.unattended[node].min(now);
    }

    /// A heartbeat of this node may keep its fence open until `until`; for ever without a fence.
    pub fn open(&mut self, until: Us, node: usize) {
        self.open_until[node] = until;
    }

    /// A machine slept, and its fence too.
    pub fn open_longer(&mut self, by: Us, node: usize) {
        self.open_until[node] = self.open_until[node].saturating_add(by);
    }

    /// A node got the address or lost it.
    pub fn changed(&mut self, now: Us, node: usize, all: &[Status], bounds: &Bounds, out: &mut Option<Violation>) {
        if !all[node].is_owner {
            self.look(now, bounds, out);
            self.lost[node] = Some(now);
            for pair in self.pairs.iter().filter(|pair| pair.a == node || pair.b == node) {
                self.doubled[pair.a] = now;
                self.doubled[pair.b] = now;
            }
            self.pairs.retain(|pair| pair.a != node && pair.b != node);
            return;
        }
        let has_just_lost = |other: usize| self.lost[other].is_some_and(|at| at + bounds.planned >= now);
        self.heir_of[node] = (0..self.nodes).filter(|&other| other == node || has_just_lost(other)).collect();
        for other in (0..self.nodes).filter(|&other| other != node && all[other].is_owner) {
            let reason = self.reason(node, other, bounds);
            // One of two owners died before they met: the heir of the living one inherits the dead one too.
            let doubled = self.doubled[other];
            let is_inherited = self.unattended[other] >= now && doubled > 0 && doubled + bounds.excuse >= now;
            // Whatever was lost: nobody may see this address any more.
            let is_shut = self.open_until[other] < now;
            let is_excused = !is_shut && (is_inherited || reason > 0 && reason.saturating_add(bounds.excuse) >= now);
            // A lease ends by one clock and a tolerance by another.
            let margin = if self.unattended[other] >= now { bounds.drift } else { 0 };
            let mut pair = Pair { a: other, b: node, since: now, is_excused, due: now + margin };
            if is_excused {
                pair.due = self.end(&pair, bounds);
            }
            self.pairs.push(pair);
        }
    }

    /// When to look next.
    pub fn due(&self) -> Us {
        self.pairs.iter().map(|pair| pair.due).min().unwrap_or(FOREVER)
    }

    /// Looks at all pairs.
    pub fn look(&mut self, now: Us, bounds: &Bounds, out: &mut Option<Violation>) {
        for index in 0..self.pairs.len() {
            let pair = self.pairs[index];
            if pair.due >= now {
                continue;
            }
            let Pair { a, b, since, is_excused, .. } = pair;
            if !is_excused {
                let rule = if bounds.quorum.is_some() { Rule::Quorum } else { Rule::TwoOwners };
                blame(out, rule, since, || format!("{b} got the address while {a} had it, without excuse"));
            }
            let due = self.end(&pair, bounds);
            self.pairs[index].due = due;
            if due < now {
                let last = self.reason(a, b, bounds);
                blame(out, Rule::Overlap, now, || {
                    format!("{a} and {b} both own it for {}, {} after the last miss", span(since, now), span(last, now))
                });
            }
        }
    }

    /// The last thing that excuses these two: a node that is handed the address is handed the excuses too.
    fn reason(&self, a: usize, b: usize, bounds: &Bounds) -> Us {
        let pairs = self.heir_of[a].iter().flat_map(|&a| self.heir_of[b].iter().map(move |&b| (a, b)));
        pairs.filter(|(a, b)| a != b).map(|(a, b)| self.direct_reason(a, b, bounds)).max().unwrap_or(0)
    }

    fn direct_reason(&self, a: usize, b: usize, bounds: &Bounds) -> Us {
        let odd = self.odd[a].max(self.odd[b]);
        if bounds.quorum.is_some() {
            return odd;
        }
        let there = self.missed[a * self.nodes + b];
        let back = self.missed[b * self.nodes + a];
        there.max(back).max(odd)
    }

    fn end(&self, pair: &Pair, bounds: &Bounds) -> Us {
        let unattended = self.unattended[pair.a].max(self.unattended[pair.b]);
        let open_until = self.open_until[pair.a].min(self.open_until[pair.b]);
        let met_by = self.reason(pair.a, pair.b, bounds).max(pair.since).max(unattended).saturating_add(bounds.overlap);
        met_by.min(open_until)
    }
}
