//! Giving the address up: why, and what comes then.

use super::Reason;
use super::station::Station;
use crate::time::Instant;
use crate::wire::{NodeId, State};

/// A release that the outside has not answered yet. Without a fence the node is ACTIVE to others until then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Releasing {
    pub since: Instant,
    pub then: Then,
    pub reason: Reason,
    /// What others were told, which has closed the fence.
    pub said: Option<State>,
}

impl Releasing {
    /// The node that its packets name.
    pub(super) fn following(&self, station: &Station, now: Instant) -> Option<NodeId> {
        match (self.said, self.then) {
            (None, _) => station.id(),
            (Some(_), Then::Standby { successor }) => Some(successor),
            (Some(_), Then::Listen { .. } | Then::Unfit | Then::Refused | Then::Shutdown) => station.active(now),
        }
    }
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

impl Then {
    /// The state as others see it.
    pub(super) fn state(self) -> State {
        match self {
            Self::Standby { .. } | Self::Listen { .. } => State::Standby,
            Self::Unfit | Self::Refused => State::Unfit,
            Self::Shutdown => State::Shutdown,
        }
    }
}

/// Why a node gives the address up, and what it does then.
pub(super) type Leave = (Then, Reason);
