//! Giving the address up: why, and what comes then.

use super::Reason;
use crate::time::Instant;
use crate::wire::NodeId;

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
