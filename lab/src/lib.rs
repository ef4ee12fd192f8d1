//! The lab: real daemons in network namespaces, real faults, and a client that writes down what it felt.
//!
//! ```text
//!   main  options           figures  what must be reached, and the runs it takes
//!   runner  many runs       scenario  one run: a story       stage  its LAN, nodes and probe
//!   chaos  blows at random   member  who is struck and set right
//!   net  lab/net            node  a daemon                   probe  the client     tap  a cable
//!   neighbours  where clients send to                        picture  of one take-over
//!   watch  whole machines, which a script moves
//!   attacker  somebody on the LAN    forgery  what it says   datagram  as frames         key  what it does not know
//!   analysis  from frames to blackout, gap, two owners, moves      report  tables and JSON
//! ```

pub mod analysis;
pub mod attacker;
pub mod chaos;
pub mod cleanup;
pub mod datagram;
pub mod figures;
pub mod forgery;
pub mod frames;
pub mod key;
pub mod neighbours;
pub mod net;
pub mod node;
pub mod outcome;
pub mod picture;
pub mod probe;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod stage;
pub mod sys;
pub mod tap;
pub mod timing;
pub mod watch;
