//! Bytes on the wire: the heartbeat, its tag, and ARP frames.

pub mod arp;
pub mod heartbeat;
pub mod routine;
pub mod seal;

pub use heartbeat::{Flags, Heartbeat, Kind, LEN, NodeId, Release, State};
pub use seal::{Context, Key, Seal, SigningKey};
