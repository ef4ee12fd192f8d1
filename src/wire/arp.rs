//! ARP frames (RFC 826) as Ethernet carries them, by smoltcp's wire types.
//!
//! Two forms of gratuitous ARP, because some switches and routers take only one of them: the request with THA 0
//! (RFC 5227 section 3, `arping -U`) and the reply with THA = SHA (RFC 5944 section 4.6, `arping -A`).

use core::net::Ipv4Addr;

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr};

/// Size of a frame in bytes, without the padding that the driver adds.
pub const FRAME_LEN: usize = HEADER_LEN + PACKET_LEN;

/// One frame.
pub type Frame = [u8; FRAME_LEN];

/// A hardware address.
pub type Mac = [u8; 6];

/// Gratuitous request: "who has `address`, tell `address`".
pub fn gratuitous_request(mac: Mac, address: Ipv4Addr) -> Frame {
    broadcast(ArpOperation::Request, mac, address, [0; 6], address)
}

/// Gratuitous reply: "`address` is at `mac`".
pub fn gratuitous_reply(mac: Mac, address: Ipv4Addr) -> Frame {
    broadcast(ArpOperation::Reply, mac, address, mac, address)
}

/// Probe (RFC 5227 section 2.1.1): asks who has `address` and enters nobody's cache.
pub fn probe(mac: Mac, address: Ipv4Addr) -> Frame {
    broadcast(ArpOperation::Request, mac, Ipv4Addr::UNSPECIFIED, [0; 6], address)
}

/// Who claims which address by this frame: SHA and SPA of an ARP packet for Ethernet and IPv4.
pub fn sender(frame: &[u8]) -> Option<(Mac, Ipv4Addr)> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Arp {
        return None;
    }
    let packet = ArpPacket::new_checked(frame.payload()).ok()?;
    let ArpRepr::EthernetIpv4 { source_hardware_addr, source_protocol_addr, .. } = ArpRepr::parse(&packet).ok()? else {
        return None;
    };
    Some((source_hardware_addr.0, source_protocol_addr))
}

fn broadcast(operation: ArpOperation, sha: Mac, spa: Ipv4Addr, tha: Mac, tpa: Ipv4Addr) -> Frame {
    let mut bytes = [0; FRAME_LEN];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    EthernetRepr {
        src_addr: EthernetAddress(sha),
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Arp,
    }
    .emit(&mut frame);
    ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(sha),
        source_protocol_addr: spa,
        target_hardware_addr: EthernetAddress(tha),
        target_protocol_addr: tpa,
    }
    .emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    bytes
}

const HEADER_LEN: usize = 14;
const PACKET_LEN: usize = 28;
const _: () = assert!(PACKET_LEN == 8 + 2 * (6 + 4), "ARP for Ethernet and IPv4");

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 9];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    #[rustfmt::skip]
    const REQUEST: Frame = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // to all
        2, 0, 0, 0, 0, 9,                   // from
        0x08, 0x06,                         // ARP
        0, 1, 0x08, 0, 6, 4,                // Ethernet, IPv4, their sizes
        0, 1,                               // request
        2, 0, 0, 0, 0, 9,                   // SHA
        192, 0, 2, 1,                       // SPA
        0, 0, 0, 0, 0, 0,                   // THA
        192, 0, 2, 1,                       // TPA
    ];

    #[test]
    fn golden_frames() {
        assert_eq!(gratuitous_request(MAC, ADDRESS), REQUEST);

        let mut reply = REQUEST;
        reply[21] = 2;
        reply[32..38].copy_from_slice(&MAC);
        assert_eq!(gratuitous_reply(MAC, ADDRESS), reply);

        let mut asked = REQUEST;
        asked[28..32].fill(0);
        assert_eq!(probe(MAC, ADDRESS), asked);
    }

    #[test]
    fn the_sender_is_read_and_garbage_is_not() {
        assert_eq!(sender(&REQUEST), Some((MAC, ADDRESS)));
        for len in 0..FRAME_LEN {
            assert_eq!(sender(&REQUEST[..len]), None, "length {len}");
        }
        let mut foreign = REQUEST;
        foreign[12] = 0x86;
        assert_eq!(sender(&foreign), None);
    }
}
