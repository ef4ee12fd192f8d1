//! The keeper: holds the addresses for as long as a worker shows that it lives, and lets go of them when it does not.
//!
//! It is the only part with privileges, and hears nothing from the network: the kernel, signals, and the few
//! [`Order`]s of its worker.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ha::config::Cidr;
use ha::lease;
use ha::node::{BURST, BURST_GAP, Unfit};
use ha::time::{Duration, Instant, earliest};
use ha::wire::{NodeId, State};
use rustix::io::{self, Errno};

use crate::channel::{Duty, News, Order};
use crate::linux::clock;
use crate::linux::netlink::Interface;
use crate::linux::packet::Listener;
use crate::linux::poll::Watch;
use crate::linux::udp::GroupSocket;
use crate::log::{error, info, warn};
use crate::settings::Settings;
use crate::text::{Refusal, text};
use crate::watchdog::Watchdog;
use crate::{linux, log};
use addresses::Addresses;
use hooks::Hooks;
use notify::Notify;

mod addresses;
mod device;
pub mod hooks;
mod judge;
mod key_reader;
mod link;
mod lock;
mod neighbours;
mod notify;
mod orphans;
mod privileges;
mod promotion;
mod send_queue;
mod shortage;
mod signals;
mod worker_process;
mod workers;

use judge::{Judge, Verdict};
use key_reader::Reader;
use link::{Change, Link};
use lock::Lock;
use shortage::{Shortage, may_pass, next_pause};
use worker_process::Staff;
use workers::RunWorker;

/// Everything that the loop holds.
#[derive(Debug)]
pub struct Keeper {
    settings: Settings,
    run_worker: RunWorker,
    lock: Lock,
    addresses: Addresses,
    link: Link,
    signals: OwnedFd,
    hooks: Hooks,
    watchdog: Option<Watchdog>,
    notify: Option<Notify>,
    /// Last words go out here.
    group: Option<GroupSocket>,
    worker: Option<Staff>,
    judge: Judge,
    /// A worker that is dead, or about to be.
    corpse: Option<Staff>,
    starts_at: Instant,
    /// Until the next start, if the worker dies soon.
    backoff: Duration,
    /// What the worker said last.
    state: State,
    /// The worker was given the addresses and has not given them back: when they were added or renewed last.
    renewed_at: Option<Instant>,
    /// The addresses were taken, and are to be announced for the first time.
    is_new_owner: bool,
    /// A take that waits for a hook, and since when it gets old.
    take: Option<(u32, Instant)>,
    /// Told to stop; what is not done by then is not waited for.
    ends_by: Option<Instant>,
    /// There is no room for one.
    no_worker: Shortage,
    /// There are no sockets for it.
    no_sockets: Shortage,
    /// Why the daemon cannot go on.
    failure: Option<Refusal>,
    /// When the worker was told last which gateway there is.
    gateway_told_at: Instant,
    /// Reads the keys again.
    reader: Reader,
    /// A child has ended, perhaps one that nobody here has started.
    has_lost_child: bool,
    /// A look at the interface had to wait until the worker has read.
    is_look_due: bool,
}

impl Keeper {
    /// Opens everything. It lasts as long as the program. In the process of a worker `run_worker` is called.
    ///
    /// # Errors
    /// One line that names what is missing; nothing was changed then.
    pub fn open(settings: Settings, run_worker: RunWorker) -> Result<&'static mut Self, Refusal> {
        // Before anything that another daemon could notice.
        let lock = Lock::take(&settings)?;
        let signals = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGCHLD];
        let signals = linux::signals::signal_fd(&signals).map_err(|error| text!("signalfd: {error}"))?;
        let mut addresses = Addresses::open(&settings)?;
        let link = Link::open(&settings, &mut addresses)?;
        let interval = settings.config.interval();
        let watchdog = settings.watchdog.map(|path| Watchdog::open(path, interval)).transpose()?;
        Ok(Box::leak(Box::new(Self {
            hooks: Hooks::new(&settings),
            settings,
            run_worker,
            lock,
            addresses,
            link,
            signals,
            watchdog,
            notify: Notify::open(interval),
            group: None,
            worker: None,
            judge: Judge::new(interval, clock::now()),
            corpse: None,
            starts_at: clock::now(),
            backoff: Duration::ZERO,
            state: State::Unfit,
            renewed_at: None,
            is_new_owner: false,
            take: None,
            ends_by: None,
            no_worker: Shortage::default(),
            no_sockets: Shortage::default(),
            failure: None,
            gateway_told_at: clock::now(),
            reader: Reader::default(),
            has_lost_child: true,
            is_look_due: false,
        })))
    }

    /// Runs until told to stop and done with it.
    ///
    /// # Errors
    /// The system took the means to work; the addresses are released then.
    pub fn run(&mut self) -> Result<(), Refusal> {
        privileges::prepare(&self.settings);
        let outcome = self.serve();
        if outcome.is_err() {
            self.bury("the keeper cannot go on");
        }
        self.addresses.leave();
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.close();
        }
        outcome
    }

    fn serve(&mut self) -> Result<(), Refusal> {
        while !self.is_done() {
            self.reap();
            if self.worker.is_none()
                && self.corpse.is_none()
                && self.ends_by.is_none()
                && clock::now() >= self.starts_at
            {
                self.start_worker()?;
            }
            let Ready { ordered, changed, signalled } = self.wait().map_err(|error| text!("ppoll: {error}"))?;
            if changed {
                self.follow_events();
            } else if self.next_look().is_some_and(|at| at <= clock::now()) {
                self.look();
            }
            if ordered {
                self.obey();
            }
            if self.gateway_due().is_some_and(|at| at <= clock::now()) {
                self.tell_gateway();
            }
            if signalled {
                self.obey_signals();
            }
            if self.has_lost_child {
                self.has_lost_child = self.reap_orphans();
            }
            let now = clock::now();
            if self.hooks.advance(now)
                && let Some((ticket, decided_at)) = self.take.take()
            {
                self.take(ticket, decided_at);
            }
            if self.addresses.remove_at().is_some_and(|at| at <= now) {
                self.addresses.release();
            }
            self.look_after_worker(now);
            if self.ends_by.is_some_and(|by| by <= now) && self.worker.is_some() {
                self.bury("did not leave");
            }
            if let Some(refusal) = self.failure {
                return Err(refusal);
            }
            // After the others were told that the addresses are gone: it takes some cards a while.
            self.addresses.settle();
        }
        Ok(())
    }

    /// Whoever has not shown for too long that it lives has to go; the kernel may have held us up, so all is read first.
    fn look_after_worker(&mut self, now: Instant) {
        for _ in 0..MAX_ORDERS_AT_ONCE {
            let is_doubtful = self.worker.as_ref().is_some_and(|worker| worker.deadline() <= now);
            if !is_doubtful || !self.obey() {
                break;
            }
        }
        if self.worker.as_mut().is_some_and(|worker| worker.is_stalled(now)) {
            self.bury("stalled");
        }
    }

    /// Told to stop, the worker has left, no address is left, and what the user wants to run then has run.
    fn is_done(&self) -> bool {
        let is_clean = self.hooks.is_idle() && self.addresses.remove_at().is_none();
        self.worker.is_none() && self.end().is_some_and(|end| is_clean || clock::now() >= end)
    }

    /// Sleeps until something can be read or something is due.
    fn wait(&self) -> io::Result<Ready> {
        let mut watch = Watch::<6>::default();
        let signals = watch.add(self.signals.as_fd());
        let events = watch.add(self.link.as_fd());
        let channel = self.worker.as_ref().map(|worker| watch.add(worker.channel.as_fd()));
        let someone = self.worker.as_ref().or(self.corpse.as_ref());
        let end = someone.and_then(|staff| staff.end.as_ref()).map(|end| watch.add(end.as_fd()));
        self.hooks.fd().map(|fd| watch.add(fd));
        self.reader.fd().map(|fd| watch.add(fd));
        if let Err(errno) = watch.wait(self.next_due().map(|at| at.since(clock::now()))) {
            // Somebody has limited the descriptors to fewer than these (EINVAL), or the kernel has no memory for the list: nothing
            // of what follows waits for anything.
            if !matches!(errno, Errno::INVAL | Errno::NOMEM | Errno::AGAIN) {
                return Err(errno);
            }
            Watch::<0>::default().wait(Some(LOOK_FOR_END))?;
            return Ok(Ready { ordered: true, changed: true, signalled: true });
        }
        let is_ready = |index| watch.is_ready(index);
        Ok(Ready {
            ordered: channel.is_some_and(is_ready) || end.is_some_and(is_ready),
            changed: watch.is_ready(events),
            signalled: watch.is_ready(signals),
        })
    }

    fn next_due(&self) -> Option<Instant> {
        let now = clock::now();
        let worker = match (&self.worker, &self.corpse) {
            (Some(worker), _) => Some(worker.deadline()),
            (None, Some(_)) => Some(now + LOOK_FOR_END),
            (None, None) => Some(self.starts_at).filter(|_| self.ends_by.is_none()),
        };
        let (reader, removal) = (self.reader.next_look(now), self.addresses.remove_at());
        earliest(&[worker, reader, self.next_look(), self.gateway_due(), self.hooks.deadline(), removal, self.end()])
    }

    /// The interface is looked at for the worker only.
    fn next_look(&self) -> Option<Instant> {
        self.worker.as_ref().filter(|_| !self.is_look_due).and_then(|_| self.link.next_look(&self.addresses))
    }

    /// Told to stop: until when the worker is waited for, and then the user's programs.
    fn end(&self) -> Option<Instant> {
        let more = if self.worker.is_some() { Duration::ZERO } else { self.settings.hooks.child_timeout };
        self.ends_by.map(|by| by + more)
    }

    /// Lets go of everything that the worker was trusted with, and says so to the others.
    fn bury(&mut self, why: &str) {
        let Some(worker) = self.worker.take() else { return };
        worker.kill();
        self.release();
        if let (Some(words), Some(group)) = (&worker.last_words, &self.group) {
            for round in 0..BURST {
                if round > 0 {
                    let _ = Watch::<0>::default().wait(Some(BURST_GAP));
                }
                if let Err(error) = group.send(words) {
                    warn!("send to {}: {error}", self.settings.multicast);
                }
            }
        }
        let now = clock::now();
        if now.since(worker.started) >= LONG_LIFE {
            self.backoff = Duration::ZERO;
        }
        self.starts_at = now + self.backoff;
        self.backoff = next_pause(self.backoff);
        error!("worker {why}: addresses released");
        self.corpse = Some(worker);
        self.hook(State::Unfit, &"worker died", None);
    }

    /// Takes leave of the processes that have ended; says how the last worker did.
    fn reap(&mut self) {
        if self.reader.has_to_go_again() {
            self.read_keys_again();
        }
        let Some(status) = self.corpse.as_ref().and_then(Staff::reap) else { return };
        self.corpse = None;
        let in_s = self.starts_at.since(clock::now());
        let next = if self.ends_by.is_some() { format_args!("") } else { format_args!("; a new one in {in_s}") };
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => warn!("worker ended with exit status {code}{next}"),
            (None, signal) => warn!("worker ended by signal {}{next}", signal.unwrap_or_default()),
        }
    }

    /// Does the next thing that the worker orders; false if there is none. One for each look at what the kernel has to say,
    /// so that nothing is renewed on an interface that is known to be gone.
    fn obey(&mut self) -> bool {
        let Some(worker) = &self.worker else { return false };
        match worker.channel.receive(false) {
            Ok(received) => self.perform(received.message),
            Err(Errno::WOULDBLOCK) => return false,
            Err(Errno::PIPE) => self.farewell(),
            Err(error) => {
                warn!("worker gave an order that is none: {error}");
                self.bury("killed");
            }
        }
        true
    }

    /// The worker has closed its end: it has left as it was told, or it is dead.
    fn farewell(&mut self) {
        if self.ends_by.is_some()
            && let Some(worker) = &self.worker
        {
            let _ = worker.await_end(TIME_TO_LEAVE);
            if worker.reap().is_some_and(|status| status.exit_status() == Some(0)) {
                self.worker = None;
                self.addresses.assert_absent();
                return;
            }
        }
        self.bury("died");
    }

    fn perform(&mut self, order: Order) {
        let now = clock::now();
        let (has, shared) = (self.renewed_at.is_some(), self.settings.config.addresses());
        let verdict = self.judge.judge(&order, has, self.ends_by.is_some(), shared, now);
        match verdict {
            Verdict::Obey | Verdict::Skip => {}
            Verdict::Refuse => {
                if let Order::Take { ticket, .. } = order {
                    self.release();
                    self.tell(News::Refused(ticket));
                }
                return;
            }
            Verdict::Kill(what) => {
                warn!("worker gave an order {what}");
                return self.bury("killed");
            }
        }
        match order {
            Order::Beat { at_us, duty, last_words } => {
                if let Some(worker) = &mut self.worker {
                    worker.is_heard(&self.settings.config, self.renewed_at.is_some(), now);
                    worker.last_words = last_words;
                }
                if let Some(watchdog) = &mut self.watchdog {
                    watchdog.feed();
                }
                if let Some(notify) = &mut self.notify {
                    notify.is_well(now);
                }
                let is_done = match duty {
                    Duty::None => true,
                    Duty::Renew if verdict == Verdict::Skip && self.has_surely(now) => true,
                    Duty::AssertAbsent | Duty::Release if verdict == Verdict::Skip => true,
                    Duty::Renew => {
                        // Only a take adds what is not there.
                        self.renewed_at.is_some()
                            && self.link.is_up()
                            && self.while_it_counts(Instant::from_micros(at_us), Addresses::renew)
                    }
                    Duty::AssertAbsent => {
                        self.addresses.assert_absent();
                        true
                    }
                    Duty::Release => {
                        self.release();
                        true
                    }
                };
                self.tell(News::from_duty(is_done));
                log::follow_syslog();
                log::catch_up();
                self.lock.dismiss(now);
            }
            Order::Followed(news) => self.tell_rest(news),
            Order::Take { ticket, at_us } => {
                let decided_at = Instant::from_micros(at_us);
                if self.hooks.before_active(self.state, now) {
                    // Meanwhile the worker goes on saying that this node is ACTIVE.
                    self.take = Some((ticket, decided_at + hooks::BEFORE_ACTIVE_LIMIT));
                } else {
                    self.take(ticket, decided_at);
                }
            }
            Order::Announce(index) if self.has_surely(now) => {
                self.addresses.announce(index, now);
                if std::mem::take(&mut self.is_new_owner) {
                    self.tell_neighbours();
                }
            }
            Order::Ask { index, neighbour, to } if self.has_surely(now) => {
                self.addresses.ask(index, neighbour.into(), to, now);
            }
            Order::Announce(_) | Order::Ask { .. } => {}
            Order::Probe(address) => self.addresses.probe(address.into(), now),
            Order::Changed { to, peer, reason } => {
                if let Some(to) = State::from_byte(to) {
                    self.hook(to, &reason, peer.map(|peer| NodeId::from_v4(peer.into())));
                }
            }
        }
    }

    fn take(&mut self, ticket: u32, decided_at: Instant) {
        let is_up = self.while_it_counts(decided_at, Addresses::take);
        self.is_new_owner = is_up;
        self.tell(if is_up { News::Taken(ticket) } else { News::Refused(ticket) });
    }

    /// Adds or renews the addresses, unless so much time has passed, before or meanwhile, that others may have them.
    fn while_it_counts(&mut self, decided_at: Instant, add: impl Fn(&mut Addresses) -> bool) -> bool {
        let limit = self.longest_pause();
        let is_late = || clock::now().since(decided_at) > limit;
        let begun = clock::now();
        if !is_late() && add(&mut self.addresses) && !is_late() {
            self.renewed_at = Some(begun);
            return true;
        }
        self.release();
        false
    }

    fn longest_pause(&self) -> Duration {
        lease::longest_pause(self.settings.config.lease(), self.settings.config.tolerance())
    }

    /// The addresses are here. If this process stood still a peer may have them; the order to announce them is old then.
    fn has_surely(&self, now: Instant) -> bool {
        let limit = self.longest_pause().min(self.settings.config.tolerance());
        self.renewed_at.is_some_and(|at| now.since(at) <= limit)
    }

    fn release(&mut self) {
        self.take = None;
        self.renewed_at = None;
        self.addresses.release();
    }

    /// Runs the hook of a new state, or again that of an ACTIVE which has put the address back.
    fn hook(&mut self, to: State, reason: &dyn std::fmt::Display, peer: Option<NodeId>) {
        let (from, now) = (std::mem::replace(&mut self.state, to), clock::now());
        if from != to || to == State::Active && self.judge.may_repeat(now) {
            self.hooks.changed(&hooks::Change { from, to, reason, peer }, now);
        }
    }

    fn tell(&mut self, news: News) {
        self.tell_with(&news, &[]);
    }

    fn tell_with(&mut self, news: &News, sockets: &[BorrowedFd<'_>]) {
        let Some(worker) = &mut self.worker else { return };
        // Whoever is dead is found out by reading; whoever does not read has stalled.
        match worker.post.send(&worker.channel, news, sockets) {
            Err(Errno::WOULDBLOCK) => self.bury("does not read"),
            // It would wait for this for ever.
            Err(Errno::NOBUFS | Errno::NOMEM | Errno::TOOMANYREFS) => self.bury("cannot be told anything"),
            Ok(()) | Err(_) => {}
        }
    }

    /// The worker has followed so many news: tells it what had to wait for that.
    fn tell_rest(&mut self, read: u32) {
        if let Some(worker) = &mut self.worker {
            worker.post.is_read(read);
        }
        while let Some((news, socket)) = self.worker.as_mut().and_then(|worker| worker.post.due()) {
            let socket: heapless::Vec<_, 1> = socket.iter().map(AsFd::as_fd).collect();
            self.tell_with(&news, &socket);
        }
        if self.is_look_due {
            self.look();
        }
    }

    fn follow_events(&mut self) {
        let is_doubtful = self.link.drain(&self.settings, &self.addresses);
        if self.worker.is_none() {
            return;
        }
        self.look();
        // An event may be about what was removed before they were taken, or put back since.
        if is_doubtful && self.renewed_at.is_some() && !self.addresses.are_there() {
            self.tell(News::Lost);
        }
    }

    /// Looks at the interface and tells the worker what is new.
    fn look(&mut self) {
        self.is_look_due = self.worker.as_ref().is_some_and(|worker| !worker.post.has_room_for_a_look());
        if self.is_look_due {
            return;
        }
        for change in self.link.look(&self.settings, &mut self.addresses) {
            match change {
                Change::Down(why) => self.tell(News::Down(why)),
                Change::Mac(mac) => self.tell(News::MacChanged(mac)),
                Change::Lost => self.tell(News::Lost),
                Change::Up(interface, address, already) => self.attach(interface, address, already),
            }
        }
    }

    /// Opens the sockets for the worker and hands them over.
    fn attach(&mut self, interface: Interface, address: Cidr, already: bool) {
        match self.sockets(interface, address.address) {
            Ok((group, arp)) => {
                if self.no_sockets.ends() {
                    info!("sockets on {} again", self.settings.interface);
                }
                let Cidr { address, prefix } = address;
                let news = News::Up { node: address.octets(), prefix, mac: interface.mac, already };
                self.tell_with(&news, &[group.as_fd(), arp.as_fd()]);
                self.group = Some(group);
                self.tell_gateway();
            }
            Err(errno) => {
                let name = self.settings.interface;
                if !may_pass(errno) {
                    self.failure = Some(text!("open sockets on {name}: {errno}"));
                } else if self.no_sockets.goes_on() {
                    warn!("open sockets on {name}: {errno}; tried again, at least every 10s");
                }
                self.link.is_unusable(Unfit::NoSockets, clock::now() + self.no_sockets.pause());
                self.tell(News::Down(Unfit::NoSockets));
            }
        }
    }

    fn sockets(&mut self, interface: Interface, address: Ipv4Addr) -> io::Result<(GroupSocket, Listener)> {
        self.addresses.attach()?;
        let Settings { multicast, config, .. } = &self.settings;
        let name = self.addresses.name();
        let device = self.addresses.device().map(|device| device.index);
        let arp = Listener::open(interface.index, device, config.addresses())?;
        Ok((GroupSocket::open(name, interface.index, address, *multicast, config.group())?, arp))
    }
}

/// What can be read.
struct Ready {
    ordered: bool,
    changed: bool,
    signalled: bool,
}

/// A worker cannot keep the keeper from looking at its clock.
const MAX_ORDERS_AT_ONCE: usize = 64;

/// Where no pidfd says when a killed worker has ended.
const LOOK_FOR_END: Duration = Duration::from_millis(10);

/// Whoever lived that long did not die of its birth.
const LONG_LIFE: Duration = Duration::from_secs(10);

/// For what is done at the end.
const TIME_TO_LEAVE: Duration = Duration::from_secs(2);
