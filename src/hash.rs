//! SHA-256 for what shall differ, and is no secret.

use sha2::{Digest, Sha256};

/// The first eight bytes of the digest of `parts`, one after the other.
pub fn hash(parts: &[&[u8]]) -> [u8; 8] {
    let digest = parts.iter().fold(Sha256::new(), |digest, part| digest.chain_update(part)).finalize();
    let [a, b, c, d, e, f, g, h, ..] = digest.0;
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4, the example of one block.
    #[test]
    fn where_a_part_ends_makes_no_difference() {
        let expected = [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea];
        assert_eq!((hash(&[b"abc"]), hash(&[b"a", b"", b"bc"])), (expected, expected));
    }
}
