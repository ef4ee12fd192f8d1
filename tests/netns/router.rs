//! Routers with a LAN and a WAN: addresses on two interfaces, which move together.

use std::fs;
use std::net::SocketAddrV4;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use ha::wire::arp;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto};
use rustix::process::Signal;

use crate::card::Card;
use crate::daemon::{Daemon, FAST};
use crate::files::Folder;
use crate::lan::{A, B, Kernel, Namespace, SHARED, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};
use crate::program;

tests![
    the_addresses_of_both_sides_come_together_and_go_together,
    a_cable_pulled_on_either_side_moves_both_addresses,
    an_interface_that_comes_late_is_waited_for_and_named_once,
    an_address_that_the_kernel_refuses_on_one_side_leaves_none_on_the_other,
    a_stranger_on_the_other_side_is_named_and_contradicted_there,
    an_address_in_use_on_the_other_side_keeps_all_from_being_taken,
    a_node_that_hears_no_peer_on_one_side_finds_it_on_the_other,
    what_is_left_on_either_side_is_removed_at_start,
    a_new_hardware_address_on_the_other_side_is_announced_there,
    without_a_fence_the_addresses_of_both_sides_end_with_their_lease,
    an_interface_that_is_exchanged_loses_none_of_the_others,
    an_address_that_is_removed_on_the_other_side_is_put_back,
    a_default_route_through_the_address_comes_and_goes_with_it,
    heartbeats_may_have_an_interface_to_themselves,
];

tests![TRACED: four_links_of_both_families_move_in_one_message];

tests![BY_NFTABLES: a_frozen_owner_is_silent_on_both_sides];

tests![BY_CLSACT: by_clsact_a_frozen_owner_is_silent_on_both_sides];

const WAN: &str = "203.0.113.5";
const WAN_CIDR: &str = "203.0.113.5/29";
const WAN_A: &str = "02:00:00:00:01:0b";
const WAN_B: &str = "02:00:00:00:01:0c";

/// Two routers, and a host that is on both sides of them: a bridge of its own is the switch of each.
struct Site {
    a: Namespace,
    b: Namespace,
    /// With the bridges `lan` and `wan`, and the ports `lan-a` to `wan-b`.
    host: Namespace,
}

impl Site {
    fn new() -> Self {
        Self::of(Kernel::Whole)
    }

    /// The routers have this kernel.
    fn of(kernel: Kernel) -> Self {
        let [a, b, host] = [(); 3].map(|()| Namespace::new().expect("was permitted at start"));
        let site = Self { a: a.with(kernel), b: b.with(kernel), host };
        for (bridge, own) in [("lan", "10.0.0.1/24"), ("wan", "203.0.113.1/29")] {
            site.host.ip(&format!("link add {bridge} type bridge forward_delay 0"));
            site.host.ip(&format!("address add {own} dev {bridge}"));
            site.host.ip(&format!("link set {bridge} up"));
        }
        for (node, (own, mac), wan) in [(&site.a, A, WAN_A), (&site.b, B, WAN_B)] {
            let name = if own == A.0 { "a" } else { "b" };
            site.join(node, &format!("lan-{name}"), "lan", "eth0", mac);
            node.ip(&format!("address add {own}/24 brd + dev eth0"));
            site.join(node, &format!("wan-{name}"), "wan", "wan0", wan);
        }
        site
    }

    fn join(&self, node: &Namespace, port: &str, bridge: &str, card: &str, mac: &str) {
        let ends = format!("link add {port} type veth peer name {card} address {mac} netns {}", node.path());
        self.host.ip(&ends);
        self.host.ip(&format!("link set {port} master {bridge} up"));
        node.ip(&format!("link set {card} up"));
    }

    /// The host's entry for an address.
    fn entry(&self, address: &str, bridge: &str) -> String {
        self.host.ip(&format!("neighbour show {address} dev {bridge}"))
    }

    /// True if the address answers the host now.
    fn answers(&self, address: &str) -> bool {
        self.host.inside(|| {
            let socket = rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)).unwrap();
            let to = SocketAddrV4::new(address.parse().unwrap(), 0);
            rustix::net::sendto(&socket, &ECHO, SendFlags::empty(), &to).is_ok() && {
                let deadline = Instant::now() + Duration::from_millis(500);
                std::iter::from_fn(|| {
                    let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
                    set_socket_timeout(&socket, Timeout::Recv, Some(left)).unwrap();
                    let mut packet = [0; 64];
                    rustix::net::recv(&socket, &mut packet[..], RecvFlags::empty()).ok().map(|_| packet)
                })
                .any(|packet| packet[12..16] == to.ip().octets() && packet[20] == 0)
            }
        })
    }

    fn both(&self) -> [bool; 2] {
        [self.answers(SHARED), self.answers(WAN)]
    }
}

/// With the addresses of both sides.
fn router(node: &Namespace, more: &[&str]) -> Daemon {
    Daemon::start(node, &[FAST, &["--address", SHARED_CIDR, "--address", "203.0.113.5/29 dev wan0"], more].concat())
}

fn has_wan(node: &Namespace) -> bool {
    node.ip("-4 address show dev wan0").contains(WAN_CIDR)
}

fn has(node: &Namespace) -> [bool; 2] {
    [node.has(SHARED_CIDR), has_wan(node)]
}

/// An echo request: type, code, checksum, identifier, number (RFC 792).
const ECHO: [u8; 8] = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];

const NONE: [bool; 2] = [false; 2];
const ALL: [bool; 2] = [true; 2];

/// The first one is active, and the second one is ready to take over.
fn pair(site: &Site, more: &[&str]) -> (Daemon, Daemon) {
    let a = router(&site.a, more);
    a.says("active: ");
    let b = router(&site.b, more);
    b.says("standby: ");
    sleep(Duration::from_millis(700));
    (a, b)
}

fn the_addresses_of_both_sides_come_together_and_go_together() {
    let site = Site::new();
    let (mut a, b) = pair(&site, &[]);
    assert_eq!((has(&site.a), has(&site.b)), (ALL, NONE), "{}", a.log());
    let shown = site.a.ip("-4 address show dev wan0");
    assert!(shown.contains("wan0:1") && !shown.contains("inet 10."), "{shown}");
    assert_eq!(site.both(), ALL);
    assert!(site.entry(SHARED, "lan").contains(A.1) && site.entry(WAN, "wan").contains(WAN_A));
    a.signal(Signal::TERM);
    b.says("active: 10.0.0.11 resigned");
    assert!(a.exit().success());
    assert_eq!((has(&site.a), has(&site.b)), (NONE, ALL), "{}", b.log());
    for (address, bridge, mac) in [(SHARED, "lan", B.1), (WAN, "wan", WAN_B)] {
        eventually("it is told", PATIENCE, || site.entry(address, bridge).contains(mac));
    }
    assert_eq!(site.both(), ALL);
}

fn a_cable_pulled_on_either_side_moves_both_addresses() {
    for (port, card) in [("wan-a", "wan0"), ("lan-a", "eth0")] {
        let site = Site::new();
        let (a, b) = pair(&site, &[]);
        site.host.ip(&format!("link set {port} down"));
        a.says(&format!("unfit: interface is down or has no carrier ({card})"));
        b.says("active: ");
        assert_eq!((has(&site.a), has(&site.b)), (NONE, ALL), "{port}: {}", a.log());
        site.host.ip(&format!("link set {port} up"));
        a.says("standby: ");
        eventually("one of them has all", PATIENCE, || [has(&site.a), has(&site.b)] == [ALL, NONE]);
        assert_eq!(site.both(), ALL);
    }
}

fn an_interface_that_comes_late_is_waited_for_and_named_once() {
    let site = Site::new();
    site.a.ip("link delete wan0");
    site.host.ip("link set lan-a down");
    let a = router(&site.a, &[]);
    a.says("unfit: interface is down or has no carrier; waiting for eth0");
    site.host.ip("link set lan-a up");
    a.says("unfit: interface does not exist; waiting for wan0");
    sleep(Duration::from_millis(2_500));
    assert_eq!((a.count("wan0"), a.count("unfit")), (1, 2), "{}", a.log());
    assert!(!site.a.has(SHARED_CIDR));
    site.join(&site.a, "wan-a", "wan", "wan0", WAN_A);
    a.says("standby: ");
    a.says("active: ");
    assert_eq!(has(&site.a), ALL);
    site.a.ip("link delete wan0");
    a.says("unfit: interface does not exist (wan0)");
    assert!(!site.a.has(SHARED_CIDR));
}

fn an_address_that_the_kernel_refuses_on_one_side_leaves_none_on_the_other() {
    let site = Site::new();
    // IPv6 is off in these namespaces.
    let a = router(&site.a, &["--address", "2001:db8:1::5/64 dev wan0"]);
    a.says("error: add 2001:db8:1::5/64 on wan0:1: ");
    a.says("unfit: kernel refused the address");
    assert_eq!(has(&site.a), NONE);
}

fn a_stranger_on_the_other_side_is_named_and_contradicted_there() {
    let site = Site::new();
    let a = router(&site.a, &[]);
    a.says("active: ");
    assert_eq!(site.both(), ALL);
    let card = Card::on(&site.host, "wan");
    let claim = arp::gratuitous_request([2, 0, 0, 0, 0, 0x66], WAN.parse().unwrap());
    card.send(&claim);
    a.says("warning: conflict: 02:00:00:00:00:66 (no node that is known) says that it has 203.0.113.5");
    assert_eq!(site.both(), ALL);
    // What is said of it elsewhere does not matter.
    Card::on(&site.host, "lan").send(&claim);
    sleep(Duration::from_millis(300));
    assert_eq!(a.count("conflict"), 1, "{}", a.log());
}

fn an_address_in_use_on_the_other_side_keeps_all_from_being_taken() {
    let site = Site::new();
    site.host.ip(&format!("address add {WAN_CIDR} dev wan"));
    let a = router(&site.a, &[]);
    a.says("203.0.113.5 is in use by ");
    assert_eq!(has(&site.a), NONE);
    site.host.ip(&format!("address delete {WAN_CIDR} dev wan"));
    a.says("active: ");
    assert_eq!(has(&site.a), ALL);
}

fn a_node_that_hears_no_peer_on_one_side_finds_it_on_the_other() {
    let site = Site::new();
    let (_a, b) = pair(&site, &[]);
    site.host.ip("link add other type bridge forward_delay 0");
    site.host.ip("link set other up");
    site.host.ip("link set lan-b master other");
    b.says("203.0.113.5 is in use by 02:00:00:00:01:0b");
    sleep(Duration::from_secs(1));
    assert_eq!((has(&site.a), has(&site.b)), (ALL, NONE), "{}", b.log());
}

fn what_is_left_on_either_side_is_removed_at_start() {
    let site = Site::new();
    site.a.ip(&format!("address add {SHARED_CIDR} dev eth0"));
    // It is the only one there: the server is reached by the first interface.
    site.a.ip(&format!("address add {WAN_CIDR} dev wan0"));
    let a = router(&site.a, &["--worthiness", "0"]);
    a.says("10.0.0.100/24 was up though this node is not active: removed");
    a.says("203.0.113.5/29 was up though this node is not active: removed");
    assert_eq!(has(&site.a), NONE);
    site.a.ip(&format!("address add {WAN_CIDR} dev wan0"));
    eventually("it is removed again", PATIENCE, || has(&site.a) == NONE);
}

fn a_new_hardware_address_on_the_other_side_is_announced_there() {
    let site = Site::new();
    let a = router(&site.a, &[]);
    a.says("active: ");
    assert_eq!(site.both(), ALL);
    site.a.ip("link set wan0 address 02:00:00:00:01:77");
    a.says("hardware address of wan0 changed");
    eventually("it is told", PATIENCE, || site.entry(WAN, "wan").contains("02:00:00:00:01:77"));
    assert_eq!(a.count("unfit"), 0, "{}", a.log());
}

fn without_a_fence_the_addresses_of_both_sides_end_with_their_lease() {
    let site = Site::new();
    let (a, b) = pair(&site, &["--fence", "off"]);
    a.signal_both(Signal::STOP);
    b.says("active: 10.0.0.11 silent");
    assert_eq!((has(&site.a), has(&site.b)), (NONE, ALL), "{}", b.log());
    a.signal_both(Signal::CONT);
}

fn a_frozen_owner_is_silent_on_both_sides() {
    let site = Site::new();
    let tables = || {
        let output = site.a.command("nft").args(["list", "ruleset"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    frozen(&site, "nftables", tables);
}

fn by_clsact_a_frozen_owner_is_silent_on_both_sides() {
    let site = Site::of(Kernel::WithoutNftables);
    let filters = || {
        let at = |name| {
            let output = site.a.command("tc").args(["filter", "show", "dev", name, "egress"]).output().unwrap();
            if output.stdout.is_empty() { "" } else { name }
        };
        ["eth0", "wan0"].map(at).concat()
    };
    frozen(&site, "clsact", filters);
}

fn frozen(site: &Site, form: &str, fenced: impl Fn() -> String) {
    let a = router(&site.a, &["--no-lease"]);
    a.says(&format!("({form})"));
    a.says("active: ");
    let listed = fenced();
    assert!(["eth0", "wan0"].iter().all(|name| listed.contains(name)), "{listed}");
    assert_eq!(site.both(), ALL);
    a.signal_both(Signal::STOP);
    sleep(Duration::from_millis(400));
    assert_eq!((has(&site.a), site.both()), (ALL, NONE));
    a.signal_both(Signal::CONT);
    eventually("it is there again", PATIENCE, || site.both() == ALL);
}

fn an_interface_that_is_exchanged_loses_none_of_the_others() {
    let site = Site::new();
    let a = router(&site.a, &[]);
    a.says("active: ");
    a.signal(Signal::STOP);
    site.a.ip("link delete wan0");
    site.join(&site.a, "wan-a", "wan", "wan0", WAN_A);
    a.signal(Signal::CONT);
    a.says("unfit: interface is another one now (wan0)");
    a.says("active: ");
    assert_eq!((has(&site.a), site.both()), (ALL, ALL));
}

fn an_address_that_is_removed_on_the_other_side_is_put_back() {
    let site = Site::new();
    let a = router(&site.a, &[]);
    a.says("active: ");
    let removed = SystemTime::now();
    site.a.ip(&format!("address delete {WAN_CIDR} dev wan0"));
    let said = a.says("address was removed from outside: put back");
    assert!(said.duration_since(removed).unwrap() < Duration::from_secs(1));
    assert_eq!(has(&site.a), ALL);
}

fn a_default_route_through_the_address_comes_and_goes_with_it() {
    let site = Site::new();
    let folder = Folder::new("route");
    let add = format!(
        "PATH={}\nexec ip route replace default via 203.0.113.1 dev wan0 src {WAN}",
        crate::lan::path().to_string_lossy()
    );
    let mut a = router(&site.a, &["--on-active", &folder.script("route", &add)]);
    a.says("active: ");
    let routed = || site.a.ip("route show default");
    eventually("the route is there", PATIENCE, || routed().contains(&format!("via 203.0.113.1 dev wan0 src {WAN}")));
    for (to, from) in [("198.51.100.1", WAN), ("203.0.113.1", WAN), ("10.0.0.1", A.0)] {
        let route = site.a.ip(&format!("route get {to}"));
        assert!(route.contains(&format!("src {from} ")), "{route}");
    }
    // It goes with an address that stays alone, and beside one that is the server's own.
    a.signal(Signal::TERM);
    assert!(a.exit().success());
    assert_eq!(routed(), "");
    site.a.ip("address add 203.0.113.2/29 dev wan0");
    let mut a = router(&site.a, &["--on-active", &folder.script("route", &add)]);
    a.says("active: ");
    eventually("the route is there", PATIENCE, || routed().contains(WAN));
    a.signal(Signal::TERM);
    assert!(a.exit().success());
    assert_eq!(routed(), "");
}

fn heartbeats_may_have_an_interface_to_themselves() {
    let site = Site::new();
    let node = |host: &Namespace| Daemon::start(host, &[FAST, &["--address", "203.0.113.5/29 dev wan0"]].concat());
    let a = node(&site.a);
    a.says("active: ");
    let b = node(&site.b);
    b.says("standby: ");
    sleep(Duration::from_millis(700));
    assert_eq!((has(&site.a), has(&site.b)), ([false, true], NONE));
    a.signal(Signal::TERM);
    b.says("active: 10.0.0.11 resigned");
    assert!(site.answers(WAN));
}

fn four_links_of_both_families_move_in_one_message() {
    let site = Site::new();
    let mut options = vec!["--tolerance".to_owned(), "3.5s".to_owned()];
    for (number, name) in ["eth0", "wan0", "dmz0", "vpn0"].into_iter().enumerate() {
        if number > 1 {
            site.join(&site.a, &format!("{name}-a"), "wan", name, &format!("02:00:00:00:0{number}:0b"));
        }
        site.a.inside(|| fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "0").unwrap());
        for address in 1..=2 {
            for cidr in [format!("10.{number}.1.{address}/24"), format!("2001:db8:{number}::{address}/64")] {
                options.extend(["--address".to_owned(), format!("{cidr} dev {name}")]);
            }
        }
    }
    let trace = std::env::temp_dir().join(format!("ha-{}-router.strace", std::process::id()));
    let mut command = site.a.command("strace");
    command.args(["-D", "-q", "-s", "4000", "-e", "trace=sendto", "-o"]).arg(&trace).arg(program());
    command.args(["run", "--interface", "eth0", "--config", "/dev/null", "--no-realtime"]).args(&options);
    let mut daemon = Daemon::spawn(command);
    daemon.says("active: ");
    for name in ["eth0", "wan0", "dmz0", "vpn0"] {
        let there = site.a.ip(&format!("address show dev {name}"));
        assert_eq!(there.matches("valid_lft 2sec").count(), 4, "{there}");
    }
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    eventually("the trace is complete", PATIENCE, || fs::read_to_string(&trace).unwrap().contains("+++ exited"));
    let calls = fs::read_to_string(&trace).unwrap();
    for kind in ["RTM_NEWADDR", "RTM_DELADDR"] {
        let most = calls.lines().map(|call| call.matches(kind).count()).max();
        assert_eq!(most, Some(16), "{kind}");
    }
    let _ = fs::remove_file(&trace);
}
