//! The server's own address: it may change, and it is never the daemon's.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::daemon::{Daemon, FAST};
use crate::lan::{A, Lan, Namespace, SHARED, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};
use crate::program;

tests![
    an_owner_whose_own_address_changes_is_heard_to_resign,
    a_shared_address_that_is_the_only_one_of_the_interface_is_refused_and_stays,
    a_shared_address_that_comes_alone_with_the_interface_stays_until_there_is_another,
    a_shared_address_that_is_left_alone_stays,
    a_leftover_that_is_the_only_address_goes_with_its_lease,
    a_network_whose_end_the_shared_address_is_is_refused,
    an_interface_without_arp_is_refused_and_waited_for,
];

fn an_owner_whose_own_address_changes_is_heard_to_resign() {
    let lan = Lan::new();
    lan.a.inside(|| fs::write("/proc/sys/net/ipv4/conf/all/promote_secondaries", "1")).unwrap();
    let times = ["--address", SHARED_CIDR, "--interval", "500ms", "--tolerance", "5s", "--preempt-delay", "0s"];
    let with = |more: &[&'static str]| [&times, more].concat();
    let a = Daemon::start(&lan.a, &with(&["--worthiness", "200"]));
    let b = Daemon::start(&lan.b, &with(&[]));
    a.says_within("active: ", Duration::from_secs(15));
    // As one DHCP client does it, as another one, and when the server has nothing to offer for a while.
    for (old, new, lines) in [
        (A.0, "10.0.0.51", "address add NEW/24 dev eth0\naddress del OLD/24 dev eth0\n"),
        ("10.0.0.51", "10.0.0.52", "address del OLD/24 dev eth0\naddress add NEW/24 dev eth0\n"),
        ("10.0.0.52", "10.0.0.53", "address flush dev eth0\n"),
    ] {
        lan.a.ip_batch(&lines.replace("OLD", old).replace("NEW", new));
        b.says(&format!("active: {old} resigned (is unfit)"));
        if lan.a.addresses().is_empty() {
            lan.a.ip(&format!("address add {new}/24 dev eth0"));
        }
        a.says(&format!("standby: listening as {new}"));
        a.says_within("active: 10.0.0.12 handed over", Duration::from_secs(15));
        eventually("one has it", PATIENCE, || lan.a.has(SHARED_CIDR) && !lan.b.has(SHARED_CIDR));
    }
}

fn a_shared_address_that_is_the_only_one_of_the_interface_is_refused_and_stays() {
    for prefix in [24, 32] {
        let lan = Lan::new();
        lan.a.ip(&format!("address del {}/24 dev eth0", A.0));
        lan.a.ip(&format!("address add {SHARED}/{prefix} dev eth0"));
        lan.a.ip("route add default dev eth0");
        let before = (lan.a.addresses(), lan.a.ip("route"));
        // Whatever the prefix in the configuration.
        for configured in [24, 32] {
            let address = format!("{SHARED}/{configured}");
            let line = format!(
                "ha: address {SHARED}/{prefix}: eth0 has no other one, and must not lose it; expected another address of its \
                 own there\n"
            );
            refuses(&lan.a, &["--address", &address], &line);
            assert_eq!((lan.a.addresses(), lan.a.ip("route")), before);
        }
    }
}

/// The daemon ends at once with exit code 1 and this line, and `ha check` says the same.
fn refuses(host: &Namespace, options: &[&str], line: &str) {
    let mut daemon = Daemon::start(host, &[options, FAST].concat());
    assert_eq!(daemon.exit().code(), Some(1), "{}", daemon.log());
    let log = daemon.whole_log();
    assert!(log.ends_with(line.trim_end()), "no `{line}` at the end of:\n{log}");
    let file = std::env::temp_dir().join(format!("ha-own-{}.conf", daemon.pid()));
    let mut text = "interface = eth0\n".to_owned();
    for pair in options.chunks(2) {
        text += &format!("{} = {}\n", pair[0].trim_start_matches("--"), pair[1]);
    }
    fs::write(&file, text).unwrap();
    let checked = host.command(&program()).args(["check", "--config"]).arg(&file).output().unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!((checked.status.code(), String::from_utf8_lossy(&checked.stderr).as_ref()), (Some(1), line));
    assert!(checked.stdout.is_empty());
}

fn a_shared_address_that_comes_alone_with_the_interface_stays_until_there_is_another() {
    let lan = Lan::unjoined();
    let mut daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("unfit: interface does not exist");
    // Under another name until the address is there.
    lan.a.ip(&format!("link add eth9 type veth peer name eth0 netns {}", lan.b.path()));
    lan.b.ip("link set eth0 up");
    lan.a.ip_batch(&format!("address add {SHARED}/32 dev eth9\nlink set eth9 name eth0\nlink set eth0 up\n"));
    daemon.says("unfit: shared address is the only one of the interface");
    std::thread::sleep(Duration::from_millis(2_500)); // it looks again each second
    assert!(lan.a.has(&format!("{SHARED}/32")), "{}", daemon.log());
    lan.a.ip(&format!("address add {}/24 dev eth0", A.0));
    daemon.says("standby: listening as 10.0.0.11");
    daemon.says("active: ");
    assert!(lan.a.has(SHARED_CIDR));
    // What it has added itself it removes, even if nothing else is left.
    lan.a.ip_batch(&format!("address del {}/24 dev eth0\n", A.0));
    daemon.says("unfit: interface has no address of its own");
    assert_eq!(lan.a.addresses(), []);
    lan.a.ip(&format!("address add {SHARED_CIDR} dev eth0"));
    daemon.says("unfit: shared address is the only one of the interface");
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    assert!(lan.a.has(SHARED_CIDR), "nor does it go with the daemon");
}

fn a_shared_address_that_is_left_alone_stays() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &["--worthiness", "0"]);
    daemon.says("standby: ");
    lan.a.ip_batch(&format!("address del {}/24 dev eth0\naddress add {SHARED_CIDR} dev eth0\n", A.0));
    daemon.says("unfit: ");
    std::thread::sleep(Duration::from_millis(1_500));
    daemon.signal_worker(Signal::KILL); // the next one asserts the absence, too
    daemon.says("worker dropped: it died");
    std::thread::sleep(Duration::from_millis(500));
    assert!(lan.a.has(SHARED_CIDR), "{}", daemon.log());
}

fn a_leftover_that_is_the_only_address_goes_with_its_lease() {
    let lan = Lan::new();
    lan.a.ip(&format!("address del {}/24 dev eth0", A.0));
    lan.a.ip(&format!("address add {SHARED_CIDR} dev eth0 label eth0:1 valid_lft 1 preferred_lft 1"));
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("unfit: interface has no address of its own");
    eventually("the kernel has removed it", PATIENCE, || !lan.a.has(SHARED_CIDR));
    assert_eq!(daemon.count("removed"), 0, "{}", daemon.log());
}

fn a_network_whose_end_the_shared_address_is_is_refused() {
    let lan = Lan::new();
    let line =
        "ha: address 10.0.0.255/32: it is a broadcast address for eth0, which has 10.0.0.11/24; expected a host's\n";
    refuses(&lan.a, &["--address", "10.0.0.255/32"], line);
}

fn an_interface_without_arp_is_refused_and_waited_for() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    lan.a.ip("link set eth0 arp off");
    daemon.says("unfit: interface does no ARP");
    assert!(!lan.a.has(SHARED_CIDR));
    let line = "ha: interface eth0: it does no ARP; expected one with ARP, such as an Ethernet\n";
    refuses(&lan.a, &["--address", "10.0.0.101/24", "--group", "2"], line);
    lan.a.ip("link set eth0 arp on");
    daemon.says("standby: ");
    daemon.says("active: ");

    let lan = Lan::unjoined();
    lan.a.ip_batch("link set lo down\nlink set lo name eth0\nlink set eth0 up\n");
    let line = "ha: interface eth0: nobody else is on a loopback; expected one with ARP, such as an Ethernet\n";
    refuses(&lan.a, &["--address", SHARED_CIDR], line);
}
