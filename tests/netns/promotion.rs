//! Nothing of the server's goes when a shared address goes: not its own address, not that of another group, no route.
//!
//! Each test begins with `promote_secondaries` off, as the kernel has it.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::capture::Monitor;
use crate::daemon::{Daemon, FAST};
use crate::lan::{A, Lan, Namespace, SHARED, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};
use crate::program;

tests![
    a_leftover_that_was_there_first_leaves_alone,
    a_leftover_with_several_prefixes_leaves_alone,
    a_standby_removes_alone_what_somebody_adds,
    what_was_added_while_it_was_active_stays_when_it_stops,
    what_was_added_while_it_was_active_stays_when_the_lease_ends,
    what_was_added_while_it_was_active_stays_when_a_worker_dies,
    what_was_added_while_it_was_active_stays_without_a_lease,
    an_address_from_dhcp_survives_the_link_local_one_and_the_shared_one,
    two_groups_in_a_subnet_of_their_own_do_not_touch_each_other,
    a_device_keeps_what_somebody_gave_it,
    a_leftover_on_the_interface_of_a_device_leaves_alone,
    what_was_set_is_put_back_at_the_end_and_only_then,
    who_was_killed_leaves_it_set,
    an_interface_that_comes_again_is_set_again,
    what_somebody_sets_back_is_set_again,
    what_cannot_be_set_is_said_and_no_leftover_is_removed,
];

fn set(host: &Namespace, which: &str, value: u8) {
    host.inside(|| {
        fs::write(format!("/proc/sys/net/ipv4/conf/{which}/promote_secondaries"), value.to_string()).unwrap();
    });
}

fn value(host: &Namespace, which: &str) -> String {
    let path = format!("/proc/sys/net/ipv4/conf/{which}/promote_secondaries");
    host.inside(|| fs::read_to_string(&path).unwrap()).trim().to_owned()
}

/// As a kernel has it that nobody has told otherwise.
fn kernels_default(host: &Namespace) {
    let has = |which: &str| host.inside(|| fs::exists(format!("/proc/sys/net/ipv4/conf/{which}")).unwrap());
    for which in ["all", "default", "eth0", "eth1"].into_iter().filter(|which| has(which)) {
        set(host, which, 0);
    }
}

fn lan() -> Lan {
    let lan = Lan::new();
    kernels_default(&lan.a);
    lan
}

/// The addresses of the host, and its routes, but for those of the `shared` ones. A route to a subnet of the host names the first
/// address there as its source, whichever that is.
fn others(host: &Namespace, shared: &[&str]) -> Vec<String> {
    let addresses = host.ip("-o -4 address show");
    let addresses = addresses.lines().map(|line| line.split_whitespace().skip(1).take(3).collect::<Vec<_>>().join(" "));
    let is_other = |line: &String| !shared.iter().any(|shared| line.contains(&format!(" {shared}/")));
    let routes = host.ip("-4 route show");
    let routes = routes.lines().map(|line| {
        let kernels = line.split_once(" src ").filter(|(before, _)| before.contains("proto kernel"));
        kernels.map_or(line, |(before, _)| before).trim().to_owned()
    });
    let mut all: Vec<_> = addresses.filter(is_other).chain(routes).collect();
    all.sort();
    all
}

/// The server's own address and what hangs on it, added after whatever is there; another one as network managers add it.
fn add_own(host: &Namespace) {
    host.ip_batch(&format!(
        "address add {0}/24 brd + dev eth0\naddress add 10.0.0.61/24 dev eth0 noprefixroute\n\
         route add 10.0.0.0/24 dev eth0 src 10.0.0.61 metric 100\nroute add default via 10.0.0.12\n\
         route add 10.50.0.0/16 via 10.0.0.12\nroute add 10.60.0.0/16 dev eth0 src {0}\n",
        A.0
    ));
}

/// A shared address that is the first of its subnet, and all that is the server's after it.
fn shared_first(host: &Namespace, shared: &[&str]) -> Vec<String> {
    host.ip("address flush dev eth0");
    for cidr in shared {
        host.ip(&format!("address add {cidr} dev eth0"));
    }
    add_own(host);
    others(host, &[SHARED])
}

fn a_leftover_that_was_there_first_leaves_alone() {
    let lan = lan();
    let before = shared_first(&lan.a, &[SHARED_CIDR]);
    let daemon = Daemon::fast(&lan.a, &["--worthiness", "0"]);
    daemon.says("promote_secondaries of eth0 is set until the daemon ends");
    daemon.says("warning: 10.0.0.100/24 was up though this node is not active: removed");
    daemon.says("standby: listening as 10.0.0.11");
    assert!(!lan.a.has(SHARED_CIDR));
    assert_eq!(others(&lan.a, &[SHARED]), before);
}

fn a_leftover_with_several_prefixes_leaves_alone() {
    let lan = lan();
    shared_first(&lan.a, &["10.0.0.100/8", "10.0.0.100/16", SHARED_CIDR, "10.0.0.100/32"]);
    lan.a.ip("address add 10.1.0.5/8 dev eth0");
    lan.a.ip("address add 10.0.3.5/16 dev eth0");
    let before = others(&lan.a, &[SHARED]);
    let daemon = Daemon::fast(&lan.a, &["--worthiness", "0"]);
    daemon.says("standby: listening as 10.");
    assert!(!lan.a.addresses().iter().any(|address| address.cidr.starts_with(SHARED)));
    assert_eq!(others(&lan.a, &[SHARED]), before);
}

fn a_standby_removes_alone_what_somebody_adds() {
    let lan = lan();
    let daemon = Daemon::fast(&lan.a, &["--worthiness", "0"]);
    daemon.says("standby: ");
    // In one go, so that the shared one is the first of a subnet before the daemon sees it.
    lan.a.ip_batch(
        "address add 10.0.0.100/16 dev eth0\naddress add 10.0.7.7/16 dev eth0\nroute add 10.70.0.0/16 via 10.0.7.9",
    );
    let before = others(&lan.a, &[SHARED]);
    daemon.says("was up though this node is not active: removed");
    assert_eq!(others(&lan.a, &[SHARED]), before);
}

/// An active daemon, and after it an address in a subnet that only its own shared one was in, with a route.
fn active_first(lan: &Lan, more: &[&str]) -> (Daemon, Vec<String>) {
    let daemon = Daemon::start(&lan.a, &[FAST, &["--address", "192.168.7.1/24"], more].concat());
    daemon.says("active: ");
    lan.a.ip_batch("address add 192.168.7.50/24 dev eth0\nroute add 10.70.0.0/16 via 192.168.7.9\n");
    (daemon, others(&lan.a, &["192.168.7.1"]))
}

fn is_gone_alone(lan: &Lan, before: &[String]) {
    eventually("the shared address goes", PATIENCE, || !lan.a.has("192.168.7.1/24"));
    assert_eq!(others(&lan.a, &["192.168.7.1"]), before);
}

fn what_was_added_while_it_was_active_stays_when_it_stops() {
    let lan = lan();
    let (mut daemon, before) = active_first(&lan, &[]);
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    is_gone_alone(&lan, &before);
    assert_eq!(daemon.count("removed from outside"), 0, "it was we:\n{}", daemon.log());
}

fn what_was_added_while_it_was_active_stays_when_the_lease_ends() {
    let lan = lan();
    let (daemon, before) = active_first(&lan, &[]);
    daemon.signal(Signal::KILL);
    is_gone_alone(&lan, &before);
}

fn what_was_added_while_it_was_active_stays_when_a_worker_dies() {
    let lan = lan();
    let (daemon, before) = active_first(&lan, &[]);
    let monitor = Monitor::start(&lan.a);
    let killed = SystemTime::now();
    daemon.signal_worker(Signal::KILL);
    monitor.deleted("192.168.7.1/24", killed, PATIENCE);
    daemon.says("active: ");
    assert_eq!(others(&lan.a, &["192.168.7.1"]), before);
    assert_eq!(monitor.events("192.168.7.50/24").iter().filter(|event| event.is_deleted).count(), 0);
    assert_eq!(daemon.count("removed from outside"), 0, "it was we:\n{}", daemon.log());
}

fn what_was_added_while_it_was_active_stays_without_a_lease() {
    let lan = lan();
    let (mut daemon, before) = active_first(&lan, &["--no-lease"]);
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    is_gone_alone(&lan, &before);
}

fn an_address_from_dhcp_survives_the_link_local_one_and_the_shared_one() {
    for ending in [Signal::TERM, Signal::KILL] {
        let lan = lan();
        lan.a.ip("address flush dev eth0");
        lan.a.ip("address add 169.254.3.4/16 dev eth0");
        let daemon = Daemon::fast(&lan.a, &[]);
        daemon.says("active: ");
        add_own(&lan.a);
        lan.a.ip("address del 169.254.3.4/16 dev eth0");
        daemon.says("standby: listening as 10.0.0.11");
        daemon.says("active: ");
        let before = others(&lan.a, &[SHARED]);
        assert_eq!(before.len(), 8, "three addresses with that of lo, five routes: {before:?}");
        daemon.signal(ending);
        eventually("the shared address goes", PATIENCE, || !lan.a.has(SHARED_CIDR));
        assert_eq!(others(&lan.a, &[SHARED]), before, "{ending:?}");
    }
}

fn two_groups_in_a_subnet_of_their_own_do_not_touch_each_other() {
    for ending in [Signal::TERM, Signal::KILL] {
        let lan = lan();
        let (mut one, _) = active_first(&lan, &[]);
        let two = Daemon::start(&lan.a, &[FAST, &["--address", "192.168.7.2/24", "--group", "2"]].concat());
        two.says("active: ");
        let monitor = Monitor::start(&lan.a);
        let before = others(&lan.a, &["192.168.7.1"]);
        one.signal(ending);
        let _ = one.exit();
        is_gone_alone(&lan, &before);
        let removed = monitor.events("192.168.7.2/24").iter().filter(|event| event.is_deleted).count();
        assert_eq!((removed, two.count("put back")), (0, 0), "{ending:?}:\n{}", two.log());
        // The one that ends puts back what the other one still needs.
        eventually("the other one has set it again", PATIENCE, || value(&lan.a, "eth0") == "1");
        two.signal(Signal::KILL);
        eventually("its lease ends", PATIENCE, || !lan.a.has("192.168.7.2/24"));
        assert!(lan.a.has("192.168.7.50/24"), "{ending:?}");
    }
}

/// Gives the host a second device.
fn plug(lan: &Lan) {
    lan.a.ip(&format!("link add eth1 type veth peer name port1 netns {}", lan.b.path()));
    lan.b.ip("link set port1 up");
    kernels_default(&lan.a);
}

fn a_device_keeps_what_somebody_gave_it() {
    for ending in [Signal::TERM, Signal::KILL] {
        let lan = lan();
        plug(&lan);
        let daemon = Daemon::fast(&lan.a, &["--shared", "eth1"]);
        daemon.says("active: ");
        lan.a.ip("address add 10.0.0.77/24 dev eth1");
        daemon.signal(ending);
        let on_device = || lan.a.ip("-o -4 address show dev eth1");
        eventually("the shared address goes", PATIENCE, || !on_device().contains(SHARED));
        assert!(on_device().contains("10.0.0.77/24"), "{ending:?}");
        let expected = if ending == Signal::TERM { "0" } else { "1" };
        eventually("it is put back", PATIENCE, || value(&lan.a, "eth1") == expected);
    }
}

fn a_leftover_on_the_interface_of_a_device_leaves_alone() {
    let lan = lan();
    plug(&lan);
    let before = shared_first(&lan.a, &[SHARED_CIDR]);
    let daemon = Daemon::fast(&lan.a, &["--shared", "eth1"]);
    daemon.says("warning: 10.0.0.100/24 was up though this node is not active: removed");
    daemon.says("standby: ");
    assert!(!lan.a.has(SHARED_CIDR));
    // The device is brought down after that.
    eventually("its route is gone", PATIENCE, || others(&lan.a, &[SHARED]) == before);
}

fn what_was_set_is_put_back_at_the_end_and_only_then() {
    for found in [0, 1] {
        let lan = lan();
        set(&lan.a, "eth0", found);
        let mut daemon = Daemon::fast(&lan.a, &[]);
        daemon.says("active: ");
        assert_eq!(value(&lan.a, "eth0"), "1");
        daemon.signal_worker(Signal::KILL);
        daemon.says("active: ");
        assert_eq!(value(&lan.a, "eth0"), "1", "the next worker does not take it for what was found");
        daemon.signal(Signal::TERM);
        assert!(daemon.exit().success());
        assert_eq!(value(&lan.a, "eth0"), found.to_string());
        assert_eq!(daemon.count("promote_secondaries"), usize::from(found == 0), "{}", daemon.log());
        assert_eq!(value(&lan.a, "all"), "0");
    }
}

fn who_was_killed_leaves_it_set() {
    let lan = lan();
    let mut daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    daemon.signal(Signal::KILL);
    let _ = daemon.exit();
    sleep(Duration::from_millis(200));
    assert_eq!(value(&lan.a, "eth0"), "1", "the lease has not ended yet");
}

fn an_interface_that_comes_again_is_set_again() {
    let lan = lan();
    let mut daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    lan.a.ip("link delete eth0");
    daemon.says("unfit: ");
    lan.join();
    daemon.says("promote_secondaries of eth0 is set until the daemon ends");
    daemon.says("active: ");
    assert_eq!(value(&lan.a, "eth0"), "1");
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    assert_eq!(value(&lan.a, "eth0"), "0");
}

fn what_somebody_sets_back_is_set_again() {
    let lan = lan();
    let (mut daemon, before) = active_first(&lan, &[]);
    // No event tells of it; it is looked at each ten seconds ...
    set(&lan.a, "eth0", 0);
    eventually("it is set again", Duration::from_secs(15), || value(&lan.a, "eth0") == "1");
    // ... and before each removal.
    set(&lan.a, "eth0", 0);
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    is_gone_alone(&lan, &before);
    assert_eq!(value(&lan.a, "eth0"), "0");
}

/// The tracer fails the request; the next one is let through.
fn what_cannot_be_set_is_said_and_no_leftover_is_removed() {
    let trace = std::env::temp_dir().join(format!("ha-{}-promotion.strace", std::process::id()));
    let start = |lan: &Lan, injected: &str| {
        let mut command = lan.a.command("strace");
        command.args(["-D", "-q", "-s", "200", "-e", "trace=sendto", "-e", injected, "-o"]).arg(&trace).arg(program());
        command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR, "--worthiness", "0"]).args(FAST);
        Daemon::spawn(command)
    };
    let lan = lan();
    let before = shared_first(&lan.a, &[SHARED_CIDR]);
    // Which of the keeper's requests it is.
    let mut daemon = start(&lan, "inject=sendto:delay_enter=0:when=1");
    daemon.says("is set until the daemon ends");
    daemon.signal(Signal::TERM);
    let _ = daemon.exit();
    eventually("the trace is complete", PATIENCE, || fs::read_to_string(&trace).unwrap().contains("+++ exited"));
    let calls = fs::read_to_string(&trace).unwrap();
    let position = 1 + calls.lines().position(|call| call.contains("RTM_SETLINK")).expect("it was set");
    lan.a.ip(&format!("address del {}/24 dev eth0", A.0));
    kernels_default(&lan.a);
    assert_eq!(shared_first(&lan.a, &[SHARED_CIDR]), before);

    let daemon = start(&lan, &format!("inject=sendto:error=EPERM:when={position}"));
    daemon.says("error: set promote_secondaries of eth0: Operation not permitted");
    daemon.says("promote_secondaries of eth0 is set until the daemon ends");
    daemon.says("warning: 10.0.0.100/24 was up though this node is not active: removed");
    assert_eq!(others(&lan.a, &[SHARED]), before);
    let _ = fs::remove_file(&trace);
}
