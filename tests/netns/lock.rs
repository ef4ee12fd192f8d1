//! One daemon for each address, each group on an interface and each device.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Output;
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, Uid};
use rustix::thread::set_thread_res_uid;

use crate::capture::Monitor;
use crate::daemon::{Daemon, FAST};
use crate::files::Folder;
use crate::lan::{Lan, Namespace, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};
use crate::program;

tests![
    a_second_daemon_is_refused_in_one_line_and_the_first_does_not_notice,
    a_device_has_one_daemon,
    daemons_for_other_addresses_groups_and_interfaces_serve_beside_each_other,
    where_a_keeper_was_killed_the_next_one_starts_at_once,
    a_daemon_that_is_about_to_leave_is_waited_for,
    neither_worker_nor_hook_keeps_a_name,
];

/// Those that need a second user.
pub const OF_USERS: &[crate::Test] = &[(
    "a_user_who_may_change_nothing_keeps_no_daemon_from_serving",
    a_user_who_may_change_nothing_keeps_no_daemon_from_serving,
)];

/// What comes of another daemon on `host`, which has to end by itself.
fn another(host: &Namespace, options: &[&str]) -> Output {
    host.command(&program()).arg("run").args(FAST).args(options).output().unwrap()
}

fn is_refused(output: &Output, expected: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lines: Vec<_> = said.lines().filter(|line| !line.starts_with("warning: tolerance ")).collect();
    assert_eq!(lines, [format!("ha: {expected}")]);
}

fn a_second_daemon_is_refused_in_one_line_and_the_first_does_not_notice() {
    let lan = Lan::new();
    let first = Daemon::fast(&lan.a, &[]);
    first.says("active: ");
    let before = first.log();
    let monitor = Monitor::start(&lan.a);
    let who = format!("process {} (ha)", first.pid());
    let same_address = format!("address 10.0.0.100: already served by {who}; expected one daemon for each address");
    let same_group = format!(
        "group 1 at 239.2.3.4:5555 on eth0: already served by {who}; expected one daemon for each group on an interface"
    );
    is_refused(&another(&lan.a, &["--interface", "eth0", "--address", SHARED_CIDR]), &same_address);
    let other_group = ["--interface", "eth0", "--group", "2", "--address", "10.0.0.101/24", "--address", SHARED_CIDR];
    is_refused(&another(&lan.a, &other_group), &same_address);
    is_refused(&another(&lan.a, &["--interface", "eth1", "--address", SHARED_CIDR]), &same_address);
    is_refused(&another(&lan.a, &["--interface", "eth0", "--address", "10.0.0.101/24"]), &same_group);
    // Nothing is left of those who were refused.
    let third = Daemon::start(&lan.a, &[FAST, &["--group", "2", "--address", "10.0.0.101/24"]].concat());
    third.says("active: ");
    assert_eq!(monitor.events(SHARED_CIDR).iter().filter(|event| event.is_deleted).count(), 0);
    assert!(lan.a.has(SHARED_CIDR));
    assert_eq!(first.log(), before);
}

fn a_device_has_one_daemon() {
    let lan = Lan::new();
    let first = Daemon::fast(&lan.a, &["--shared", "eth1"]);
    first.says("waiting for eth1");
    let expected = "device eth1: already served by process";
    let output =
        another(&lan.a, &["--interface", "eth0", "--group", "2", "--address", "10.0.0.101/24", "--shared", "eth1"]);
    is_refused(&output, &format!("{expected} {} (ha); expected one daemon for each device for addresses", first.pid()));
}

fn daemons_for_other_addresses_groups_and_interfaces_serve_beside_each_other() {
    let lan = Lan::new();
    lan.a.ip("link add eth2 type veth peer name eth3");
    lan.a.ip("address add 10.2.0.1/24 dev eth2");
    lan.a.ip("link set eth2 up");
    lan.a.ip("link set eth3 up");
    let one = Daemon::fast(&lan.a, &[]);
    let other_group = Daemon::start(&lan.a, &[FAST, &["--group", "2", "--address", "10.0.0.101/24"]].concat());
    let elsewhere = ["--multicast", "239.2.3.4:5556", "--address", "10.0.0.102/24"];
    let other_port = Daemon::start(&lan.a, &[FAST, &elsewhere].concat());
    let mut command = lan.a.command(&program());
    command.args(["run", "--interface", "eth2", "--address", "10.2.0.100/24"]).args(FAST);
    let other_interface = Daemon::spawn(command);
    // The same address in another namespace is another one.
    let other_host = Daemon::fast(&lan.b, &["--worthiness", "1"]);
    for daemon in [&one, &other_group, &other_port, &other_interface] {
        daemon.says("active: ");
    }
    other_host.says("standby: ");
}

fn where_a_keeper_was_killed_the_next_one_starts_at_once() {
    let lan = Lan::new();
    let scripts = Folder::new("killed");
    let hook = scripts.script("long", "exec sleep 15");
    let mut daemon = Daemon::fast(&lan.a, &["--on-active", &hook]);
    daemon.says("active: ");
    for _ in 0..5 {
        daemon.signal(Signal::KILL);
        daemon.exit();
        daemon = Daemon::fast(&lan.a, &["--on-active", &hook]);
        daemon.says("standby: listening");
    }
    daemon.says("active: ");
}

fn a_daemon_that_is_about_to_leave_is_waited_for() {
    let lan = Lan::new();
    let first = Daemon::fast(&lan.a, &[]);
    first.says("active: ");
    // It holds its names a little longer than who sent the signal believes.
    first.signal(Signal::STOP);
    let next = Daemon::fast(&lan.a, &[]);
    thread::sleep(Duration::from_millis(100));
    first.signal(Signal::TERM);
    first.signal(Signal::CONT);
    next.says("active: ");
}

fn neither_worker_nor_hook_keeps_a_name() {
    let lan = Lan::new();
    let scripts = Folder::new("names");
    let hook = scripts.script("long", "exec sleep 15");
    let daemon = Daemon::fast(&lan.a, &["--on-active", &hook]);
    daemon.says("active: ");
    let keeper = daemon.pid();
    let children = || fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    eventually("worker and hook run", PATIENCE, || children().split_whitespace().count() == 2);
    let sockets = |pid: &str| -> Vec<String> {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let names = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        names.map(|name| name.display().to_string()).filter(|name| name.starts_with("socket:")).collect()
    };
    let named: Vec<_> = fs::read_to_string(format!("/proc/{keeper}/net/unix"))
        .unwrap()
        .lines()
        .filter(|line| line.contains(" @ha/"))
        .map(|line| format!("socket:[{}]", line.split_whitespace().nth(6).expect("its inode")))
        .collect();
    assert_eq!(named.len(), 2, "an address and a group");
    let has = |pid: &str| named.iter().filter(|&name| sockets(pid).contains(name)).count();
    assert_eq!(has(&keeper.to_string()), 2);
    for child in children().split_whitespace() {
        assert_eq!(has(child), 0, "{child}");
    }
}

fn a_user_who_may_change_nothing_keeps_no_daemon_from_serving() {
    let lan = Lan::new();
    let nobody = Uid::from_raw(65_534);
    let address = SocketAddr::from_abstract_name("ha/10.0.0.100").unwrap();
    let _squatter = lan.a.inside(|| {
        // Of this thread alone, which ends with it.
        set_thread_res_uid(nobody, nobody, nobody).unwrap();
        UnixListener::bind_addr(&address).unwrap()
    });
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("warning: address 10.0.0.100: user 65534 holds @ha/10.0.0.100; another daemon would not be noticed");
    daemon.says("active: ");
    // What names are left still tell.
    let output = another(&lan.a, &["--interface", "eth0", "--address", SHARED_CIDR]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains(&format!("group 1 at 239.2.3.4:5555 on eth0: already served by process {} (ha)", daemon.pid())),
        "{said}"
    );
}
