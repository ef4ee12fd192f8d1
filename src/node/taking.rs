//! A node that has asked the outside for the address, and is not answered yet.

use super::Reason;
use super::active::{hand_over, outdone_by};
use super::leave::Leave;
use super::station::Station;
use crate::time::Instant;
use crate::wire::{Heartbeat, State};

/// A take that the outside has not answered yet. To others the node is ACTIVE.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taking {
    pub since: Instant,
    pub reason: Reason,
    /// The node takes the address blindly: until then it may give way to a host that it does not hear, if that one answers a probe.
    pub may_yield_until: Option<Instant>,
}

impl Taking {
    /// A peer has said `said`. Returns why this node gives the take up, if it does.
    pub(super) fn hear(station: &Station, said: &Heartbeat) -> Option<Leave> {
        match said.state {
            State::Active if station.is_outdone_by(said) => Some(outdone_by(said.node)),
            State::Standby if station.hands_over_to(said) => Some(hand_over(said.node)),
            State::Active | State::Standby | State::Unfit | State::Shutdown => None,
        }
    }
}
