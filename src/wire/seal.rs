//! The tag: HMAC-SHA-256 (RFC 2104, FIPS 180-4) over all before it, cut to 128 bits.
//!
//! It is made with a key that is derived from the secret and from where the packet belongs, so that one which is carried
//! to another group proves nothing there, and costs no byte for it:
//!
//! ```text
//! HMAC-SHA-256(secret, "ha 2" | group, 1 byte | multicast address as IPv6, 16 bytes | port, 2 bytes little-endian)
//! ```
//!
//! Without a secret the same code runs with a public constant: it finds damage and strangers, and keeps nobody out.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};

use heapless::Vec;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

use super::heartbeat::{Heartbeat, LEN, SEALED_LEN};

/// A secret of 32 bytes; wiped when it is dropped.
#[derive(Clone)]
pub struct Key([u8; Key::LEN]);

impl Key {
    /// Bytes of a key.
    pub const LEN: usize = 32;

    /// Most keys that are valid at once.
    pub const MAX: usize = 4;

    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// What signs there instead of it.
    pub fn signing(&self, context: Context) -> SigningKey {
        context.derive(&self.0)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Never shows the secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// What is derived from a secret for one [`Context`]; who has it cannot find the secret. Wiped when it is dropped.
#[derive(Clone)]
pub struct SigningKey([u8; Key::LEN]);

impl SigningKey {
    /// The one with these bytes.
    pub const fn from_bytes(bytes: [u8; Key::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; Key::LEN] {
        &self.0
    }
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Never shows it.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Where packets belong: others have other tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The group's number.
    pub group: u8,
    /// Where its heartbeats go.
    pub multicast: SocketAddrV4,
}

impl Context {
    /// Where heartbeats go unless somebody says otherwise.
    pub const MULTICAST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 2, 3, 4), 5555);

    /// The group with this number, there.
    pub const fn of_group(group: u8) -> Self {
        Self { group, multicast: Self::MULTICAST }
    }

    /// What signs there instead of `secret`.
    fn derive(self, secret: &[u8]) -> SigningKey {
        let derived = hmac(secret)
            .chain_update(b"ha 2")
            .chain_update([self.group])
            .chain_update(self.multicast.ip().to_ipv6_mapped().octets())
            .chain_update(self.multicast.port().to_le_bytes());
        SigningKey(derived.finalize().into_bytes().into())
    }
}

/// Signs and checks packets.
#[derive(Clone)]
pub struct Seal {
    /// Of all keys; the first one signs.
    macs: Vec<Hmac<Sha256>, { Key::MAX }>,
    is_keyed: bool,
}

impl Seal {
    /// Signs with the first of these secrets, and takes the tags of all: at least one, at most [`Key::MAX`].
    pub fn keyed(keys: &[Key], context: Context) -> Self {
        Self::signing(keys.iter().map(|key| key.signing(context)))
    }

    /// The same with what was derived from the secrets.
    pub fn signing(keys: impl Iterator<Item = SigningKey>) -> Self {
        let mut seal = Self { macs: Vec::new(), is_keyed: true };
        keys.for_each(|key| seal.add(&key));
        assert!(!seal.macs.is_empty(), "at least one key");
        seal
    }

    /// Signs with the public constant.
    pub fn public(context: Context) -> Self {
        let mut seal = Self { macs: Vec::new(), is_keyed: false };
        seal.add(&context.derive(PUBLIC));
        seal
    }

    /// True if a secret is used.
    pub fn is_keyed(&self) -> bool {
        self.is_keyed
    }

    /// The whole packet.
    pub fn sign(&self, heartbeat: &Heartbeat) -> [u8; LEN] {
        let mut packet = [0; LEN];
        let (sealed, end) = packet.split_first_chunk_mut().expect("the tag comes last");
        heartbeat.emit(sealed);
        let tag = over(&self.macs[0], sealed).finalize().into_bytes();
        end.copy_from_slice(&tag[..end.len()]);
        packet
    }

    /// True if the tag is right by one of the keys; the comparison takes the same time wherever they differ.
    pub fn is_genuine(&self, packet: &[u8; LEN]) -> bool {
        let (sealed, tag) = packet.split_at(SEALED_LEN);
        let is_right = |mac: &Hmac<Sha256>| over(mac, sealed).verify_truncated_left(tag).is_ok();
        self.macs.iter().any(is_right)
    }

    fn add(&mut self, key: &SigningKey) {
        assert!(self.macs.push(hmac(&key.0)).is_ok(), "at most so many keys");
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").field("is_keyed", &self.is_keyed).finish_non_exhaustive()
    }
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("hmac takes keys of any length")
}

/// What makes a tag, and what checks one, has read all but the tag.
#[inline(never)] // a copy of it is large
fn over(mac: &Hmac<Sha256>, sealed: &[u8]) -> Hmac<Sha256> {
    mac.clone().chain_update(sealed)
}

/// What nodes without a key sign with.
const PUBLIC: &[u8] = b"ha: one shared address, no secret";

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn the_mac_is_hmac_sha_256() {
        let tag = hmac(b"Jefe").chain_update(b"what do ya want for nothing?").finalize().into_bytes();
        assert_eq!(tag[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
    }
}
