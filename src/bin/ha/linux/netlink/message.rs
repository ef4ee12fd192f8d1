//! Messages of netlink and their attributes, read as bytes: no length in them leads beyond their end.

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

/// Local address and interface number in the body of an address message.
pub fn address(body: &[u8]) -> Option<(Cidr, u32)> {
    let (header, attributes) = body.split_at_checked(IFADDRMSG_LEN)?;
    let index = u32::from_ne_bytes(*header[4..].first_chunk()?);
    let (_, local) = Attributes(attributes).find(|&(kind, _)| kind == nl::IFA_LOCAL as u16)?;
    let local: [u8; 4] = local.try_into().ok()?;
    Some((Cidr::new(local.into(), header[1]), index))
}

/// Seconds that the address in the body of an address message has left.
pub fn valid_s(body: &[u8]) -> u32 {
    let attributes = body.get(IFADDRMSG_LEN..).unwrap_or_default();
    let lifetime = Attributes(attributes).find(|&(kind, _)| kind == nl::IFA_CACHEINFO as u16);
    // Preferred first, then valid.
    lifetime.and_then(|(_, times)| times.get(4..)?.first_chunk()).map_or(u32::MAX, |valid| u32::from_ne_bytes(*valid))
}

/// Of the kind of an attribute; the bits above say what is in it (NLA_F_NESTED).
pub const KIND: u16 = 0x3fff;
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
