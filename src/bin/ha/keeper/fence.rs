//! The fence: the kernel drops every frame from a shared address unless a heartbeat of an ACTIVE left a moment ago.
//!
//! The lease takes the address away, in seconds; the fence silences it, in milliseconds, like the dead man's switch of a train: it
//! needs a hand, not a command. It works without this process. What is done here is to load it, closed, before the first address
//! comes; to load it again when others have changed it or the interface is another one; and to delete it at a clean end. What a
//! killed daemon has left goes on until the next one replaces it, so that nothing passes in between. docs/fence.md has the rest.

use std::fmt::{self, Display};
use std::os::fd::{AsFd, BorrowedFd};

use ha::config::MAX_LINKS;
use ha::fence;
use ha::lease::Lease;
use ha::time::{Duration, Instant};
use rustix::io::{self, Errno};

use super::shortage::{Shortage, may_pass};
use crate::linux::clock;
use crate::linux::name::Name;
use crate::linux::netlink::Changes;
use crate::log::{Cause, info, warn};
use crate::settings::{Fencing, Settings};
use crate::text::{Refusal, Text, text};

mod form;

use form::{Digest, Form, delete_leftovers};

/// The fence of this group.
#[derive(Debug)]
pub struct Fence {
    /// None without a fence: it is off, or this kernel has none.
    means: Option<Means>,
    is_required: bool,
}

/// The interfaces by which frames from the addresses may leave: numbers, and what the kernel calls them.
pub type Links = heapless::Vec<(u32, Name), MAX_LINKS>;

/// What it takes to load one.
#[derive(Debug)]
struct Means {
    form: Form,
    changes: Changes,
    timing: fence::Fence,
    name: Text,
    /// Where it was loaded, or is to be.
    links: Links,
    /// What the kernel said of it then; none if it is not loaded.
    loaded: Option<Digest>,
    /// What a killed daemon has left in the other form is deleted: not before this one is there.
    is_only_one: bool,
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
    /// It has no nftables that would do, and no program at clsact either.
    Neither(Errno, Errno),
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
        let (mut means, flaw) = match Means::find(settings) {
            Ok((means, flaw)) => (Some(means), flaw),
            Err(flaw) => (None, Some(flaw)),
        };
        if let Some(flaw) = flaw.filter(|_| is_required) {
            return Err(text!("fence required: {flaw}"));
        }
        report(settings, means.as_ref(), flaw);
        match &mut means {
            None => delete_leftovers(None, name(settings)),
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

    /// Reads what was changed. If that was the fence, loads it again; then true: the worker has to hear of it.
    pub fn follow_changes(&mut self, settings: &Settings) -> bool {
        let Some(means) = &mut self.means else { return false };
        if !means.drain_changes() || means.loaded.is_none() {
            return false;
        }
        if means.form.digest(means.name, &means.links) == Ok(means.loaded) {
            return false;
        }
        means.load(settings);
        if means.loaded.is_some() {
            warn!(&CHANGED => "{means} was changed by another program: loaded again");
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

    /// Readable when something was changed that may be of the fence.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.means.as_ref().map(|means| means.changes.as_fd())
    }

    /// Deletes it. The addresses are gone, and the last packet has left.
    pub fn leave(&mut self) {
        if let Some(means) = &mut self.means
            && let Err(errno) = means.form.delete(means.name)
        {
            warn!("delete {means}: {errno}");
        }
    }
}

/// Whether this machine can load a fence for these settings, for how long it would stay open, and by what. Loads none.
///
/// # Errors
/// Why not.
pub fn try_out(settings: &Settings) -> Result<Text, Flaw> {
    match Means::find(settings)? {
        (means, None) => Ok(means.summary()),
        (_, Some(flaw)) => Err(flaw),
    }
}

impl Means {
    /// In the first form that this kernel knows; with what is in its way, if that may pass.
    fn find(settings: &Settings) -> Result<(Self, Option<Flaw>), Flaw> {
        if settings.daemon.fence() == Fencing::Off {
            return Err(Flaw::Off);
        }
        let by_nftables = Self::by_nftables(settings);
        let flaw = match &by_nftables {
            Ok((_, None | Some(Flaw::Foreign(_)))) => return by_nftables,
            Ok((_, Some(flaw))) | Err(flaw) => *flaw,
        };
        match (Self::by_clsact(settings), flaw) {
            (Ok(means), _) => Ok((means, None)),
            (Err(Flaw::Kernel(clsact)), Flaw::Kernel(nftables)) if !flaw.may_pass() => {
                Err(Flaw::Neither(nftables, clsact))
            }
            (Err(_), _) => by_nftables,
        }
    }

    fn by_nftables(settings: &Settings) -> Result<(Self, Option<Flaw>), Flaw> {
        let name = name(settings);
        let timing = timing(settings, clock::tick())?;
        let (form, flaw) = Form::nftables(name, settings, timing.timeout()).map_err(Flaw::Kernel)?;
        match flaw {
            Some(flaw) if !flaw.may_pass() => Err(flaw),
            flaw => Ok((Self::new(name, form, timing)?, flaw)),
        }
    }

    /// It closes to the microsecond.
    fn by_clsact(settings: &Settings) -> Result<Self, Flaw> {
        let name = name(settings);
        let timing = timing(settings, fence::EXACT)?;
        let form = Form::clsact(name, settings, timing.timeout()).map_err(Flaw::Kernel)?;
        Self::new(name, form, timing)
    }

    fn new(name: Text, form: Form, timing: fence::Fence) -> Result<Self, Flaw> {
        Ok(Self {
            changes: form.changes().map_err(Flaw::Kernel)?,
            form,
            timing,
            name,
            links: Links::new(),
            loaded: None,
            is_only_one: false,
            not_loaded: Shortage::default(),
            again_at: None,
        })
    }

    /// Loads it, closed, in place of what is there. Failures are logged here.
    fn load(&mut self, settings: &Settings) {
        let outcome = self.try_load(settings);
        self.loaded = outcome.ok();
        self.again_at = None;
        match outcome {
            Ok(_) => {
                if self.not_loaded.record_success() {
                    info!("load {self}: done this time");
                }
                if !self.is_only_one {
                    delete_leftovers(Some(&self.form), self.name);
                    self.is_only_one = true;
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
        self.form.load(self.name, settings, self.timing.timeout(), &self.links)?;
        // These changes are our own. What others do from now on comes after them; what they have done meanwhile shows in the
        // digest.
        self.drain_changes();
        match self.form.digest(self.name, &self.links) {
            Ok(Some(digest)) => Ok(digest),
            Ok(None) => Err(Flaw::Kernel(Errno::NOENT)),
            Err(errno) => Err(Flaw::Kernel(errno)),
        }
    }

    /// Reads what was changed. True if that may have been the fence.
    fn drain_changes(&self) -> bool {
        self.changes.drain(&|message| self.form.is_meant(self.name, &self.links, message))
    }

    fn summary(&self) -> Text {
        text!("fence {} ({})", self.timing.timeout(), self.form.means())
    }
}

impl Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.form.thing(), self.name)
    }
}

impl Flaw {
    /// Root may see it otherwise.
    pub fn is_of_this_user(self) -> bool {
        matches!(self, Self::Kernel(Errno::PERM | Errno::ACCESS) | Self::Neither(Errno::PERM | Errno::ACCESS, _))
    }

    /// Another program may give up the name, and the kernel may have memory later.
    fn may_pass(self) -> bool {
        match self {
            Self::Off | Self::Coarse(_) | Self::Neither(..) => false,
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
            Self::Kernel(errno) => write!(f, "the kernel does not load it: {errno}"),
            Self::Neither(errno @ (Errno::PERM | Errno::ACCESS), _) => {
                write!(f, "no permission to load one: {errno}")
            }
            Self::Neither(nftables, clsact) => {
                write!(f, "this kernel has no egress hook of nftables: {nftables}, and no program at clsact: {clsact}")
            }
            Self::Foreign(table) => write!(f, "table netdev {table} is another program's"),
        }
    }
}

/// Logs what guards the addresses when this daemon is dead or frozen.
fn report(settings: &Settings, means: Option<&Means>, flaw: Option<Flaw>) {
    let lease = settings.config.lease();
    let lease_s = lease.map_or(Duration::ZERO, |lease| Duration::from_secs(lease.secs().into()));
    let fence = means.filter(|_| flaw.is_none()).map(Means::summary);
    match (fence, flaw, lease) {
        (Some(fence), _, Some(_)) => info!("guarded by {fence}, lease {lease_s}"),
        (Some(fence), _, None) => info!("guarded by {fence} only: no-lease"),
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

/// How long a heartbeat opens it, where the kernel counts in ticks.
fn timing(settings: &Settings, tick: Duration) -> Result<fence::Fence, Flaw> {
    let config = &settings.config;
    fence::Fence::for_timing(config.interval(), config.tolerance(), tick).ok_or(Flaw::Coarse(clock::tick()))
}

/// By it a daemon knows what a former one has left.
fn name(settings: &Settings) -> Text {
    text!("ha-{}-{}", settings.config.group(), settings.interface)
}

const SOON: Duration = Duration::from_millis(500);

/// A program that deletes it each second is said once a minute.
static CHANGED: Cause = Cause::of(1);
