//! What the group says, by two sockets: urgent words wake the worker, routine ones are read when it is awake anyway.
//!
//! A sender's packets are handed in by their order, whichever socket they came by: the core takes one that a newer one has overtaken
//! for a replayed one. So each turn takes what arrived before it began, the older one first; what arrives meanwhile is for the next.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ha::time::Instant;
use ha::wire::LEN;
use rustix::io;

use crate::linux::clock;
use crate::linux::datagram::Datagram;
use crate::linux::udp::GroupSocket;

/// Both sockets.
#[derive(Debug)]
pub struct Hearing {
    urgent: Ear,
    routine: Ear,
    /// Until then routine words wake, too.
    waits_for_all_until: Instant,
}

/// One socket.
#[derive(Debug)]
struct Ear {
    socket: GroupSocket,
    /// What was read and not handed in, and when it arrived.
    next: Option<(Instant, Datagram)>,
    /// There was nothing to be read then: what is read later has arrived later.
    empty_at: Instant,
}

impl Hearing {
    /// By sockets that the keeper has opened for `group`, and the one that sends to it if they do not.
    pub fn adopt([urgent, routine]: [OwnedFd; 2], sender: Option<OwnedFd>, group: SocketAddr) -> Self {
        let ear = |socket, sender| {
            let socket = GroupSocket::adopt(socket, sender, group);
            Ear { socket, next: None, empty_at: clock::now() }
        };
        let (urgent, routine) = (ear(urgent, sender), ear(routine, None));
        Self { urgent, routine, waits_for_all_until: Instant::from_micros(0) }
    }

    /// Sends to the group.
    pub fn send(&self, packet: &[u8; LEN]) -> io::Result<()> {
        self.urgent.socket.send(packet)
    }

    /// By which it sends.
    pub fn sender(&self) -> BorrowedFd<'_> {
        self.urgent.socket.sender()
    }

    /// What to wait for.
    pub fn waits_for(&self, now: Instant) -> impl Iterator<Item = BorrowedFd<'_>> {
        let routine = (now < self.waits_for_all_until).then_some(&self.routine);
        [Some(&self.urgent), routine].into_iter().flatten().map(|ear| ear.socket.as_fd())
    }

    /// Routine words wake, too, until then: there are so many that the kernel may not have room for them until the next turn.
    pub fn wait_for_all(&mut self, until: Instant) {
        self.waits_for_all_until = until;
    }

    /// True if something urgent was read and is still to be handed in.
    pub fn has_more(&self) -> bool {
        self.urgent.next.is_some()
    }

    /// The oldest datagram that is still to be handed in, and when it arrived, if that was before the turn `began_at`.
    pub fn next(&mut self, began_at: Instant) -> Option<(Instant, Datagram)> {
        let [urgent, routine] = [&mut self.urgent, &mut self.routine].map(|ear| ear.look(began_at));
        let is_routine = routine.is_some_and(|at| urgent.is_none_or(|urgent| at <= urgent));
        let ear = if is_routine { &mut self.routine } else { &mut self.urgent };
        ear.next.take_if(|(at, _)| *at <= began_at)
    }
}

impl Ear {
    /// When the next datagram arrived, if that was before the turn `began_at`.
    fn look(&mut self, began_at: Instant) -> Option<Instant> {
        if self.next.is_none() && self.empty_at < began_at {
            let before = clock::now();
            match self.socket.receive() {
                // The clock that dates packets may have been set meanwhile.
                Ok(datagram) => {
                    let at = clock::now().saturating_sub(datagram.age).max(self.empty_at);
                    self.next = Some((at, datagram));
                }
                Err(_) => self.empty_at = before,
            }
        }
        self.next.as_ref().map(|&(at, _)| at).filter(|&at| at <= began_at)
    }
}
