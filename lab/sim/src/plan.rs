//! The whole of a run, drawn from its seed before it starts: nodes, network, faults.
//!
//! Phase one breaks things; at `heal_at` every fault but a departure is over, and phase two watches the LAN come to rest.

use std::fmt;
use std::net::Ipv4Addr;

use ha::config::{Cidr, Config, ConfigError, OnConflict, Params};
use ha::time::Duration;

use crate::bounds::Bounds;
use crate::draw;
use crate::fault::{Fault, Span, Time, What};

/// Microseconds: of virtual time since the start of the run, or of a span.
pub type Us = u64;

/// Everything that a run is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// What kind of faults.
    pub regime: Regime,
    /// The nodes share a secret key.
    pub keyed: bool,
    /// The switches drop ARP probes, as dynamic ARP inspection may.
    pub is_inspected: bool,
    /// A router answers ARP for everybody (proxy ARP).
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
}

/// The daemon's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Higher is more worthy.
    pub worthiness: u16,
    /// Not claimed from.
    pub sticky: bool,
    /// Be ACTIVE only while so many nodes are alive.
    pub quorum: u8,
    /// Ask an ACTIVE that is overdue.
    pub suspicion: bool,
    /// The kernel removes the address by itself.
    pub lease: bool,
    /// What to do about an address that is in use by somebody who is not heard.
    pub on_conflict: OnConflict,
    /// How often to speak.
    pub interval: Us,
    /// How long to wait.
    pub tolerance: Us,
    /// How long to be up before claiming.
    pub preempt_delay: Us,
    /// How long a link may be deaf after it came up.
    pub link_delay: Us,
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
    /// The plan of this seed.
    pub fn draw(seed: u64, minutes: u64) -> Self {
        draw::plan(seed, minutes)
    }

    /// So many nodes with the daemon's defaults, the first the most worthy, on a quick LAN without faults.
    pub fn plain(nodes: u16, minutes: u64) -> Self {
        let plain = |n: u16| NodePlan {
            is_present: true,
            settings: Settings { worthiness: 1_000 - n, ..Settings::default() },
            starts_at: 0,
            ppm: 0,
            keeper: 0,
            wake: 0,
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

    /// What may be expected of this run.
    pub fn bounds(&self) -> Bounds {
        Bounds::of(self)
    }
}

/// The daemon's.
impl Default for Settings {
    fn default() -> Self {
        Self {
            worthiness: 100,
            sticky: false,
            quorum: 0,
            suspicion: true,
            lease: true,
            on_conflict: OnConflict::Hold,
            interval: 1_000_000,
            tolerance: 3_500_000,
            preempt_delay: 3_500_000,
            link_delay: 10_000_000,
        }
    }
}

impl Settings {
    /// The daemon's, but asks nobody before it takes over: neither the owner, nor the LAN by ARP with any effect.
    pub fn unasking() -> Self {
        Self { suspicion: false, lease: false, on_conflict: OnConflict::Take, ..Self::default() }
    }

    /// As the daemon takes them.
    ///
    /// # Errors
    /// The daemon would refuse them.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let us = Duration::from_micros;
        let mut params = Params {
            worthiness: self.worthiness,
            sticky: self.sticky,
            quorum: self.quorum,
            suspicion: self.suspicion,
            lease: self.lease,
            on_conflict: self.on_conflict,
            interval: us(self.interval),
            tolerance: us(self.tolerance),
            preempt_delay: Some(us(self.preempt_delay)),
            link_delay: us(self.link_delay),
            ..Params::default()
        };
        params.addresses.push(Cidr::new(SHARED, 16)).expect("room for one address");
        Config::new(params)
    }
}

/// The shared address.
pub const SHARED: Ipv4Addr = Ipv4Addr::new(10, 9, 255, 1);

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worthiness, sticky, quorum, suspicion, lease, on_conflict, .. } = *self;
        let Self { interval, tolerance, preempt_delay, link_delay, .. } = *self;
        write!(f, "worthiness {worthiness}, interval {}, tolerance {}, ", Span(interval), Span(tolerance))?;
        write!(f, "preempt-delay {}, link-delay {}", Span(preempt_delay), Span(link_delay))?;
        if sticky {
            f.write_str(", sticky")?;
        }
        if quorum > 0 {
            write!(f, ", quorum {quorum}")?;
        }
        if !suspicion {
            f.write_str(", no suspicion")?;
        }
        if on_conflict == OnConflict::Take {
            f.write_str(", on-conflict take")?;
        }
        if lease { Ok(()) } else { f.write_str(", no-lease") }
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
            let NodePlan { settings, starts_at, ppm, keeper, wake, .. } = node;
            writeln!(
                f,
                "  node {n}: starts at {}, {settings}; clock {ppm:+} ppm, keeper {}, wakes in {}",
                Time(*starts_at),
                Span(*keeper),
                Span(*wake)
            )?;
        }
        for fault in &self.faults {
            writeln!(f, "  {fault}")?;
        }
        Ok(())
    }
}
