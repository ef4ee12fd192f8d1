//! A second device for the shared address: up while it has it, down else.

use std::fs;
use std::io::Write as _;
use std::net::UdpSocket;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::capture::Capture;
use crate::daemon::Daemon;
use crate::lan::{Kernel, Namespace, SHARED, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};
use crate::program;

tests![
    a_take_brings_the_device_up_and_a_release_brings_it_down,
    a_device_that_is_up_without_need_is_brought_down,
    a_client_reaches_the_address_on_the_device_and_on_the_next_node,
    neighbours_confirm_to_the_device,
    told_so_the_kernel_speaks_for_the_address_from_the_device_only,
    without_a_carrier_of_the_device_a_node_is_unfit_until_it_is_back,
    a_carrier_that_comes_late_is_waited_for_and_then_told_of,
    a_carrier_that_does_not_come_is_given_up,
    a_device_that_somebody_brings_down_is_put_back,
    a_device_that_is_missing_is_waited_for,
    a_device_exchanged_while_it_has_the_address_is_used_again,
    a_device_whose_daemon_was_killed_is_brought_down_by_the_next_one,
    a_worker_that_dies_leaves_the_device_down,
    an_address_left_on_the_interface_is_removed,
    a_question_goes_out_while_the_device_is_down,
];

/// A switch, two nodes with two devices each, and a client.
pub struct Homes {
    switch: Namespace,
    pub a: Namespace,
    b: Namespace,
    client: Namespace,
}

const MAC_A0: &str = "02:00:00:00:00:0b";
const MAC_A1: &str = "02:00:00:00:01:0b";
const MAC_B1: &str = "02:00:00:00:01:0c";

impl Homes {
    pub fn new() -> Self {
        Self::of(Kernel::Whole)
    }

    /// The same with this kernel.
    pub fn of(kernel: Kernel) -> Self {
        let namespace = || Namespace::new().expect("was permitted at start").with(kernel);
        let homes = Self { switch: namespace(), a: namespace(), b: namespace(), client: namespace() };
        homes.switch.ip("link add br0 type bridge mcast_snooping 0 forward_delay 0");
        homes.switch.ip("link set br0 up");
        for (number, host) in [(11, &homes.a), (12, &homes.b), (13, &homes.client)] {
            homes.plug(host, number, 0);
            host.ip(&format!("address add 10.0.0.{number}/24 brd + dev eth0"));
            host.ip("link set eth0 up");
        }
        homes.plug(&homes.a, 11, 1);
        homes.plug(&homes.b, 12, 1);
        homes
    }

    /// Gives the host a device, which is down; its port on the switch is up.
    fn plug(&self, host: &Namespace, number: u8, device: u8) {
        let (port, path) = (format!("p{number}-{device}"), host.path());
        let mac = format!("02:00:00:00:{device:02x}:{number:02x}");
        self.switch.ip(&format!("link add {port} type veth peer name eth{device} address {mac} netns {path}"));
        self.switch.ip(&format!("link set {port} master br0 up"));
        // What comes in by the one is answered by the other.
        host.inside(|| {
            for which in ["all", "default", &format!("eth{device}")] {
                fs::write(format!("/proc/sys/net/ipv4/conf/{which}/rp_filter"), "0").unwrap();
            }
        });
    }
}

fn start(host: &Namespace, more: &[&str]) -> Daemon {
    Daemon::fast(host, &[&["--shared", "eth1"], more].concat())
}

/// Whether `eth1` is up, and whether the address is on it.
fn eth1(host: &Namespace) -> (bool, bool) {
    let link = host.ip("-o link show dev eth1");
    let flags = link.split(['<', '>']).nth(1).expect("ip shows it");
    let is_up = flags.split(',').any(|flag| flag == "UP");
    (is_up, host.ip("-o -4 address show dev eth1").contains(SHARED))
}

const ACTIVE: (bool, bool) = (true, true);
const STANDBY: (bool, bool) = (false, false);

fn a_take_brings_the_device_up_and_a_release_brings_it_down() {
    let lan = Homes::new();
    let mut a = start(&lan.a, &[]);
    a.says("active: ");
    assert_eq!(eth1(&lan.a), ACTIVE);
    assert!(!lan.a.has(SHARED_CIDR), "not on eth0");
    let mut b = start(&lan.b, &["--worthiness", "200"]);
    b.says("active: ");
    assert_eq!(eth1(&lan.b), ACTIVE);
    a.says("standby: ");
    eventually("the device of the old one is down", PATIENCE, || eth1(&lan.a) == STANDBY);
    b.signal(Signal::TERM);
    a.says("active: ");
    assert_eq!(eth1(&lan.a), ACTIVE);
    assert!(b.exit().success());
    assert_eq!(eth1(&lan.b), STANDBY);
    a.signal(Signal::TERM);
    assert!(a.exit().success());
    assert_eq!(eth1(&lan.a), STANDBY);
    for daemon in [&a, &b] {
        assert_eq!(daemon.count("brought down") + daemon.count("error: "), 0, "{}", daemon.log());
    }
}

fn a_device_that_is_up_without_need_is_brought_down() {
    let lan = Homes::new();
    lan.a.ip("link set eth1 up");
    lan.a.ip(&format!("address add {SHARED_CIDR} dev eth1"));
    let daemon = start(&lan.a, &["--worthiness", "0"]);
    daemon.says("warning: eth1 was up though this node is not active: brought down");
    daemon.says("standby: ");
    eventually("it is down", PATIENCE, || eth1(&lan.a) == STANDBY);
    lan.a.ip("link set eth1 up"); // ifup, by a person
    daemon.says("warning: eth1 was up though this node is not active: brought down");
    eventually("it is down again", PATIENCE, || eth1(&lan.a) == STANDBY);
}

/// This node hears what the client says to the shared address; the port of the switch may take a moment after the device came up.
fn is_served(lan: &Homes, node: &Namespace) {
    let server = node.inside(|| UdpSocket::bind(("0.0.0.0", 7)).unwrap());
    let client = lan.client.inside(|| UdpSocket::bind(("10.0.0.13", 0)).unwrap());
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    }
    let ask = || client.send_to(b"there?", (SHARED, 7)).is_ok() && server.recv_from(&mut [0; 8]).is_ok();
    eventually("the node is reached", PATIENCE, ask);
}

fn a_client_reaches_the_address_on_the_device_and_on_the_next_node() {
    let lan = Homes::new();
    by_the_device_only(&lan.b);
    let capture = Capture::start(&lan.client, "arp and arp[6:2] = 2");
    let mut a = start(&lan.a, &["--worthiness", "200"]);
    a.says("active: ");
    capture.wait("an announcement of the device", PATIENCE, |frames| {
        frames.iter().any(|frame| frame.text.contains(MAC_A1) && frame.text.contains(SHARED)).then_some(())
    });
    is_served(&lan, &lan.a);
    let b = start(&lan.b, &[]);
    b.says("10.0.0.11 heard for the first time");
    a.signal(Signal::TERM);
    b.says("active: ");
    let knows = || lan.client.ip("neighbour show 10.0.0.100 dev eth0").contains(MAC_B1);
    eventually("the client knows", PATIENCE, knows);
    is_served(&lan, &lan.b);
    assert!(a.exit().success());
    for daemon in [&a, &b] {
        assert_eq!(daemon.count("conflict: "), 0, "its own other device is no stranger:\n{}", daemon.log());
    }
}

/// The kernel answers ARP for an address by the card that has it, and asks by its own address.
fn by_the_device_only(host: &Namespace) {
    host.inside(|| {
        for (name, value) in [("arp_ignore", "1"), ("arp_announce", "2")] {
            fs::write(format!("/proc/sys/net/ipv4/conf/all/{name}"), value).unwrap();
        }
    });
}

fn neighbours_confirm_to_the_device() {
    let lan = Homes::new();
    by_the_device_only(&lan.a);
    let daemon = start(&lan.a, &[]);
    daemon.says("standby: ");
    // A host that has asked for the address by broadcast is a neighbour, and answers to the hardware address that asks it.
    lan.client.inside(|| UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", (SHARED, 9))).unwrap());
    daemon.says("active: ");
    daemon.says("1 of 1 neighbours confirmed in ");
    let entry = lan.client.ip("neighbour show 10.0.0.100 dev eth0");
    assert!(entry.contains(MAC_A1), "{entry}");
}

fn told_so_the_kernel_speaks_for_the_address_from_the_device_only() {
    let lan = Homes::new();
    by_the_device_only(&lan.a);
    let capture = Capture::start(&lan.client, "arp");
    let daemon = start(&lan.a, &[]);
    daemon.says("active: ");
    is_served(&lan, &lan.a);
    let mut who = lan.client.command(&program());
    let output =
        who.args(["who", "--config", "/dev/null", "--interface", "eth0", "--address", SHARED]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with(&format!("{SHARED}  {MAC_A1}  no node heard from it  ")), "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
    let mut who = lan.a.command(&program());
    let file = ["who", "--config", "/dev/stdin"];
    let mut child = who.args(file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = format!("interface = eth0\nshared = eth1\naddress = {SHARED_CIDR}\n");
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("{SHARED}  {MAC_A1}  this machine, no node heard from it\n"));
    assert_eq!(output.status.code(), Some(0));
    let claims: Vec<_> = capture.so_far().into_iter().filter(|frame| frame.bytes[28..32] == [10, 0, 0, 100]).collect();
    assert!(!claims.is_empty() && claims.iter().all(|frame| frame.text.starts_with(MAC_A1)), "{claims:?}");
}

fn without_a_carrier_of_the_device_a_node_is_unfit_until_it_is_back() {
    let lan = Homes::new();
    let a = start(&lan.a, &["--worthiness", "200"]);
    a.says("active: ");
    let b = start(&lan.b, &[]);
    b.says("10.0.0.11 heard for the first time");
    sleep(Duration::from_millis(500)); // it has seen the carrier and is ready
    lan.switch.ip("link set p11-1 down");
    a.says("warning: eth1 has no carrier, ");
    a.says("unfit: interface is down or has no carrier");
    assert_eq!(eth1(&lan.a), (true, false), "up to see the carrier come back, without the address");
    b.says("active: 10.0.0.11 resigned");
    assert_eq!(eth1(&lan.b), ACTIVE);
    lan.switch.ip("link set p11-1 up");
    a.says("eth1 has a carrier again: brought down until this node is active");
    a.says("standby: ");
    a.says("active: ");
    assert_eq!(eth1(&lan.a), ACTIVE);
    eventually("the other one has brought it down", PATIENCE, || eth1(&lan.b) == STANDBY);
}

fn a_carrier_that_comes_late_is_waited_for_and_then_told_of() {
    let lan = Homes::new();
    lan.switch.ip("link set p11-1 down");
    let timing = ["--interval", "100ms", "--tolerance", "350ms", "--link-delay", "20s"];
    let a = Daemon::start(&lan.a, &[&timing[..], &["--address", SHARED_CIDR, "--shared", "eth1"]].concat());
    a.says("active: ");
    sleep(Duration::from_millis(1_000));
    assert_eq!(eth1(&lan.a), ACTIVE);
    // Between the announcements of the schedule.
    let capture = Capture::start(&lan.client, &format!("arp and ether src {MAC_A1}"));
    lan.switch.ip("link set p11-1 up");
    let announced = |frames: &[crate::capture::Frame]| (frames.len() >= 2).then_some(());
    capture.wait("an announcement", Duration::from_millis(1_500), announced);
    assert_eq!(a.count("unfit: "), 0, "{}", a.log());
}

fn a_carrier_that_does_not_come_is_given_up() {
    let lan = Homes::new();
    lan.switch.ip("link set p11-1 down");
    let mut a = start(&lan.a, &[]);
    let active = a.says("active: ");
    let unfit = a.says("unfit: interface is down or has no carrier");
    let after = unfit.duration_since(active).unwrap();
    assert!(after > Duration::from_millis(1_900) && after < Duration::from_secs(4), "after {after:?}");
    let b = start(&lan.b, &[]);
    b.says("active: ");
    assert_eq!((eth1(&lan.a), eth1(&lan.b)), ((true, false), ACTIVE));
    // A program that brings it down meanwhile does not see its carrier either.
    lan.a.ip("link set eth1 down");
    eventually("it is up again", PATIENCE, || eth1(&lan.a) == (true, false));
    a.signal(Signal::TERM);
    assert!(a.exit().success());
    assert_eq!(eth1(&lan.a), STANDBY);
}

fn a_device_that_somebody_brings_down_is_put_back() {
    let lan = Homes::new();
    let daemon = start(&lan.a, &[]);
    daemon.says("active: ");
    sleep(Duration::from_millis(200));
    let capture = Capture::start(&lan.client, &format!("arp and ether src {MAC_A1}"));
    lan.a.ip("link set eth1 down");
    daemon.says("warning: address was removed from outside: put back");
    eventually("it is back", PATIENCE, || eth1(&lan.a) == ACTIVE);
    capture.wait("it is announced", PATIENCE, |frames| (!frames.is_empty()).then_some(()));
    assert_eq!(daemon.count("unfit: "), 0, "{}", daemon.log());
}

fn a_device_that_is_missing_is_waited_for() {
    let lan = Homes::new();
    lan.a.ip("link delete eth1");
    let daemon = start(&lan.a, &[]);
    daemon.says("unfit: interface does not exist; waiting for eth1");
    lan.plug(&lan.a, 11, 1);
    daemon.says("standby: listening as 10.0.0.11");
    daemon.says("active: ");
    assert_eq!(eth1(&lan.a), ACTIVE);
}

fn a_device_exchanged_while_it_has_the_address_is_used_again() {
    let lan = Homes::new();
    let daemon = start(&lan.a, &[]);
    daemon.says("active: ");
    daemon.signal(Signal::STOP);
    lan.a.ip("link delete eth1");
    lan.plug(&lan.a, 11, 1);
    daemon.signal(Signal::CONT);
    daemon.says("unfit: ");
    daemon.says("standby: ");
    daemon.says("active: ");
    assert_eq!(eth1(&lan.a), ACTIVE);
    lan.a.ip("link delete eth1");
    daemon.says("unfit: interface does not exist");
}

fn a_device_whose_daemon_was_killed_is_brought_down_by_the_next_one() {
    let lan = Homes::new();
    let mut daemon = start(&lan.a, &[]);
    daemon.says("active: ");
    daemon.signal(Signal::KILL);
    assert!(!daemon.exit().success());
    eventually("the kernel ends the lease", Duration::from_secs(4), || !eth1(&lan.a).1);
    assert_eq!(eth1(&lan.a), (true, false), "the kernel knows no lease of devices");
    let next = start(&lan.a, &["--worthiness", "0"]);
    next.says("warning: eth1 was up though this node is not active: brought down");
    eventually("it is down", PATIENCE, || eth1(&lan.a) == STANDBY);
}

fn a_worker_that_dies_leaves_the_device_down() {
    let lan = Homes::new();
    let daemon = start(&lan.a, &[]);
    daemon.says("active: ");
    daemon.signal_worker(Signal::KILL);
    daemon.says("error: worker ");
    eventually("it is down", Duration::from_millis(300), || eth1(&lan.a) == STANDBY);
    daemon.says("active: ");
    assert_eq!(eth1(&lan.a), ACTIVE);
}

fn an_address_left_on_the_interface_is_removed() {
    let lan = Homes::new();
    lan.a.ip(&format!("address add {SHARED_CIDR} dev eth0 label eth0:1"));
    let daemon = start(&lan.a, &[]);
    daemon.says("warning: 10.0.0.100/24 was up though this node is not active: removed");
    daemon.says("active: no active node");
    assert!(!lan.a.has(SHARED_CIDR) && eth1(&lan.a) == ACTIVE);
}

fn a_question_goes_out_while_the_device_is_down() {
    let lan = Homes::new();
    lan.client.ip(&format!("address add {SHARED_CIDR} dev eth0"));
    let capture = Capture::start(&lan.client, "arp and arp[14:4] = 0");
    let daemon = start(&lan.a, &[]);
    daemon.says(&format!("warning: {SHARED} is in use by 02:00:00:00:00:0d"));
    assert_eq!((daemon.count("active: "), eth1(&lan.a)), (0, STANDBY));
    let probes = capture.so_far();
    assert!(!probes.is_empty() && probes.iter().all(|frame| frame.text.contains(MAC_A0)), "{probes:?}");
    lan.client.ip(&format!("address del {SHARED_CIDR} dev eth0"));
    daemon.says("active: ");
    assert_eq!(eth1(&lan.a), ACTIVE);
}
