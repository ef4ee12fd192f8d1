//! `ha`: moves one shared IP address between the servers of a LAN.
fn main() {}
