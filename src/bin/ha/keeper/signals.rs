//! What the keeper does about a signal: SIGTERM and SIGINT leave the group, SIGHUP reads the keys again, SIGUSR1 says the status.

use std::os::fd::AsFd;

use ha::lease::Lease;
use ha::time::Duration;
use ha::wire::State;

use super::{Keeper, TIME_TO_LEAVE};
use crate::channel::News;
use crate::linux::clock;
use crate::log::{Cause, info, warn};
use crate::{heap, linux};

impl Keeper {
    pub(super) fn obey_signals(&mut self) {
        for _ in 0..MAX_SIGNALS_AT_ONCE {
            let Some(signal) = linux::signals::next_signal(self.signals.as_fd()) else { return };
            match i32::try_from(signal) {
                Ok(libc::SIGTERM | libc::SIGINT) => self.leave(),
                Ok(libc::SIGUSR1) => self.say_status(),
                Ok(libc::SIGCHLD) => self.has_lost_child = true,
                _ => self.read_keys_again(),
            }
        }
    }

    fn say_status(&mut self) {
        info!(&STATUS => "status: the keeper has {} bytes of memory allocated", heap::used());
        if self.worker.is_some() {
            self.tell(News::Status);
        } else {
            info!(&STATUS => "status: no worker, the next one in {}", self.starts_at.since(clock::now()));
        }
    }

    pub(super) fn read_keys_again(&mut self) {
        let Some(file) = self.settings.key_file else {
            warn!("SIGHUP: there is no key-file, and all else is read at start only; restart to apply it");
            return;
        };
        if let Some(socket) = self.reader.read(file, self.settings.context()) {
            self.tell_with(&News::Keys, &[socket.as_fd()]);
        }
    }

    fn leave(&mut self) {
        if self.ends_by.is_some() {
            return;
        }
        let lease = self.settings.config.lease().map_or(Duration::ZERO, Lease::end);
        self.ends_by = Some(clock::now() + lease + TIME_TO_LEAVE);
        if let Some(notify) = &self.notify {
            notify.is_leaving();
        }
        if self.worker.is_some() {
            self.tell(News::Shutdown);
        } else {
            self.hook(State::Shutdown, &"told to stop", None);
        }
    }
}

/// A flood of signals cannot keep the keeper from its clock: each that waits is there once.
const MAX_SIGNALS_AT_ONCE: usize = 5;

/// The worker has the other lines of the 60 that a flood of questions is worth.
static STATUS: Cause = Cause::of(8);
