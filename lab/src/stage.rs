//! A LAN with a probe and daemons, and the steps that scenarios are made of.

mod clients;
mod cost;
mod trust;
mod wan;

use std::io;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::analysis::Recording;
use crate::frames::Mac;
use crate::keepalived;
use crate::net::{Lab, SHARED};
use crate::node::{Datagrams, Node, Part, Program, Setup};
use crate::place::Place;
use crate::probe::Probe;
use crate::run::Run;
use crate::skip;
use crate::sys::{self, Signal};
use crate::tap::{Announcements, FromAddress, Memberships, Pulse, Tap};
use crate::usage::Usage;

pub use cost::Costs;
pub use wan::{DARK, TAKEN};

/// One run's LAN. Node 1 is the most worthy, then node 2, and so on.
#[derive(Debug)]
pub struct Stage<'a> {
    run: &'a Run,
    place: Place<'a>,
    address: IpAddr,
    setup: Setup,
    nodes: Vec<(u8, Node)>, // ends before the lab does
    ended_on_purpose: Vec<u8>,
    probe: Probe,
    /// On the other side of routers.
    world: Option<Probe>,
    lab: Lab,
}

impl<'a> Stage<'a> {
    /// Builds the LAN. The probe runs already, and asks for `address`; no daemon does. If it is an address of IPv6, the
    /// nodes share it beside the one of IPv4.
    pub fn open(run: &'a Run, place: Place<'a>, address: IpAddr) -> io::Result<Self> {
        let lab = Lab::up(place.prefix, run.nodes)?;
        if address.is_ipv6() {
            lab.add_six()?;
        }
        let probe = Probe::start(&lab.namespace("client"), address)?;
        let setup = Setup { has_six: address.is_ipv6(), ..Setup::new(Program::Ha, run.timing) };
        Ok(Self {
            run,
            place,
            address,
            setup,
            nodes: Vec::new(),
            ended_on_purpose: Vec::new(),
            probe,
            world: None,
            lab,
        })
    }

    /// Ends the probe, then the daemons and the LAN.
    pub fn close(self) -> io::Result<Recording> {
        let Self { nodes, probe, lab, .. } = self;
        let recording = probe.stop();
        drop(nodes);
        drop(lab);
        recording
    }

    /// The conditions of this run.
    pub fn run(&self) -> &'a Run {
        self.run
    }

    /// From now on nodes start another daemon, or with another timing.
    pub fn set_up(&mut self, setup: Setup) {
        self.setup = setup;
    }

    /// From now on nodes start that daemon.
    pub fn set_program(&mut self, program: Program) {
        self.setup.program = program;
    }

    /// From now on nodes start with these options of `ha` besides those of the lab.
    pub fn set_options(&mut self, options: &'static [&'static str]) {
        self.setup.options = options;
    }

    /// Starts the daemon of a node, for the first time or again.
    pub fn start(&mut self, number: u8) -> io::Result<()> {
        self.nodes.retain(|(which, _)| *which != number);
        self.ended_on_purpose.retain(|which| *which != number);
        let worthiness = self.worthiness(number);
        let node = Node::start(self.place, &self.lab, number, worthiness, self.setup)?;
        self.nodes.push((number, node));
        Ok(())
    }

    /// Sends a signal to all processes of a node whose daemon was started.
    pub fn signal(&mut self, number: u8, signal: Signal) {
        if [Signal::SIGTERM, Signal::SIGKILL].contains(&signal) {
            self.ended_on_purpose.push(number);
        }
        self.node(number).signal(signal);
    }

    /// Kills one process of a node, or all.
    pub fn kill(&mut self, number: u8, part: Option<Part>) -> io::Result<()> {
        let Some(part) = part else {
            self.signal(number, Signal::SIGKILL);
            return Ok(());
        };
        if part == Part::Keeper {
            self.ended_on_purpose.push(number);
        }
        sys::signal(self.pid(number, part)?, Signal::SIGKILL);
        Ok(())
    }

    /// The process id of one process of a node.
    pub fn pid(&mut self, number: u8, part: Part) -> io::Result<i32> {
        self.node(number).pid(part)
    }

    /// The memory of one process of a node.
    pub fn pss_kb(&mut self, number: u8, part: Part) -> io::Result<f64> {
        self.node(number).pss_kb(part).map(f64::from)
    }

    /// Waits until the keeper of that node has another worker than `old`.
    pub fn wait_for_another_worker(&mut self, number: u8, old: i32) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(2);
        while !self.pid(number, Part::Worker).is_ok_and(|pid| pid != old) {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("node {number}: no new worker within 2 s")));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// What one process of a node has used.
    pub fn usage_of(&mut self, number: u8, part: Part) -> io::Result<Usage> {
        self.node(number).usage_of(part)
    }

    /// How many datagrams a node has received and lost.
    pub fn datagrams(&mut self, number: u8) -> io::Result<Datagrams> {
        self.node(number).datagrams()
    }

    /// Watches the heartbeats of a node.
    pub fn pulse(&self, number: u8) -> io::Result<Pulse> {
        Pulse::of(&self.lab, number)
    }

    /// Watches the cable of a node.
    pub fn tap(&self, number: u8) -> io::Result<Tap> {
        Tap::on(&self.lab, number)
    }

    /// Watches the gratuitous ARP of a node.
    pub fn announcements(&self, number: u8) -> io::Result<Announcements> {
        Announcements::of(&self.lab, number)
    }

    /// Watches what a node sends from the shared address.
    pub fn from_address(&self, number: u8) -> io::Result<FromAddress> {
        FromAddress::of(&self.lab, number, self.address)
    }

    /// Watches what a node says about the groups that it has joined.
    pub fn memberships(&self, number: u8) -> io::Result<Memberships> {
        Memberships::of(&self.lab, number)
    }

    /// After SIGTERM: refuses any end but a good one.
    pub fn wait_for_good_end(&mut self, number: u8) -> io::Result<()> {
        let limit = match self.setup.program {
            Program::Ha => Duration::from_secs(2),
            Program::Keepalived => Duration::from_secs(10), // it takes its time
        };
        self.node(number).wait_for_good_end(limit)
    }

    /// Stops all daemons in good order, the ACTIVE last, so that no other takes over.
    pub fn stop_all(&mut self) -> io::Result<()> {
        let (active, standbys): (Vec<_>, Vec<_>) =
            self.nodes.iter().map(|(number, _)| *number).partition(|number| *number == 1);
        for numbers in [standbys, active] {
            numbers.iter().for_each(|&number| self.signal(number, Signal::SIGTERM));
            numbers.iter().try_for_each(|&number| self.wait_for_good_end(number))?;
        }
        self.nodes.clear();
        Ok(())
    }

    /// Takes node 1's port down, then kills all its processes: no packet that they might still send gets out.
    pub fn cut_power(&mut self) -> io::Result<()> {
        self.lab.cut(1)?;
        self.signal(1, Signal::SIGKILL);
        Ok(())
    }

    /// Makes the switch drop multicast from now on.
    pub fn drop_multicast(&self) -> io::Result<()> {
        self.lab.snoop()
    }

    /// Takes the shared address away from a node, as a person would.
    pub fn delete_address(&self, number: u8) -> io::Result<()> {
        self.lab.ip(&format!("n{number}"), &format!("address del {SHARED}/24 dev eth0"))
    }

    /// Takes the nodes' own addresses of IPv4 away.
    pub fn remove_addresses_of_four(&self) -> io::Result<()> {
        (1..=self.run.nodes).try_for_each(|number| self.lab.ip(&format!("n{number}"), "-4 address flush dev eth0"))
    }

    /// Gives a node another MAC.
    pub fn set_mac(&self, number: u8, mac: Mac) -> io::Result<()> {
        self.lab.ip(&format!("n{number}"), &format!("link set eth0 address {mac:?}"))
    }

    /// Runs a command of `lab/net` on a node.
    pub fn change(&self, command: &str, number: u8) -> io::Result<()> {
        self.lab.change(command, number)
    }

    /// Starts all nodes. Returns when node 1 has the address, at this run's point between two heartbeats.
    pub fn start_all(&mut self) -> io::Result<Mac> {
        let mac = self.start_first(self.run.nodes)?;
        self.wait_for_the_point();
        Ok(mac)
    }

    /// Starts that many nodes. Returns when node 1 has the address. Where keepalived does not come that far, the reason
    /// is its own: the run is skipped.
    pub fn start_first(&mut self, count: u8) -> io::Result<Mac> {
        (1..=count).try_for_each(|number| self.start(number))?;
        if self.setup.program == Program::Ha {
            return self.wait_until_served_by(1);
        }
        let mac = Mac::of(1);
        let served = self.wait_within(self.patience() + SECOND_ANNOUNCEMENT, "node 1 to serve the client", &[mac]);
        served.map_err(|error| skip::because(format!("keepalived: {error}\n{}", self.log_tails())))?;
        Ok(mac)
    }

    /// Waits until all nodes have heard each other, and on to this run's point: the events of the runs begin at points
    /// spread evenly over the interval.
    pub fn wait_for_the_point(&self) {
        let interval = self.setup.timing.interval;
        self.sleep(interval.max(Duration::from_millis(500)) + self.point(interval));
    }

    /// This run's share of `span`.
    pub fn point(&self, span: Duration) -> Duration {
        span.mul_f64((f64::from(self.run.number) - 0.5) / f64::from(self.run.of))
    }

    /// Another share of `span`, for a later step of a run, which must not always follow the first at the same distance.
    pub fn other_point(&self, span: Duration) -> Duration {
        span.mul_f64((f64::from(self.run.number) * GOLDEN_RATIO).fract())
    }

    /// Waits until that node alone serves the client.
    pub fn wait_until_served_by(&mut self, number: u8) -> io::Result<Mac> {
        let mac = Mac::of(number);
        self.wait_for(&format!("node {number} to serve the client"), &[mac])?;
        Ok(mac)
    }

    /// Waits until a more worthy node that has just started has settled, and got the address.
    pub fn wait_for_hand_over_to(&mut self, number: u8) -> io::Result<()> {
        let timing = self.setup.timing;
        let limit = 2 * timing.tolerance + 3 * timing.interval + Duration::from_secs(2);
        self.wait_within(limit, &format!("a hand-over to node {number}"), &[Mac::of(number)])
    }

    /// Waits until that station alone serves the client, or until `limit` is over.
    pub fn watch_until_served_by(&mut self, mac: Mac, limit: Duration) -> io::Result<()> {
        let deadline = Instant::now() + limit;
        while !self.probe.is_served_by(mac) && Instant::now() < deadline {
            self.check_daemons()?;
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Whether another station than `owner` has had the address in the last `span`.
    pub fn has_moved_from(&self, owner: Mac, span: Duration) -> bool {
        self.probe.sightings_of_last(span).iter().any(|sighting| sighting.mac != owner)
    }

    /// Waits until one node alone serves the client.
    pub fn wait_until_served(&mut self) -> io::Result<()> {
        let all: Vec<_> = (1..=self.run.nodes).map(Mac::of).collect();
        self.wait_for("a node to serve the client", &all)
    }

    /// Waits until one node alone, and not the old one, serves the client.
    pub fn wait_for_other_than(&mut self, old: Mac) -> io::Result<()> {
        let others: Vec<_> = (1..=self.run.nodes).map(Mac::of).filter(|mac| *mac != old).collect();
        self.wait_for("a take-over", &others)
    }

    /// Waits until another node than the old one has the address, even if that one has it back a moment later.
    pub fn wait_for_a_move_from(&mut self, old: Mac) -> io::Result<()> {
        let deadline = Instant::now() + self.patience();
        while !self.has_moved_from(old, Duration::from_millis(500)) {
            self.check_daemons()?;
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("waited {:?} for a move", self.patience())));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Goes on for a while, so that the recording shows what follows.
    pub fn linger(&self, at_least: Duration) {
        self.sleep(self.setup.timing.interval.max(at_least));
    }

    /// Long enough for one owner to be found, and for the more worthy node to settle and claim.
    pub fn watch_after_the_fault(&self) {
        let timing = self.setup.timing;
        self.sleep((timing.tolerance + 2 * timing.interval).max(Duration::from_millis(1_500)));
    }

    /// Two seconds beyond the tolerance: each daemon gets the same time, also one that never lets go.
    pub fn watch_past_the_tolerance(&self) {
        self.sleep(self.setup.timing.tolerance + Duration::from_secs(2));
    }

    /// Sleeps. Scenarios may; the tests of the core may not.
    pub fn sleep(&self, span: Duration) {
        thread::sleep(span);
    }

    /// Refuses a daemon that has ended although the scenario has not ended it.
    pub fn check_daemons(&mut self) -> io::Result<()> {
        for (number, node) in &mut self.nodes {
            if !self.ended_on_purpose.contains(number) && !node.is_running() {
                return Err(io::Error::other(format!("the daemon of node {number} has ended by itself")));
            }
        }
        Ok(())
    }

    /// The last lines that each daemon wrote.
    pub fn log_tails(&self) -> String {
        self.nodes.iter().map(|(_, node)| node.log_tail()).collect()
    }

    fn worthiness(&self, number: u8) -> u16 {
        match self.setup.program {
            Program::Ha => 100 + u16::from(self.run.nodes) - u16::from(number),
            Program::Keepalived => keepalived::priority(number, self.run.nodes),
        }
    }

    fn node(&mut self, number: u8) -> &mut Node {
        let found = self.nodes.iter_mut().find(|(which, _)| *which == number);
        &mut found.expect("scenarios start a node before they do something to it").1
    }

    fn wait_for(&mut self, what: &str, candidates: &[Mac]) -> io::Result<()> {
        self.wait_within(self.patience(), what, candidates)
    }

    /// More than a group needs to find an owner.
    fn patience(&self) -> Duration {
        let timing = self.setup.timing;
        timing.tolerance + 3 * timing.interval + Duration::from_secs(2)
    }

    fn wait_within(&mut self, limit: Duration, what: &str, candidates: &[Mac]) -> io::Result<()> {
        let deadline = Instant::now() + limit;
        while !candidates.iter().any(|mac| self.probe.is_served_by(*mac)) {
            self.check_daemons()?;
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("waited {limit:?} for {what}")));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

/// After the second round of announcements, which comes 1.2 s after the first, and before the third, after 3 s.
pub const BETWEEN_ROUNDS: Duration = Duration::from_millis(900);

/// keepalived says again who has the address (`garp_master_delay`): clients that heard another master last know it then.
const SECOND_ANNOUNCEMENT: Duration = Duration::from_secs(5);

/// A client's kernel corrects a wrong entry by itself in less.
pub const LONG: Duration = Duration::from_secs(20);

/// The fractions of its multiples fill the interval from 0 to 1 evenly, however many there are.
const GOLDEN_RATIO: f64 = 0.618_034;
