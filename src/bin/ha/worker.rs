//! The worker: turns what comes from the network into inputs of the core, and outputs of the core into packets and orders.
//!
//! It has no privileges. Without a fence a packet that says ACTIVE goes out only after the keeper has replied to a beat: such a
//! heartbeat says that both live. Any other node reads the reply before its next beat, so a keeper that stands still silences it then.
//! What gives the address up waits for nobody.

use std::fmt::{Display, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ha::config::{Config, MAX_LINKS, has_v6};
use ha::fence;
use ha::neighbours::Ask;
use ha::node::{Input, Link, Node, Note, Output, Reason, Unfit};
use ha::time::{Duration, Instant};
use ha::wire::{LEN, NodeId, Resolution, Seal, State};
use rustix::io::{self, Errno};

use crate::channel::{Channel, Duty, News, Order, REASON_LEN, Received, beat_interval};
use crate::linux::packet::Listener;
use crate::linux::poll::Watch;
use crate::linux::{clock, icmp6, last_word};
use crate::log::{self, Cause, info, warn};
use crate::settings::Settings;
use crate::settings::keys::{SigningKeys, wiped};
use crate::text::{Endpoint, Text, text};

mod hearing;
mod sandbox;
mod start;
mod status;

use hearing::Hearing;
pub use start::run;

/// Everything that the loop holds.
#[derive(Debug)]
pub struct Worker {
    node: Node,
    channel: Channel,
    multicast: SocketAddr,
    group: Option<Hearing>,
    /// Of each link: ARP, and neighbour discovery if it has addresses of IPv6.
    ears: heapless::Vec<Ear, { 2 * MAX_LINKS }>,
    /// What the links are called, behind a reason, and which one is down, or was last.
    links: heapless::Vec<Text, MAX_LINKS>,
    down: u8,
    /// Keys that are being read again come from here.
    keys: Option<OwnedFd>,
    /// The reply to the last beat has not been read.
    is_reply_due: bool,
    /// News that were followed, and how many of them the keeper knows of.
    followed: u32,
    acknowledged: u32,
    /// Of the last take; with a release none counts any more.
    ticket: u32,
    beat_at: Instant,
    /// The last packet could not be sent, and the log says so.
    is_mute: bool,
}

impl Worker {
    /// A worker that has heard nothing.
    pub fn new(node: Node, channel: Channel, settings: &Settings) -> Self {
        Self {
            node,
            channel,
            multicast: settings.daemon.multicast(),
            group: None,
            ears: heapless::Vec::new(),
            links: settings.links.iter().map(|link| text!(" ({link})")).collect(),
            down: 0,
            keys: None,
            is_reply_due: false,
            followed: 0,
            acknowledged: 0,
            ticket: 0,
            beat_at: clock::now(),
            is_mute: false,
        }
    }

    /// Signs with other keys from now on.
    pub fn use_seal(&mut self, seal: Seal) {
        self.node.use_seal(seal);
    }

    /// Runs until told to stop and done with it, or until the keeper is gone.
    ///
    /// # Errors
    /// The keeper is gone. The worker has resigned then if that closes a fence; else the kernel's lease ends the address.
    pub fn run(&mut self) -> io::Result<()> {
        let outcome = self.serve();
        if outcome.is_err() {
            last_word::say();
        }
        outcome
    }

    fn serve(&mut self) -> io::Result<()> {
        while !self.node.is_finished() {
            let Ready { news, resolution, keys } = self.wait()?;
            if news {
                self.follow_news()?;
            }
            self.hear()?;
            self.hear_resolution(resolution)?;
            self.feed(Input::Tick)?;
            if keys {
                self.use_keys();
            }
            if self.acknowledged != self.followed {
                self.acknowledged = self.followed;
                self.order(&Order::Acknowledge(self.followed))?;
            }
            if clock::now().since(self.beat_at) >= beat_interval(self.config()) {
                self.beat(Duty::None, self.node.state())?;
            }
            log::catch_up();
        }
        Ok(())
    }

    fn config(&self) -> &Config {
        self.node.config()
    }

    /// Sleeps until something can be read, the core's deadline has come, or the keeper wants to hear from us.
    fn wait(&self) -> io::Result<Ready> {
        let now = clock::now();
        let beat_at = self.beat_at + beat_interval(self.config());
        let wake_at = self.node.deadline().map_or(beat_at, |deadline| deadline.min(beat_at));
        let has_more = self.group.as_ref().is_some_and(Hearing::has_more);
        let timeout = if has_more { Duration::ZERO } else { wake_at.since(now) };
        let mut watch = Watch::<MOST_SOCKETS>::default();
        let news = watch.add(self.channel.as_fd());
        for socket in self.group.iter().flat_map(|group| group.waits_for(now)) {
            watch.add(socket);
        }
        let keys = self.keys.as_ref().map(|keys| watch.add(keys.as_fd()));
        let ears = self.ears.iter().map(|ear| watch.add(ear.as_fd()));
        let ears: heapless::Vec<_, { 2 * MAX_LINKS }> = ears.collect();
        watch.wait(Some(timeout))?;
        let is_ready = |index| watch.is_ready(index);
        Ok(Ready {
            news: is_ready(news),
            resolution: ears.iter().rev().fold(0, |bits, &ear| bits << 1 | u16::from(is_ready(ear))),
            keys: keys.is_some_and(is_ready),
        })
    }

    /// Hands an input to the core and performs its outputs.
    fn feed(&mut self, input: Input<'_>) -> io::Result<()> {
        let (now, before) = (clock::now(), self.node.state());
        let outputs = self.node.handle(now, input);
        let mut has_beaten = false;
        let mut is_released = false;
        for output in &outputs {
            let duty = match output {
                Output::Refresh => Some(Duty::Renew),
                Output::AssertAbsent => Some(Duty::AssertAbsent),
                Output::Release => Some(Duty::Release),
                Output::Send(packet) if !has_beaten && fence::says_active(packet) && !self.node.is_fenced() => {
                    Some(Duty::None)
                }
                _ => None,
            };
            if let Some(duty) = duty {
                has_beaten = true;
                if duty == Duty::Release {
                    is_released = true;
                    self.ticket = self.ticket.wrapping_add(1);
                }
                if !self.beat(duty, before)? {
                    // The packet to be sent with the address is not true any more; perhaps news of the keeper have the reason.
                    self.follow_news()?;
                    return self.feed(Input::Refused);
                }
            }
            self.perform(output, now)?;
        }
        if is_released { self.feed(Input::Released) } else { Ok(()) }
    }

    fn perform(&mut self, output: &Output, decided_at: Instant) -> io::Result<()> {
        match *output {
            Output::Send(packet) => self.send(&packet, decided_at),
            Output::Take => {
                self.choose_last_word();
                self.ticket = self.ticket.wrapping_add(1);
                self.order(&Order::Take { ticket: self.ticket, at_us: decided_at.as_micros() })?;
            }
            Output::Refresh | Output::AssertAbsent | Output::Release => {}
            Output::Announce(index) => self.order(&Order::Announce(index))?,
            Output::Ask(Ask { index, neighbour, to }) => {
                self.order(&Order::Ask { index, neighbour, to })?;
            }
            Output::Probe { link, address } => self.order(&Order::Probe { link, address })?,
            Output::Changed { from, to, reason, took } => {
                let (peer, link) = (reason.peer(), self.named(reason));
                let reason = format_args!("{reason}{link}");
                match (from, to) {
                    (_, State::Active) => info!("{to}: {reason}, address up after {took}"),
                    (State::Active, _) => info!("{to}: {reason}, address down after {took}"),
                    (_, State::Standby | State::Unfit | State::Shutdown) => info!("{to}: {reason}"),
                }
                self.order(&changed(to, peer, &reason))?;
                if to == State::Active && self.node.is_fenced() {
                    // The keeper has the last word of a STANDBY, and would wait long for the next beat.
                    self.beat(Duty::None, self.node.state())?;
                }
            }
            // A note has logged it.
            Output::PutBack => self.order(&changed(State::Active, None, &Note::Repaired))?,
            Output::Note(note) if note.is_alarming() => warn!(cause(&note) => "{note}"),
            Output::Note(note) => info!(cause(&note) => "{note}"),
        }
        Ok(())
    }

    /// The link that the reason is about, if there are several; of an address that is refused the keeper has said it.
    fn named(&self, reason: Reason) -> Text {
        let is_about_one = matches!(reason, Reason::Unfit(why) if why != Unfit::Refused) && self.links.len() > 1;
        self.links.get(usize::from(self.down)).filter(|_| is_about_one).map_or("", |link| *link)
    }

    fn order(&self, order: &Order) -> io::Result<()> {
        self.channel.send(order, &[])
    }

    /// Shows the keeper that the worker lives, and waits until it has done its duty if that has to be done before the state is another one
    /// than `before`; false if it could not. A duty that nobody waits for and that fails comes as news.
    fn beat(&mut self, duty: Duty, before: State) -> io::Result<bool> {
        let now = clock::now();
        self.beat_at = now;
        self.read_reply()?;
        let resign_packet = self.choose_last_word();
        self.order(&Order::Beat { at_us: now.as_micros(), duty, resign_packet })?;
        self.is_reply_due = true;
        let is_routine = duty != Duty::Release && self.node.state() == before && !self.node.needs_kernel_to_resign();
        if is_routine { Ok(true) } else { self.read_reply() }
    }

    /// Reads the reply to the last beat, and waits for it. After an interval it is there.
    fn read_reply(&mut self) -> io::Result<bool> {
        if std::mem::take(&mut self.is_reply_due) { self.channel.await_reply() } else { Ok(true) }
    }

    /// What is said in the node's name when one of the two processes dies: by the keeper, or by this one if it may.
    fn choose_last_word(&self) -> Option<[u8; LEN]> {
        let packet = self.node.resign_packet();
        last_word::set(packet.as_ref().filter(|_| !self.node.needs_kernel_to_resign()));
        packet
    }

    fn send(&mut self, packet: &[u8; LEN], decided_at: Instant) {
        // This process may have stood still since: others have taken over, and the packet would open the fence.
        if fence::says_active(packet) && clock::now().since(decided_at) > self.config().fence_span() {
            return;
        }
        let outcome = self.group.as_ref().map_or(Ok(()), |group| group.send(packet));
        match outcome {
            Ok(()) => self.is_mute = false,
            Err(error) if !std::mem::replace(&mut self.is_mute, true) => {
                warn!("send to {}: {error}; tried again with each heartbeat", Endpoint(self.multicast));
            }
            Err(_) => {}
        }
    }

    /// Hands in what was received, at most so much that our own heartbeat is not late.
    fn hear(&mut self) -> io::Result<()> {
        let began_at = clock::now();
        for _ in 0..MAX_HEARD_AT_ONCE {
            let Some((at, datagram)) = self.group.as_mut().and_then(|group| group.next(began_at)) else {
                return Ok(());
            };
            let from = NodeId::new(datagram.from);
            self.feed(Input::Heard { at, from, ttl: datagram.ttl, bytes: datagram.bytes() })?;
        }
        let until = clock::now() + self.config().interval();
        if let Some(group) = &mut self.group {
            group.wait_for_all(until);
        }
        Ok(())
    }

    /// ARP and neighbour discovery go before the tick: an answer may keep this node from taking an address that is in use. A bit for
    /// each ear says whether there is something to be heard.
    fn hear_resolution(&mut self, ready: u16) -> io::Result<()> {
        for index in (0..self.ears.len()).filter(|&index| ready & 1 << index != 0) {
            for _ in 0..MAX_HEARD_AT_ONCE {
                let Some(said) = self.ears.get(index).and_then(Ear::next) else {
                    break;
                };
                self.feed(Input::Resolution(said))?;
            }
        }
        Ok(())
    }

    fn use_keys(&mut self) {
        let Some(socket) = self.keys.take() else { return };
        let used = wiped(|| {
            let keys = SigningKeys::receive(socket.as_fd())?;
            if let Some(keys) = &keys {
                self.use_seal(keys.seal());
            }
            io::Result::Ok(keys.map(|keys| keys.count()))
        });
        match used {
            Ok(Some(count)) => info!("keys read again: the first of {count} signs, all are accepted"),
            // The process that read them has logged why.
            Ok(None) => {}
            Err(error) => warn!("receive keys: {error}; the keys stay as they were"),
        }
    }

    fn follow_news(&mut self) -> io::Result<()> {
        loop {
            match self.channel.receive(false) {
                Ok(received) => self.follow(received)?,
                Err(Errno::WOULDBLOCK) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn follow(&mut self, Received { message, sockets }: Received<News>) -> io::Result<()> {
        self.followed = self.followed.wrapping_add(1);
        match message {
            News::Up { node, prefix, macs, already } => {
                let mut sockets = sockets.into_iter();
                let mut next = || sockets.next().ok_or(Errno::BADMSG);
                let urgent = next()?;
                let sender = if self.multicast.is_ipv6() { Some(next()?) } else { None };
                let group = Hearing::adopt([urgent, next()?], sender, self.multicast);
                last_word::use_socket(Some(group.sender()));
                self.group = Some(group);
                self.ears.clear();
                for link in (0..).take(self.links.len()) {
                    self.ears.extend([Ear::Arp(link, next()?.into())]);
                    if has_v6(&self.config().on_link(link)) {
                        self.ears.extend([Ear::Nd(link, next()?.into())]);
                    }
                }
                self.feed(Input::Link(Link::Up { node: NodeId::new(node), prefix, macs, already }))
            }
            News::Down { why, link } => {
                self.down = link;
                self.feed(Input::Link(Link::Down(why)))?;
                last_word::use_socket(None);
                self.group = None;
                self.ears.clear();
                Ok(())
            }
            News::Keys => {
                // The keeper starts one process that reads keys after the other: if the keys of the last one were not used yet,
                // they are here.
                self.use_keys();
                self.keys = sockets.into_iter().next();
                Ok(())
            }
            News::Fenced(is_fenced) => self.feed(Input::Fenced(is_fenced)),
            News::Lost => self.feed(Input::Lost),
            News::Found => self.feed(Input::Found),
            News::MacChanged(macs) => self.feed(Input::MacChanged(macs)),
            News::Neighbours { link, are_gateways: is_gateway, addresses } => {
                let mut addresses = addresses.into_iter();
                addresses.try_for_each(|address| self.feed(Input::Neighbour { link, address, is_gateway }))
            }
            News::Taken(ticket) if ticket == self.ticket => self.feed(Input::Taken),
            News::Refused(ticket) if ticket == self.ticket => self.feed(Input::Refused),
            News::Taken(_) | News::Refused(_) => Ok(()),
            News::Shutdown => self.feed(Input::Shutdown),
            News::Status => {
                // Routine words may be waiting.
                self.hear()?;
                self.log_status();
                Ok(())
            }
        }
    }
}

fn changed(to: State, peer: Option<NodeId>, reason: &dyn Display) -> Order {
    let mut text = heapless::String::<REASON_LEN>::new();
    // Reasons are shorter than that; what does not fit is left out.
    let _ = write!(text, "{reason}");
    Order::Changed { to: to as u8, peer: peer.map(NodeId::address), reason: text }
}

/// Each kind of note is a cause of its own, so that no flood of one hides another.
fn cause(note: &Note) -> &'static Cause {
    static CAUSES: [Cause; 14] = [const { Cause::new() }; 14];
    let kind = match note {
        Note::Met { .. } => 0,
        Note::Defended { .. } => 1,
        Note::OtherAddresses { .. } => 2,
        Note::OtherTiming { .. } => 3,
        Note::Repaired => 4,
        Note::Conflict { .. } => 5,
        Note::InUse { .. } => 6,
        Note::Covered(_) => 7,
        Note::Dropped { .. } => 8,
        Note::Missing { .. } => 9,
        Note::MoreMissing { .. } => 10,
        Note::Alone => 11,
        Note::Back { .. } => 12,
        Note::Proxy { .. } => 13,
    };
    &CAUSES[kind]
}

/// Hears by ARP or neighbour discovery who has the addresses of this link.
#[derive(Debug)]
enum Ear {
    Arp(u8, Listener),
    Nd(u8, icmp6::Listener),
}

impl Ear {
    fn next(&self) -> Option<Resolution> {
        match self {
            Self::Arp(link, arp) => arp.next().map(|said| Resolution::from(said).by(*link)),
            Self::Nd(link, nd) => nd.next().map(|said| said.by(*link)),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Arp(_, arp) => arp.as_fd(),
            Self::Nd(_, nd) => nd.as_fd(),
        }
    }
}

/// What can be read.
struct Ready {
    news: bool,
    /// A bit for each ear.
    resolution: u16,
    keys: bool,
}

/// The channel, two of the group, one for keys, and two of each link.
const MOST_SOCKETS: usize = 4 + 2 * MAX_LINKS;

/// Datagrams taken in before the clock is looked at again: under a millisecond of work.
const MAX_HEARD_AT_ONCE: usize = 64;
