//! The watchdog: a device that restarts the machine unless it is fed (linux/watchdog.h).
//!
//! Like a dead man's handle in a train: whoever stops pressing it, for whatever reason, is stopped. Opening it starts it.
//! It ends with the magic character `V` only, so a daemon that dies in any other way leaves it armed.

use std::os::fd::{AsFd, OwnedFd};

use ha::time::Duration;
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::{Errno, write};

use crate::linux::{self, file};
use crate::log::{info, warn};
use crate::text::{Refusal, text};

/// An open watchdog. Dropped without [`Watchdog::close`], it fires.
#[derive(Debug)]
pub struct Watchdog {
    device: OwnedFd,
    is_failing: bool,
}

impl Watchdog {
    /// Opens and so starts it. It will be fed every `interval`.
    ///
    /// A FIFO or a regular file is good for tests.
    ///
    /// # Errors
    /// One line that names the device and what would be accepted; nothing was started then.
    pub fn open(path: &str, interval: Duration) -> Result<Self, Refusal> {
        let refuse = |errno: Errno| {
            text!(
                "watchdog {path}: {errno}; expected a watchdog device that nobody else has open, such as /dev/watchdog"
            )
        };
        // Non-blocking, so that a fake one does not stall the keeper.
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let device = file::open(path, flags).map_err(refuse)?;
        match FileType::from_raw_mode(fstat(&device).map_err(refuse)?.st_mode) {
            FileType::CharacterDevice => match linux::watchdog::watchdog_timeout_s(device.as_fd()) {
                Ok(timeout_s) => greet(path, timeout_s, interval),
                Err(errno @ Errno::NOTTY) => return Err(refuse(errno)),
                Err(errno) => warn!("watchdog {path} does not tell its timeout ({errno}); it is fed every {interval}"),
            },
            FileType::Fifo | FileType::RegularFile => {
                info!("watchdog {path} is no device, which is good for tests only; it is fed every {interval}");
            }
            _ => return Err(refuse(Errno::NODEV)),
        }
        Ok(Self { device, is_failing: false })
    }

    /// Feeds it once. The keeper does so only while the worker is well.
    pub fn feed(&mut self) {
        // Any character but V.
        let fed = write(&self.device, b".");
        if let Err(errno) = fed
            && !self.is_failing
        {
            warn!("feed the watchdog: {errno}");
        }
        self.is_failing = fed.is_err();
    }

    /// Stops it, for a clean exit. A device set to `nowayout` goes on and the kernel says so.
    pub fn close(self) {
        if let Err(errno) = write(&self.device, b"V") {
            warn!("stop the watchdog: {errno}; it will fire");
        }
    }
}

fn greet(path: &str, timeout_s: i32, interval: Duration) {
    let timeout = Duration::from_secs(u64::try_from(timeout_s).unwrap_or(0));
    if timeout > interval {
        info!("watchdog {path} fires after {timeout}; it is fed every {interval}");
    } else {
        warn!("watchdog {path} fires after {timeout}, which is too soon: it is fed every {interval}");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{ErrorKind, Read};
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::PathBuf;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    /// A FIFO and a reader of it that does not wait.
    struct Fifo {
        path: PathBuf,
        reader: fs::File,
    }

    impl Fifo {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ha-watchdog-{}-{name}", std::process::id()));
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).unwrap();
            let nonblock = OFlags::NONBLOCK.bits().cast_signed();
            let reader = fs::File::options().read(true).custom_flags(nonblock).open(&path).unwrap();
            Self { path, reader }
        }

        fn watchdog(&self) -> Watchdog {
            Watchdog::open(self.path.to_str().unwrap(), INTERVAL).unwrap()
        }

        /// What was written, and whether the writer has gone.
        fn heard(&mut self) -> (Vec<u8>, bool) {
            let mut bytes = Vec::new();
            match self.reader.read_to_end(&mut bytes) {
                Ok(_) => (bytes, true),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    (bytes, false)
                }
            }
        }
    }

    impl Drop for Fifo {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.path);
        }
    }

    #[test]
    fn each_feeding_is_one_character_and_a_clean_exit_says_v() {
        let mut fifo = Fifo::new("clean");
        let mut watchdog = fifo.watchdog();
        assert_eq!(fifo.heard(), (vec![], false), "opening writes nothing");
        watchdog.feed();
        watchdog.feed();
        assert_eq!(fifo.heard(), (b"..".to_vec(), false));
        watchdog.close();
        assert_eq!(fifo.heard(), (b"V".to_vec(), true));
    }

    #[test]
    fn who_dies_leaves_it_armed() {
        let mut fifo = Fifo::new("dead");
        let mut watchdog = fifo.watchdog();
        watchdog.feed();
        drop(watchdog);
        assert_eq!(fifo.heard(), (b".".to_vec(), true));
    }

    #[test]
    fn one_that_is_full_or_gone_does_not_stall() {
        let mut fifo = Fifo::new("full");
        let mut watchdog = fifo.watchdog();
        while !watchdog.is_failing {
            watchdog.feed();
        }
        assert!(fifo.heard().0.len() >= 4096);
        watchdog.feed();
        assert!(!watchdog.is_failing, "it eats again");
    }

    #[test]
    fn what_is_no_watchdog_is_refused_by_name() {
        let directory = std::env::temp_dir();
        for (path, what) in [
            ("/dev/null", "ioctl"),
            ("/nonexistent/watchdog", "No such file"),
            (directory.to_str().unwrap(), "directory"),
        ] {
            let refusal = Watchdog::open(path, INTERVAL).unwrap_err();
            assert!(refusal.starts_with(&format!("watchdog {path}: ")) && refusal.contains(what), "{refusal}");
            assert!(refusal.contains("expected a watchdog device"), "{refusal}");
        }
    }
}
