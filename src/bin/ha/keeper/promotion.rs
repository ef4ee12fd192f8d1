//! `promote_secondaries`: no other address goes when a shared address goes.
//!
//! To the kernel the first address of a subnet is the primary one, whichever program added it. When the primary one is removed, or
//! its lease ends, the kernel removes the others too, with the routes that need them: the server's own address, those of another
//! group. Unless `promote_secondaries` of the interface is set: then the next one becomes the primary. The keeper sets it before
//! anything can be removed, for as long as it runs: a lease may end when no process is there to mend what went along.

use ha::time::{Duration, Instant};
use rustix::io::Errno;

use crate::linux::clock;
use crate::linux::netlink::Requests;
use crate::log::{error, info};
use crate::text::Text;

/// The setting of one interface.
#[derive(Debug)]
pub struct Promotion {
    name: Text,
    /// Its number; 0 if it was never there.
    index: u32,
    /// It was off before this program set it.
    was_off: bool,
    /// It is off, and could not be set, and the log says so.
    has_failed: bool,
    looked_at: Instant,
}

impl Promotion {
    /// Of the interface called `name`, whose number is not known yet.
    pub fn new(name: Text) -> Self {
        Self { name, index: 0, was_off: false, has_failed: false, looked_at: clock::now() }
    }

    /// Its number is `index` from now on, if there is one.
    pub fn follow(&mut self, index: u32, requests: &mut Requests) {
        if index != std::mem::replace(&mut self.index, index) {
            (self.was_off, self.has_failed) = (false, false);
        }
        self.ensure(requests);
    }

    /// Sets it if it is off. False, and logged here, if that cannot be found out or set.
    pub fn ensure(&mut self, requests: &mut Requests) -> bool {
        self.looked_at = clock::now();
        if self.index == 0 {
            return true;
        }
        let (index, name) = (self.index, self.name);
        let outcome = requests.promotes(index).and_then(|promotes| match promotes {
            Some(false) => requests.set_promotes(index, true).map(|()| true),
            Some(true) | None => Ok(false),
        });
        let had_failed = std::mem::replace(&mut self.has_failed, outcome.is_err());
        match outcome {
            Ok(true) if !std::mem::replace(&mut self.was_off, true) => {
                info!("promote_secondaries of {name} is set until the daemon ends: only shared addresses go");
            }
            Err(errno) if !had_failed => {
                error!(
                    "set promote_secondaries of {name}: {errno}; until it is set no address is added and no leftover removed"
                );
            }
            Ok(_) | Err(_) => {}
        }
        !self.has_failed
    }

    /// The same if the last look was some time ago: the kernel sends no event when another program sets it back.
    pub fn ensure_again(&mut self, requests: &mut Requests) -> bool {
        let is_due = self.has_failed || clock::now() >= self.looked_at + AGAIN;
        !is_due || self.ensure(requests)
    }

    /// Leaves it as it was found.
    pub fn put_back(&mut self, requests: &mut Requests) {
        if std::mem::take(&mut self.was_off)
            && let Err(errno) = requests.set_promotes(self.index, false)
            && errno != Errno::NODEV
        {
            error!("reset promote_secondaries of {}: {errno}", self.name);
        }
    }
}

/// Two short requests to the kernel are too much for every heartbeat.
const AGAIN: Duration = Duration::from_secs(10);
