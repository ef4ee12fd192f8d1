//! The states. What belongs to a state lives in its variant, and ends with it.

use super::Reason;
use super::active::Active;
use super::standby::Standby;
use super::station::Station;
use crate::time::Instant;
use crate::timers::{Due, Timer};
use crate::wire::{NodeId, State};

/// What a node is, and what it needs to know for that.
#[derive(Debug, Clone)]
pub(super) enum Role {
    /// It cannot host.
    Unfit {
        /// When it stands for election again, if the kernel refused the address.
        retry: Timer,
    },
    /// It can host, and listens.
    Standby(Standby),
    /// It has asked the outside for the address.
    Taking(Taking),
    /// It has the address.
    Active(Active),
    /// It has asked the outside to remove the address.
    Releasing(Releasing),
    /// It has left.
    Shutdown,
}

/// A take that the outside has not answered yet. To others the node is ACTIVE.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taking {
    pub since: Instant,
    pub reason: Reason,
    /// The node takes the address blindly: until then it may give way to a host that it does not hear, if that one answers a probe.
    pub may_yield_until: Option<Instant>,
}

/// A release that the outside has not answered yet. To others the node is ACTIVE.
#[derive(Debug, Clone, Copy)]
pub(super) struct Releasing {
    pub since: Instant,
    pub then: Then,
    pub reason: Reason,
}

/// What comes after the address is gone.
#[derive(Debug, Clone, Copy)]
pub(super) enum Then {
    /// This node is to have the address next.
    Standby { successor: NodeId },
    /// What was heard before is no evidence; the link came up only at `link_up`, if at all.
    Listen { link_up: Option<Instant> },
    /// The node cannot host.
    Unfit,
    /// The kernel has refused the address: the node stands for election again later.
    Refused,
    /// The node leaves.
    Shutdown,
}

/// Why a node gives the address up, and what it does then.
pub(super) type Leave = (Then, Reason);

impl Role {
    /// The state as others see it: ACTIVE on the wire means "may have the address".
    pub(super) fn state(&self) -> State {
        match self {
            Self::Unfit { .. } => State::Unfit,
            Self::Standby(_) => State::Standby,
            Self::Taking(_) | Self::Active(_) | Self::Releasing(_) => State::Active,
            Self::Shutdown => State::Shutdown,
        }
    }

    /// The node that a packet names.
    pub(super) fn following(&self, station: &Station, now: Instant) -> Option<NodeId> {
        match self {
            Self::Standby(standby) => standby.following(station, now),
            Self::Active(active) => active.following(station, now),
            Self::Taking(_) | Self::Releasing(_) => station.id(),
            Self::Unfit { .. } | Self::Shutdown => station.active(now),
        }
    }

    /// The next deadline of this state.
    pub(super) fn deadline(&self, station: &Station, now: Instant) -> Option<(Instant, Due)> {
        match self {
            Self::Unfit { retry } => retry.due(Due::Retry),
            Self::Standby(standby) => standby.deadline(station, now),
            Self::Active(active) => active.deadline(station, now),
            Self::Taking(_) | Self::Releasing(_) | Self::Shutdown => None,
        }
    }
}
