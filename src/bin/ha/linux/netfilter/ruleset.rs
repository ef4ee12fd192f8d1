//! The table of a fence: the set `alive`, which has its one element for as long as heartbeats leave, the set of the shared
//! addresses, and a chain that looks at each frame that leaves. docs/fence.md explains how `nft` lists it.
//!
//! The kernel itself speaks for an address of IPv6 from that address only. A program may also send advertisements from elsewhere that
//! name it as their target, which moves caches. A solicitation for it, as for any other host's, passes: a STANDBY looks for the owner.
//!
//! The rules about heartbeats come first: a heartbeat has no shared address as its source. They do not look at its source: a node
//! whose own address has changed resigns from the old one. That this program sends it is seen by the user who opened the socket.
//!
//! Each frame that leaves takes the first steps of each rule. To compare what was loaded costs next to nothing; to ask for `Meta` is a
//! call, and to look into a set is several (15 and 45 ns, Linux 6.18 with retpolines). So one address is compared with and not looked
//! up, heartbeats are told by where they go before anything else, and a key is made of what is loaded already.

use std::net::{IpAddr, SocketAddr};

use ha::config::Cidr;
use ha::fence;
use ha::time::Duration;
use ha::wire::LEN;
use ha::wire::heartbeat::{GROUP_AT, SECOND_FLAGS_AT, STATE_AT};
use linux_raw_sys::netlink as nl;

use super::rule::{Base, L4PROTO, LIST_ELEM, PROTOCOL, SKUID, Step};
use super::{CHAIN_NAME, CHAIN_TABLE, NEWTABLE, TABLE_NAME, TABLE_USERDATA, Tables};
use crate::linux::name::Name;
use crate::linux::octets::Octets;

/// What is to be fenced, and by which heartbeats.
#[derive(Debug, Clone, Copy)]
pub struct Ruleset<'a> {
    /// What the table is called.
    pub table: &'a str,
    /// The interfaces by which frames from the addresses may leave.
    pub links: &'a [Name],
    /// The addresses.
    pub shared: &'a [Cidr],
    /// Where heartbeats go.
    pub multicast: SocketAddr,
    /// Of which group.
    pub group: u8,
    /// Whose socket sends them, if that can be said.
    pub uid: Option<u32>,
    /// How long a heartbeat keeps the way open; whole milliseconds.
    pub timeout: Duration,
}

impl Ruleset<'_> {
    /// Adds the messages of the table to those of `tables`; the last one asks for an acknowledgement.
    pub(super) fn write(&self, tables: &mut Tables) {
        let start = tables.begin(NEWTABLE, nl::NLM_F_CREATE);
        tables.text(TABLE_NAME, self.table);
        tables.number(TABLE_FLAGS, tables.flags);
        tables.comment(TABLE_USERDATA, OURS);
        tables.requests.end(start);
        self.write_alive(tables);
        for family in [V4, V6] {
            self.write_shared(tables, family);
        }
        self.write_chain(tables);
        self.write_rules(tables);
        self.write_closings(tables);
    }

    /// Starts empty, that is closed. It has room for elements that have ended and are not freed yet: in a set that is full nothing is
    /// renewed.
    fn write_alive(&self, tables: &mut Tables) {
        let start = tables.begin(NEWSET, nl::NLM_F_CREATE);
        self.begin_set(tables, ALIVE, SET_TIMEOUT | SET_EVAL, (V4.key_type, V4.len), MOST_ELEMENTS);
        tables.number(SET_GC_INTERVAL, FREE_AGAIN_MS);
        tables.requests.end(start);
    }

    /// The addresses of one family.
    fn of(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        self.shared.iter().map(|cidr| cidr.address).filter(move |address| len_of(address) == family.len)
    }

    /// Of one address there is none, see [`Self::write_closings`]. Constant: while a rule uses it no other program changes it.
    fn write_shared(&self, tables: &mut Tables, family: Family) {
        let Family { set, key_type, len } = family;
        let count = u32::try_from(self.of(family).count()).expect("there are few");
        if count < 2 {
            return;
        }
        let start = tables.begin(NEWSET, nl::NLM_F_CREATE);
        self.begin_set(tables, set, SET_CONSTANT, (key_type, len), count);
        tables.requests.end(start);
        let start = tables.begin(NEWSETELEM, nl::NLM_F_CREATE);
        tables.text(SET_TABLE, self.table);
        tables.text(SET_NAME, set);
        let elements = tables.requests.begin_list(SET_ELEMENTS);
        for address in self.of(family) {
            let element = tables.requests.begin_list(LIST_ELEM);
            tables.value(ELEM_KEY, Octets::of(address).as_slice());
            tables.requests.end_list(element);
        }
        tables.requests.end_list(elements);
        tables.requests.end(start);
    }

    fn begin_set(&self, tables: &mut Tables, name: &str, flags: u32, (key_type, key_len): (u32, u32), size: u32) {
        tables.text(SET_TABLE, self.table);
        tables.text(SET_NAME, name);
        tables.number(SET_FLAGS, flags);
        tables.number(SET_KEY_TYPE, key_type);
        tables.number(SET_KEY_LEN, key_len);
        tables.number(SET_ID, key_type); // any number: rules have the name
        let description = tables.requests.begin_list(SET_DESC);
        tables.number(DESC_SIZE, size);
        tables.requests.end_list(description);
    }

    fn write_chain(&self, tables: &mut Tables) {
        let start = tables.begin(NEWCHAIN, nl::NLM_F_CREATE);
        tables.text(CHAIN_TABLE, self.table);
        tables.text(CHAIN_NAME, CHAIN);
        let hook = tables.requests.begin_list(CHAIN_HOOK);
        tables.number(HOOK_NUMBER, NETDEV_EGRESS);
        tables.number(HOOK_PRIORITY, 0);
        let devices = tables.requests.begin_list(HOOK_DEVICES);
        for link in self.links {
            tables.requests.attribute(DEVICE_NAME, &[link.as_bytes(), &[0]]);
        }
        tables.requests.end_list(devices);
        tables.requests.end_list(hook);
        tables.number(CHAIN_POLICY, POLICY_ACCEPT);
        tables.text(CHAIN_TYPE, "filter");
        tables.requests.end(start);
    }

    fn write_rules(&self, tables: &mut Tables) {
        let names = (self.table, CHAIN);
        let [port, len] = [self.multicast.port(), UDP_LEN].map(u16::to_be_bytes);
        let (group, port_and_len) = (Octets::of(self.multicast.ip()), [port, len].concat());
        let (protocol, destination) = match self.multicast {
            SocketAddr::V4(_) => (&IPV4, IPV4_DESTINATION),
            SocketAddr::V6(_) => (&IPV6, IPV6_DESTINATION),
        };
        let uid = self.uid.map(u32::to_ne_bytes);
        let to_group = [
            Step::Payload(Base::Network, destination, len_of(&self.multicast.ip())),
            Step::Is(group.as_slice()),
            Step::Meta(PROTOCOL),
            Step::Is(protocol),
            Step::Meta(L4PROTO),
            Step::Is(&UDP),
            Step::Payload(Base::Transport, UDP_PORT, 4),
            Step::Is(&port_and_len),
        ];
        let by_user = uid.as_ref().map(|uid| [Step::Meta(SKUID), Step::Is(uid)]);
        let by_user = by_user.as_ref().map_or(&[][..], |steps| &steps[..]);
        let opening = fence::opening(self.group);
        let timeout_ms = self.timeout.as_micros() / 1_000;
        let opens = [
            Step::Payload(Base::Transport, PACKET, 6),
            Step::Is(&opening),
            Step::Payload(Base::Transport, PACKET + SECOND_FLAGS, 1),
            Step::Is(&[fence::FENCED]),
        ];
        let key = [to_group[0], ZERO];
        let renew = [Step::Renew(ALIVE, timeout_ms), Step::Accept];
        tables.rule(names, "a heartbeat of an ACTIVE opens", &[&to_group, &opens, by_user, &key, &renew], 0);
        let group = [self.group];
        let closes = [
            Step::Payload(Base::Transport, PACKET, 3),
            Step::Is(&fence::EVERY),
            Step::Payload(Base::Transport, PACKET + GROUP, 1),
            Step::Is(&group),
            Step::Payload(Base::Transport, PACKET + STATE, 1),
            Step::IsNot(&[fence::ACTIVE]),
        ];
        tables.rule(names, "any other state closes", &[&to_group, &closes, by_user, &key, &[Step::Remove(ALIVE)]], 0);
    }

    fn write_closings(&self, tables: &mut Tables) {
        for &Closing { family, comment, loads, ack } in &CLOSINGS {
            let mut addresses = self.of(family);
            let Some(address) = addresses.next() else { continue };
            let address = Octets::of(address);
            let is_shared = match addresses.next() {
                Some(_) => Step::IsIn(family.set),
                None => Step::Is(address.as_slice()),
            };
            let unless_open = [Step::IsNotIn(ALIVE), Step::Drop];
            tables.rule((self.table, CHAIN), comment, &[loads, &[is_shared, ZERO], &unless_open], ack);
        }
    }
}

/// A family of addresses: their set, and how `nft` shows its keys (its own numbers; the kernel keeps them for it).
#[derive(Debug, Clone, Copy)]
struct Family {
    set: &'static str,
    key_type: u32,
    /// Bytes of an address.
    len: u32,
}

const V4: Family = Family { set: "shared", key_type: 7, len: 4 };
const V6: Family = Family { set: "shared6", key_type: 8, len: 16 };

/// Bytes of an address of this family.
fn len_of(address: &IpAddr) -> u32 {
    if address.is_ipv4() { V4.len } else { V6.len }
}

/// What is dropped unless the way is open.
struct Closing {
    family: Family,
    comment: &'static str,
    /// Load the address in question.
    loads: &'static [Step<'static>],
    /// Of the last one of a family, which may be the last one of all.
    ack: u32,
}

const CLOSINGS: [Closing; 4] = [
    Closing {
        family: V4,
        comment: "closed for IPv4",
        loads: &[Step::Meta(PROTOCOL), Step::Is(&IPV4), Step::Payload(Base::Network, IPV4_SOURCE, V4.len)],
        ack: 0,
    },
    Closing {
        family: V4,
        comment: "closed for ARP",
        loads: &[Step::Meta(PROTOCOL), Step::Is(&ARP), Step::Payload(Base::Network, ARP_SPA, V4.len)],
        ack: nl::NLM_F_ACK,
    },
    Closing {
        family: V6,
        comment: "closed for IPv6",
        loads: &[Step::Meta(PROTOCOL), Step::Is(&IPV6), Step::Payload(Base::Network, IPV6_SOURCE, V6.len)],
        ack: 0,
    },
    Closing {
        family: V6,
        comment: "closed for ND",
        loads: &[
            Step::Meta(PROTOCOL),
            Step::Is(&IPV6),
            Step::Meta(L4PROTO),
            Step::Is(&ICMPV6),
            Step::Payload(Base::Transport, 0, 1),
            Step::Is(&ADVERTISEMENT),
            Step::Payload(Base::Transport, ND_TARGET, V6.len),
        ],
        ack: nl::NLM_F_ACK,
    },
];

/// Whether this is what we keep with a table: a kind, a length, and our comment.
pub fn is_ours(userdata: &[u8]) -> bool {
    userdata.get(2..).and_then(|comment| comment.strip_suffix(&[0])) == Some(OURS.as_bytes())
}

/// By this comment a table is known as ours. It is to stay: a daemon has to know what an older one has left.
const OURS: &str = "ha: frames from the shared addresses leave only while heartbeats do";

/// The chain.
pub const CHAIN: &str = "egress";
const ALIVE: &str = "alive";

/// Makes the key of the one element of `alive` of four bytes, whatever they are. A constant would do, but `nft` lists one as
/// `[invalid type]`, and then does not read its own list.
const ZERO: Step<'_> = Step::Mask([0; 4]);

/// Where fields are in a frame (RFC 791, RFC 8200, RFC 768, RFC 826, RFC 4861), and in the packet behind the header of UDP.
const IPV4_SOURCE: u32 = 12;
const IPV4_DESTINATION: u32 = 16;
const IPV6_SOURCE: u32 = 8;
const IPV6_DESTINATION: u32 = 24;
const ARP_SPA: u32 = 14;
const ND_TARGET: u32 = 8;
const UDP_PORT: u32 = 2;
const PACKET: u32 = 8;
const GROUP: u32 = 4;
const STATE: u32 = 5;
const SECOND_FLAGS: u32 = 7;
const _: () = assert!(GROUP_AT == GROUP as usize);
const _: () = assert!(STATE_AT == STATE as usize && SECOND_FLAGS_AT == SECOND_FLAGS as usize);

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const ARP: [u8; 2] = [0x08, 0x06];
const UDP: [u8; 1] = [17];
const ICMPV6: [u8; 1] = [58];
const ADVERTISEMENT: [u8; 1] = [136];
/// Of a packet, with the header of UDP.
const UDP_LEN: u16 = 104;
const _: () = assert!(UDP_LEN as usize == LEN + PACKET as usize);

const NEWCHAIN: u16 = 3;
const NEWSET: u16 = 9;
const NEWSETELEM: u16 = 12;

const TABLE_FLAGS: u16 = 2;

/// enum nft_set_attributes, nft_set_desc_attributes, nft_set_elem_list_attributes, nft_set_elem_attributes.
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LEN: u16 = 5;
const SET_DESC: u16 = 9;
const SET_ID: u16 = 10;
const SET_GC_INTERVAL: u16 = 12;
const DESC_SIZE: u16 = 1;
const SET_ELEMENTS: u16 = 3;
const ELEM_KEY: u16 = 1;

/// enum nft_set_flags.
const SET_CONSTANT: u32 = 0x2;
const SET_TIMEOUT: u32 = 0x10;
const SET_EVAL: u32 = 0x20;

/// As `nft` has it for a set without a size.
const MOST_ELEMENTS: u32 = 65_535;

/// What has ended is freed this often. At 1 s a node that resigned and returned each 0.2 ms lost 16 of 500 renewals, at 100 ms one
/// or two (Linux 6.18): elements that are dead already stand before the living one.
const FREE_AGAIN_MS: u32 = 100;

/// enum nft_chain_attributes, nft_hook_attributes, nft_devices_attributes.
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const HOOK_DEVICES: u16 = 4;
const DEVICE_NAME: u16 = 1;
const NETDEV_EGRESS: u32 = 1;
const POLICY_ACCEPT: u32 = 1;

#[cfg(all(test, target_endian = "little"))]
mod tests;
