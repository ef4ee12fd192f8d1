//! Bytes on the wire: the heartbeat, its tag, ARP and Neighbour Discovery.

use core::net::{IpAddr, Ipv6Addr};

pub mod arp;
pub mod heartbeat;
pub mod nd;
pub mod resolution;
pub mod routine;
pub mod seal;

pub use heartbeat::{Flags, Heartbeat, Kind, LEN, NodeId, Release, State};
pub use resolution::Resolution;
pub use seal::{Context, Key, Seal, SigningKey};

/// An address as packets and hashes have it: an IPv4 address as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2).
pub const fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}
