//! Programs at the way out of interfaces: filters of the qdisc clsact, by rtnetlink (tc-bpf(8), linux/pkt_cls.h).
//!
//! A filter is known by its handle, which is made of its name. One whose name ends in `+clsact` is of a daemon that has made the
//! qdisc, or has found another one's of that kind there: the last of them deletes it, if nobody else has anything there.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use ha::hash::hash;
use linux_raw_sys::netlink as nl;
use rustix::io::{self, Errno};
use rustix::net::SocketFlags;

use super::netlink::message::{Attributes, KIND};
use super::netlink::{Changes, Message, Requests, open_for};

mod program;

pub use program::{Plan, write};

/// The filters of one name.
#[derive(Debug)]
pub struct Filters {
    requests: Requests,
    name: &'static str,
    handle: u32,
}

/// The first bytes of SHA-256 over all that the kernel says of the filters: others if anything was changed.
pub type Digest = [u8; 8];

/// What is at the way out of an interface.
#[derive(Debug, Default)]
struct Found {
    /// Of the filter of this name.
    digest: Option<Digest>,
    /// A daemon has made the qdisc.
    is_qdisc_ours: bool,
}

impl Filters {
    /// Opens the socket. `name` has 255 characters at most.
    pub fn open(name: &'static str) -> io::Result<Self> {
        let [a, b, c, d, ..] = hash(&[name.as_bytes()]);
        let requests = Requests::by(open_for(None, SocketFlags::CLOEXEC, 0)?, MOST_SENT, MOST_HEARD)?;
        Ok(Self { requests, name, handle: u32::from_be_bytes([a, b, c, d | 1]) })
    }

    /// Puts `program` at the way out of interface `index`, before all others, in place of one of the same name. No frame passes in
    /// between.
    pub fn put(&mut self, index: u32, program: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut tries = 0..TRIES;
        loop {
            let is_new = self.make_qdisc(index)?;
            let is_qdisc_ours = is_new || self.find(index)?.is_qdisc_ours;
            self.write_filter(index, program.as_raw_fd(), is_qdisc_ours);
            let Err(errno) = self.requests.exchange(&mut |_, _| ()) else { return Ok(()) };
            if is_new {
                self.delete_unused_qdisc(index)?;
            }
            // Another program may have deleted the qdisc meanwhile.
            if is_new || !matches!(errno, Errno::INVAL | Errno::NOENT) || tries.next().is_none() {
                return Err(errno);
            }
        }
    }

    /// Makes the qdisc; true if there was none.
    fn make_qdisc(&mut self, index: u32) -> Result<bool, Errno> {
        match self.change_qdisc(index, nl::RTM_NEWQDISC as u16, nl::NLM_F_CREATE | nl::NLM_F_EXCL) {
            Ok(()) => Ok(true),
            // It may be `ingress`, which is for what comes in, and takes every filter for that. The kernel changes none to another.
            Err(Errno::EXIST) => self.change_qdisc(index, nl::RTM_NEWQDISC as u16, nl::NLM_F_CREATE).map(|()| false),
            Err(errno) => Err(errno),
        }
    }

    /// What the kernel says of it at these interfaces; none if one of them lacks it.
    pub fn digest(&mut self, indexes: impl Iterator<Item = u32>) -> Result<Option<Digest>, Errno> {
        let mut whole = Digest::default();
        for index in indexes {
            let Some(digest) = self.find(index)?.digest else { return Ok(None) };
            whole = hash(&[&whole, &digest]);
        }
        Ok(Some(whole))
    }

    /// Removes it from interface `index`; true if it was there.
    pub fn remove(&mut self, index: u32) -> Result<bool, Errno> {
        let found = self.find(index)?;
        if found.digest.is_none() {
            return Ok(false);
        }
        self.requests.clear();
        let start = self.begin_filter(index, nl::RTM_DELTFILTER as u16, 0);
        self.requests.end(start);
        self.requests.exchange(&mut |_, _| ())?;
        if found.is_qdisc_ours {
            self.delete_unused_qdisc(index)?;
        }
        Ok(true)
    }

    /// Removes it from all interfaces but the `kept`; true if it was at any.
    pub fn remove_elsewhere(&mut self, kept: &[u32]) -> Result<bool, Errno> {
        let mut indexes = heapless::Vec::<_, MOST_INTERFACES>::new();
        self.dump(nl::RTM_GETQDISC as u16, 0, 0, &mut |index, _, attributes| {
            let is_clsact = Attributes(attributes).any(|(kind, value)| kind == nl::TCA_KIND as u16 && value == CLSACT);
            if is_clsact && !kept.contains(&index) {
                // More than these are not ours.
                let _ = indexes.push(index);
            }
        })?;
        let mut was_there = false;
        for index in indexes {
            was_there |= self.remove(index)?;
        }
        Ok(was_there)
    }

    fn find(&mut self, index: u32) -> Result<Found, Errno> {
        let mut found = Found::default();
        let handle = self.handle;
        self.dump(nl::RTM_GETTFILTER as u16, index, EGRESS, &mut |_, its_handle, attributes| {
            if its_handle == handle {
                found.digest = Some(hash(&[attributes]));
            }
            found.is_qdisc_ours |= name(attributes).is_some_and(says_qdisc_is_ours);
        })?;
        Ok(found)
    }

    fn delete_unused_qdisc(&mut self, index: u32) -> Result<(), Errno> {
        let mut is_unused = true;
        for parent in [INGRESS, EGRESS] {
            self.dump(nl::RTM_GETTFILTER as u16, index, parent, &mut |_, _, _| is_unused = false)?;
        }
        if is_unused { self.change_qdisc(index, nl::RTM_DELQDISC as u16, 0) } else { Ok(()) }
    }

    /// Calls `each` with interface, handle and attributes of each thing that there is.
    fn dump(&mut self, kind: u16, index: u32, parent: u32, each: &mut dyn FnMut(u32, u32, &[u8])) -> Result<(), Errno> {
        self.requests.clear();
        let start = self.requests.begin(kind, nl::NLM_F_ROOT | nl::NLM_F_MATCH);
        self.put_header(index, 0, parent, 0);
        self.requests.end(start);
        self.requests.exchange(&mut |_, body| {
            if let Some((index, handle)) = interface_and_handle(body) {
                each(index, handle, &body[TCMSG_LEN..]);
            }
        })
    }

    fn change_qdisc(&mut self, index: u32, kind: u16, flags: u32) -> Result<(), Errno> {
        self.requests.clear();
        let start = self.requests.begin(kind, nl::NLM_F_ACK | flags);
        self.put_header(index, QDISC, PARENT_OF_QDISC, 0);
        self.requests.attribute(nl::TCA_KIND as u16, &[CLSACT]);
        self.requests.end(start);
        self.requests.exchange(&mut |_, _| ())
    }

    fn write_filter(&mut self, index: u32, program: RawFd, is_qdisc_ours: bool) {
        let mark = if is_qdisc_ours { MADE_QDISC } else { "" };
        self.requests.clear();
        let start = self.begin_filter(index, nl::RTM_NEWTFILTER as u16, nl::NLM_F_CREATE);
        let options = self.requests.begin_list(nl::TCA_OPTIONS as u16);
        self.requests.attribute(BPF_FD, &[&program.to_ne_bytes()]);
        self.requests.attribute(BPF_NAME, &[self.name.as_bytes(), mark.as_bytes(), &[0]]);
        self.requests.attribute(BPF_FLAGS, &[&DIRECT_ACTION.to_ne_bytes()]);
        self.requests.end_list(options);
        self.requests.end(start);
    }

    fn begin_filter(&mut self, index: u32, kind: u16, flags: u32) -> usize {
        let start = self.requests.begin(kind, nl::NLM_F_ACK | flags);
        self.put_header(index, self.handle, EGRESS, FIRST_PRIORITY | ALL_PROTOCOLS);
        self.requests.attribute(nl::TCA_KIND as u16, &[b"bpf\0"]);
        start
    }

    /// struct tcmsg.
    fn put_header(&mut self, index: u32, handle: u32, parent: u32, info: u32) {
        for word in [0, index, handle, parent, info] {
            self.requests.put(&word.to_ne_bytes());
        }
    }
}

/// Hears what is changed in qdiscs and filters, by whatever program.
pub fn changes() -> io::Result<Changes> {
    Changes::open(None, nl::RTMGRP_TC)
}

/// Whether a change is one of an interface with this number.
pub fn is_about(message: Message<'_>, index: u32) -> bool {
    interface_and_handle(message.body).is_some_and(|(its_index, _)| its_index == index)
}

fn interface_and_handle(body: &[u8]) -> Option<(u32, u32)> {
    let header: &[u8; TCMSG_LEN] = body.first_chunk()?;
    let [_, _, _, _, i, j, k, l, h, o, p, q, ..] = *header;
    Some((u32::from_ne_bytes([i, j, k, l]), u32::from_ne_bytes([h, o, p, q])))
}

/// What a filter is called.
fn name(attributes: &[u8]) -> Option<&[u8]> {
    let (_, options) = Attributes(attributes).find(|&(kind, _)| kind & KIND == nl::TCA_OPTIONS as u16)?;
    Attributes(options).find(|&(kind, _)| kind == BPF_NAME)?.1.strip_suffix(&[0])
}

fn says_qdisc_is_ours(name: &[u8]) -> bool {
    name.starts_with(b"ha-") && name.ends_with(MADE_QDISC.as_bytes())
}

/// What is added to the name.
const MADE_QDISC: &str = "+clsact";

/// Bytes of the longest request: a filter with a name of 127 characters.
const MOST_SENT: usize = 256;
/// Of the longest answer: a part of a list.
const MOST_HEARD: usize = 8 * 1024;
const MOST_INTERFACES: usize = 64;

const TRIES: u32 = 2;

const CLSACT: &[u8] = b"clsact\0";

/// Handle and parent of the qdisc, and the parents of its filters (linux/pkt_sched.h).
const QDISC: u32 = 0xffff_0000;
const PARENT_OF_QDISC: u32 = 0xffff_fff1;
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;

/// In the upper half of a word, and ETH_P_ALL, big-endian, in the lower one.
const FIRST_PRIORITY: u32 = 1 << 16;
const ALL_PROTOCOLS: u32 = 3u16.to_be() as u32;

const TCMSG_LEN: usize = size_of::<nl::tcmsg>();
const _: () = assert!(TCMSG_LEN == 20);

/// TCA_BPF_FD, TCA_BPF_NAME, TCA_BPF_FLAGS with TCA_BPF_FLAG_ACT_DIRECT: what the program returns is what happens.
const BPF_FD: u16 = 6;
const BPF_NAME: u16 = 7;
const BPF_FLAGS: u16 = 8;
const DIRECT_ACTION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::netlink::message::Messages;

    /// What `tc filter replace ... egress pref 1 protocol all handle 0xa8d7c6d9 bpf direct-action object-pinned FILE` sends, but that
    /// we say of the options that they are a list.
    #[cfg(target_endian = "little")]
    const FILTER: &[&[u8]] = &[
        &[88, 0, 0, 0, 44, 0, 0x05, 0x04, 1, 0, 0, 0, 0, 0, 0, 0], // RTM_NEWTFILTER, request, acknowledge, create
        &[0, 0, 0, 0, 7, 0, 0, 0, 0xd9, 0xc6, 0xd7, 0xa8, 0xf3, 0xff, 0xff, 0xff, 0x00, 0x03, 1, 0], // interface 7
        &[8, 0, 1, 0, b'b', b'p', b'f', 0],
        &[44, 0, 2, 0x80],
        &[8, 0, 6, 0, 9, 0, 0, 0], // descriptor 9
        b"\x15\0\x07\0ha-1-eth0+clsact\0\0\0\0",
        &[8, 0, 8, 0, 1, 0, 0, 0],
    ];

    #[cfg(target_endian = "little")]
    #[test]
    fn golden_bytes_of_a_filter() {
        let mut filters = Filters::open("ha-1-eth0").unwrap();
        filters.write_filter(7, 9, true);
        assert_eq!(filters.requests.built(), FILTER.concat());
    }

    #[test]
    fn the_longest_name_fits() {
        let name = format!("ha-255-{}", "x".repeat(127)).leak();
        let mut filters = Filters::open(name).unwrap();
        filters.write_filter(u32::MAX, RawFd::MAX, true);
        let len = filters.requests.built().len();
        assert!(len > MOST_SENT - 64, "{len} bytes, room for {MOST_SENT}: more than is needed");
    }

    #[test]
    fn a_qdisc_is_ours_by_the_name_of_a_filter_of_ours_only() {
        for name in ["ha-1-eth0+clsact", "ha-255-wan+clsact"] {
            assert!(says_qdisc_is_ours(name.as_bytes()), "{name}");
        }
        for name in ["ha-1-eth0", "other+clsact", "ha-1-eth0+clsact2", "+clsact", ""] {
            assert!(!says_qdisc_is_ours(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn no_length_in_a_message_leads_beyond_its_end() {
        let mut filters = Filters::open("ha-1-eth0").unwrap();
        filters.write_filter(7, 9, true);
        let whole = filters.requests.built();
        let is_heard = |bytes: &[u8]| Messages(bytes).any(|message| is_about(message, 7));
        assert!(is_heard(whole) && !Messages(whole).any(|message| is_about(message, 8)));
        assert_eq!(name(&whole[16 + TCMSG_LEN..]), Some(&b"ha-1-eth0+clsact"[..]));
        for at in 0..whole.len() {
            for value in [0, 3, 5, 255] {
                let mut bytes = whole.to_vec();
                bytes[at] = value;
                for cut in 0..=bytes.len() {
                    let _ = is_heard(&bytes[..cut]);
                    let _ = bytes[..cut].get(16 + TCMSG_LEN..).and_then(name);
                }
            }
        }
    }
}
