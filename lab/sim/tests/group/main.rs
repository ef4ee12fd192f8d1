//! Groups of nodes on a LAN that a story directs; every rule of the simulator is checked meanwhile.

mod families;
mod faults;
mod lan;
mod stories;
