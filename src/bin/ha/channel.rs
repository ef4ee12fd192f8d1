//! Messages between worker and keeper: orders one way, news the other, each way of one size, over a pair of SOCK_SEQPACKET.
//!
//! A worker can order nothing but the variants of [`Order`], even one that an attacker has taken over. Of the node's key the
//! keeper sees signatures only.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use ha::config::{Config, MAX_LINKS};
use ha::node::{Macs, Unfit};
use ha::time::Duration;
use ha::wire::LEN;
use ha::wire::arp::Mac;
use rustix::io::{self, Errno};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};

mod parts;

use parts::{Bytes, Part};

/// From the worker to the keeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// "I live": before every packet, and once an interval at least. The keeper replies when `duty` is done, see
    /// [`Channel::reply`].
    Beat {
        /// When it was decided, in microseconds of CLOCK_BOOTTIME.
        at_us: u64,
        /// What has to be done first.
        duty: Duty,
        /// The keeper sends it for a worker that has died; newer than all that the worker has sent.
        resign_packet: Option<[u8; LEN]>,
    },
    /// Add all addresses; a beat that releases them takes that back.
    Take {
        /// Goes back with the outcome.
        ticket: u32,
        /// When it was decided, as above.
        at_us: u64,
    },
    /// Gratuitous ARP for the address with this index.
    Announce(u8),
    /// Ask who has this address.
    Probe {
        /// On this link.
        link: u8,
        /// Which one.
        address: IpAddr,
    },
    /// The state has changed, and the address with it, or an ACTIVE has put the address back: run the hook.
    Changed {
        /// The state now.
        to: u8,
        /// The real address of the node that it has to do with.
        peer: Option<IpAddr>,
        /// Why.
        reason: heapless::String<REASON_LEN>,
    },
    /// A directed request from the address with this index.
    Ask {
        /// Which shared address.
        index: u8,
        /// The neighbour to ask.
        neighbour: IpAddr,
        /// Its hardware address; else the question is broadcast.
        to: Option<Mac>,
    },
    /// The worker has followed this many news, in all: there is room for others.
    Acknowledge(u32),
}

/// What goes with a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Nothing.
    None,
    /// Renew the lease of all addresses.
    Renew,
    /// Make sure that no address is there.
    AssertAbsent,
    /// Remove all addresses.
    Release,
}

/// From the keeper to the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// All links can carry packets. Sockets come with it: that of the group for urgent words, one that sends to the group if that is of
    /// IPv6, that for routine words, and for each link one for ARP, and one for neighbour discovery if it has addresses of IPv6.
    Up {
        /// The real address of the first one.
        node: IpAddr,
        /// Bits of its subnet's prefix.
        prefix: u8,
        /// The hardware addresses.
        macs: Macs,
        /// All were up at the first look.
        already: bool,
    },
    /// One cannot.
    Down {
        /// Why.
        why: Unfit,
        /// Which one, if the reason is one of it.
        link: u8,
    },
    /// The keys are read again; they, or the end, come from the socket that comes with this.
    Keys,
    /// Another program removed an address.
    Lost,
    /// Another program added one.
    Found,
    /// The hardware addresses of the links are these now.
    MacChanged(Macs),
    /// All addresses are up.
    Taken(u32),
    /// Not all could be added; none of them is left.
    Refused(u32),
    /// Leave the group.
    Shutdown,
    /// Log the status.
    Status,
    /// Hosts on a link that the kernel knows.
    Neighbours {
        /// Which link.
        link: u8,
        /// Routes lead over them.
        are_gateways: bool,
        /// Some of them; the others follow.
        addresses: heapless::Vec<IpAddr, NEIGHBOURS_AT_ONCE>,
    },
    /// Whether a fence guards the addresses. Before each [`News::Up`], and whenever it changes; also when it was loaded again:
    /// then it is closed until the next heartbeat of an ACTIVE.
    Fenced(bool),
}

/// A message in its own length.
pub trait Message: Part {
    /// Bytes of each message, padded with zeros.
    const LEN: usize;
}

impl Message for Order {
    const LEN: usize = 144;
}

impl Message for News {
    const LEN: usize = 136;
}

/// One end.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    /// Replies to beats. They have a way of their own, which wakes nobody who does not wait for one.
    replies: OwnedFd,
}

/// What was received.
#[derive(Debug)]
pub struct Received<M> {
    /// The message.
    pub message: M,
    /// What came with it.
    pub sockets: heapless::Vec<OwnedFd, UP_SOCKETS>,
}

impl Channel {
    /// Both ends.
    pub fn pair() -> io::Result<(Self, Self)> {
        let pair = || rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let ((one, other), (to_other, from_one)) = (pair()?, pair()?);
        Ok((Self { socket: one, replies: to_other }, Self { socket: other, replies: from_one }))
    }

    /// The numbers of its sockets.
    pub fn descriptors(&self) -> [RawFd; 2] {
        [&self.socket, &self.replies].map(AsRawFd::as_raw_fd)
    }

    /// Says that the duty of a beat is done; or that it failed, and no address is left. Errors as of [`Self::send`].
    pub fn reply(&self, is_done: bool) -> io::Result<()> {
        rustix::net::send(&self.replies, &[is_done.into()], SendFlags::DONTWAIT | SendFlags::NOSIGNAL).map(drop)
    }

    /// Waits for the reply to a beat.
    ///
    /// # Errors
    /// `PIPE`: the other side is gone.
    pub fn await_reply(&self) -> io::Result<bool> {
        let mut is_done = [0];
        loop {
            match rustix::net::recv(&self.replies, &mut is_done[..], RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Ok((_, 0)) => return Err(Errno::PIPE),
                outcome => return outcome.map(|_| is_done != [0]),
            }
        }
    }

    /// Sends; `sockets` are copied to the other side. `WOULDBLOCK` if the other side does not read.
    pub fn send<M: Message>(&self, message: &M, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut bytes = [0; BUFFER];
        let fits = message.put(&mut Bytes { rest: &mut bytes[..M::LEN] });
        assert!(fits.is_some(), "messages are as long as the longest one");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(UP_SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if sockets.is_empty() {
            rustix::net::send(&self.socket, &bytes[..M::LEN], SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
            return Ok(());
        }
        let pushed = control.push(SendAncillaryMessage::ScmRights(sockets));
        assert!(pushed, "no more come with a message");
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::net::sendmsg(&self.socket, &[IoSlice::new(&bytes[..M::LEN])], &mut control, flags)?;
        Ok(())
    }

    /// The next message; `WOULDBLOCK` if there is none and `waits` is false.
    ///
    /// # Errors
    /// `PIPE`: the other side is gone. `BADMSG`: it does not speak as it should.
    pub fn receive<M: Message>(&self, waits: bool) -> io::Result<Received<M>> {
        let mut bytes = [0; BUFFER];
        let mut sockets = heapless::Vec::new();
        let len = self.receive_bytes(waits, &mut bytes, &mut sockets)?;
        let message = Some(&mut bytes[..M::LEN]).filter(|_| len == M::LEN);
        match message.and_then(|rest| M::get(&mut Bytes { rest })) {
            Some(message) => Ok(Received { message, sockets }),
            None => Err(Errno::BADMSG),
        }
    }

    fn receive_bytes(
        &self,
        waits: bool,
        bytes: &mut [u8; BUFFER],
        sockets: &mut heapless::Vec<OwnedFd, UP_SOCKETS>,
    ) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(UP_SOCKETS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let wait = if waits { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        let got = loop {
            let part = &mut [IoSliceMut::new(bytes)];
            match rustix::net::recvmsg(&self.socket, part, &mut control, wait | RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                // It has died before it read everything.
                Err(Errno::CONNRESET) => return Err(Errno::PIPE),
                outcome => break outcome?,
            }
        };
        if got.bytes == 0 {
            return Err(Errno::PIPE);
        }
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                sockets.extend(rights.take(UP_SOCKETS));
            }
        }
        Ok(got.bytes)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The keeper hears at least this often that the worker lives. Not with each short interval, since each time both wake up, and not
/// before the core has had something for it to do.
pub fn beat_interval(config: &Config) -> Duration {
    config.interval().max(Duration::from_secs(1)).saturating_mul(3) / 2
}

/// Sockets that come with [`News::Up`], the most with any message.
pub const UP_SOCKETS: usize = 3 + 2 * MAX_LINKS;

/// Neighbours in one message.
pub const NEIGHBOURS_AT_ONCE: usize = 8;

/// News that the worker has not followed: the keeper sends no more.
pub const MAX_UNREAD: usize = 16;

/// Bytes of the reason that a hook gets, at most.
pub const REASON_LEN: usize = 96;

/// Longer than every message, so that a longer one is noticed.
const BUFFER: usize = 160;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONG: IpAddr = IpAddr::V6(std::net::Ipv6Addr::from_bits(u128::MAX));

    fn longest() -> [Order; 3] {
        let reason = "x".repeat(REASON_LEN).as_str().try_into().unwrap();
        [
            Order::Beat { at_us: u64::MAX, duty: Duty::Renew, resign_packet: Some([255; LEN]) },
            Order::Take { ticket: u32::MAX, at_us: u64::MAX },
            Order::Changed { to: 255, peer: Some(LONG), reason },
        ]
    }

    #[test]
    fn the_longest_messages_fit() {
        let (keeper, worker) = Channel::pair().unwrap();
        for order in longest() {
            worker.send(&order, &[]).unwrap();
            assert_eq!(keeper.receive::<Order>(false).unwrap().message, order);
        }
        let addresses = heapless::Vec::from_slice(&[LONG; NEIGHBOURS_AT_ONCE]).unwrap();
        let neighbours = News::Neighbours { link: 3, are_gateways: true, addresses };
        keeper.send(&neighbours, &[]).unwrap();
        let received = worker.receive::<News>(true).unwrap();
        assert_eq!(received.message, neighbours);
        let news = News::Up { node: LONG, prefix: 255, macs: [[255; 6]; MAX_LINKS], already: true };
        keeper.send(&news, &[keeper.as_fd(); UP_SOCKETS]).unwrap();
        let received = worker.receive::<News>(true).unwrap();
        assert_eq!(received.message, news);
        assert_eq!(received.sockets.len(), UP_SOCKETS);
        assert_eq!(worker.receive::<News>(false).unwrap_err(), Errno::WOULDBLOCK);
    }

    #[test]
    fn an_end_is_told_from_silence() {
        let (keeper, worker) = Channel::pair().unwrap();
        drop(worker);
        assert_eq!(keeper.receive::<Order>(true).unwrap_err(), Errno::PIPE);
        assert_eq!(keeper.await_reply().unwrap_err(), Errno::PIPE);
    }

    #[test]
    fn a_reply_wakes_nobody_who_does_not_wait_for_it() {
        let (keeper, worker) = Channel::pair().unwrap();
        for is_done in [true, false] {
            keeper.reply(is_done).unwrap();
            let mut watch = crate::linux::poll::Watch::<1>::default();
            let news = watch.add(worker.as_fd());
            watch.wait(Some(Duration::ZERO)).unwrap();
            assert!(!watch.is_ready(news));
            assert_eq!(worker.await_reply(), Ok(is_done));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_an_order_or_refused(bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
            let (keeper, worker) = Channel::pair().unwrap();
            rustix::net::send(&worker.socket, &bytes, SendFlags::empty()).unwrap();
            match keeper.receive::<Order>(false) {
                Ok(_) => prop_assert_eq!(bytes.len(), Order::LEN),
                Err(error) => prop_assert_eq!(error, Errno::BADMSG),
            }
        }
    }
}
