//! Checked parameters: a [`Config`] that exists is one that works.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heapless::Vec;

use crate::announce;
use crate::fence;
use crate::hash::hash;
use crate::lease::Lease;
use crate::time::Duration;
use crate::wire::mapped;

/// Most shared addresses of one group.
pub const MAX_ADDRESSES: usize = 16;

/// Most links: interfaces that carry shared addresses.
pub const MAX_LINKS: usize = 4;

/// Shortest interval: a packet each millisecond.
pub const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// Longest time of any kind: what the wire can carry is 71 minutes.
pub const MAX_TIME: Duration = Duration::from_secs(3_600);

/// A shared address with the length of its subnet's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// Bits of the prefix, 0..=32, or 0..=128 of IPv6.
    pub prefix: u8,
}

impl Cidr {
    /// `address/prefix`.
    pub const fn new(address: IpAddr, prefix: u8) -> Self {
        Self { address, prefix }
    }

    /// The address, if it is one of IPv4.
    pub fn v4(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    /// The same, of IPv6.
    pub fn v6(&self) -> Option<Ipv6Addr> {
        match self.address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address),
        }
    }

    /// True if `address` is in the network of this one.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()) & !host_mask_4(self.prefix) == 0,
            (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()) & !host_mask_6(self.prefix) == 0,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether one host of a LAN can have the address.
    ///
    /// # Errors
    /// What it is instead.
    pub fn check(self) -> Result<(), NotHost> {
        match self.address {
            IpAddr::V4(address) => check_4(address, self.prefix),
            IpAddr::V6(address) => check_6(address, self.prefix),
        }
    }

    /// The address as 16 bytes, IPv4 as IPv4-mapped IPv6, then the prefix.
    fn to_bytes(self) -> [u8; 17] {
        let mut bytes = [self.prefix; 17];
        bytes[..16].copy_from_slice(&mapped(self.address).octets());
        bytes
    }
}

fn check_4(address: Ipv4Addr, prefix: u8) -> Result<(), NotHost> {
    let host_mask = host_mask_4(prefix);
    let host = address.to_bits() & host_mask;
    let has_ends = host_mask > 1;
    Err(if !(1..=32).contains(&prefix) {
        NotHost::Prefix
    } else if address.octets()[0] == 0 {
        NotHost::Nobody
    } else if address.is_loopback() {
        NotHost::Loopback
    } else if address.is_multicast() {
        NotHost::Multicast
    } else if address.is_broadcast() || has_ends && host == host_mask {
        NotHost::Broadcast
    } else if has_ends && host == 0 {
        NotHost::Network
    } else {
        return Ok(());
    })
}

/// There is no broadcast; the first address of a network stands for any of its routers (RFC 4291 section 2.6.1).
fn check_6(address: Ipv6Addr, prefix: u8) -> Result<(), NotHost> {
    let host_mask = host_mask_6(prefix);
    Err(if !(1..=128).contains(&prefix) {
        NotHost::Prefix6
    } else if address.to_ipv4_mapped().is_some() {
        NotHost::Mapped
    } else if address.is_unspecified() {
        NotHost::Nobody
    } else if address.is_loopback() {
        NotHost::Loopback
    } else if address.is_multicast() {
        NotHost::Multicast
    } else if host_mask > 1 && address.to_bits() & host_mask == 0 {
        NotHost::Network
    } else {
        return Ok(());
    })
}

/// A one for each bit behind the prefix.
fn host_mask_4(prefix: u8) -> u32 {
    u32::MAX.checked_shr(prefix.into()).unwrap_or(0)
}

fn host_mask_6(prefix: u8) -> u128 {
    u128::MAX.checked_shr(prefix.into()).unwrap_or(0)
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// What is no host's address on a LAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotHost {
    /// One of IPv4 with another prefix than 1..=32.
    Prefix,
    /// One of IPv6 with another prefix than 1..=128.
    Prefix6,
    /// IPv4-mapped IPv6, ::ffff:0.0.0.0/96: it is on no wire.
    Mapped,
    /// 0.0.0.0/8 (RFC 1122 section 3.2.1.3), ::.
    Nobody,
    /// 127.0.0.0/8, ::1.
    Loopback,
    /// 224.0.0.0/4, ff00::/8.
    Multicast,
    /// The last one of a network, or of all.
    Broadcast,
    /// The first one of a network.
    Network,
}

impl fmt::Display for NotHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prefix => "a prefix has 1 to 32 bits",
            Self::Prefix6 => "a prefix has 1 to 128 bits",
            Self::Mapped => "it stands for an IPv4 address",
            Self::Nobody => "it stands for a host that has no address yet",
            Self::Loopback => "it is a loopback address",
            Self::Multicast => "it is a multicast address",
            Self::Broadcast => "it is a broadcast address",
            Self::Network => "it is the address of the network itself",
        })
    }
}

/// Parameters as a person wrote them.
#[derive(Debug, Clone)]
pub struct Params {
    /// Which group on this LAN; nodes of other groups are ignored. 1..=255.
    pub group: u8,
    /// Higher is more worthy; 0 never hosts.
    pub worthiness: u16,
    /// How often to speak.
    pub interval: Duration,
    /// How long to wait for a silent peer, and how long peers wait for us.
    pub tolerance: Duration,
    /// How long to be up before claiming the address from a less worthy ACTIVE; the tolerance if absent.
    pub preempt_delay: Option<Duration>,
    /// How long a link may be deaf after it came up.
    pub link_delay: Duration,
    /// Between two announcements at rest.
    pub announce_interval: Duration,
    /// Frames of ARP and ND a second in the long run, 1..=1000.
    pub announce_rate: u16,
    /// What to do about an address that a host has which is not heard.
    pub on_conflict: OnConflict,
    /// Not preempted by worthiness alone.
    pub sticky: bool,
    /// Be ACTIVE only while at least this number of nodes, this one included, is alive; 0 or 1: always.
    pub quorum: u8,
    /// Ask an ACTIVE that is overdue before taking over from it.
    pub suspicion: bool,
    /// Let the kernel remove the address when the daemon is dead or frozen.
    pub lease: bool,
    /// The shared addresses, at least one, none twice.
    pub addresses: Vec<Cidr, MAX_ADDRESSES>,
    /// The link of each of them, below [`MAX_LINKS`]; 0 is the one with the heartbeats.
    pub links: [u8; MAX_ADDRESSES],
}

/// What to do about an address that is to be taken and for which a host answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Take it: then there are two.
    Take,
    /// Wait until no host answers any more.
    Hold,
}

/// The original's constants; no address. Switches shut a port at 15 ARP frames a second, so ten are sent.
impl Default for Params {
    fn default() -> Self {
        Self {
            group: 1,
            worthiness: 100,
            interval: Duration::from_secs(1),
            tolerance: Duration::from_millis(3_500),
            preempt_delay: None,
            link_delay: Duration::from_secs(10),
            announce_interval: Duration::from_secs(60),
            announce_rate: 10,
            on_conflict: OnConflict::Hold,
            sticky: false,
            quorum: 0,
            suspicion: true,
            lease: true,
            addresses: Vec::new(),
            links: [0; MAX_ADDRESSES],
        }
    }
}

/// Parameters that work together.
#[derive(Debug, Clone)]
pub struct Config {
    params: Params,
    lease: Option<Lease>,
    addresses_hash: u32,
}

impl Config {
    /// Checks `params`.
    ///
    /// # Errors
    /// The first [`ConfigError`] in the order of its variants.
    pub fn new(params: Params) -> Result<Self, ConfigError> {
        let Params { interval, tolerance, .. } = params;
        if params.group == 0 {
            return Err(ConfigError::Group);
        }
        if interval < MIN_INTERVAL || interval > MAX_TIME {
            return Err(ConfigError::Range { name: "interval", span: interval, shortest: MIN_INTERVAL });
        }
        if tolerance <= interval || tolerance > MAX_TIME {
            return Err(ConfigError::Tolerance { tolerance, interval });
        }
        let is_short = |name, span| if span > MAX_TIME { Err(ConfigError::TooLong { name, span }) } else { Ok(()) };
        is_short("preempt-delay", params.preempt_delay.unwrap_or(tolerance))?;
        is_short("link-delay", params.link_delay)?;
        is_short("announce-interval", params.announce_interval)?;
        if !ANNOUNCE_RATES.contains(&params.announce_rate) {
            return Err(ConfigError::AnnounceRate(params.announce_rate));
        }
        let shortest = shortest_announce_interval(&params);
        if params.announce_interval < shortest {
            return Err(ConfigError::Range { name: "announce-interval", span: params.announce_interval, shortest });
        }
        if params.addresses.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        for (index, &cidr) in params.addresses.iter().enumerate() {
            cidr.check().map_err(|why| ConfigError::NotHost(cidr, why))?;
            if params.addresses[..index].iter().any(|other| other.address == cidr.address) {
                return Err(ConfigError::Twice(cidr));
            }
        }
        let lease = params.lease.then(|| Lease::for_tolerance(tolerance, has_v6(&params.addresses)));
        if let Some(lease) = lease
            && Duration::from_secs(lease.secs().into()) < interval.saturating_mul(2)
        {
            let longest = Duration::from_secs(interval.saturating_mul(2).as_micros().div_ceil(1_000_000));
            let needed = longest + lease.lateness();
            return Err(ConfigError::ShortForLease { tolerance, needed, interval });
        }
        // Without the others an ACTIVE has to let go an interval before they take over, and must not miss them in between.
        let needed = interval.saturating_mul(5) / 2;
        if params.quorum > 1 && tolerance < needed {
            return Err(ConfigError::ShortForQuorum { tolerance, needed, interval });
        }
        Ok(Self { lease, addresses_hash: hash_of(&params.addresses), params })
    }

    /// The group, 1..=255.
    pub fn group(&self) -> u8 {
        self.params.group
    }

    /// Our worthiness.
    pub fn worthiness(&self) -> u16 {
        self.params.worthiness
    }

    /// How often to speak.
    pub fn interval(&self) -> Duration {
        self.params.interval
    }

    /// How long peers wait for us and we listen before taking over.
    pub fn tolerance(&self) -> Duration {
        self.params.tolerance
    }

    /// How long to be up before claiming.
    pub fn preempt_delay(&self) -> Duration {
        self.params.preempt_delay.unwrap_or(self.params.tolerance)
    }

    /// How long a link may be deaf after it came up.
    pub fn link_delay(&self) -> Duration {
        self.params.link_delay
    }

    /// Between two announcements at rest.
    pub fn announce_interval(&self) -> Duration {
        self.params.announce_interval
    }

    /// Frames of ARP and ND a second in the long run.
    pub fn announce_rate(&self) -> u64 {
        self.params.announce_rate.into()
    }

    /// What to do about an address that a host has which is not heard.
    pub fn on_conflict(&self) -> OnConflict {
        self.params.on_conflict
    }

    /// Not preempted by worthiness alone.
    pub fn is_sticky(&self) -> bool {
        self.params.sticky
    }

    /// How many nodes have to be alive, this one included; none if it does not matter.
    pub fn quorum(&self) -> Option<u8> {
        Some(self.params.quorum).filter(|&quorum| quorum > 1)
    }

    /// Ask an ACTIVE that is overdue before taking over from it.
    pub fn suspicion(&self) -> bool {
        self.params.suspicion
    }

    /// The kernel's lease, unless it is not wanted.
    pub fn lease(&self) -> Option<Lease> {
        self.lease
    }

    /// How long a heartbeat may open the packet path, if there is a fence: [`fence::span`].
    pub fn fence_span(&self) -> Duration {
        fence::span(self.interval(), self.tolerance())
    }

    /// The shared addresses, in the order given.
    pub fn addresses(&self) -> &[Cidr] {
        &self.params.addresses
    }

    /// Their links, in the same order.
    pub fn links(&self) -> &[u8] {
        &self.params.links[..self.params.addresses.len()]
    }

    /// Those of one link.
    pub fn on_link(&self, link: u8) -> Vec<Cidr, MAX_ADDRESSES> {
        let mut all = self.params.addresses.clone();
        let mut links = self.params.links.iter();
        all.retain(|_| links.next() == Some(&link));
        all
    }

    /// First four bytes, little-endian, of SHA-256 over the addresses, sorted by these bytes: each as 16, IPv4 as
    /// IPv4-mapped IPv6, then its prefix.
    pub fn addresses_hash(&self) -> u32 {
        self.addresses_hash
    }
}

/// A bit for each of `addresses` that is of this family.
pub(crate) fn of_family(addresses: &[Cidr], is_v4: bool) -> u16 {
    let all = addresses.iter().enumerate();
    all.fold(0, |bits, (index, cidr)| if cidr.address.is_ipv4() == is_v4 { bits | 1 << index } else { bits })
}

/// One of them is of IPv6.
pub fn has_v6(addresses: &[Cidr]) -> bool {
    addresses.iter().any(|cidr| cidr.address.is_ipv6())
}

fn hash_of(addresses: &[Cidr]) -> u32 {
    let mut bytes = Vec::<u8, { 17 * MAX_ADDRESSES }>::new();
    let mut last = None;
    while let Some(next) = addresses.iter().map(|cidr| cidr.to_bytes()).filter(|&next| Some(next) > last).min() {
        bytes.extend(next);
        last = Some(next);
    }
    let [a, b, c, d, ..] = hash(&[&bytes]);
    u32::from_le_bytes([a, b, c, d])
}

/// Why parameters do not work. Each says the option, the value and what would be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigError {
    /// Group 0.
    Group,
    /// A time out of its range, which ends at [`MAX_TIME`].
    Range {
        /// The option.
        name: &'static str,
        /// Its value.
        span: Duration,
        /// Where the range begins.
        shortest: Duration,
    },
    /// The tolerance does not exceed the interval, or is out of range.
    Tolerance {
        /// The tolerance.
        tolerance: Duration,
        /// The interval that it must exceed.
        interval: Duration,
    },
    /// The kernel's lease would end between two heartbeats.
    ShortForLease {
        /// The tolerance.
        tolerance: Duration,
        /// What it has to be.
        needed: Duration,
        /// The interval.
        interval: Duration,
    },
    /// An ACTIVE has no time to miss its quorum.
    ShortForQuorum {
        /// The tolerance.
        tolerance: Duration,
        /// What it has to be.
        needed: Duration,
        /// The interval.
        interval: Duration,
    },
    /// A time beyond [`MAX_TIME`].
    TooLong {
        /// The option.
        name: &'static str,
        /// Its value.
        span: Duration,
    },
    /// Too few or too many frames of ARP and ND.
    AnnounceRate(u16),
    /// No shared address.
    NoAddress,
    /// Not an address that one host of a LAN can have.
    NotHost(Cidr, NotHost),
    /// The same address again.
    Twice(Cidr),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group => f.write_str("group 0: expected a number from 1 to 255"),
            Self::Range { name, span, shortest } => write!(f, "{name} {span}: expected {shortest} to {MAX_TIME}"),
            Self::Tolerance { tolerance, interval } => {
                write!(f, "tolerance {tolerance}: expected more than the interval ({interval}) and at most {MAX_TIME}")
            }
            Self::ShortForLease { tolerance, needed, interval } => {
                write!(
                    f,
                    "tolerance {tolerance}: expected at least {needed} for an interval of {interval}, or no-lease"
                )
            }
            Self::ShortForQuorum { tolerance, needed, interval } => {
                write!(
                    f,
                    "tolerance {tolerance}: expected at least {needed} for an interval of {interval} with a quorum"
                )
            }
            Self::TooLong { name, span } => write!(f, "{name} {span}: expected at most {MAX_TIME}"),
            Self::AnnounceRate(rate) => write!(
                f,
                "announce-rate {rate}: expected {} to {} frames a second",
                ANNOUNCE_RATES.start(),
                ANNOUNCE_RATES.end()
            ),
            Self::NoAddress => f.write_str("address is missing: expected at least one, such as 192.168.1.100/24"),
            Self::NotHost(cidr, why) => {
                write!(f, "address {cidr}: {why}; expected a host's with its prefix, such as 192.168.1.100/24")
            }
            Self::Twice(cidr) => write!(f, "address {cidr}: given twice; expected each address once"),
        }
    }
}

/// The frames of all addresses, and as many again for all other ARP and ND.
fn shortest_announce_interval(params: &Params) -> Duration {
    let frames = 2 * params.addresses.iter().map(|cidr| announce::cost(cidr.address.is_ipv4())).sum::<u64>();
    Duration::from_secs(frames.div_ceil(params.announce_rate.into()).max(5))
}

const ANNOUNCE_RATES: core::ops::RangeInclusive<u16> = 1..=1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn params(addresses: &[&str]) -> Params {
        let mut params = Params::default();
        for text in addresses {
            let (address, prefix) = text.split_once('/').unwrap();
            params.addresses.push(Cidr::new(address.parse().unwrap(), prefix.parse().unwrap())).unwrap();
        }
        params
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_would_be_accepted() {
        let one = || params(&["192.0.2.1/24"]);
        let three = || params(&["192.0.2.1/24", "192.0.2.2/24", "192.0.2.3/24"]);
        for (params, text) in [
            (Params { group: 0, ..one() }, "group 0: expected a number from 1 to 255"),
            (Params { interval: Duration::from_micros(999), ..one() }, "interval 0.999ms: expected 1ms to 3600s"),
            (
                Params { tolerance: Duration::from_secs(1), ..one() },
                "tolerance 1s: expected more than the interval (1s) and at most 3600s",
            ),
            (
                Params { tolerance: Duration::from_millis(2_500), ..one() },
                "tolerance 2.5s: expected at least 3s for an interval of 1s, or no-lease",
            ),
            (
                Params { preempt_delay: Some(Duration::from_secs(3_601)), ..one() },
                "preempt-delay 3601s: expected at most 3600s",
            ),
            (
                Params { announce_interval: Duration::from_secs(4), ..one() },
                "announce-interval 4s: expected 5s to 3600s",
            ),
            (Params { announce_rate: 0, ..one() }, "announce-rate 0: expected 1 to 1000 frames a second"),
            (Params { announce_rate: 1_001, ..one() }, "announce-rate 1001: expected 1 to 1000 frames a second"),
            (
                Params { announce_rate: 1, announce_interval: Duration::from_secs(7), ..three() },
                "announce-interval 7s: expected 12s to 3600s",
            ),
            (
                Params { quorum: 2, tolerance: Duration::from_micros(2_499_999), lease: false, ..one() },
                "tolerance 2.499s: expected at least 2.5s for an interval of 1s with a quorum",
            ),
            (params(&[]), "address is missing: expected at least one, such as 192.168.1.100/24"),
            (
                params(&["192.0.2.1/24", "192.0.2.1/32"]),
                "address 192.0.2.1/32: given twice; expected each address once",
            ),
            (
                params(&["2001:db8::1/64", "192.0.2.1/24", "2001:db8:0:0::1/128"]),
                "address 2001:db8::1/128: given twice; expected each address once",
            ),
        ] {
            assert_eq!(Config::new(params).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn only_addresses_that_a_host_can_have_are_accepted() {
        for (text, expected) in [
            ("192.0.2.1/24", Ok(())),
            ("192.0.2.1/32", Ok(())),
            ("192.0.2.0/31", Ok(())),
            ("10.0.0.255/8", Ok(())),
            ("192.0.2.1/0", Err(NotHost::Prefix)),
            ("192.0.2.1/33", Err(NotHost::Prefix)),
            ("192.0.2.0/24", Err(NotHost::Network)),
            ("128.0.0.0/1", Err(NotHost::Network)),
            ("192.0.2.255/24", Err(NotHost::Broadcast)),
            ("10.255.255.255/8", Err(NotHost::Broadcast)),
            ("255.255.255.255/32", Err(NotHost::Broadcast)),
            ("0.0.0.0/24", Err(NotHost::Nobody)),
            ("0.1.2.3/32", Err(NotHost::Nobody)),
            ("127.0.0.1/8", Err(NotHost::Loopback)),
            ("239.2.3.4/24", Err(NotHost::Multicast)),
            ("2001:db8::1/64", Ok(())),
            ("2001:db8::1/128", Ok(())),
            ("2001:db8::/127", Ok(())),
            ("2001:db8::ffff:ffff:ffff:ffff/64", Ok(())),
            ("fe80::1/64", Ok(())),
            ("fd00::1/8", Ok(())),
            ("2001:db8::1/0", Err(NotHost::Prefix6)),
            ("2001:db8::1/129", Err(NotHost::Prefix6)),
            ("2001:db8::/64", Err(NotHost::Network)),
            ("::/128", Err(NotHost::Nobody)),
            ("::1/128", Err(NotHost::Loopback)),
            ("ff02::1/64", Err(NotHost::Multicast)),
            ("::ffff:192.0.2.1/120", Err(NotHost::Mapped)),
        ] {
            assert_eq!(params(&[text]).addresses[0].check(), expected, "{text}");
        }
    }

    #[test]
    fn the_hash_of_the_addresses_forgets_their_order_and_nothing_else() {
        let hash = |addresses: &[&str]| Config::new(params(addresses)).unwrap().addresses_hash();
        assert_eq!(hash(&["192.0.2.1/24", "192.0.2.2/24"]), hash(&["192.0.2.2/24", "192.0.2.1/24"]));
        assert_ne!(hash(&["192.0.2.1/24"]), hash(&["192.0.2.1/25"]));
        assert_ne!(hash(&["192.0.2.1/24"]), hash(&["192.0.2.1/24", "192.0.2.2/24"]));
        assert_eq!(hash(&["192.0.2.1/24", "2001:db8::1/64"]), hash(&["2001:db8::1/64", "192.0.2.1/24"]));
        assert_ne!(hash(&["192.0.2.1/24"]), hash(&["192.0.2.1/24", "2001:db8::1/64"]));
    }

    #[test]
    fn a_network_has_addresses_of_its_own_family() {
        for (cidr, address, expected) in [
            ("192.0.2.1/24", "192.0.2.200", true),
            ("192.0.2.1/24", "192.0.3.1", false),
            ("192.0.2.1/0", "203.0.113.1", true),
            ("2001:db8::1/64", "2001:db8::ffff:0:0:2", true),
            ("2001:db8::1/64", "2001:db8:0:1::1", false),
            ("2001:db8::1/128", "2001:db8::1", true),
            ("2001:db8::1/0", "fe80::1", true),
            ("0.0.0.0/0", "::", false),
            ("::/0", "0.0.0.0", false),
        ] {
            assert_eq!(params(&[cidr]).addresses[0].contains(address.parse().unwrap()), expected, "{cidr} {address}");
        }
    }
}
