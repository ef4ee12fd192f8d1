//! The whole of a run, drawn from its seed before it starts: nodes, network, faults.
//!
//! Phase one breaks things; at `heal_at` every fault but a departure is over, and phase two watches the LAN come to rest.

use std::fmt;

use crate::fault::{Fault, What};
use crate::settings::Settings;
use crate::time::{Span, Time, Us};

/// Everything that a run is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// What kind of faults.
    pub regime: Regime,
    /// The nodes share a secret key.
    pub keyed: bool,
    /// The switches drop probes, as those may that inspect ARP and Neighbour Discovery.
    pub is_inspected: bool,
    /// A router answers ARP for every address (proxy ARP).
    pub has_router: bool,
    /// The nodes.
    pub nodes: Vec<NodePlan>,
    /// The LAN between them.
    pub net: Net,
    /// In the order of their beginning.
    pub faults: Vec<Fault>,
    /// The beginning of phase two.
    pub heal_at: Us,
    /// The end of the run.
    pub end: Us,
}

/// What kind of faults a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Regime {
    /// None at all.
    Calm,
    /// Only what a person orders: stop, restart, other settings.
    Planned,
    /// One fault of one node after the other; the LAN itself is perfect.
    Clean,
    /// The same and partitions, with a quorum of more than half of the nodes.
    Parted,
    /// Everything.
    Wild,
}

/// One machine with its daemon.
#[derive(Debug, Clone)]
pub struct NodePlan {
    /// Shrinking leaves nodes out without giving the others new numbers.
    pub is_present: bool,
    /// The daemon's settings until a restart brings others.
    pub settings: Settings,
    /// When the daemon starts.
    pub starts_at: Us,
    /// How much faster its clock runs, in millionths.
    pub ppm: i64,
    /// How long the keeper takes to add or remove the address; 0: it answers within the call, as the shell does.
    pub keeper: Us,
    /// From an event to the process running.
    pub wake: Us,
    /// The kernel can make a fence, and counts its time in ticks of this length.
    pub fence: Option<Us>,
}

/// The LAN when nothing is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    /// Longest constant delay of a link.
    pub delay: Us,
    /// What a packet may take longer, at most.
    pub jitter: Us,
    /// Lost packets in a million.
    pub loss_ppm: u32,
    /// Packets in a million that arrive twice, the second time up to [`LATEST_COPY`] later.
    pub twice_ppm: u32,
    /// Packets in a million that arrive damaged.
    pub damage_ppm: u32,
}

/// The second coming of a packet is at most this much later.
pub const LATEST_COPY: Us = 3_000_000;

impl Plan {
    /// Nodes with the daemon's defaults, the first the most worthy, on a quick LAN without faults.
    pub fn plain(nodes: u16, minutes: u64) -> Self {
        let plain = |n: u16| NodePlan {
            is_present: true,
            settings: Settings { worthiness: 1_000 - n, ..Settings::default() },
            starts_at: 0,
            ppm: 0,
            keeper: 0,
            wake: 0,
            fence: None,
        };
        let net = Net { delay: 200, jitter: 0, loss_ppm: 0, twice_ppm: 0, damage_ppm: 0 };
        let nodes = (0..nodes).map(plain).collect();
        let end = minutes * 60_000_000;
        let (keyed, is_inspected, has_router) = (false, false, false);
        Self {
            seed: 0,
            regime: Regime::Planned,
            keyed,
            is_inspected,
            has_router,
            nodes,
            net,
            faults: Vec::new(),
            heal_at: end,
            end,
        }
    }

    /// The same with something that happens at `at`, later than everything before.
    #[must_use]
    pub fn with(mut self, at: Us, lasts: Us, what: What) -> Self {
        self.faults.push(Fault { at, lasts, what });
        self
    }

    /// All settings that any node ever has.
    pub fn all_settings(&self) -> impl Iterator<Item = &Settings> {
        let later = self.faults.iter().filter_map(|fault| match &fault.what {
            What::Stop(_, settings) => settings.as_ref(),
            _ => None,
        });
        self.nodes.iter().filter(|node| node.is_present).map(|node| &node.settings).chain(later)
    }
}

/// Every drawn setting.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Net { delay, jitter, loss_ppm, twice_ppm, damage_ppm } = self.net;
        writeln!(
            f,
            "seed {} {:?}{}{}{}, phase two at {}, end {}",
            self.seed,
            self.regime,
            if self.keyed { " keyed" } else { "" },
            if self.is_inspected { " without probes" } else { "" },
            if self.has_router { " beside a router that answers for everybody" } else { "" },
            Time(self.heal_at),
            Time(self.end)
        )?;
        writeln!(
            f,
            "  net: delay up to {}, jitter up to {}, lost {loss_ppm} ppm, twice {twice_ppm} ppm, damaged {damage_ppm} ppm",
            Span(delay),
            Span(jitter)
        )?;
        for (n, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_present) {
            let NodePlan { settings, starts_at, ppm, keeper, wake, fence, .. } = node;
            writeln!(
                f,
                "  node {n}: starts at {}, {settings}; clock {ppm:+} ppm, keeper {}, wakes in {}{}",
                Time(*starts_at),
                Span(*keeper),
                Span(*wake),
                fence.map_or_else(String::new, |grain| format!(", fence by {}", Span(grain)))
            )?;
        }
        for fault in &self.faults {
            writeln!(f, "  {fault}")?;
        }
        Ok(())
    }
}
