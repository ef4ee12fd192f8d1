//! The frames that the probe sends, and what the frames that it sees prove about the shared address.

pub mod nd;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;

/// Not an EtherType: every frame, in both directions (`ETH_P_ALL`).
pub const ALL: u16 = 3;

/// A hardware address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// That of a member of the lab, by its number: see `lab/net`.
    pub const fn of(station: u8) -> Self {
        Self([0x02, 0, 0, 0, 0, station])
    }

    /// The number of a member of the lab.
    pub fn station(self) -> u8 {
        self.0[5]
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// What a frame proves about the shared address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Its station replied to the probe's own "who has", by ARP or by Neighbour Discovery.
    Reply,
    /// Its station sent another such frame from the address: gratuitous, directed, or a reply to the client's kernel.
    Announcement,
    /// Its station replied to this echo.
    Echo(u32),
}

/// The MAC that asks "who has the shared address". No station has it, nor its address, so that the client's ARP cache,
/// on which the echoes depend, learns nothing from the replies.
pub const ASKER: Mac = Mac::of(250);
const ASKER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 250);

/// A broadcast ARP request for `address` from [`ASKER`] (RFC 826).
pub fn who_has(address: Ipv4Addr) -> [u8; 42] {
    let mut frame = [0; 42];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&ASKER.0);
    frame[12..14].copy_from_slice(&ARP.to_be_bytes());
    frame[14..20].copy_from_slice(&[0, 1, 8, 0, 6, 4]); // Ethernet, IPv4, their lengths
    frame[20..22].copy_from_slice(&[0, 1]); // request
    frame[22..28].copy_from_slice(&ASKER.0); // SHA
    frame[28..32].copy_from_slice(&ASKER_ADDRESS.octets()); // SPA
    frame[38..42].copy_from_slice(&address.octets()); // TPA
    frame
}

/// An echo request (RFC 792) of the series `series`, without IP header.
pub fn echo(series: u16, index: u32) -> [u8; 16] {
    let mut message = [0; 16];
    message[0] = 8;
    message[4..6].copy_from_slice(&series.to_be_bytes());
    message[6..8].copy_from_slice(&index.to_be_bytes()[2..]);
    message[8..12].copy_from_slice(MAGIC);
    message[12..16].copy_from_slice(&index.to_be_bytes());
    let checksum = checksum(&message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

/// What `frame`, with its Ethernet header, proves about `address`, and for which station.
pub fn read(frame: &[u8], address: IpAddr, series: u16) -> Option<(Mac, Proof)> {
    match address {
        IpAddr::V4(address) => read_four(frame, address, series),
        IpAddr::V6(address) => nd::read(frame, address, series),
    }
}

fn read_four(frame: &[u8], address: Ipv4Addr, series: u16) -> Option<(Mac, Proof)> {
    let ether_type = u16::from_be_bytes([*frame.get(12)?, *frame.get(13)?]);
    match ether_type {
        ARP => read_arp(frame.get(14..42)?, address),
        IPV4 => {
            let index = read_echo(&frame[14..], address, series)?;
            Some((mac(&frame[6..12]), Proof::Echo(index)))
        }
        _ => None,
    }
}

/// Whether `frame` comes from `address`: by IP, or because it says so by ARP or Neighbour Discovery.
pub fn is_from(frame: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_from_four(frame, address),
        IpAddr::V6(address) => nd::is_from(frame, address),
    }
}

fn is_from_four(frame: &[u8], address: Ipv4Addr) -> bool {
    let sender = match frame.get(12..14).map(|ether_type| u16::from_be_bytes([ether_type[0], ether_type[1]])) {
        Some(ARP) => frame.get(28..32),
        Some(IPV4) => frame.get(26..30),
        _ => None,
    };
    sender == Some(&address.octets()[..])
}

/// The station that announces `address` by this gratuitous ARP (RFC 5227 2.3): request or reply, from and for it.
pub fn gratuitous(frame: &[u8], address: Ipv4Addr) -> Option<Mac> {
    let arp = frame.get(14..42)?;
    let is_meant = frame[12..14] == ARP.to_be_bytes() && arp[14..18] == address.octets() && arp[24..28] == arp[14..18];
    is_meant.then(|| mac(&arp[8..14]))
}

/// The station of a heartbeat that resigns: its node had the address a moment ago and has it no more
/// (docs/protocol.md).
pub fn resign(frame: &[u8]) -> Option<Mac> {
    let (state, flags) = heartbeat(frame)?;
    (state != ACTIVE && flags & RELEASED != 0).then(|| mac(&frame[6..12]))
}

/// Whether this is the heartbeat of an ACTIVE.
pub fn is_active(frame: &[u8]) -> bool {
    heartbeat(frame).is_some_and(|(state, _)| state == ACTIVE)
}

/// State and flags of a heartbeat.
fn heartbeat(frame: &[u8]) -> Option<(u8, u8)> {
    let packet = frame.get(14..)?;
    let header = usize::from(*packet.first()? & 0x0f) * 4;
    let heartbeat = packet.get(header + UDP_HEADER..)?;
    let (kind, state, flags) = (*heartbeat.get(3)?, *heartbeat.get(5)?, *heartbeat.get(6)?);
    let is_meant = frame[12..14] == IPV4.to_be_bytes() && packet[9] == UDP;
    (is_meant && heartbeat.starts_with(b"ha") && kind == HEARTBEAT).then_some((state, flags))
}

fn read_arp(arp: &[u8], address: Ipv4Addr) -> Option<(Mac, Proof)> {
    if arp[14..18] != address.octets() {
        return None; // not from the owner of the address
    }
    let is_reply = arp[6..8] == [0, 2] && arp[18..24] == ASKER.0;
    Some((mac(&arp[8..14]), if is_reply { Proof::Reply } else { Proof::Announcement }))
}

fn read_echo(packet: &[u8], address: Ipv4Addr, series: u16) -> Option<u32> {
    let header = usize::from(*packet.first()? & 0x0f) * 4;
    let message = packet.get(header..header + 16)?;
    let is_ours = packet[9] == 1
        && packet[12..16] == address.octets()
        && message[0] == 0
        && message[4..6] == series.to_be_bytes()
        && &message[8..12] == MAGIC;
    is_ours.then(|| u32::from_be_bytes([message[12], message[13], message[14], message[15]]))
}

fn mac(bytes: &[u8]) -> Mac {
    Mac(bytes.try_into().expect("six bytes, cut out by the caller"))
}

/// RFC 1071.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded twice")
}

const MAGIC: &[u8; 4] = b"hala";
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
const HEARTBEAT: u8 = 0;
const ACTIVE: u8 = 1;
const RELEASED: u8 = 1 << 4;

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

    fn arp(operation: u8, spa: Ipv4Addr, tha: Mac) -> Vec<u8> {
        let mut frame = who_has(SHARED).to_vec();
        frame[6..12].copy_from_slice(&Mac::of(1).0);
        frame[21] = operation;
        frame[22..28].copy_from_slice(&Mac::of(1).0);
        frame[28..32].copy_from_slice(&spa.octets());
        frame[32..38].copy_from_slice(&tha.0);
        frame
    }

    #[test]
    fn only_arp_from_the_shared_address_shows_its_owner() {
        let asked = |frame: &[u8]| read(frame, SHARED.into(), 7);
        assert_eq!(asked(&arp(2, SHARED, ASKER)), Some((Mac::of(1), Proof::Reply)));
        assert_eq!(asked(&arp(1, SHARED, Mac([0; 6]))), Some((Mac::of(1), Proof::Announcement)));
        assert_eq!(asked(&arp(2, SHARED, Mac::of(200))), Some((Mac::of(1), Proof::Announcement)));
        assert_eq!(asked(&arp(1, Ipv4Addr::UNSPECIFIED, Mac([0; 6]))), None, "an ARP probe shows no owner");
        assert_eq!(asked(&who_has(SHARED)), None, "our own question");
    }

    #[test]
    fn gratuitous_arp_is_from_and_for_the_address() {
        let announced = |frame: &[u8]| gratuitous(frame, SHARED);
        assert_eq!(announced(&arp(1, SHARED, Mac([0; 6]))), Some(Mac::of(1)));
        assert_eq!(announced(&arp(2, SHARED, Mac::of(1))), Some(Mac::of(1)));
        let mut reply = arp(2, SHARED, Mac::of(200));
        reply[38..42].copy_from_slice(&[10, 77, 0, 200]);
        assert_eq!(announced(&reply), None);
        assert_eq!(announced(&who_has(SHARED)), None);
        assert_eq!(announced(&reply[..30]), None);
    }

    #[test]
    fn a_frame_is_from_the_address_by_ipv4_or_by_arp_of_any_kind() {
        let mut packet = vec![0; 54];
        packet[12..14].copy_from_slice(&IPV4.to_be_bytes());
        packet[26..30].copy_from_slice(&SHARED.octets());
        let request = arp(1, SHARED, Mac::of(200));
        for frame in [&packet, &request, &arp(2, SHARED, ASKER)] {
            assert!(is_from(frame, SHARED.into()), "{frame:?}");
            assert!((0..28).all(|length| !is_from(&frame[..length], SHARED.into())), "{frame:?}");
        }
        let mut to_it = packet;
        to_it.swap(26, 30);
        to_it[30..34].copy_from_slice(&SHARED.octets());
        assert!(!is_from(&to_it, SHARED.into()));
        assert!(!is_from(&who_has(SHARED), SHARED.into()));
        assert!(!is_from(&arp(1, Ipv4Addr::UNSPECIFIED, Mac([0; 6])), SHARED.into()), "a probe");
    }

    #[test]
    fn a_resign_is_a_heartbeat_of_a_node_that_is_not_active_and_has_released() {
        let frame = |kind: u8, state: u8, flags: u8| {
            let mut frame = vec![0; 14 + 20 + 8 + 96];
            frame[6..12].copy_from_slice(&Mac::of(1).0);
            frame[12..14].copy_from_slice(&IPV4.to_be_bytes());
            frame[14] = 0x45;
            frame[23] = 17;
            frame[42..49].copy_from_slice(&[b'h', b'a', 1, kind, 7, state, flags]);
            frame
        };
        assert_eq!(resign(&frame(0, 3, 0b1_0000)), Some(Mac::of(1)));
        assert_eq!(resign(&frame(0, 0, 0b1_1000)), Some(Mac::of(1)));
        assert_eq!(resign(&frame(0, 1, 0b1_0000)), None, "still ACTIVE");
        assert_eq!(resign(&frame(0, 3, 0b1000)), None, "never had it");
        assert_eq!(resign(&frame(1, 0, 0b1_0000)), None, "a claim");
        for length in 0..49 {
            assert_eq!(resign(&frame(0, 3, 0b1_0000)[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn an_echo_reply_is_known_by_its_series_and_index() {
        let request = echo(7, 0x0001_0002);
        assert_eq!(checksum(&request), 0, "RFC 1071: a message with its checksum sums up to zero");
        let mut frame = vec![0; 14];
        frame[6..12].copy_from_slice(&Mac::of(3).0);
        frame[12..14].copy_from_slice(&IPV4.to_be_bytes());
        let mut packet = vec![0x45; 20];
        packet[9] = 1;
        packet[12..16].copy_from_slice(&SHARED.octets());
        packet.extend(request);
        packet[20] = 0; // reply
        frame.extend(packet);
        assert_eq!(read(&frame, SHARED.into(), 7), Some((Mac::of(3), Proof::Echo(0x0001_0002))));
        assert_eq!(read(&frame, SHARED.into(), 8), None);
        for length in 0..frame.len() {
            assert_eq!(read(&frame[..length], SHARED.into(), 7), None, "{length} bytes");
        }
    }
}
