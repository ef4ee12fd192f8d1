//! The keeper: holds the addresses for as long as a worker shows that it lives, and releases them when it does not.
//!
//! It is the only part with privileges, and hears nothing from the network: the kernel, signals, and the few
//! [`Order`](crate::channel::Order)s of its worker.

use std::fmt::Display;
use std::os::fd::AsFd;

use ha::time::{Duration, Instant, earliest};
use ha::wire::{NodeId, State};
use rustix::io::{self, Errno};

use crate::linux::clock;
use crate::linux::poll::Watch;
use crate::settings::Settings;
use crate::text::{Refusal, text};

mod addresses;
mod device;
pub mod fence;
mod frames;
mod hooks;
mod judge;
mod key_reader;
mod link;
mod lock;
mod news;
mod notify;
mod orders;
mod orphans;
mod ownership;
mod privileges;
mod promotion;
mod send_queue;
mod shortage;
mod signals;
mod supervisors;
mod worker_process;
mod workers;

use addresses::Addresses;
use fence::Fence;
use hooks::Hooks;
use judge::Judge;
use key_reader::KeyReader;
use link::Link;
use lock::Lock;
use ownership::Ownership;
use signals::Signals;
use supervisors::Supervisors;
use workers::{LOOK_FOR_END, RunWorker, Workers};

/// Everything that the loop holds.
#[derive(Debug)]
pub struct Keeper {
    settings: Settings,
    lock: Lock,
    signals: Signals,
    ownership: Ownership,
    link: Link,
    fence: Fence,
    workers: Workers,
    judge: Judge,
    hooks: Hooks,
    supervisors: Supervisors,
    keys: KeyReader,
    /// The daemon was told to stop, and does not wait longer than this for what is still to be done.
    ends_by: Option<Instant>,
    /// Why the daemon cannot go on.
    failure: Option<Refusal>,
}

impl Keeper {
    /// Opens everything. It lasts as long as the program. The process of a worker calls `run_worker`.
    ///
    /// # Errors
    /// One line that names what is missing; nothing was changed then.
    pub fn open(settings: Settings, run_worker: RunWorker) -> Result<&'static mut Self, Refusal> {
        // Before anything that another daemon could notice.
        let lock = Lock::take(&settings)?;
        let signals = Signals::open()?;
        let mut addresses = Addresses::open(&settings)?;
        let link = Link::open(&settings, &mut addresses)?;
        let fence = Fence::open(&settings)?;
        let supervisors = Supervisors::open(&settings)?;
        Ok(Box::leak(Box::new(Self {
            lock,
            signals,
            ownership: Ownership::new(addresses, &settings.config),
            link,
            fence,
            workers: Workers::new(run_worker),
            judge: Judge::new(settings.config.interval(), clock::now()),
            hooks: Hooks::new(&settings),
            supervisors,
            keys: KeyReader::default(),
            ends_by: None,
            failure: None,
            settings,
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
            self.drop_worker("the keeper cannot go on");
        }
        self.ownership.addresses_mut().leave();
        // What could not be removed stays silent.
        if self.ownership.addresses().remove_at().is_none() {
            self.fence.leave();
        }
        self.supervisors.stop_watchdog();
        outcome
    }

    fn serve(&mut self) -> Result<(), Refusal> {
        while !self.is_done() {
            if self.keys.reap() {
                self.read_keys_again();
            }
            self.workers.reap(self.ends_by.is_some());
            if self.ends_by.is_none() && self.workers.is_next_due() {
                self.start_worker()?;
            }
            let Ready { ordered, changed, tables_changed, signalled } =
                self.wait().map_err(|error| text!("ppoll: {error}"))?;
            if changed {
                self.follow_events();
            } else if self.next_look().is_some_and(|at| at <= clock::now()) {
                self.look();
            }
            if tables_changed {
                self.follow_fence();
            }
            if ordered {
                self.obey();
            }
            if self.gateway_due().is_some_and(|at| at <= clock::now()) {
                self.send_gateway();
            }
            if signalled {
                self.obey_signals();
            }
            if self.signals.has_child_ended {
                self.signals.has_child_ended = self.reap_orphans();
            }
            let now = clock::now();
            if self.hooks.advance(now)
                && let Some(take) = self.ownership.waiting_take()
            {
                self.take(take);
            }
            let addresses = self.ownership.addresses_mut();
            if addresses.remove_at().is_some_and(|at| at <= now) {
                addresses.release();
            }
            self.ownership.send_kept(now);
            self.look_after_worker(now);
            if self.ends_by.is_some_and(|by| by <= now) {
                self.drop_worker("it did not leave");
            }
            if let Some(refusal) = self.failure {
                return Err(refusal);
            }
            // After the group has heard that the addresses are gone: it takes some cards a while.
            self.ownership.addresses_mut().settle();
        }
        Ok(())
    }

    /// The daemon was told to stop, the worker has left, no address is left, and what the user wants to run then has run.
    fn is_done(&self) -> bool {
        let is_clean = self.hooks.is_idle() && self.ownership.addresses().remove_at().is_none();
        self.workers.running().is_none() && self.end().is_some_and(|end| is_clean || clock::now() >= end)
    }

    /// Sleeps until something can be read or something is due.
    fn wait(&self) -> io::Result<Ready> {
        let mut watch = Watch::<7>::default();
        let signals = watch.add(self.signals.as_fd());
        let events = watch.add(self.link.as_fd());
        let fence = self.fence.fd().map(|fd| watch.add(fd));
        let channel = self.workers.running().map(|worker| watch.add(worker.channel.as_fd()));
        let end = self.workers.end_fd().map(|end| watch.add(end));
        self.hooks.fd().map(|fd| watch.add(fd));
        self.keys.fd().map(|fd| watch.add(fd));
        if let Err(errno) = watch.wait(self.next_due().map(|at| at.since(clock::now()))) {
            // The limit of descriptors is lower than the number of these (EINVAL), or the kernel has no memory for the list:
            // nothing of what follows waits for anything.
            if !matches!(errno, Errno::INVAL | Errno::NOMEM | Errno::AGAIN) {
                return Err(errno);
            }
            Watch::<0>::default().wait(Some(LOOK_FOR_END))?;
            return Ok(Ready { ordered: true, changed: true, tables_changed: true, signalled: true });
        }
        let is_ready = |index| watch.is_ready(index);
        Ok(Ready {
            ordered: channel.is_some_and(is_ready) || end.is_some_and(is_ready),
            changed: watch.is_ready(events),
            tables_changed: fence.is_some_and(is_ready),
            signalled: watch.is_ready(signals),
        })
    }

    fn next_due(&self) -> Option<Instant> {
        let now = clock::now();
        earliest(&[
            self.workers.deadline(now, self.ends_by.is_some()),
            self.keys.next_look(now),
            self.next_look(),
            self.gateway_due(),
            self.hooks.deadline(),
            self.ownership.addresses().remove_at(),
            self.ownership.addresses().kept_at(),
            self.end(),
        ])
    }

    /// Told to stop, the daemon waits this long for the worker, and then for the user's programs.
    fn end(&self) -> Option<Instant> {
        let more = if self.workers.running().is_some() { Duration::ZERO } else { self.settings.daemon.child_timeout() };
        self.ends_by.map(|by| by + more)
    }

    /// Runs the hook of a new state, or again that of an ACTIVE which has put the address back.
    fn report_state(&mut self, to: State, reason: &dyn Display, peer: Option<NodeId>) {
        self.hooks.report_state(to, reason, peer, clock::now());
    }
}

/// What can be read.
struct Ready {
    ordered: bool,
    changed: bool,
    tables_changed: bool,
    signalled: bool,
}

/// For what is done at the end.
const TIME_TO_LEAVE: Duration = Duration::from_secs(2);
