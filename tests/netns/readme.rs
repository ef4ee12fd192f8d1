//! What README.md shows, as it is printed there.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::lan::{Lan, Namespace};
use crate::six::permit;
use crate::start::ha_after;
use rustix::process::Signal;

tests![two_servers_do_what_it_shows, with_a_line_for_ipv6_both_addresses_move];

const README: &str = include_str!("../../README.md");

/// The lines of the first block after `text`, without their indentation.
fn block_after(text: &str) -> Vec<&'static str> {
    let (_, after) = README.split_once(text).unwrap_or_else(|| panic!("README.md does not say: {text}"));
    let mut lines = after.lines().skip_while(|line| !line.starts_with("    "));
    std::iter::from_fn(|| lines.next()?.strip_prefix("    ")).collect()
}

/// Two servers with the real addresses that it mentions.
fn servers() -> Lan {
    let lan = Lan::unjoined();
    lan.a.ip(&format!("link add eth0 type veth peer name eth0 netns {}", lan.b.path()));
    for (host, number) in [(&lan.a, 10), (&lan.b, 20)] {
        permit(host);
        host.ip(&format!("address add 192.168.1.{number}/24 brd + dev eth0"));
        host.ip(&format!("address add 2001:db8::{number}/64 dev eth0 nodad"));
        host.ip("link set eth0 up");
    }
    lan
}

/// `ha` with this file and a key in /etc.
fn ha(host: &Namespace, file: &[&str], arguments: &str) -> Command {
    let before = format!(
        "mount -t tmpfs -o mode=755 none /etc; echo {} >/etc/ha.key; chmod 600 /etc/ha.key; printf '%s\\n' '{}' >/etc/ha.conf",
        "00112233445566778899aabbccddeeff".repeat(2),
        file.join("' '")
    );
    ha_after(host, &before, arguments)
}

/// What a line says before the time that follows it.
fn without_time(line: &str) -> &str {
    line.split(", address up after").next().unwrap()
}

fn file() -> Vec<&'static str> {
    block_after("`/etc/ha.conf`, the same on both:")
}

fn two_servers_do_what_it_shows() {
    let lan = servers();
    let shown = block_after("Then, on each:");
    let [check, good, run, ref says @ ..] = shown[..] else { panic!("{shown:?}") };
    assert_eq!((check, run), ("$ ha check", "$ ha run"));
    let said = String::from_utf8(ha(&lan.a, &file(), "check").output().unwrap().stdout).unwrap();
    let good = good.strip_suffix("...").unwrap();
    assert!(said.starts_with(good), "{said}");
    let first = Daemon::spawn(ha(&lan.a, &file(), "run"));
    let second = Daemon::spawn(ha(&lan.b, &file(), "run"));
    for line in says {
        first.says(without_time(line));
    }
    first.signal(Signal::INT);
    second.says(without_time(block_after("Stop it (Ctrl-C) and look at the other one:")[0]));
}

fn with_a_line_for_ipv6_both_addresses_move() {
    let lan = servers();
    let file = [file(), block_after("For IPv6 beside it, a line more")].concat();
    let first = Daemon::spawn(ha(&lan.a, &file, "run"));
    let second = Daemon::spawn(ha(&lan.b, &file, "run"));
    first.says("active: ");
    let owners = || {
        let has = |host: &Namespace, address: &str| host.ip("address show dev eth0").contains(&format!(" {address}/"));
        ["192.168.1.100", "2001:db8::100"].map(|address| (has(&lan.a, address), has(&lan.b, address)))
    };
    assert_eq!(owners(), [(true, false); 2]);
    first.signal(Signal::INT);
    second.says("active: ");
    sleep(Duration::from_millis(10));
    assert_eq!(owners(), [(false, true); 2]);
}
