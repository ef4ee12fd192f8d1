//! Seeded LANs full of `ha` cores: faults in virtual time, and the rules that must hold.
//!
//! A plan is drawn from a seed, a world plays it, checkers watch. The same seed gives the same trace, so every failure can be
//! played again, and made smaller until only what matters is left.
//!
//! ```text
//!   seed -> plan -> world ---- facts ----> checkers -> violation -> shrink -> replay
//!                  cores, clocks, kernels,
//!                  LAN, a client
//! ```

#![forbid(unsafe_code)]

pub mod batch;
pub mod bounds;
pub mod checkers;
pub mod clock;
pub mod cost;
pub mod draw;
pub mod fault;
pub mod figures;
pub mod lan;
pub mod machine;
pub mod plan;
pub mod play;
pub mod plot;
pub mod rng;
pub mod settings;
pub mod shrink;
pub mod svg;
pub mod time;
pub mod trace;
pub mod world;
