//! A LAN of namespaces, built and changed by the script `lab/net`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::cleanup::register;
use crate::script;
use crate::sys;

/// The address that the nodes share.
pub const SHARED: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

/// The address of IPv6 that they share beside it, where [`Lab::add_six`] has prepared the LAN for it.
pub const SHARED_SIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);

/// The address that they share on their other side, where [`Lab::add_wan`] has made them routers.
pub const SHARED_ON_WAN: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);

/// The address of the client: see `lab/net`.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 200);

/// Namespaces with a switch, a client and some nodes. Dropping the value removes them.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
    ports: OwnedFd,
    _reservation: UnixListener,
}

impl Lab {
    /// Builds one. Removes first what an earlier run under the same prefix left, but never a lab that another process
    /// uses.
    ///
    /// # Errors
    /// When another process uses the prefix, or the script fails.
    pub fn up(prefix: &str, nodes: u8) -> io::Result<Self> {
        let reservation = reserve(prefix)?;
        {
            let mut register = register();
            register.add_lab(prefix);
            if let Err(error) = script::run(prefix, &["up", &nodes.to_string()]) {
                let _ = script::run(prefix, &["down"]); // the first error explains more
                register.drop_lab(prefix);
                return Err(error);
            }
        }
        let ports = sys::inside(&path(prefix, "sw"), sys::route_socket)?;
        Ok(Self { prefix: prefix.to_owned(), ports, _reservation: reservation })
    }

    /// The file of a member's namespace.
    pub fn namespace(&self, member: &str) -> PathBuf {
        path(&self.prefix, member)
    }

    /// Gives the client and the nodes an address of IPv6 beside the one that they have: see `lab/net`.
    ///
    /// # Errors
    /// The error of the script.
    pub fn add_six(&self) -> io::Result<()> {
        script::run(&self.prefix, &["six"])
    }

    /// Makes the nodes routers, and adds the member `world` on their other side: see `lab/net`.
    ///
    /// # Errors
    /// The error of the script.
    pub fn add_wan(&self) -> io::Result<()> {
        script::run(&self.prefix, &["router"])
    }

    /// Adds the member `attacker`, which is no node.
    ///
    /// # Errors
    /// The error of the script.
    pub fn add_attacker(&self) -> io::Result<()> {
        script::run(&self.prefix, &["attacker"])
    }

    /// Adds clients that drop gratuitous ARP, and a gateway of that kind: see `lab/net`.
    ///
    /// # Errors
    /// The error of the script.
    pub fn add_silent_clients(&self, clients: u8) -> io::Result<()> {
        script::run(&self.prefix, &["silent", &clients.to_string()])
    }

    /// Makes the switch drop multicast, and nothing else.
    ///
    /// # Errors
    /// The error of the script.
    pub fn snoop(&self) -> io::Result<()> {
        script::run(&self.prefix, &["snoop"])
    }

    /// Runs `ip` with these words on a member.
    ///
    /// # Errors
    /// The error of `ip`.
    pub fn ip(&self, member: &str, words: &str) -> io::Result<()> {
        let arguments = ["exec", member, "ip"].into_iter().chain(words.split(' '));
        script::run(&self.prefix, &arguments.collect::<Vec<_>>())
    }

    /// Takes the port of a node down, now.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn cut(&self, node: u8) -> io::Result<()> {
        self.set_port(node, false)
    }

    /// Takes the port of a node up or down, now.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_port(&self, node: u8, is_up: bool) -> io::Result<()> {
        sys::set_device(&self.ports, &format!("n{node}"), is_up)
    }

    /// Takes the port of any member down, now.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn cut_member(&self, member: &str) -> io::Result<()> {
        sys::set_device(&self.ports, member, false)
    }

    /// Runs a command of the script on a node, such as `split`, `hears`, `heard`.
    ///
    /// # Errors
    /// The error of the script.
    pub fn change(&self, command: &str, node: u8) -> io::Result<()> {
        script::run(&self.prefix, &[command, &format!("n{node}")])
    }
}

/// The real address of a node: see `lab/net`.
pub const fn address_of(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 10 + node)
}

impl Drop for Lab {
    fn drop(&mut self) {
        let mut register = register();
        if let Err(error) = script::run(&self.prefix, &["down"]) {
            eprintln!("ha-lab: lab {}: {error}", self.prefix);
        }
        register.drop_lab(&self.prefix);
    }
}

/// Reserves this prefix for as long as the result lives.
///
/// # Errors
/// When one does.
pub fn reserve(prefix: &str) -> io::Result<UnixListener> {
    // An abstract address is free again when its owner is dead, however it died.
    let name = SocketAddr::from_abstract_name(format!("ha-lab/{prefix}"))?;
    // A child that another thread is just starting has a copy of the socket that the last run has closed, until it
    // executes its program.
    let give_up = Instant::now() + Duration::from_secs(2);
    loop {
        match UnixListener::bind_addr(&name) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < give_up => {
                thread::sleep(Duration::from_millis(20));
            }
            outcome => {
                let refuse = |error: io::Error| {
                    let text = format!("lab {prefix} is in use; another name by HA_LAB=NAME ({error})");
                    io::Error::new(error.kind(), text)
                };
                return outcome.map_err(refuse);
            }
        }
    }
}

fn path(prefix: &str, member: &str) -> PathBuf {
    PathBuf::from(format!("/run/netns/{prefix}-{member}"))
}
