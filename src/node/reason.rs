//! Why something happened, in words that a log keeps stable.

use core::fmt;
use core::net::IpAddr;

use crate::counters::Drop;
use crate::neighbours::Coverage;
use crate::time::Duration;
use crate::wire::arp::{HexMac, Mac};
use crate::wire::{NodeId, State};

/// Why the state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The ACTIVE fell silent.
    Silent {
        /// That node.
        peer: NodeId,
        /// For how long.
        silence: Duration,
    },
    /// Nobody was ACTIVE while we listened.
    Nobody {
        /// For how long.
        listened: Duration,
    },
    /// The ACTIVE let go.
    Resigned {
        /// That node.
        peer: NodeId,
        /// What it is now.
        state: State,
    },
    /// The ACTIVE named us as its successor.
    HandedOver {
        /// That node.
        peer: NodeId,
    },
    /// A more worthy node claimed the address.
    Claimed {
        /// That node.
        peer: NodeId,
    },
    /// A more worthy node is ACTIVE too.
    Outdone {
        /// That node.
        peer: NodeId,
    },
    /// A less worthy node is ACTIVE too and evidently does not hear us.
    Unheard {
        /// That node.
        peer: NodeId,
        /// For how long.
        unheard: Duration,
    },
    /// Too few nodes are alive.
    Quorum {
        /// How many, this one included.
        alive: usize,
        /// How many it takes.
        needed: u8,
    },
    /// The successor that we named stayed silent.
    SuccessorSilent {
        /// That node.
        peer: NodeId,
    },
    /// The process did not run for longer than the lease.
    Slept {
        /// For how long.
        gap: Duration,
    },
    /// A host that is not heard took the address at the same moment.
    Collided {
        /// Its hardware address.
        mac: Mac,
    },
    /// This node can host, or could again.
    Fit {
        /// Its own address.
        node: NodeId,
    },
    /// This node cannot host.
    Unfit(Unfit),
    /// This node is to leave.
    Shutdown,
}

/// Why a node cannot host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// The interface does not exist.
    NoInterface,
    /// Another interface has its name now.
    Exchanged,
    /// The kernel does not say how the interface is.
    Unknown,
    /// The interface does no ARP.
    NoArp,
    /// The interface is down or has no carrier.
    NoCarrier,
    /// The interface has no address of its own.
    NoAddress,
    /// The interface has none of IPv6 from which heartbeats could go out.
    NoAddressV6,
    /// The kernel does not know yet whether another host has its own address, too (RFC 4862 section 5.4).
    Tentative,
    /// Another host has it.
    Duplicate,
    /// The interface has a shared address alone: that is not taken away.
    OnlyAddress,
    /// A shared address is the network or the broadcast address of an address of the interface.
    NotHost,
    /// No sockets could be opened on the interface.
    NoSockets,
    /// The fence, which is required, cannot be loaded.
    NoFence,
    /// Its own address is another one now.
    Readdressed,
    /// The kernel refused the shared address.
    Refused,
}

/// Something to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// A peer was heard for the first time.
    Met {
        /// That node.
        peer: NodeId,
    },
    /// A peer was not heard for its hold: it counts as dead.
    Missing {
        /// That node.
        peer: NodeId,
        /// For how long it was not heard.
        silence: Duration,
        /// It had said that it cannot host: without a link a node is silent.
        is_unfit: bool,
    },
    /// More than those that were named.
    MoreMissing {
        /// How many.
        others: u16,
    },
    /// No peer is heard any more.
    Alone,
    /// A peer that was missing is heard again.
    Back {
        /// That node.
        peer: NodeId,
        /// For how long it was not heard.
        silence: Duration,
    },
    /// A less worthy node is ACTIVE too; it gets an answer, and the LAN an announcement.
    Defended {
        /// That node.
        peer: NodeId,
    },
    /// A peer has other shared addresses.
    OtherAddresses {
        /// That node.
        peer: NodeId,
    },
    /// A peer has other times.
    OtherTiming {
        /// That node.
        peer: NodeId,
        /// How often it speaks.
        interval: Duration,
        /// How long it lets others wait.
        hold: Duration,
    },
    /// The address was removed from outside; it is put back.
    Repaired,
    /// Another host says by ARP that it has the address while we have it.
    Conflict {
        /// Its hardware address.
        mac: Mac,
        /// The node of the group that this is, if we know it.
        member: Option<NodeId>,
        /// Which address.
        address: IpAddr,
        /// We announce again; else it was done often enough.
        is_answered: bool,
    },
    /// The address is to be taken, and a host that is not heard answers for it.
    InUse {
        /// Its hardware address.
        mac: Mac,
        /// The node of the group that this is, if we know it.
        member: Option<NodeId>,
        /// Which address.
        address: IpAddr,
        /// It is not taken.
        is_held: bool,
        /// Packets with a wrong tag are heard.
        hears_another_key: bool,
    },
    /// A host answers for addresses that it does not have.
    Proxy {
        /// Its hardware address.
        mac: Mac,
        /// The node of the group that this is, if we know it.
        member: Option<NodeId>,
    },
    /// The neighbours were asked whether they know where the address is.
    Covered(Coverage),
    /// A packet was dropped.
    Dropped {
        /// Its source.
        from: NodeId,
        /// Why.
        cause: Drop,
    },
}

impl Reason {
    /// True if no node has said that the address is free.
    pub(super) fn is_silence(self) -> bool {
        matches!(self, Self::Silent { .. } | Self::Nobody { .. } | Self::SuccessorSilent { .. })
    }

    /// The node that it has to do with.
    pub fn peer(self) -> Option<NodeId> {
        match self {
            Self::Silent { peer, .. }
            | Self::Resigned { peer, .. }
            | Self::HandedOver { peer }
            | Self::Claimed { peer }
            | Self::Outdone { peer }
            | Self::Unheard { peer, .. }
            | Self::SuccessorSilent { peer } => Some(peer),
            Self::Nobody { .. }
            | Self::Quorum { .. }
            | Self::Slept { .. }
            | Self::Collided { .. }
            | Self::Fit { .. }
            | Self::Unfit(_)
            | Self::Shutdown => None,
        }
    }
}

impl Note {
    /// True for what asks for a person's attention.
    pub fn is_alarming(&self) -> bool {
        let is_normal = matches!(self, Self::Met { .. } | Self::Back { .. } | Self::Missing { is_unfit: true, .. });
        !is_normal && !matches!(self, Self::Covered(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { peer, silence } => write!(f, "{peer} silent for {silence} (was active)"),
            Self::Nobody { listened } => write!(f, "no active node heard for {listened}"),
            Self::Resigned { peer, state } => write!(f, "{peer} resigned (is {state})"),
            Self::HandedOver { peer } => write!(f, "{peer} handed over"),
            Self::Claimed { peer } => write!(f, "{peer} is more worthy and claimed the address"),
            Self::Outdone { peer } => write!(f, "{peer} is active too and more worthy"),
            Self::Unheard { peer, unheard } => {
                write!(f, "{peer} is active too and has not heard this node for {unheard}")
            }
            Self::Quorum { alive, needed } => write!(f, "{alive} nodes alive, quorum is {needed}"),
            Self::SuccessorSilent { peer } => write!(f, "successor {peer} silent"),
            Self::Slept { gap } => write!(f, "did not run for {gap}"),
            Self::Collided { mac } => write!(f, "{} took the address at the same time and is not heard", HexMac(*mac)),
            Self::Fit { node } => write!(f, "listening as {node}"),
            Self::Unfit(unfit) => unfit.fmt(f),
            Self::Shutdown => f.write_str("asked to stop"),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoInterface => "interface does not exist",
            Self::Exchanged => "interface is another one now",
            Self::Unknown => "kernel does not say how the interface is",
            Self::NoArp => "interface does no ARP",
            Self::NoCarrier => "interface is down or has no carrier",
            Self::NoAddress => "interface has no address of its own",
            Self::NoAddressV6 => "interface has no IPv6 address of its own for heartbeats",
            Self::Tentative => "interface's own address is not checked yet (DAD)",
            Self::Duplicate => "interface's own address is another host's, too (DAD)",
            Self::OnlyAddress => "shared address is the only one of the interface",
            Self::NotHost => "shared address is the network or broadcast address of the interface's network",
            Self::NoSockets => "no sockets on the interface",
            Self::NoFence => "required fence cannot be loaded",
            Self::Readdressed => "own address changed",
            Self::Refused => "kernel refused the address",
        })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Met { peer } => write!(f, "{peer} heard for the first time"),
            Self::Missing { peer, silence, is_unfit: true } => {
                write!(f, "{peer} is not heard any more, for {silence}: it was unfit")
            }
            Self::Missing { peer, silence, is_unfit: false } => {
                write!(f, "{peer} is not heard any more, for {silence}: counts as dead")
            }
            Self::Alone => f.write_str("no other node is heard any more: is this node cut off?"),
            Self::MoreMissing { others } => {
                write!(f, "{others} other nodes are not heard any more either: count as dead")
            }
            Self::Back { peer, silence } => write!(f, "{peer} is heard again, after {silence}"),
            Self::Defended { peer } => {
                write!(f, "{peer} is active too but less worthy: announced again")
            }
            Self::OtherAddresses { peer } => {
                write!(f, "{peer} has other shared addresses than this node")
            }
            Self::OtherTiming { peer, interval, hold } => {
                write!(f, "{peer} has other times than this node: interval {interval}, tolerance {hold}")
            }
            Self::Repaired => f.write_str("address was removed from outside: put back"),
            Self::Conflict { mac, member, address, is_answered } => {
                let host = Claimant(*mac, *member);
                if *is_answered {
                    write!(f, "conflict: {host} says that it has {address}: announced again")
                } else {
                    write!(f, "conflict: {host} says again and again that it has {address}: only counted for a minute")
                }
            }
            Self::InUse { mac, member, address, is_held, hears_another_key } => {
                write!(f, "{address} is in use by {}, which is not heard: ", Claimant(*mac, *member))?;
                f.write_str(if *is_held {
                    "not taken (on-conflict hold)"
                } else {
                    "taken all the same (on-conflict take)"
                })?;
                f.write_str(if *hears_another_key {
                    "; packets with a wrong tag are: another key?"
                } else {
                    "; is multicast filtered (IGMP snooping without a querier)?"
                })
            }
            Self::Proxy { mac, member } => {
                let who = Claimant(*mac, *member);
                write!(f, "{who} answers for addresses that it does not have (proxy ARP): its replies do not count")
            }
            Self::Covered(Coverage { confirmed, asked, after }) if *confirmed > 0 => {
                write!(f, "{confirmed} of {asked} neighbours confirmed in {after}")
            }
            Self::Covered(Coverage { asked, .. }) => write!(f, "none of {asked} neighbours confirmed"),
            Self::Dropped { from, cause } => write!(f, "packet from {from} dropped: it {cause}"),
        }
    }
}

/// A hardware address, and whose it is.
struct Claimant(Mac, Option<NodeId>);

impl fmt::Display for Claimant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HexMac(self.0).fmt(f)?;
        match self.1 {
            Some(node) => write!(f, " ({node})"),
            None => f.write_str(" (no node that is known)"),
        }
    }
}
