//! Heartbeats as the other end of the cable gets them, and those that a node must not listen to.

use std::net::Ipv4Addr;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use ha::config::{Config, Params};
use ha::wire::{Context, Flags, Heartbeat, LEN, NodeId, Seal, State};
use rustix::process::Signal;

use crate::capture::{Capture, Frame};
use crate::daemon::Daemon;
use crate::lan::{A, B, Lan, SHARED_CIDR};
use crate::lines::PATIENCE;
use crate::program;
use crate::six::cidr;

tests![
    one_heartbeat_per_interval_leaves_with_the_ttl_and_class_of_network_control,
    another_multicast_group_can_be_chosen,
    a_packet_with_another_ttl_is_ignored_and_named_once,
    a_packet_of_another_group_is_ignored_in_silence,
    a_packet_that_names_another_sender_is_ignored,
    a_packet_of_a_node_with_the_same_address_is_ignored_and_named_once,
    garbage_does_not_arrive_and_what_looks_like_a_packet_is_named_once,
    routine_words_wake_nobody_and_are_all_read,
];

const GROUP: &str = "239.2.3.4:5555";

fn one_heartbeat_per_interval_leaves_with_the_ttl_and_class_of_network_control() {
    let lan = Lan::new();
    let capture = Capture::start(&lan.b, "udp");
    let daemon = Daemon::fast(&lan.a, &["--worthiness", "0"]);
    daemon.says("standby: ");
    let frames = capture.wait("thirty heartbeats", PATIENCE, |frames| (frames.len() >= 30).then(|| frames.to_vec()));
    for frame in &frames {
        for part in [
            "02:00:00:00:00:0b > 01:00:5e:02:03:04, ethertype IPv4",
            "(tos 0xc0, ttl 255,",
            "10.0.0.11.5555 > 239.2.3.4.5555: UDP, length 96",
        ] {
            assert!(frame.text.contains(part), "{part} in {frame:?}");
        }
        assert_eq!(frame.heartbeat().len(), 96);
    }
    // Before it has listened for its tolerance it may say more.
    let gaps: Vec<f64> = frames[10..].windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    #[expect(clippy::cast_precision_loss, reason = "there are few")]
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    assert!((0.098..0.13).contains(&mean), "on average {mean} s apart: {gaps:?}");
    assert_eq!(daemon.count("warning: send"), 0, "{}", daemon.log());

    let words = decode(frames[0].heartbeat());
    for line in ["kind       heartbeat", "group      1", "state      standby", "worthiness 0", "node       10.0.0.11"] {
        assert!(words.lines().any(|word| word == line), "{line} in {words}");
    }
    assert!(words.contains("tag        right for no key"), "{words}");
}

/// What `ha decode` says.
fn decode(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut command = Command::new(program());
    let output = command.args(["decode", &digits]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn another_multicast_group_can_be_chosen() {
    let lan = Lan::new();
    let capture = Capture::start(&lan.b, "udp");
    let options = ["--multicast", "239.9.8.7:999"];
    let a = Daemon::fast(&lan.a, &options);
    let b = Daemon::fast(&lan.b, &options);
    a.says("10.0.0.12 heard for the first time");
    b.says("10.0.0.11 heard for the first time");
    let is_there = |frame: &Frame| frame.text.contains("10.0.0.11.999 > 239.9.8.7.999: UDP, length 96");
    capture.wait("a heartbeat", PATIENCE, |frames| frames.iter().any(is_there).then_some(()));
    assert!(capture.so_far().iter().all(is_there), "nothing goes elsewhere");
}

/// The word of host `b`, the most worthy of all, which says that it has the address.
fn usurper() -> Heartbeat {
    usurper_of(B.0, &[SHARED_CIDR])
}

/// The word of `node`, the most worthy of all, which says that it has these addresses.
pub fn usurper_of(node: &str, shared: &[&str]) -> Heartbeat {
    let mut params = Params::default();
    params.addresses.extend(shared.iter().copied().map(cidr));
    let node = NodeId::new(node.parse().unwrap());
    Heartbeat {
        state: State::Active,
        flags: Flags::SETTLED.with(Flags::READY, true),
        worthiness: u16::MAX,
        following: Some(node),
        interval: ha::time::Duration::from_millis(100),
        hold: ha::time::Duration::from_millis(350),
        addresses: Config::new(params).unwrap().addresses_hash(),
        ..Heartbeat::plain(node)
    }
}

/// Sends it from `b` until `done`, each time with the next number.
fn insist(lan: &Lan, ttl: u32, mut said: Heartbeat, times: usize) {
    let socket = lan.b.socket(B.0, ttl);
    for _ in 0..times {
        said.seq += 1;
        socket.send_to(&Seal::public(Context::of_group(1)).sign(&said), GROUP).unwrap();
        sleep(Duration::from_millis(50));
    }
}

/// The node was ACTIVE all the time until now; the same packet, but for what is wrong with it, ends that, if it shows as well that
/// the node is heard.
fn is_unmoved_but_by(lan: &Lan, daemon: &Daemon, genuine: Heartbeat) {
    assert_eq!((daemon.count("active: "), daemon.count("standby: ")), (1, 1), "{}", daemon.log());
    assert!(lan.a.has(SHARED_CIDR));
    let a = NodeId::from_v4(A.0.parse().unwrap());
    insist(lan, 255, Heartbeat { following: Some(a), ..genuine }, 1);
    daemon.says("standby: 10.0.0.12 is active too and more worthy");
}

fn a_packet_with_another_ttl_is_ignored_and_named_once() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    for ttl in [254, 64, 1] {
        insist(&lan, ttl, usurper(), 3);
    }
    daemon.says("warning: packet from 10.0.0.12 dropped: it came through a router (TTL is not 255)");
    assert_eq!(daemon.count("through a router"), 1, "{}", daemon.log());
    is_unmoved_but_by(&lan, &daemon, usurper());
}

fn a_packet_of_another_group_is_ignored_in_silence() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    insist(&lan, 255, Heartbeat { group: 2, ..usurper() }, 5);
    assert_eq!(daemon.count(B.0), 0, "{}", daemon.log());
    is_unmoved_but_by(&lan, &daemon, usurper());
}

fn a_packet_that_names_another_sender_is_ignored() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    let node = NodeId::from_v4(Ipv4Addr::new(10, 0, 0, 13));
    insist(&lan, 255, Heartbeat { node, ..usurper() }, 5);
    daemon.says("warning: packet from 10.0.0.12 dropped: it names another sender than its source");
    is_unmoved_but_by(&lan, &daemon, usurper());
}

fn garbage_does_not_arrive_and_what_looks_like_a_packet_is_named_once() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    let socket = lan.b.socket(B.0, 255);
    let genuine = Seal::public(Context::of_group(1)).sign(&usurper());
    for len in [0, 1, LEN - 1] {
        socket.send_to(&genuine[..len], GROUP).unwrap();
    }
    socket.send_to(&[&genuine[..], &[0]].concat(), GROUP).unwrap();
    socket.send_to(&[0xa5; 1_400], GROUP).unwrap();
    socket.send_to(&[0; LEN], GROUP).unwrap();
    let mut damaged = genuine;
    damaged[2] ^= 1;
    socket.send_to(&damaged, GROUP).unwrap();
    daemon.says("warning: packet from 10.0.0.12 dropped: it speaks an unknown version of the protocol");
    damaged = genuine;
    damaged[LEN - 1] ^= 1;
    socket.send_to(&damaged, GROUP).unwrap();
    daemon.says("warning: packet from 10.0.0.12 dropped: it has a wrong tag");
    sleep(Duration::from_millis(300));
    assert_eq!(daemon.count("warning: packet"), 2, "once per reason:\n{}", daemon.log());
    daemon.signal(Signal::USR1);
    daemon.says("status: 1 packets dropped: it speaks an unknown version of the protocol");
    daemon.says("status: 1 packets dropped: it has a wrong tag");
    assert_eq!(daemon.count(A.0), 1, "its own address, at start only:\n{}", daemon.log());
    is_unmoved_but_by(&lan, &daemon, usurper());
}

fn a_packet_of_a_node_with_the_same_address_is_ignored_and_named_once() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    let node = NodeId::from_v4(A.0.parse().unwrap());
    insist(&lan, 255, Heartbeat { node, ..usurper() }, 5);
    daemon.says("dropped: it comes from another node with our address");
    assert_eq!(daemon.count("dropped"), 1, "{}", daemon.log());
    is_unmoved_but_by(&lan, &daemon, usurper());
}

fn routine_words_wake_nobody_and_are_all_read() {
    let lan = Lan::new();
    let times = ["--interval", "1s", "--tolerance", "3500ms", "--link-delay", "0s"];
    let daemon = Daemon::start(&lan.a, &[&times[..], &["--address", SHARED_CIDR, "--config", "/dev/null"]].concat());
    daemon.says("active: ");
    let a = NodeId::from_v4(A.0.parse().unwrap());
    let mut said = Heartbeat { state: State::Standby, worthiness: 0, following: Some(a), ..usurper() };
    let socket = lan.b.socket(B.0, 255);
    let mut say = |times: u32, pause: Duration| {
        for _ in 0..times {
            said.seq += 1;
            socket.send_to(&Seal::public(Context::of_group(1)).sign(&said), GROUP).unwrap();
            sleep(pause);
        }
    };
    sleep(Duration::from_secs(3)); // the announcement and its repeats are behind it
    let before = sleeps_of_worker(&daemon);
    say(60, Duration::from_millis(50));
    let woken = sleeps_of_worker(&daemon) - before;
    assert!(woken < 30, "{woken} sleeps in 3 s for 60 packets:\n{}", daemon.log());
    daemon.says("10.0.0.12 heard for the first time");

    // Many times what it takes in at once, and nearly what the kernel has room for: it reads on, once it is awake.
    say(330, Duration::ZERO);
    let mut most = 0;
    while unread(&lan) >= most.max(1) {
        most = unread(&lan);
        sleep(Duration::from_millis(1));
    }
    sleep(Duration::from_millis(50));
    assert_eq!(unread(&lan), 0, "of {most} bytes:\n{}", daemon.log());
    daemon.signal(Signal::USR1);
    daemon.says("status: 10.0.0.12 standby worthiness 0");
    assert_eq!(daemon.count("dropped"), 0, "in their order:\n{}", daemon.log());
}

/// How often the worker has gone to sleep.
pub fn sleeps_of_worker(daemon: &Daemon) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.worker())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).expect("it is there");
    line.trim().parse().unwrap()
}

/// Bytes that wait in the node's UDP sockets.
fn unread(lan: &Lan) -> u32 {
    let table = lan.a.inside(|| std::fs::read_to_string("/proc/thread-self/net/udp")).unwrap();
    // To be sent, and received.
    let queues = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(4)?.split_once(':'));
    queues.map(|(_, received)| u32::from_str_radix(received, 16).unwrap()).sum()
}
