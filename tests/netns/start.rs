//! What the system must permit and have, and what need not be there.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::capture::Monitor;
use crate::daemon::Daemon;
use crate::lan::{Lan, Namespace, SHARED_CIDR};
use crate::program;

tests![
    without_cap_net_admin_it_says_so_and_changes_nothing,
    without_cap_net_raw_it_says_so_and_changes_nothing,
    the_default_file_need_not_exist,
    the_default_file_is_read_if_it_exists,
    the_default_file_is_checked_too,
];

const CAP_NET_ADMIN: libc::c_ulong = 12;
pub const CAP_NET_RAW: libc::c_ulong = 13;

fn without_cap_net_admin_it_says_so_and_changes_nothing() {
    is_refused_without(CAP_NET_ADMIN, "ha: change addresses: ", "expected root or CAP_NET_ADMIN");
}

fn without_cap_net_raw_it_says_so_and_changes_nothing() {
    is_refused_without(CAP_NET_RAW, "ha: send ARP: ", "expected root or CAP_NET_RAW");
}

fn is_refused_without(capability: libc::c_ulong, what: &str, expected: &str) {
    let lan = Lan::new();
    lan.a.ip(&format!("address add {SHARED_CIDR} dev eth0"));
    let monitor = Monitor::start(&lan.a);
    let mut command = lan.a.command(&program());
    command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR]);
    withhold(capability, &mut command);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with(what) && said.trim_end().ends_with(expected), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(output.stdout.is_empty());
    assert!(lan.a.has(SHARED_CIDR), "it was there before");
    assert_eq!(monitor.events(SHARED_CIDR), [], "nothing was changed");
}

/// Whatever the command becomes does not have this capability.
pub fn withhold(capability: libc::c_ulong, command: &mut Command) {
    let drop = move || {
        // SAFETY: a system call on plain values.
        let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        if done < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: it neither allocates nor takes a lock.
    unsafe { command.pre_exec(drop) };
}

/// The daemon in a mount namespace of its own, after the commands in `before`.
pub fn ha_after(host: &Namespace, before: &str, arguments: &str) -> Command {
    let mut command = host.command("unshare");
    command.args(["-m", "sh", "-ec", &format!("{before}\nexec \"$0\" {arguments}"), &program()]);
    command
}

fn the_default_file_need_not_exist() {
    let lan = Lan::unjoined();
    let arguments = format!("run --interface eth0 --address {SHARED_CIDR}");
    let daemon = Daemon::spawn(ha_after(&lan.a, "mount -t tmpfs none /etc", &arguments));
    daemon.says("waiting for eth0");
}

fn the_default_file_is_read_if_it_exists() {
    let lan = Lan::unjoined();
    let before = "mount -t tmpfs none /etc; printf 'interface = eth7\\naddress = 10.0.0.100/24\\n' >/etc/ha.conf";
    let daemon = Daemon::spawn(ha_after(&lan.a, before, "run"));
    daemon.says("waiting for eth7");
    drop(daemon);
    let daemon = Daemon::spawn(ha_after(&lan.a, before, "run --interface eth8"));
    daemon.says("waiting for eth8");
    let output = ha_after(&lan.a, before, "check").stderr(Stdio::inherit()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("/etc/ha.conf is good: 10.0.0.100/24 on eth7 as eth7:1"), "{said}");
}

fn the_default_file_is_checked_too() {
    let lan = Lan::unjoined();
    for (before, expected) in [
        ("mount -t tmpfs none /etc", "ha: config /etc/ha.conf: "),
        ("mount -t tmpfs none /etc; echo bogus = 1 >/etc/ha.conf", "ha: /etc/ha.conf:1: bogus = 1: unknown option"),
    ] {
        let output = ha_after(&lan.a, before, "check").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with(expected) && said.lines().count() == 1, "{said}");
    }
}
