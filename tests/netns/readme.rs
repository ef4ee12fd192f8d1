//! What README.md shows, as it is printed there.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::lan::{Lan, Namespace};
use crate::lines::{PATIENCE, eventually};
use crate::six::permit;
use crate::start::ha_after;
use rustix::process::Signal;

tests![two_servers_do_what_it_shows, with_a_line_for_ipv6_both_addresses_move, two_routers_do_what_it_shows];

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
    ha_after_more(host, file, "true", arguments)
}

/// The same after more commands.
fn ha_after_more(host: &Namespace, file: &[&str], more: &str, arguments: &str) -> Command {
    let before = format!(
        "mount -t tmpfs -o mode=755 none /etc; echo {} >/etc/ha.key; chmod 600 /etc/ha.key; printf '%s\\n' '{}' >/etc/ha.conf; {more}",
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

fn two_routers_do_what_it_shows() {
    let routers = Lan::unjoined();
    let outside = Lan::unjoined().a;
    for name in ["lan", "wan"] {
        outside.ip(&format!("link add {name} type bridge forward_delay 0"));
        outside.ip(&format!("link set {name} up"));
        for (host, which) in [(&routers.a, "a"), (&routers.b, "b")] {
            let port = format!("{name}-{which}");
            outside.ip(&format!("link add {port} type veth peer name {name}0 netns {}", host.path()));
            outside.ip(&format!("link set {port} master {name} up"));
            host.ip(&format!("link set {name}0 up"));
        }
    }
    for (host, number) in [(&routers.a, 10), (&routers.b, 20)] {
        host.ip(&format!("address add 192.168.1.{number}/24 brd + dev lan0"));
    }
    let file = block_after("On both, with their own addresses on `lan0` alone:");
    let script = block_after("adds the route, which goes with").join("' '");
    let write = format!("mkdir /etc/ha; cd /etc/ha; printf '%s\\n' '{script}' >default-route; chmod 755 default-route");
    let start = |host| Daemon::spawn(ha_after_more(host, &file, &write, "run --link-delay 0s"));
    let (first, second) = (start(&routers.a), start(&routers.b));
    let has_all = |host: &Namespace| {
        let addresses = host.ip("address show");
        let route = host.ip("route show default");
        [addresses.contains(" 192.168.1.1/24"), addresses.contains(" 203.0.113.5/29"), route.contains("dev wan0")]
    };
    first.says("active: ");
    eventually("it has both sides", PATIENCE, || has_all(&routers.a) == [true; 3]);
    assert_eq!(has_all(&routers.b), [false; 3]);
    sleep(Duration::from_millis(4_000));
    outside.ip("link set wan-a down");
    first.says("unfit: interface is down or has no carrier (wan0)");
    second.says("active: ");
    eventually("the other one has both sides", PATIENCE, || has_all(&routers.b) == [true; 3]);
    assert_eq!(has_all(&routers.a), [false; 3]);
}
