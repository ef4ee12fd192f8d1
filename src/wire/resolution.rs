//! What a message of address resolution says: ARP (RFC 826) for IPv4, Neighbour Discovery (RFC 4861 section 7.2) for IPv6.
//!
//! Which address is at which hardware address is one question in both families, and the fields of ARP fit both:
//!
//! | | is_reply | mac | from | to |
//! |---|---|---|---|---|
//! | ARP request or reply | by its operation | SHA | SPA | TPA |
//! | ARP probe | no | SHA | 0.0.0.0 | TPA |
//! | NA with O | yes | TLLA | target | destination |
//! | NA without O, or without TLLA | yes | - | target | destination |
//! | NS | no | SLLA | source | target |
//! | NS that probes (DAD) | no | - | :: | target |

use core::net::IpAddr;

use super::arp::{Arp, Mac};
use super::nd;

/// One such message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// The link by which it was heard.
    pub link: u8,
    /// A reply, or an NA, asked for or not; else a request.
    pub is_reply: bool,
    /// The hardware address that caches may enter for `from`; none if the message moves no cache that has an entry.
    pub mac: Option<Mac>,
    /// The address that it is about.
    pub from: IpAddr,
    /// The address that is asked, or that asked.
    pub to: IpAddr,
    /// Others hear it, too; else this host alone.
    pub is_to_all: bool,
}

impl Resolution {
    /// The same, heard by this link; as it is read it is the first one's.
    #[must_use]
    pub fn by(self, link: u8) -> Self {
        Self { link, ..self }
    }

    /// True for the reply to a probe, which has no sender that could be the target. An NA that nobody asked for looks the same.
    pub fn answers_probe(&self) -> bool {
        let has_no_target = match self.to {
            IpAddr::V4(to) => to.is_unspecified(),
            IpAddr::V6(to) => to == nd::ALL_NODES,
        };
        self.is_reply && has_no_target
    }
}

impl From<Arp> for Resolution {
    fn from(Arp { is_reply, mac, from, to, is_to_all }: Arp) -> Self {
        Self { link: 0, is_reply, mac: Some(mac), from: from.into(), to: to.into(), is_to_all }
    }
}
