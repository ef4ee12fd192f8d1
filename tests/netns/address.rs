//! Nobody else's hand changes who has the address: leftovers go, what was removed comes back.

use rustix::process::Signal;

use crate::capture::{Monitor, seconds};
use crate::daemon::Daemon;
use crate::lan::{A, B, Lan, SHARED, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};

tests![
    a_leftover_is_removed_before_the_node_listens,
    a_leftover_with_other_prefixes_is_removed_altogether,
    a_standby_removes_within_an_interval_what_somebody_adds,
    an_address_that_left_with_its_primary_comes_back,
    a_removal_among_more_events_than_the_kernel_keeps_is_noticed,
    an_address_added_with_another_prefix_leaves_with_the_daemon,
    a_foreign_owner_is_named_by_its_mac,
    without_an_address_of_its_own_a_node_is_unfit,
    with_its_own_address_gone_a_node_is_unfit_and_comes_back_with_another,
    an_own_address_exchanged_behind_its_back_is_noticed,
];

const NEVER: &[&str] = &["--worthiness", "0"];

fn a_leftover_is_removed_before_the_node_listens() {
    let lan = Lan::new();
    lan.a.ip(&format!("address add {SHARED_CIDR} dev eth0 label eth0:1"));
    let daemon = Daemon::fast(&lan.a, NEVER);
    daemon.says("warning: 10.0.0.100/24 was up though this node is not active: removed");
    daemon.says("standby: ");
    assert!(!lan.a.has(SHARED_CIDR));
}

fn a_leftover_with_other_prefixes_is_removed_altogether() {
    let lan = Lan::new();
    for prefix in [32, 30, 16, 8] {
        lan.a.ip(&format!("address add {SHARED}/{prefix} dev eth0"));
    }
    let daemon = Daemon::start(&lan.a, &["--address", SHARED_CIDR, "--worthiness", "0"]);
    daemon.says("standby: ");
    let left = lan.a.addresses();
    assert_eq!(left.len(), 1, "only the real address is left: {left:?}");
}

fn a_standby_removes_within_an_interval_what_somebody_adds() {
    let lan = Lan::new();
    let monitor = Monitor::start(&lan.a);
    let options = ["--address", SHARED_CIDR, "--worthiness", "0", "--interval", "500ms", "--tolerance", "2s"];
    let daemon = Daemon::start(&lan.a, &options);
    daemon.says("standby: ");
    for _ in 0..3 {
        let added = std::time::SystemTime::now();
        lan.a.ip(&format!("address add {SHARED_CIDR} dev eth0"));
        let gone = monitor.deleted(SHARED_CIDR, added, PATIENCE);
        assert!(gone - seconds(added) < 0.8, "gone {} s after it was added", gone - seconds(added));
        daemon.says("warning: 10.0.0.100/24 was up though this node is not active: removed");
    }
}

fn an_address_that_left_with_its_primary_comes_back() {
    let lan = Lan::new();
    let others = ["--address", "192.168.7.1/24", "--address", "192.168.7.2/24"];
    let daemon = Daemon::fast(&lan.a, &others);
    daemon.says("active: ");
    // Without promote_secondaries the kernel removes the second one too.
    lan.a.ip("address del 192.168.7.1/24 dev eth0");
    daemon.says("warning: address was removed from outside: put back");
    let has_all = || ["192.168.7.1/24", "192.168.7.2/24", SHARED_CIDR].iter().all(|cidr| lan.a.has(cidr));
    eventually("all addresses are back", PATIENCE, has_all);
}

fn a_removal_among_more_events_than_the_kernel_keeps_is_noticed() {
    let lan = Lan::new();
    lan.a.ip("link add x0 type veth peer name x1");
    let times = ["--address", SHARED_CIDR, "--interval", "500ms", "--tolerance", "4s"];
    let daemon = Daemon::start(&lan.a, &times);
    daemon.says("active: ");
    daemon.signal(Signal::STOP); // for less than its lease
    let mut lines = String::new();
    for round in 0..150 {
        if round == 110 {
            lines += &format!("address del {SHARED_CIDR} dev eth0\n");
        }
        lines += &format!("link set x0 mtu {}\n", 1300 + round % 2);
    }
    lan.a.ip_batch(&lines);
    daemon.signal(Signal::CONT);
    daemon.says("warning: address was removed from outside: put back");
    eventually("it is back", PATIENCE, || lan.a.has(SHARED_CIDR));
    assert_eq!(daemon.count("unfit: "), 0, "{}", daemon.log());
}

fn an_address_added_with_another_prefix_leaves_with_the_daemon() {
    let lan = Lan::new();
    let mut daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    lan.a.ip(&format!("address add {SHARED}/32 dev eth0"));
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    let left = lan.a.addresses();
    assert_eq!(left.len(), 1, "only the real address is left: {left:?}");
}

fn a_foreign_owner_is_named_by_its_mac() {
    let lan = Lan::new();
    lan.b.ip(&format!("address add {SHARED_CIDR} dev eth0"));
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says(&format!("warning: {SHARED} is in use by {}", B.1));
    assert_eq!(daemon.count("active: "), 0, "it says so before it takes the address:\n{}", daemon.log());
}

fn without_an_address_of_its_own_a_node_is_unfit() {
    let lan = Lan::new();
    lan.a.ip(&format!("address del {}/24 dev eth0", A.0));
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("unfit: interface has no address of its own");
    lan.a.ip(&format!("address add {}/24 dev eth0", A.0));
    daemon.says("standby: listening as 10.0.0.11");
    daemon.says("active: ");
}

fn with_its_own_address_gone_a_node_is_unfit_and_comes_back_with_another() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    lan.a.ip(&format!("address del {}/24 dev eth0", A.0));
    daemon.says("unfit: interface has no address of its own");
    assert!(!lan.a.has(SHARED_CIDR));
    lan.a.ip("address add 10.0.0.13/24 dev eth0");
    daemon.says("standby: listening as 10.0.0.13");
    daemon.says("active: ");
    assert!(lan.a.has(SHARED_CIDR));
}

fn an_own_address_exchanged_behind_its_back_is_noticed() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    daemon.signal(Signal::STOP);
    lan.a.ip(&format!("address del {}/24 dev eth0", A.0));
    lan.a.ip("address add 10.0.0.13/24 dev eth0");
    daemon.signal(Signal::CONT);
    daemon.says("standby: listening as 10.0.0.13");
    daemon.says("active: ");
    assert!(lan.a.has(SHARED_CIDR));
    assert_eq!(daemon.count("interface does not exist"), 0, "it was there all the time:\n{}", daemon.log());
}
