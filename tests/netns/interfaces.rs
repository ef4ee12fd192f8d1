//! The address in /etc/network/interfaces, as the original has it.

use std::process::Command;

use crate::daemon::Daemon;
use crate::lan::{Lan, SHARED_CIDR};
use crate::start::ha_after;

tests![
    the_address_is_read_where_the_original_has_it,
    a_stanza_that_comes_up_at_boot_is_warned_of,
    what_the_files_do_not_say_is_refused_in_one_line,
    the_configuration_of_the_original_is_told_from_ours,
];

/// An /etc with these files in it, beside what is always there.
fn etc(files: &[(&str, &str)]) -> String {
    let mut before = "mount -t tmpfs none /etc; mkdir -p /etc/network/interfaces.d".to_owned();
    for (file, text) in files {
        before += &format!("\nprintf '{}' >/etc/{file}", text.replace('\n', "\\n"));
    }
    before
}

const CONF: (&str, &str) = ("ha.conf", "interface = eth0\nshared = eth0:1\ninterval = 100ms\ntolerance = 350ms\n");

const STANZA: &str = "iface eth0:1 inet static\n address 10.0.0.100\n netmask 255.255.255.0\n";

fn said(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn the_address_is_read_where_the_original_has_it() {
    for file in ["network/interfaces", "network/interfaces.d/shared"] {
        let lan = Lan::new();
        let before = etc(&[CONF, ("network/interfaces", "auto lo\niface lo inet loopback\n"), (file, STANZA)]);
        let (code, out, err) = said(ha_after(&lan.a, &before, "check"));
        let expected = format!("/etc/ha.conf is good: 10.0.0.100/24 (from /etc/{file}:1) on eth0 as eth0:1, group 1 ");
        assert!(out.starts_with(&expected) && out.lines().count() == 1, "{out}");
        assert_eq!((code, err.as_str()), (Some(0), ""));
        let daemon = Daemon::spawn(ha_after(&lan.a, &before, "run --link-delay 0s"));
        daemon.says("active: ");
        let address = lan.a.address(SHARED_CIDR).unwrap_or_else(|| panic!("{file}: {}", daemon.log()));
        assert_eq!(address.label, "eth0:1");
        let (_, out, err) = said(ha_after(&lan.a, &before, "who"));
        assert!(out.starts_with("10.0.0.100  02:00:00:00:00:0b  this machine, 10.0.0.11 active"), "{out}{err}");
        assert_eq!(daemon.count("at boot"), 0, "{}", daemon.log());
    }
}

fn a_stanza_that_comes_up_at_boot_is_warned_of() {
    let lan = Lan::unjoined();
    let before = etc(&[CONF, ("network/interfaces", &format!("auto eth0 eth0:1\n{STANZA}"))]);
    let line = "warning: /etc/network/interfaces:1: auto eth0 eth0:1: eth0:1 comes up at boot; expected to be down until this \
        node is active";
    let (code, out, _) = said(ha_after(&lan.a, &before, "check"));
    assert_eq!((code, out.lines().nth(1), out.lines().count()), (Some(0), Some(line), 2), "{out}");
    let daemon = Daemon::spawn(ha_after(&lan.a, &before, "run"));
    daemon.says(line);
    daemon.says("waiting for eth0");
}

fn what_the_files_do_not_say_is_refused_in_one_line() {
    let lan = Lan::unjoined();
    for (stanza, expected) in [
        (
            "iface eth0 inet static\n",
            "ha: /etc/network/interfaces: nothing for eth0:1; expected `iface eth0:1 inet static` there, or an address in the \
             configuration\n",
        ),
        (
            "iface eth0:1 inet static\n address 10.0.0\n",
            "ha: /etc/network/interfaces:2: address 10.0.0: expected an IPv4 address, such as 192.168.1.100 or 192.168.1.100/24\n",
        ),
    ] {
        for command in ["check", "run", "who"] {
            let before = etc(&[CONF, ("network/interfaces", stanza)]);
            let (code, out, err) = said(ha_after(&lan.a, &before, command));
            assert_eq!((code, out.as_str(), err.as_str()), (Some(2), "", expected), "{command}");
        }
    }
    let (code, _, err) = said(ha_after(&lan.a, &etc(&[CONF]), "run"));
    assert!(err.starts_with("ha: /etc/network/interfaces: No such file or directory"), "{err}");
    assert_eq!((code, err.lines().count()), (Some(2), 1), "{err}");
}

fn the_configuration_of_the_original_is_told_from_ours() {
    let lan = Lan::unjoined();
    let json = "{\n  \"ethernetDevice\": \"eth0\",\n  \"sharedEthernetDevice\": \"eth0:1\"\n}\n";
    let (code, _, err) = said(ha_after(&lan.a, &etc(&[("ha.json", json)]), "run --config /etc/ha.json"));
    let expected =
        "ha: config /etc/ha.json: this is for ha 0.0.17; expected `name = value` lines, see docs/migration.md\n";
    assert_eq!((code, err.as_str()), (Some(2), expected));
}
