//! Who should host: a total order of nodes.

use crate::wire::{Heartbeat, NodeId};

/// What the election looks at. The greater candidate is the more worthy: whose worthiness is higher, then whose address is
/// numerically lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate(u64);

impl Candidate {
    /// `node` with its worthiness.
    pub fn new(worthiness: u16, node: NodeId) -> Self {
        Self(u64::from(worthiness) << 32 | u64::from(!node.to_v4().to_bits()))
    }
}

impl From<&Heartbeat> for Candidate {
    fn from(said: &Heartbeat) -> Self {
        Self::new(said.worthiness, said.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cmp::Ordering;
    use core::net::Ipv4Addr;

    #[test]
    fn worthiness_decides_then_the_lower_address_as_a_number() {
        let candidate =
            |worthiness, last| Candidate::new(worthiness, NodeId::from_v4(Ipv4Addr::new(192, 168, 1, last)));
        assert!(candidate(101, 200) > candidate(100, 1));
        assert!(candidate(100, 20) > candidate(100, 100), "20 < 100 as numbers, though not as texts");
        assert_eq!(candidate(100, 20).cmp(&candidate(100, 20)), Ordering::Equal);
    }
}
