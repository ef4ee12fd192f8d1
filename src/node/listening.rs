//! Since when silence is evidence (rule 11).
//!
//! You have just opened the door of a dark room: you cannot say that nobody is in it. Ports, bonds and radios stay deaf for 2-30 s
//! after "up", so silence that began at link-up counts from the first packet heard or from the end of the link delay.

use crate::config::Config;
use crate::peers::hearsay;
use crate::time::Instant;

/// What the node's own hearing is worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listening {
    /// When its silence began to count; that lies ahead as long as a link that came up may be deaf.
    begin: Instant,
}

impl Listening {
    /// There is no link.
    pub(super) const DEAF: Self = Self { begin: Instant::NEVER };

    /// It has been listening since then.
    pub(super) const fn since(begin: Instant) -> Self {
        Self { begin }
    }

    /// The link came up then, and nothing was heard yet.
    pub(super) fn link_up(at: Instant, config: &Config) -> Self {
        Self::since(at + config.link_delay())
    }

    /// A packet was heard: the link carries.
    pub(super) fn heard(&mut self, now: Instant) {
        if self.begin().is_some() {
            self.begin = self.begin.min(now);
        }
    }

    /// What was heard before is no evidence any more; a deaf link does not hear sooner for that.
    pub(super) fn restart(&mut self, now: Instant) {
        self.begin = self.begin.max(now);
    }

    /// From then on silence is evidence, as far as we know now.
    pub(super) fn ready_at(self, config: &Config) -> Option<Instant> {
        self.begin().map(|since| since + config.tolerance())
    }

    /// True if silence is evidence: no node can be ACTIVE without having been heard.
    pub(super) fn is_ready(self, now: Instant, config: &Config) -> bool {
        now >= self.begin + config.tolerance()
    }

    /// True if it has to say that it is ready: a little before, so that others have heard it when it acts on it.
    pub(super) fn is_nearly_ready(self, now: Instant, config: &Config) -> bool {
        now + hearsay(config.interval()) >= self.begin + config.tolerance()
    }

    /// True if it may claim from a less worthy ACTIVE.
    pub(super) fn is_settled(self, now: Instant, config: &Config) -> bool {
        now >= self.begin + config.preempt_delay()
    }

    /// For one interval after it got ready it lets more worthy nodes get ready too, so that a cold start has one take-over.
    pub(super) fn waits_for_starters(self, now: Instant, config: &Config) -> bool {
        now < self.begin + config.tolerance() + config.interval()
    }

    /// Until when an ACTIVE that could not prove yet that it lives is given the time to do so.
    pub(super) fn doubts_until(self, config: &Config) -> Option<Instant> {
        self.begin().map(|since| since + config.tolerance().saturating_mul(2))
    }

    /// The next moment after `now` at which one of the answers changes.
    pub(super) fn next(self, now: Instant, config: &Config) -> Option<Instant> {
        let since = self.begin()?;
        let ready = since + config.tolerance();
        let nearly_ready = since + config.tolerance().saturating_sub(hearsay(config.interval()));
        [nearly_ready, ready, ready + config.interval(), since + config.preempt_delay()]
            .into_iter()
            .filter(|&at| at > now)
            .min()
    }

    /// When its silence began to count.
    pub(super) fn begin(self) -> Option<Instant> {
        Some(self.begin).filter(|&begin| begin < Instant::NEVER)
    }
}
