//! A node with a key, and all that may happen to it.
//!
//! A second node, the shadow, lives through the same, but for the packets that did not come from a member: instead of each it
//! hears an empty datagram. Whatever differs between both but counters and words about dropped packets is the attacker's doing.

use crate::bench::Bench;
use crate::reached::Reached;
use crate::script::{MAX_STEPS, STEP_LEN, Step};

/// Plays the story that `bytes` tell; see [`crate::script`].
///
/// # Panics
/// Where a promise is broken.
pub fn node(bytes: &[u8]) -> Reached {
    let mut chunks = bytes.chunks_exact(STEP_LEN).map(|chunk| <[u8; STEP_LEN]>::try_from(chunk).expect("as asked for"));
    let Some(circumstances) = chunks.next() else { return Reached::default() };
    let mut bench = Bench::new(circumstances);
    for step in chunks.take(MAX_STEPS) {
        bench.perform(Step::parse(step));
    }
    bench.finish()
}
