//! One machine: kernel, keeper, clock, and the daemon's process with the core in it.

use std::collections::VecDeque;

use ha::fence::{Effect, Fence};
use ha::node::{Node, Unfit};
use ha::time::{Duration, Instant};
use ha::wire::{Context, Key, NodeId, Resolution, Seal};

use crate::clock::Clock;
use crate::lan::Damage;
use crate::plan::NodePlan;
use crate::rng::{Rng, mixed};
use crate::settings::Settings;
use crate::time::{FOREVER, Us};

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// What it was planned to be.
    pub plan: NodePlan,
    /// What the daemon runs with, or will run with.
    pub settings: Settings,
    /// Its real address.
    pub id: NodeId,
    /// Its hardware address.
    pub mac: u64,
    /// Its clock.
    pub clock: Clock,
    /// Its kernel.
    pub kernel: Kernel,
    /// The daemon, if it runs.
    pub process: Option<Box<Process>>,
    /// Reasons why the daemon should not run.
    pub downs: u32,
    /// Reasons why it is not scheduled.
    pub freezes: u32,
    /// Pauses of the whole machine in effect, and when the first began.
    pub pauses: u32,
    /// See [`Self::pauses`].
    pub paused_at: Us,
    /// Reasons why there is no carrier.
    pub unplugs: u32,
    /// The kernel refused the address then, and the daemon has not taken it since.
    pub refused_at: Option<Us>,
    /// The daemon runs.
    pub is_running: bool,
    /// The daemon has to stop.
    pub is_stopping: bool,
    /// The kernel has removed the address, and the process does not know yet.
    pub is_removal_news: bool,
    /// The hardware address has changed, and the process does not know yet.
    pub is_mac_news: bool,
    boot: u64,
    boots: u64,
}

/// The running daemon.
#[derive(Debug)]
pub struct Process {
    /// The core.
    pub node: Node,
    /// Tells one run of the daemon from the next.
    pub boot: u64,
    /// What was received and not read: urgent words.
    pub urgent: VecDeque<Datagram>,
    /// Routine words, which do not wake it.
    pub routine: VecDeque<Datagram>,
    /// Until then they do.
    pub waits_for_all_until: Instant,
    /// ARP and ND that was received and not read.
    pub arps: VecDeque<Resolution>,
    /// What the core knows about the link.
    pub link: KnownLink,
    /// What the keeper still has to do.
    pub orders: VecDeque<Order>,
    /// When the keeper has done all.
    pub keeper_free_at: Us,
    /// What the keeper did while the process did not run.
    pub answers: VecDeque<Answer>,
    /// It has to stop, and has not read that yet.
    pub must_stop: bool,
    /// When it wakes up next.
    pub wakes_at: Us,
    /// The last wake-up in the queue of events, if it has not come.
    pub entered_at: Option<Us>,
    /// Ticks in a row that left a deadline in the past.
    pub spins: u32,
}

/// What a process knows about its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownLink {
    /// It has not looked.
    Nothing,
    /// It carries.
    Up,
    /// It does not.
    Down,
}

/// What the keeper is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Add the address.
    Take,
    /// Renew its lease.
    Refresh,
    /// Remove it.
    Release,
    /// See to it that it is not there.
    AssertAbsent,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The address is up.
    Taken,
    /// It could not be added or renewed.
    Refused,
    /// It is gone.
    Released,
}

/// A packet in the buffer of a socket.
#[derive(Debug, Clone, Copy)]
pub struct Datagram {
    /// Which.
    pub packet: u32,
    /// How it is damaged.
    pub damage: Damage,
    /// It is the second copy, or was recorded.
    pub is_copy: bool,
    /// When it arrived.
    pub arrived_at: Us,
    /// What the machine's clock showed then.
    pub at: Instant,
}

/// The part of a kernel that matters here.
#[derive(Debug)]
pub struct Kernel {
    /// The address is up.
    pub has: bool,
    /// When its lease removes it.
    pub gone: Expiry,
    /// Reasons why it refuses the address.
    pub refusals: u32,
    /// Frames from the address leave only while it is open.
    pub fence: Option<Fence>,
    /// It is.
    pub is_open: bool,
    /// When it closes by itself.
    pub shut: Expiry,
    rng: Rng,
}

/// A moment that is put off as long as somebody renews: of many renewals one event in the queue comes, and looks.
#[derive(Debug)]
pub struct Expiry {
    /// When it is.
    pub at: Us,
    /// When the event comes.
    looked_at: Us,
}

impl Expiry {
    const NEVER: Self = Self { at: FOREVER, looked_at: FOREVER };

    /// The time at which an event has to come, unless one comes before.
    pub fn next_look(&mut self) -> Option<Us> {
        (self.at < self.looked_at).then(|| {
            self.looked_at = self.at;
            self.at
        })
    }

    /// The event has come. True if it is time; else another one may have to come.
    pub fn look(&mut self, now: Us) -> bool {
        self.looked_at = FOREVER;
        self.at <= now
    }
}

impl Process {
    /// The oldest packet that was received and not read.
    pub fn next_datagram(&mut self) -> Option<Datagram> {
        let arrived_at = |queue: &VecDeque<Datagram>| queue.front().map_or(FOREVER, |datagram| datagram.arrived_at);
        let is_routine = arrived_at(&self.routine) < arrived_at(&self.urgent);
        if is_routine { self.routine.pop_front() } else { self.urgent.pop_front() }
    }

    /// Packets that were received and not read, which it will not read any more.
    pub fn take_unread(&mut self) -> Vec<Datagram> {
        self.urgent.drain(..).chain(self.routine.drain(..)).collect()
    }

    /// True if a packet that wakes it was not read.
    pub fn is_called(&self, clock: Instant) -> bool {
        !self.urgent.is_empty() || clock < self.waits_for_all_until && !self.routine.is_empty()
    }
}

impl Machine {
    /// Switched on, the daemon not started.
    pub fn new(n: usize, plan: &NodePlan, seed: u64) -> Self {
        Self {
            plan: plan.clone(),
            settings: plan.settings,
            id: NodeId::new(plan.settings.families.node(n).0),
            mac: (n as u64 + 1) << 8,
            clock: Clock::new(plan.ppm),
            kernel: Kernel {
                has: false,
                gone: Expiry::NEVER,
                refusals: 0,
                fence: None,
                is_open: false,
                shut: Expiry::NEVER,
                rng: Rng::new(seed, KERNELS + n as u64),
            },
            process: None,
            downs: 1,
            freezes: 0,
            pauses: 0,
            paused_at: 0,
            unplugs: 0,
            refused_at: None,
            is_running: false,
            is_stopping: false,
            is_removal_news: false,
            is_mac_news: false,
            boot: 0,
            boots: 0,
        }
    }

    /// Starts the daemon.
    pub fn boot(&mut self, now: Us, seed: u64, keyed: bool) {
        self.boots += 1;
        self.is_removal_news = false;
        self.is_mac_news = false;
        self.is_running = true;
        self.refused_at = None;
        self.is_stopping = false;
        let boot = mixed(seed ^ mixed((self.mac >> 8) << 32 | self.boots));
        self.boot = boot;
        let config = self.settings.config().expect("the plan draws settings that work");
        let us = Duration::from_micros;
        let grain = self.plan.fence.map(us);
        // The keeper makes it anew, closed.
        self.kernel.fence = grain.and_then(|grain| Fence::for_timing(config.interval(), config.tolerance(), grain));
        self.kernel.is_open = false;
        let seal = if keyed {
            Seal::keyed(&[Key::from_bytes([7; Key::LEN])], Context::of_group(1))
        } else {
            Seal::public(Context::of_group(1))
        };
        let node = Node::new(config, seal, boot, self.local(now));
        self.process = Some(Box::new(Process {
            node,
            boot,
            urgent: VecDeque::new(),
            routine: VecDeque::new(),
            waits_for_all_until: Instant::from_micros(0),
            arps: VecDeque::new(),
            link: KnownLink::Nothing,
            orders: VecDeque::new(),
            keeper_free_at: 0,
            answers: VecDeque::new(),
            must_stop: false,
            wakes_at: FOREVER,
            entered_at: None,
            spins: 0,
        }));
    }

    /// The boot of the daemon that runs now.
    pub fn boot_number(&self) -> Option<u64> {
        self.is_running.then_some(self.boot)
    }

    /// What the node's clock shows.
    pub fn local(&self, now: Us) -> Instant {
        Instant::from_micros(self.clock.read(now))
    }

    /// True if the process would run when woken.
    pub fn is_scheduled(&self) -> bool {
        self.freezes == 0 && self.pauses == 0
    }

    /// True if the link carries.
    pub fn has_carrier(&self) -> bool {
        self.unplugs == 0 && self.pauses == 0
    }

    /// True if it answers for the address.
    pub fn is_owner(&self) -> bool {
        self.kernel.is_exposed() && self.has_carrier()
    }

    /// How long the address may be seen after its daemon has died or frozen: not by the core's fence, which may be wrong, but by
    /// what peers count, see [`crate::checkers::words::longest_open`].
    pub fn outlasts(&self, lease_end: Us) -> Us {
        match self.kernel.fence {
            Some(_) => self.settings.tolerance - self.settings.interval,
            None if self.settings.lease => lease_end,
            None => FOREVER,
        }
    }

    /// True if it should be able to speak and to hear.
    pub fn can_talk(&self) -> bool {
        self.is_running && !self.is_stopping && self.is_scheduled() && self.has_carrier()
    }

    /// True if it was refused the address and may try again at any time.
    pub fn is_doubtful(&self) -> bool {
        self.is_running && self.refused_at.is_some()
    }

    /// True if it should be able to host.
    pub fn is_fit(&self) -> bool {
        let can_host = self.settings.worthiness > 0 && self.kernel.refusals == 0 && self.refused_at.is_none();
        can_host && self.can_talk()
    }
}

impl Kernel {
    /// True if frames from the address can leave.
    pub fn is_exposed(&self) -> bool {
        self.has && self.is_passable()
    }

    /// True if no fence stops them.
    pub fn is_passable(&self) -> bool {
        self.fence.is_none() || self.is_open
    }

    /// A packet has passed the fence.
    pub fn pass(&mut self, now: Us, effect: Effect) {
        let Some(fence) = self.fence else { return };
        match effect {
            Effect::Opens => {
                self.is_open = true;
                // Up to a tick early.
                let least = fence.surely_open().as_micros();
                self.shut.at = now + least + 1 + self.rng.below(fence.timeout().as_micros() - least);
            }
            Effect::Closes => (self.is_open, self.shut.at) = (false, FOREVER),
            Effect::None => {}
        }
    }

    /// Adds the address, or renews its lease.
    pub fn add(&mut self, now: Us, settings: &Settings) {
        self.has = true;
        self.gone.at = FOREVER;
        if settings.lease {
            let lease = settings.lease_if_any();
            let lateness = self.rng.below(lease.lateness().as_micros() + 1);
            self.gone.at = now + u64::from(lease.secs()) * SECOND + lateness;
        }
    }
}

/// Why a link without carrier is unfit.
pub const NO_CARRIER: Unfit = Unfit::NoCarrier;

/// Small datagrams that fit into a socket's buffer at the default `rmem`: 212,992 bytes, 768 for each.
pub const SOCKET_ROOM: usize = 277;

/// The names of the kernels' dice begin here.
const KERNELS: u64 = 1_000;

const SECOND: Us = 1_000_000;
