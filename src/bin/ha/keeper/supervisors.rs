//! What restarts the machine or the daemon when the worker shows no life: the watchdog device, and the service manager.
//!
//! Both hear from the keeper with a beat of the worker only, never from the worker itself.

use ha::time::{Duration, Instant};
use rustix::io::Errno;

use super::notify::Notify;
use crate::channel::beat_interval;
use crate::linux::watchdog::{Timeout, Watchdog};
use crate::log::{info, warn};
use crate::settings::Settings;
use crate::text::{Refusal, text};

/// Those that there are.
#[derive(Debug)]
pub struct Supervisors {
    watchdog: Option<Watchdog>,
    /// The watchdog could not be fed the last time, and the log says so.
    is_failing: bool,
    manager: Option<Notify>,
}

impl Supervisors {
    /// Starts the watchdog, if there is one, and finds the service manager.
    ///
    /// # Errors
    /// One line that names the watchdog and what would be accepted; nothing was started then.
    pub fn open(settings: &Settings) -> Result<Self, Refusal> {
        let interval = beat_interval(&settings.config);
        let watchdog = settings.daemon.watchdog().map(|path| open_watchdog(path, interval)).transpose()?;
        Ok(Self { watchdog, is_failing: false, manager: Notify::open(interval) })
    }

    /// Feeds the watchdog and notifies the service manager: the worker has just shown that it lives.
    pub fn report_life(&mut self, now: Instant) {
        if let Some(watchdog) = &self.watchdog {
            let fed = watchdog.feed();
            if let Err(errno) = fed
                && !self.is_failing
            {
                warn!("feed the watchdog: {errno}");
            }
            self.is_failing = fed.is_err();
        }
        if let Some(manager) = &mut self.manager {
            manager.report_life(now);
        }
    }

    /// Notifies the service manager that the daemon is about to leave.
    pub fn report_leaving(&self) {
        if let Some(manager) = &self.manager {
            manager.report_leaving();
        }
    }

    /// Stops the watchdog, for a clean exit.
    pub fn stop_watchdog(&mut self) {
        if let Some(Err(errno)) = self.watchdog.take().map(Watchdog::stop) {
            warn!("stop the watchdog: {errno}; it will fire");
        }
    }
}

fn open_watchdog(path: &str, interval: Duration) -> Result<Watchdog, Refusal> {
    let refuse = |errno: Errno| {
        text!("watchdog {path}: {errno}; expected a watchdog device that nobody else has open, such as /dev/watchdog")
    };
    let (watchdog, timeout) = Watchdog::open(path).map_err(refuse)?;
    match timeout {
        Timeout::After(timeout) if timeout > interval => {
            info!("watchdog {path}: fires after {timeout}, fed every {interval}");
        }
        Timeout::After(timeout) => {
            warn!("watchdog {path}: fires after {timeout}, which is too soon, fed every {interval}");
        }
        Timeout::Unknown(errno) => {
            warn!("watchdog {path}: does not say when it fires ({errno}), fed every {interval}");
        }
        Timeout::Never => {
            info!("watchdog {path}: no device, good for tests only, fed every {interval}");
        }
    }
    Ok(watchdog)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_watchdog_is_refused_by_its_name() {
        let directory = std::env::temp_dir();
        for (path, what) in [
            ("/dev/null", "ioctl"),
            ("/nonexistent/watchdog", "No such file"),
            (directory.to_str().unwrap(), "directory"),
        ] {
            let refusal = open_watchdog(path, Duration::from_secs(1)).unwrap_err();
            assert!(refusal.starts_with(&format!("watchdog {path}: ")) && refusal.contains(what), "{refusal}");
            assert!(refusal.contains("expected a watchdog device"), "{refusal}");
        }
    }
}
