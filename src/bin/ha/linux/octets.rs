//! The bytes of an address, as the kernel gets them.

use std::net::IpAddr;

/// Four of IPv4, or sixteen.
#[derive(Debug)]
pub enum Octets {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl Octets {
    /// Those of `address`.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => Self::V6(address.octets()),
        }
    }

    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::V4(octets) => octets,
            Self::V6(octets) => octets,
        }
    }
}
