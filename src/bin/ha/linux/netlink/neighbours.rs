//! The hosts that the kernel knows on a LAN: the default gateway, and those in its neighbour caches (linux/neighbour.h).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use linux_raw_sys::netlink as nl;
use rustix::io::{self, Errno};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};

use super::message::{Attributes, Messages, ip_address};
use super::{Family, Requests};
use crate::linux::octets::Octets;

/// As many as the core asks.
pub type Found = heapless::Vec<IpAddr, { ha::neighbours::MAX }>;

impl Requests {
    /// The router that leads from interface `index` to the rest of the world, if there is one of this family.
    pub fn gateway(&mut self, index: u32, family: Family) -> io::Result<Option<IpAddr>> {
        let (elsewhere, width) = match family {
            Family::V4 => (IpAddr::V4(ELSEWHERE), 32),
            Family::V6 => (IpAddr::V6(ELSEWHERE_6), 128),
        };
        self.message.clear();
        let start = self.begin(nl::RTM_GETROUTE as u16, nl::NLM_F_ACK);
        let mut header = [0; RTMSG_LEN];
        (header[0], header[1]) = (family as u8, width);
        self.put(&header);
        self.attribute(RTA_DST, &[Octets::of(elsewhere).as_slice()]);
        self.attribute(RTA_OIF, &[&index.to_ne_bytes()]);
        self.end(start);
        let mut found = None;
        let outcome = self.exchange(&mut |kind, body| {
            if kind == nl::RTM_NEWROUTE as u16 {
                let attributes = body.get(RTMSG_LEN..).unwrap_or_default();
                found = address(attributes, RTA_GATEWAY).or(found);
            }
        });
        match outcome {
            Ok(()) => Ok(found),
            Err(Errno::NETUNREACH | Errno::HOSTUNREACH) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The neighbours of this family of interface `index` that the kernel has a hardware address of; the first ones of a long list.
    ///
    /// On a socket of its own: closing it ends a long list that is not read to its end, so that the list holds nothing up.
    pub fn neighbours(&mut self, index: u32, family: Family) -> io::Result<Found> {
        let socket = super::open(SocketFlags::CLOEXEC, 0)?;
        self.message.clear();
        let start = self.begin(nl::RTM_GETNEIGH as u16, nl::NLM_F_ROOT | nl::NLM_F_MATCH);
        let mut header = [0; NDMSG_LEN];
        header[0] = family as u8;
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        self.put(&header);
        self.attribute(NDA_IFINDEX, &[&index.to_ne_bytes()]);
        self.end(start);
        rustix::net::sendto(&socket, &self.message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut found = Found::new();
        for _ in 0..MOST_READS {
            let (_, len) = match rustix::net::recv(&socket, &mut self.answer[..], RecvFlags::DONTWAIT) {
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => break,
                got => got?,
            };
            for message in Messages(&self.answer[..len.min(self.answer.len())]) {
                if u32::from(message.kind) == nl::NLMSG_DONE {
                    return Ok(found);
                }
                if message.kind == nl::RTM_NEWNEIGH as u16
                    && let Some(address) = neighbour(message.body, index)
                    && found.push(address).is_err()
                {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }
}

/// The address in the body of a neighbour message, if it is one of `index` and is known to be somewhere.
fn neighbour(body: &[u8], index: u32) -> Option<IpAddr> {
    let (header, attributes) = body.split_at_checked(NDMSG_LEN)?;
    let its_index = u32::from_ne_bytes(*header[4..].first_chunk()?);
    let state = u16::from_ne_bytes(*header[8..].first_chunk()?);
    let is_known = its_index == index && state & NUD_VALID != 0;
    address(attributes, NDA_DST).filter(|_| is_known)
}

fn address(attributes: &[u8], kind: u16) -> Option<IpAddr> {
    let (_, value) = Attributes(attributes).find(|attribute| attribute.0 == kind)?;
    ip_address(value)
}

/// TEST-NET-2 (RFC 5737): nothing but a default route leads there.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// The same of IPv6 (RFC 9637).
const ELSEWHERE_6: Ipv6Addr = Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 1);

/// struct rtmsg and its attributes (linux/rtnetlink.h).
const RTMSG_LEN: usize = 12;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

/// struct ndmsg and its attributes.
const NDMSG_LEN: usize = 12;
const NDA_DST: u16 = 1;
const NDA_IFINDEX: u16 = 8;

/// NUD_PERMANENT, NUD_REACHABLE, NUD_STALE, NUD_DELAY and NUD_PROBE.
const NUD_VALID: u16 = 0x80 | 0x02 | 0x04 | 0x08 | 0x10;

/// Some hundred neighbours each.
const MOST_READS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_length_in_a_message_leads_beyond_its_end() {
        let mut bytes = [0u8; 32];
        for len in 0..=255u16 {
            bytes[12..14].copy_from_slice(&len.to_ne_bytes());
            for cut in 0..=bytes.len() {
                let _ = neighbour(&bytes[..cut], 0);
            }
        }
    }
}
