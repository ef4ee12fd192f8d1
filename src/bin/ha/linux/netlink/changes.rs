//! What other programs change, as the kernel reports it to a multicast group of netlink.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{self, Errno};
use rustix::net::{Protocol, RecvFlags, SocketFlags};

use super::message::{Message, Messages};
use super::open_for;

/// Hears changes of one kind.
#[derive(Debug)]
pub struct Changes {
    socket: OwnedFd,
}

impl Changes {
    /// Opens the socket. No filter: a message about another thing may have one about ours behind it.
    pub fn open(protocol: Option<Protocol>, group: u32) -> io::Result<Self> {
        Ok(Self { socket: open_for(protocol, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, group)? })
    }

    /// Reads what was changed, as much as takes no time to speak of; the rest is there the next time. True if something may be
    /// concerned.
    pub fn drain(&self, concerns: &dyn Fn(Message<'_>) -> bool) -> bool {
        let mut buffer = [0; 4 * 1024];
        let mut is_concerned = false;
        for _ in 0..MOST_READS {
            match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::TRUNC) {
                Ok((_, len)) => {
                    is_concerned |= buffer.get(..len).is_none_or(|read| Messages(read).any(concerns));
                }
                Err(Errno::INTR) => {}
                // There were too many.
                Err(Errno::NOBUFS) => is_concerned = true,
                Err(_) => break,
            }
        }
        is_concerned
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Some hundred microseconds.
const MOST_READS: usize = 64;
