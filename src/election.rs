//! Who should host: a total order of nodes.

use core::cmp::Ordering;

use crate::wire::{Heartbeat, NodeId};

/// What the election looks at. The greater candidate is the more worthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Higher is more worthy.
    pub worthiness: u16,
    /// At equal worthiness the numerically lower address is the more worthy.
    pub node: NodeId,
}

impl From<&Heartbeat> for Candidate {
    fn from(said: &Heartbeat) -> Self {
        Self { worthiness: said.worthiness, node: said.node }
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.worthiness.cmp(&other.worthiness).then_with(|| other.node.cmp(&self.node))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[test]
    fn worthiness_decides_then_the_lower_address_as_a_number() {
        let candidate =
            |worthiness, last| Candidate { worthiness, node: NodeId::from_v4(Ipv4Addr::new(192, 168, 1, last)) };
        assert!(candidate(101, 200) > candidate(100, 1));
        assert!(candidate(100, 20) > candidate(100, 100), "20 < 100 as numbers, though not as texts");
        assert_eq!(candidate(100, 20).cmp(&candidate(100, 20)), Ordering::Equal);
    }
}
