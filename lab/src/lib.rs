//! The lab: real daemons in network namespaces, real faults, and a client that writes down what it felt.
//!
//! ```text
//!   main         options to runs to exit code
//!   figures      the promises: which runs they take, and whether they are kept      report     tables and JSON
//!   runner       many runs, side by side or one after the other                     outcome    what one run gave
//!   scenarios    all scenarios, one file for each                                   scenario   what a scenario is
//!   stage        the LAN of one run, and the moves that scenarios are made of       run        its conditions
//!   marks        the moments of a run, and what to measure between them             promise    what a value must be
//!   chaos        random signals to random processes        picture    one take-over, frame by frame
//!   watch        a client of whole machines, which a script starts and stops
//!
//!   node         a daemon        probe     the client that asks all the time        neighbours  where clients send to
//!   keepalived   another daemon  usage     what daemons cost                        hogs        what else a processor does
//!   tap          a cable         attacker  a machine that is no node                forgery     its packets
//!   net          the LAN of namespaces     script    lab/net, which builds it       cleanup     removes it at the end
//!   analysis     from frames to blackout, gap, two owners, moves
//!   frames datagram key            bytes on the wire
//!   sys timing stats place skip    clocks, sockets, numbers, and why there are none
//! ```
//!
//! Each line uses those below it, never one above. To add a scenario, see [`scenarios`].

#![deny(unsafe_code)]

pub mod analysis;
pub mod attacker;
pub mod chaos;
pub mod cleanup;
pub mod datagram;
pub mod figures;
pub mod forgery;
pub mod frames;
pub mod hogs;
pub mod keepalived;
pub mod key;
pub mod marks;
pub mod neighbours;
pub mod net;
pub mod node;
pub mod outcome;
pub mod picture;
pub mod place;
pub mod probe;
pub mod promise;
pub mod report;
pub mod run;
pub mod runner;
pub mod scenario;
pub mod scenarios;
pub mod script;
pub mod skip;
pub mod stage;
pub mod stats;
pub mod sys;
pub mod tap;
pub mod timing;
pub mod usage;
pub mod watch;
