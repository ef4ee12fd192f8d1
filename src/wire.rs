//! Bytes on the wire: the heartbeat, its tag, ARP and Neighbour Discovery.

pub mod arp;
pub mod heartbeat;
pub mod nd;
pub mod resolution;
pub mod routine;
pub mod seal;

pub use heartbeat::{Flags, Heartbeat, Kind, LEN, NodeId, Release, State};
pub use resolution::Resolution;
pub use seal::{Context, Key, Seal, SigningKey};
