//! Waiting for several descriptors at once (ppoll(2)).

use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use ha::time::Duration;
use rustix::io::{self, Errno};

use super::{PPOLL_64, check_long};

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
        match poll(&mut self.fds, limit.map(Duration::as_micros)) {
            Err(Errno::INTR) => Ok(()),
            outcome => outcome,
        }
    }

    /// True if the one at this place is ready or has ended.
    pub fn is_ready(&self, place: usize) -> bool {
        self.fds[place].revents != 0
    }
}

/// Waits for `limit_us` microseconds at most until one of `fds` is ready (ppoll(2)). A system call of its own: where `long` has
/// 32 bits a kernel may have the call with 64-bit time only, or the older one only, and musl does not try both.
fn poll(fds: &mut [libc::pollfd], limit_us: Option<u64>) -> io::Result<()> {
    let long = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let limit = limit_us.map(|us| [long(us / 1_000_000), long(us % 1_000_000 * 1_000)]);
    match poll_by(PPOLL_64, fds, limit) {
        Err(Errno::NOSYS) if cfg!(target_pointer_width = "32") => {
            let short = |number: i64| libc::c_long::try_from(number).unwrap_or(libc::c_long::MAX);
            poll_by(libc::SYS_ppoll, fds, limit.map(|limit| limit.map(short)))
        }
        outcome => outcome,
    }
}

fn poll_by<T>(call: libc::c_long, fds: &mut [libc::pollfd], mut limit: Option<[T; 2]>) -> io::Result<()> {
    let limit = limit.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    let no_signals = ptr::null::<libc::sigset_t>();
    // SAFETY: the kernel writes into as many structures as the slice has, and into the limit, of the type that the call
    // wants, during the call only.
    let done = unsafe { libc::syscall(call, fds.as_mut_ptr(), fds.len(), limit, no_signals, 0usize) };
    check_long(done).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::clock;

    #[test]
    fn a_limit_of_50_ms_is_waited_out() {
        let before = clock::now();
        Watch::<0>::default().wait(Some(Duration::from_millis(50))).unwrap();
        let waited = clock::now().since(before).as_micros();
        assert!((50_000..10_000_000).contains(&waited), "{waited} us");
    }
}
