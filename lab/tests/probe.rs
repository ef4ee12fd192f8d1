//! Does the probe measure right? It is tested with events of known length, without any daemon.
//!
//! A virtual machine that shares its processors loses 5 to 20 ms now and then. So each event is repeated until the
//! probe has seen one without a stall; that one has to be right to a millisecond and a half. If all twenty had one, the
//! last has to be right to its own stall.

use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, UdpSocket};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use ha_lab::analysis::{Recording, Span, Witness, millis};
use ha_lab::frames::{self, Mac, nd};
use ha_lab::neighbours;
use ha_lab::net::{Lab, SHARED, SHARED_SIX};
use ha_lab::probe::Probe;
use ha_lab::sys::{self, Nanos};
use ha_lab::tap::{FromAddress, Memberships, Tap};

mod namespaces;

fn main() -> ExitCode {
    namespaces::run([
        ("an_outage_of_50_ms_is_a_blackout_and_a_gap_of_50_ms", || outage(SHARED.into())),
        ("an_outage_of_an_address_of_ipv6_is_seen_as_one_of_ipv4", || outage(SHARED_SIX.into())),
        ("two_owners_for_100_ms_are_seen_for_100_ms_to_the_grain_of_a_round", || two_owners(SHARED.into())),
        ("two_owners_of_an_address_of_ipv6_are_seen_as_of_ipv4", || two_owners(SHARED_SIX.into())),
        ("a_stale_cache_is_a_blackout_without_a_gap_until_the_new_owner_announces_itself", || {
            stale_cache(SHARED.into())
        }),
        ("a_stale_cache_of_ipv6_is_seen_as_one_of_ipv4", || stale_cache(SHARED_SIX.into())),
        ("a_client_sends_to_the_station_that_said_last_that_it_has_the_address", entries),
        ("a_resign_and_the_successors_arp_20_ms_later_are_20_ms_apart_on_its_cable", hop),
        ("a_hushed_probe_asks_nothing_and_reads_later_what_came_meanwhile", hushed),
        ("frames_of_one_node_count_if_they_come_from_the_shared_address", from_address),
        ("of_all_that_a_node_sends_only_what_names_its_groups_is_counted", memberships),
        ("a_lab_is_used_by_one_at_a_time_and_leaves_nothing_behind", nothing_left),
    ])
}

/// Adds the address to a node and removes it, by one `ip` that waits for commands: starting a new one each time would
/// take longer than the event.
struct AddressSwitch {
    ip: Child,
    number: u8,
    address: IpAddr,
}

impl AddressSwitch {
    fn of(lab: &Lab, number: u8, address: IpAddr) -> Self {
        let mut command = Command::new("ip");
        command.args(["-batch", "-"]).stdin(Stdio::piped());
        sys::confine(&mut command, File::open(lab.namespace(&format!("n{number}"))).unwrap());
        Self { ip: command.spawn().unwrap(), number, address }
    }

    fn add(&mut self) -> Nanos {
        self.order("add")
    }

    fn del(&mut self) -> Nanos {
        self.order("del")
    }

    fn order(&mut self, verb: &str) -> Nanos {
        let pipe = self.ip.stdin.as_mut().unwrap();
        match self.address {
            IpAddr::V4(address) => writeln!(pipe, "address {verb} {address}/24 dev eth0"),
            IpAddr::V6(address) => writeln!(pipe, "address {verb} {address}/64 dev eth0 nodad"),
        }
        .unwrap();
        sys::now()
    }

    fn mac(&self) -> Mac {
        Mac::of(self.number)
    }
}

impl Drop for AddressSwitch {
    fn drop(&mut self) {
        let _ = self.ip.kill();
        let _ = self.ip.wait();
    }
}

/// The recording of an event whose times are known.
struct Known {
    event: Span,
    recording: Recording,
}

impl Known {
    /// The values around the event, and how long it was.
    fn seen(&self) -> (Witness, f64) {
        (Witness::of(&self.recording, &[self.around()]), millis(self.event.length()))
    }

    /// How wrong they may be.
    fn tolerance_ms(&self) -> f64 {
        let stall = self.stall();
        if stall < CLEAN { 1.5 } else { 1.5 + millis(stall) }
    }

    fn stall(&self) -> Nanos {
        self.recording.stall(self.around())
    }

    fn around(&self) -> Span {
        Span::new(self.event.from - 20 * MS, self.event.until + 20 * MS)
    }
}

/// Node 1 has the address, the client knows, and `event` says when it happened.
fn measure(address: IpAddr, event: impl Fn(&Lab, &mut AddressSwitch, &mut AddressSwitch) -> Span) -> Known {
    let mut attempts = 0;
    loop {
        let lab = wait_for(|| Lab::up("halab-test", 2).ok());
        if address.is_ipv6() {
            lab.add_six().unwrap();
        }
        let (mut one, mut two) = (AddressSwitch::of(&lab, 1, address), AddressSwitch::of(&lab, 2, address));
        let probe = Probe::start(&lab.namespace("client"), address).unwrap();
        one.add();
        wait_for(|| probe.is_served_by(one.mac()).then_some(()));
        pause(50);
        let event = event(&lab, &mut one, &mut two);
        pause(50);
        let recording = probe.stop().unwrap();
        assert_eq!(recording.lost_frames, 0);
        let known = Known { event, recording };
        attempts += 1;
        if known.stall() < CLEAN || attempts == 20 {
            return known;
        }
    }
}

fn outage(address: IpAddr) {
    let known = measure(address, |_, one, _| {
        let from = one.del();
        pause(50);
        Span::new(from, one.add())
    });
    let (seen, length) = known.seen();
    assert!((seen.blackout_ms - length).abs() < known.tolerance_ms(), "{length} ms: {seen:?}");
    assert!((seen.gap_ms - length).abs() < known.tolerance_ms(), "{length} ms: {seen:?}");
    assert_eq!((seen.two_owners_ms, seen.moves), (0.0, 0));
}

fn two_owners(address: IpAddr) {
    let known = measure(address, |_, _, two| {
        let from = two.add();
        pause(100);
        Span::new(from, two.del())
    });
    let (seen, length) = known.seen();
    let round = 5.5;
    assert!((seen.two_owners_ms - length).abs() < known.tolerance_ms() + round, "{length} ms: {seen:?}");
    assert!(seen.blackout_ms < known.tolerance_ms() && seen.gap_ms < known.tolerance_ms(), "{seen:?}");
    assert_eq!(seen.moves, 1);
}

fn stale_cache(address: IpAddr) {
    let known = measure(address, |lab, one, two| {
        let out = sys::inside(&lab.namespace("n2"), || sys::packet_socket("eth0", frames::ARP)).unwrap();
        let from = one.del();
        two.add();
        pause(80);
        sys::send_frame(&out, &announcement(two.mac(), address)).unwrap();
        Span::new(from, sys::now())
    });
    let (seen, length) = known.seen();
    let round = 5.5;
    assert!((seen.blackout_ms - length).abs() < known.tolerance_ms(), "{length} ms: {seen:?}");
    assert!(seen.gap_ms < known.tolerance_ms() + round, "{seen:?}");
    assert_eq!(seen.moves, 1);
}

fn hop() {
    let lab = wait_for(|| Lab::up("halab-test", 2).ok());
    let sender = sys::inside(&lab.namespace("n1"), || UdpSocket::bind("10.77.0.11:0")).unwrap();
    sender.set_broadcast(true).unwrap();
    let wire = sys::inside(&lab.namespace("n2"), || sys::packet_socket("eth0", frames::ARP)).unwrap();
    let tap = Tap::on(&lab, 2).unwrap();
    let play = |resigns: bool| {
        tap.forget().unwrap();
        sys::send_frame(&wire, &gratuitous(Mac::of(2))).unwrap(); // before the resign: does not count
        let from = sys::now();
        if resigns {
            sender.send_to(b"ha\x01\0\x07\x03\x10", "10.77.0.255:5555").unwrap(); // shutdown, released
        }
        let sent = sys::now();
        pause(20);
        let announced = sys::now();
        sys::send_frame(&wire, &gratuitous(Mac::of(2))).unwrap();
        let until = sys::now();
        pause(5);
        // The kernel stamps each frame while it is being sent.
        tap.hop(Mac::of(1), Mac::of(2)).map(|hop| (hop, announced - sent..=until - from))
    };
    let (hop, known) = wait_for(|| play(true).ok()); // a new switch takes its time
    assert!(known.contains(&hop), "{hop} ns, expected {known:?}");
    assert!(play(false).is_err(), "no node has resigned");
}

fn hushed() {
    let lab = wait_for(|| Lab::up("halab-test", 2).ok());
    let mut one = AddressSwitch::of(&lab, 1, SHARED.into());
    let wire = |node: &str| sys::inside(&lab.namespace(node), || sys::packet_socket("eth0", frames::ARP)).unwrap();
    let probe = Probe::start(&lab.namespace("client"), SHARED.into()).unwrap();
    one.add();
    wait_for(|| probe.is_served_by(one.mac()).then_some(()));
    probe.hush();
    pause(50); // for the question that was under way
    let hushed = sys::now();
    sys::send_frame(&wire("n2"), &gratuitous(Mac::of(2))).unwrap();
    pause(200);
    let span = Span::new(hushed, sys::now());
    probe.speak();
    sys::send_frame(&wire("n1"), &gratuitous(one.mac())).unwrap();
    wait_for(|| probe.is_served_by(one.mac()).then_some(()));
    let recording = probe.stop().unwrap();
    let asked = recording.echoes.iter().chain(&recording.rounds).filter(|at| span.contains(**at)).count();
    assert_eq!(asked, 0);
    let seen: Vec<_> = recording.sightings.iter().filter(|sighting| span.contains(sighting.at)).collect();
    assert_eq!(seen.iter().map(|sighting| sighting.mac).collect::<Vec<_>>(), [Mac::of(2)], "{seen:?}");
}

fn from_address() {
    let lab = wait_for(|| Lab::up("halab-test", 2).ok());
    let wires =
        ["n1", "n2"].map(|node| sys::inside(&lab.namespace(node), || sys::packet_socket("eth0", frames::ARP)).unwrap());
    for (address, question) in
        [(SHARED.into(), frames::who_has(SHARED).to_vec()), (SHARED_SIX.into(), nd::who_has(SHARED_SIX))]
    {
        let cable = FromAddress::of(&lab, 1, address).unwrap();
        // The switch sends what node 2 says to node 1, too.
        let sent = [(0, announcement(Mac::of(1), address)), (1, announcement(Mac::of(2), address)), (0, question)];
        let times = wait_for(|| {
            for (node, frame) in &sent {
                sys::send_frame(&wires[*node], frame).unwrap();
            }
            pause(5);
            Some(cable.times().unwrap()).filter(|times| !times.is_empty()) // a new switch takes its time
        });
        assert_eq!(times.len(), 1, "{times:?}");
        assert!(cable.times().unwrap().is_empty(), "each of them once");
    }
}

fn memberships() {
    let lab = wait_for(|| Lab::up("halab-test", 2).ok());
    let wires =
        ["n1", "n2"].map(|node| sys::inside(&lab.namespace(node), || sys::packet_socket("eth0", frames::ARP)).unwrap());
    let report = |mac| {
        let mut frame = nd::advertisement(mac, SHARED_SIX);
        frame[usize::try_from(nd::NEXT_HEADER).unwrap()] = nd::HOP_BY_HOP;
        frame
    };
    let cable = Memberships::of(&lab, 1).unwrap();
    let [one, two] = [Mac::of(1), Mac::of(2)];
    let sent =
        [(0, report(one)), (0, nd::advertisement(one, SHARED_SIX)), (0, gratuitous(one).to_vec()), (1, report(two))];
    let counted = wait_for(|| {
        for (node, frame) in &sent {
            sys::send_frame(&wires[*node], frame).unwrap();
        }
        pause(5);
        Some(cable.count().unwrap()).filter(|count| *count > 0) // a new switch takes its time
    });
    assert_eq!((counted, cable.count().unwrap()), (1, 0));
}

fn entries() {
    let lab = wait_for(|| Lab::up("halab-test", 2).ok());
    lab.add_six().unwrap();
    let wire = sys::inside(&lab.namespace("n2"), || sys::packet_socket("eth0", frames::ARP)).unwrap();
    for (mut one, address) in [SHARED.into(), SHARED_SIX.into()].map(|a| (AddressSwitch::of(&lab, 1, a), a)) {
        let entry = || neighbours::entry(&lab, "client", address).unwrap();
        assert_eq!(entry(), None);
        one.add();
        let probe = Probe::start(&lab.namespace("client"), address).unwrap();
        wait_for(|| probe.is_served_by(one.mac()).then_some(()));
        probe.stop().unwrap();
        assert_eq!(entry(), Some(one.mac()));
        pause(1_100); // for as long the kernel believes no gratuitous ARP (`locktime` of arp(7))
        sys::send_frame(&wire, &announcement(Mac::of(2), address)).unwrap();
        pause(20);
        assert_eq!(entry(), Some(Mac::of(2)));
    }
}

fn nothing_left() {
    let lab = Lab::up("halab-test-gone", 2).unwrap();
    let member = lab.namespace("n1");
    assert!(member.exists());
    let refusal = Lab::up("halab-test-gone", 2).expect_err("one at a time");
    assert!(refusal.to_string().contains("in use"), "{refusal}");
    drop(lab);
    assert!(!member.exists());
}

/// What a new owner sends first.
fn announcement(mac: Mac, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(_) => gratuitous(mac).to_vec(),
        IpAddr::V6(address) => nd::advertisement(mac, address),
    }
}

/// RFC 5227 2.3: a request from and for the address.
fn gratuitous(mac: Mac) -> [u8; 42] {
    let mut frame = frames::who_has(SHARED);
    frame[6..12].copy_from_slice(&mac.0);
    frame[22..28].copy_from_slice(&mac.0);
    frame[28..32].copy_from_slice(&SHARED.octets());
    frame
}

/// Tests run side by side, labs of one name do not: they wait for each other here.
fn wait_for<T>(what: impl Fn() -> Option<T>) -> T {
    for _ in 0..12_000 {
        if let Some(value) = what() {
            return value;
        }
        pause(10);
    }
    panic!("two minutes are over");
}

fn pause(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

const MS: Nanos = 1_000_000;
/// A pause between two echoes that does not count as a stall.
const CLEAN: Nanos = 2 * MS;
