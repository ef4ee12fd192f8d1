//! Where clients send to: the neighbour tables of their kernels, watched without sending a frame.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::frames::Mac;
use crate::net::{Lab, SHARED};
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
    /// Watches the shared address in the tables of these members.
    ///
    /// # Errors
    /// When a socket or the thread is refused.
    pub fn watch(lab: &Lab, members: Vec<String>) -> io::Result<Self> {
        let socket = |member: &String| sys::inside(&lab.namespace(member), sys::neighbour_socket);
        let sockets = members.iter().map(socket).collect::<io::Result<Vec<_>>>()?;
        let seen = Arc::new(Seen::default());
        let thread = thread::Builder::new().name("neighbours".into()).spawn({
            let seen = seen.clone();
            move || listen(&seen, &sockets)
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

/// The MAC that a member has for the shared address now, if it has one.
///
/// # Errors
/// When its table cannot be read.
pub fn entry(lab: &Lab, member: &str) -> io::Result<Option<Mac>> {
    let table = sys::inside(&lab.namespace(member), || fs::read_to_string("/proc/thread-self/net/arp"))?;
    Ok(table.lines().find_map(|line| read_line(line, SHARED)))
}

fn listen(seen: &Seen, sockets: &[OwnedFd]) -> io::Result<()> {
    let _ = sys::be_punctual(PRIORITY); // without the permission the times are a little late
    let mut buffer = [0; 8192];
    let mut known = vec![None; sockets.len()];
    while !seen.ends.load(Ordering::Relaxed) {
        sys::wait_readable(sockets, 20);
        let at = sys::now();
        for (member, socket) in sockets.iter().enumerate() {
            while let Some((length, _)) = sys::receive(socket, &mut buffer)? {
                for mac in messages(&buffer[..length]).filter_map(|message| read(message, SHARED)) {
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
fn read(message: &[u8], address: Ipv4Addr) -> Option<Mac> {
    let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
    if kind != RTM_NEWNEIGH {
        return None;
    }
    let (mut is_ours, mut mac) = (false, None);
    let mut attributes = message.get(HEADER + NDMSG..)?;
    while let [a, b, c, d, ..] = *attributes {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = attributes.get(4..length)?;
        match u16::from_ne_bytes([c, d]) {
            NDA_DST => is_ours = value == address.octets(),
            NDA_LLADDR => mac = value.try_into().ok().map(Mac),
            _ => {} // of no interest
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    mac.filter(|_| is_ours)
}

/// `10.77.0.100  0x1  0x2  02:00:00:00:00:01  *  eth0`; an incomplete entry has no MAC (`ATF_COM` of arp(7)).
fn read_line(line: &str, address: Ipv4Addr) -> Option<Mac> {
    let mut words = line.split_whitespace();
    let is_ours = words.next()?.parse() == Ok(address);
    let flags = u8::from_str_radix(words.nth(1)?.strip_prefix("0x")?, 16).ok()?;
    let mut mac = [0; 6];
    let mut digits = words.next()?.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(digits.next()?, 16).ok()?;
    }
    (is_ours && flags & ATF_COM != 0).then_some(Mac(mac))
}

const PRIORITY: u8 = 4;
const HEADER: usize = 16;
const NDMSG: usize = 12;
const RTM_NEWNEIGH: u16 = 28;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const ATF_COM: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);

    #[test]
    fn the_table_is_read_but_for_what_is_not_complete() {
        let line = "10.77.0.100      0x1         0x2         02:00:00:00:00:0b     *        eth0";
        assert_eq!(read_line(line, SHARED), Some(Mac::of(11)));
        assert_eq!(read_line(line, OTHER), None);
        assert_eq!(read_line(&line.replace("0x2", "0x0"), SHARED), None);
        assert_eq!(read_line("IP address       HW type     Flags       HW address     Mask     Device", SHARED), None);
    }

    #[test]
    fn of_several_messages_those_are_read_that_say_where_the_address_is_now() {
        let message = |kind: u16, address: Ipv4Addr, mac: Mac| {
            let attribute = |kind: u16, value: &[u8]| {
                let length = u16::try_from(4 + value.len()).unwrap();
                let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                bytes
            };
            let body = [vec![0; NDMSG], attribute(NDA_DST, &address.octets()), attribute(NDA_LLADDR, &mac.0)].concat();
            let length = u32::try_from(HEADER + body.len()).unwrap();
            [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], &body].concat()
        };
        let deleted = RTM_NEWNEIGH + 1;
        let bytes = [
            message(RTM_NEWNEIGH, SHARED, Mac::of(1)),
            message(RTM_NEWNEIGH, OTHER, Mac::of(7)),
            message(deleted, SHARED, Mac::of(1)),
            message(RTM_NEWNEIGH, SHARED, Mac::of(2)),
        ]
        .concat();
        let said = |bytes| messages(bytes).filter_map(|message| read(message, SHARED)).collect::<Vec<_>>();
        assert_eq!(said(&bytes), [Mac::of(1), Mac::of(2)]);
        for length in 0..bytes.len() {
            assert!(said(&bytes[..length]).len() < 2, "{length} bytes");
        }
    }
}
