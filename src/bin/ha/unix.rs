//! Datagrams to another program of this machine (unix(7)).

use std::os::fd::OwnedFd;

use rustix::io;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use crate::file;

/// A socket to whoever hears at this path or name, see [`connect`].
pub fn open(name: &str) -> io::Result<OwnedFd> {
    let socket = socket()?;
    connect(&socket, name)?;
    Ok(socket)
}

/// A socket to nobody yet. What is written to it is a datagram, and lost if nobody reads: it does not wait.
pub fn socket() -> io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// From now on to whoever hears at this path, or at this abstract name if it begins with `@`.
pub fn connect(socket: &OwnedFd, name: &str) -> io::Result<()> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        None => SocketAddrUnix::new(&*file::name(name)?)?,
    };
    net::connect(socket, &address)
}
