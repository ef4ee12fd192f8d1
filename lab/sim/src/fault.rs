//! What happens to a LAN: every fault begins, lasts, and ends by itself, so that any of them can be left out of a plan.

use std::fmt;

use crate::settings::Settings;
use crate::time::{FOREVER, Span, Time, Us};

/// Something that happens to the LAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub at: Us,
    /// How long it lasts; [`FOREVER`] for what is never undone.
    pub lasts: Us,
    /// What.
    pub what: What,
}

/// What may happen. Nodes are numbers; `n` is the one it happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The process is killed; the kernel still has what it had. Started anew at the end.
    Kill(usize),
    /// The keeper is killed, and the worker ends. Started anew at the end.
    Orphan(usize),
    /// The machine loses power. On again at the end.
    Power(usize),
    /// The daemon has to stop. Started anew at the end, with these settings if there are any.
    Stop(usize, Option<Settings>),
    /// The process is not scheduled, the kernel is.
    Freeze(usize),
    /// The whole machine does not run. `clock_runs`: it sees afterwards how long that was.
    Pause {
        /// Whose.
        n: usize,
        /// Its clock counts the pause.
        clock_runs: bool,
    },
    /// The clock jumps.
    Jump {
        /// Whose.
        n: usize,
        /// By how many microseconds.
        by: i64,
    },
    /// No carrier; afterwards the port is deaf and dumb for a while.
    Carrier {
        /// Whose.
        n: usize,
        /// For how long it is deaf after it came up.
        deaf: Us,
    },
    /// Another program removes the shared address.
    Steal(usize),
    /// The hardware address changes.
    NewMac(usize),
    /// A stranger claims the address by ARP, once.
    Claim,
    /// The kernel refuses the address.
    Refuse(usize),
    /// Nothing gets from one to the other.
    Cut {
        /// From here.
        from: usize,
        /// To there.
        to: usize,
    },
    /// It hears no other node.
    Deaf(usize),
    /// No other node hears it.
    Dumb(usize),
    /// Those with their bit set and those without do not hear each other. The bit after the last node is the client's.
    Split(u64),
    /// All links lose this many packets in a million.
    Noise(u32),
    /// All packets take longer, by up to this.
    Slow(Us),
    /// An attacker without the key plays back packets of long ago.
    Replay {
        /// Between two packets.
        every: Us,
    },
}

impl What {
    /// The node that it happens to, if that is one.
    pub fn node(&self) -> Option<usize> {
        match *self {
            Self::Kill(n)
            | Self::Orphan(n)
            | Self::Power(n)
            | Self::Stop(n, _)
            | Self::Freeze(n)
            | Self::Pause { n, .. }
            | Self::Jump { n, .. }
            | Self::Carrier { n, .. }
            | Self::Steal(n)
            | Self::NewMac(n)
            | Self::Refuse(n)
            | Self::Deaf(n)
            | Self::Dumb(n) => Some(n),
            Self::Claim | Self::Cut { .. } | Self::Split(_) | Self::Noise(_) | Self::Slow(_) | Self::Replay { .. } => {
                None
            }
        }
    }

    /// True for what happens in a moment and has no end.
    pub fn is_momentary(&self) -> bool {
        matches!(self, Self::Jump { .. } | Self::Steal(_) | Self::NewMac(_) | Self::Claim)
    }
}

/// `node 2 loses power`.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Kill(n) => write!(f, "node {n} is killed"),
            Self::Orphan(n) => write!(f, "the keeper of node {n} is killed"),
            Self::Power(n) => write!(f, "node {n} loses power"),
            Self::Stop(n, None) => write!(f, "node {n} is told to stop"),
            Self::Stop(n, Some(settings)) => write!(f, "node {n} is restarted with {settings}"),
            Self::Freeze(n) => write!(f, "node {n} freezes"),
            Self::Pause { n, clock_runs: true } => write!(f, "machine {n} sleeps"),
            Self::Pause { n, clock_runs: false } => write!(f, "machine {n} sleeps and its clock too"),
            Self::Jump { n, by } => write!(f, "the clock of node {n} jumps by {by} us"),
            Self::Carrier { n, deaf } => write!(f, "node {n} loses its carrier, then is deaf for {}", Span(deaf)),
            Self::Steal(n) => write!(f, "somebody removes the address from node {n}"),
            Self::NewMac(n) => write!(f, "the hardware address of node {n} changes"),
            Self::Claim => f.write_str("a stranger claims the address"),
            Self::Refuse(n) => write!(f, "the kernel of node {n} refuses the address"),
            Self::Cut { from, to } => write!(f, "node {to} does not hear node {from}"),
            Self::Deaf(n) => write!(f, "node {n} hears nobody"),
            Self::Dumb(n) => write!(f, "nobody hears node {n}"),
            Self::Split(mask) => write!(f, "the LAN is split, {mask:b} from the rest"),
            Self::Noise(ppm) => write!(f, "{} % of packets are lost", f64::from(ppm) / 10_000.0),
            Self::Slow(by) => write!(f, "packets take up to {} longer", Span(by)),
            Self::Replay { every } => write!(f, "recorded packets are played back each {}", Span(every)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Time(self.at), self.what)?;
        if self.what.is_momentary() {
            return Ok(());
        }
        if self.lasts >= FOREVER { f.write_str(", for good") } else { write!(f, ", for {}", Span(self.lasts)) }
    }
}
