use core::net::IpAddr;
use std::vec::Vec;

use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags,
    NdiscRepr,
};

use super::*;

const MAC: Mac = [2, 0, 0, 0, 0, 9];
const ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x0100);
const NEIGHBOUR: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x1234, 0x5678);
const NEIGHBOUR_MAC: Mac = [2, 0, 0, 0, 0, 7];

#[rustfmt::skip]
const ADVERTISEMENT_BYTES: [u8; FRAME_LEN] = [
    0x33, 0x33, 0, 0, 0, 1,                                     // to all
    2, 0, 0, 0, 0, 9,                                           // from
    0x86, 0xdd,                                                 // IPv6
    0x60, 0, 0, 0, 0, 32, 58, 255,                              // 32 bytes of ICMPv6, hop limit 255
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, // source
    0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,       // destination
    136, 0, 0xf7, 0x24,                                         // NA, checksum
    0x20, 0, 0, 0,                                              // O
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, // target
    2, 1, 2, 0, 0, 0, 0, 9,                                     // TLLA
];

#[rustfmt::skip]
const SOLICITATION_BYTES: [u8; FRAME_LEN] = [
    0x33, 0x33, 0xff, 0x34, 0x56, 0x78,                         // to the group of the neighbour
    2, 0, 0, 0, 0, 9,                                           // from
    0x86, 0xdd,                                                 // IPv6
    0x60, 0, 0, 0, 0, 32, 58, 255,                              // 32 bytes of ICMPv6, hop limit 255
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, // source
    0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0x34, 0x56, 0x78, // destination
    135, 0, 0x8b, 0x03,                                         // NS, checksum
    0, 0, 0, 0,
    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56, 0x78, // target
    1, 1, 2, 0, 0, 0, 0, 9,                                     // SLLA
];

#[rustfmt::skip]
const PROBE_BYTES: [u8; FRAME_LEN - OPTION_LEN] = [
    0x33, 0x33, 0xff, 0, 1, 0,                                  // to the group of the address
    2, 0, 0, 0, 0, 9,                                           // from
    0x86, 0xdd,                                                 // IPv6
    0x60, 0, 0, 0, 0, 24, 58, 255,                              // 24 bytes of ICMPv6, hop limit 255
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,             // source
    0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 1, 0,    // destination
    135, 0, 0x4a, 0xef,                                         // NS, checksum
    0, 0, 0, 0,
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, // target
];

#[test]
fn golden_frames() {
    assert_eq!(advertisement(MAC, ADDRESS, false), ADVERTISEMENT_BYTES);
    assert_eq!(solicitation(MAC, ADDRESS, NEIGHBOUR, None), SOLICITATION_BYTES);
    assert_eq!(probe(MAC, ADDRESS), PROBE_BYTES);

    let mut of_router = ADVERTISEMENT_BYTES;
    (of_router[56], of_router[57], of_router[58]) = (0x77, 0x24, 0xa0);
    assert_eq!(advertisement(MAC, ADDRESS, true), of_router);

    let mut to_one = SOLICITATION_BYTES;
    to_one[..6].copy_from_slice(&NEIGHBOUR_MAC);
    to_one[38..54].copy_from_slice(&NEIGHBOUR.octets());
    (to_one[56], to_one[57]) = (0x78, 0x87);
    assert_eq!(solicitation(MAC, ADDRESS, NEIGHBOUR, Some(NEIGHBOUR_MAC)), to_one);
}

/// What another program reads: source and destination of Ethernet and of IPv6, and the message, if the checksum is right.
fn decoded(frame: &[u8]) -> (Mac, Mac, Ipv6Addr, Ipv6Addr, NdiscRepr<'_>) {
    let ethernet = EthernetFrame::new_checked(frame).unwrap();
    assert_eq!(ethernet.ethertype(), EthernetProtocol::Ipv6);
    let packet = Ipv6Packet::new_checked(&frame[14..]).unwrap();
    let Ipv6Repr { src_addr, dst_addr, next_header, payload_len, hop_limit } = Ipv6Repr::parse(&packet).unwrap();
    assert_eq!((next_header, hop_limit, payload_len), (IpProtocol::Icmpv6, 255, frame.len() - 54));
    let message = Icmpv6Packet::new_checked(&frame[54..]).unwrap();
    let said = Icmpv6Repr::parse(&src_addr, &dst_addr, &message, &ChecksumCapabilities::default()).unwrap();
    let Icmpv6Repr::Ndisc(said) = said else { panic!("{said:?}") };
    (ethernet.src_addr().0, ethernet.dst_addr().0, src_addr, dst_addr, said)
}

#[test]
fn another_decoder_reads_what_was_meant() {
    let mac = |mac: Mac| Some(smoltcp::wire::RawHardwareAddress::from_bytes(&mac));
    for is_router in [false, true] {
        let frame = advertisement(MAC, ADDRESS, is_router);
        let flags = NdiscNeighborFlags::OVERRIDE;
        let flags = if is_router { flags | NdiscNeighborFlags::ROUTER } else { flags };
        let said = NdiscRepr::NeighborAdvert { flags, target_addr: ADDRESS, lladdr: mac(MAC) };
        assert_eq!(decoded(&frame), (MAC, [0x33, 0x33, 0, 0, 0, 1], ADDRESS, ALL_NODES, said));
    }
    let said = NdiscRepr::NeighborSolicit { target_addr: NEIGHBOUR, lladdr: mac(MAC) };
    let group = "ff02::1:ff34:5678".parse().unwrap();
    let to_group = solicitation(MAC, ADDRESS, NEIGHBOUR, None);
    assert_eq!(decoded(&to_group), (MAC, [0x33, 0x33, 0xff, 0x34, 0x56, 0x78], ADDRESS, group, said));
    let to_one = solicitation(MAC, ADDRESS, NEIGHBOUR, Some(NEIGHBOUR_MAC));
    assert_eq!(decoded(&to_one), (MAC, NEIGHBOUR_MAC, ADDRESS, NEIGHBOUR, said));
    let said = NdiscRepr::NeighborSolicit { target_addr: ADDRESS, lladdr: None };
    let group = "ff02::1:ff00:100".parse().unwrap();
    let asked = probe(MAC, ADDRESS);
    assert_eq!(decoded(&asked), (MAC, [0x33, 0x33, 0xff, 0, 1, 0], Ipv6Addr::UNSPECIFIED, group, said));
}

/// A message as the socket gives it, from the frame that carries it.
fn heard(frame: &[u8]) -> Option<Resolution> {
    let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).unwrap());
    parse(address(22), address(38), frame[21], &frame[54..])
}

#[test]
fn a_message_is_read_and_garbage_is_not() {
    let (address, neighbour) = (IpAddr::from(ADDRESS), IpAddr::from(NEIGHBOUR));
    let announced =
        Resolution { link: 0, is_reply: true, mac: Some(MAC), from: address, to: ALL_NODES.into(), is_to_all: true };
    assert_eq!(heard(&ADVERTISEMENT_BYTES), Some(announced));
    assert!(announced.answers_probe());
    let asked = Resolution { link: 0, is_reply: false, mac: Some(MAC), from: address, to: neighbour, is_to_all: true };
    assert_eq!(heard(&SOLICITATION_BYTES), Some(asked));
    let to_one = solicitation(MAC, ADDRESS, NEIGHBOUR, Some(NEIGHBOUR_MAC));
    assert_eq!(heard(&to_one), Some(Resolution { is_to_all: false, ..asked }));
    let from = Ipv6Addr::UNSPECIFIED.into();
    assert_eq!(heard(&PROBE_BYTES), Some(Resolution { mac: None, from, to: address, ..asked }));

    for (offset, wrong) in [(21, 254), (54, 134), (55, 1), (58, 0x60), (62, 0xff), (79, 0), (79, 2)] {
        let mut foreign = ADVERTISEMENT_BYTES;
        foreign[offset] = wrong;
        assert_eq!(heard(&foreign), None, "byte {offset}");
    }
    let message = &ADVERTISEMENT_BYTES[54..];
    let lens: Vec<_> =
        (0..message.len()).filter(|&len| parse(ADDRESS, ALL_NODES, 255, &message[..len]).is_some()).collect();
    assert_eq!(lens, [24], "the option may be missing, and nothing else");
    // To all with the address of the asker, or not to the group: such a probe is none (RFC 4861 section 7.1.1).
    assert_eq!(parse(Ipv6Addr::UNSPECIFIED, ALL_NODES, 255, &PROBE_BYTES[54..]), None);
    assert_eq!(parse(Ipv6Addr::UNSPECIFIED, solicited_node(NEIGHBOUR), 255, &SOLICITATION_BYTES[54..]), None);
}

#[test]
fn an_advertisement_that_moves_no_cache_names_no_hardware_address() {
    let mut without_override = ADVERTISEMENT_BYTES;
    without_override[58] = 0;
    assert_eq!(heard(&without_override).unwrap().mac, None);
    assert_eq!(heard(&ADVERTISEMENT_BYTES[..78]).unwrap().mac, None, "no option");
    let mut solicited = ADVERTISEMENT_BYTES;
    solicited[58] = 0x60;
    solicited[38..54].copy_from_slice(&NEIGHBOUR.octets());
    let confirmed = Resolution {
        link: 0,
        is_reply: true,
        mac: Some(MAC),
        from: ADDRESS.into(),
        to: NEIGHBOUR.into(),
        is_to_all: false,
    };
    assert_eq!(heard(&solicited), Some(confirmed));
    assert!(!confirmed.answers_probe());
}

#[test]
fn the_option_is_found_behind_others() {
    // A nonce (RFC 7527), and one of 16 bytes.
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    let long = [25, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let message = [&SOLICITATION_BYTES[54..78], &nonce, &long, &SOLICITATION_BYTES[78..]].concat();
    let said = parse(ADDRESS, NEIGHBOUR, 255, &message).unwrap();
    assert_eq!(said.mac, Some(MAC));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), kind in 133..138_u8) {
        let mut bytes = bytes;
        if let [first, code, ..] = &mut bytes[..] {
            (*first, *code) = (kind, 0);
        }
        let _ = parse(ADDRESS, ALL_NODES, 255, &bytes);
    }
}
