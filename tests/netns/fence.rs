//! The fence: no frame leaves from the shared address unless a heartbeat of an ACTIVE left a moment ago.
//!
//! What leaves is seen by the neighbour, and by the sender: the kernel says ENOBUFS of what a fence drops.

use std::fs;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::process::{Pid, Signal, kill_process};

use crate::capture::{Capture, Frame, seconds};
use crate::daemon::{Daemon, FAST};
use crate::hostile::{Stolen, now_us};
use crate::lan::{A, B, Lan, Namespace, SHARED, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};
use crate::program;
use crate::syscalls::{Call, Traced, Who, show};

pub mod form;

pub use form::Form;
use form::{PASSES_ALL, nft, tc};

// Each is run with either form.
tests![
    OF_BOTH(Form):
    sixteen_addresses_are_closed_and_open_together,
    two_groups_on_one_interface_have_a_fence_each,
    a_stop_leaves_nothing_and_nothing_is_there_without_a_fence,
    a_killed_daemons_fence_is_replaced_without_a_gap,
    a_killed_daemons_fence_does_not_close_one_that_wants_none,
    one_that_others_delete_is_loaded_again_and_named_once_a_minute,
    on_a_device_of_its_own_the_address_leaves_by_neither,
    an_interface_that_is_deleted_and_made_again_is_fenced_again,
    an_interface_that_gets_another_name_stays_fenced,
    a_required_fence_that_is_lost_makes_the_node_unfit_until_it_is_back,
    it_is_open_as_long_as_it_says,
];

// They see what leaves by tcpdump.
tests![
    CAPTURED(Form):
    a_frozen_owner_is_silent_in_time,
    a_killed_owner_is_silent_in_time,
    a_frozen_owner_is_followed_without_the_wait_for_its_lease_and_says_nothing_more,
    what_a_stop_sends_last_is_that_it_resigns,
    a_killed_keepers_worker_resigns_and_nothing_leaves_after_that,
    a_killed_workers_resign_packet_closes_it_before_the_next_owner_speaks,
    a_standby_is_closed_whatever_has_the_address,
    on_a_bridge_and_on_a_macvlan_it_is_the_same,
    an_announcement_that_it_keeps_back_follows_the_next_heartbeat,
];

// They see what the keeper does by strace.
tests![
    TRACED(Form):
    the_resign_packet_of_a_dead_worker_goes_before_its_addresses_and_without_a_fence_behind_them,
];

// They need other users.
tests![OF_USERS(Form): packets_of_another_user_neither_open_nor_close_it];

// A table has a name and an owner.
tests![
    OF_NFTABLES:
    a_table_of_another_program_is_left_alone_and_named,
    a_flush_by_another_program_changes_nothing,
];

// A qdisc is for all programs.
tests![
    OF_CLSACT:
    a_qdisc_of_another_program_stays_with_its_filters,
    a_qdisc_to_which_others_have_come_stays_for_them,
    of_two_groups_the_last_one_deletes_the_qdisc,
    what_a_killed_daemon_has_left_in_the_other_form_is_deleted,
    an_interface_with_another_qdisc_for_what_comes_in_has_none,
];

/// For `FAST` at HZ=250, and what a busy machine adds before a frame is seen. At other ticks it is up to 10 ms shorter.
pub const TIMEOUT_S: f64 = 0.245;
pub const SLACK_S: f64 = 0.03;

/// A packet socket that sends, and hears nothing.
pub struct Raw(OwnedFd);

impl Raw {
    pub fn on(host: &Namespace, interface: &str) -> Self {
        host.inside(|| {
            let socket =
                rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None).unwrap();
            let index = rustix::net::netdevice::name_to_index(&socket, interface).unwrap();
            // SAFETY: all zeros is a valid sockaddr_ll.
            let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
            address.sll_ifindex = i32::try_from(index).unwrap();
            let len = u32::try_from(size_of_val(&address)).unwrap();
            // SAFETY: the address and its length belong together.
            let done = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
            assert_eq!(done, 0, "bind: {}", std::io::Error::last_os_error());
            Self(socket)
        })
    }

    /// Whether the frame leaves.
    pub fn passes(&self, frame: &[u8]) -> bool {
        match rustix::net::send(&self.0, frame, SendFlags::empty()) {
            Ok(_) => true,
            Err(Errno::NOBUFS) => false,
            Err(errno) => panic!("send: {errno}"),
        }
    }

    /// Whether the way is open for this address; IPv4 and ARP agree.
    fn is_open_for(&self, address: [u8; 4]) -> bool {
        for _ in 0..3 {
            let [ip, arp] = [udp_from(address), arp_from(address)].map(|frame| self.passes(&frame));
            // It may have changed between the two.
            if ip == arp {
                return ip;
            }
        }
        panic!("IPv4 and ARP differ")
    }

    fn is_open(&self) -> bool {
        self.is_open_for(VIP)
    }
}

const VIP: [u8; 4] = [10, 0, 0, 100];
const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 0x0b];
const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 0x0c];

fn ethernet(to: [u8; 6], kind: [u8; 2], body: &[u8]) -> Vec<u8> {
    [&to[..], &MAC_A, &kind, body].concat()
}

/// An ARP reply by A that `address` is there.
fn arp_from(address: [u8; 4]) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, 2];
    ethernet(MAC_B, [8, 6], &[&head[..], &MAC_A, &address, &MAC_B, &[10, 0, 0, 12]].concat())
}

/// A datagram from `address` to B.
fn udp_from(address: [u8; 4]) -> Vec<u8> {
    let udp = [0x1b, 0x58, 0, 9, 0, 12, 0, 0, b'f', b'r', b'o', b'm'];
    ethernet(MAC_B, [8, 0], &ipv4(17, address, [10, 0, 0, 12], &udp))
}

/// B asks who has the address.
fn arp_question() -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, 1];
    [&[255; 6][..], &MAC_B, &[8, 6], &head, &MAC_B, &[10, 0, 0, 12], &[0; 6], &VIP].concat()
}

/// B asks the address for an echo.
fn echo_request() -> Vec<u8> {
    let icmp = [8, 0, 0xf7, 0xfe, 0, 1, 0, 0];
    [&MAC_A[..], &MAC_B, &[8, 0], &ipv4(1, [10, 0, 0, 12], VIP, &icmp)].concat()
}

fn ipv4(protocol: u8, from: [u8; 4], to: [u8; 4], body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
    let mut header = [&[0x45, 0, len[0], len[1], 0, 1, 0, 0, 64, protocol, 0, 0][..], &from, &to].concat();
    let mut sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    header[10..12].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
    [&header, body].concat()
}

/// What a frame from the shared address is.
fn kind_from_vip(frame: &Frame) -> Option<&'static str> {
    let bytes = &frame.bytes;
    if frame.is_arp() {
        return (bytes[28..32] == VIP).then_some("ARP");
    }
    match bytes[23] {
        _ if bytes[26..30] != VIP => None,
        1 => Some("ICMP"),
        17 => Some("UDP"),
        _ => Some("other"),
    }
}

/// Freezes or kills both processes, so that neither sees the end of the other one.
fn strike(daemon: &Daemon, signal: Signal) {
    let worker = Pid::from_raw(i32::try_from(daemon.worker()).unwrap()).unwrap();
    daemon.signal(Signal::STOP);
    kill_process(worker, signal).unwrap();
    daemon.signal(signal);
}

/// Time to look before a node takes the address, even on a busy machine.
const CALM: &[&str] = &["--address", SHARED_CIDR, "--interval", "100ms", "--tolerance", "1.5s", "--link-delay", "0s"];

/// Longer than the fence of such a node is open.
const CALM_TIMEOUT: Duration = Duration::from_millis(1_450);

/// A daemon with fast timing on this interface.
fn start_on(host: &Namespace, interface: &str, more: &[&str]) -> Daemon {
    let mut command = host.command(&program());
    command.args(["run", "--interface", interface, "--address", SHARED_CIDR]).args(FAST).args(more);
    Daemon::spawn(command)
}

/// As long as it lives B asks by ARP and for echoes, and A sends from the address, each millisecond.
struct Talk {
    stop: &'static AtomicBool,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Talk {
    fn between(a: &Namespace, interface: &str, b: &Namespace) -> Self {
        a.ip(&format!("neighbour replace 10.0.0.12 lladdr {} dev {interface} nud permanent", B.1));
        let speaker = a.inside(|| UdpSocket::bind((SHARED, 7_000)).unwrap());
        let asker = Raw::on(b, "eth0");
        let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        let until_stopped = move |work: Box<dyn Fn() + Send>| {
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    work();
                    sleep(Duration::from_millis(1));
                }
            })
        };
        let threads = vec![
            until_stopped(Box::new(move || drop(speaker.send_to(b"from", (B.0, 9))))),
            until_stopped(Box::new(move || {
                let _ = asker.passes(&arp_question()) && asker.passes(&echo_request());
            })),
        ];
        Self { stop, threads }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

const TALK: &str = "arp or icmp or udp port 9 or udp port 5555";

/// Strikes the owner of the address while both hosts talk; says when each kind of frame from it was last seen after the last
/// heartbeat.
fn silent_after(lan: &Lan, interface: &str, signal: Signal) {
    let daemon = start_on(&lan.a, interface, &[]);
    daemon.says("guarded by fence 24");
    daemon.says("active: ");
    let capture = Capture::start(&lan.b, TALK);
    let talk = Talk::between(&lan.a, interface, &lan.b);
    sleep(Duration::from_millis(500));
    strike(&daemon, signal);
    let struck = seconds(SystemTime::now());
    sleep(Duration::from_millis(500));
    let has_it = lan.a.ip("-o -4 address show").contains(SHARED_CIDR);
    assert!(has_it, "the lease is not what ended it");
    drop(talk);
    let frames = capture.so_far();
    let is_active = |frame: &&Frame| frame.is_heartbeat() && frame.state() == 1;
    let last = frames.iter().rfind(is_active).expect("it was ACTIVE").at;
    for kind in ["ARP", "ICMP", "UDP"] {
        let times: Vec<f64> =
            frames.iter().filter(|frame| kind_from_vip(frame) == Some(kind)).map(|frame| frame.at - last).collect();
        let before = times.iter().filter(|&&at| at < struck - last).count();
        let end = times.last().copied().unwrap_or(f64::MIN);
        assert!(before > 10, "{kind}: {before} before the strike");
        assert!(end > TIMEOUT_S - 0.02 - SLACK_S, "{kind} ends {end} s after the last heartbeat, so soon?");
        assert!(end <= TIMEOUT_S + SLACK_S, "{kind} ends {end} s after the last heartbeat");
    }
}

/// The kernel still has the address; the worker's last word closes the fence.
fn a_killed_keepers_worker_resigns_and_nothing_leaves_after_that(form: Form) {
    let lan = form.lan();
    let mut a = Daemon::fast(&lan.a, &["--worthiness", "200"]);
    a.says("active: ");
    let b = Daemon::fast(&lan.b, &[]);
    b.says("10.0.0.11 heard for the first time");
    sleep(Duration::from_millis(700));
    let capture = Capture::start(&lan.b, TALK);
    let killed = SystemTime::now();
    a.signal(Signal::KILL);
    let taken = b.says("active: 10.0.0.11 resigned (is shutdown)");
    let after = taken.duration_since(killed).unwrap();
    assert!(after < Duration::from_millis(150), "took over after {after:?}, as after silence");
    let _ = a.exit();
    assert!(lan.a.has(SHARED_CIDR) && lan.b.has(SHARED_CIDR), "the lease is not what ended it");
    let frames = capture.so_far();
    let resigned = frames.iter().position(|frame| frame.is_heartbeat() && frame.state() == 3).expect("it resigned");
    let from_address = frames[resigned..].iter().filter(|frame| kind_from_vip(frame).is_some()).count();
    assert_eq!(from_address, 0, "frames after its resign");
}

fn a_frozen_owner_is_silent_in_time(form: Form) {
    silent_after(&form.lan(), "eth0", Signal::STOP);
}

fn a_killed_owner_is_silent_in_time(form: Form) {
    silent_after(&form.lan(), "eth0", Signal::KILL);
}

/// Its address is still there; nobody hears of it. And when it thaws, nothing leaves before the other one is heard.
fn a_frozen_owner_is_followed_without_the_wait_for_its_lease_and_says_nothing_more(form: Form) {
    let lan = form.lan();
    let a = Daemon::fast(&lan.a, &["--worthiness", "200"]);
    a.says("active: ");
    let b = Daemon::fast(&lan.b, &[]);
    b.says("10.0.0.11 heard for the first time");
    sleep(Duration::from_millis(700));
    let capture = Capture::start(&lan.b, TALK);
    let frozen = SystemTime::now();
    strike(&a, Signal::STOP);
    let taken = b.says("active: 10.0.0.11 silent for");
    let after = taken.duration_since(frozen).unwrap();
    assert!(after > Duration::from_millis(240) && after < Duration::from_millis(600), "took over after {after:?}");
    assert!(lan.a.has(SHARED_CIDR) && lan.b.has(SHARED_CIDR), "the lease is not what ended it");
    sleep(Duration::from_secs(2));
    a.signal_both(Signal::CONT);
    a.says("standby: did not run for");
    sleep(Duration::from_millis(100));
    let frames = capture.so_far();
    let silent_at = seconds(frozen) + TIMEOUT_S + SLACK_S;
    let late: Vec<_> = frames.iter().filter(|frame| frame.at > silent_at && kind_from_vip(frame).is_some()).collect();
    assert!(late.is_empty(), "{late:?}");
}

/// Frames from the address behind the first packet in which the node is no longer ACTIVE, and before the next in which it is.
fn after_resigning(frames: &[Frame]) -> (usize, Vec<&Frame>) {
    let resigned = frames.iter().position(|frame| frame.is_heartbeat() && frame.state() != 1).expect("it resigns");
    let behind = &frames[resigned..];
    let again = behind.iter().position(|frame| frame.is_heartbeat() && frame.state() == 1).unwrap_or(behind.len());
    let from_vip = |frame: &&Frame| kind_from_vip(frame).is_some();
    (frames[..resigned].iter().filter(from_vip).count(), behind[..again].iter().filter(from_vip).collect())
}

fn what_a_stop_sends_last_is_that_it_resigns(form: Form) {
    let lan = form.lan();
    for _ in 0..5 {
        let mut daemon = Daemon::fast(&lan.a, &[]);
        daemon.says("active: ");
        let capture = Capture::start(&lan.b, TALK);
        let talk = Talk::between(&lan.a, "eth0", &lan.b);
        sleep(Duration::from_millis(150));
        daemon.signal(Signal::TERM);
        assert!(daemon.exit().success());
        drop(talk);
        sleep(Duration::from_millis(100));
        let frames = capture.so_far();
        let (before, after) = after_resigning(&frames);
        assert!(before > 10 && after.is_empty(), "{before} before, then {after:?}");
    }
}

fn a_killed_workers_resign_packet_closes_it_before_the_next_owner_speaks(form: Form) {
    let lan = form.lan();
    let raw = Raw::on(&lan.a, "eth0");
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    let capture = Capture::start(&lan.b, TALK);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Whatever has the address: these frames need none.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = raw.is_open();
                sleep(Duration::from_micros(200));
            }
        });
        sleep(Duration::from_millis(100));
        daemon.signal_worker(Signal::KILL);
        daemon.says("error: worker dropped: it died");
        sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
    });
    let frames = capture.so_far();
    let (before, after) = after_resigning(&frames);
    assert!(before > 10 && after.is_empty(), "{before} before, then {after:?}");
    daemon.says("active: ");
    eventually("it opens again", PATIENCE, || raw.is_open());
}

fn the_resign_packet_of_a_dead_worker_goes_before_its_addresses_and_without_a_fence_behind_them(form: Form) {
    for (fence, closes) in [("auto", true), ("off", false)] {
        let lan = form.lan();
        let mut traced = Traced::start(&lan.a, &format!("resigns-{}-{fence}", form.name()), &["--fence", fence]);
        traced.daemon.says("active: ");
        let killed = seconds(SystemTime::now());
        traced.daemon.signal_worker(Signal::KILL);
        traced.daemon.says("error: worker dropped: it died");
        traced.end();
        let calls = traced.calls(Who::Keeper);
        let first = |what: &str| {
            let is_it = |call: &&Call| call.at > killed && call.text.starts_with("sendto(") && call.text.contains(what);
            calls.iter().find(is_it).unwrap_or_else(|| panic!("no {what}: {}", show(&calls))).at
        };
        assert_eq!(first("239.2.3.4") < first("RTM_DELADDR"), closes, "{fence}: {}", show(&calls));
    }
}

fn a_standby_is_closed_whatever_has_the_address(form: Form) {
    let lan = form.lan();
    let raw = Raw::on(&lan.a, "eth0");
    assert!(raw.is_open(), "there is no fence yet");
    let daemon = Daemon::fast(&lan.a, &["--worthiness", "0"]);
    daemon.says("standby: ");
    // On the interface it would be removed.
    lan.a.ip(&format!("address add {SHARED}/32 dev lo"));
    let capture = Capture::start(&lan.b, TALK);
    let talk = Talk::between(&lan.a, "eth0", &lan.b);
    sleep(Duration::from_millis(700));
    assert!(!raw.is_open());
    drop(talk);
    let frames = capture.so_far();
    let from_vip: Vec<_> = frames.iter().filter(|frame| kind_from_vip(frame).is_some()).collect();
    assert!(from_vip.is_empty(), "{from_vip:?}");
    assert!(frames.iter().any(Frame::is_heartbeat), "its own frames pass");
}

fn sixteen_addresses_are_closed_and_open_together(form: Form) {
    let lan = form.lan();
    let raw = Raw::on(&lan.a, "eth0");
    let addresses: Vec<[u8; 4]> = (101..=116).map(|host| [10, 0, 0, host]).collect();
    let cidrs: Vec<String> = addresses.iter().map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}/24")).collect();
    let mut options = CALM[2..].to_vec();
    options.extend(cidrs.iter().flat_map(|cidr| ["--address", cidr]));
    let daemon = Daemon::start(&lan.a, &options);
    daemon.says("standby: ");
    assert!(addresses.iter().all(|&address| !raw.is_open_for(address)), "before it is ACTIVE");
    assert!(raw.is_open_for([10, 0, 0, 117]), "of the others nothing is known");
    daemon.says("active: ");
    eventually("a heartbeat has left", PATIENCE, || raw.is_open_for(addresses[0]));
    assert!(addresses.iter().all(|&address| raw.is_open_for(address)));
    strike(&daemon, Signal::STOP);
    sleep(CALM_TIMEOUT);
    assert!(addresses.iter().all(|&address| !raw.is_open_for(address)));
}

fn two_groups_on_one_interface_have_a_fence_each(form: Form) {
    let lan = form.lan();
    let raw = Raw::on(&lan.a, "eth0");
    let other = [10, 0, 0, 200];
    let one = Daemon::fast(&lan.a, &[]);
    let mut two = Daemon::start(&lan.a, &[FAST, &["--address", "10.0.0.200/24", "--group", "2"]].concat());
    one.says("active: ");
    two.says("active: ");
    eventually("both are open", PATIENCE, || raw.is_open() && raw.is_open_for(other));
    strike(&one, Signal::STOP);
    sleep(Duration::from_millis(300));
    assert!(!raw.is_open() && raw.is_open_for(other));
    two.signal(Signal::TERM);
    assert!(two.exit().success());
    assert!(form.is_there(&lan.a) && !form.is_there_of(&lan.a, 2));
}

fn a_stop_leaves_nothing_and_nothing_is_there_without_a_fence(form: Form) {
    let lan = form.lan();
    let mut daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("guarded by fence 24");
    daemon.says("active: ");
    let listed = form.list(&lan.a);
    let parts: &[&str] = match form {
        Form::Nftables => &["ha-1-eth0", "type filter hook egress", "ip saddr 10.0.0.100 ", "arp saddr ip 10.0.0.100 "],
        Form::Clsact => &["pref 1 bpf", "ha-1-eth0+clsact direct-action", "name ha_fence"],
    };
    for part in parts {
        assert!(listed.contains(part), "{part} in {listed}");
    }
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    assert!(form.is_clean(&lan.a));
    let mut daemon = Daemon::fast(&lan.a, &["--fence", "off"]);
    daemon.says("guarded by lease 1s only: fence is off");
    daemon.says("warning: tolerance 350ms is below 2s");
    daemon.says("active: ");
    assert!(form.is_clean(&lan.a));
    assert!(Raw::on(&lan.a, "eth0").is_open());
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
}

fn a_killed_daemons_fence_is_replaced_without_a_gap(form: Form) {
    let lan = form.lan();
    let raw = Raw::on(&lan.a, "eth0");
    let start = || {
        let daemon = Daemon::fast(&lan.a, &["--worthiness", "0"]);
        daemon.says("standby: ");
        daemon
    };
    let mut daemon = start();
    let stop = AtomicBool::new(false);
    let (kept, passed) = thread::scope(|scope| {
        let blast = scope.spawn(|| {
            let (mut kept, mut passed) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                *if raw.passes(&udp_from(VIP)) { &mut passed } else { &mut kept } += 1;
            }
            (kept, passed)
        });
        for _ in 0..10 {
            strike(&daemon, Signal::KILL);
            assert!(!daemon.exit().success());
            assert!(form.is_there(&lan.a), "it outlives its daemon");
            daemon = start();
        }
        stop.store(true, Ordering::Relaxed);
        blast.join().unwrap()
    });
    assert!(kept > 10_000 && passed == 0, "{kept} kept, {passed} passed");
    let (rule, count) = match form {
        Form::Nftables => (" drop", 2),
        Form::Clsact => (" direct-action", 1),
    };
    assert_eq!(form.list(&lan.a).matches(rule).count(), count, "it is there once");
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    assert!(form.is_clean(&lan.a) && raw.is_open());
}

fn a_killed_daemons_fence_does_not_close_one_that_wants_none(form: Form) {
    let lan = form.lan();
    let mut daemon = Daemon::fast(&lan.a, &["--worthiness", "0"]);
    daemon.says("standby: ");
    strike(&daemon, Signal::KILL);
    let _ = daemon.exit();
    assert!(form.is_there(&lan.a));
    let daemon = Daemon::fast(&lan.a, &["--fence", "off"]);
    daemon.says(&format!("{} of a daemon that was killed: deleted", form.thing()));
    daemon.says("active: ");
    assert!(form.is_clean(&lan.a) && Raw::on(&lan.a, "eth0").is_open());
}

fn a_table_of_another_program_is_left_alone_and_named() {
    let lan = Lan::new();
    nft(&lan.a, "add table netdev ha-1-eth0 { comment \"mine\"; }; add chain netdev ha-1-eth0 mine");
    let before = nft(&lan.a, "list ruleset");
    let mut daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("guarded by lease 1s only: table netdev ha-1-eth0 is another program's");
    daemon.says("active: ");
    sleep(Duration::from_secs(2));
    assert_eq!(nft(&lan.a, "list ruleset"), before);
    assert_eq!(daemon.count("another program's"), 1, "{}", daemon.log());
    assert_eq!(daemon.count("no fence: "), 0, "{}", daemon.log());
    nft(&lan.a, "delete table netdev ha-1-eth0");
    daemon.says("load table netdev ha-1-eth0: done this time");
    let raw = Raw::on(&lan.a, "eth0");
    eventually("a heartbeat has left", PATIENCE, || raw.is_open());
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    nft(&lan.a, "add table netdev ha-1-eth0");
    let ha = |command: &str, fence| {
        let options = [command, "--config", "/dev/null", "--interface", "eth0", "--address", SHARED_CIDR];
        lan.a.command(&program()).args(options).args(["--fence", fence]).output().unwrap()
    };
    for command in ["run", "check"] {
        let output = ha(command, "required");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, "ha: fence required: table netdev ha-1-eth0 is another program's\n");
        assert_eq!(output.status.code(), Some(1));
    }
    assert!(Form::Nftables.is_there(&lan.a));
    for (fence, expected) in [("auto", "no fence (table netdev ha-1-eth0 is another program's)"), ("off", "no fence")] {
        let said = String::from_utf8(ha("check", fence).stdout).unwrap();
        assert!(said.contains(&format!(", tolerance 3.5s, {expected}, lease 2s, ")), "{said}");
    }
    nft(&lan.a, "delete table netdev ha-1-eth0");
    let said = String::from_utf8(ha("check", "required").stdout).unwrap();
    assert!(said.contains(", tolerance 3.5s, fence 2.4") && !Form::Nftables.is_there(&lan.a), "{said}");
}

fn one_that_others_delete_is_loaded_again_and_named_once_a_minute(form: Form) {
    let lan = form.lan();
    let raw = Raw::on(&lan.a, "eth0");
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    let thief = form.thief(&daemon);
    for round in 0..20 {
        thief.delete(&lan.a);
        eventually("it is there again", PATIENCE, || form.is_there(&lan.a));
        if round == 0 {
            daemon.says(&format!("warning: {} was changed by another program: loaded again", form.thing()));
        }
        eventually("a heartbeat has left", PATIENCE, || raw.is_open());
    }
    strike(&daemon, Signal::STOP);
    sleep(Duration::from_millis(300));
    assert!(!raw.is_open(), "it is whole");
    assert_eq!(daemon.count("was changed by another program"), 1, "{}", daemon.log());
    assert_eq!((daemon.count("active: "), daemon.count("standby: ")), (1, 1), "{}", daemon.log());
}

fn a_flush_by_another_program_changes_nothing() {
    let lan = Lan::new();
    let raw = Raw::on(&lan.a, "eth0");
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    eventually("a heartbeat has left", PATIENCE, || raw.is_open());
    for _ in 0..50 {
        nft(&lan.a, "flush ruleset; add table ip other; add set ip other s { type ipv4_addr; }");
        assert!(Form::Nftables.is_there(&lan.a));
    }
    strike(&daemon, Signal::STOP);
    sleep(Duration::from_millis(300));
    nft(&lan.a, "flush ruleset");
    assert!(!raw.is_open(), "nor while it is frozen");
    assert_eq!((daemon.count("loaded again"), daemon.count("standby: ")), (0, 1), "{}", daemon.log());
}

fn on_a_device_of_its_own_the_address_leaves_by_neither(form: Form) {
    let lan = form.homes();
    let cards = ["eth0", "eth1"].map(|name| Raw::on(&lan.a, name));
    let daemon = Daemon::start(&lan.a, &[CALM, &["--shared", "eth1"]].concat());
    daemon.says("standby: ");
    assert!(!cards[0].is_open());
    daemon.says("active: ");
    eventually("a heartbeat has left", PATIENCE, || cards.iter().all(Raw::is_open));
    strike(&daemon, Signal::STOP);
    sleep(CALM_TIMEOUT);
    assert!(!cards[0].is_open() && !cards[1].is_open());
}

fn on_a_bridge_and_on_a_macvlan_it_is_the_same(form: Form) {
    for (interface, lines) in [
        (
            "br-lan",
            "link add br-lan address MAC type bridge forward_delay 0 mcast_snooping 0\nlink set eth0 master br-lan\n",
        ),
        (
            "mv0",
            "link set eth0 address 02:00:00:00:00:77\nlink add mv0 link eth0 address MAC type macvlan mode bridge\n",
        ),
    ] {
        let lan = form.lan();
        lan.a.ip("address flush dev eth0");
        // The kernel would answer for the address by every interface, and no fence is there.
        lan.a.inside(|| fs::write("/proc/sys/net/ipv4/conf/eth0/arp_ignore", "1").unwrap());
        let (own, mac) = A;
        let lines = format!("{lines}link set IF up\naddress add {own}/24 brd + dev IF\n");
        lan.a.ip_batch(&lines.replace("MAC", mac).replace("IF", interface));
        silent_after(&lan, interface, Signal::STOP);
    }
}

fn an_interface_that_is_deleted_and_made_again_is_fenced_again(form: Form) {
    let lan = form.lan();
    let daemon = Daemon::start(&lan.a, CALM);
    daemon.says("active: ");
    for _ in 0..3 {
        lan.a.ip("link delete eth0");
        daemon.says("unfit: ");
        lan.join();
        let raw = Raw::on(&lan.a, "eth0");
        daemon.says("standby: ");
        assert!(!raw.is_open(), "closed before it may take");
        daemon.says("active: ");
        eventually("a heartbeat has left", PATIENCE, || raw.is_open());
    }
    let raw = Raw::on(&lan.a, "eth0");
    strike(&daemon, Signal::STOP);
    sleep(CALM_TIMEOUT);
    assert!(!raw.is_open());
    assert_eq!(daemon.count("no fence: "), 0, "{}", daemon.log());
}

fn an_interface_that_gets_another_name_stays_fenced(form: Form) {
    let lan = form.lan();
    lan.a.ip("link property add dev eth0 altname uplink-to-the-switch");
    let raw = Raw::on(&lan.a, "eth0");
    let daemon = start_on(&lan.a, "uplink-to-the-switch", &[]);
    daemon.says("active: ");
    eventually("a heartbeat has left", PATIENCE, || raw.is_open());
    lan.a.ip("link set eth0 name lan0");
    if form == Form::Nftables {
        eventually("it follows", PATIENCE, || form.list(&lan.a).contains("\"lan0\""));
    }
    assert!(form.list(&lan.a).contains("ha-1-uplink-to-the-switch"));
    eventually("a heartbeat has left", PATIENCE, || raw.is_open());
    assert_eq!(daemon.count("unfit: "), 0, "{}", daemon.log());
    strike(&daemon, Signal::STOP);
    sleep(Duration::from_millis(300));
    assert!(!raw.is_open());
}

/// Bytes of which the fence sees that a node of group 1 says this state.
pub fn heartbeat(state: u8) -> [u8; 96] {
    let mut packet = [0; 96];
    packet[..6].copy_from_slice(&[b'h', b'a', 2, 0, 1, state]);
    packet[7] = 1; // it has the address
    packet
}

fn an_announcement_that_it_keeps_back_follows_the_next_heartbeat(form: Form) {
    let lan = form.lan();
    let daemon = Daemon::start(&lan.a, &["--address", SHARED_CIDR, "--interval", "500ms", "--tolerance", "3s"]);
    daemon.says("active: ");
    let raw = Raw::on(&lan.a, "eth0");
    let thief = Stolen::from(&daemon);
    let close = || {
        thief.to_group(&heartbeat(0));
        assert!(!raw.is_open());
    };
    let capture = Capture::start(&lan.b, "arp and ether src 02:00:00:00:00:0b and arp[14:4] = 0x0a000064");
    thief.renew(now_us()).unwrap();
    close();
    thief.announce().unwrap();
    sleep(Duration::from_millis(100));
    assert_eq!(capture.so_far().len(), 0, "it is closed");
    thief.renew(now_us()).unwrap();
    thief.to_group(&heartbeat(1));
    let both_forms = |frames: &[Frame]| (frames.len() == 2).then_some(());
    capture.wait("the announcement", PATIENCE, both_forms);
    assert_eq!(daemon.count("warning: announce"), 0, "{}", daemon.log());
    close();
    thief.announce().unwrap();
    thief.renew(now_us()).unwrap();
    daemon.says("warning: announce 10.0.0.100 on eth0:1: No buffer space available");
    thief.renew(now_us()).unwrap();
    thief.to_group(&heartbeat(1));
    sleep(Duration::from_millis(100));
    assert_eq!(capture.so_far().len(), 2, "it was tried twice");
}

fn a_required_fence_that_is_lost_makes_the_node_unfit_until_it_is_back(form: Form) {
    let lan = form.lan();
    let daemon = Daemon::fast(&lan.a, &["--fence", "required"]);
    daemon.says("active: ");
    let thief = form.thief(&daemon);
    // The keeper stands still until another program has the name.
    daemon.signal(Signal::STOP);
    thief.delete(&lan.a);
    let why = form.block(&lan.a);
    daemon.signal(Signal::CONT);
    daemon.says(&format!("warning: no fence: {why}; tried again"));
    daemon.says("unfit: required fence cannot be loaded");
    eventually("it is released", PATIENCE, || !lan.a.has(SHARED_CIDR));
    sleep(Duration::from_secs(1));
    assert_eq!(daemon.count("active: "), 1, "{}", daemon.log());
    form.unblock(&lan.a);
    daemon.says(&format!("load {}: done this time", form.thing()));
    daemon.says("active: ");
    assert!(lan.a.has(SHARED_CIDR));
}

/// Sends to the group by a socket of this user.
fn send_as(host: &Namespace, uid: u32, packet: [u8; 96]) {
    host.inside(|| {
        // SAFETY: for this thread only, which ends at once.
        unsafe { libc::setfsuid(uid) };
        let socket = UdpSocket::bind((A.0, 0)).unwrap();
        socket.send_to(&packet, "239.2.3.4:5555").unwrap();
    });
}

fn packets_of_another_user_neither_open_nor_close_it(form: Form) {
    let lan = form.lan();
    let raw = Raw::on(&lan.a, "eth0");
    let mut standby = Daemon::fast(&lan.a, &["--worthiness", "0"]);
    standby.says("standby: ");
    let of_kind = |kind| {
        let mut packet = heartbeat(1);
        packet[3] = kind;
        packet
    };
    let mut of_another_group = heartbeat(1);
    of_another_group[4] = 2;
    send_as(&lan.a, 65_534, heartbeat(1));
    assert!(!raw.is_open(), "it was sent by nobody");
    for packet in [of_kind(1), of_kind(2), of_kind(3), of_kind(4), of_another_group] {
        send_as(&lan.a, 0, packet);
        assert!(!raw.is_open(), "it is no heartbeat of an ACTIVE of this group");
    }
    send_as(&lan.a, 0, heartbeat(1));
    assert!(raw.is_open(), "root may");
    standby.signal(Signal::TERM);
    assert!(standby.exit().success());

    let times = ["--address", SHARED_CIDR, "--interval", "1s", "--tolerance", "3s"];
    let active = Daemon::start(&lan.a, &times);
    active.says("active: ");
    eventually("a heartbeat has left", PATIENCE, || raw.is_open());
    of_another_group[5] = 0;
    send_as(&lan.a, 65_534, heartbeat(0));
    assert!(raw.is_open(), "it was sent by nobody");
    for packet in [of_kind(1), of_kind(2), of_kind(3), of_kind(4), of_another_group] {
        send_as(&lan.a, 0, packet);
        assert!(raw.is_open(), "this node is still an ACTIVE of this group");
    }
    send_as(&lan.a, 0, heartbeat(2));
    assert!(!raw.is_open(), "root may");
}

/// Counted from the heartbeat that leaves; the kernel may count in ticks.
fn it_is_open_as_long_as_it_says(form: Form) {
    let lan = form.lan();
    let daemon = Daemon::start(&lan.a, CALM);
    daemon.says("active: ");
    let log = daemon.log();
    let seconds = log.split("guarded by fence ").nth(1).and_then(|rest| rest.split('s').next()).unwrap();
    let longest = Duration::from_secs_f64(seconds.parse().unwrap());
    let shortest = match form {
        Form::Nftables => longest - Duration::from_millis(10),
        Form::Clsact => longest,
    };
    let raw = Raw::on(&lan.a, "eth0");
    let thief = Stolen::from(&daemon);
    let frame = udp_from(VIP);
    let before = Instant::now();
    thief.to_group(&heartbeat(1));
    let after = Instant::now();
    assert!(raw.passes(&frame));
    let mut passed = after;
    let closed = loop {
        let asked = Instant::now();
        if !raw.passes(&frame) {
            break Instant::now();
        }
        passed = asked;
    };
    let last = passed.duration_since(after);
    assert!(last < longest, "open {last:?} after the heartbeat, of {longest:?}");
    let first = closed.duration_since(before);
    assert!(first >= shortest, "closed {first:?} after the heartbeat, of {longest:?}");
}

fn a_qdisc_of_another_program_stays_with_its_filters() {
    let lan = Form::Clsact.lan();
    tc(&lan.a, "qdisc add dev eth0 clsact");
    tc(&lan.a, &format!("filter add dev eth0 egress {PASSES_ALL}"));
    tc(&lan.a, &format!("filter add dev eth0 ingress {PASSES_ALL}"));
    let list = || [tc(&lan.a, "filter show dev eth0 egress"), tc(&lan.a, "filter show dev eth0 ingress")];
    let before = list();
    let mut daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("guarded by fence 245ms (clsact)");
    let raw = Raw::on(&lan.a, "eth0");
    daemon.says("standby: ");
    assert!(!raw.is_open(), "it stands before the other one");
    daemon.says("active: ");
    eventually("a heartbeat has left", PATIENCE, || raw.is_open());
    assert_ne!(list(), before);
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    assert_eq!(list(), before);
}

fn a_qdisc_to_which_others_have_come_stays_for_them() {
    let lan = Form::Clsact.lan();
    let mut daemon = Daemon::fast(&lan.a, &["--worthiness", "0"]);
    daemon.says("standby: ");
    tc(&lan.a, &format!("filter add dev eth0 ingress {PASSES_ALL}"));
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    assert!(!Form::Clsact.is_there(&lan.a));
    assert!(tc(&lan.a, "filter show dev eth0 ingress").contains("direct-action"));
}

fn of_two_groups_the_last_one_deletes_the_qdisc() {
    let lan = Form::Clsact.lan();
    let start = |group| {
        let daemon =
            Daemon::start(&lan.a, &[FAST, &["--address", &format!("10.0.0.20{group}/24"), "--group", group]].concat());
        daemon.says("standby: ");
        daemon
    };
    let (mut one, mut two) = (start("1"), start("2"));
    for daemon in [&mut one, &mut two] {
        assert!(!Form::Clsact.is_clean(&lan.a));
        daemon.signal(Signal::TERM);
        assert!(daemon.exit().success());
    }
    assert!(Form::Clsact.is_clean(&lan.a));
}

/// With nftables, too, a program at clsact is taken where ticks are too long for the timing.
fn what_a_killed_daemon_has_left_in_the_other_form_is_deleted() {
    let lan = Lan::new();
    let daemons: [(&[&str], &str); 3] = [
        (FAST, "(nftables)"),
        (&["--interval", "1ms", "--tolerance", "4ms", "--link-delay", "0s"], "(clsact)"),
        (FAST, "(nftables)"),
    ];
    let mut left: Option<Form> = None;
    for (timing, by) in daemons {
        let mut daemon = Daemon::start(&lan.a, &[timing, &["--address", SHARED_CIDR, "--worthiness", "0"]].concat());
        daemon.says(by);
        if let Some(form) = left {
            daemon.says(&format!("{} of a daemon that was killed: deleted", form.thing()));
            assert!(form.is_clean(&lan.a));
        }
        daemon.says("standby: ");
        assert!(!Raw::on(&lan.a, "eth0").is_open());
        strike(&daemon, Signal::KILL);
        let _ = daemon.exit();
        left = Some(if by == "(clsact)" { Form::Clsact } else { Form::Nftables });
    }
}

/// The qdisc `ingress` is where clsact would be.
fn an_interface_with_another_qdisc_for_what_comes_in_has_none() {
    let lan = Form::Clsact.lan();
    tc(&lan.a, "qdisc add dev eth0 ingress");
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("warning: no fence: the kernel does not load it: Invalid argument (os error 22); tried again");
    daemon.says("active: ");
    assert_eq!(tc(&lan.a, "filter show dev eth0 ingress"), "");
    assert!(Raw::on(&lan.a, "eth0").is_open());
    tc(&lan.a, "qdisc del dev eth0 ingress");
    daemon.says("load filter ha-1-eth0: done this time");
    assert!(Form::Clsact.is_there(&lan.a));
}
