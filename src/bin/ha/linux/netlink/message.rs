//! Messages of netlink and their attributes, read as bytes: no length in them leads beyond their end.

use std::net::IpAddr;

use ha::config::Cidr;
use linux_raw_sys::netlink as nl;

use super::{Interface, Kind};

/// A message without its header.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    /// Of the request that it answers.
    pub seq: u32,
    pub body: &'a [u8],
}

/// The messages in a buffer.
#[derive(Debug)]
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let (header, _) = self.0.split_first_chunk::<NLMSGHDR_LEN>()?;
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
        let len = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let body = self.0.get(NLMSGHDR_LEN..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        let [kind, flags] = [[k0, k1], [f0, f1]].map(u16::from_ne_bytes);
        Some(Message { kind, flags, seq: u32::from_ne_bytes([s0, s1, s2, s3]), body })
    }
}

/// The attributes in a body.
#[derive(Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let (&[l0, l1, k0, k1], _) = self.0.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = self.0.get(4..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]), value))
    }
}

/// Interface and name in the body of a link message.
pub fn interface(body: &[u8]) -> Option<(Interface, Option<&[u8]>)> {
    let (header, attributes) = body.split_at_checked(IFINFOMSG_LEN)?;
    let word = |at: usize| header[at..].first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
    let flags = word(8)?;
    let mut interface = Interface {
        index: word(4)?,
        is_up: flags & IFF_UP != 0,
        is_running: flags & (IFF_UP | IFF_RUNNING) == IFF_UP | IFF_RUNNING,
        kind: kind(flags),
        mac: [0; 6],
    };
    let mut name = None;
    for (kind, value) in Attributes(attributes) {
        if kind == nl::IFLA_ADDRESS as u16 {
            interface.mac = value.try_into().unwrap_or_default();
        } else if kind == nl::IFLA_IFNAME as u16 {
            name = value.strip_suffix(&[0]);
        }
    }
    Some((interface, name))
}

/// An address of either family, by its length.
pub fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Whether a link message has this alternative name.
pub fn has_name(body: &[u8], name: &str) -> bool {
    let attributes = body.get(IFINFOMSG_LEN..).unwrap_or_default();
    let lists = Attributes(attributes).filter(|(kind, _)| kind & KIND == nl::IFLA_PROP_LIST as u16);
    lists
        .flat_map(|(_, list)| Attributes(list))
        .any(|(kind, value)| kind == nl::IFLA_ALT_IFNAME as u16 && value.strip_suffix(&[0]) == Some(name.as_bytes()))
}

fn kind(flags: u32) -> Kind {
    if flags & IFF_LOOPBACK != 0 {
        Kind::Loopback
    } else if flags & IFF_POINTOPOINT != 0 {
        Kind::PointToPoint
    } else if flags & IFF_NOARP != 0 {
        Kind::NoArp
    } else {
        Kind::Lan
    }
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The local one, where there is another one at the other end.
    pub cidr: Cidr,
    /// Number of the interface.
    pub index: u32,
    /// Seconds that it has left; `u32::MAX`: for ever.
    pub valid_s: u32,
    /// It cannot be used: it was not yet found to be nobody else's, or is somebody else's (RFC 4862 section 5.4).
    pub is_tentative: bool,
    /// It was found to be somebody else's.
    pub is_duplicate: bool,
    /// It is not to be used for long: of IPv6 one that changes for the sake of privacy (RFC 8981), or that is deprecated.
    pub is_passing: bool,
}

/// What the body of an address message says.
pub fn address(body: &[u8]) -> Option<Address> {
    let (header, attributes) = body.split_at_checked(IFADDRMSG_LEN)?;
    let find = |wanted| Attributes(attributes).find(|&(kind, _)| kind == wanted).map(|(_, value)| value);
    // IPv6 has a local one only where there is another one at the other end.
    let address = find(nl::IFA_LOCAL as u16).or_else(|| find(nl::IFA_ADDRESS as u16))?;
    let address = ip_address(address)?;
    let word = |bytes: &[u8]| bytes.first_chunk().map(|word| u32::from_ne_bytes(*word));
    let flags = find(nl::IFA_FLAGS as u16).and_then(word).unwrap_or(header[2].into());
    Some(Address {
        cidr: Cidr::new(address, header[1]),
        index: word(&header[4..])?,
        // Preferred first, then valid.
        valid_s: find(nl::IFA_CACHEINFO as u16).and_then(|times| word(times.get(4..)?)).unwrap_or(u32::MAX),
        is_tentative: flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) != 0 && flags & IFA_F_OPTIMISTIC == 0,
        is_duplicate: flags & IFA_F_DADFAILED != 0,
        is_passing: flags & (IFA_F_TEMPORARY | IFA_F_DEPRECATED) != 0,
    })
}

/// Of the kind of an attribute; the bits above say what is in it (NLA_F_NESTED).
pub const KIND: u16 = 0x3fff;
/// linux/if_addr.h.
const IFA_F_TEMPORARY: u32 = 0x01;
const IFA_F_DEPRECATED: u32 = 0x20;
const IFA_F_OPTIMISTIC: u32 = 0x04;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;
pub const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 1 << 3;
const IFF_POINTOPOINT: u32 = 1 << 4;
const IFF_RUNNING: u32 = 1 << 6;
const IFF_NOARP: u32 = 1 << 7;

const NLMSGHDR_LEN: usize = 16;
pub const NLMSG_TYPE_OFFSET: u32 = 4;
pub const NLMSG_PID_OFFSET: u32 = 12;
pub const IFINFOMSG_LEN: usize = 16;
const IFADDRMSG_LEN: usize = 8;
const _: () = assert!(size_of::<nl::nlmsghdr>() == NLMSGHDR_LEN && size_of::<nl::ifaddrmsg>() == IFADDRMSG_LEN);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_length_in_a_message_leads_beyond_its_end() {
        let mut bytes = [0u8; 64];
        for len in 0..=255u32 {
            bytes[..4].copy_from_slice(&len.to_ne_bytes());
            bytes[16..18].copy_from_slice(&u16::try_from(len).unwrap().to_ne_bytes());
            for cut in 0..=bytes.len() {
                let total: usize = Messages(&bytes[..cut]).map(|message| message.body.len()).sum();
                assert!(total <= cut);
                let _ = (interface(&bytes[..cut]), address(&bytes[..cut]));
                let total: usize = Attributes(&bytes[16.min(cut)..cut]).take(64).map(|(_, value)| value.len()).sum();
                assert!(total <= cut);
            }
        }
    }
}
