//! One daemon for each address and each group: two daemons would take from each other in turns what a host has once.
//!
//! The lock is the name of an abstract Unix socket (unix(7)), like a name at a door, which is there as long as somebody lives
//! behind it. It needs no file, belongs to a network namespace as addresses do, and is gone when its process is, however that
//! ended. A daemon that finds the name taken connects to it and learns from the kernel which process has it; that process need
//! not do anything.

use std::fmt::{self, Display, Write};
use std::os::fd::{AsFd, OwnedFd};

use ha::config::MAX_ADDRESSES;
use ha::hash::hash;
use ha::time::{Duration, Instant};
use rustix::fs::OFlags;
use rustix::io::{self, Errno};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with,
};

use crate::linux::name::MAX_NAME_LEN;
use crate::linux::poll::Watch;
use crate::linux::{self, clock, file};
use crate::log::warn;
use crate::settings::Settings;
use crate::text::{Endpoint, Refusal, Text, text};

/// Names that no other daemon has. They last as long as this process.
#[derive(Debug)]
pub struct Lock {
    sockets: heapless::Vec<OwnedFd, MAX_NAMES>,
    drained_at: Instant,
}

/// The process that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// A process that may do what we may; 0 if its number means nothing here.
    Daemon(i32),
    /// A process of this user, who may not change addresses: it is no daemon of ours.
    User(u32),
    /// It does not listen, or more have connected than it has room for.
    Silent,
}

impl Holder {
    /// How often its name is worth a try, since it may be about to leave, or to listen.
    fn worth_tries(self) -> usize {
        match self {
            Self::Daemon(_) => 25,
            Self::Silent => 10,
            Self::User(_) => 1,
        }
    }
}

impl Lock {
    /// Takes the names of all that `settings` name.
    ///
    /// # Errors
    /// Another daemon has one of them; none is kept then.
    pub fn take(settings: &Settings) -> Result<Self, Refusal> {
        let mut lock = Self { sockets: heapless::Vec::new(), drained_at: clock::now() };
        for cidr in settings.config.addresses() {
            let address = cidr.address;
            lock.add(text!("ha/{address}"), &format_args!("address {address}"), "address")?;
        }
        // Groups with one number at two multicast addresses are two groups.
        let interface = settings.interface;
        let group = text!("group {} at {}", settings.config.group(), Endpoint(settings.daemon.multicast()));
        let what = format_args!("{group} on {interface}");
        lock.add(text!("ha/{}/{group}", short(interface)), &what, "group on an interface")?;
        if let Some(device) = settings.device {
            lock.add(text!("ha/{}/device", short(device)), &format_args!("device {device}"), "device for addresses")?;
        }
        Ok(lock)
    }

    fn add(&mut self, name: Text, what: &dyn Display, each: &str) -> Result<(), Refusal> {
        match take_name(name).map_err(|errno| text!("{what}: bind @{name}: {errno}"))? {
            Ok(socket) => self.sockets.push(socket).expect("as many as there can be names"),
            Err(Holder::Daemon(pid)) => {
                return Err(text!("{what}: already served by {}; expected one daemon for each {each}", Process(pid)));
            }
            // Any user can take a name. That must not keep the daemon from serving.
            Err(Holder::User(uid)) => warn!("{what}: user {uid} holds @{name}; another daemon would not be noticed"),
            Err(Holder::Silent) => {
                warn!("{what}: an unknown process holds @{name}; another daemon would not be noticed")
            }
        }
        Ok(())
    }

    /// Now and then: closes the connections of daemons that have asked, so that there is room for others.
    pub fn drain(&mut self, now: Instant) {
        if now.since(self.drained_at) < DRAIN_AGAIN {
            return;
        }
        self.drained_at = now;
        let mut watch = Watch::<MAX_NAMES>::default();
        for socket in &self.sockets {
            watch.add(socket.as_fd());
        }
        if watch.wait(Some(Duration::ZERO)).is_err() {
            return;
        }
        for (_, socket) in self.sockets.iter().enumerate().filter(|&(place, _)| watch.is_ready(place)) {
            for _ in 0..MAX_DRAINED {
                if accept_with(socket, SocketFlags::CLOEXEC).is_err() {
                    break;
                }
            }
        }
    }
}

/// The name of an interface, or what stands for an alternative one that is longer: the name of a socket has 107 bytes at most.
fn short(interface: Text) -> Text {
    if interface.len() <= MAX_NAME_LEN {
        interface
    } else {
        text!("{:016x}", u64::from_be_bytes(hash(&[interface.as_bytes()])))
    }
}

/// Takes the name: returns the socket with it, or the process that has it. Waits for a holder that is about to leave: to an init
/// script a process is gone when its memory is gone, and its sockets go last. Nothing waits for a user's process.
fn take_name(name: &str) -> io::Result<Result<OwnedFd, Holder>> {
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes())?;
    let (mut holder, mut tries) = (Holder::Silent, 0);
    while tries < holder.worth_tries() {
        if tries > 0 {
            Watch::<0>::default().wait(Some(TRY_AGAIN))?;
        }
        tries += 1;
        let socket = open()?;
        match bind(&socket, &address) {
            Ok(()) => {
                listen(&socket, BACKLOG)?;
                return Ok(Ok(socket));
            }
            Err(Errno::ADDRINUSE) => {}
            Err(errno) => return Err(errno),
        }
        if holder == Holder::Silent {
            holder = ask(&socket, &address)?;
        }
    }
    Ok(Err(holder))
}

/// Finds the process that listens at `address`.
fn ask(socket: &OwnedFd, address: &SocketAddrUnix) -> io::Result<Holder> {
    if connect(socket, address).is_err() {
        return Ok(Holder::Silent);
    }
    let (pid, uid) = linux::option::peer(socket.as_fd())?;
    let is_trusted = uid == 0 || uid == rustix::process::geteuid().as_raw();
    Ok(if is_trusted { Holder::Daemon(pid) } else { Holder::User(uid) })
}

fn open() -> io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// A process with its name, where that can be read.
struct Process(i32);

impl Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(pid) = *self;
        if pid == 0 {
            return f.write_str("a process in another container");
        }
        write!(f, "process {pid}")?;
        let mut name = [0; MAX_COMM_LEN];
        let read = file::open(text!("/proc/{pid}/comm"), OFlags::RDONLY).and_then(|file| file::fill(&file, &mut name));
        let name = name[..read.unwrap_or(0)].trim_ascii_end();
        if name.is_empty() {
            return Ok(());
        }
        f.write_str(" (")?;
        for &byte in name {
            f.write_char(if byte.is_ascii() { char::from(byte) } else { '?' })?;
        }
        f.write_str(")")
    }
}

/// The addresses, the group, the device.
const MAX_NAMES: usize = MAX_ADDRESSES + 2;

/// TASK_COMM_LEN (linux/sched.h).
const MAX_COMM_LEN: usize = 16;

/// Daemons that ask wait here; the kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// A daemon that init starts again and again, each time in vain, asks once a second or more.
const DRAIN_AGAIN: Duration = Duration::from_secs(10);

/// With each look, for a name: 2 ms of work at most.
const MAX_DRAINED: usize = 1024;

/// Between two tries: half a second in all for a daemon.
const TRY_AGAIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn name(what: &str) -> String {
        format!("ha-test/{}/{what}", std::process::id())
    }

    #[test]
    fn a_name_has_one_holder_who_is_known_until_it_is_given_back() {
        let name = name("once");
        let first = take_name(&name).unwrap().unwrap();
        let ours = i32::try_from(std::process::id()).unwrap();
        assert_eq!(take_name(&name).unwrap().unwrap_err(), Holder::Daemon(ours));
        drop(first);
        assert!(take_name(&name).unwrap().is_ok());
    }

    #[test]
    fn an_interface_with_the_longest_name_has_room() {
        let longest = text!("{}", "x".repeat(127));
        let name = text!("ha/{}/group 255 at 239.255.255.255:65535", short(longest));
        assert!(SocketAddrUnix::new_abstract_name(name.as_bytes()).is_ok());
        assert_ne!(short(longest), short(&longest[1..]));
        assert_eq!(short("eth0"), "eth0");
    }

    #[test]
    fn a_process_that_does_not_listen_is_no_daemon() {
        let name = name("silent");
        let squatter = open().unwrap();
        bind(&squatter, &SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap()).unwrap();
        assert_eq!(take_name(&name).unwrap().unwrap_err(), Holder::Silent);
    }

    #[test]
    fn connections_are_closed_so_that_there_is_room_for_others() {
        let name = name("crowd");
        let socket = take_name(&name).unwrap().unwrap();
        listen(&socket, 0).unwrap();
        let now = clock::now();
        let mut lock = Lock { sockets: heapless::Vec::new(), drained_at: now };
        lock.sockets.push(socket).unwrap();
        assert!(matches!(take_name(&name).unwrap(), Err(Holder::Daemon(_))));
        assert_eq!(take_name(&name).unwrap().unwrap_err(), Holder::Silent, "one may wait");
        lock.drain(now + DRAIN_AGAIN);
        assert!(matches!(take_name(&name).unwrap(), Err(Holder::Daemon(_))));
    }

    #[test]
    fn a_process_is_named_where_it_can_be() {
        assert_eq!(format!("{}", Process(0)), "a process in another container");
        assert_eq!(format!("{}", Process(i32::MAX)), format!("process {}", i32::MAX));
        let text = format!("{}", Process(std::process::id().cast_signed()));
        assert!(text.starts_with(&format!("process {} (", std::process::id())) && text.ends_with(')'), "{text}");
    }
}
