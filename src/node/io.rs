//! What goes into a node and what comes out.

use core::net::IpAddr;

use heapless::Vec;

use super::{Note, Reason, Unfit};
use crate::config::MAX_LINKS;
use crate::neighbours::Ask;
use crate::time::{Duration, Instant};
use crate::wire::arp::Mac;
use crate::wire::{LEN, NodeId, Resolution, State};

/// What happened outside.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Time passed; everything that was received before has been handed in.
    Tick,
    /// A datagram arrived.
    Heard {
        /// When it did: a routine word may have waited until now. Time to come counts as now.
        at: Instant,
        /// Its source address.
        from: NodeId,
        /// Its TTL or hop limit.
        ttl: u8,
        /// Its content.
        bytes: &'a [u8],
    },
    /// The interface changed.
    Link(Link),
    /// The address is up, as [`Output::Take`] asked.
    Taken,
    /// The address could not be added or refreshed.
    Refused,
    /// The address is gone, as [`Output::Release`] asked.
    Released,
    /// The address was removed, and not by us.
    Lost,
    /// A shared address has come up, and not by us.
    Found,
    /// The hardware addresses of the links are these now.
    MacChanged(Macs),
    /// ARP or Neighbour Discovery that names a shared address, as sender or as target, or answers a probe.
    Resolution(Resolution),
    /// The kernel knows a neighbour on a link; of use to an ACTIVE, gateways to all.
    Neighbour {
        /// The link on which it is.
        link: u8,
        /// Its address.
        address: IpAddr,
        /// Routes lead over it.
        is_gateway: bool,
    },
    /// A fence guards the address from now on, or none does. One that was made anew is closed until the next heartbeat.
    Fenced(bool),
    /// Leave the group.
    Shutdown,
}

/// The hardware address of each link; what a link that there is not has does not matter.
pub type Macs = [Mac; MAX_LINKS];

/// The interface as the node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It can carry packets.
    Up {
        /// The real address that the node is known by.
        node: NodeId,
        /// Bits of its subnet's prefix.
        prefix: u8,
        /// Its hardware address, and those of the other links.
        macs: Macs,
        /// It was up before we looked, so it is not deaf.
        already: bool,
    },
    /// It cannot; worth saying again from time to time, since an unfit node asserts the absence of the address then.
    Down(Unfit),
}

/// What is to be done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Send this to the group.
    Send([u8; LEN]),
    /// Add the addresses; answer with [`Input::Taken`] or [`Input::Refused`].
    Take,
    /// Renew the lease of the addresses; answer with [`Input::Refused`] if that fails.
    Refresh,
    /// Remove the addresses; answer with [`Input::Released`].
    Release,
    /// See to it that the addresses are not there.
    AssertAbsent,
    /// Tell the LAN of the address with this index: by gratuitous ARP, in both forms, or by an NA.
    Announce(u8),
    /// Send a directed request, or a directed NS, from one of the addresses.
    Ask(Ask),
    /// Ask the LAN by a probe which host has this address: a shared one, or a decoy to find a router that answers for all.
    Probe {
        /// On this link.
        link: u8,
        /// This one.
        address: IpAddr,
    },
    /// The state changed.
    Changed {
        /// The state before.
        from: State,
        /// The state now.
        to: State,
        /// Why.
        reason: Reason,
        /// From the decision to the answer of the outside.
        took: Duration,
    },
    /// The address was put back after it was removed from outside, and what hung on it, such as routes, was not: the user's program
    /// may want to do its work again. At most once in ten seconds, which the last one outlasts.
    PutBack,
    /// Something to report.
    Note(Note),
}

/// Everything to be done after one input.
///
/// Worst case: an ACTIVE that repairs (Take), wins a conflict (Refresh, Send), beats (Refresh, Send), sends eight frames of ARP
/// or ND within its burst, has put back, and has eight notes to make, six of them about peers that are missing: 22. Half as much again leaves
/// room for a change of state on top.
pub type Outputs = Vec<Output, MAX_OUTPUTS>;

/// Most outputs of one input.
pub const MAX_OUTPUTS: usize = 30;

/// Not inlined: an output is moved at forty places.
#[inline(never)]
pub(super) fn push(out: &mut Outputs, output: Output) {
    assert!(out.push(output).is_ok(), "the capacity is counted beside the type");
}
