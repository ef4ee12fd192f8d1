//! All chance of a run, from one 64-bit seed.
//!
//! Everything that rolls dice has dice of its own, named by a number: each link between two nodes, each kernel, the plan.
//! So taking a node or a fault out of a plan leaves the luck of all the others as it was, which is what shrinking needs.

use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng as _;

/// Dice.
#[derive(Debug, Clone)]
pub struct Rng(Pcg32);

impl Rng {
    /// The dice called `name` of the run with this seed.
    pub fn new(seed: u64, name: u64) -> Self {
        let state = mixed(seed ^ mixed(name));
        Self(Pcg32::new(state, mixed(state)))
    }

    /// 0..`limit`; 0 if the limit is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        match u32::try_from(limit) {
            // The upper half of the product: as even as anybody needs for a limit far below 2^32.
            Ok(limit) => (u64::from(self.0.next_u32()) * u64::from(limit)) >> 32,
            Err(_) => self.0.next_u64() % limit,
        }
    }

    /// `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `ppm` of a million cases.
    pub fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(1_000_000) < u64::from(ppm)
    }

    /// `low..=high`, every order of magnitude as likely as any other.
    pub fn log_between(&mut self, low: u64, high: u64) -> u64 {
        let low = low.max(1);
        let top = (high.max(low) / low).ilog2();
        let scale = low << self.below(u64::from(top) + 1);
        self.between(scale, (2 * scale).min(high.max(scale)))
    }

    /// An index of something with `len` items.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("less than a length")
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.index(items.len())]
    }
}

/// Scatters `x` (the finalizer of SplitMix64), so that neighbouring seeds have nothing in common.
pub fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_rolls_the_same_and_another_name_does_not() {
        let roll = |seed, name| Rng::new(seed, name).below(1 << 40);
        assert_eq!(roll(1, 2), roll(1, 2));
        assert_ne!(roll(1, 2), roll(1, 3));
        assert_ne!(roll(1, 2), roll(2, 2));
    }

    #[test]
    fn bounds_are_kept_and_reached() {
        let mut rng = Rng::new(7, 7);
        let rolls: Vec<u64> = (0..1_000).map(|_| rng.between(3, 6)).collect();
        assert_eq!((rolls.iter().min(), rolls.iter().max()), (Some(&3), Some(&6)));
        assert!(!rng.chance(0) && rng.chance(1_000_000));
        assert_eq!(rng.below(0), 0);
    }
}
