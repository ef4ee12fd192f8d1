//! The states. What belongs to a state lives in its variant, and ends with it.

use super::active::Active;
use super::leave::Releasing;
use super::standby::Standby;
use super::station::Station;
use super::taking::Taking;
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

impl Role {
    /// The state as others see it: ACTIVE on the wire means "may have the address".
    pub(super) fn state(&self) -> State {
        match self {
            Self::Unfit { .. } => State::Unfit,
            Self::Standby(_) => State::Standby,
            Self::Taking(_) | Self::Active(_) => State::Active,
            Self::Releasing(releasing) => releasing.said.unwrap_or(State::Active),
            Self::Shutdown => State::Shutdown,
        }
    }

    /// The node that a packet names.
    pub(super) fn following(&self, station: &Station, now: Instant) -> Option<NodeId> {
        match self {
            Self::Standby(standby) => standby.following(station, now),
            Self::Active(active) => active.following(station, now),
            Self::Taking(_) => station.id(),
            Self::Releasing(releasing) => releasing.following(station, now),
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
