//! The core of `ha`: decides which server of a LAN holds the shared address.
//!
//! It does no input or output, allocates nothing, and reads no clock and no random source. What happened goes in with the
//! time at which it happened; what is to be done comes out, in an order that is part of the promise:
//!
//! ```
//! use core::net::IpAddr;
//! use ha::config::{Cidr, Config, MAX_LINKS, Params};
//! use ha::node::{Input, Link, Node, Output};
//! use ha::time::Instant;
//! use ha::wire::{Context, NodeId, Seal, State};
//!
//! let mut params = Params::default();
//! params.addresses.push(Cidr::new(IpAddr::from([192, 168, 1, 100]), 24)).unwrap();
//! let config = Config::new(params).unwrap();
//!
//! let seal = Seal::public(Context::of_group(config.group()));
//! let mut now = Instant::from_micros(0);
//! let mut node = Node::new(config, seal, 0x5eed, now);
//! let me = NodeId::new(IpAddr::from([192, 168, 1, 10]));
//! let macs = [[2, 0, 0, 0, 0, 1]; MAX_LINKS];
//! let _ = node.handle(now, Input::Link(Link::Up { node: me, prefix: 24, macs, already: true }));
//! while node.state() != State::Active {
//!     now = node.deadline().expect("a node that is up always has something to do");
//!     let mut answer = None;
//!     for output in node.handle(now, Input::Tick) {
//!         match output {
//!             Output::Send(packet) => { /* to the group */ let _ = packet; }
//!             Output::Take => answer = Some(Input::Taken), // after the kernel has said so
//!             _ => {}
//!         }
//!     }
//!     if let Some(input) = answer {
//!         let _ = node.handle(now, input);
//!     }
//! }
//! assert_eq!(now, Instant::from_micros(3_500_000)); // it has listened for its tolerance
//! ```
//!
//! Limits: [`peers::MAX`] peers, [`config::MAX_ADDRESSES`] shared addresses, IPv4 and IPv6, on [`config::MAX_LINKS`] interfaces.

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(test)]
extern crate std;

pub mod announce;
pub mod budget;
pub mod config;
pub mod counters;
pub mod defence;
pub mod election;
pub mod fence;
pub mod hash;
pub mod lease;
pub mod neighbours;
pub mod node;
pub mod peers;
pub mod proxies;
pub mod strangers;
pub mod time;
pub mod timers;
pub mod wire;
