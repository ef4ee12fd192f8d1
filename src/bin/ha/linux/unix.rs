//! Datagrams to another program of this machine (unix(7)).

use std::os::fd::OwnedFd;

use rustix::io;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::linux::file;

/// A socket to whoever hears at this path, or at this abstract name if it begins with `@`.
pub fn open(name: &str) -> io::Result<OwnedFd> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        None => SocketAddrUnix::new(&*file::name(name)?)?,
    };
    let socket = socket()?;
    connect(&socket, &address)?;
    Ok(socket)
}

/// A socket to nobody yet. What is written to it is a datagram, and lost if nobody reads: it does not wait.
pub fn socket() -> io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}
