//! A worker that somebody has taken over: what it can make the keeper do.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, recv, send, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open};

use crate::capture::{Capture, seconds};
use crate::daemon::Daemon;
use crate::lan::{Lan, SHARED, SHARED_CIDR};
use crate::syscalls::{Traced, Who, count, show};

tests![
    whatever_it_orders_the_keeper_takes_releases_and_announces_the_shared_address_and_nothing_else,
    an_order_that_is_none_is_its_end,
    an_old_order_adds_nothing_nor_does_a_renewal_without_a_take,
    what_it_decided_in_the_future_is_its_end,
    it_renews_takes_and_releases_no_more_often_than_a_node_can,
    hooks_run_for_states_that_can_be_and_a_flood_of_them_is_its_end,
    it_asks_hosts_at_their_cards_and_nobody_else,
];

/// The worker's end of the channel, in our hands; the worker itself stands still.
pub struct Stolen {
    channel: OwnedFd,
    replies: OwnedFd,
    group: OwnedFd,
}

impl Stolen {
    pub fn from(daemon: &Daemon) -> Self {
        let pid = daemon.worker();
        daemon.signal_worker(Signal::STOP);
        let worker = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        let worker = pidfd_open(worker, PidfdFlags::empty()).unwrap();
        let numbers = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let numbers = numbers.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap());
        let copies: Vec<_> =
            numbers.map(|number| pidfd_getfd(&worker, number, PidfdGetfdFlags::empty()).unwrap()).collect();
        let of = |family, number| {
            let copy =
                copies.iter().filter(|fd| sockopt::socket_domain(fd) == Ok(family)).nth(number).expect("it has it");
            copy.try_clone().unwrap()
        };
        let [channel, replies] = [0, 1].map(|number| of(AddressFamily::UNIX, number));
        Self { channel, replies, group: of(AddressFamily::INET, 0) }
    }

    /// Sends this to the group.
    pub fn to_group(&self, packet: &[u8; 96]) {
        let group = std::net::SocketAddrV4::new([239, 2, 3, 4].into(), 5555);
        assert_eq!(rustix::net::sendto(&self.group, packet, SendFlags::empty(), &group), Ok(96));
    }

    /// Shows that it lives, and has the lease renewed.
    pub fn renew(&self, at_us: u64) -> io::Result<()> {
        self.beat(at_us, RENEW, None)
    }

    /// Has the shared address announced.
    pub fn announce(&self) -> io::Result<()> {
        self.order(&[ANNOUNCE, 0])
    }

    /// Sends an order, filled up to the length of all orders; reads answers, so that the keeper is not held up.
    fn order(&self, bytes: &[u8]) -> io::Result<()> {
        let mut message = [0; 144];
        message[..bytes.len()].copy_from_slice(bytes);
        loop {
            for socket in [&self.channel, &self.replies] {
                while recv(socket, &mut [0; 64], RecvFlags::DONTWAIT).is_ok() {}
            }
            match send(&self.channel, &message, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::AGAIN) => sleep(Duration::from_micros(100)),
                outcome => return Ok(outcome.map(drop)?),
            }
        }
    }

    fn beat(&self, at_us: u64, duty: u8, resign_packet: Option<[u8; 96]>) -> io::Result<()> {
        let packet = resign_packet.map_or(vec![0], |packet| [&[1][..], &packet].concat());
        self.order(&[&[BEAT][..], &at_us.to_ne_bytes(), &[duty], &packet].concat())
    }

    fn take(&self, ticket: u8, at_us: u64) -> io::Result<()> {
        self.order(&[&[TAKE][..], &u32::from(ticket).to_ne_bytes(), &at_us.to_ne_bytes()].concat())
    }

    fn change(&self, to: u8) -> io::Result<()> {
        self.order(&[CHANGED, to, 0, 0])
    }

    /// All answers that come in this time: the first two bytes of each.
    fn answers(&self, span: Duration) -> Vec<[u8; 2]> {
        sleep(span);
        let mut buffer = [0; 64];
        let mut next = |socket| recv(socket, &mut buffer, RecvFlags::DONTWAIT).ok().map(|_| [buffer[0], buffer[1]]);
        let news: Vec<_> = std::iter::from_fn(|| next(&self.channel)).collect();
        let replies = std::iter::from_fn(|| next(&self.replies)).map(|[is_done, _]| [REPLY, is_done]);
        news.into_iter().chain(replies).collect()
    }
}

/// The variants of `Order` and `News`, see `src/bin/ha/channel/parts.rs`.
const BEAT: u8 = 0;
const TAKE: u8 = 1;
const ANNOUNCE: u8 = 2;
/// An address of IPv4 in an order.
fn as_sent(octets: [u8; 4]) -> [u8; 16] {
    Ipv4Addr::from(octets).to_ipv6_mapped().octets()
}

const PROBE: u8 = 3;
const CHANGED: u8 = 4;
const ASK: u8 = 5;
const DUTIES: u8 = 4;
const NONE: u8 = 0;
const RENEW: u8 = 1;
const RELEASE: u8 = 3;
/// To a beat, done or not; there are not so many news.
const REPLY: u8 = 255;
const DONE: [u8; 2] = [REPLY, 1];
const FAILED: [u8; 2] = [REPLY, 0];
const LOST: [u8; 2] = [3, 0];
/// With ticket 1.
const TAKEN: [u8; 2] = [5, 1];
const REFUSED: [u8; 2] = [6, 1];

/// xorshift64*: the same orders each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % sides
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.roll(256)).unwrap()
    }
}

/// Microseconds of CLOCK_BOOTTIME.
pub fn now_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec * 1_000_000 + now.tv_nsec / 1_000).unwrap()
}

fn random_order(dice: &mut Dice, changes: &mut u32, thief: &Stolen) -> io::Result<()> {
    match dice.roll(9) {
        0..3 => {
            let at_us = [now_us(), 0, dice.roll(now_us())][usize::try_from(dice.roll(3)).unwrap()];
            let packet = (dice.roll(2) == 0).then(|| std::array::from_fn(|_| dice.byte()));
            thief.beat(at_us, u8::try_from(dice.roll(DUTIES.into())).unwrap(), packet)
        }
        3..5 => thief.take(dice.byte(), [now_us(), 0][usize::try_from(dice.roll(2)).unwrap()]),
        5 => thief.order(&[ANNOUNCE, dice.byte()]),
        6 => thief.order(&[[ANNOUNCE, 0], [PROBE, 0]][usize::try_from(dice.roll(2)).unwrap()]),
        // To all.
        7 => {
            let neighbour = as_sent(std::array::from_fn(|_| dice.byte()));
            thief.order(&[&[ASK, 0][..], &neighbour, &[0]].concat())
        }
        // More of them are its end.
        _ if *changes == 30 => Ok(()),
        _ => {
            *changes += 1;
            let reason = b"`reboot`; $(reboot)\n\0";
            let mut bytes = vec![CHANGED, dice.byte(), 1];
            bytes.extend(as_sent(std::array::from_fn(|_| dice.byte())));
            bytes.push(u8::try_from(reason.len()).unwrap());
            bytes.extend(reason);
            thief.order(&bytes)
        }
    }
}

/// All that can be configured in a namespace, but the shared address and what the kernel derives from it.
fn configuration(lan: &Lan) -> String {
    let questions =
        ["-o link", "-o -4 address", "route show table all", "rule", "neigh show nud permanent", "maddress"];
    let text: String = questions.map(|question| lan.a.ip(question)).concat();
    text.lines().filter(|line| !line.contains(SHARED)).fold(String::new(), |text, line| text + line + "\n")
}

fn whatever_it_orders_the_keeper_takes_releases_and_announces_the_shared_address_and_nothing_else() {
    let lan = Lan::new();
    lan.a.ip("address add 10.0.0.7/32 dev eth0");
    let mut traced = Traced::start(&lan.a, "hostile", &[]);
    traced.daemon.says("active: ");
    let before = configuration(&lan);
    let thief = Stolen::from(&traced.daemon);
    let captured_since = Instant::now();
    let capture = Capture::start(&lan.b, "ether src 02:00:00:00:00:0b");
    let (from, started) = (seconds(SystemTime::now()), Instant::now());
    let mut dice = Dice(4);
    let (mut orders, mut changes) = (0, 0);
    while started.elapsed() < FLOOD {
        random_order(&mut dice, &mut changes, &thief).expect("the keeper listens to what it understands");
        orders += 1;
    }
    let to = seconds(SystemTime::now());
    assert!(orders > 1_000, "{orders} orders");
    assert_eq!(configuration(&lan), before);

    let frames = capture.so_far();
    let is_arp = |frame: &&crate::capture::Frame| frame.text.contains("ethertype ARP");
    for frame in frames.iter().filter(is_arp) {
        let addresses = [&frame.bytes[28..32], &frame.bytes[38..42]];
        // A probe, which no cache learns from, may be for another one of the same network.
        let is_probe = addresses[0] == [0; 4] && addresses[1][0] == 10;
        assert!(is_probe || addresses.contains(&&[10, 0, 0, 100][..]), "for the shared address: {frame:?}");
    }
    let arp = frames.iter().filter(is_arp).count();
    assert_eq!(arp, frames.len(), "the keeper itself says nothing else while its worker lives: {frames:?}");
    let took = captured_since.elapsed().as_secs_f64();
    let most = 32.0 + 10.0 * took;
    assert!(arp > 0 && f64::from(u32::try_from(arp).unwrap()) <= most, "{arp} frames in {took} s");

    // The keeper sends one of its resign packets now, and starts another worker.
    traced.daemon.signal_worker(Signal::KILL);
    drop(thief);
    traced.daemon.says("error: worker dropped: it died");
    traced.daemon.says("standby: listening");
    traced.end();
    let calls = traced.calls(Who::Keeper);
    let calls: Vec<_> = calls.into_iter().filter(|call| (from..to).contains(&call.at)).collect();
    let is_harmless = |call: &crate::syscalls::Call| match call.name() {
        "ppoll" | "poll" | "recvmsg" | "recvfrom" | "getsockname" | "write" => true,
        // To ask the kernel for its neighbours.
        "socket" => call.text.contains("AF_NETLINK"),
        "bind" => call.text.contains("nl_groups=00000000"),
        "close" => true,
        "fcntl" => call.text.contains("F_GETFD"), // a check of the debug build
        // To the worker, as a frame of ARP, or to the kernel.
        "sendto" if !call.text.contains("nlmsg") => true,
        "sendto" => {
            let is_change = call.is_add() || call.is_delete();
            let questions = ["RTM_GETLINK", "RTM_GETADDR", "RTM_GETROUTE", "RTM_GETNEIGH"];
            let is_question = questions.iter().any(|question| call.text.contains(question));
            is_question || is_change && call.text.contains("\"eth0\"") && call.text.contains(SHARED)
        }
        _ => false,
    };
    let strange: Vec<_> = calls.iter().filter(|call| !is_harmless(call)).cloned().collect();
    assert!(strange.is_empty(), "{}", show(&strange));
    let (added, deleted) = (count(&calls, |call| call.is_add()), count(&calls, |call| call.is_delete()));
    assert!(added > 4 && deleted > 10, "within its takes, many of which are too old: {added}, {deleted}");
}

const FLOOD: Duration = Duration::from_secs(4);

fn an_order_that_is_none_is_its_end() {
    let mut dice = Dice(7);
    for attempt in 0..4 {
        let lan = Lan::new();
        let daemon = Daemon::fast(&lan.a, &[]);
        daemon.says("active: ");
        let thief = Stolen::from(&daemon);
        let len = [1, 144, 200, 4_000][attempt];
        let noise: Vec<u8> = std::iter::once(255).chain((1..len).map(|_| dice.byte())).collect();
        send(&thief.channel, &noise, SendFlags::DONTWAIT).unwrap();
        daemon.says("warning: worker sent no order");
        daemon.says("error: worker dropped: no node would order that; addresses released");
        daemon.says("active: ");
        assert!(lan.a.has(SHARED_CIDR));
    }
}

fn an_old_order_adds_nothing_nor_does_a_renewal_without_a_take() {
    let lan = Lan::new();
    let daemon = Daemon::start(&lan.a, &["--address", SHARED_CIDR, "--interval", "500ms", "--tolerance", "3s"]);
    daemon.says("active: ");
    let thief = Stolen::from(&daemon);
    let _ = thief.answers(Duration::from_millis(50));
    thief.beat(now_us(), RENEW, None).unwrap();
    assert_eq!(thief.answers(Duration::from_millis(100)), [DONE]);
    thief.beat(now_us() - 2_500_000, RENEW, None).unwrap();
    assert_eq!(thief.answers(Duration::from_millis(100)), [LOST, FAILED], "decided before the lease ended");
    assert!(!lan.a.has(SHARED_CIDR));
    thief.beat(now_us(), RENEW, None).unwrap();
    assert_eq!(thief.answers(Duration::from_millis(100)), [LOST, FAILED], "nobody has ordered a take since");
    assert!(!lan.a.has(SHARED_CIDR));
    thief.take(1, now_us() - 2_500_000).unwrap();
    assert_eq!(thief.answers(Duration::from_millis(100)), [REFUSED], "a peer may have taken them since");
    assert!(!lan.a.has(SHARED_CIDR));
    let capture = Capture::start(&lan.b, "arp and ether src 02:00:00:00:00:0b");
    thief.order(&[ANNOUNCE, 0]).unwrap();
    thief.take(1, now_us()).unwrap();
    assert_eq!(thief.answers(Duration::from_millis(300)), [TAKEN]);
    assert!(lan.a.has(SHARED_CIDR) && capture.so_far().is_empty(), "{:?}", capture.so_far());
    thief.order(&[ANNOUNCE, 0]).unwrap();
    thief.beat(now_us(), RELEASE, None).unwrap();
    assert_eq!(thief.answers(Duration::from_millis(300)), [DONE]);
    assert!(!lan.a.has(SHARED_CIDR));
    assert_eq!(capture.so_far().len(), 2, "both forms, once");
}

/// Else it would have as much time as it likes to hold up what it wants to be done.
fn what_it_decided_in_the_future_is_its_end() {
    let orders: [fn(&Stolen) -> io::Result<()>; 3] = [
        |thief| thief.beat(now_us() + 60_000_000, RENEW, None),
        |thief| thief.beat(u64::MAX, NONE, None),
        |thief| thief.take(1, now_us() + 1_000_000),
    ];
    for order in orders {
        let lan = Lan::new();
        let daemon = Daemon::fast(&lan.a, &[]);
        daemon.says("active: ");
        order(&Stolen::from(&daemon)).unwrap();
        daemon.says("warning: worker sent an order that was decided in the future");
        daemon.says("error: worker dropped: no node would order that; addresses released");
        daemon.says("active: ");
        assert!(lan.a.has(SHARED_CIDR));
    }
}

fn it_renews_takes_and_releases_no_more_often_than_a_node_can() {
    let lan = Lan::new();
    let mut traced = Traced::start(&lan.a, "pace", &["--before-active", "/bin/true"]);
    traced.daemon.says("active: ");
    let thief = Stolen::from(&traced.daemon);
    let flood = |order: &dyn Fn(u8)| {
        let (from, started, mut number) = (seconds(SystemTime::now()), Instant::now(), 0u32);
        while started.elapsed() < Duration::from_secs(2) {
            order(number.to_le_bytes()[0]);
            number += 1;
        }
        for _ in 0..30 {
            let _ = thief.answers(Duration::from_millis(10));
        }
        (from..seconds(SystemTime::now()), number)
    };
    let (renewing, renewals) = flood(&|_| thief.beat(now_us(), RENEW, None).unwrap());
    assert!(lan.a.has(SHARED_CIDR), "it lives, as far as anybody can know: {}", traced.daemon.log());
    thief.beat(now_us(), RELEASE, None).unwrap();
    let (moving, takes) = flood(&|ticket| {
        thief.take(ticket, now_us()).unwrap();
        thief.beat(now_us(), RELEASE, None).unwrap();
    });
    traced.daemon.says("warning: worker takes the addresses more often than a node can: refused; logged once");
    traced.end();
    let calls = traced.calls(Who::Keeper);
    let within = |span: &std::ops::Range<f64>, is_it: fn(&crate::syscalls::Call) -> bool| {
        count(&calls, |call| span.contains(&call.at) && is_it(call))
    };
    // At 500 ms: 256 at once and 100 a second; 8 at once and 4 a second.
    let added = within(&renewing, |call| call.is_add());
    assert!(renewals > 2_000 && (100..=256 + 300).contains(&added), "{added} of {renewals} renewals");
    let started = within(&moving, |call| ["vfork", "clone", "fork", "clone3"].contains(&call.name()));
    let added = within(&moving, |call| call.is_add());
    assert!(takes > 200 && (1..=8 + 12).contains(&added.max(started)), "{added}, {started} hooks of {takes} takes");
}

fn hooks_run_for_states_that_can_be_and_a_flood_of_them_is_its_end() {
    let lan = Lan::new();
    let hooks = ["--on-active", "--on-standby", "--on-unfit", "--on-shutdown"].map(|option| [option, "/bin/true"]);
    let mut traced = Traced::start(&lan.a, "states", &hooks.concat());
    traced.daemon.says("active: ");
    sleep(Duration::from_millis(300));
    let thief = Stolen::from(&traced.daemon);
    let from = seconds(SystemTime::now());
    let [standby, active, unfit, shutdown] = [0, 1, 2, 3];
    for state in [standby, unfit, shutdown, 4, 255] {
        thief.change(state).unwrap();
    }
    thief.beat(now_us(), RELEASE, None).unwrap();
    for state in [active, shutdown, active] {
        thief.change(state).unwrap();
    }
    sleep(Duration::from_millis(200));
    let to = seconds(SystemTime::now());
    for _ in 0..40 {
        if thief.change(standby).and(thief.change(unfit)).is_err() {
            break;
        }
    }
    traced.daemon.says("warning: worker sent an order to change the state more often than it can");
    traced.daemon.says("error: worker dropped: no node would order that; addresses released");
    traced.end();
    let calls = traced.calls(Who::Keeper);
    let starts = |call: &crate::syscalls::Call| ["vfork", "clone", "fork", "clone3"].contains(&call.name());
    let started: Vec<_> = calls.iter().filter(|call| (from..to).contains(&call.at) && starts(call)).cloned().collect();
    assert!(started.is_empty(), "none of these can be: {}", show(&started));
    assert!(count(&calls, starts) > 3, "the trace shows those that run");
}

fn it_asks_hosts_at_their_cards_and_nobody_else() {
    let lan = Lan::new();
    let daemon = Daemon::start(&lan.a, &["--address", SHARED_CIDR, "--interval", "500ms", "--tolerance", "3s"]);
    daemon.says("active: ");
    sleep(Duration::from_millis(200));
    let thief = Stolen::from(&daemon);
    let capture = Capture::start(&lan.b, "arp and ether src 02:00:00:00:00:0b");
    thief.beat(now_us(), RENEW, None).unwrap();
    let (host, card) = ([10, 0, 0, 12], [1, 2, 0, 0, 0, 0, 0x0c]);
    for neighbour in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4], [10, 0, 0, 100]] {
        thief.order(&[&[ASK, 0][..], &as_sent(neighbour), &card].concat()).unwrap();
    }
    for many in [[1, 0, 0, 0, 0, 0, 0], [1, 255, 255, 255, 255, 255, 255], [1, 1, 0, 0x5e, 2, 3, 4]] {
        thief.order(&[&[ASK, 0][..], &as_sent(host), &many].concat()).unwrap();
    }
    thief.order(&[&[ASK, 0][..], &as_sent(host), &card].concat()).unwrap();
    let _ = thief.answers(Duration::from_millis(300));
    let frames = capture.so_far();
    assert_eq!(frames.len(), 1, "{frames:?}");
    assert!(frames[0].text.contains("who-has 10.0.0.12 tell 10.0.0.100"), "{frames:?}");
}
