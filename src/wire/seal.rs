//! The tag: HMAC-SHA-256 (RFC 2104, FIPS 180-4) over all before it, cut to 128 bits.
//!
//! It is made with a key that is derived from the secret and from where the packet belongs, so that one which is carried
//! to another group proves nothing there, and costs no byte for it:
//!
//! ```text
//! HMAC-SHA-256(secret, "ha 2" | group, 1 byte | multicast address as IPv6, 16 bytes | port, 2 bytes little-endian)
//! ```
//!
//! Without a secret the same code runs with a public constant: it finds damage and strangers, and keeps no attacker out.

use core::array;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use hmac::block_api::HmacCore;
use hmac::digest::block_api::{Buffer, FixedOutputCore, UpdateCore};
use hmac::digest::{CtOutput, Output};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

use super::heartbeat::{Heartbeat, LEN, SEALED_LEN, TAG_LEN};
use super::mapped;

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

/// What is derived from a secret for one [`Context`]; the secret cannot be found from it. Wiped when it is dropped.
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
    pub multicast: SocketAddr,
}

impl Context {
    /// Where heartbeats go by default.
    pub const MULTICAST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 2, 3, 4)), 5555);

    /// The group with this number, there.
    pub const fn of_group(group: u8) -> Self {
        Self { group, multicast: Self::MULTICAST }
    }

    /// What signs there instead of `secret`.
    fn derive(self, secret: &[u8]) -> SigningKey {
        let derived = hmac(secret)
            .chain_update(b"ha 2")
            .chain_update([self.group])
            .chain_update(mapped(self.multicast.ip()).octets())
            .chain_update(self.multicast.port().to_le_bytes());
        SigningKey(derived.finalize().into_bytes().into())
    }
}

/// Signs and checks packets.
///
/// It has no bytes that are not set: when it is moved, they would take along what lay there before, the key perhaps.
#[derive(Clone)]
pub struct Seal {
    /// Of all keys; the first one signs. The others are those of the public constant.
    macs: [Started; Key::MAX],
    keys: usize,
    is_keyed: bool,
}

/// HMAC behind its key.
type Started = HmacCore<Sha256>;

impl Seal {
    /// Signs with the first of these secrets, and takes the tags of all: at least one, at most [`Key::MAX`].
    pub fn keyed(keys: &[Key], context: Context) -> Self {
        Self::signing(keys.iter().map(|key| key.signing(context)))
    }

    /// The same with what was derived from the secrets.
    pub fn signing(keys: impl Iterator<Item = SigningKey>) -> Self {
        let mut seal = Self { keys: 0, is_keyed: true, ..Self::started_with(PUBLIC) };
        for key in keys {
            assert!(seal.keys < Key::MAX, "no more than Key::MAX keys");
            seal.macs[seal.keys] = start(&key.0);
            seal.keys += 1;
        }
        assert!(seal.keys > 0, "at least one key");
        seal
    }

    /// Signs with the public constant.
    pub fn public(context: Context) -> Self {
        Self::started_with(&context.derive(PUBLIC).0)
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
        end.copy_from_slice(&over(&self.macs[0], sealed).as_bytes()[..TAG_LEN]);
        packet
    }

    /// True if the tag is right by one of the keys; the comparison takes the same time wherever they differ.
    pub fn is_genuine(&self, packet: &[u8; LEN]) -> bool {
        let (sealed, tag) = packet.split_at(SEALED_LEN);
        let is_right = |mac: &Started| {
            let right = over(mac, sealed);
            let mut found = right.into_bytes();
            found[..TAG_LEN].copy_from_slice(tag);
            right == CtOutput::new(found)
        };
        self.macs[..self.keys].iter().any(is_right)
    }

    fn started_with(key: &[u8]) -> Self {
        Self { macs: array::from_fn(|_| start(key)), keys: 1, is_keyed: false }
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

fn start(key: &[u8]) -> Started {
    Started::new_from_slice(key).expect("hmac takes keys of any length")
}

/// The whole HMAC over all but the tag. What has begun with the key is used where it is and wiped.
#[inline(never)] // a copy of it is large
fn over(mac: &Started, sealed: &[u8]) -> CtOutput<Started> {
    let mut mac = mac.clone();
    let mut buffer = Buffer::<Started>::default();
    buffer.digest_blocks(sealed, |blocks| mac.update_blocks(blocks));
    let mut whole = Output::<Started>::default();
    mac.finalize_fixed_core(&mut buffer, &mut whole);
    CtOutput::new(whole)
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
