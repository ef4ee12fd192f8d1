//! Whom the kernel knows on the LAN, for the worker, which asks them whether they know where the addresses are.

use std::net::Ipv4Addr;

use ha::time::{Duration, Instant};

use super::Keeper;
use crate::channel::{NEIGHBOURS_AT_ONCE, News};
use crate::linux::clock;
use crate::log::warn;

impl Keeper {
    /// Routes come and go without a word to us.
    pub(super) fn gateway_due(&self) -> Option<Instant> {
        self.worker.as_ref().filter(|_| self.link.is_up()).map(|_| self.gateway_told_at + GATEWAY_AGAIN)
    }

    /// Everybody behind the gateway depends on it: it is the first to be asked whether it knows where the addresses are.
    pub(super) fn tell_gateway(&mut self) {
        self.gateway_told_at = clock::now();
        match self.addresses.gateway() {
            Ok(found) => self.tell_of(true, found.as_slice()),
            Err(error) => warn!("look for the gateway of {}: {error}", self.settings.interface),
        }
    }

    /// After the first announcement, which they must not hold up.
    pub(super) fn tell_neighbours(&mut self) {
        self.tell_gateway();
        match self.addresses.neighbours() {
            Ok(found) => self.tell_of(false, &found),
            Err(error) => warn!("look for the neighbours of {}: {error}", self.settings.interface),
        }
    }

    fn tell_of(&mut self, are_gateways: bool, found: &[Ipv4Addr]) {
        for some in found.chunks(NEIGHBOURS_AT_ONCE) {
            let addresses = some.iter().map(Ipv4Addr::octets).collect();
            self.tell(News::Neighbours { are_gateways, addresses });
        }
    }
}

/// A gateway is told of by then.
const GATEWAY_AGAIN: Duration = Duration::from_secs(60);
