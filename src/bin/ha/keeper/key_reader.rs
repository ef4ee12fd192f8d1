//! Reading the keys again: by one process at a time, and once more for a SIGHUP that comes meanwhile.
//!
//! So the keys arrive in the order of the signals, and the last file counts.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ha::time::{Duration, Instant};
use ha::wire::Context;
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};

use crate::log::{info, warn};
use crate::settings::keys::SigningKeys;
use crate::text::Text;

/// The process that reads, if there is one.
#[derive(Debug, Default)]
pub struct KeyReader {
    running: Option<Running>,
    /// A SIGHUP came after it had begun: what it reads may be old.
    is_asked_again: bool,
}

#[derive(Debug)]
struct Running {
    pid: Pid,
    /// Readable when it has ended. Before Linux 5.3 there is none.
    end: Option<OwnedFd>,
}

impl KeyReader {
    /// Starts a process that reads `file`, or notes that it has to be read again. Returns the socket that the keys come from.
    pub fn read(&mut self, file: Text, context: Context) -> Option<OwnedFd> {
        if self.running.is_some() {
            info!("SIGHUP: {file} is still being read; it will be read once more then");
            self.is_asked_again = true;
            return None;
        }
        self.is_asked_again = false;
        match SigningKeys::read_apart(file, context) {
            Ok((pid, socket)) => {
                self.running = Some(Running { pid, end: pidfd_open(pid, PidfdFlags::empty()).ok() });
                Some(socket)
            }
            Err(error) => {
                warn!("SIGHUP: read {file}: {error}");
                None
            }
        }
    }

    /// Reaps the process if it has ended. True, once, if its file has to be read again.
    #[must_use]
    pub fn reap(&mut self) -> bool {
        self.running.take_if(|running| !matches!(waitpid(Some(running.pid), WaitOptions::NOHANG), Ok(None)));
        self.running.is_none() && std::mem::take(&mut self.is_asked_again)
    }

    /// The process that reads.
    pub fn pid(&self) -> Option<Pid> {
        self.running.as_ref().map(|running| running.pid)
    }

    /// Readable when the process has ended.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref()?.end.as_ref().map(OwnedFd::as_fd)
    }

    /// When to look for its end where no descriptor says it.
    pub fn next_look(&self, now: Instant) -> Option<Instant> {
        self.running.as_ref().filter(|running| running.end.is_none()).map(|_| now + LOOK_FOR_END)
    }
}

const LOOK_FOR_END: Duration = Duration::from_millis(100);
