//! The watchdog: a device that restarts the machine unless it is fed (linux/watchdog.h).
//!
//! Like a dead man's handle in a train, which stops the train when the driver stops pressing it, for whatever reason. Opening the
//! device starts it. It ends with the magic character `V` only, so a daemon that dies in any other way leaves it armed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ha::time::Duration;
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::{self, Errno};
use rustix::ioctl;

use super::file;

/// An open watchdog. Dropped without [`Watchdog::stop`], it fires.
#[derive(Debug)]
pub struct Watchdog {
    device: OwnedFd,
}

/// When an open watchdog fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// When nothing has fed it for this long.
    After(Duration),
    /// The device does not say.
    Unknown(Errno),
    /// It is a FIFO or a regular file, which is good for tests only.
    Never,
}

impl Watchdog {
    /// Opens and so starts it.
    ///
    /// # Errors
    /// It is no watchdog, or another program has it; nothing was started then.
    pub fn open(path: &str) -> io::Result<(Self, Timeout)> {
        // Non-blocking, so that a fake one does not stall the keeper.
        let device = file::open(path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let timeout = match FileType::from_raw_mode(fstat(&device)?.st_mode) {
            FileType::CharacterDevice => match timeout_s(device.as_fd()) {
                Ok(secs) => Timeout::After(Duration::from_secs(u64::try_from(secs).unwrap_or(0))),
                Err(Errno::NOTTY) => return Err(Errno::NOTTY),
                Err(errno) => Timeout::Unknown(errno),
            },
            FileType::Fifo | FileType::RegularFile => Timeout::Never,
            _ => return Err(Errno::NODEV),
        };
        Ok((Self { device }, timeout))
    }

    /// Feeds it once.
    pub fn feed(&self) -> io::Result<()> {
        // Any character but V.
        io::write(&self.device, b".").map(drop)
    }

    /// Stops it. A device set to `nowayout` goes on and the kernel says so.
    pub fn stop(self) -> io::Result<()> {
        io::write(&self.device, b"V").map(drop)
    }
}

/// Seconds until a watchdog device fires unless it is fed (WDIOC_GETTIMEOUT).
fn timeout_s(fd: BorrowedFd<'_>) -> io::Result<i32> {
    const GET_TIMEOUT: ioctl::Opcode = ioctl::opcode::read::<libc::c_int>(b'W', 7);
    // SAFETY: for a watchdog the request writes an int; what is no watchdog has no request with this letter.
    unsafe { ioctl::ioctl(fd, ioctl::Getter::<GET_TIMEOUT, libc::c_int>::new()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{ErrorKind, Read};
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::PathBuf;

    use super::*;

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
            let (watchdog, timeout) = Watchdog::open(self.path.to_str().unwrap()).unwrap();
            assert_eq!(timeout, Timeout::Never);
            watchdog
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
        let watchdog = fifo.watchdog();
        assert_eq!(fifo.heard(), (vec![], false), "opening writes nothing");
        watchdog.feed().unwrap();
        watchdog.feed().unwrap();
        assert_eq!(fifo.heard(), (b"..".to_vec(), false));
        watchdog.stop().unwrap();
        assert_eq!(fifo.heard(), (b"V".to_vec(), true));
    }

    #[test]
    fn a_daemon_that_dies_leaves_it_armed() {
        let mut fifo = Fifo::new("dead");
        let watchdog = fifo.watchdog();
        watchdog.feed().unwrap();
        drop(watchdog);
        assert_eq!(fifo.heard(), (b".".to_vec(), true));
    }

    #[test]
    fn one_that_is_full_or_gone_does_not_stall() {
        let mut fifo = Fifo::new("full");
        let watchdog = fifo.watchdog();
        while watchdog.feed().is_ok() {}
        assert!(fifo.heard().0.len() >= 4096);
        watchdog.feed().expect("it has room again");
    }

    #[test]
    fn what_is_no_watchdog_is_refused() {
        let refusal = |path| Watchdog::open(path).map(|_| ()).unwrap_err();
        assert_eq!(refusal("/dev/null"), Errno::NOTTY);
        assert_eq!(refusal("/nonexistent/watchdog"), Errno::NOENT);
        assert_eq!(refusal(std::env::temp_dir().to_str().unwrap()), Errno::ISDIR);
    }
}
