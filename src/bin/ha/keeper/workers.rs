//! The workers, one after the other: a process and a channel, if the kernel has them to give; its end; and the pause before the
//! next one, which grows while they die young.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ha::node::BURST;
use ha::time::{Duration, Instant};
use ha::wire::State;
use rustix::io::Errno;
use rustix::process::Pid;

use super::Keeper;
use super::shortage::{Shortage, may_pass, next_pause};
use super::worker_process::WorkerProcess;
use crate::channel::Channel;
use crate::linux::{self, clock};
use crate::log::{error, info, warn};
use crate::settings::Settings;
use crate::text::{Refusal, text};

/// What the process of a worker does until it ends.
pub type RunWorker = fn(&Settings, Channel) -> !;

/// The worker that runs, the one before it, and the next one.
#[derive(Debug)]
pub struct Workers {
    run: RunWorker,
    running: Option<WorkerProcess>,
    /// It was killed or has died, and is not reaped yet.
    ending: Option<WorkerProcess>,
    next_at: Instant,
    /// Until the next start, if the worker dies soon.
    backoff: Duration,
    /// The kernel has no process or no channel to give.
    shortage: Shortage,
}

impl Workers {
    /// None was started yet.
    pub fn new(run: RunWorker) -> Self {
        Self {
            run,
            running: None,
            ending: None,
            next_at: clock::now(),
            backoff: Duration::ZERO,
            shortage: Shortage::default(),
        }
    }

    /// The worker that runs.
    pub fn running(&self) -> Option<&WorkerProcess> {
        self.running.as_ref()
    }

    /// The same, to change what is known of it.
    pub fn running_mut(&mut self) -> Option<&mut WorkerProcess> {
        self.running.as_mut()
    }

    /// The time has come to start the next one.
    pub fn is_next_due(&self) -> bool {
        self.running.is_none() && self.ending.is_none() && clock::now() >= self.next_at
    }

    /// When the next one is started.
    pub fn next_at(&self) -> Instant {
        self.next_at
    }

    /// When the keeper has to look after them; `is_leaving`: none is started any more.
    pub fn deadline(&self, now: Instant, is_leaving: bool) -> Option<Instant> {
        match (&self.running, &self.ending) {
            (Some(worker), _) => Some(worker.deadline()),
            (None, Some(_)) => Some(now + LOOK_FOR_END),
            (None, None) => Some(self.next_at).filter(|_| !is_leaving),
        }
    }

    /// Readable when the worker that runs, or is ending, has ended.
    pub fn end_fd(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().or(self.ending.as_ref())?.end.as_ref().map(OwnedFd::as_fd)
    }

    /// True if this process is one of them.
    pub fn has(&self, pid: Pid) -> bool {
        self.running.iter().chain(&self.ending).any(|worker| worker.pid == pid)
    }

    /// Starts one. True if it runs; else the kernel has no room for one, and the next try is due later.
    ///
    /// # Errors
    /// There will never be one.
    fn start(&mut self, settings: &Settings) -> Result<bool, Refusal> {
        match self.try_start(settings) {
            Ok(()) => {
                if self.shortage.record_success() {
                    info!("start worker: done this time");
                }
                Ok(true)
            }
            Err((call, errno)) if may_pass(errno) => {
                if self.shortage.record_refusal() {
                    warn!("start worker: {call}: {errno}; tried again, at least every 10s");
                }
                self.next_at = clock::now() + self.shortage.pause();
                Ok(false)
            }
            Err((call, errno)) => Err(text!("start worker: {call}: {errno}")),
        }
    }

    /// The error has the call that was refused.
    fn try_start(&mut self, settings: &Settings) -> Result<(), (&'static str, Errno)> {
        let (ours, theirs) = Channel::pair().map_err(|errno| ("socketpair", errno))?;
        let now = clock::now();
        match linux::process::fork().map_err(|errno| ("fork", errno))? {
            Some(pid) => self.running = Some(WorkerProcess::new(pid, ours, &settings.config, now)),
            None => (self.run)(settings, theirs),
        }
        Ok(())
    }

    /// `worker` is dead, or about to be: the next one comes after a pause, unless this one has lived long.
    fn schedule_next(&mut self, worker: WorkerProcess) {
        let now = clock::now();
        if now.since(worker.started) >= LONG_LIFE {
            self.backoff = Duration::ZERO;
        }
        self.next_at = now + self.backoff;
        self.backoff = next_pause(self.backoff);
        self.ending = Some(worker);
    }

    /// Reaps the worker that is ending, if it has ended, and logs how.
    pub fn reap(&mut self, is_leaving: bool) {
        let Some(status) = self.ending.as_ref().and_then(WorkerProcess::reap) else { return };
        self.ending = None;
        let in_s = self.next_at.since(clock::now());
        let next = if is_leaving { format_args!("") } else { format_args!("; the next one starts in {in_s}") };
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => warn!("worker ended: exit status {code}{next}"),
            (None, signal) => warn!("worker ended: signal {}{next}", signal.unwrap_or_default()),
        }
    }
}

impl Keeper {
    /// Starts a worker and reports to it what there is to know; or, as long as there is no room for one, sees when to try again.
    ///
    /// # Errors
    /// There will never be one.
    pub(super) fn start_worker(&mut self) -> Result<(), Refusal> {
        if self.workers.start(&self.settings)? {
            self.link.forget();
            self.look();
        }
        Ok(())
    }

    /// Kills the worker, releases the addresses, and sends the group its resign packet.
    pub(super) fn drop_worker(&mut self, why: &str) {
        let Some(worker) = self.workers.running.take() else { return };
        worker.kill();
        self.ownership.release();
        if let Some(packet) = &worker.resign_packet {
            self.link.send_burst(packet, self.settings.daemon.multicast(), worker.resigned..BURST);
        }
        self.workers.schedule_next(worker);
        error!("worker dropped: {why}; addresses released");
        self.report_state(State::Unfit, &"worker died", None);
    }

    /// The worker has closed its end of the channel: it has left as it was told, or it is dead.
    pub(super) fn follow_end_of_channel(&mut self) {
        if self.ends_by.is_some()
            && let Some(worker) = self.workers.running()
        {
            let _ = worker.await_end(super::TIME_TO_LEAVE);
            if worker.reap().is_some_and(|status| status.exit_status() == Some(0)) {
                self.workers.running = None;
                self.ownership.addresses_mut().assert_absent();
                return;
            }
        }
        self.close_fence();
        self.drop_worker("it died");
    }

    /// Sends the resign packet of a worker that is dead for the first time before the addresses are gone: with it the fence is
    /// closed, and a peer may have them. A worker that is killed could still send a heartbeat that opens it.
    fn close_fence(&mut self) {
        if self.fence.is_loaded()
            && let Some(worker) = self.workers.running.as_mut()
            && let Some(packet) = &worker.resign_packet
        {
            self.link.send_burst(packet, self.settings.daemon.multicast(), 0..1);
            worker.resigned = 1;
        }
    }

    /// Drops a worker that has not shown for too long that it lives. The kernel may have held the keeper up, so it reads all
    /// orders first.
    pub(super) fn look_after_worker(&mut self, now: Instant) {
        for _ in 0..MAX_ORDERS_AT_ONCE {
            let is_doubtful = self.workers.running().is_some_and(|worker| worker.deadline() <= now);
            if !is_doubtful || !self.obey() {
                break;
            }
        }
        if self.workers.running_mut().is_some_and(|worker| worker.check_stalled(now)) {
            self.drop_worker("it stalled");
        }
    }
}

/// A worker cannot keep the keeper from looking at its clock.
const MAX_ORDERS_AT_ONCE: usize = 64;

/// To look for the end of a killed worker where no pidfd shows it.
pub const LOOK_FOR_END: Duration = Duration::from_millis(10);

/// A worker that lived this long did not die of how it was started.
const LONG_LIFE: Duration = Duration::from_secs(10);
