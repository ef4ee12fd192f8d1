//! Where clients send to: the neighbour tables of their kernels, watched without sending a frame.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::frames::Mac;
use crate::net::Lab;
use crate::sys::{self, Nanos};

/// Members of a lab whose tables are watched.
#[derive(Debug)]
pub struct Neighbours {
    members: Vec<String>,
    seen: Arc<Seen>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// A member has another MAC for the shared address than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// When its kernel reported the change: one wake-up after it happened.
    pub at: Nanos,
    /// The index of the member.
    pub member: usize,
    /// The new MAC.
    pub mac: Mac,
}

#[derive(Debug, Default)]
struct Seen {
    moves: Mutex<Vec<Move>>,
    ends: AtomicBool,
}

impl Neighbours {
    /// Watches `address` in the tables of these members.
    ///
    /// # Errors
    /// When a socket or the thread is refused.
    pub fn watch(lab: &Lab, members: Vec<String>, address: IpAddr) -> io::Result<Self> {
        let socket = |member: &String| sys::inside(&lab.namespace(member), sys::neighbour_socket);
        let sockets = members.iter().map(socket).collect::<io::Result<Vec<_>>>()?;
        let seen = Arc::new(Seen::default());
        let thread = thread::Builder::new().name("neighbours".into()).spawn({
            let seen = seen.clone();
            move || listen(&seen, &sockets, address)
        })?;
        Ok(Self { members, seen, thread: Some(thread) })
    }

    /// The members, in the order of [`Move::member`].
    pub fn members(&self) -> &[String] {
        &self.members
    }

    /// The moves so far, in the order of time.
    pub fn moves(&self) -> Vec<Move> {
        self.seen.moves.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops watching, and returns all moves.
    ///
    /// # Errors
    /// When the kernel dropped a report.
    pub fn stop(mut self) -> io::Result<Vec<Move>> {
        self.seen.ends.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("only `stop` takes it");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(self.moves())
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.seen.ends.store(true, Ordering::Relaxed);
    }
}

/// The MAC that a member has for `address` now, if it has one.
///
/// # Errors
/// When its table cannot be read.
pub fn entry(lab: &Lab, member: &str, address: IpAddr) -> io::Result<Option<Mac>> {
    let socket = sys::inside(&lab.namespace(member), sys::route_socket)?;
    let mut found = None;
    sys::read_neighbours(&socket, |bytes| {
        found = found.or_else(|| messages(bytes).find_map(|message| read(message, address)));
        !messages(bytes).any(|message| kind(message) == Some(NLMSG_DONE))
    })?;
    Ok(found)
}

fn listen(seen: &Seen, sockets: &[OwnedFd], address: IpAddr) -> io::Result<()> {
    let _ = sys::be_punctual(PRIORITY); // without the permission the times are a little late
    let mut buffer = [0; 8192];
    let mut known = vec![None; sockets.len()];
    while !seen.ends.load(Ordering::Relaxed) {
        sys::wait_readable(sockets, 20);
        let at = sys::now();
        for (member, socket) in sockets.iter().enumerate() {
            while let Some((length, _)) = sys::receive(socket, &mut buffer)? {
                for mac in messages(&buffer[..length]).filter_map(|message| read(message, address)) {
                    if known[member].replace(mac) != Some(mac) {
                        seen.moves.lock().unwrap_or_else(PoisonError::into_inner).push(Move { at, member, mac });
                    }
                }
            }
        }
    }
    Ok(())
}

/// Cuts a datagram into netlink messages (netlink(7)).
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?;
        let message = bytes.get(..length).filter(|message| message.len() >= HEADER)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The MAC that `address` has from now on, according to a message (`RTM_NEWNEIGH` of rtnetlink(7)).
///
/// An entry without a MAC, such as one that the kernel is still asking for, is none.
fn read(message: &[u8], address: IpAddr) -> Option<Mac> {
    if kind(message)? != RTM_NEWNEIGH {
        return None;
    }
    let (mut is_ours, mut mac) = (false, None);
    let mut attributes = message.get(HEADER + NDMSG..)?;
    while let [a, b, c, d, ..] = *attributes {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = attributes.get(4..length)?;
        match u16::from_ne_bytes([c, d]) {
            NDA_DST => is_ours = is_address(value, address),
            NDA_LLADDR => mac = value.try_into().ok().map(Mac),
            _ => {} // of no interest
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    mac.filter(|_| is_ours)
}

fn kind(message: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?))
}

fn is_address(bytes: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => bytes == address.octets(),
        IpAddr::V6(address) => bytes == address.octets(),
    }
}

const PRIORITY: u8 = 4;
const HEADER: usize = 16;
const NDMSG: usize = 12;
const NLMSG_DONE: u16 = 3;
const RTM_NEWNEIGH: u16 = 28;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::net::{SHARED, SHARED_SIX};

    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
    const ONE: Mac = Mac::of(1);
    const TWO: Mac = Mac::of(2);

    /// A message of that kind about an entry.
    fn message(kind: u16, address: &[u8], mac: Option<Mac>) -> Vec<u8> {
        let attribute = |kind: u16, value: &[u8]| {
            let length = u16::try_from(4 + value.len()).unwrap();
            let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let mac = mac.map(|mac| attribute(NDA_LLADDR, &mac.0)).unwrap_or_default();
        let body = [vec![0; NDMSG], attribute(NDA_DST, address), mac].concat();
        let length = u32::try_from(HEADER + body.len()).unwrap();
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], &body].concat()
    }

    fn said(bytes: &[u8], address: IpAddr) -> Vec<Mac> {
        messages(bytes).filter_map(|message| read(message, address)).collect()
    }

    #[test]
    fn of_several_messages_those_are_read_that_say_where_the_address_is_now() {
        let deleted = RTM_NEWNEIGH + 1;
        let bytes = [
            message(RTM_NEWNEIGH, &SHARED.octets(), Some(ONE)),
            message(RTM_NEWNEIGH, &OTHER.octets(), Some(Mac::of(7))),
            message(deleted, &SHARED.octets(), Some(ONE)),
            message(RTM_NEWNEIGH, &SHARED.octets(), None),
            message(RTM_NEWNEIGH, &SHARED.octets(), Some(TWO)),
        ]
        .concat();
        assert_eq!(said(&bytes, SHARED.into()), [ONE, TWO]);
        for length in 0..bytes.len() {
            assert!(said(&bytes[..length], SHARED.into()).len() < 2, "{length} bytes");
        }
    }

    #[test]
    fn a_table_may_have_addresses_of_both_families() {
        let bytes = [
            message(RTM_NEWNEIGH, &SHARED.octets(), Some(ONE)),
            message(RTM_NEWNEIGH, &SHARED_SIX.octets(), Some(TWO)),
        ]
        .concat();
        assert_eq!(said(&bytes, SHARED.into()), [ONE]);
        assert_eq!(said(&bytes, SHARED_SIX.into()), [TWO]);
    }
}
