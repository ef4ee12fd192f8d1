//! The rules that must hold, each one sentence, each with a checker that is fed facts and knows nothing of the core.
//!
//! The facts are those of the world: which node has the address, which could host, what was sent, handed in, or lost. So a
//! wrong core cannot talk a checker into believing it. Trouble is any fault, its end, or a packet that was not handed in
//! within the stated delay.

use std::cmp::Reverse;
use std::fmt;

use ha::wire::{Heartbeat, NodeId};

use crate::bounds::Bounds;
use crate::time::{FOREVER, Span, Time, Us};

pub mod duties;
pub mod owners;
pub mod reports;
pub mod rest;
pub mod words;

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// See [`Rule::sentence`], here and below.
    TwoOwners,
    /// Two owners in spite of a quorum.
    Quorum,
    /// Two owners for too long.
    Overlap,
    /// Rest.
    Rest,
    /// Quiet.
    Quiet,
    /// Moves.
    Moves,
    /// Gap.
    Gap,
    /// The client.
    Cache,
    /// Takes.
    Knowledge,
    /// Order of takes.
    Order,
    /// Listening before a take.
    Patience,
    /// Yields.
    Yield,
    /// Sequence numbers.
    Sequence,
    /// Truth of words.
    Truth,
    /// Changes.
    Change,
    /// Silence of the unfit.
    Silence,
    /// Number of packets.
    Flood,
    /// Address without duty.
    Duty,
    /// Announcements.
    Announce,
    /// What opens a fence.
    Fence,
    /// Reports.
    Report,
    /// Wake-ups.
    Spin,
    /// Panics.
    Panic,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; Self::Panic as usize + 1] = [
        Self::TwoOwners,
        Self::Quorum,
        Self::Overlap,
        Self::Rest,
        Self::Quiet,
        Self::Moves,
        Self::Gap,
        Self::Cache,
        Self::Knowledge,
        Self::Order,
        Self::Patience,
        Self::Yield,
        Self::Sequence,
        Self::Truth,
        Self::Change,
        Self::Silence,
        Self::Flood,
        Self::Duty,
        Self::Announce,
        Self::Fence,
        Self::Report,
        Self::Spin,
        Self::Panic,
    ];

    /// The rule.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::TwoOwners => {
                "Two nodes have the address at once only if a packet between them was lost or late, a clock jumped, or a \
                 machine slept, within a tolerance and two intervals before."
            }
            Self::Quorum => {
                "With a quorum of more than half of the nodes no partition that lasts is an excuse for two owners."
            }
            Self::Overlap => {
                "Two owners are one again within two intervals and three one-way delays of the last lost packet between them, and \
                 when the hold of the last heartbeat of one behind a fence, less an interval, is over."
            }
            Self::Rest => {
                "Link delay, three tolerances and four intervals after the last trouble exactly one node has the address: the \
                 most worthy fit one, or a sticky one."
            }
            Self::Quiet => "At rest no node loses the address and no node gets it.",
            Self::Moves => {
                "One fault alone moves the address at most once, and not at all if it hits neither the owner nor a more worthy node."
            }
            Self::Gap => {
                "No node has the address for at most two one-way delays after a stop or in a hand-over, and for at most the \
                 tolerance after the owner fell silent."
            }
            Self::Cache => {
                "At rest, and 1.2 s after the move that one fault alone caused, the client knows the owner's hardware address."
            }
            Self::Knowledge => {
                "No node takes the address within the hold of an ACTIVE's last heartbeat, or, unless `on-conflict take` says so, when \
                 an owner has just answered its probe."
            }
            Self::Order => "A node that knows of a more worthy one that is ready does not take a vacant address.",
            Self::Patience => {
                "A node takes a vacant address only after it has listened for its tolerance, which begins with the first packet \
                 or the end of the link delay if the link came up while the daemon ran."
            }
            Self::Yield => {
                "An ACTIVE that hears a more worthy ACTIVE for a tolerance, or a less worthy one follow itself for its hold, has \
                 released the address."
            }
            Self::Sequence => "Sequence numbers grow by one with every packet of a boot.",
            Self::Truth => "A packet says what is: a node that does not say ACTIVE does not have the address.",
            Self::Change => {
                "A node sends a packet with its new state at once when that changes, unless it only gets fit."
            }
            Self::Silence => {
                "A node that has no link or has shut down sends four packets at most, and its responses as long as it has a link."
            }
            Self::Flood => "A node sends a packet each interval at rest, and a bounded number always.",
            Self::Duty => "Only an ACTIVE has the address, and a daemon that has ended leaves none behind.",
            Self::Announce => "Only a node that has the address announces it.",
            Self::Fence => {
                "A node opens its fence only after the kernel has added the address, and not again when the hold of its last packet \
                 as ACTIVE, less an interval, is over."
            }
            Self::Report => {
                "A node reports every change of its state, and that it has put the address back: at once, but ten seconds after \
                 the last time at the earliest."
            }
            Self::Spin => "A tick leaves no deadline in the past.",
            Self::Panic => "Nothing panics and no list overflows.",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}: {}", self.sentence())
    }
}

/// A rule was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// When.
    pub at: Us,
    /// How.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", Time(self.at), self.text, self.rule)
    }
}

/// What the world knows of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// It answers for the address.
    pub is_owner: bool,
    /// It should be able to host.
    pub is_fit: bool,
    /// Its kernel refused the address, and it may try again at any time.
    pub is_doubtful: bool,
    /// It may have the address for ever, and no daemon runs that could remove it.
    pub is_stray: bool,
    /// It can speak and hear.
    pub can_talk: bool,
    /// What its kernel has nobody sees any more when it has been silent for a while.
    pub is_fenced: bool,
    /// Other nodes do not claim from it.
    pub is_sticky: bool,
    /// Its place in the election.
    pub rank: Rank,
    /// Its hardware address.
    pub mac: u64,
}

/// A place in the election: higher worthiness first, then the lower address. Not the core's order, which may be wrong.
pub type Rank = (u16, Reverse<NodeId>);

/// The place of the sender.
fn rank(said: &Heartbeat) -> Rank {
    (said.worthiness, Reverse(said.node))
}

/// All checkers.
#[derive(Debug)]
pub struct Checks {
    /// The bounds of this run.
    pub bounds: Bounds,
    /// What the world knows.
    pub all: Vec<Status>,
    /// The first rule that was broken.
    pub violation: Option<Violation>,
    /// Two owners.
    pub owners: owners::Owners,
    /// Rest, moves, gaps, and the client.
    pub rest: rest::Rest,
    /// What nodes know.
    pub words: words::Words,
    /// What nodes send.
    pub duties: duties::Duties,
    /// What nodes report to their users.
    pub reports: reports::Reports,
}

impl Checks {
    /// For these nodes.
    pub fn new(bounds: Bounds, all: Vec<Status>, keyed: bool) -> Self {
        Self {
            bounds,
            violation: None,
            owners: owners::Owners::new(all.len()),
            rest: rest::Rest::default(),
            words: words::Words::new(all.len(), keyed),
            duties: duties::Duties::new(all.len()),
            reports: reports::Reports::new(all.len()),
            all,
        }
    }

    /// What the world knows of this node now.
    pub fn update(&mut self, now: Us, node: usize, status: Status) {
        let before = std::mem::replace(&mut self.all[node], status);
        if before == status {
            return;
        }
        if before.is_owner != status.is_owner {
            self.owners.changed(now, node, &self.all, &self.bounds, &mut self.violation);
            self.rest.changed(now, node, &self.all, &self.bounds, &mut self.violation);
        }
    }

    /// Something happened to the LAN or to a node.
    pub fn trouble(&mut self, now: Us, kind: rest::Trouble) {
        self.rest.trouble(now, kind, &self.all, &self.bounds);
    }

    /// When the next check is due.
    pub fn due(&self) -> Us {
        if self.violation.is_some() { FOREVER } else { self.owners.due().min(self.rest.due()) }
    }

    /// Looks at what is due.
    pub fn look(&mut self, now: Us) {
        self.owners.look(now, &self.bounds, &mut self.violation);
        self.rest.look(now, &self.all, &self.bounds, &mut self.violation);
    }
}

/// Only the first counts.
pub fn blame(violation: &mut Option<Violation>, rule: Rule, at: Us, text: impl FnOnce() -> String) {
    if violation.is_none() {
        *violation = Some(Violation { rule, at, text: text() });
    }
}

/// `12.3ms`, for a violation's text.
pub fn span(from: Us, to: Us) -> Span {
    Span(to.saturating_sub(from))
}
