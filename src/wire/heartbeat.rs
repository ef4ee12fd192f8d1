//! The heartbeat: one packet of one size that says all a node has to say.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | magic `ha` |
//! | 2 | 1 | version 2 |
//! | 3 | 1 | kind: 0 heartbeat, 1 claim, 2 query, 3 challenge, 4 response |
//! | 4 | 1 | group, 1..=255 |
//! | 5 | 1 | state: 0 standby, 1 active, 2 unfit, 3 shutdown |
//! | 6 | 2 | flags, see [`Flags`] |
//! | 8 | 2 | release: of the sender's software, see [`Release`] |
//! | 10 | 2 | worthiness |
//! | 12 | 16 | node: real address, an IPv4 address as IPv4-mapped IPv6 |
//! | 28 | 16 | following: the node that the sender takes to be ACTIVE, or its successor; zero if there is none |
//! | 44 | 8 | boot: random, new at every start |
//! | 52 | 8 | seq: grows with every packet of this boot |
//! | 60 | 4 | interval, us |
//! | 64 | 4 | hold, us: how long others may count on the sender |
//! | 68 | 4 | addresses: hash of the set of shared addresses |
//! | 72 | 8 | nonce of a challenge or response, else zero |
//! | 80 | 16 | tag, see [`super::seal`] |
//!
//! Integers are little-endian. Behind the version the layout is postcard's with `fixint::le` for every integer wider than a
//! byte. Magic, version and group are where they were in version 1, so that a node that speaks it can be named.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::mapped;
use crate::time::Duration;

/// Size of every packet in bytes.
pub const LEN: usize = SEALED_LEN + TAG_LEN;

/// Bytes that the tag covers.
pub const SEALED_LEN: usize = 80;

/// Bytes of the tag.
pub const TAG_LEN: usize = 16;

/// First two bytes of every packet.
pub const MAGIC: [u8; 2] = *b"ha";

/// Version of the layout.
pub const VERSION: u8 = 2;

/// Where the group's number is, in every version.
pub const GROUP_AT: usize = 4;

/// Where the number of the version is, in every version.
pub const VERSION_AT: usize = 2;

/// Where the first byte of the flags is.
pub const FLAGS_AT: usize = 6;

/// Where the IPv4 address is of the node that the sender follows.
pub const FOLLOWING_V4_AT: usize = 40;

/// Where the state is.
pub const STATE_AT: usize = 5;

/// Where the second byte of the flags is.
pub const SECOND_FLAGS_AT: usize = 7;

/// The version before, and the size of its packets: not understood, but named.
pub const OLD_VERSION: u8 = 1;

/// See [`OLD_VERSION`].
pub const OLD_LEN: usize = 93;

/// What a node says; a value of this type makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// What the packet is for.
    pub kind: Kind,
    /// Which group on this LAN, 1..=255.
    pub group: u8,
    /// The sender's state.
    pub state: State,
    /// The sender's yes-or-no answers.
    pub flags: Flags,
    /// Which software the sender runs.
    pub release: Release,
    /// Higher is more worthy, 0 never hosts.
    pub worthiness: u16,
    /// The sender.
    pub node: NodeId,
    /// The node that the sender takes to be ACTIVE; in a hand-over its successor; in a claim, query or challenge the node that is
    /// asked; in an ACTIVE's answer to another ACTIVE the one that is answered.
    pub following: Option<NodeId>,
    /// Random, new at every start of the sender.
    pub boot: u64,
    /// Grows with every packet of this boot.
    pub seq: u64,
    /// The sender speaks again within this time.
    pub interval: Duration,
    /// Others may count on the sender for this long.
    pub hold: Duration,
    /// Hash of the set of shared addresses, see [`crate::config::Config::addresses_hash`].
    pub addresses: u32,
    /// In a challenge new, in its response the same, else zero.
    pub nonce: u64,
}

/// What a packet is for. Every kind carries the sender's whole state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// "I am here."
    Heartbeat = 0,
    /// "I am more worthy; hand over to me." Addressed to the node in `following`.
    Claim = 1,
    /// "Are you still there?" Addressed to the ACTIVE in `following`, which answers at once.
    Query = 2,
    /// "I do not know this boot of yours; send me this nonce back." Addressed to the node in `following`.
    Challenge = 3,
    /// "I live now, and this is my boot": the answer to the challenge with the same nonce.
    Response = 4,
}

/// The states of a node as others see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Ready to take over, or listening.
    Standby = 0,
    /// Has the address, is taking it, or is not yet rid of it.
    Active = 1,
    /// Cannot host: no link, or the kernel refused the address.
    Unfit = 2,
    /// Leaving.
    Shutdown = 3,
}

impl State {
    /// The state with this number.
    pub const fn from_byte(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Standby),
            1 => Some(Self::Active),
            2 => Some(Self::Unfit),
            3 => Some(Self::Shutdown),
            _ => None,
        }
    }
}

/// The sender's yes-or-no answers. Bits without a name are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u16);

impl Flags {
    /// Fit for its preempt delay, so that it may claim.
    pub const SETTLED: Self = Self(1);
    /// Is not preempted by worthiness alone.
    pub const STICKY: Self = Self(1 << 1);
    /// Signed with a secret key.
    pub const SEALED: Self = Self(1 << 2);
    /// Has listened for its tolerance, so that it may take over by silence.
    pub const READY: Self = Self(1 << 3);
    /// Had the address a moment ago: caches may still point at it.
    pub const RELEASED: Self = Self(1 << 4);
    /// Has the address behind a fence, which a heartbeat that says so opens. Alone in the second byte, where the fence looks.
    pub const FENCED: Self = Self(1 << 8);

    /// True if every bit of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With `other` added if `condition` holds.
    #[must_use]
    pub const fn with(self, other: Self, condition: bool) -> Self {
        if condition { Self(self.0 | other.0) } else { self }
    }
}

/// `settled,ready`, or `none`.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for flag in (0..16).map(|bit| Self(1 << bit)).filter(|&flag| self.has(flag)) {
            let name = match flag {
                Self::SETTLED => "settled",
                Self::STICKY => "sticky",
                Self::SEALED => "sealed",
                Self::READY => "ready",
                Self::RELEASED => "released",
                Self::FENCED => "fenced",
                _ => continue,
            };
            f.write_str(separator)?;
            f.write_str(name)?;
            separator = ",";
        }
        if separator.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

/// Which software a node runs: the first two numbers of its version. Nothing is decided by it; people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release(u16);

impl Release {
    /// This one.
    pub const OWN: Self = Self(number(env!("CARGO_PKG_VERSION_MAJOR")) << 8 | number(env!("CARGO_PKG_VERSION_MINOR")));
}

/// `1.2`
impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor] = self.0.to_be_bytes();
        write!(f, "{major}.{minor}")
    }
}

/// A part of this package's version, which is smaller than 256.
const fn number(digits: &str) -> u16 {
    match u16::from_str_radix(digits, 10) {
        Ok(number @ ..256) => number,
        Ok(256..) | Err(_) => panic!("a part of a version is a byte"),
    }
}

/// A node, known by its real address; the lower one wins at equal worthiness, IPv4 before IPv6.
///
/// The halves of the address as a number, IPv4 as IPv4-mapped IPv6: nodes are compared all over the core.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId {
    high: u64,
    low: u64,
}

impl NodeId {
    /// The node with this real address.
    pub const fn new(address: IpAddr) -> Self {
        Self::from_octets(mapped(address).octets())
    }

    /// The same, of IPv4.
    pub const fn from_v4(address: Ipv4Addr) -> Self {
        Self::new(IpAddr::V4(address))
    }

    /// Its real address.
    pub fn address(self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits(self.bits())).to_canonical()
    }

    /// True if the first `prefix` bits of both addresses are the same; always if that says nothing of a neighbour, since the
    /// network has no more than two addresses.
    pub fn is_on_link(self, other: Self, prefix: u8) -> bool {
        let host_bits = if self.address().is_ipv4() { 32_u8 } else { 128 }.saturating_sub(prefix);
        let difference = self.bits() ^ other.bits();
        host_bits < 2 || difference.checked_shr(host_bits.into()).unwrap_or(0) == 0
    }

    const fn from_octets([a, b, c, d, e, f, g, h, low @ ..]: [u8; 16]) -> Self {
        Self { high: u64::from_be_bytes([a, b, c, d, e, f, g, h]), low: u64::from_be_bytes(low) }
    }

    fn bits(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why bytes are no heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// Not exactly [`LEN`] bytes.
    Size,
    /// Another magic: another program's packet.
    Foreign,
    /// Another version of the protocol: this one.
    Version(u8),
    /// A field that holds nonsense.
    Malformed,
}

impl Heartbeat {
    /// What a STANDBY of group 1 says that has just started, knows of nobody, and has the defaults of
    /// [`crate::config::Params`].
    ///
    /// Tests, benches and the lab begin with it and change the fields that matter to them.
    pub const fn plain(node: NodeId) -> Self {
        Self {
            kind: Kind::Heartbeat,
            group: 1,
            state: State::Standby,
            flags: Flags(0),
            release: Release::OWN,
            worthiness: 100,
            node,
            following: None,
            boot: 1,
            seq: 1,
            interval: Duration::from_secs(1),
            hold: Duration::from_millis(3_500),
            addresses: 0,
            nonce: 0,
        }
    }

    /// Reads a packet; the tag is not checked here (see [`super::Seal::is_genuine`]).
    ///
    /// # Errors
    /// The first [`Defect`] in the order of its variants; of a packet of version 1 that it is one.
    pub fn parse(bytes: &[u8]) -> Result<Self, Defect> {
        if bytes.len() == OLD_LEN && bytes.starts_with(&[MAGIC[0], MAGIC[1], OLD_VERSION]) {
            return Err(Defect::Version(OLD_VERSION));
        }
        let bytes: &[u8; LEN] = bytes.try_into().map_err(|_| Defect::Size)?;
        if bytes[..2] != MAGIC {
            return Err(Defect::Foreign);
        }
        if bytes[VERSION_AT] != VERSION {
            return Err(Defect::Version(bytes[VERSION_AT]));
        }
        let raw: Raw = postcard::from_bytes(&bytes[HEAD.len()..SEALED_LEN]).map_err(|_| Defect::Malformed)?;
        raw.sense().ok_or(Defect::Malformed)
    }

    /// Writes all but the tag.
    pub fn emit(&self, bytes: &mut [u8; SEALED_LEN]) {
        let micros = |span: Duration| u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
        let raw = Raw {
            kind: self.kind as u8,
            group: self.group,
            state: self.state as u8,
            flags: self.flags.0,
            release: self.release.0,
            worthiness: self.worthiness,
            node: to_field(Some(self.node)),
            following: to_field(self.following),
            boot: self.boot,
            seq: self.seq,
            interval: micros(self.interval),
            hold: micros(self.hold),
            addresses: self.addresses,
            nonce: self.nonce,
        };
        let (head, body) = bytes.split_at_mut(HEAD.len());
        head.copy_from_slice(&HEAD);
        let written = postcard::to_slice(&raw, body).expect("the layout has a fixed size");
        assert!(written.len() == SEALED_LEN - HEAD.len(), "the layout has a fixed size");
    }
}

/// What every packet begins with.
const HEAD: [u8; 3] = [MAGIC[0], MAGIC[1], VERSION];

/// The layout behind it as bytes can hold it, sense or not.
#[derive(Serialize, Deserialize)]
struct Raw {
    kind: u8,
    group: u8,
    state: u8,
    #[serde(with = "postcard::fixint::le")]
    flags: u16,
    #[serde(with = "postcard::fixint::le")]
    release: u16,
    #[serde(with = "postcard::fixint::le")]
    worthiness: u16,
    node: [u8; 16],
    following: [u8; 16],
    #[serde(with = "postcard::fixint::le")]
    boot: u64,
    #[serde(with = "postcard::fixint::le")]
    seq: u64,
    #[serde(with = "postcard::fixint::le")]
    interval: u32,
    #[serde(with = "postcard::fixint::le")]
    hold: u32,
    #[serde(with = "postcard::fixint::le")]
    addresses: u32,
    #[serde(with = "postcard::fixint::le")]
    nonce: u64,
}

/// The field for a node, or zero for none.
fn to_field(node: Option<NodeId>) -> [u8; 16] {
    node.map_or(NO_NODE, |node| node.bits().to_be_bytes())
}

/// The node in such a field.
fn from_field(field: [u8; 16]) -> Option<NodeId> {
    (field != NO_NODE).then_some(NodeId::from_octets(field))
}

const NO_NODE: [u8; 16] = [0; 16];

impl Raw {
    fn sense(&self) -> Option<Heartbeat> {
        let kind = match self.kind {
            0 => Kind::Heartbeat,
            1 => Kind::Claim,
            2 => Kind::Query,
            3 => Kind::Challenge,
            4 => Kind::Response,
            _ => return None,
        };
        let state = State::from_byte(self.state)?;
        let node = from_field(self.node)?;
        let is_timely = self.interval > 0 && self.hold > self.interval;
        if self.group == 0 || !is_timely {
            return None;
        }
        Some(Heartbeat {
            kind,
            group: self.group,
            state,
            flags: Flags(self.flags),
            release: Release(self.release),
            worthiness: self.worthiness,
            node,
            following: from_field(self.following),
            boot: self.boot,
            seq: self.seq,
            interval: Duration::from_micros(self.interval.into()),
            hold: Duration::from_micros(self.hold.into()),
            addresses: self.addresses,
            nonce: self.nonce,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Heartbeat => "heartbeat",
            Self::Claim => "claim",
            Self::Query => "query",
            Self::Challenge => "challenge",
            Self::Response => "response",
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standby => "standby",
            Self::Active => "active",
            Self::Unfit => "unfit",
            Self::Shutdown => "shutdown",
        })
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size => write!(f, "not {LEN} bytes long"),
            Self::Foreign => f.write_str("does not begin with the magic `ha`"),
            Self::Version(version) => write!(f, "version {version} of the protocol, not {VERSION}"),
            Self::Malformed => f.write_str("a field holds a value without meaning"),
        }
    }
}

#[cfg(test)]
mod tests;
