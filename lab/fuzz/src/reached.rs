//! How far a run came: a test that never gets anywhere proves nothing.

use ha::wire::Kind;
use ha::wire::heartbeat::Defect;

/// What the bytes of one datagram or frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// ARP.
    Arp,
    /// A Neighbour Solicitation or Advertisement.
    Nd,
    /// A heartbeat of this kind.
    Heartbeat(Kind),
    /// Neither, and why they are no heartbeat.
    Neither(Defect),
}

/// How far a story came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// Steps that were played.
    pub steps: usize,
    /// Packets that the node believed.
    pub believed: u32,
    /// Challenges that it sent.
    pub asked: u32,
    /// Packets that did not come from a member; the shadow heard nothing instead.
    pub refused: u32,
    /// How often the address was up.
    pub taken: u32,
    /// How often the node let the address go.
    pub released: u32,
    /// Most outputs of one input.
    pub most_outputs: usize,
}
