//! Waiting for several descriptors at once (ppoll(2)).

use std::io;
use std::os::fd::BorrowedFd;

use ha::time::Duration;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// What is waited for: `N` descriptors at most.
#[derive(Debug, Default)]
pub struct Watch<'a, const N: usize> {
    fds: heapless::Vec<PollFd<'a>, N>,
}

impl<'a, const N: usize> Watch<'a, N> {
    /// Waits for this one too; returns its place.
    pub fn add(&mut self, fd: BorrowedFd<'a>) -> usize {
        let pushed = self.fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        assert!(pushed.is_ok(), "callers count what they wait for");
        self.fds.len() - 1
    }

    /// Sleeps until one can be read or has ended, `limit` has passed, or a signal came.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        match poll(&mut self.fds, limit.map(timespec).as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// True if the one at this place can be read or has ended.
    pub fn is_ready(&self, place: usize) -> bool {
        !self.fds[place].revents().is_empty()
    }
}

fn timespec(span: Duration) -> Timespec {
    let secs = i64::try_from(span.micros() / 1_000_000).unwrap_or(i64::MAX);
    let nanos = u32::try_from(span.micros() % 1_000_000 * 1_000).expect("less than a second");
    Timespec { tv_sec: secs, tv_nsec: nanos.into() }
}
