//! What the module above does for ARP and IPv4, for IPv6: the probe's questions, and what Neighbour Discovery
//! (RFC 4861) and echo replies prove about a shared address.

use std::net::Ipv6Addr;

use super::{ASKER, MAGIC, Mac, Proof, checksum};

/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// Where a frame has the next header of IPv6.
pub const NEXT_HEADER: u32 = 20;
/// The next header of ICMPv6.
pub const ICMPV6: u8 = 58;
/// The next header of options for each router on the way. MLD has one, and so is told from all else that nodes send.
pub const HOP_BY_HOP: u8 = 0;

/// A Neighbour Solicitation (4.3) for `address` from [`ASKER`], to the group of the stations that may have it. The
/// reply goes to the asker alone, so the client's cache learns nothing from it.
pub fn who_has(address: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = address.octets();
    let group = Ipv6Addr::from(SOLICITED_NODE | u128::from(u32::from_be_bytes([0, a, b, c])));
    let to = Mac([0x33, 0x33, 0xff, a, b, c]);
    message([ASKER, to], [ASKER_ADDRESS, group], [SOLICITATION, 0], address, SOURCE_OPTION)
}

/// A Neighbour Advertisement (4.4) by which the station `mac` says to all that it has `address`, whatever they knew
/// before.
pub fn advertisement(mac: Mac, address: Ipv6Addr) -> Vec<u8> {
    message([mac, ALL_NODES_MAC], [address, ALL_NODES], [ADVERTISEMENT, OVERRIDE], address, TARGET_OPTION)
}

/// An echo request (RFC 4443 4.1) of the series `series`, without IP header. Its checksum is the kernel's business.
pub fn echo(series: u16, index: u32) -> [u8; 16] {
    let mut message = [0; 16];
    message[0] = ECHO_REQUEST;
    message[4..6].copy_from_slice(&series.to_be_bytes());
    message[6..8].copy_from_slice(&index.to_be_bytes()[2..]);
    message[8..12].copy_from_slice(MAGIC);
    message[12..16].copy_from_slice(&index.to_be_bytes());
    message
}

/// What `frame`, with its Ethernet header, proves about `address`, and for which station.
pub fn read(frame: &[u8], address: Ipv6Addr, series: u16) -> Option<(Mac, Proof)> {
    let packet = Packet::read(frame).filter(|packet| packet.next_header == ICMPV6)?;
    let (message, shared) = (packet.payload, &address.octets()[..]);
    match *message.first()? {
        ECHO_REPLY => {
            let message = message.get(..16)?;
            let is_ours = packet.from == shared && message[4..6] == series.to_be_bytes() && &message[8..12] == MAGIC;
            let index = u32::from_be_bytes([message[12], message[13], message[14], message[15]]);
            is_ours.then_some((packet.sender, Proof::Echo(index)))
        }
        ADVERTISEMENT if message.get(8..24)? == shared => {
            let is_reply = message[4] & SOLICITED != 0 && packet.to == ASKER_ADDRESS.octets();
            let station = link_address(message, TARGET_OPTION).unwrap_or(packet.sender);
            Some((station, if is_reply { Proof::Reply } else { Proof::Announcement }))
        }
        SOLICITATION if packet.from == shared => {
            Some((link_address(message, SOURCE_OPTION).unwrap_or(packet.sender), Proof::Announcement))
        }
        _ => None,
    }
}

/// Whether `frame` comes from `address`: by IPv6, or by an advertisement that says so.
pub fn is_from(frame: &[u8], address: Ipv6Addr) -> bool {
    Packet::read(frame).is_some_and(|packet| {
        let message = packet.payload;
        let is_advertisement = packet.next_header == ICMPV6 && message.first() == Some(&ADVERTISEMENT);
        packet.from == address.octets() || is_advertisement && message.get(8..24) == Some(&address.octets())
    })
}

/// What the frame of a packet says.
struct Packet<'a> {
    sender: Mac,
    next_header: u8,
    from: &'a [u8],
    to: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    fn read(frame: &'a [u8]) -> Option<Self> {
        let (header, payload) = frame.get(ETHERNET..)?.split_at_checked(HEADER)?;
        let sender = Mac(frame[6..12].try_into().ok()?);
        let packet = Self { sender, next_header: header[6], from: &header[8..24], to: &header[24..], payload };
        (frame[12..14] == IPV6.to_be_bytes()).then_some(packet)
    }
}

/// The hardware address that an option of this kind gives (4.6.1), if it is the first one: the kernel sends no other.
fn link_address(message: &[u8], kind: u8) -> Option<Mac> {
    let option = message.get(OPTION..OPTION + 8)?;
    (option[..2] == [kind, 1]).then(|| Mac([option[2], option[3], option[4], option[5], option[6], option[7]]))
}

/// A message of Neighbour Discovery about `target`, with the sender's hardware address as an option of this kind.
fn message(
    [sender, to_mac]: [Mac; 2],
    [from, to]: [Ipv6Addr; 2],
    [kind, flags]: [u8; 2],
    target: Ipv6Addr,
    option: u8,
) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0, flags, 0, 0, 0], &target.octets()[..], &[option, 1], &sender.0].concat();
    let length = u16::try_from(message.len()).expect("32 bytes");
    let addresses = [from.octets(), to.octets()].concat();
    let pseudo_header = [&addresses, &u32::from(length).to_be_bytes()[..], &[0, 0, 0, ICMPV6]].concat();
    let checksum = checksum(&[&pseudo_header[..], &message].concat());
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let header = [&[0x60, 0, 0, 0], &length.to_be_bytes()[..], &[ICMPV6, HOP_LIMIT]].concat();
    [&to_mac.0, &sender.0, &IPV6.to_be_bytes()[..], &header, &addresses, &message].concat()
}

/// It has no station, as [`ASKER`] has none.
const ASKER_ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x250);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);
/// ff02::1:ff00:0, to which the last three bytes of an address are added (RFC 4291 2.7.1).
const SOLICITED_NODE: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
const ETHERNET: usize = 14;
const HEADER: usize = 40;
/// A packet that a router has sent on is not of this link (RFC 4861 3.1).
const HOP_LIMIT: u8 = 255;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
/// Where the first option is.
const OPTION: usize = 24;
const SOURCE_OPTION: u8 = 1;
const TARGET_OPTION: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);
    const CLIENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x200);
    const ONE: Mac = Mac::of(1);

    fn reply(to: Ipv6Addr, flags: u8) -> Vec<u8> {
        message([ONE, ASKER], [SHARED, to], [ADVERTISEMENT, flags], SHARED, TARGET_OPTION)
    }

    fn solicitation(from: Ipv6Addr) -> Vec<u8> {
        message([ONE, Mac::of(200)], [from, CLIENT], [SOLICITATION, 0], CLIENT, SOURCE_OPTION)
    }

    fn echo_reply() -> Vec<u8> {
        let mut frame = reply(CLIENT, 0);
        frame.truncate(ETHERNET + HEADER);
        frame.extend(echo(7, 0x0001_0002));
        frame[ETHERNET + HEADER] = ECHO_REPLY;
        frame
    }

    #[test]
    fn a_question_goes_to_the_group_of_the_address_and_names_who_asks() {
        let expected = [
            &[0x33, 0x33, 0xff, 0, 1, 0][..], // to the group of the address
            &[2, 0, 0, 0, 0, 250],            // from the asker
            &[0x86, 0xdd],                    // IPv6
            &[0x60, 0, 0, 0, 0, 32, 58, 255], // 32 bytes of ICMPv6, hop limit
            &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x50], // 2001:db8::250
            &[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 1, 0], // ff02::1:ff00:100
            &[135, 0],                        // Neighbour Solicitation
        ]
        .concat();
        let question = who_has(SHARED);
        assert_eq!(question[..expected.len()], expected);
        assert_eq!(question[58..], [&[0; 4], &SHARED.octets()[..], &[1, 1, 2, 0, 0, 0, 0, 250]].concat());
    }

    #[test]
    fn messages_have_the_checksum_of_ipv6() {
        for frame in [who_has(SHARED), advertisement(ONE, SHARED)] {
            let pseudo_header = [&frame[22..54], &[0, 0, 0, 32, 0, 0, 0, ICMPV6]].concat();
            assert_eq!(checksum(&[&pseudo_header, &frame[54..]].concat()), 0, "RFC 1071: it sums up to zero");
        }
    }

    #[test]
    fn what_the_owner_says_shows_the_owner() {
        let asked = |frame: &[u8]| read(frame, SHARED, 7);
        assert_eq!(asked(&reply(ASKER_ADDRESS, SOLICITED | OVERRIDE)), Some((ONE, Proof::Reply)));
        assert_eq!(asked(&reply(CLIENT, SOLICITED | OVERRIDE)), Some((ONE, Proof::Announcement)));
        assert_eq!(asked(&advertisement(ONE, SHARED)), Some((ONE, Proof::Announcement)));
        assert_eq!(asked(&solicitation(SHARED)), Some((ONE, Proof::Announcement)));
        assert_eq!(asked(&echo_reply()), Some((ONE, Proof::Echo(0x0001_0002))));
    }

    #[test]
    fn what_others_say_shows_no_owner() {
        let asked = |frame: &[u8]| read(frame, SHARED, 7);
        assert_eq!(asked(&who_has(SHARED)), None, "our own question");
        assert_eq!(asked(&solicitation(Ipv6Addr::UNSPECIFIED)), None, "a probe");
        assert_eq!(asked(&advertisement(ONE, CLIENT)), None, "another address");
        assert_eq!(read(&echo_reply(), SHARED, 8), None, "another client's echo");
        assert_eq!(read(&echo_reply(), CLIENT, 7), None, "from another address");
    }

    #[test]
    fn the_option_counts_and_not_the_card_that_sent_it() {
        let mut frame = advertisement(ONE, SHARED);
        frame[6..12].copy_from_slice(&Mac::of(9).0);
        assert_eq!(read(&frame, SHARED, 7), Some((ONE, Proof::Announcement)));
        frame.truncate(78); // without the option
        assert_eq!(read(&frame, SHARED, 7), Some((Mac::of(9), Proof::Announcement)));
    }

    #[test]
    fn a_frame_is_from_the_address_by_its_source_or_by_an_advertisement() {
        let from_elsewhere = message([ONE, ASKER], [CLIENT, ALL_NODES], [ADVERTISEMENT, 0], SHARED, TARGET_OPTION);
        for frame in [echo_reply(), advertisement(ONE, SHARED), solicitation(SHARED), from_elsewhere] {
            assert!(is_from(&frame, SHARED), "{frame:?}");
            assert!((0..54).all(|length| !is_from(&frame[..length], SHARED)), "{frame:?}");
        }
        for frame in [who_has(SHARED), solicitation(Ipv6Addr::UNSPECIFIED), advertisement(ONE, CLIENT)] {
            assert!(!is_from(&frame, SHARED), "{frame:?}");
        }
    }

    #[test]
    fn a_short_frame_proves_nothing() {
        for frame in [echo_reply(), solicitation(SHARED), reply(ASKER_ADDRESS, SOLICITED)] {
            for length in 0..54 {
                assert_eq!(read(&frame[..length], SHARED, 7), None, "{length} bytes");
            }
        }
        for (frame, least) in [(echo_reply(), 70), (reply(ASKER_ADDRESS, SOLICITED), 78)] {
            assert_eq!(read(&frame[..least - 1], SHARED, 7), None);
            assert!(read(&frame[..least], SHARED, 7).is_some());
        }
    }
}
