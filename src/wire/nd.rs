//! Neighbour Solicitation and Advertisement (RFC 4861 sections 4.3 and 4.4): frames as Ethernet carries them, and messages as a
//! raw ICMPv6 socket receives them.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 14 | Ethernet: destination, source, 0x86dd |
//! | 14 | 8 | IPv6 (RFC 8200 section 3): version 6, length, next header 58, hop limit 255 |
//! | 22 | 16 | source |
//! | 38 | 16 | destination |
//! | 54 | 4 | ICMPv6: type 135 (NS) or 136 (NA), code 0, checksum |
//! | 58 | 4 | flags of an NA: R 0x80, S 0x40, O 0x20; reserved |
//! | 62 | 16 | target |
//! | 78 | 8 | option SLLA (1) or TLLA (2) with its length in units of 8 bytes, and a hardware address; a probe has none |
//!
//! One form of an announcement is enough, unlike ARP: no host and no switch is known that takes an NA and not its repetition.

use core::net::Ipv6Addr;

use heapless::Vec;

use super::arp::Mac;
use super::resolution::Resolution;

/// Size of the longest frame in bytes.
pub const FRAME_LEN: usize = MESSAGE_AT + MESSAGE_LEN + OPTION_LEN;

/// One frame.
pub type Frame = Vec<u8, FRAME_LEN>;

/// Every host hears what is sent to this group (RFC 4291 section 2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The group that a host with this address has joined, to be asked for it (RFC 4291 section 2.7.1).
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | high & 0xff, low)
}

/// Announcement: "`address` is at `mac`", whatever you knew. `is_router` as the host says it by itself: hosts drop their
/// default route over an address that is no router's any more.
pub fn advertisement(mac: Mac, address: Ipv6Addr, is_router: bool) -> Frame {
    let flags = if is_router { OVERRIDE | ROUTER } else { OVERRIDE };
    let message = Message { kind: ADVERTISEMENT, flags, target: address, option: Some(TARGET_MAC) };
    message.frame(mac, address, group_mac(ALL_NODES), ALL_NODES)
}

/// Directed solicitation: "who has `neighbour`, tell `address`", to the group of the neighbour, or to it alone if `to` says where
/// it is.
///
/// The host that is asked enters the sender, whatever it knew before (RFC 4861 section 7.2.3), and replies.
pub fn solicitation(mac: Mac, address: Ipv6Addr, neighbour: Ipv6Addr, to: Option<Mac>) -> Frame {
    let message = Message { kind: SOLICITATION, flags: 0, target: neighbour, option: Some(SOURCE_MAC) };
    let group = solicited_node(neighbour);
    let (to_mac, to) = to.map_or((group_mac(group), group), |to| (to, neighbour));
    message.frame(mac, address, to_mac, to)
}

/// Probe: asks who has `address` and enters no cache, as a host does before it takes an address (RFC 4862 section 5.4.2).
pub fn probe(mac: Mac, address: Ipv6Addr) -> Frame {
    let message = Message { kind: SOLICITATION, flags: 0, target: address, option: None };
    let group = solicited_node(address);
    message.frame(mac, Ipv6Addr::UNSPECIFIED, group_mac(group), group)
}

/// What an ICMPv6 message says that came from `from` to `to`, if it is an NS or an NA as RFC 4861 sections 7.1.1 and 7.1.2
/// demand. The kernel has checked the checksum.
pub fn parse(from: Ipv6Addr, to: Ipv6Addr, hop_limit: u8, message: &[u8]) -> Option<Resolution> {
    let (head, options) = message.split_first_chunk::<MESSAGE_LEN>()?;
    let (&[kind, code, _, _, flags, ..], Some(target)) = (head, head.last_chunk::<16>()) else { return None };
    let target = Ipv6Addr::from(*target);
    let is_to_all = to.is_multicast();
    if hop_limit != HOP_LIMIT || code != 0 || target.is_multicast() {
        return None;
    }
    match kind {
        SOLICITATION => {
            let mac = mac_in(options, SOURCE_MAC)?;
            let is_wrong_probe = from.is_unspecified() && (mac.is_some() || to != solicited_node(target));
            let said = Resolution { link: 0, is_reply: false, mac, from: from.into(), to: target.into(), is_to_all };
            Some(said).filter(|_| !is_wrong_probe)
        }
        ADVERTISEMENT => {
            // Without O caches keep what they have: so says a proxy, and a host that was asked where it was known.
            let mac = mac_in(options, TARGET_MAC)?.filter(|_| flags & OVERRIDE != 0);
            let is_wrong = is_to_all && flags & SOLICITED != 0;
            let said = Resolution { link: 0, is_reply: true, mac, from: target.into(), to: to.into(), is_to_all };
            Some(said).filter(|_| !is_wrong)
        }
        _ => None,
    }
}

/// The hardware address in the option of this kind, if there is one; none at all if the options make no sense.
fn mac_in(mut options: &[u8], kind: u8) -> Option<Option<Mac>> {
    let mut found = None;
    while let [this, units, ..] = *options {
        let (option, rest) = options.split_at_checked(usize::from(units) * OPTION_LEN).filter(|_| units > 0)?;
        options = rest;
        if this == kind
            && let &[_, _, a, b, c, d, e, f] = option
        {
            found = Some([a, b, c, d, e, f]);
        }
    }
    options.is_empty().then_some(found)
}

/// What differs from one message to another.
struct Message {
    kind: u8,
    flags: u8,
    target: Ipv6Addr,
    /// The kind of option that has the hardware address of the sender.
    option: Option<u8>,
}

impl Message {
    fn frame(&self, mac: Mac, from: Ipv6Addr, to_mac: Mac, to: Ipv6Addr) -> Frame {
        let &Self { kind, flags, target, option } = self;
        let len = if option.is_some() { MESSAGE_LEN + OPTION_LEN } else { MESSAGE_LEN };
        let len = u8::try_from(len).expect("a message is short");
        let mut frame = Frame::new();
        let mut put =
            |bytes: &[u8]| frame.extend_from_slice(bytes).expect("there is room for a message with an option");
        put(&to_mac);
        put(&mac);
        put(&ETHERTYPE);
        put(&[0x60, 0, 0, 0, 0, len, ICMPV6, HOP_LIMIT]);
        put(&from.octets());
        put(&to.octets());
        put(&[kind, 0, 0, 0, flags, 0, 0, 0]);
        put(&target.octets());
        if let Some(option) = option {
            put(&[option, 1]);
            put(&mac);
        }
        let sum = checksum(&frame[ADDRESSES_AT..], len);
        frame[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&sum.to_be_bytes());
        frame
    }
}

/// Of the addresses and the message that follows them, `len` bytes long (RFC 4443 section 2.3, RFC 8200 section 8.1).
fn checksum(addresses_and_message: &[u8], len: u8) -> u16 {
    let words = addresses_and_message.as_chunks::<2>().0.iter().map(|&word| u32::from(u16::from_be_bytes(word)));
    let sum = words.sum::<u32>() + u32::from(len) + u32::from(ICMPV6);
    let fold = |sum: u32| (sum & 0xffff) + (sum >> 16);
    let [.., high, low] = fold(fold(sum)).to_be_bytes();
    !u16::from_be_bytes([high, low])
}

/// Where Ethernet carries what is sent to a group (RFC 2464 section 7).
const fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

const ETHERTYPE: [u8; 2] = [0x86, 0xdd];
const ICMPV6: u8 = 58;

/// A message that came through a router has less.
const HOP_LIMIT: u8 = 255;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// Kinds of options: SLLA and TLLA.
const SOURCE_MAC: u8 = 1;
const TARGET_MAC: u8 = 2;

const ADDRESSES_AT: usize = 22;
const MESSAGE_AT: usize = 54;
const CHECKSUM_AT: usize = MESSAGE_AT + 2;
const MESSAGE_LEN: usize = 24;
/// Also the unit in which options are measured.
const OPTION_LEN: usize = 8;
const _: () = assert!(MESSAGE_AT == 14 + 40, "Ethernet and IPv6");

#[cfg(test)]
mod tests;
