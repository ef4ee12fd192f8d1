//! The conditions of one run: how many nodes, how fast, and for how long.

use std::time::Duration;

use crate::timing::Timing;

/// The conditions of one run of a scenario.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Interval and tolerance of the nodes.
    pub timing: Timing,
    /// How many nodes there are.
    pub nodes: u8,
    /// Which run of how many, from 1: the event of each begins at another point between two heartbeats.
    pub number: u32,
    /// How many runs of this scenario there are.
    pub of: u32,
    /// How long its parts last.
    pub extent: Extent,
}

/// How long the parts of a scenario last, or how often they are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// How long a freeze or a partition lasts.
    pub pause: Duration,
    /// How long to watch the nodes at rest.
    pub rest: Duration,
    /// How many restarts.
    pub restarts: u32,
    /// How long an attack lasts.
    pub attack: Duration,
    /// How often daemons take turns when they are compared.
    pub turns: u32,
    /// How long each of them is measured in its turn.
    pub turn: Duration,
    /// How long it is left alone before that.
    pub settle: Duration,
}

impl Extent {
    /// For figures to be published.
    pub const FULL: Self = Self {
        pause: Duration::from_secs(10),
        rest: Duration::from_secs(60),
        restarts: 100,
        attack: Duration::from_secs(60), // a flood of four kinds
        turns: 3,
        turn: Duration::from_secs(5),
        settle: Duration::from_secs(8), // an owner's last announcement follows the first by 7 s
    };
    /// For CI.
    pub const SHORT: Self = Self {
        pause: Duration::from_secs(10),
        rest: Duration::from_secs(10),
        restarts: 10,
        attack: Duration::from_secs(6),
        turns: 1,
        turn: Duration::from_secs(1),
        settle: Duration::from_millis(500),
    };
}
