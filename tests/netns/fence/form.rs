//! The two forms of a fence: what `nft` shows of the one and `tc` of the other.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, SendFlags, sendto, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::daemon::Daemon;
use crate::device::Homes;
use crate::lan::{Kernel, Lan, Namespace};

/// What it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Nftables,
    Clsact,
}

impl Form {
    /// As the log names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Clsact => "clsact",
        }
    }

    /// That of group 1, as the log names it.
    pub fn thing(self) -> &'static str {
        match self {
            Self::Nftables => "table netdev ha-1-eth0",
            Self::Clsact => "filter ha-1-eth0",
        }
    }

    /// The kernel that has this one only.
    fn kernel(self) -> Kernel {
        match self {
            Self::Nftables => Kernel::Whole,
            Self::Clsact => Kernel::WithoutNftables,
        }
    }

    /// Two hosts with it.
    pub fn lan(self) -> Lan {
        Lan::of(self.kernel())
    }

    /// Hosts with two devices.
    pub fn homes(self) -> Homes {
        Homes::of(self.kernel())
    }

    /// The fences that a host has, as its tools list them; each once for each interface.
    pub fn list(self, host: &Namespace) -> String {
        match self {
            Self::Nftables => nft(host, "list ruleset"),
            Self::Clsact => {
                let devices = host.ip("-o link show");
                let names = devices.lines().filter_map(|line| line.split(": ").nth(1)?.split('@').next());
                names.map(|name| tc(host, &format!("filter show dev {name} egress"))).collect()
            }
        }
    }

    /// Whether a host has that of this group.
    pub fn is_there_of(self, host: &Namespace, group: u8) -> bool {
        self.list(host).contains(&format!("ha-{group}-eth0"))
    }

    /// Whether a host has that of group 1.
    pub fn is_there(self, host: &Namespace) -> bool {
        self.is_there_of(host, 1)
    }

    /// Nothing of a fence is left.
    pub fn is_clean(self, host: &Namespace) -> bool {
        match self {
            Self::Nftables => nft(host, "list ruleset").is_empty(),
            Self::Clsact => !tc(host, "qdisc show").contains("clsact"),
        }
    }

    /// What it takes to delete that of group 1 behind the daemon's back.
    pub fn thief(self, daemon: &Daemon) -> Thief {
        match self {
            Self::Nftables => {
                let sockets = stolen_sockets(daemon);
                assert_eq!(sockets.len(), 2, "one that has the table, one that hears of changes");
                Thief::Owner(sockets)
            }
            Self::Clsact => Thief::Anybody,
        }
    }

    /// Takes its place, so that it cannot be loaded; and what the log says of that.
    pub fn block(self, host: &Namespace) -> &'static str {
        match self {
            Self::Nftables => {
                nft(host, "add table netdev ha-1-eth0");
                "table netdev ha-1-eth0 is another program's"
            }
            Self::Clsact => {
                tc(host, "qdisc add dev eth0 ingress");
                "the kernel does not load it: Invalid argument (os error 22)"
            }
        }
    }

    /// Makes room for it.
    pub fn unblock(self, host: &Namespace) {
        match self {
            Self::Nftables => nft(host, "delete table netdev ha-1-eth0"),
            Self::Clsact => tc(host, "qdisc del dev eth0 ingress"),
        };
    }

    /// What keeps its tests from being run: none of them says anything of a kernel that has no such thing.
    pub fn obstacle(self) -> Option<String> {
        let host = Namespace::new().ok()?;
        let can =
            |line: String| host.command("sh").args(["-c", &line]).output().is_ok_and(|done| done.status.success());
        match self {
            Self::Nftables => {
                let rules =
                    "add table netdev t; add chain netdev t c { type filter hook egress device lo priority 0; }";
                (!can(format!("nft '{rules}'"))).then(|| "this kernel has no egress hook of nftables".to_owned())
            }
            Self::Clsact => {
                let is_there = can(format!("tc qdisc add dev lo clsact && tc filter add dev lo egress {PASSES_ALL}"));
                (!is_there || !may_load_programs()).then(|| "no programs at clsact with this kernel or user".to_owned())
            }
        }
    }
}

/// Whether the kernel makes a map of BPF for this user.
fn may_load_programs() -> bool {
    let attributes: [u32; 4] = [2, 4, 8, 1];
    // SAFETY: the kernel reads the array during the call only.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, 0, attributes.as_ptr(), size_of_val(&attributes)) };
    // SAFETY: a descriptor that nobody else knows.
    fd >= 0 && unsafe { libc::close(i32::try_from(fd).unwrap()) } == 0
}

/// Who can delete a fence.
pub enum Thief {
    /// A table with an owner is changed by nobody else.
    Owner(Vec<OwnedFd>),
    Anybody,
}

impl Thief {
    pub fn delete(&self, host: &Namespace) {
        match self {
            Self::Owner(sockets) => delete_table(sockets),
            Self::Anybody => drop(tc(host, "qdisc del dev eth0 clsact")),
        }
    }
}

/// Sockets of nfnetlink that the keeper has, in our hands: a table with an owner is changed by nobody else.
fn stolen_sockets(daemon: &Daemon) -> Vec<OwnedFd> {
    let keeper = pidfd_open(Pid::from_raw(daemon.pid().cast_signed()).unwrap(), PidfdFlags::empty()).unwrap();
    let numbers = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    let numbers = numbers.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap());
    let copies = numbers.filter_map(|number| pidfd_getfd(&keeper, number, PidfdGetfdFlags::empty()).ok());
    let is_it = |fd: &OwnedFd| {
        sockopt::socket_domain(fd) == Ok(AddressFamily::NETLINK)
            && sockopt::socket_protocol(fd) == Ok(Some(netlink::NETFILTER))
    };
    copies.filter(is_it).collect()
}

/// Deletes the table in the name of its owner, who does not know.
fn delete_table(sockets: &[OwnedFd]) {
    let name = b"ha-1-eth0\0\0\0";
    let message = |kind: u16, family: [u8; 4], attributes: &[u8]| {
        let len = u32::try_from(20 + attributes.len()).unwrap();
        let head = [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), &1u16.to_ne_bytes(), &[0xee; 4], &[0; 4], &family];
        [&head.concat(), attributes].concat()
    };
    let attribute = [&14u16.to_ne_bytes()[..], &1u16.to_ne_bytes(), name].concat();
    let batch = [
        message(16, [0, 0, 0, 10], &[]),
        message(10 << 8 | 2, [5, 0, 0, 0], &attribute),
        message(17, [0, 0, 0, 10], &[]),
    ]
    .concat();
    for socket in sockets {
        sendto(socket, &batch, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).unwrap();
    }
}

pub fn nft(host: &Namespace, words: &str) -> String {
    let output = host.command("nft").arg(words).output().unwrap();
    assert!(output.status.success(), "nft {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A filter of another program, in words of `tc`.
pub const PASSES_ALL: &str = "pref 1 protocol all bpf direct-action bytecode '1,6 0 0 4294967295'";

pub fn tc(host: &Namespace, words: &str) -> String {
    let output = host.command("sh").args(["-c", &format!("tc {words}")]).output().unwrap();
    assert!(output.status.success(), "tc {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
