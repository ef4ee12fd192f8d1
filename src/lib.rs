//! The core of `ha`: decides which server of a LAN holds the shared address.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
