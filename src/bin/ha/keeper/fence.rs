//! The fence: the kernel drops every frame from a shared address unless a heartbeat of an ACTIVE left a moment ago.
//!
//! The lease takes the address away, in seconds; the fence silences it, in milliseconds, like the dead man's switch of a train: it
//! needs a hand, not a command. It works without this process. What is done here is to load it, closed, before the first address
//! comes; to load it again when others have changed it or the interface is another one; and to delete it at a clean end. What a
//! killed daemon has left goes on until the next one replaces it, so that nothing passes in between. docs/fence.md has the rest.

use std::fmt::{self, Display};
use std::os::fd::{AsFd, BorrowedFd};

use ha::fence;
use ha::lease::Lease;
use ha::time::{Duration, Instant};
use rustix::io::{self, Errno};

use super::shortage::{Shortage, may_pass};
use crate::linux::clock;
use crate::linux::name::Name;
use crate::linux::netfilter::{Changes, Digest, Owner, Ruleset, Tables};
use crate::linux::process::global_uid;
use crate::log::{Cause, info, warn};
use crate::settings::{Fencing, Settings};
use crate::text::{Refusal, Text, text};

/// The fence of this group.
#[derive(Debug)]
pub struct Fence {
    /// None without a fence: it is off, or this kernel has none.
    means: Option<Means>,
    is_required: bool,
}

/// The interfaces by which frames from the addresses may leave: numbers, and what the kernel calls them.
pub type Links = heapless::Vec<(u32, Name), 2>;

/// What it takes to load one.
#[derive(Debug)]
struct Means {
    tables: Tables,
    changes: Changes,
    timing: fence::Fence,
    uid: Option<u32>,
    table: Text,
    /// Where it was loaded, or is to be.
    links: Links,
    /// What the kernel said of it then; none if it is not loaded.
    loaded: Option<Digest>,
    /// The kernel does not load it.
    not_loaded: Shortage,
    again_at: Option<Instant>,
}

/// Why there is no fence.
#[derive(Debug, Clone, Copy)]
pub enum Flaw {
    /// None is wanted.
    Off,
    /// Ticks of the kernel's timer are too long for this timing.
    Coarse(Duration),
    /// The kernel refuses.
    Kernel(Errno),
    /// Another program has a table of that name.
    Foreign(Text),
}

impl Fence {
    /// Finds out whether there can be one, and logs what guards the addresses. Loads nothing yet.
    ///
    /// # Errors
    /// It is required, and this kernel has none; nothing was changed then.
    pub fn open(settings: &Settings) -> Result<Self, Refusal> {
        let is_required = settings.daemon.fence() == Fencing::Required;
        let (means, flaw) = match Means::open(settings) {
            Ok(mut means) => {
                let flaw = means.try_out(settings).err();
                (Some(means), flaw)
            }
            Err(flaw) => (None, Some(flaw)),
        };
        if let Some(flaw) = flaw.filter(|_| is_required) {
            return Err(text!("fence required: {flaw}"));
        }
        report(settings, means.as_ref().map(|means| means.timing).filter(|_| flaw.is_none()), flaw);
        let mut means = means.filter(|_| flaw.is_none_or(Flaw::may_pass));
        match &mut means {
            None => delete_leftover(table_name(settings)),
            // It is said.
            Some(means) if flaw.is_some() => drop(means.not_loaded.record_refusal()),
            Some(_) => {}
        }
        Ok(Self { means, is_required })
    }

    /// Loads it unless it is loaded for these links, which costs questions to the kernel. True if the worker has to hear whether it
    /// is.
    pub fn ensure(&mut self, links: impl FnOnce() -> io::Result<Links>, settings: &Settings) -> bool {
        let Some(means) = &mut self.means else { return false };
        let was_loaded = means.loaded.is_some();
        match links() {
            Ok(links) if links == means.links && (was_loaded || means.again_at.is_some_and(|at| clock::now() < at)) => {
                false
            }
            Ok(links) => {
                means.links = links;
                means.load(settings);
                was_loaded || means.loaded.is_some()
            }
            Err(_) if was_loaded => false,
            Err(_) => {
                means.again_at = Some(clock::now() + SOON);
                false
            }
        }
    }

    /// Reads what was changed in nftables. If that was the fence, loads it again; then true: the worker has to hear of it.
    pub fn follow_changes(&mut self, settings: &Settings) -> bool {
        let Some(means) = &mut self.means else { return false };
        if !means.changes.drain(means.table) || means.loaded.is_none() {
            return false;
        }
        if means.tables.chain(means.table) == Ok(means.loaded) {
            return false;
        }
        means.load(settings);
        if means.loaded.is_some() {
            warn!(&CHANGED => "table netdev {} was changed by another program: loaded again", means.table);
        }
        true
    }

    /// It is loaded: what leaves from the addresses passes it.
    pub fn is_loaded(&self) -> bool {
        self.means.as_ref().is_some_and(|means| means.loaded.is_some())
    }

    /// This node may have the addresses as far as the fence goes.
    pub fn suffices(&self) -> bool {
        self.is_loaded() || !self.is_required
    }

    /// When to try again to load it.
    pub fn next_try(&self) -> Option<Instant> {
        self.means.as_ref()?.again_at
    }

    /// Readable when something was changed in nftables.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.means.as_ref().map(|means| means.changes.as_fd())
    }

    /// Deletes it. The addresses are gone, and the last packet has left.
    pub fn leave(&mut self) {
        let Some(Means { tables, table, .. }) = &mut self.means else { return };
        if let Ok(Owner::Us) = tables.owner(table)
            && let Err(errno) = tables.delete(table)
        {
            warn!("delete table netdev {table}: {errno}");
        }
    }
}

/// Whether this machine can load a fence for these settings, and for how long it would stay open. Loads none.
///
/// # Errors
/// Why not.
pub fn try_out(settings: &Settings) -> Result<fence::Fence, Flaw> {
    let mut means = Means::open(settings)?;
    means.try_out(settings)?;
    Ok(means.timing)
}

impl Means {
    fn open(settings: &Settings) -> Result<Self, Flaw> {
        if settings.daemon.fence() == Fencing::Off {
            return Err(Flaw::Off);
        }
        let (config, tick) = (&settings.config, clock::tick());
        let timing = fence::Fence::for_timing(config.interval(), config.tolerance(), tick).ok_or(Flaw::Coarse(tick))?;
        Ok(Self {
            tables: Tables::open().map_err(Flaw::Kernel)?,
            changes: Changes::open().map_err(Flaw::Kernel)?,
            timing,
            uid: global_uid(),
            table: table_name(settings),
            links: Links::new(),
            loaded: None,
            not_loaded: Shortage::default(),
            again_at: None,
        })
    }

    /// On the loopback, which each machine has: the interface may appear later.
    fn try_out(&mut self, settings: &Settings) -> Result<(), Flaw> {
        let loopback = [Name::new(b"lo").expect("it is short")];
        let ruleset = Ruleset { table: TRIAL, links: &loopback, ..self.ruleset(settings, &[]) };
        self.tables.try_out(&ruleset).map_err(Flaw::Kernel)?;
        self.check_owner()
    }

    fn check_owner(&mut self) -> Result<(), Flaw> {
        match self.tables.owner(self.table) {
            Ok(Owner::Nobody | Owner::Us) => Ok(()),
            Ok(Owner::Other) => Err(Flaw::Foreign(self.table)),
            Err(errno) => Err(Flaw::Kernel(errno)),
        }
    }

    fn ruleset<'a>(&self, settings: &'a Settings, links: &'a [Name]) -> Ruleset<'a> {
        Ruleset {
            table: self.table,
            links,
            shared: settings.config.addresses(),
            multicast: settings.daemon.multicast(),
            group: settings.config.group(),
            uid: self.uid,
            timeout: self.timing.timeout(),
        }
    }

    /// Loads it, closed, in place of what is there. Failures are logged here.
    fn load(&mut self, settings: &Settings) {
        let outcome = self.try_load(settings);
        self.loaded = outcome.ok();
        self.again_at = None;
        match outcome {
            Ok(_) => {
                if self.not_loaded.record_success() {
                    info!("load table netdev {}: done this time", self.table);
                }
            }
            // The interface has just gone: the next one comes with a look.
            Err(Flaw::Kernel(Errno::NOENT | Errno::NODEV)) => self.again_at = Some(clock::now() + SOON),
            Err(flaw) => {
                if self.not_loaded.record_refusal() {
                    warn!("no fence: {flaw}; tried again, at least every 10s");
                }
                self.again_at = Some(clock::now() + self.not_loaded.pause());
            }
        }
    }

    fn try_load(&mut self, settings: &Settings) -> Result<Digest, Flaw> {
        self.check_owner()?;
        let links: heapless::Vec<_, 2> = self.links.iter().map(|&(_, name)| name).collect();
        let ruleset = self.ruleset(settings, &links);
        self.tables.load(&ruleset).map_err(Flaw::Kernel)?;
        // These changes are our own. What others do from now on comes after them; what they have done meanwhile shows in the
        // chain.
        self.changes.drain(self.table);
        match self.tables.chain(self.table) {
            Ok(Some(digest)) => Ok(digest),
            Ok(None) => Err(Flaw::Kernel(Errno::NOENT)),
            Err(errno) => Err(Flaw::Kernel(errno)),
        }
    }
}

impl Flaw {
    /// Root may see it otherwise.
    pub fn is_of_this_user(self) -> bool {
        matches!(self, Self::Kernel(Errno::PERM | Errno::ACCESS))
    }

    /// Another program may give up the name, and the kernel may have memory later.
    fn may_pass(self) -> bool {
        match self {
            Self::Off | Self::Coarse(_) => false,
            Self::Kernel(errno) => may_pass(errno) && errno != Errno::NOENT,
            Self::Foreign(_) => true,
        }
    }
}

impl Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("fence is off"),
            Self::Coarse(tick) => write!(f, "interval and tolerance are too short for this kernel's tick of {tick}"),
            Self::Kernel(errno @ (Errno::PERM | Errno::ACCESS)) => write!(f, "no permission to load one: {errno}"),
            Self::Kernel(errno) if !self.may_pass() => write!(f, "this kernel has no egress hook of nftables: {errno}"),
            Self::Kernel(errno) => write!(f, "load it into nftables: {errno}"),
            Self::Foreign(table) => write!(f, "table netdev {table} is another program's"),
        }
    }
}

/// Logs what guards the addresses when this daemon is dead or frozen.
fn report(settings: &Settings, fence: Option<fence::Fence>, flaw: Option<Flaw>) {
    let lease = settings.config.lease();
    let lease_s = lease.map_or(Duration::ZERO, |lease| Duration::from_secs(lease.secs().into()));
    match (fence.map(fence::Fence::timeout), flaw, lease) {
        (Some(fence), _, Some(_)) => info!("guarded by fence {fence}, lease {lease_s}"),
        (Some(fence), _, None) => info!("guarded by fence {fence} only: no-lease"),
        (None, Some(flaw), Some(_)) => info!("guarded by lease {lease_s} only: {flaw}"),
        (None, Some(flaw), None) => warn!("guarded by nothing: no-lease, and {flaw}"),
        (None, None, _) => {}
    }
    if fence.is_none() && lease.is_some_and(Lease::is_late) {
        warn!(
            "tolerance {} is below 2s: the kernel's lease ends too late to fence a daemon that was killed or frozen",
            settings.config.tolerance()
        );
    }
}

/// A fence that a killed daemon has left would keep the addresses of this one closed for ever.
fn delete_leftover(table: Text) {
    if let Ok(mut tables) = Tables::open()
        && let Ok(Owner::Us) = tables.owner(table)
        && tables.delete(table).is_ok()
    {
        info!("table netdev {table} of a daemon that was killed: deleted");
    }
}

fn table_name(settings: &Settings) -> Text {
    text!("ha-{}-{}", settings.config.group(), settings.interface)
}

/// Of a table that no other program has; it never comes to be.
const TRIAL: Text = "ha-trial";

const SOON: Duration = Duration::from_millis(500);

/// A program that deletes it each second is said once a minute.
static CHANGED: Cause = Cause::of(1);
