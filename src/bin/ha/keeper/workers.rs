//! The next worker: a process and a channel, if the kernel has them to give.

use rustix::io::Errno;

use super::Keeper;
use super::shortage::may_pass;
use super::worker_process::Staff;
use crate::channel::Channel;
use crate::linux::{self, clock};
use crate::log::{info, warn};
use crate::settings::Settings;
use crate::text::{Refusal, text};

/// What the process of a worker does until it ends.
pub type RunWorker = fn(&Settings, Channel) -> !;

impl Keeper {
    /// Starts a worker and tells it what there is to know; or, as long as there is no room for one, sees when to try again.
    ///
    /// # Errors
    /// There will never be one.
    pub(super) fn start_worker(&mut self) -> Result<(), Refusal> {
        match self.try_worker() {
            Ok(()) => {
                if self.no_worker.ends() {
                    info!("a worker again");
                }
                self.link.forget();
                self.look();
            }
            Err((call, errno)) if may_pass(errno) => {
                if self.no_worker.goes_on() {
                    warn!("no worker: {call}: {errno}; tried again, at least every 10s");
                }
                self.starts_at = clock::now() + self.no_worker.pause();
            }
            Err((call, errno)) => return Err(text!("no worker: {call}: {errno}")),
        }
        Ok(())
    }

    /// The error has the call that was refused.
    fn try_worker(&mut self) -> Result<(), (&'static str, Errno)> {
        let (ours, theirs) = Channel::pair().map_err(|errno| ("socketpair", errno))?;
        let now = clock::now();
        match linux::process::fork().map_err(|errno| ("fork", errno))? {
            Some(pid) => self.worker = Some(Staff::new(pid, ours, &self.settings.config, now)),
            None => (self.run_worker)(&self.settings, theirs),
        }
        Ok(())
    }
}
