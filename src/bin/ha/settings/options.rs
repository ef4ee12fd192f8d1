//! The options of `ha run` and `ha check`, each declared once. From here an option reaches the command line and its help, the
//! configuration file, and the tests; [`declare`](super::declare) explains how to read an entry.
//!
//! Two places know options by name beside this one, and a test says so if one of them lacks an option: the lists in
//! dist/openwrt/files/ha.init and the manual page dist/ha.8.

use std::net::SocketAddr;

use ha::config::{MAX_ADDRESSES, Params};
use ha::time::Duration;
use ha::wire::Context;
use log::LevelFilter;

use super::declare::options;
use super::script::Script;
use super::values::{
    Fencing, Shared, User, any_text, child_timeout, duration, fencing, interface, log_level, multicast, number,
    on_conflict, shared, user, watchdog,
};
use crate::text::{Refusal, Text};

options! {
    /// interface with the real address of this node, by its name or an alternative one; it may appear later
    interface takes "name" like "none1" by interface => link.interface;

    /// a shared address, such as 192.168.1.100/24 or 2001:db8::100/64; repeatable, any subnet, the same on all nodes; or one on
    /// another interface, such as "203.0.113.5/29 dev wan0": all move together (default:
    /// what `iface eth0:1 inet static` says in /etc/network/interfaces, for the name that --shared gives)
    address repeats "cidr" like "192.0.2.2/24" by shared => link.addresses;

    /// label of the shared addresses, an alias of the interface (default: its name with :1); or another device on the same LAN,
    /// such as eth1, which is up only while it has the addresses and which the daemon brings down at start
    shared takes "name" like "none1" by any_text => link.shared;

    /// number of the group, 1 to 255, the same on all nodes (default: 1)
    group takes "n" like "7" by number("expected a number from 1 to 255") => params.group;

    /// where heartbeats go, by IPv4 or IPv6, such as [ff12::6861]:5555, the same on all nodes (default: 239.2.3.4:5555)
    multicast takes "address:port" like "239.9.9.9:9999" by multicast => multicast: SocketAddr = Context::MULTICAST;

    /// the most worthy node hosts the address, at equal worthiness the one with the lowest real address; 0 never hosts it
    /// (default: 100)
    worthiness takes "n" like "7" by number("expected a number from 0 to 65535") => params.worthiness;

    /// time between two heartbeats (default: 1s)
    interval takes "time" like "700ms" by duration => params.interval;

    /// silence after which a node counts as dead, more than the interval (default: 3.5s)
    tolerance takes "time" like "7s" by duration => params.tolerance;

    /// time that this node is up before it claims the address from a less worthy one (default: the tolerance)
    preempt_delay takes "time" like "7s" by duration => params.preempt_delay;

    /// time for which a link may be deaf after it came up (default: 10s)
    link_delay takes "time" like "7s" by duration => params.link_delay;

    /// time between two gratuitous ARPs at rest (default: 60s)
    announce_interval takes "time" like "7s" by duration => params.announce_interval;

    /// ARP frames a second in the long run; switches shut a port at 15 (default: 10)
    announce_rate takes "n" like "7" by number("expected a number of frames a second from 1 to 1000") => params.announce_rate;

    /// what to do if no peer is heard and a host replies for the address by ARP: hold (leave the address alone until no host
    /// replies) or take (default: hold)
    on_conflict takes "take|hold" like "take" by on_conflict => params.on_conflict;

    /// keep the address when a more worthy node comes
    sticky sets true => params.sticky;

    /// have the address only while this number of nodes lives, this one included; against two owners in a partition, more than
    /// half of all (default: 0, off)
    quorum takes "n" like "7" by number("expected a number of nodes from 0 to 255") => params.quorum;

    /// file with a secret key, as `ha keygen` makes it, the same on all nodes; only its owner may read it, and only root may
    /// change it; up to four keys, one per line: the first signs, all are accepted; SIGHUP reads the file again
    key_file takes "file" like "/etc/ha.key" by any_text => key_file: Option<Text> = None;

    /// program that runs after the address came or was put back, with arguments; only root may change it and its directories
    on_active takes "path" like "/bin/true" by Script::parse => on_active: Option<Script> = None;

    /// program that runs when this node is ready to take over
    on_standby takes "path" like "/bin/true" by Script::parse => on_standby: Option<Script> = None;

    /// program that runs when this node cannot host
    on_unfit takes "path" like "/bin/true" by Script::parse => on_unfit: Option<Script> = None;

    /// program that runs when the daemon leaves
    on_shutdown takes "path" like "/bin/true" by Script::parse => on_shutdown: Option<Script> = None;

    /// program that runs before the address comes, for 200ms at most
    before_active takes "path" like "/bin/true" by Script::parse => before_active: Option<Script> = None;

    /// time after which the daemon kills another of these programs (default: 10s)
    child_timeout takes "time" like "7s" by child_timeout => child_timeout: Duration = Duration::from_secs(10);

    /// device that restarts the machine unless this daemon is well, such as /dev/watchdog
    watchdog takes "device" like "/dev/null" by watchdog => watchdog: Option<Text> = None;

    /// user of the process that hears the network (default: nobody)
    user takes "name" like "daemon" by user => user: User = User::nobody();

    /// whether the kernel drops frames from the address when no heartbeat has left for a while, so that a dead or frozen daemon is
    /// silent before another node takes over: auto (if the kernel can), off, or required (else this node never hosts it)
    /// (default: auto)
    fence takes "auto|off|required" like "off" by fencing => fence: Fencing = Fencing::Auto;

    /// do not let the kernel remove the address of a dead or frozen daemon
    no_lease sets false => params.lease;

    /// run as an ordinary process, without SCHED_FIFO and locked memory
    no_realtime sets false => realtime: bool = true;

    /// off, error, warn, info, debug or trace (default: info)
    log_level takes "level" like "debug" by log_level => log_level: LevelFilter = LevelFilter::Info;

    /// log to /dev/log instead of standard error
    syslog sets true => syslog: bool = false;
}

/// What the options say, before it is known whether they go together.
#[derive(Debug, Default)]
pub struct Options {
    /// Where the shared addresses belong.
    pub link: Link,
    /// What the core needs to know.
    pub params: Params,
    /// What the daemon around it needs to know.
    pub daemon: Daemon,
}

/// Names that only together say where the shared addresses belong.
#[derive(Debug, Default)]
pub struct Link {
    /// The interface with the real address.
    pub interface: Option<Text>,
    /// An alias of it, or another device.
    pub shared: Option<Text>,
    /// The addresses, and the interfaces that have them if they are named.
    pub addresses: heapless::Vec<Shared, MAX_ADDRESSES>,
}

impl Daemon {
    /// The user's programs.
    pub fn has_scripts(&self) -> bool {
        let scripts = [self.on_active, self.on_standby, self.on_unfit, self.on_shutdown, self.before_active];
        scripts.iter().any(Option::is_some)
    }
}
