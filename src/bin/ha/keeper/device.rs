//! A whole device for the shared addresses, such as `eth1` of a machine whose own address is on `eth0` of the same LAN.
//!
//! It is up while they are on it, and down otherwise: a device that is down replies for no address, whatever is configured on it.
//! The price is that its carrier can be seen only while it is up. So every device counts as good until it was tried; a device that
//! fails stays up, without the addresses, until its carrier is back.

use ha::node::Unfit;
use ha::time::{Duration, Instant};
use rustix::io::Errno;

use super::shortage::Shortage;
use crate::linux::clock;
use crate::linux::netlink::{Interface, Kind, Requests};
use crate::log::{error, info, warn};
use crate::text::Text;

/// The device.
#[derive(Debug)]
pub struct Device {
    /// Such as `eth1`.
    pub name: Text,
    /// Its number; 0 if there is none of this name.
    pub index: u32,
    /// How long it may be without a carrier after it was brought up.
    link_delay: Duration,
    is_up: bool,
    purpose: Purpose,
    /// The kernel does not bring it down.
    not_down: Shortage,
    /// When to try once more.
    again_at: Option<Instant>,
}

/// Why it may be up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// It may not.
    None,
    /// It has the addresses, or is about to get them.
    Service {
        /// When it was brought up.
        since: Instant,
        /// Since then it has had a carrier.
        had_carrier: bool,
    },
    /// It has failed, and is to show when it is good again.
    Trial,
}

/// What a look has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitness {
    /// Good for all that is known.
    Fit,
    /// It can carry packets only now: no host has heard what was announced.
    Late,
    /// Another program has brought it down.
    Lost,
    /// Not good.
    Unfit(Unfit),
}

impl Device {
    /// A device at which [`Device::look`] has not looked yet.
    pub fn new(name: Text, link_delay: Duration) -> Self {
        Self {
            name,
            index: 0,
            link_delay: link_delay.max(LEAST_DELAY),
            is_up: false,
            purpose: Purpose::None,
            not_down: Shortage::default(),
            again_at: None,
        }
    }

    /// Brings it up for the addresses.
    pub fn bring_up(&mut self, requests: &mut Requests) -> Result<(), Errno> {
        requests.set_up(self.index, true)?;
        self.is_up = true;
        // Some cards need seconds.
        let had_carrier = matches!(requests.interface(self.name), Ok(Some(Interface { is_running: true, .. })));
        self.purpose = Purpose::Service { since: clock::now(), had_carrier };
        Ok(())
    }

    /// Notes that the addresses are gone from it.
    pub fn end_service(&mut self) {
        if let Purpose::Service { .. } = self.purpose {
            self.purpose = Purpose::None;
        }
    }

    /// Notes that the daemon leaves: nothing keeps it up any more.
    pub fn give_up(&mut self) {
        self.purpose = Purpose::None;
        self.again_at = None;
    }

    /// Brings it down if it is up for no purpose; to be called again and again.
    pub fn settle(&mut self, requests: &mut Requests) {
        if !self.is_up || self.purpose != Purpose::None || self.again_at.is_some_and(|at| clock::now() < at) {
            return;
        }
        self.again_at = None;
        match requests.set_up(self.index, false) {
            Err(errno) if errno != Errno::NODEV => {
                if self.not_down.record_refusal() {
                    error!("bring {} down: {errno}; tried again, at least every 10s", self.name);
                }
                self.again_at = Some(clock::now() + self.not_down.pause());
            }
            Ok(()) | Err(_) => {
                self.is_up = false;
                if self.not_down.record_success() {
                    info!("bring {} down: done this time", self.name);
                }
            }
        }
    }

    /// Notes what the kernel has found of it, and judges it.
    pub fn look(&mut self, found: Option<Interface>, requests: &mut Requests) -> Fitness {
        let now = clock::now();
        let index = found.map_or(0, |found| found.index);
        if index != std::mem::replace(&mut self.index, index) {
            self.purpose = Purpose::None;
        }
        let Some(Interface { is_up, is_running, kind, .. }) = found else {
            self.is_up = false;
            return Fitness::Unfit(Unfit::NoInterface);
        };
        self.is_up = is_up;
        if kind != Kind::Lan {
            return Fitness::Unfit(Unfit::NoArp);
        }
        let name = self.name;
        match &mut self.purpose {
            Purpose::None => {
                if is_up {
                    warn!("{name} was up though this node is not active: brought down");
                }
                Fitness::Fit
            }
            Purpose::Service { .. } if !is_up => Fitness::Lost,
            Purpose::Service { had_carrier, .. } if is_running => {
                if std::mem::replace(had_carrier, true) {
                    Fitness::Fit
                } else {
                    Fitness::Late
                }
            }
            Purpose::Service { since, had_carrier } if *had_carrier || now >= *since + self.link_delay => {
                warn!("{name} has no carrier, {} after it was brought up", now.since(*since));
                self.purpose = Purpose::Trial;
                Fitness::Unfit(Unfit::NoCarrier)
            }
            Purpose::Service { .. } => Fitness::Fit,
            Purpose::Trial if is_running => {
                info!("{name} has a carrier again: brought down until this node is active");
                self.purpose = Purpose::None;
                Fitness::Fit
            }
            Purpose::Trial => {
                // A program that brought it down may not want it up, but without it up its carrier cannot be seen.
                self.is_up = is_up || requests.set_up(index, true).is_ok();
                Fitness::Unfit(Unfit::NoCarrier)
            }
        }
    }

    /// When it has failed unless it has a carrier by then.
    pub fn next_look(&self) -> Option<Instant> {
        match self.purpose {
            Purpose::Service { since, had_carrier: false } => Some(since + self.link_delay),
            Purpose::Service { had_carrier: true, .. } | Purpose::None | Purpose::Trial => None,
        }
    }
}

/// The kernel may report a carrier a second after it came (net/core/link_watch.c).
const LEAST_DELAY: Duration = Duration::from_secs(2);
