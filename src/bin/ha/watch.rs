//! Waiting for several descriptors at once (ppoll(2)).

use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};

use ha::time::Duration;
use rustix::io::{self, Errno};

use crate::linux;

/// What is waited for: `N` descriptors at most.
#[derive(Debug, Default)]
pub struct Watch<'a, const N: usize> {
    fds: heapless::Vec<libc::pollfd, N>,
    borrowed: PhantomData<BorrowedFd<'a>>,
}

impl<'a, const N: usize> Watch<'a, N> {
    /// Waits until this one can be read; returns its place.
    pub fn add(&mut self, fd: BorrowedFd<'a>) -> usize {
        self.add_for(fd, libc::POLLIN)
    }

    /// Waits until this one can be written; returns its place.
    pub fn add_writer(&mut self, fd: BorrowedFd<'a>) -> usize {
        self.add_for(fd, libc::POLLOUT)
    }

    fn add_for(&mut self, fd: BorrowedFd<'a>, events: i16) -> usize {
        let pushed = self.fds.push(libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 });
        assert!(pushed.is_ok(), "callers count what they wait for");
        self.fds.len() - 1
    }

    /// Sleeps until one is ready or has ended, `limit` has passed, or a signal came.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        match linux::poll::poll(&mut self.fds, limit.map(Duration::micros)) {
            Err(Errno::INTR) => Ok(()),
            outcome => outcome,
        }
    }

    /// True if the one at this place is ready or has ended.
    pub fn is_ready(&self, place: usize) -> bool {
        self.fds[place].revents != 0
    }
}
