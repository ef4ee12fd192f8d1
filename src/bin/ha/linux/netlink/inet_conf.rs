//! What sysctl knows as net.ipv4.conf and net.ipv6.conf, for one interface (linux/ip.h, linux/ipv6.h, IFLA_INET_CONF and
//! IFLA_INET6_CONF of linux/if_link.h): it needs no /proc.

use linux_raw_sys::netlink as nl;
use rustix::io::{self, Errno};

use super::message::{Attributes, IFINFOMSG_LEN};
use super::{AF_INET, Family, Requests};

impl Requests {
    /// Whether interface `index` keeps the other addresses of a subnet when the first of them goes, by its own
    /// `promote_secondaries`; nothing if it is not there or has no IPv4.
    pub fn promotes(&mut self, index: u32) -> io::Result<Option<bool>> {
        self.conf(index, promotes)
    }

    /// Whether interface `index` passes packets of IPv6 on, as a router does.
    pub fn forwards(&mut self, index: u32) -> io::Result<bool> {
        Ok(self.conf(index, forwards)?.unwrap_or(false))
    }

    fn conf(&mut self, index: u32, read: fn(&[u8]) -> Option<bool>) -> io::Result<Option<bool>> {
        self.message.clear();
        let start = self.begin(nl::RTM_GETLINK as u16, nl::NLM_F_ACK);
        self.link_header(index);
        self.end(start);
        let mut found = None;
        let outcome = self.exchange(&mut |kind, body| {
            if kind == nl::RTM_NEWLINK as u16 {
                found = read(body);
            }
        });
        match outcome {
            Ok(()) => Ok(found),
            Err(Errno::NODEV) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Sets or clears `promote_secondaries` of interface `index`.
    pub fn set_promotes(&mut self, index: u32, promotes: bool) -> io::Result<()> {
        self.message.clear();
        let start = self.begin(nl::RTM_SETLINK as u16, nl::NLM_F_ACK);
        self.link_header(index);
        // Three attributes within each other.
        let entry = nested(PROMOTE_SECONDARIES, 4);
        let conf = nested(nl::IFLA_INET_CONF as u16, 8);
        let family = nested(AF_INET.into(), 12);
        let value = u32::from(promotes).to_ne_bytes();
        self.attribute(nl::IFLA_AF_SPEC as u16, &[&family, &conf, &entry, &value].map(<[u8; 4]>::as_slice));
        self.end(start);
        self.exchange(&mut |_, _| ())
    }

    /// A struct ifinfomsg that names an interface and changes no flag.
    fn link_header(&mut self, index: u32) {
        self.put(&[0; 4]);
        self.put(&index.to_ne_bytes());
        self.put(&[0; 8]);
    }
}

/// The head of an attribute with `len` bytes.
fn nested(kind: u16, len: u16) -> [u8; 4] {
    let ([l0, l1], [k0, k1]) = ((4 + len).to_ne_bytes(), kind.to_ne_bytes());
    [l0, l1, k0, k1]
}

/// The value in the body of a link message, if it has one. The array begins with that of number 1.
fn promotes(body: &[u8]) -> Option<bool> {
    value_of(body, Family::V4, nl::IFLA_INET_CONF as u16, usize::from(PROMOTE_SECONDARIES) - 1)
}

/// The same; this array begins with that of number 0.
fn forwards(body: &[u8]) -> Option<bool> {
    value_of(body, Family::V6, nl::IFLA_INET6_CONF as u16, FORWARDING)
}

fn value_of(body: &[u8], family: Family, array: u16, position: usize) -> Option<bool> {
    let path = [nl::IFLA_AF_SPEC as u16, family as u16, array];
    let values = path.iter().try_fold(body.get(IFINFOMSG_LEN..)?, |attributes, &wanted| {
        Attributes(attributes).find(|&(kind, _)| kind & TYPE_MASK == wanted).map(|(_, value)| value)
    })?;
    Some(values.chunks_exact(4).nth(position)? != [0; 4])
}

/// IPV4_DEVCONF_PROMOTE_SECONDARIES of linux/ip.h.
const PROMOTE_SECONDARIES: u16 = 20;

/// DEVCONF_FORWARDING of linux/ipv6.h.
const FORWARDING: usize = 0;

/// NLA_TYPE_MASK: without the bits that say how an attribute is to be read.
const TYPE_MASK: u16 = 0x3fff;

#[cfg(test)]
mod tests {
    use super::*;

    /// The body of a link message with this array.
    fn body(conf: &[u32]) -> Vec<u8> {
        let len = u16::try_from(conf.len() * 4).unwrap();
        let mut body = vec![0; IFINFOMSG_LEN];
        body.extend([nested(nl::IFLA_MTU as u16, 4), 1500u32.to_ne_bytes()].concat());
        body.extend(nested(nl::IFLA_AF_SPEC as u16, len + 8));
        body.extend(nested(AF_INET.into(), len + 4));
        body.extend(nested(nl::IFLA_INET_CONF as u16, len));
        body.extend(conf.iter().flat_map(|value| value.to_ne_bytes()));
        body
    }

    #[test]
    fn the_twentieth_value_is_the_one() {
        let mut conf = [1; 33];
        conf[19] = 0;
        assert_eq!(promotes(&body(&conf)), Some(false));
        conf = [0; 33];
        conf[19] = 1;
        assert_eq!(promotes(&body(&conf)), Some(true));
        assert_eq!(promotes(&body(&conf[..19])), None, "a kernel that does not know it");
        assert_eq!(promotes(&body(&[])[..24]), None, "no IPv4");
    }

    #[test]
    fn no_length_in_a_message_leads_beyond_its_end() {
        let whole = body(&[1; 33]);
        for at in IFINFOMSG_LEN..whole.len() {
            for value in [0, 3, 5, 255] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                for cut in 0..=bytes.len() {
                    let _ = promotes(&bytes[..cut]);
                }
            }
        }
    }
}
