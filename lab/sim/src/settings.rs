//! What the daemon of a simulated node runs with.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ha::config::{Cidr, Config, ConfigError, OnConflict, Params};
use ha::lease::Lease;
use ha::time::Duration;

use crate::time::{Span, Us};

/// The daemon's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Higher is more worthy.
    pub worthiness: u16,
    /// More worthy nodes do not claim from it.
    pub sticky: bool,
    /// Be ACTIVE only while this number of nodes is alive; 0: it does not matter.
    pub quorum: u8,
    /// Ask an ACTIVE that is overdue.
    pub suspicion: bool,
    /// The kernel removes the address by itself.
    pub lease: bool,
    /// Of which families the shared addresses are.
    pub families: Families,
    /// What to do about an address in use by a host that is not heard.
    pub on_conflict: OnConflict,
    /// How often to speak.
    pub interval: Us,
    /// How long to wait.
    pub tolerance: Us,
    /// How long to be up before claiming.
    pub preempt_delay: Us,
    /// How long a link may be deaf after it came up.
    pub link_delay: Us,
}

/// The daemon's.
impl Default for Settings {
    fn default() -> Self {
        Self {
            worthiness: 100,
            sticky: false,
            quorum: 0,
            suspicion: true,
            lease: true,
            families: Families::V4,
            on_conflict: OnConflict::Hold,
            interval: 1_000_000,
            tolerance: 3_500_000,
            preempt_delay: 3_500_000,
            link_delay: 10_000_000,
        }
    }
}

impl Settings {
    /// The daemon's, but it does not ask before it takes over: neither the owner, nor the LAN by ARP with any effect.
    pub fn unasking() -> Self {
        Self { suspicion: false, lease: false, on_conflict: OnConflict::Take, ..Self::default() }
    }

    /// As the daemon takes them.
    ///
    /// # Errors
    /// The daemon would refuse them.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let us = Duration::from_micros;
        let mut params = Params {
            worthiness: self.worthiness,
            sticky: self.sticky,
            quorum: self.quorum,
            suspicion: self.suspicion,
            lease: self.lease,
            on_conflict: self.on_conflict,
            interval: us(self.interval),
            tolerance: us(self.tolerance),
            preempt_delay: Some(us(self.preempt_delay)),
            link_delay: us(self.link_delay),
            ..Params::default()
        };
        for &address in self.families.addresses() {
            let prefix = if address.is_ipv4() { 16 } else { 64 };
            params.addresses.push(Cidr::new(address, prefix)).expect("room for two addresses");
        }
        Config::new(params)
    }
}

impl Settings {
    /// How long a kernel keeps the addresses, if with a lease.
    pub fn lease_if_any(&self) -> Lease {
        let has_v6 = self.families.addresses().iter().any(IpAddr::is_ipv6);
        Lease::for_tolerance(Duration::from_micros(self.tolerance), has_v6)
    }
}

/// Of which families the shared addresses of a group are; with one of IPv6 alone the nodes are known by IPv6 addresses, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// One of IPv4.
    V4,
    /// One of IPv6.
    V6,
    /// One of each, the first of IPv4.
    V4AndV6,
    /// The other way round.
    V6AndV4,
}

impl Families {
    /// The shared addresses, in their order.
    pub fn addresses(self) -> &'static [IpAddr] {
        match self {
            Self::V4 => &[SHARED],
            Self::V6 => &[SHARED_6],
            Self::V4AndV6 => &[SHARED, SHARED_6],
            Self::V6AndV4 => &[SHARED_6, SHARED],
        }
    }

    /// The real address of node `n`, and the prefix of its network.
    pub fn node(self, n: usize) -> (IpAddr, u8) {
        let [.., high, low] = (n + 1).to_be_bytes();
        match self {
            Self::V6 => (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, high.into(), low.into()).into(), 64),
            Self::V4 | Self::V4AndV6 | Self::V6AndV4 => (Ipv4Addr::new(10, 9, high, low).into(), 24),
        }
    }
}

/// The shared address of IPv4 ...
pub const SHARED: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 255, 1));

/// ... and that of IPv6.
pub const SHARED_6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worthiness, sticky, quorum, suspicion, lease, families, on_conflict, .. } = *self;
        let Self { interval, tolerance, preempt_delay, link_delay, .. } = *self;
        write!(f, "worthiness {worthiness}, interval {}, tolerance {}, ", Span(interval), Span(tolerance))?;
        write!(f, "preempt-delay {}, link-delay {}", Span(preempt_delay), Span(link_delay))?;
        if sticky {
            f.write_str(", sticky")?;
        }
        if quorum > 0 {
            write!(f, ", quorum {quorum}")?;
        }
        if !suspicion {
            f.write_str(", no suspicion")?;
        }
        if on_conflict == OnConflict::Take {
            f.write_str(", on-conflict take")?;
        }
        f.write_str(match families {
            Families::V4 => "",
            Families::V6 => ", IPv6",
            Families::V4AndV6 => ", IPv4 and IPv6",
            Families::V6AndV4 => ", IPv6 and IPv4",
        })?;
        if lease { Ok(()) } else { f.write_str(", no-lease") }
    }
}
