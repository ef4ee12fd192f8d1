//! What no bytes from outside may do: functions over any bytes that panic where a promise is broken.
//!
//! `ci/fuzz` hands them what libFuzzer invents, `tests/` what proptest invents and what is kept in `corpus/`.

mod bench;
mod node;
mod packet;
mod reached;
pub mod script;
pub mod seeds;

pub use node::node;
pub use packet::packet;
pub use reached::{Found, Reached};
