//! Who should host: a total order of nodes.

use core::cmp::Reverse;

use crate::wire::{Heartbeat, NodeId};

/// What the election looks at. The greater candidate is the more worthy: the one with the higher worthiness, then the one with
/// the numerically lower address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    worthiness: u16,
    address: Reverse<NodeId>,
}

impl Candidate {
    /// `node` with its worthiness.
    pub fn new(worthiness: u16, node: NodeId) -> Self {
        let address = Reverse(node);
        Self { worthiness, address }
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
