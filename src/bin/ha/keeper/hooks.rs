//! Hooks: the user's programs that run when the state changes.
//!
//! Like a phone line: one call at a time, in the order of events; and if a newer event comes while the line is busy, the call
//! about the older one is not made. Nothing waits for the outcome, except that a take waits for `before-active`, 200 ms at
//! most.
//!
//! | option | runs | may last |
//! |---|---|---|
//! | `before-active` | when a take is ordered, which goes on whatever comes of it | 200 ms |
//! | `on-active` `on-standby` `on-unfit` `on-shutdown` | after the address has moved; `on-active` also when it was put back | `child-timeout` |
//!
//! A program gets the arguments of its option and then those of keepalived's `notify` (keepalived.conf(5)), and an environment
//! of nine variables, see [`Variables`]; for `before-active` the new state is that to come. The child checks each time that no
//! user but root can change the program, on the file that it has open, see [`Script::open`]. It is the leader of its own
//! process group; when its time is up, the group is killed. What it leaves behind in time goes on.

mod variables;

use std::ffi::CStr;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ha::node::PUT_BACK_GAP;
use ha::time::{Duration, Instant, earliest};
use ha::wire::{NodeId, State};
use rustix::io;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_send_signal, waitid};

use super::shortage::{Shortage, may_pass};
use crate::log::{debug, info, warn};
use crate::settings::Settings;
use crate::settings::options::Daemon;
use crate::settings::script::Script;
use crate::text::{Listed, c_text, text};
use crate::{linux, log as lines};
use variables::Variables;

/// When a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// The address is here.
    OnActive,
    /// This node is ready to take over.
    OnStandby,
    /// This node cannot host.
    OnUnfit,
    /// The daemon leaves.
    OnShutdown,
    /// The address is about to be here.
    BeforeActive,
}

impl Hook {
    /// The one for a new state.
    fn on(state: State) -> Self {
        match state {
            State::Active => Self::OnActive,
            State::Standby => Self::OnStandby,
            State::Unfit => Self::OnUnfit,
            State::Shutdown => Self::OnShutdown,
        }
    }
}

/// The name of its option.
impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnActive => "on-active",
            Self::OnStandby => "on-standby",
            Self::OnUnfit => "on-unfit",
            Self::OnShutdown => "on-shutdown",
            Self::BeforeActive => "before-active",
        })
    }
}

/// A new state.
#[derive(Clone, Copy)]
struct Change<'a> {
    /// The state until then.
    from: State,
    /// The state since then.
    to: State,
    /// Why.
    reason: &'a dyn fmt::Display,
    /// The node that it has to do with, if there is one.
    peer: Option<NodeId>,
}

/// The state that the worker reported last, and the queue: what runs, and what runs next.
#[derive(Debug)]
pub struct Hooks {
    settings: Daemon,
    state: State,
    /// When the hook of an ACTIVE ran again.
    repeated_at: Option<Instant>,
    /// The variables that are the same for all.
    fixed: [&'static CStr; 4],
    group: &'static CStr,
    worthiness: &'static CStr,
    running: Option<Child>,
    pending: Option<(Hook, Variables)>,
    /// A take waits for `before-active` until then.
    take_at: Option<Instant>,
    /// There is no room for a process.
    no_process: Shortage,
    /// When to look again whether there is.
    again_at: Option<Instant>,
}

impl Hooks {
    /// Prepares all that does not change, so that nothing is allocated later.
    pub fn new(settings: &Settings) -> Self {
        let config = &settings.config;
        let c_text = |text| c_text(text).expect("settings hold no NUL");
        Self {
            settings: settings.daemon.clone(),
            state: State::Unfit,
            repeated_at: None,
            fixed: [
                c_text("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
                c_text(text!("HA_GROUP={}", config.group())),
                c_text(text!("HA_INTERFACE={}", settings.device.unwrap_or(settings.interface))),
                c_text(text!("HA_ADDRESSES={}", Listed(config.addresses()))),
            ],
            group: c_text(text!("{}", config.group())),
            worthiness: c_text(text!("{}", config.worthiness())),
            running: None,
            pending: None,
            take_at: None,
            no_process: Shortage::default(),
            again_at: None,
        }
    }

    /// Runs the hook of a new state, or again that of an ACTIVE which has put the address back. The address has moved by then.
    pub fn report_state(&mut self, to: State, reason: &dyn fmt::Display, peer: Option<NodeId>, now: Instant) {
        let from = std::mem::replace(&mut self.state, to);
        if from != to || to == State::Active && record_repeat(&mut self.repeated_at, now) {
            self.run(&Change { from, to, reason, peer }, now);
        }
    }

    /// Runs the hook of the new state, or keeps it for later.
    fn run(&mut self, change: &Change<'_>, now: Instant) {
        self.put(Hook::on(change.to), Variables::new(change), now);
    }

    /// Runs `before-active` for a take that was ordered; the state until then is ACTIVE if the address is to be put back. True if
    /// the take has to wait until [`Hooks::advance`] says that it may go on.
    #[must_use]
    pub fn run_before_active(&mut self, now: Instant) -> bool {
        if self.script(Hook::BeforeActive).is_none() {
            return false;
        }
        self.take_at = Some(now + BEFORE_ACTIVE_LIMIT);
        let change = Change { from: self.state, to: State::Active, reason: &"", peer: None };
        self.put(Hook::BeforeActive, Variables::new(&change), now);
        !self.end_wait(now)
    }

    /// To be called when [`Hooks::fd`] is readable or [`Hooks::deadline`] has passed: kills what lasts too long, reaps
    /// what has ended, starts what is next. True, once, when a take that waited may go on.
    #[must_use]
    pub fn advance(&mut self, now: Instant) -> bool {
        if self.running.as_mut().is_some_and(|child| child.reap(now)) {
            self.running = None;
        }
        let is_late = self.take_at.is_some_and(|at| at <= now);
        if let Some((hook, _)) = self.pending.take_if(|(hook, _)| is_late && *hook == Hook::BeforeActive) {
            warn!("{hook} not run: what ran before it has not ended within {BEFORE_ACTIVE_LIMIT}");
        }
        self.start_next(now);
        self.take_at.is_some() && self.end_wait(now)
    }

    /// Readable when the running program has ended.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|child| child.pidfd.as_fd())
    }

    /// The running program.
    pub fn pid(&self) -> Option<Pid> {
        self.running.as_ref().map(|child| child.pid)
    }

    /// When [`Hooks::advance`] wants to be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let limit = self.running.as_ref().filter(|child| !child.is_killed).map(|child| child.limit);
        let again_at = self.again_at.filter(|_| self.running.is_none() && self.pending.is_some());
        earliest(&[limit, self.take_at, again_at])
    }

    /// Nothing runs and nothing waits: before that the daemon should not leave. What does not die of SIGKILL, because it
    /// is stuck in a disk for instance, holds the queue up, so that this wait wants a limit.
    pub fn is_idle(&self) -> bool {
        self.running.is_none() && self.pending.is_none()
    }

    fn script(&self, hook: Hook) -> Option<Script> {
        match hook {
            Hook::OnActive => self.settings.on_active(),
            Hook::OnStandby => self.settings.on_standby(),
            Hook::OnUnfit => self.settings.on_unfit(),
            Hook::OnShutdown => self.settings.on_shutdown(),
            Hook::BeforeActive => self.settings.before_active(),
        }
    }

    fn put(&mut self, hook: Hook, variables: Variables, now: Instant) {
        if let Some((older, _)) = self.pending.take() {
            info!("{older} not run: overtaken by {hook}");
        }
        if self.script(hook).is_some() {
            self.pending = Some((hook, variables));
            self.start_next(now);
        }
    }

    fn start_next(&mut self, now: Instant) {
        // A take does not wait for better times.
        let is_urgent = self.pending.as_ref().is_some_and(|&(hook, _)| hook == Hook::BeforeActive);
        if self.running.is_some() || !is_urgent && self.again_at.is_some_and(|at| now < at) {
            return;
        }
        let Some((hook, variables)) = self.pending.take() else { return };
        let Some(script) = self.script(hook) else { return };
        self.again_at = None;
        match self.start(hook, &script, &variables, now) {
            Ok(child) => {
                self.running = Some(child);
                if self.no_process.record_success() {
                    info!("{hook}: start {}: done this time", script.path());
                }
            }
            Err(errno) if may_pass(errno) && hook != Hook::BeforeActive => {
                let is_new = self.no_process.record_refusal();
                if is_new {
                    warn!("{hook}: start {}: {errno}; tried again, at least every 10s", script.path());
                }
                self.again_at = Some(now + self.no_process.pause());
                self.pending = Some((hook, variables));
            }
            Err(errno) => warn!("{hook}: start {}: {errno}", script.path()),
        }
    }

    fn start(&self, hook: Hook, script: &Script, variables: &Variables, now: Instant) -> io::Result<Child> {
        let mut arguments = heapless::Vec::<_, { linux::process::MAX_STRINGS }>::new();
        let notified = [c"INSTANCE", self.group, variables.keepalived_state(), self.worthiness];
        for argument in script.words().chain(notified) {
            arguments.push(argument).expect("a script has no more words than this leaves it");
        }
        let [path, group, interface, addresses] = &self.fixed;
        let [state, previous, peer, reason] = variables.in_order();
        let environment = [path, state, previous, group, interface, addresses, peer, reason, script.variable()];
        // Checked each time, and by the child: what is there now may not be what was there at the start.
        let open = || script.open(&hook);
        let (pid, pidfd) = linux::process::spawn(&arguments, &environment, lines::descriptor(), &open)?;
        let limit = match hook {
            Hook::BeforeActive => self.take_at.unwrap_or(now),
            Hook::OnActive | Hook::OnStandby | Hook::OnUnfit | Hook::OnShutdown => now + self.settings.child_timeout(),
        };
        Ok(Child { hook, pid, pidfd, started: now, limit, is_killed: false })
    }

    /// True, once, if the take need not wait any longer.
    fn end_wait(&mut self, now: Instant) -> bool {
        let is_pending = self.pending.as_ref().is_some_and(|&(hook, _)| hook == Hook::BeforeActive);
        let is_running = self.running.as_ref().is_some_and(|child| child.hook == Hook::BeforeActive);
        let may = self.take_at.is_none_or(|at| at <= now) || !(is_pending || is_running);
        if may {
            self.take_at = None;
        }
        may
    }
}
/// Notes that the hook of an ACTIVE runs again, as after a repair, if the last time, at `repeated_at`, is long enough ago;
/// false if not.
fn record_repeat(repeated_at: &mut Option<Instant>, now: Instant) -> bool {
    let may = repeated_at.is_none_or(|at| now.since(at) >= REPEATS_AFTER);
    if may {
        *repeated_at = Some(now);
    }
    may
}

/// A program that runs.
#[derive(Debug)]
struct Child {
    hook: Hook,
    pid: Pid,
    pidfd: OwnedFd,
    started: Instant,
    limit: Instant,
    is_killed: bool,
}

impl Child {
    /// True if it has ended, which is logged; kills it if its time is up.
    fn reap(&mut self, now: Instant) -> bool {
        let (hook, lasted) = (self.hook, now.since(self.started));
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
            Ok(None) if now < self.limit || self.is_killed => return false,
            Ok(None) => {
                self.kill();
                warn!("{hook} killed: not done after {lasted}");
                return false;
            }
            Ok(Some(_)) if self.is_killed => {}
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(0), _) if hook == Hook::BeforeActive => info!("{hook} done after {lasted}"),
                (Some(0), _) => debug!("{hook} done after {lasted}"),
                (Some(127), _) => warn!("{hook}: exit status 127: the program or its interpreter does not exist"),
                (Some(126), _) => warn!("{hook}: exit status 126: the program cannot be executed"),
                (Some(code), _) => warn!("{hook}: exit status {code} after {lasted}"),
                (None, signal) => warn!("{hook}: ended by signal {} after {lasted}", signal.unwrap_or_default()),
            },
            Err(errno) => warn!("{hook}: wait for its end: {errno}"),
        }
        true
    }

    /// Its process group, and itself in case that it has not come to making one. Not reaped, it keeps its number, so
    /// that nothing else is hit.
    fn kill(&mut self) {
        let group = kill_process_group(self.pid, Signal::KILL);
        let itself = pidfd_send_signal(&self.pidfd, Signal::KILL);
        if let (Err(errno), Err(_)) = (group, itself) {
            warn!("kill {}: {errno}", self.hook);
        }
        self.is_killed = true;
    }
}

/// A keeper that was held up reads a report later than the worker wrote it: the next one seems to come sooner.
const REPEATS_AFTER: Duration = PUT_BACK_GAP.saturating_sub(Duration::from_secs(1));

/// What a hook may add to a blackout.
pub const BEFORE_ACTIVE_LIMIT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
