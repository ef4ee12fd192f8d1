//! `ha who`: who answers for an address, as any machine of the LAN finds out.

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::capture::Capture;
use crate::daemon::{Daemon, FAST};
use crate::group::KeyFile;
use crate::lan::{A, B, Lan, Namespace, SHARED, SHARED_CIDR};
use crate::lines::PATIENCE;
use crate::program;
use crate::start::{CAP_NET_RAW, ha_after, withhold};

tests![
    an_owner_is_named_with_its_node_and_how_long_it_took,
    the_owner_itself_is_named_on_its_own_machine,
    nobody_answers_and_the_nodes_that_could_are_named,
    without_any_daemon_the_owner_is_a_stranger,
    several_owners_are_a_conflict,
    this_machine_and_another_one_are_a_conflict,
    the_worst_of_several_addresses_counts,
    addresses_of_ipv6_are_asked_for_beside_those_of_ipv4,
    a_node_whose_heartbeats_are_filtered_is_not_named,
    a_node_of_another_key_or_group_is_told_from_a_stranger,
    the_default_file_says_what_to_ask,
    probes_are_asked_and_no_cache_changes,
    sixteen_addresses_are_asked_for_at_a_pace_that_switches_take,
    without_cap_net_raw_it_says_so,
    an_interface_that_cannot_ask_is_refused,
];

/// What it said, and its exit code.
fn who(host: &Namespace, options: &[&str]) -> (String, i32) {
    let mut command = host.command(&program());
    command.args(["who", "--config", "/dev/null", "--interface", "eth0"]).args(options);
    answer(command)
}

/// The same, as these lines of a configuration say.
fn who_by(host: &Namespace, lines: &str) -> (String, i32) {
    let mut command = host.command(&program());
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(lines.as_bytes()).unwrap();
    drop(writer);
    command.args(["who", "--config", "/dev/stdin"]).stdin(reader);
    answer(command)
}

fn answer(mut command: Command) -> (String, i32) {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (said, output.status.code().expect("it is not killed"))
}

/// True for `before`, then a time below a second, then the end of the line.
fn is_timed(line: &str, before: &str) -> bool {
    let span = line.strip_prefix(before).and_then(|rest| rest.strip_suffix("ms").or(rest.strip_suffix("us")));
    span.is_some_and(|span| span.parse::<f64>().is_ok_and(|span| span > 0.0 && span < 1_000.0))
}

/// Hosts on one switch, with the real addresses 10.0.0.11 and so on.
struct Switch {
    switch: Namespace,
    hosts: [Namespace; 3],
}

impl Switch {
    fn new() -> Self {
        let namespace = || Namespace::new().expect("was permitted at start");
        let (switch, hosts) = (namespace(), [namespace(), namespace(), namespace()]);
        switch.ip("link add br0 type bridge mcast_snooping 0 forward_delay 0");
        switch.ip("link set br0 up");
        for (number, host) in (11..).zip(&hosts) {
            let (mac, path) = (format!("02:00:00:00:00:{number:02x}"), host.path());
            switch.ip(&format!("link add p{number} type veth peer name eth0 address {mac} netns {path}"));
            switch.ip(&format!("link set p{number} master br0 up"));
            host.ip(&format!("address add 10.0.0.{number}/24 brd + dev eth0"));
            host.ip("link set eth0 up");
        }
        Self { switch, hosts }
    }
}

fn an_owner_is_named_with_its_node_and_how_long_it_took() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.b, &["--worthiness", "7"]);
    daemon.says("active: ");
    let asked = Instant::now();
    let (said, code) = who(&lan.a, &["--address", SHARED, "--timeout", "60s"]);
    let took = asked.elapsed();
    assert!(is_timed(said.trim_end(), "10.0.0.100  02:00:00:00:00:0c  10.0.0.12 active worthiness 7  "), "{said}");
    assert_eq!((said.lines().count(), code), (1, 0), "{said}");
    // Long enough for a second one to answer, and no longer than it takes to know all of them.
    assert!(took > Duration::from_millis(500) && took < PATIENCE, "took {took:?}");
    assert_eq!(daemon.count("is in use by"), 0, "nobody claims anything:\n{}", daemon.log());
}

fn the_owner_itself_is_named_on_its_own_machine() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    let expected = format!("{SHARED}  {}  this machine, 10.0.0.11 active worthiness 100\n", A.1);
    assert_eq!(who(&lan.a, &["--address", SHARED_CIDR]), (expected, 0));
}

fn nobody_answers_and_the_nodes_that_could_are_named() {
    let lan = Lan::new();
    let ask = || who(&lan.a, &["--address", SHARED]);
    let nobody = "10.0.0.100  nobody answers\nnodes heard at 239.2.3.4:5555:";
    assert_eq!(ask(), (format!("{nobody} none\n"), 3));
    let daemon = Daemon::fast(&lan.b, &["--worthiness", "0"]);
    daemon.says("standby: ");
    assert_eq!(ask(), (format!("{nobody} 10.0.0.12 standby worthiness 0\n"), 3));
}

fn without_any_daemon_the_owner_is_a_stranger() {
    let lan = Lan::new();
    let (said, code) = who(&lan.a, &["--address", B.0]);
    let lines: Vec<_> = said.lines().collect();
    assert!(is_timed(lines[0], &format!("{}  {}  no node heard from it  ", B.0, B.1)), "{said}");
    let hint = "no node heard: a stranger, or a node whose multicast to 239.2.3.4:5555 is filtered";
    assert_eq!((&lines[1..], code), (&[hint][..], 0));
}

fn several_owners_are_a_conflict() {
    let lan = Switch::new();
    let [asker, node, plain] = &lan.hosts;
    let daemon = Daemon::fast(node, &[]);
    daemon.says("active: ");
    plain.ip(&format!("address add {SHARED_CIDR} dev eth0"));
    let (said, code) = who(asker, &["--address", SHARED]);
    let mut lines: Vec<_> = said.lines().collect();
    assert_eq!((lines.len(), code), (4, 4), "{said}");
    lines[..2].sort_unstable();
    assert!(is_timed(lines[0], "10.0.0.100  02:00:00:00:00:0c  10.0.0.12 active worthiness 100  "), "{said}");
    assert!(is_timed(lines[1], "10.0.0.100  02:00:00:00:00:0d  no node heard from it            "), "{said}");
    assert_eq!(lines[2], "10.0.0.100  2 answers: conflict");
    assert!(lines[3].starts_with("no node heard: a stranger, or "), "{said}");
}

fn this_machine_and_another_one_are_a_conflict() {
    let lan = Lan::new();
    for host in [&lan.a, &lan.b] {
        host.ip(&format!("address add {SHARED_CIDR} dev eth0"));
    }
    let (said, code) = who(&lan.a, &["--address", SHARED]);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "10.0.0.100  02:00:00:00:00:0b  this machine, no node heard from it");
    assert!(is_timed(lines[1], "10.0.0.100  02:00:00:00:00:0c  no node heard from it                "), "{said}");
    assert_eq!((lines[2], code), ("10.0.0.100  2 answers: conflict", 4));
}

fn the_worst_of_several_addresses_counts() {
    let lan = Lan::new();
    let ask = |addresses: [&str; 3]| {
        let (said, code) = who(&lan.a, &addresses.map(|address| ["--address", address]).concat());
        (said.matches("nobody answers").count(), said.matches("conflict").count(), code)
    };
    assert_eq!(ask([A.0, "10.0.0.99", B.0]), (1, 0, 3));
    lan.b.ip(&format!("address add {}/24 dev eth0", A.0));
    assert_eq!(ask([A.0, "10.0.0.99", B.0]), (1, 1, 4));
    assert_eq!(ask(["10.0.0.99", B.0, A.0]), (1, 1, 4));
}

fn addresses_of_ipv6_are_asked_for_beside_those_of_ipv4() {
    let lan = Switch::new();
    let [asker, node, plain] = &lan.hosts;
    let shared = "2001:db8::100";
    lan.hosts.iter().for_each(crate::six::permit);
    let daemon = Daemon::fast(node, &["--address", &format!("{shared}/64")]);
    daemon.says("active: ");
    plain.ip("address add 2001:db8::7/64 dev eth0 nodad");
    let ask = |address| who(asker, &["--address", SHARED, "--address", address]);
    let (said, code) = ask(shared);
    let owner = "02:00:00:00:00:0c  10.0.0.12 active worthiness 100  ";
    let lines: Vec<_> = said.lines().collect();
    assert!(is_timed(lines[0], &format!("{SHARED}     {owner}")), "{said}");
    assert!(is_timed(lines[1], &format!("{shared}  {owner}")), "{said}");
    assert_eq!((lines.len(), code), (2, 0), "{said}");
    let (said, code) = ask("2001:db8::7");
    assert!(said.contains("\n2001:db8::7  02:00:00:00:00:0d  no node heard from it "), "{said}");
    assert_eq!(code, 0, "{said}");
    let (said, code) = ask("2001:db8::8");
    assert!(said.contains("\n2001:db8::8  nobody answers\n"), "{said}");
    assert_eq!(code, 3, "{said}");
    plain.ip(&format!("address add {shared}/64 dev eth0 nodad"));
    let (said, code) = ask(shared);
    assert!(said.contains("\n2001:db8::100  2 answers: conflict\n"), "{said}");
    assert_eq!(code, 4, "{said}");
}

fn a_node_whose_heartbeats_are_filtered_is_not_named() {
    let lan = Switch::new();
    let [asker, node, _] = &lan.hosts;
    let rules = "add table bridge deaf; add chain bridge deaf forward { type filter hook forward priority 0; }; \
                 add rule bridge deaf forward ip daddr 239.2.3.4 drop";
    let filter = lan.switch.command("nft").arg(rules).output().unwrap();
    assert!(filter.status.success(), "{filter:?}");
    let daemon = Daemon::fast(node, &[]);
    daemon.says("active: ");
    let (said, code) = who(asker, &["--address", SHARED]);
    assert!(said.starts_with("10.0.0.100  02:00:00:00:00:0c  no node heard from it  "), "{said}");
    assert!(said.ends_with("a node whose multicast to 239.2.3.4:5555 is filtered\n"), "{said}");
    assert_eq!(code, 0);
}

fn a_node_of_another_key_or_group_is_told_from_a_stranger() {
    let lan = Lan::new();
    let keys = [KeyFile::new("who-one", "01"), KeyFile::new("who-two", "02")];
    let daemon = Daemon::fast(&lan.b, &["--key-file", keys[0].path()]);
    daemon.says("active: ");
    let good = format!("interface = eth0\naddress = {SHARED_CIDR}\n");
    let with_key = |file: &str| format!("key-file = {file}");
    for (more, expected) in [
        (with_key(keys[0].path()).as_str(), "10.0.0.12 active worthiness 100"),
        ("", "10.0.0.12 active worthiness 100"),
        (&with_key(keys[1].path()), "a node with another key"),
        ("group = 2", "10.0.0.12 of another group: 1"),
        ("multicast = 239.2.3.4:5556", "no node heard from it"),
    ] {
        let (said, code) = who_by(&lan.a, &format!("{good}{more}\n"));
        let line = said.lines().next().unwrap();
        assert!(is_timed(line, &format!("{SHARED}  {}  {expected}  ", B.1)), "{more}: {said}");
        assert_eq!(code, 0);
    }
    let (said, code) = who_by(&lan.a, &format!("{good}{}\n", with_key("/nonexistent")));
    assert!(said.starts_with("ha: key-file /nonexistent: No such file") && code == 2, "{code}: {said}");
}

fn the_default_file_says_what_to_ask() {
    let lan = Lan::new();
    let key = KeyFile::new("who-file", "03");
    let shared = ["--address", SHARED_CIDR, "--group", "9", "--multicast", "239.2.3.5:5556"];
    let daemon = Daemon::start(&lan.b, &[FAST, &shared, &["--key-file", key.path()]].concat());
    daemon.says("active: ");
    let lines = format!(
        "interface = eth0\\naddress = {SHARED_CIDR}\\ngroup = 9\\nmulticast = 239.2.3.5:5556\\nkey-file = {}\\n\
         shared = eth0:1\\n",
        key.path()
    );
    let before = format!("mount -t tmpfs none /etc; printf '{lines}' >/etc/ha.conf");
    let (said, code) = answer(ha_after(&lan.a, &before, "who"));
    assert!(said.starts_with("10.0.0.100  02:00:00:00:00:0c  10.0.0.12 active worthiness 100  "), "{said}");
    assert_eq!(code, 0);
    let (said, code) = answer(ha_after(&lan.a, &before, "who --address 10.0.0.99"));
    assert!(said.starts_with("10.0.0.99  nobody answers\n"), "{said}");
    assert_eq!(code, 3);
    let (said, code) = answer(ha_after(&lan.a, &before, "who --interface eth7"));
    assert_eq!((said.as_str(), code), ("ha: interface eth7: does not exist; expected one of this machine\n", 1));
}

fn probes_are_asked_and_no_cache_changes() {
    let lan = Lan::new();
    lan.b.ip(&format!("address add {SHARED_CIDR} dev eth0"));
    let capture = Capture::start(&lan.b, "arp");
    let (said, code) = who(&lan.a, &["--address", SHARED]);
    assert_eq!(code, 0, "{said}");
    let frames = capture.so_far();
    assert_eq!(frames.len(), 3, "{frames:?}");
    let probe = [
        &[0xff; 6][..],         // to all
        &[2, 0, 0, 0, 0, 0x0b], // from
        &[0x08, 0x06],          // ARP
        &[0, 1, 8, 0, 6, 4],    // Ethernet, IPv4, their sizes
        &[0, 1],                // request
        &[2, 0, 0, 0, 0, 0x0b], // SHA
        &[0; 4],                // SPA
        &[0; 6],                // THA
        &[10, 0, 0, 100],       // TPA
    ]
    .concat();
    for frame in &frames {
        assert!(frame.text.contains("Request who-has 10.0.0.100 tell 0.0.0.0"), "{frame:?}");
        assert_eq!(frame.bytes[..42], probe, "{frame:?}");
    }
    let gaps = frames.windows(2).map(|pair| pair[1].at - pair[0].at);
    assert!(gaps.clone().all(|gap| gap > 0.15), "{:?}", gaps.collect::<Vec<_>>());
    for host in [&lan.a, &lan.b] {
        assert_eq!(host.ip("neighbour show"), "", "nobody has learned anything");
    }
}

fn sixteen_addresses_are_asked_for_at_a_pace_that_switches_take() {
    let lan = Lan::new();
    let capture = Capture::start(&lan.b, "arp");
    let addresses: Vec<_> = (101..117).map(|host| format!("10.0.0.{host}")).collect();
    let options: Vec<_> = addresses.iter().flat_map(|address| ["--address", address]).collect();
    let (said, code) = who(&lan.a, &options);
    assert_eq!((said.matches("nobody answers").count(), code), (16, 3), "{said}");
    let times: Vec<_> = capture.wait("48 frames", PATIENCE, |frames| {
        (frames.len() >= 48).then(|| frames.iter().map(|frame| frame.at).collect())
    });
    assert_eq!(times.len(), 48);
    for (number, at) in times.iter().enumerate() {
        let within = times[number..].iter().filter(|&&later| later - at < 0.95).count();
        assert!(within <= 8 + 10, "{within} frames in a second: {times:?}");
    }
    assert!(times[47] - times[0] > 3.5, "{times:?}");
}

fn without_cap_net_raw_it_says_so() {
    let lan = Lan::new();
    // A key that root alone can read is not what stands in the way.
    let lines = format!("interface = eth0\naddress = {SHARED_CIDR}\nkey-file = /nonexistent\n");
    let before = format!("mount -t tmpfs none /etc; printf '{lines}' >/etc/ha.conf");
    let mut command = ha_after(&lan.a, &before, "who");
    withhold(CAP_NET_RAW, &mut command);
    let (said, code) = answer(command);
    assert!(said.starts_with("ha: ask on eth0: ") && said.ends_with("; expected root or CAP_NET_RAW\n"), "{said}");
    assert_eq!((said.lines().count(), code), (1, 1));
}

fn an_interface_that_cannot_ask_is_refused() {
    let lan = Lan::new();
    let ask = |interface| {
        let mut command = lan.a.command(&program());
        command.args(["who", "--config", "/dev/null", "--address", SHARED, "--interface", interface]);
        answer(command)
    };
    let refusal = |interface, why| (format!("ha: interface {interface}: {why}\n"), 1);
    assert_eq!(ask("eth7"), refusal("eth7", "does not exist; expected one of this machine"));
    let nobody = "nobody else is on the loopback; expected the name of an interface, such as eth0";
    assert_eq!(ask("lo"), (format!("ha: --interface lo: {nobody}\n"), 2));
    lan.b.ip("link set eth0 down");
    assert_eq!(ask("eth0"), refusal("eth0", "down or without a carrier; expected one that is up"));
}
