//! Standard error, written so that nothing waits for it, whatever it is.
//!
//! | it is | its lines are written |
//! |---|---|
//! | a terminal or another device, a pipe | by a description of our own, opened anew, that does not block |
//! | a socket | each with MSG_DONTWAIT |
//! | a file | as they are: it takes them at once, or says at once that the disk is full |
//!
//! The flags of the description that we were given are never changed: the shell that started us has it, too. Programs of the
//! user get that one. Where nothing can be opened anew (no /proc, or no permission) we are left with it, and write only after
//! the kernel has said that there is room: enough for a line in a pipe that no other process fills, for a byte at least in a
//! terminal.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};

use ha::time::Duration;
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::{self, Errno};
use rustix::net::SendFlags;
use rustix::stdio::{dup2_stderr, stderr};

use crate::linux::poll::Watch;
use crate::linux::{self, file};

/// Where lines go, and how many did not get there: of all processes of the daemon, so that the lost lines of a worker are reported
/// when it is dead.
#[derive(Debug)]
pub struct Outlet {
    kind: Kind,
    lost: &'static AtomicU32,
    /// The last line there has no end: not zero.
    is_cut: &'static AtomicU32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A write does not wait.
    Ready,
    /// It would: it is sent to.
    Socket,
    /// It may: asked before.
    Shared,
}

impl Outlet {
    /// Makes the best of standard error; the result says why if that is not good.
    pub fn open() -> (Self, io::Result<()>) {
        let (kind, outcome) = match fstat(stderr()).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Socket) => (Kind::Socket, Ok(())),
            Ok(FileType::CharacterDevice | FileType::Fifo) => match open_anew() {
                Ok(()) => (Kind::Ready, Ok(())),
                // There is no reader: a write says so at once, too.
                Err(Errno::NXIO) => (Kind::Shared, Ok(())),
                Err(errno) => (Kind::Shared, Err(errno)),
            },
            _ => (Kind::Ready, Ok(())),
        };
        let [lost, is_cut] = linux::memory::shared_numbers();
        (Self { kind, lost, is_cut }, outcome)
    }

    /// Whether lines are sent, and not written.
    pub fn is_socket(&self) -> bool {
        self.kind == Kind::Socket
    }

    /// Writes a line to standard error; false if not all of it got there.
    pub fn write(&self, line: &[u8]) -> bool {
        if self.is_cut.swap(0, Ordering::Relaxed) != 0 && self.write_some(b"\n") != Ok(1) {
            self.is_cut.store(1, Ordering::Relaxed);
            return false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.write_some(rest) {
                Ok(written) if written > 0 => rest = &rest[written..],
                Err(Errno::INTR) => {}
                _ => {
                    // What a line begins with stays: the next one shall not follow it.
                    if rest.len() < line.len() {
                        self.is_cut.store(1, Ordering::Relaxed);
                    }
                    return false;
                }
            }
        }
        true
    }

    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let fd = stderr();
        match self.kind {
            Kind::Ready => io::write(fd, bytes),
            Kind::Socket => rustix::net::send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Kind::Shared => {
                let mut watch = Watch::<1>::default();
                let place = watch.add_writer(fd);
                watch.wait(Some(Duration::ZERO))?;
                if watch.is_ready(place) { io::write(fd, bytes) } else { Err(Errno::AGAIN) }
            }
        }
    }

    /// Counts lines that are lost and not reported yet.
    pub fn lose(&self, lines: u32) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// How many were lost and are not reported yet: the caller reports them, or gives them back by [`Outlet::lose`].
    pub fn take_lost(&self) -> u32 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

/// From now on standard error is a description of our own.
fn open_anew() -> io::Result<()> {
    let own = file::open("/proc/self/fd/2", OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let given = io::fcntl_dupfd_cloexec(stderr(), 3)?;
    dup2_stderr(own.as_fd())?;
    linux::process::lend(given);
    Ok(())
}
