//! ARP frames (RFC 826) as Ethernet carries them, by smoltcp's wire types.
//!
//! Two forms of gratuitous ARP, because some switches and routers take only one of them: the request with THA 0
//! (RFC 5227 section 3, `arping -U`) and the reply with THA = SHA (RFC 5944 section 4.6, `arping -A`).

use core::fmt;
use core::net::Ipv4Addr;

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr};

/// Size of a frame in bytes, without the padding that the driver adds.
pub const FRAME_LEN: usize = HEADER_LEN + PACKET_LEN;

/// One frame.
pub type Frame = [u8; FRAME_LEN];

/// A hardware address.
pub type Mac = [u8; 6];

/// A hardware address as people write it: `02:00:00:00:00:01`.
#[derive(Debug, Clone, Copy)]
pub struct HexMac(pub Mac);

impl fmt::Display for HexMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Gratuitous request: "who has `address`, tell `address`".
pub fn gratuitous_request(mac: Mac, address: Ipv4Addr) -> Frame {
    broadcast(ArpOperation::Request, mac, address, [0; 6], address)
}

/// Gratuitous reply: "`address` is at `mac`".
pub fn gratuitous_reply(mac: Mac, address: Ipv4Addr) -> Frame {
    broadcast(ArpOperation::Reply, mac, address, mac, address)
}

/// Probe (RFC 5227 section 2.1.1): asks who has `address` and enters no cache.
pub fn probe(mac: Mac, address: Ipv4Addr) -> Frame {
    broadcast(ArpOperation::Request, mac, Ipv4Addr::UNSPECIFIED, [0; 6], address)
}

/// Directed request: "who has `neighbour`, tell `address`", to all, or to the neighbour alone if `to` says where it is.
///
/// The host that is asked enters the sender, whatever it knew before (RFC 826, "Packet Reception"), and replies.
pub fn directed_request(mac: Mac, address: Ipv4Addr, neighbour: Ipv4Addr, to: Option<Mac>) -> Frame {
    frame(to.unwrap_or(BROADCAST), ArpOperation::Request, mac, address, [0; 6], neighbour)
}

/// What an ARP packet for Ethernet and IPv4 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    /// A reply; else a request.
    pub is_reply: bool,
    /// Hardware address of the sender (SHA).
    pub mac: Mac,
    /// Address of the sender (SPA).
    pub from: Ipv4Addr,
    /// Address of the target (TPA).
    pub to: Ipv4Addr,
    /// The frame is for everybody; else for this host alone.
    pub is_to_all: bool,
}

impl Arp {
    /// What this frame says, if it is such a packet.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        if frame.ethertype() != EthernetProtocol::Arp {
            return None;
        }
        let is_to_all = !frame.dst_addr().is_unicast();
        let packet = ArpPacket::new_checked(frame.payload()).ok()?;
        let ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr,
            source_protocol_addr: from,
            target_protocol_addr: to,
            ..
        } = ArpRepr::parse(&packet).ok()?
        else {
            return None;
        };
        let is_reply = match operation {
            ArpOperation::Request => false,
            ArpOperation::Reply => true,
            ArpOperation::Unknown(_) => return None,
        };
        Some(Self { is_reply, mac: source_hardware_addr.0, from, to, is_to_all })
    }
}

fn broadcast(operation: ArpOperation, sha: Mac, spa: Ipv4Addr, tha: Mac, tpa: Ipv4Addr) -> Frame {
    frame(BROADCAST, operation, sha, spa, tha, tpa)
}

fn frame(to: Mac, operation: ArpOperation, sha: Mac, spa: Ipv4Addr, tha: Mac, tpa: Ipv4Addr) -> Frame {
    let mut bytes = [0; FRAME_LEN];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    EthernetRepr { src_addr: EthernetAddress(sha), dst_addr: EthernetAddress(to), ethertype: EthernetProtocol::Arp }
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

const BROADCAST: Mac = EthernetAddress::BROADCAST.0;

const HEADER_LEN: usize = 14;
const PACKET_LEN: usize = 28;
const _: () = assert!(PACKET_LEN == 8 + 2 * (6 + 4), "ARP for Ethernet and IPv4");

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 9];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

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

        let mut directed = REQUEST;
        directed[41] = 7;
        assert_eq!(directed_request(MAC, ADDRESS, NEIGHBOUR, None), directed);
        directed[..6].copy_from_slice(&[2, 0, 0, 0, 0, 7]);
        assert_eq!(directed_request(MAC, ADDRESS, NEIGHBOUR, Some([2, 0, 0, 0, 0, 7])), directed);
    }

    #[test]
    fn a_packet_is_read_and_garbage_is_not() {
        let said = Arp { is_reply: false, mac: MAC, from: ADDRESS, to: ADDRESS, is_to_all: true };
        assert_eq!(Arp::parse(&REQUEST), Some(said));
        let reply = gratuitous_reply(MAC, ADDRESS);
        assert_eq!(Arp::parse(&reply), Some(Arp { is_reply: true, ..said }));
        let directed = directed_request(MAC, ADDRESS, NEIGHBOUR, None);
        assert_eq!(Arp::parse(&directed), Some(Arp { to: NEIGHBOUR, ..said }));
        let to_one = directed_request(MAC, ADDRESS, NEIGHBOUR, Some([2, 0, 0, 0, 0, 7]));
        assert_eq!(Arp::parse(&to_one), Some(Arp { to: NEIGHBOUR, is_to_all: false, ..said }));
        for len in 0..FRAME_LEN {
            assert_eq!(Arp::parse(&REQUEST[..len]), None, "length {len}");
        }
        for (offset, wrong) in [(12, 0x86), (15, 6), (21, 3)] {
            let mut foreign = REQUEST;
            foreign[offset] = wrong;
            assert_eq!(Arp::parse(&foreign), None, "byte {offset}");
        }
    }
}
