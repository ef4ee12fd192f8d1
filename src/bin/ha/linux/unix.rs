//! Datagrams to another program of this machine (unix(7)).

use std::os::fd::OwnedFd;

use rustix::io;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::linux::file;

/// A socket that is connected to this path, or to this abstract name if it begins with `@`.
pub fn open(name: &str) -> io::Result<OwnedFd> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        None => SocketAddrUnix::new(&*file::name(name)?)?,
    };
    let socket = socket()?;
    connect(&socket, &address)?;
    Ok(socket)
}

/// A socket that is not connected yet. A write to it is a datagram, and never waits: if the other side does not read it fails.
pub fn socket() -> io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}
