//! The daemon's loop: sockets to inputs of the core, outputs of the core to sockets.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use ha::node::{Input, Link, MAX_OUTPUTS, Node, Output, Unfit};
use ha::time::Duration;
use ha::wire::{LEN, NodeId, State};
use log::{info, warn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::keeper::{Answer, Command, Keeper, Listed};
use crate::netlink::{Event, Events, Interface};
use crate::settings::Settings;
use crate::udp::GroupSocket;
use crate::{clock, sys};

/// Everything that the loop holds.
#[derive(Debug)]
pub struct Worker {
    settings: Settings,
    node: Node,
    keeper: Keeper,
    events: Events,
    signals: OwnedFd,
    group: Option<GroupSocket>,
    seen: Seen,
    /// The last packet could not be sent; said once.
    is_mute: bool,
    /// The sockets could not be opened; said once.
    is_detached: bool,
}

/// The interface as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Down(Unfit),
    Up(Interface, Ipv4Addr),
}

impl Worker {
    /// Opens everything and looks at the interface.
    ///
    /// # Errors
    /// One line that names what is missing; nothing was changed then.
    pub fn start(settings: Settings) -> Result<Box<Self>, String> {
        let signals = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1];
        let signals = sys::signal_fd(&signals).map_err(|error| format!("signalfd: {error}"))?;
        let mut keeper = Keeper::open(&settings)?;
        let events = Events::open(keeper.requests()).map_err(|error| format!("watch interfaces: {error}"))?;
        let mut seed = [0; 8];
        rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| format!("getrandom: {errno}"))?;
        let now = clock::now();
        let node = Node::new(settings.config.clone(), settings.seal.clone(), u64::from_ne_bytes(seed), now);
        Ok(Box::new(Self {
            settings,
            node,
            keeper,
            events,
            signals,
            group: None,
            seen: Seen::Nothing,
            is_mute: false,
            is_detached: false,
        }))
    }

    /// Runs until told to stop and done with it.
    ///
    /// # Errors
    /// The system took the means to wait; the address is released then.
    pub fn run(&mut self) -> Result<(), String> {
        self.look();
        while !self.node.is_finished() {
            let Ready { heard, claimed, changed, signalled } = match self.wait() {
                Ok(ready) => ready,
                Err(error) => {
                    self.feed(Input::Shutdown);
                    return Err(format!("ppoll: {error}"));
                }
            };
            if changed {
                self.follow_events();
            } else if !matches!(self.seen, Seen::Up(..)) {
                self.look();
            }
            if heard {
                self.hear();
            }
            self.feed(Input::Tick);
            if claimed {
                self.hear_claims();
            }
            if signalled {
                self.obey_signals();
            }
        }
        Ok(())
    }

    /// Sleeps until something can be read or the core's deadline has come.
    fn wait(&self) -> io::Result<Ready> {
        let now = clock::now();
        let until_deadline = self.node.deadline().map(|at| at.since(now));
        let until_look = (!matches!(self.seen, Seen::Up(..))).then_some(LOOK_AGAIN);
        let timeout = until_deadline.into_iter().chain(until_look).min().map(timespec);
        let mut fds: heapless::Vec<PollFd<'_>, 4> = heapless::Vec::new();
        let mut watch = |fd| {
            let pushed = fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            assert!(pushed.is_ok(), "four descriptors");
            fds.len() - 1
        };
        let signals = watch(self.signals.as_fd());
        let events = watch(self.events.as_fd());
        let group = self.group.as_ref().map(|group| watch(group.as_fd()));
        let claims = self.keeper.claims_fd().map(watch);
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let is_ready = |index: usize| !fds[index].revents().is_empty();
        Ok(Ready {
            heard: group.is_some_and(is_ready),
            claimed: claims.is_some_and(is_ready),
            changed: is_ready(events),
            signalled: is_ready(signals),
        })
    }

    /// Hands an input to the core and does what it says, then tells it what came of it.
    fn feed(&mut self, input: Input<'_>) {
        let outputs = self.node.handle(clock::now(), input);
        let mut answers: heapless::Vec<Answer, MAX_OUTPUTS> = heapless::Vec::new();
        for output in &outputs {
            if let Some(answer) = self.perform(output) {
                let pushed = answers.push(answer);
                assert!(pushed.is_ok(), "an answer per output");
            }
        }
        for answer in answers {
            self.feed(match answer {
                Answer::Taken => Input::Taken,
                Answer::Refused => Input::Refused,
                Answer::Released => Input::Released,
            });
        }
    }

    fn perform(&mut self, output: &Output) -> Option<Answer> {
        match *output {
            Output::Send(packet) => {
                self.send(&packet);
                None
            }
            Output::Take => self.keeper.perform(Command::Take),
            Output::Refresh => self.keeper.perform(Command::Refresh),
            Output::Release => self.keeper.perform(Command::Release),
            Output::AssertAbsent => self.keeper.perform(Command::AssertAbsent),
            Output::Announce(index) => self.keeper.perform(Command::Announce(index)),
            Output::Probe => self.keeper.perform(Command::Probe),
            Output::Changed { from, to, reason, took } => {
                match (from, to) {
                    (_, State::Active) => info!("{to}: {reason}, address up after {took}"),
                    (State::Active, _) => info!("{to}: {reason}, address down after {took}"),
                    (_, State::Standby | State::Unfit | State::Shutdown) => info!("{to}: {reason}"),
                }
                None
            }
            Output::Note(note) => {
                if note.is_alarming() {
                    warn!("{note}");
                } else {
                    info!("{note}");
                }
                None
            }
        }
    }

    fn send(&mut self, packet: &[u8; LEN]) {
        let outcome = self.group.as_ref().map_or(Ok(()), |group| group.send(packet));
        match outcome {
            Ok(()) => self.is_mute = false,
            Err(error) if !std::mem::replace(&mut self.is_mute, true) => {
                warn!("send to {}: {error}; tried again with each heartbeat", self.settings.multicast);
            }
            Err(_) => {}
        }
    }

    /// Hands in what was received, at most so much that our own heartbeat is not late.
    fn hear(&mut self) {
        for _ in 0..MAX_HEARD_AT_ONCE {
            let mut buffer = [0; LEN + 1];
            let Some(Ok(datagram)) = self.group.as_ref().map(|group| group.receive(&mut buffer)) else {
                return;
            };
            let bytes = &buffer[..datagram.len.min(buffer.len())];
            self.feed(Input::Heard { from: NodeId::from_v4(datagram.from), ttl: datagram.ttl, bytes });
        }
    }

    fn hear_claims(&mut self) {
        for _ in 0..MAX_HEARD_AT_ONCE {
            let Some((mac, address)) = self.keeper.next_claim() else {
                return;
            };
            self.feed(Input::Answered { mac, address });
        }
    }

    fn follow_events(&mut self) {
        let name = &self.settings.interface;
        let index = self.keeper.index();
        let mut is_lost = false;
        self.events.drain(name, index, |event| {
            if let Event::Removed(address) = event {
                is_lost |= self.settings.config.addresses().iter().any(|cidr| cidr.address == address);
            }
        });
        self.look();
        if is_lost {
            self.feed(Input::Lost);
        }
    }

    /// Looks at the interface and tells the core what is new.
    fn look(&mut self) {
        let found = self.find();
        let before = std::mem::replace(&mut self.seen, found);
        if found == before {
            if let Seen::Down(why) = found {
                self.feed(Input::Link(Link::Down(why)));
            }
            return;
        }
        if let (Seen::Up(old, old_address), Seen::Up(new, address)) = (before, found) {
            if old.index == new.index && old_address == address {
                info!("hardware address of {} changed", self.settings.interface);
                self.feed(Input::MacChanged);
                return;
            }
            let why = if old.index == new.index { Unfit::Readdressed } else { Unfit::NoInterface };
            self.feed(Input::Link(Link::Down(why)));
        }
        match found {
            Seen::Up(interface, address) => {
                if let Err(error) = self.attach(interface, address) {
                    if !std::mem::replace(&mut self.is_detached, true) {
                        warn!("open sockets on {}: {error}; tried again each second", self.settings.interface);
                    }
                    self.seen = Seen::Down(Unfit::NoInterface);
                    return;
                }
                self.is_detached = false;
                let already = before == Seen::Nothing;
                self.feed(Input::Link(Link::Up { node: NodeId::from_v4(address), already }));
            }
            Seen::Down(why) => {
                if before == Seen::Nothing {
                    info!("unfit: {why}; waiting for {}", self.settings.interface);
                }
                self.feed(Input::Link(Link::Down(why)));
            }
            Seen::Nothing => {}
        }
    }

    fn find(&mut self) -> Seen {
        let name = &self.settings.interface;
        let interface = match self.keeper.requests().interface(name) {
            Ok(Some(interface)) => interface,
            Ok(None) => return Seen::Down(Unfit::NoInterface),
            Err(error) => {
                warn!("look at {name}: {error}");
                return Seen::Down(Unfit::NoInterface);
            }
        };
        self.keeper.follow(interface.index);
        if !interface.is_running {
            return Seen::Down(Unfit::NoCarrier);
        }
        let shared = self.settings.config.addresses();
        let mut real = None;
        let asked = self.keeper.requests().addresses(interface.index, |address| {
            if real.is_none() && !shared.iter().any(|cidr| cidr.address == address) {
                real = Some(address);
            }
        });
        if let Err(error) = asked {
            warn!("look at the addresses of {name}: {error}");
        }
        real.map_or(Seen::Down(Unfit::NoAddress), |address| Seen::Up(interface, address))
    }

    fn attach(&mut self, interface: Interface, address: Ipv4Addr) -> io::Result<()> {
        self.keeper.attach()?;
        self.group =
            Some(GroupSocket::open(&self.settings.interface, interface.index, address, self.settings.multicast)?);
        Ok(())
    }

    fn obey_signals(&mut self) {
        while let Some(signal) = sys::next_signal(self.signals.as_fd()) {
            match i32::try_from(signal) {
                Ok(libc::SIGTERM | libc::SIGINT) => self.feed(Input::Shutdown),
                Ok(libc::SIGUSR1) => self.say_status(),
                _ => warn!("SIGHUP: a configuration is read at start only; restart to apply it"),
            }
        }
    }

    fn say_status(&self) {
        let now = clock::now();
        info!("status: {} for {}", self.node.state(), Listed(self.settings.config.addresses()));
        for peer in self.node.peers().iter() {
            let life = if peer.is_alive(now) { "heard" } else { "silent" };
            let said = &peer.said;
            info!(
                "status: {} {} worthiness {} flags {} {life} {} ago",
                said.node,
                said.state,
                said.worthiness,
                said.flags,
                now.since(peer.heard_at)
            );
        }
    }
}

/// What can be read.
struct Ready {
    heard: bool,
    claimed: bool,
    changed: bool,
    signalled: bool,
}

fn timespec(span: Duration) -> Timespec {
    let secs = i64::try_from(span.micros() / 1_000_000).unwrap_or(i64::MAX);
    let nanos = u32::try_from(span.micros() % 1_000_000 * 1_000).expect("less than a second");
    Timespec { tv_sec: secs, tv_nsec: nanos.into() }
}

/// Datagrams taken in before the clock is looked at again: under a millisecond of work.
const MAX_HEARD_AT_ONCE: usize = 64;

/// While unfit, for what no event tells.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
