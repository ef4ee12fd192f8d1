//! The shared addresses as the worker has them: since when, whether they surely are here, and a take that waits for a hook.
//!
//! An order to take or renew is good for as long as no other node can have taken over since it was decided. What comes later,
//! because this process stood still for instance, becomes a release.

use ha::config::Config;
use ha::lease;
use ha::time::{Duration, Instant};

use super::addresses::Addresses;
use crate::linux::clock;

/// The addresses, and whether the worker has them.
#[derive(Debug)]
pub struct Ownership {
    addresses: Addresses,
    /// The worker was given the addresses and has not given them back: when they were added or renewed last.
    renewed_at: Option<Instant>,
    /// They were taken, and are to be announced for the first time.
    is_new: bool,
    /// A take that waits for a hook.
    waiting: Option<Take>,
    /// An order is good for this long after it was decided.
    longest_pause: Duration,
    /// A peer waits this long for our heartbeat before it takes over.
    tolerance: Duration,
}

/// An order of the worker to take the addresses.
#[derive(Debug, Clone, Copy)]
pub struct Take {
    /// Goes back to the worker with the outcome.
    pub ticket: u32,
    /// The order is good from then on, for [`Ownership::longest_pause`].
    pub decided_at: Instant,
}

impl Ownership {
    /// The worker has none of the addresses.
    pub fn new(addresses: Addresses, config: &Config) -> Self {
        let tolerance = config.tolerance();
        let longest_pause = lease::longest_pause(config.lease(), tolerance);
        Self { addresses, renewed_at: None, is_new: false, waiting: None, longest_pause, tolerance }
    }

    /// Adds the addresses. True if all are up; else none is left.
    pub fn take(&mut self, decided_at: Instant) -> bool {
        self.is_new = self.while_it_counts(decided_at, Addresses::take);
        self.is_new
    }

    /// Renews the lease of the addresses. True if all are up; else none is left.
    pub fn renew(&mut self, decided_at: Instant) -> bool {
        self.while_it_counts(decided_at, Addresses::renew)
    }

    /// Adds or renews the addresses, unless a peer may have taken over by now, or by the time that the kernel was done.
    fn while_it_counts(&mut self, decided_at: Instant, add: impl Fn(&mut Addresses) -> bool) -> bool {
        let is_late = || clock::now().since(decided_at) > self.longest_pause;
        let begun = clock::now();
        if !is_late() && add(&mut self.addresses) && !is_late() {
            self.renewed_at = Some(begun);
            return true;
        }
        self.release();
        false
    }

    /// Removes the addresses; no take waits any more.
    pub fn release(&mut self) {
        self.waiting = None;
        self.renewed_at = None;
        self.addresses.release();
    }

    /// Keeps a take until its hook is done.
    pub fn keep_waiting(&mut self, take: Take) {
        self.waiting = Some(take);
    }

    /// The take that waited for its hook, if nothing has released the addresses since.
    pub fn waiting_take(&mut self) -> Option<Take> {
        self.waiting.take()
    }

    /// True, once, for addresses that are to be announced for the first time.
    pub fn take_first_announcement(&mut self) -> bool {
        std::mem::take(&mut self.is_new)
    }

    /// The worker has the addresses: it took them and has not released them.
    pub fn is_held(&self) -> bool {
        self.renewed_at.is_some()
    }

    /// The addresses are here. If this process stood still a peer may have them; the order to announce them is old then. Behind a fence
    /// what it sends does not leave then.
    pub fn is_certain(&self, is_fenced: bool, now: Instant) -> bool {
        let limit = self.longest_pause.min(self.tolerance);
        self.renewed_at.is_some_and(|at| is_fenced || now.since(at) <= limit)
    }

    /// Sends what a closed fence has kept from leaving, if the time has come.
    pub fn send_kept(&mut self, now: Instant) {
        if self.addresses.kept_at().is_some_and(|at| at <= now) {
            // Kept by a fence.
            self.addresses.send_kept(self.is_certain(true, now));
        }
    }

    /// The addresses on this machine.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The same, to ask, announce, probe, and mend.
    pub fn addresses_mut(&mut self) -> &mut Addresses {
        &mut self.addresses
    }
}
