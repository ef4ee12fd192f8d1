//! The daemon whose heartbeats go over IPv6, where there is no IPv4 at all.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use ha::wire::{Context, Heartbeat, LEN, NodeId, Seal, State};
use rustix::net::sockopt;
use rustix::process::Signal;

use crate::card::Card;
use crate::daemon::Daemon;
use crate::heartbeat::usurper_of;
use crate::lan::{Lan, Namespace, SHARED, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};
use crate::program;

tests![
    two_nodes_without_ipv4_start_and_hand_over_and_take_over,
    a_heartbeat_leaves_from_the_link_local_address_with_the_hop_limit_and_class_of_network_control,
    a_group_that_reaches_farther_is_spoken_to_from_an_address_that_does,
    a_packet_with_another_hop_limit_is_ignored_and_named_once,
    garbage_and_packets_of_other_sources_move_nothing,
    without_an_address_of_its_own_a_node_waits_until_it_has_one_that_is_checked,
    an_interface_that_comes_up_again_is_used_when_the_address_made_from_its_mac_is_checked,
    an_address_that_another_host_has_is_named,
    an_owner_whose_link_local_address_changes_or_goes_is_heard_to_resign,
    other_addresses_come_and_go_and_the_node_stays_who_it_is,
    an_address_of_ipv4_that_another_host_has_is_left_alone,
    what_a_killed_owner_has_left_of_ipv4_goes_at_the_next_start,
    a_killed_owner_is_silent_behind_its_fence_and_followed,
    clsact_is_no_fence_for_heartbeats_over_ipv6,
    routine_words_over_ipv6_wake_nobody_and_are_all_read,
    a_switch_that_snoops_lets_them_through_with_a_querier_and_without,
    who_names_the_node_that_speaks_over_ipv6,
];

const MULTICAST: &str = "[ff12::6861]:5555";
const OWN: [&str; 2] = ["fe80::11", "fe80::12"];
const VIP_CIDR: &str = "2001:db8::100/64";

/// Enables IPv6 on `eth0`, without an address and without noise.
fn enable(host: &Namespace) {
    host.inside(|| {
        for (name, value) in
            [("addr_gen_mode", "1"), ("accept_ra", "0"), ("router_solicitations", "0"), ("disable_ipv6", "0")]
        {
            fs::write(format!("/proc/sys/net/ipv6/conf/eth0/{name}"), value).unwrap();
        }
    });
}

/// Two hosts with a link-local address each.
fn lan() -> Lan {
    let lan = bare();
    for (host, own) in [(&lan.a, OWN[0]), (&lan.b, OWN[1])] {
        host.ip(&format!("address add {own}/64 dev eth0 nodad"));
    }
    lan
}

/// Two hosts without any address.
fn bare() -> Lan {
    let lan = Lan::new();
    for host in [&lan.a, &lan.b] {
        host.ip("address flush dev eth0");
        enable(host);
    }
    lan
}

/// A node with shared addresses of both families.
fn node(host: &Namespace, more: &[&str]) -> Daemon {
    Daemon::fast(host, &[&["--multicast", MULTICAST, "--address", VIP_CIDR], more].concat())
}

fn has_both(host: &Namespace) -> bool {
    host.has(SHARED_CIDR) && host.ip("-6 address show dev eth0").contains(VIP_CIDR)
}

fn has_none(host: &Namespace) -> bool {
    !host.has(SHARED_CIDR) && !host.ip("-6 address show dev eth0").contains(VIP_CIDR)
}

fn two_nodes_without_ipv4_start_and_hand_over_and_take_over() {
    let lan = lan();
    let (b, mut a) = (node(&lan.b, &[]), node(&lan.a, &[]));
    a.says("standby: listening as fe80::11");
    a.says("fe80::12 heard for the first time");
    a.says("active: ");
    assert!(has_both(&lan.a) && has_none(&lan.b), "the lower address at equal worthiness");
    sleep(Duration::from_millis(500));
    let told = SystemTime::now();
    a.signal(Signal::TERM);
    let taken = b.says("active: fe80::11 resigned (is shutdown)");
    let after = taken.duration_since(told).unwrap();
    assert!(after < Duration::from_millis(200), "took over after {after:?}");
    assert!(a.exit().success());
    assert!(has_none(&lan.a) && has_both(&lan.b));
    let a = node(&lan.a, &["--worthiness", "200"]);
    a.says("active: fe80::12 handed over");
    b.says("standby: fe80::11 is more worthy and claimed the address");
    assert!(has_both(&lan.a) && has_none(&lan.b));
    a.signal_worker(Signal::KILL);
    b.says("active: fe80::11 resigned"); // says its keeper
    assert!(has_both(&lan.b));
    a.says("active: fe80::12 handed over");
    a.signal(Signal::KILL);
    b.says("active: fe80::11 resigned"); // says its worker
    assert!(has_both(&lan.b));
    assert_eq!((a.count("packet from"), b.count("packet from")), (0, 0), "{}\n{}", a.log(), b.log());
}

/// The next heartbeat that comes to `card`, which has this MAC as its destination.
fn heartbeat(card: &Card, group: [u8; 6]) -> Vec<u8> {
    let mut heard = None;
    eventually("a heartbeat", PATIENCE, || {
        while let Some(frame) = card.next() {
            if frame[..6] == group && frame.get(20) == Some(&17) {
                heard = Some(frame);
                return true;
            }
        }
        false
    });
    heard.unwrap()
}

fn a_heartbeat_leaves_from_the_link_local_address_with_the_hop_limit_and_class_of_network_control() {
    let lan = lan();
    let card = Card::of_ipv6(&lan.b);
    let daemon = node(&lan.a, &[]);
    daemon.says("active: ");
    // A newer address and a shared one would be preferred.
    lan.a.ip("address add fe80::99/64 dev eth0 nodad");
    let all: Vec<_> = (0..20).map(|_| heartbeat(&card, [0x33, 0x33, 0, 0, 0x68, 0x61])).collect();
    for frame in all {
        let expected = [
            &[0x33, 0x33, 0, 0, 0x68, 0x61, 2, 0, 0, 0, 0, 0x0b, 0x86, 0xdd][..],
            &[0x6c, frame[15] & 0x0f, frame[16], frame[17]], // class 0xc0, any flow label
            &[0, 104, 17, 255],
            &"fe80::11".parse::<Ipv6Addr>().unwrap().octets(),
            &"ff12::6861".parse::<Ipv6Addr>().unwrap().octets(),
            &[0x15, 0xb3, 0x15, 0xb3, 0, 104],
        ]
        .concat();
        assert_eq!(frame[..60], expected, "{frame:02x?}");
        assert_eq!((&frame[62..67], frame.len()), (&b"ha\x02\x00\x01"[..], 62 + LEN.min(66)), "Card keeps 128 bytes");
    }
    assert_eq!(daemon.count("warning: "), 0, "{}", daemon.log());
}

fn a_group_that_reaches_farther_is_spoken_to_from_an_address_that_does() {
    let lan = lan();
    let options = ["--multicast", "[ff15::6861]:999"];
    let (a, b) = (Daemon::fast(&lan.a, &options), Daemon::fast(&lan.b, &options));
    a.says("unfit: interface has no IPv6 address of its own for heartbeats; waiting for eth0");
    lan.a.ip("address add 2001:db8::11/64 dev eth0 nodad");
    lan.b.ip("address add 2001:db8::12/64 dev eth0 nodad");
    a.says("standby: listening as 2001:db8::11");
    b.says("standby: listening as 2001:db8::12");
    b.says("2001:db8::11 heard for the first time");
    a.says("active: ");
}

/// The word of `node`, the most worthy of all, which says that it has the addresses.
fn usurper(node: &str) -> Heartbeat {
    usurper_of(node, &[SHARED_CIDR, "2001:db8::100/64"])
}

/// A socket of host `b` by which it says what it likes to the group.
struct Speaker {
    socket: UdpSocket,
    group: SocketAddrV6,
}

impl Speaker {
    fn new(lan: &Lan, from: &str, hop_limit: u32) -> Self {
        lan.b.inside(|| {
            let index = fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
            let line = index.lines().find(|line| line.ends_with("eth0")).unwrap();
            let index = u32::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
            let socket = UdpSocket::bind(SocketAddrV6::new(from.parse().unwrap(), 0, 0, index)).unwrap();
            sockopt::set_ipv6_multicast_hops(&socket, hop_limit).unwrap();
            Self { socket, group: SocketAddrV6::new("ff12::6861".parse().unwrap(), 5555, 0, index) }
        })
    }

    fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.group).unwrap();
    }

    /// Says it several times, each time with the next number.
    fn insist(&self, mut said: Heartbeat, times: usize) {
        for _ in 0..times {
            said.seq += 1;
            self.send(&sealed(&said));
            sleep(Duration::from_millis(50));
        }
    }
}

fn sealed(said: &Heartbeat) -> [u8; LEN] {
    Seal::public(Context { group: 1, multicast: MULTICAST.parse().unwrap() }).sign(said)
}

/// The node was ACTIVE all the time until now; the same packet, but for what is wrong with it, ends that, if it shows as well that
/// the node is heard.
fn is_unmoved_but_by_genuine(lan: &Lan, daemon: &Daemon) {
    assert_eq!((daemon.count("active: "), daemon.count("standby: ")), (1, 1), "{}", daemon.log());
    assert!(has_both(&lan.a));
    let a = NodeId::new(OWN[0].parse().unwrap());
    Speaker::new(lan, OWN[1], 255).insist(Heartbeat { following: Some(a), ..usurper(OWN[1]) }, 1);
    daemon.says("standby: fe80::12 is active too and more worthy");
}

fn a_packet_with_another_hop_limit_is_ignored_and_named_once() {
    let lan = lan();
    let daemon = node(&lan.a, &[]);
    daemon.says("active: ");
    for hop_limit in [254, 64, 1] {
        Speaker::new(&lan, OWN[1], hop_limit).insist(usurper(OWN[1]), 3);
    }
    daemon.says("warning: packet from fe80::12 dropped: it came through a router (TTL is not 255)");
    assert_eq!(daemon.count("through a router"), 1, "{}", daemon.log());
    is_unmoved_but_by_genuine(&lan, &daemon);
}

fn garbage_and_packets_of_other_sources_move_nothing() {
    let lan = lan();
    let daemon = node(&lan.a, &[]);
    daemon.says("active: ");
    let speaker = Speaker::new(&lan, OWN[1], 255);
    let genuine = sealed(&usurper(OWN[1]));
    let mut damaged = genuine;
    damaged[LEN - 1] ^= 1;
    let of_ipv4 = Seal::public(Context::of_group(1)).sign(&usurper(OWN[1]));
    for bytes in
        [&[][..], &genuine[..1], &genuine[..LEN - 1], &[&genuine[..], &[0]].concat(), &[0xa5; 1_400], &[0; LEN]]
    {
        speaker.send(bytes);
    }
    speaker.send(&damaged);
    daemon.says("warning: packet from fe80::12 dropped: it has a wrong tag");
    speaker.send(&of_ipv4);
    lan.b.ip("address add 2001:db8::12/64 dev eth0 nodad");
    Speaker::new(&lan, "2001:db8::12", 255).insist(usurper("2001:db8::12"), 3);
    daemon.says("warning: packet from 2001:db8::12 dropped: it comes from another subnet");
    speaker.insist(usurper("fe80::13"), 3);
    daemon.says("warning: packet from fe80::12 dropped: it names another sender than its source");
    speaker.insist(usurper(OWN[0]), 3);
    daemon.says("warning: packet from fe80::12 dropped: it comes from another node with our address");
    is_unmoved_but_by_genuine(&lan, &daemon);
}

fn without_an_address_of_its_own_a_node_waits_until_it_has_one_that_is_checked() {
    let lan = bare();
    lan.a.ip("address add 10.0.0.11/24 dev eth0");
    let daemon = node(&lan.a, &[]);
    daemon.says("unfit: interface has no IPv6 address of its own for heartbeats; waiting for eth0");
    sleep(Duration::from_millis(1_500)); // it looks again each second
    assert_eq!(daemon.count("unfit: "), 1, "{}", daemon.log());
    lan.a.ip("address add fe80::11/64 dev eth0");
    sleep(Duration::from_millis(200));
    assert_eq!(daemon.count("standby: "), 0, "it is tentative:\n{}", daemon.log());
    daemon.says("standby: listening as fe80::11");
    daemon.says("active: ");
    assert_eq!((daemon.count("unfit: "), daemon.count("warning: ")), (1, 0), "{}", daemon.log());

    let lan = bare();
    lan.a.ip("address add fe80::11/64 dev eth0");
    let daemon = node(&lan.a, &[]);
    daemon.says("unfit: interface's own address is not checked yet (DAD); waiting for eth0");
    daemon.says("standby: listening as fe80::11");
}

fn an_interface_that_comes_up_again_is_used_when_the_address_made_from_its_mac_is_checked() {
    let lan = bare();
    lan.a.ip("link set eth0 down");
    lan.a.inside(|| fs::write("/proc/sys/net/ipv6/conf/eth0/addr_gen_mode", "0")).unwrap();
    let daemon = node(&lan.a, &[]);
    daemon.says("unfit: interface is down or has no carrier; waiting for eth0");
    for _ in 0..2 {
        let up = SystemTime::now();
        lan.a.ip("link set eth0 up");
        let listens = daemon.says("standby: listening as fe80::ff:fe00:b");
        assert!(listens.duration_since(up).unwrap() > Duration::from_millis(500), "it is tentative at first");
        daemon.says("active: ");
        assert!(has_both(&lan.a));
        lan.a.ip("link set eth0 down");
        daemon.says("unfit: interface is down or has no carrier");
        eventually("it has none", PATIENCE, || has_none(&lan.a));
    }
    assert_eq!(daemon.count("(DAD)"), 0, "that is no news:\n{}", daemon.log());
}

fn an_address_that_another_host_has_is_named() {
    let lan = bare();
    lan.b.ip("address add fe80::11/64 dev eth0 nodad");
    lan.a.ip("address add fe80::11/64 dev eth0");
    let daemon = node(&lan.a, &[]);
    daemon.says("unfit: interface's own address is another host's, too (DAD); waiting for eth0");
    sleep(Duration::from_millis(1_500)); // it looks again each second
    assert_eq!(daemon.count("another host's"), 1, "{}", daemon.log());
    lan.a.ip("address add fe80::13/64 dev eth0");
    daemon.says("standby: listening as fe80::13");
    daemon.says("active: ");
}

fn an_owner_whose_link_local_address_changes_or_goes_is_heard_to_resign() {
    let lan = lan();
    let (a, b) = (node(&lan.a, &["--worthiness", "200", "--preempt-delay", "0s"]), node(&lan.b, &[]));
    a.says("active: ");
    b.says("fe80::11 heard for the first time");
    for (lines, old, new) in [
        ("address add fe80::10/64 dev eth0 nodad\naddress del fe80::11/64 dev eth0\n", "fe80::11", "fe80::10"),
        ("address del fe80::10/64 dev eth0\naddress add fe80::14/64 dev eth0 nodad\n", "fe80::10", "fe80::14"),
    ] {
        lan.a.ip_batch(lines);
        b.says(&format!("active: {old} resigned (is unfit)"));
        a.says(&format!("standby: listening as {new}"));
        a.says("active: fe80::12 handed over");
    }
    lan.a.ip("address del fe80::14/64 dev eth0");
    b.says("active: fe80::14 resigned (is unfit)");
    a.says("unfit: interface has no IPv6 address of its own for heartbeats");
    eventually("it has none", PATIENCE, || has_none(&lan.a));
}

fn other_addresses_come_and_go_and_the_node_stays_who_it_is() {
    let lan = lan();
    let daemon = node(&lan.a, &[]);
    daemon.says("active: ");
    // Another group's shared address is lower and deprecated; what is new comes first.
    for lines in [
        "address add fe80::1/64 dev eth0 nodad preferred_lft 0\naddress add fe80::99/64 dev eth0 nodad\n",
        "address add 2001:db8::1/64 dev eth0 nodad\naddress add 10.0.0.11/24 dev eth0\n",
        "address del 10.0.0.11/24 dev eth0\naddress del fe80::99/64 dev eth0\naddress del fe80::1/64 dev eth0\n",
    ] {
        lan.a.ip_batch(lines);
        sleep(Duration::from_millis(300));
        assert!(has_both(&lan.a), "{}", daemon.log());
    }
    assert_eq!((daemon.count("listening as"), daemon.count("unfit")), (1, 0), "{}", daemon.log());
}

fn an_address_of_ipv4_that_another_host_has_is_left_alone() {
    let lan = lan();
    lan.b.ip(&format!("address add {SHARED_CIDR} dev eth0"));
    let daemon = node(&lan.a, &[]);
    daemon.says("10.0.0.100 is in use by ");
    assert!(has_none(&lan.a));
    lan.b.ip(&format!("address delete {SHARED_CIDR} dev eth0"));
    daemon.says("active: ");
    assert!(has_both(&lan.a));
}

fn what_a_killed_owner_has_left_of_ipv4_goes_at_the_next_start() {
    let lan = lan();
    let times = ["--interval", "100ms", "--tolerance", "30s", "--worthiness", "0", "--multicast", MULTICAST];
    lan.a.ip(&format!("address add {SHARED_CIDR} dev eth0 label eth0:1 valid_lft 25 preferred_lft 25"));
    let daemon = Daemon::start(&lan.a, &[&times[..], &["--address", SHARED_CIDR, "--address", VIP_CIDR]].concat());
    daemon.says("10.0.0.100/24 was up though this node is not active: removed");
    assert!(has_none(&lan.a));
    // One without a lease may be how the server is reached.
    lan.a.ip(&format!("address add {SHARED_CIDR} dev eth0"));
    daemon.says("unfit: shared address is the only one of the interface");
    assert!(lan.a.has(SHARED_CIDR));
}

fn a_killed_owner_is_silent_behind_its_fence_and_followed() {
    let lan = lan();
    let (a, b) = (node(&lan.a, &["--fence", "required"]), node(&lan.b, &[]));
    a.says("guarded by fence ");
    a.says("active: ");
    b.says("fe80::11 heard for the first time");
    b.signal(Signal::USR1);
    b.says("status: fe80::11 active worthiness 100 flags settled,ready,fenced ");
    let vip: Ipv6Addr = "2001:db8::100".parse().unwrap();
    lan.b.ip("address add 2001:db8::12/64 dev eth0 nodad");
    assert!(crate::six::reaches(&lan, vip), "the heartbeats open it:\n{}", a.log());
    // Frozen whole.
    let frozen = SystemTime::now();
    a.signal_both(Signal::STOP);
    let taken = b.says("active: fe80::11 silent for ");
    let after = taken.duration_since(frozen).unwrap();
    assert!(after < Duration::from_millis(800), "without the wait for its lease: {after:?}");
    a.signal_both(Signal::CONT);
    a.says("standby: ");
    eventually("one has it", PATIENCE, || has_none(&lan.a) && has_both(&lan.b));
}

fn clsact_is_no_fence_for_heartbeats_over_ipv6() {
    let lan = lan();
    let Lan { a, .. } = lan;
    let a = a.with(crate::lan::Kernel::WithoutNftables);
    let daemon = node(&a, &[]);
    daemon.says("guarded by lease 1s only: ");
    daemon.says("active: ");
}

fn routine_words_over_ipv6_wake_nobody_and_are_all_read() {
    let lan = lan();
    let times = ["--interval", "1s", "--tolerance", "3500ms", "--link-delay", "0s", "--config", "/dev/null"];
    let which = ["--multicast", MULTICAST, "--address", SHARED_CIDR, "--address", VIP_CIDR];
    let daemon = Daemon::start(&lan.a, &[&times[..], &which].concat());
    daemon.says("active: ");
    let a = NodeId::new(OWN[0].parse().unwrap());
    let said = Heartbeat { state: State::Standby, worthiness: 0, following: Some(a), ..usurper(OWN[1]) };
    let speaker = Speaker::new(&lan, OWN[1], 255);
    sleep(Duration::from_secs(3)); // the announcement and its repeats are behind it
    let before = crate::heartbeat::sleeps_of_worker(&daemon);
    speaker.insist(said, 60);
    let woken = crate::heartbeat::sleeps_of_worker(&daemon) - before;
    assert!(woken < 30, "{woken} sleeps in 3 s for 60 packets:\n{}", daemon.log());
    daemon.says("fe80::12 heard for the first time");
    assert_eq!(daemon.count("dropped"), 0, "{}", daemon.log());
}

fn a_switch_that_snoops_lets_them_through_with_a_querier_and_without() {
    for querier in [false, true] {
        let namespace = || Namespace::new().expect("was permitted at start");
        let (switch, hosts) = (namespace(), [namespace(), namespace(), namespace()]);
        switch.inside(|| fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "0")).unwrap();
        switch.ip("link add br0 type bridge mcast_snooping 1 forward_delay 0");
        if querier {
            // A port where nobody answers is forgotten after 3 s. It begins to be selective after the second of these times.
            let times = "mcast_startup_query_interval 100 mcast_query_interval 100 mcast_query_response_interval 50";
            switch.ip(&format!("link set br0 type bridge {times} mcast_membership_interval 300"));
            switch.ip("link set br0 type bridge mcast_querier 1");
        }
        switch.ip("link set br0 up");
        for (number, host) in (11..).zip(&hosts) {
            switch.ip(&format!("link add p{number} type veth peer name eth0 netns {}", host.path()));
            switch.ip(&format!("link set p{number} master br0 up"));
            enable(host);
            host.ip("link set eth0 up");
            host.ip(&format!("address add fe80::{number}/64 dev eth0 nodad"));
        }
        // The link-local address by which it asks is to be checked first, and questions to be answered.
        sleep(Duration::from_secs(5));
        let deaf = Card::of_ipv6(&hosts[2]);
        let [a, b] = [&hosts[0], &hosts[1]].map(|host| node(host, &[]));
        a.says("fe80::12 heard for the first time");
        b.says("fe80::11 heard for the first time");
        a.says("active: ");
        sleep(Duration::from_secs(1));
        while deaf.next().is_some() {}
        sleep(Duration::from_secs(5));
        assert_eq!((a.count("active: "), b.count("active: ")), (1, 0), "{querier}: {}\n{}", a.log(), b.log());
        assert_eq!((a.count("not heard"), b.count("not heard")), (0, 0), "{querier}: {}\n{}", a.log(), b.log());
        let mut flooded = 0;
        while let Some(frame) = deaf.next() {
            flooded += usize::from(frame[..6] == [0x33, 0x33, 0, 0, 0x68, 0x61] && frame[20] == 17);
        }
        assert_eq!(flooded > 0, !querier, "{flooded} at a port of which nobody has joined");
    }
}

fn who_names_the_node_that_speaks_over_ipv6() {
    let lan = lan();
    let daemon = node(&lan.b, &["--worthiness", "7"]);
    daemon.says("active: ");
    let who = |options: &[&str]| {
        let mut command = lan.a.command(&program());
        let (reader, mut writer) = std::io::pipe().unwrap();
        writeln!(writer, "interface = eth0\nmulticast = {MULTICAST}").unwrap();
        drop(writer);
        command.args(["who", "--config", "/dev/stdin"]).args(options).stdin(reader);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (said, output.status.code())
    };
    let (said, code) = who(&["--address", SHARED]);
    assert!(said.starts_with("10.0.0.100  02:00:00:00:00:0c  fe80::12 active worthiness 7  "), "{said}");
    assert_eq!(code, Some(0));
    let (said, code) = who(&["--address", "2001:db8::100"]);
    assert!(said.starts_with("2001:db8::100  02:00:00:00:00:0c  fe80::12 active worthiness 7  "), "{said}");
    assert_eq!(code, Some(0));
    let (said, code) = who(&["--address", "10.0.0.99"]);
    let expected = format!("10.0.0.99  nobody answers\nnodes heard at {MULTICAST}: fe80::12 ");
    assert!(said.starts_with(&expected), "{said}");
    assert_eq!(code, Some(3));
}
