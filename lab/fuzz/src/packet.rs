//! One datagram, one frame, or one message of Neighbour Discovery.

use std::net::Ipv6Addr;

use ha::wire::arp::Arp;
use ha::wire::heartbeat::SEALED_LEN;
use ha::wire::{Context, Heartbeat, Key, LEN, Seal, nd};

use crate::reached::Found;

/// Whatever `bytes` are: a heartbeat is written as it was read, and nobody has signed it.
///
/// # Panics
/// Where that is not so.
pub fn packet(bytes: &[u8]) -> Found {
    let is_arp = Arp::parse(bytes).is_some();
    let is_nd = nd::parse(SENDER, nd::ALL_NODES, 255, bytes).is_some();
    let said = Heartbeat::parse(bytes);
    let Ok(packet) = <&[u8; LEN]>::try_from(bytes) else {
        let defect = said.expect_err("a heartbeat has another length");
        assert!(!(is_arp && is_nd), "a frame that is both");
        return match (is_arp, is_nd) {
            (true, _) => Found::Arp,
            (false, true) => Found::Nd,
            (false, false) => Found::Neither(defect),
        };
    };
    assert!(!is_arp, "a frame that is both");
    // The key depends on the packet: none in the corpus can have been signed with it.
    let seal = Seal::keyed(&[Key::from_bytes(mix(bytes))], Context::of_group(1));
    assert!(!seal.is_genuine(packet), "a guess is genuine");
    let said = match said {
        Ok(said) => said,
        Err(defect) => return Found::Neither(defect),
    };

    // Unknown flags are kept, so no byte may differ; one that is forgotten shows by its 0xa5.
    let mut sealed = [0xa5; SEALED_LEN];
    said.emit(&mut sealed);
    assert_eq!(sealed, bytes[..SEALED_LEN], "{said:?}");

    let mut signed = seal.sign(&said);
    assert_eq!(Heartbeat::parse(&signed), Ok(said));
    assert!(seal.is_genuine(&signed));
    let bit = usize::from(u16::from_le_bytes([bytes[LEN - 2], bytes[LEN - 1]])) % (8 * LEN);
    signed[bit / 8] ^= 1 << (bit % 8);
    assert!(!seal.is_genuine(&signed), "bit {bit} is not covered");
    Found::Heartbeat(said.kind)
}

/// Where a message of Neighbour Discovery comes from.
const SENDER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// FNV-1a, continued for each byte of a key.
fn mix(bytes: &[u8]) -> [u8; Key::LEN] {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| step(hash, byte));
    std::array::from_fn(|index| {
        hash = step(hash, u8::try_from(index).expect("a key is short"));
        hash.to_le_bytes()[7]
    })
}
