//! Two hosts joined by a cable, each a network namespace with an `eth0`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// The address that the nodes share.
pub const SHARED: &str = "10.0.0.100";

/// The same as the daemon is told it.
pub const SHARED_CIDR: &str = "10.0.0.100/24";

/// The real address and the MAC of host `a`.
pub const A: (&str, &str) = ("10.0.0.11", "02:00:00:00:00:0b");

/// The real address and the MAC of host `b`.
pub const B: (&str, &str) = ("10.0.0.12", "02:00:00:00:00:0c");

/// A network namespace; it is gone when this value and all processes inside are.
#[derive(Debug)]
pub struct Namespace(File, Kernel);

/// What the kernel knows, as far as it can be seen inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    Whole,
    /// It was built without nfnetlink, by which nftables is configured.
    WithoutNftables,
}

/// An IPv4 address of `eth0` as `ip` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Such as `10.0.0.11/24`.
    pub cidr: String,
    /// The interface, or its alias.
    pub label: String,
    /// Seconds that it has left.
    pub valid: Option<u32>,
}

/// Two hosts.
#[derive(Debug)]
pub struct Lan {
    pub a: Namespace,
    pub b: Namespace,
}

impl Lan {
    /// Joined, up, each with its real address.
    pub fn new() -> Self {
        Self::of(Kernel::Whole)
    }

    /// The same with this kernel.
    pub fn of(kernel: Kernel) -> Self {
        let Self { a, b } = Self::unjoined();
        let lan = Self { a: a.with(kernel), b: b.with(kernel) };
        lan.join();
        lan
    }

    /// Nothing in either of them.
    pub fn unjoined() -> Self {
        let namespace = || Namespace::new().expect("was permitted at start");
        Self { a: namespace(), b: namespace() }
    }

    /// Puts a cable between them; each gets its real address.
    pub fn join(&self) {
        let ((_, mac_a), (_, mac_b)) = (A, B);
        let peer = self.b.path();
        self.a.ip(&format!("link add eth0 address {mac_a} type veth peer name eth0 address {mac_b} netns {peer}"));
        for (host, (address, _)) in [(&self.a, A), (&self.b, B)] {
            host.ip(&format!("address add {address}/24 brd + dev eth0"));
            host.ip("link set eth0 up");
        }
    }
}

impl Namespace {
    /// An empty one, without IPv6, which would make noise.
    pub fn new() -> io::Result<Self> {
        thread::scope(|scope| {
            let maker = scope.spawn(|| {
                // SAFETY: concerns this thread only, which ends at once.
                unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
                for which in ["all", "default"] {
                    let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
                }
                let namespace = Self(File::open("/proc/thread-self/ns/net")?, Kernel::Whole);
                namespace.try_ip("link set lo up").map_err(io::Error::other)?;
                Ok(namespace)
            });
            maker.join().expect("does not panic")
        })
    }

    /// The same one once more.
    pub fn same(&self) -> Self {
        Self(self.0.try_clone().unwrap(), self.1)
    }

    /// With this kernel.
    pub fn with(self, kernel: Kernel) -> Self {
        Self(self.0, kernel)
    }

    /// By which `ip` knows it.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// A command that runs inside, and does not survive the test.
    pub fn command(&self, program: &str) -> Command {
        let (namespace, kernel) = (self.0.as_raw_fd(), self.1);
        let mut command = Command::new(program);
        command.env("PATH", path()).stdin(Stdio::null());
        let enter = move || {
            // SAFETY: the descriptor stays open as long as `self`, which the caller keeps until the command has started.
            let namespace = unsafe { std::os::fd::BorrowedFd::borrow_raw(namespace) };
            move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
            set_parent_process_death_signal(Some(Signal::KILL))?;
            match kernel {
                Kernel::Whole => Ok(()),
                Kernel::WithoutNftables => refuse_nfnetlink(),
            }
        };
        // SAFETY: a few system calls, which neither allocate nor take a lock.
        unsafe { command.pre_exec(enter) };
        command
    }

    /// Does `work` inside; sockets stay where they were made.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            worker.join().expect("does not panic")
        })
    }

    /// Runs `ip` with these words.
    pub fn ip(&self, words: &str) -> String {
        self.try_ip(words).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs `ip` once for all these lines.
    pub fn ip_batch(&self, lines: &str) {
        let mut ip = self.command("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        ip.stdin.take().expect("piped").write_all(lines.as_bytes()).unwrap();
        assert!(ip.wait().unwrap().success(), "ip -batch:\n{lines}");
    }

    fn try_ip(&self, words: &str) -> Result<String, String> {
        let mut command = self.command("ip");
        let output = command.args(words.split(' ')).output().map_err(|error| format!("ip: {error}"))?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("ip {words}: {}", complaint.trim()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The addresses of `eth0`; none if there is no such interface.
    pub fn addresses(&self) -> Vec<Address> {
        self.try_ip("-o -4 address show dev eth0").unwrap_or_default().lines().map(Address::read).collect()
    }

    /// One address of `eth0`, given with its prefix.
    pub fn address(&self, cidr: &str) -> Option<Address> {
        self.addresses().into_iter().find(|address| address.cidr == cidr)
    }

    /// True while `eth0` has this address, given with its prefix.
    pub fn has(&self, cidr: &str) -> bool {
        self.address(cidr).is_some()
    }

    /// A socket that sends multicast from this address with this TTL.
    pub fn socket(&self, from: &str, ttl: u32) -> UdpSocket {
        let from: Ipv4Addr = from.parse().unwrap();
        self.inside(|| {
            let socket = UdpSocket::bind((from, 0)).unwrap();
            socket.set_multicast_ttl_v4(ttl).unwrap();
            socket
        })
    }
}

impl Address {
    /// `2: eth0    inet 10.0.0.1/24 brd 10.0.0.255 scope global eth0:1\       valid_lft 2sec preferred_lft 2sec`
    fn read(line: &str) -> Self {
        let (before, lifetime) = line.split_once('\\').expect("one line per address");
        let word_after = |text: &str, name| {
            let mut words = text.split_whitespace().skip_while(|&word| word != name);
            words.nth(1).expect("ip shows it").to_owned()
        };
        Self {
            cidr: word_after(before, "inet"),
            label: before.split_whitespace().next_back().expect("ip shows it").to_owned(),
            valid: word_after(lifetime, "valid_lft").strip_suffix("sec").and_then(|secs| secs.parse().ok()),
        }
    }
}

/// From now on the kernel says to this process, and to those that it starts, that it knows no nfnetlink (seccomp(2)).
fn refuse_nfnetlink() -> io::Result<()> {
    let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let (load, equal, answer) = (0x20, 0x15, 0x06);
    // The lower halves of the number of the call, and of its first and third argument.
    let half = if cfg!(target_endian = "big") { 4 } else { 0 };
    let program = [
        step(load, 0, 0),
        step(equal, 5, u32::try_from(libc::SYS_socket).expect("it is small")),
        step(load, 0, 16 + half),
        step(equal, 3, libc::AF_NETLINK.cast_unsigned()),
        step(load, 0, 32 + half),
        step(equal, 1, libc::NETLINK_NETFILTER.cast_unsigned()),
        step(answer, 0, libc::SECCOMP_RET_ERRNO | libc::EPROTONOSUPPORT.cast_unsigned()),
        step(answer, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let list = libc::sock_fprog { len: 8, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel reads the list during the call only.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const list, 0, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Where programs are found, for a user who is not root too.
pub fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

/// Moves this process, which must have one thread, into a user namespace where it is root.
pub fn become_root() -> io::Result<()> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    // SAFETY: there is one thread, and no file system or descriptor is unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}
