//! Interfaces that come late, go, and come back.

use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::capture::Capture;
use crate::daemon::Daemon;
use crate::lan::{A, Lan, Namespace, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};
use crate::program;

tests![
    a_missing_interface_is_waited_for_and_named_once,
    an_interface_without_an_address_is_waited_for,
    without_a_carrier_a_node_is_unfit_and_comes_back,
    after_link_up_silence_is_no_evidence_until_the_link_delay_has_passed,
    a_new_interface_of_the_same_name_is_joined_again,
    an_interface_exchanged_behind_its_back_is_noticed,
    an_interface_that_is_gone_is_the_reason_even_if_a_heartbeat_was_due_first,
    an_interface_that_is_renamed_is_left_without_the_address,
    of_two_interfaces_that_swap_their_names_the_right_one_loses_the_address,
    an_alternative_name_is_as_good_as_the_kernels_own,
    an_alternative_name_that_comes_late_is_waited_for,
    sockets_that_cannot_be_opened_are_tried_again_and_complained_of_once,
    a_node_that_is_told_to_stop_while_it_waits_stops,
];

fn a_missing_interface_is_waited_for_and_named_once() {
    let lan = Lan::unjoined();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("unfit: interface does not exist; waiting for eth0");
    sleep(Duration::from_millis(2_500)); // it looks again each second
    assert_eq!(daemon.count("eth0"), 1, "{}", daemon.log());
    assert_eq!(daemon.count("unfit"), 1, "{}", daemon.log());
    lan.join();
    daemon.says("standby: listening as 10.0.0.11");
    daemon.says("active: ");
    assert!(lan.a.has(SHARED_CIDR));
}

fn an_interface_without_an_address_is_waited_for() {
    let lan = Lan::unjoined();
    lan.a.ip("link add eth0 type veth peer name other");
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("unfit: interface is down or has no carrier; waiting for eth0");
    lan.a.ip("link set other up");
    lan.a.ip("link set eth0 up");
    eventually("it sees the carrier", PATIENCE, || daemon.count("unfit: ") == 1);
    lan.a.ip(&format!("address add {}/24 dev eth0", A.0));
    daemon.says("standby: listening as 10.0.0.11");
    daemon.says("active: ");
}

fn without_a_carrier_a_node_is_unfit_and_comes_back() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    lan.b.ip("link set eth0 down");
    daemon.says("unfit: interface is down or has no carrier");
    assert!(!lan.a.has(SHARED_CIDR), "it says so after it has released");
    lan.b.ip("link set eth0 up");
    daemon.says("standby: listening as 10.0.0.11");
    assert!(!lan.a.has(SHARED_CIDR) || daemon.count("active: ") == 2);
    daemon.says("active: ");
    let capture = Capture::start(&lan.b, "udp");
    capture.wait("heartbeats", PATIENCE, |frames| frames.iter().any(|frame| frame.state() == 1).then_some(()));

    // Taken down on this side the kernel keeps the address, so that it is the daemon that removes it.
    lan.a.ip("link set eth0 down");
    daemon.says("unfit: interface is down or has no carrier");
    assert!(!lan.a.has(SHARED_CIDR));
    lan.a.ip("link set eth0 up");
    daemon.says("active: ");
    assert!(lan.a.has(SHARED_CIDR));
}

fn after_link_up_silence_is_no_evidence_until_the_link_delay_has_passed() {
    let lan = Lan::new();
    let daemon = Daemon::start(
        &lan.a,
        &["--address", SHARED_CIDR, "--interval", "100ms", "--tolerance", "350ms", "--link-delay", "1s"],
    );
    daemon.says("active: ");
    lan.b.ip("link set eth0 down");
    daemon.says("unfit: ");
    lan.b.ip("link set eth0 up");
    let up = daemon.says("standby: ");
    let active = daemon.says("active: ");
    let waited = active.duration_since(up).unwrap();
    assert!(waited > Duration::from_millis(1_250), "active {waited:?} after link up");
}

fn a_new_interface_of_the_same_name_is_joined_again() {
    let lan = Lan::new();
    let a = Daemon::fast(&lan.a, &["--worthiness", "0"]);
    let b = Daemon::fast(&lan.b, &[]);
    b.says("active: ");
    a.says("10.0.0.12 heard for the first time");
    lan.a.ip("link delete eth0"); // and with it the other end of the cable
    a.says("unfit: interface does not exist");
    b.says("unfit: ");
    lan.join();
    a.says("standby: listening as 10.0.0.11");
    b.says("standby: listening as 10.0.0.12");
    b.says("active: ");
    assert!(lan.b.has(SHARED_CIDR));
    let hears = || {
        a.signal(Signal::USR1);
        a.says("status: standby");
        a.says("status: 10.0.0.12 ");
        a.count("status: 10.0.0.12 active worthiness 100 flags settled,ready,fenced release ") > 0
    };
    eventually("the node hears the other one on the new interface", PATIENCE, hears);
    assert_eq!(a.count("unfit: "), 1, "{}", a.log());
}

fn a_node_that_is_told_to_stop_while_it_waits_stops() {
    let lan = Lan::unjoined();
    let mut daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("unfit: ");
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
}

fn an_interface_exchanged_behind_its_back_is_noticed() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    daemon.signal(Signal::STOP);
    lan.a.ip("link delete eth0");
    lan.join();
    daemon.signal(Signal::CONT);
    daemon.says("unfit: ");
    daemon.says("standby: listening as 10.0.0.11");
    daemon.says("active: ");
    assert!(lan.a.has(SHARED_CIDR));
    let capture = Capture::start(&lan.b, "udp");
    capture.wait("heartbeats", PATIENCE, |frames| frames.iter().any(|frame| frame.state() == 1).then_some(()));
}

fn an_interface_that_is_gone_is_the_reason_even_if_a_heartbeat_was_due_first() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    sleep(Duration::from_millis(50)); // between two heartbeats: it shall be stopped while it waits, not at its work
    daemon.signal(Signal::STOP);
    lan.a.ip("link delete eth0");
    sleep(Duration::from_millis(200)); // longer than the interval, shorter than the lease
    daemon.signal(Signal::CONT);
    daemon.says("unfit: ");
    assert_eq!(daemon.count("unfit: interface does not exist"), 1, "{}", daemon.log());
    assert_eq!(daemon.count("error: "), 0, "{}", daemon.log());
}

fn an_interface_that_is_renamed_is_left_without_the_address() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &["--no-lease"]);
    daemon.says("active: ");
    daemon.signal(Signal::STOP); // older kernels rename only what is down
    for command in ["link set eth0 down", "link set eth0 name eth9", "link set eth9 up"] {
        lan.a.ip(command);
    }
    daemon.signal(Signal::CONT);
    daemon.says("unfit: interface does not exist");
    let addresses = lan.a.ip("-o -4 address show dev eth9");
    assert!(!addresses.contains(SHARED_CIDR), "{addresses}");
}

fn of_two_interfaces_that_swap_their_names_the_right_one_loses_the_address() {
    let lan = Lan::new();
    lan.a.ip(&format!("link add eth1 type veth peer name eth1 netns {}", lan.b.path()));
    lan.b.ip("link set eth1 up");
    lan.a.ip("link set eth1 up");
    lan.a.ip("address add 10.0.1.11/24 dev eth1");
    let daemon = Daemon::fast(&lan.a, &["--no-lease"]);
    daemon.says("active: ");
    daemon.signal(Signal::STOP); // older kernels rename only what is down
    lan.a.ip_batch(
        "link set eth0 down\nlink set eth1 down\nlink set eth0 name eth9\nlink set eth1 name eth0\n\
         link set eth9 up\nlink set eth0 up\n",
    );
    daemon.signal(Signal::CONT);
    daemon.says("unfit: interface is another one now");
    let addresses = lan.a.ip("-o -4 address show dev eth9");
    assert!(addresses.contains(A.0) && !addresses.contains(SHARED_CIDR), "{addresses}");
    daemon.says("standby: listening as 10.0.1.11");
    assert_eq!(daemon.count("was up though"), 0, "nothing was added to the new one:\n{}", daemon.log());
    daemon.says("active: ");
    assert!(lan.a.has(SHARED_CIDR));
}

fn sockets_that_cannot_be_opened_are_tried_again_and_complained_of_once() {
    let lan = Lan::new();
    let allow = |memberships: &str| {
        lan.a.inside(|| std::fs::write("/proc/sys/net/ipv4/igmp_max_memberships", memberships)).unwrap();
    };
    allow("0");
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("warning: open sockets on eth0: ");
    sleep(Duration::from_millis(3_500));
    assert_eq!(daemon.count("open sockets"), 1, "{}", daemon.log());
    allow("20");
    daemon.says("active: ");
}

/// Longer than a name of the kernel's own can be.
const LONG: &str = "uplink-to-the-switch-in-the-second-rack";

fn an_alternative_name_is_as_good_as_the_kernels_own() {
    for name in ["uplink", LONG] {
        let lan = Lan::new();
        lan.a.ip(&format!("link property add dev eth0 altname {name}"));
        let node = |host: &Namespace, name, worthiness| {
            let more = ["--interface", name, "--address", SHARED_CIDR, "--worthiness", worthiness, "--no-realtime"];
            let quick = ["--interval", "100ms", "--tolerance", "350ms", "--link-delay", "0s", "--config", "/dev/null"];
            let mut command = host.command(&program());
            command.arg("run").args(more).args(quick);
            Daemon::spawn(command)
        };
        let other = node(&lan.b, "eth0", "50");
        let daemon = node(&lan.a, name, "100");
        daemon.says("standby: listening as 10.0.0.11");
        daemon.says("active: ");
        let address = lan.a.address(SHARED_CIDR).unwrap_or_else(|| panic!("{name}: {}", daemon.log()));
        assert_eq!(address.label, "eth0:1", "the label is the kernel's, for {name}");
        other.says("10.0.0.11 heard for the first time");
        daemon.signal(Signal::TERM);
        other.says("active: 10.0.0.11 resigned");
    }
}

fn an_alternative_name_that_comes_late_is_waited_for() {
    let lan = Lan::new();
    let options = ["--shared", &format!("{LONG}:7"), "--address", SHARED_CIDR, "--link-delay", "0s"];
    let daemon = Daemon::spawn({
        let mut command = lan.a.command(&program());
        command.args(["run", "--config", "/dev/null", "--no-realtime", "--interface", LONG]).args(options);
        command
    });
    daemon.says(&format!("{LONG} has 39 characters: the kernel's own names have 15 at most"));
    daemon.says(&format!("unfit: interface does not exist; waiting for {LONG}"));
    lan.a.ip(&format!("link property add dev eth0 altname {LONG}"));
    daemon.says("active: ");
    assert_eq!(lan.a.address(SHARED_CIDR).expect("it is active").label, "eth0:7");
}
