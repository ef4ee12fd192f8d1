//! What the keeper does about a signal: SIGTERM and SIGINT leave the group, SIGHUP reads the keys again, SIGUSR1 logs the status.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ha::lease::Lease;
use ha::time::Duration;
use ha::wire::State;

use super::{Keeper, TIME_TO_LEAVE};
use crate::channel::News;
use crate::heap;
use crate::linux::{clock, signals};
use crate::log::{Cause, info, warn};
use crate::text::{Refusal, text};

/// Where they are read.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
    /// A child has ended, perhaps one that this process did not start.
    pub has_child_ended: bool,
}

impl Signals {
    /// From now on they interrupt nothing and are read here.
    ///
    /// # Errors
    /// One line that names the call that was refused.
    pub fn open() -> Result<Self, Refusal> {
        let all = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGCHLD];
        let fd = signals::signal_fd(&all).map_err(|error| text!("signalfd: {error}"))?;
        Ok(Self { fd, has_child_ended: true })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Keeper {
    pub(super) fn obey_signals(&mut self) {
        for _ in 0..MAX_SIGNALS_AT_ONCE {
            let Some(signal) = signals::next_signal(self.signals.as_fd()) else { return };
            match i32::try_from(signal) {
                Ok(libc::SIGTERM | libc::SIGINT) => self.leave(),
                Ok(libc::SIGUSR1) => self.log_status(),
                Ok(libc::SIGCHLD) => self.signals.has_child_ended = true,
                _ => self.read_keys_again(),
            }
        }
    }

    fn log_status(&mut self) {
        info!(&STATUS => "status: the keeper has {} bytes of memory allocated", heap::used());
        if self.workers.running().is_some() {
            self.send(News::Status);
        } else {
            info!(&STATUS => "status: no worker, the next one in {}", self.workers.next_at().since(clock::now()));
        }
    }

    pub(super) fn read_keys_again(&mut self) {
        let Some(file) = self.settings.daemon.key_file() else {
            warn!("SIGHUP: there is no key-file, and all else is read at start only; restart to apply it");
            return;
        };
        if let Some(socket) = self.keys.read(file, self.settings.context()) {
            self.send_with(&News::Keys, &[socket.as_fd()]);
        }
    }

    fn leave(&mut self) {
        if self.ends_by.is_some() {
            return;
        }
        let lease = self.settings.config.lease().map_or(Duration::ZERO, Lease::end);
        self.ends_by = Some(clock::now() + lease + TIME_TO_LEAVE);
        self.supervisors.report_leaving();
        if self.workers.running().is_some() {
            self.send(News::Shutdown);
        } else {
            self.report_state(State::Shutdown, &"asked to stop", None);
        }
    }
}

/// A flood of signals cannot keep the keeper from its clock: each that waits is there once.
const MAX_SIGNALS_AT_ONCE: usize = 5;

/// Of the 60 lines in a minute that a flood of SIGUSR1 gets; the worker has the others.
static STATUS: Cause = Cause::of(8);
