//! UDP to the port of the group, as whole Ethernet frames with any sender: an attacker sends them.

use std::net::Ipv4Addr;

use crate::frames::{self, Mac};

/// The group to which nodes send their heartbeats by default.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(239, 2, 3, 4);
/// The port of it.
pub const PORT: u16 = 5555;
/// The group's hardware address (RFC 1112 6.4).
pub const GROUP_MAC: Mac = Mac([0x01, 0, 0x5e, 2, 3, 4]);
/// The MAC of the member `attacker`: see `lab/net`. With the MAC of a node it would change the port that the switch
/// uses for that node, and no daemon can do anything about that.
pub const ATTACKER: Mac = Mac::of(201);
/// Its own address.
pub const ATTACKER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 201);

/// One datagram, from the attacker's card and any address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The MAC to which it goes.
    pub to_mac: Mac,
    /// The source address in its header.
    pub from: Ipv4Addr,
    /// The destination address in its header.
    pub to: Ipv4Addr,
    /// 255 unless a router was between.
    pub ttl: u8,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// To the whole group, as a node would send it.
    pub const fn to_group(from: Ipv4Addr, payload: &'a [u8]) -> Self {
        Self { to_mac: GROUP_MAC, from, to: GROUP, ttl: 255, payload }
    }

    /// The frame.
    pub fn emit(&self) -> Vec<u8> {
        let length = |header: usize| u16::try_from(header + self.payload.len()).expect("it fits into a frame");
        let mut ip = [0; IP_HEADER];
        ip[..2].copy_from_slice(&[0x45, 0xc0]); // DSCP CS6, as nodes have it
        ip[2..4].copy_from_slice(&length(IP_HEADER + UDP_HEADER).to_be_bytes());
        ip[8..10].copy_from_slice(&[self.ttl, UDP]);
        ip[12..16].copy_from_slice(&self.from.octets());
        ip[16..20].copy_from_slice(&self.to.octets());
        let checksum = frames::checksum(&ip);
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
        let mut udp = [0; UDP_HEADER]; // the checksum zero: there is none (RFC 768)
        udp[..2].copy_from_slice(&PORT.to_be_bytes());
        udp[2..4].copy_from_slice(&PORT.to_be_bytes());
        udp[4..6].copy_from_slice(&length(UDP_HEADER).to_be_bytes());
        [&self.to_mac.0, &ATTACKER.0, &frames::IPV4.to_be_bytes()[..], &ip, &udp, self.payload].concat()
    }
}

/// The source address and the payload of a frame to the port, without the padding of a short frame.
pub fn read(frame: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let packet = frame.get(ETHERNET..)?;
    let header = usize::from(*packet.first()? & 0x0f) * 4;
    let udp = packet.get(header..)?;
    let is_meant =
        frame[12..14] == frames::IPV4.to_be_bytes() && *packet.get(9)? == UDP && *udp.get(2..4)? == PORT.to_be_bytes();
    let length = usize::from(u16::from_be_bytes([*udp.get(4)?, *udp.get(5)?]));
    let from: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    Some((Ipv4Addr::from(from), udp.get(UDP_HEADER..length)?)).filter(|_| is_meant)
}

const ETHERNET: usize = 14;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_can_be_read_and_cut_short_it_cannot() {
        let from = Ipv4Addr::new(10, 77, 0, 11);
        let frame = Datagram::to_group(from, b"ha, or so").emit();
        assert_eq!(read(&frame), Some((from, &b"ha, or so"[..])));
        assert_eq!(frames::checksum(&frame[14..34]), 0, "RFC 1071: a header with its checksum sums up to zero");
        for length in 0..frame.len() {
            assert_eq!(read(&frame[..length]), None, "{length} bytes");
        }
        let padded = [&frame[..], &[0; 20]].concat();
        assert_eq!(read(&padded), Some((from, &b"ha, or so"[..])));
    }
}
