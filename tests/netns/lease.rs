//! The kernel removes the address of a daemon that does not renew it.

use std::thread::sleep;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::capture::{Monitor, seconds};
use crate::daemon::{Daemon, FAST};
use crate::lan::{Lan, SHARED_CIDR};
use crate::lines::eventually;

tests![
    an_active_node_has_the_address_for_two_seconds_under_its_label_and_loses_it_with_its_life,
    a_frozen_node_loses_the_address_and_listens_when_it_thaws,
    several_addresses_are_renewed_and_lost_together,
    several_addresses_leave_with_the_daemon,
    without_a_lease_the_address_stays_for_ever,
    without_a_lease_the_kernel_is_left_alone_until_the_address_is_removed,
    another_label_can_be_chosen,
];

/// What the kernel may take beyond a lease, and the machine beyond that.
const LATE: Duration = Duration::from_millis(1_500);

fn an_active_node_has_the_address_for_two_seconds_under_its_label_and_loses_it_with_its_life() {
    let lan = Lan::new();
    let monitor = Monitor::start(&lan.a);
    let daemon = Daemon::start(&lan.a, &["--address", SHARED_CIDR]);
    daemon.says("active: no active node heard for 3.5s");
    assert_eq!(daemon.count("warning"), 0, "{}", daemon.log());
    let address = lan.a.address(SHARED_CIDR).expect("it is up");
    assert_eq!(address.label, "eth0:1");
    assert!(address.valid.is_some_and(|secs| (1..=2).contains(&secs)), "{address:?}");
    sleep(Duration::from_millis(2_500));
    assert!(monitor.events(SHARED_CIDR).iter().all(|event| !event.is_deleted), "it was gone in between");
    let killed = SystemTime::now();
    daemon.signal(Signal::KILL);
    assert!(lan.a.has(SHARED_CIDR), "nobody but the kernel removes it");
    let gone = monitor.deleted(SHARED_CIDR, killed, Duration::from_secs(2) + LATE);
    assert!(gone - seconds(killed) <= 3.5, "gone {} s after the kill", gone - seconds(killed));
    assert!(!lan.a.has(SHARED_CIDR));
}

fn a_frozen_node_loses_the_address_and_listens_when_it_thaws() {
    let lan = Lan::new();
    let monitor = Monitor::start(&lan.a);
    let timing = ["--interval", "500ms", "--tolerance", "2s", "--address", SHARED_CIDR];
    let daemon = Daemon::start(&lan.a, &timing);
    daemon.says("active: ");
    let frozen = SystemTime::now();
    daemon.signal_both(Signal::STOP);
    monitor.deleted(SHARED_CIDR, frozen, Duration::from_secs(1) + LATE);
    sleep(Duration::from_millis(500));
    let events = monitor.events(SHARED_CIDR).len();
    daemon.signal_both(Signal::CONT);
    daemon.says("standby: did not run for");
    assert_eq!(monitor.events(SHARED_CIDR).len(), events, "it touched the address before it listened");
    daemon.says("active: no active node heard for 2s");
    assert!(lan.a.has(SHARED_CIDR));
}

/// Two in the subnet of the real address, two in another one, one alone.
const SEVERAL: [&str; 5] = [SHARED_CIDR, "10.0.0.101/24", "192.168.7.1/24", "192.168.7.2/24", "172.16.0.1/32"];

fn several() -> Vec<&'static str> {
    let addresses = SEVERAL.iter().flat_map(|cidr| ["--address", cidr]);
    FAST.iter().copied().chain(addresses).collect()
}

fn several_addresses_are_renewed_and_lost_together() {
    let lan = Lan::new();
    let monitor = Monitor::start(&lan.a);
    let daemon = Daemon::start(&lan.a, &several());
    daemon.says("active: ");
    let addresses = lan.a.addresses();
    for cidr in SEVERAL {
        let address = addresses.iter().find(|address| address.cidr == cidr).expect(cidr);
        assert_eq!((address.label.as_str(), address.valid), ("eth0:1", Some(1)), "{cidr}");
    }
    sleep(Duration::from_millis(2_500));
    for cidr in SEVERAL {
        assert!(monitor.events(cidr).iter().all(|event| !event.is_deleted), "{cidr} was gone in between");
    }
    let frozen = SystemTime::now();
    daemon.signal(Signal::STOP);
    for cidr in SEVERAL {
        let gone = monitor.deleted(cidr, frozen, Duration::from_secs(1) + LATE);
        assert!(gone - seconds(frozen) <= 2.5, "{cidr} gone {} s after the freeze", gone - seconds(frozen));
    }
}

fn several_addresses_leave_with_the_daemon() {
    let lan = Lan::new();
    let mut daemon = Daemon::start(&lan.a, &several());
    daemon.says("active: ");
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    let left = lan.a.addresses();
    assert_eq!(left.len(), 1, "only the real address is left: {left:?}");
}

fn without_a_lease_the_address_stays_for_ever() {
    let lan = Lan::new();
    let mut daemon = Daemon::fast(&lan.a, &["--no-lease"]);
    daemon.says("active: ");
    let valid = || lan.a.address(SHARED_CIDR).expect("it is up").valid;
    assert_eq!(valid(), None);
    daemon.signal(Signal::KILL);
    let _ = daemon.exit();
    sleep(Duration::from_millis(2_500)); // longer than the lease would be
    assert_eq!(valid(), None);
}

fn without_a_lease_the_kernel_is_left_alone_until_the_address_is_removed() {
    let lan = Lan::new();
    let monitor = Monitor::start(&lan.a);
    let daemon = Daemon::fast(&lan.a, &["--no-lease"]);
    daemon.says("active: ");
    sleep(Duration::from_secs(1));
    assert_eq!(monitor.events(SHARED_CIDR).len(), 1, "ten heartbeats, and nothing to renew");
    for _ in 0..2 {
        let removed = SystemTime::now();
        lan.a.ip(&format!("address del {SHARED_CIDR} dev eth0"));
        monitor.deleted(SHARED_CIDR, removed, LATE);
        daemon.says("warning: address was removed from outside: put back");
        eventually("it is back", LATE, || lan.a.has(SHARED_CIDR));
    }
    sleep(Duration::from_millis(500));
    assert_eq!(monitor.events(SHARED_CIDR).len(), 5, "once for each time that it was put back");
}

fn another_label_can_be_chosen() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &["--shared", "eth0:vip"]);
    daemon.says("active: ");
    assert_eq!(lan.a.address(SHARED_CIDR).expect("it is up").label, "eth0:vip");
}
