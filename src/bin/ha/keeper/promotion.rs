//! Nothing else goes when a shared address goes.
//!
//! The addresses of a subnet hang on the first one of them, whoever added it. When that one is removed, or its lease ends,
//! the kernel removes the others too, with the routes that need them: the server's own address, those of another group.
//! Unless `promote_secondaries` of the interface is set: then the next one becomes the first. It is set before anything
//! can be removed, for as long as this program runs. A lease may end when nobody is there to mend what went along.

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
    /// It was off when somebody else had set it last.
    was_off: bool,
    /// It is off, and could not be set; said once.
    has_failed: bool,
    looked_at: Instant,
}

impl Promotion {
    /// Of the interface called `name`, which nobody has looked at.
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

    /// Sees to it that other addresses stay. False, and logged here, if that cannot be found out or set.
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
                info!(
                    "promote_secondaries of {name} is set until the daemon ends: the kernel removes no other address with a shared one"
                );
            }
            Err(errno) if !had_failed => {
                error!(
                    "set promote_secondaries of {name}: {errno}; until then no shared address is added, and none that is left is removed"
                );
            }
            Ok(_) | Err(_) => {}
        }
        !self.has_failed
    }

    /// The same if it was not looked at for some time: no event tells that somebody has set it back.
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

/// Two short requests to the kernel are not for every heartbeat.
const AGAIN: Duration = Duration::from_secs(10);
