//! The status: what SIGUSR1 asks the worker to log.

use ::log::Level;
use ha::wire::arp::HexMac;

use super::Worker;
use crate::heap;
use crate::linux::clock;
use crate::log::{self, Cause, info};
use crate::text::Listed;

impl Worker {
    /// Logs all lines of the status or none: half a status would mislead.
    pub(super) fn log_status(&self) {
        let now = clock::now();
        let counters = self.node.counters();
        let lines = 5 + self.node.peers().iter().count() + counters.drops().count();
        let first = format_args!("status: {} for {}", self.node.state(), Listed(self.config().addresses()));
        if !log::admit(&STATUS, u32::try_from(lines).unwrap_or(u32::MAX), Level::Info, first) {
            return;
        }
        info!(admitted => "{first}");
        for peer in self.node.peers().iter() {
            let life = if peer.is_alive(now) { "heard" } else { "silent" };
            let heartbeat = &peer.said;
            info!(
                admitted => "status: {} {} worthiness {} flags {} release {} {life} {} ago",
                heartbeat.node,
                heartbeat.state,
                heartbeat.worthiness,
                heartbeat.flags,
                heartbeat.release,
                now.since(peer.heard_at)
            );
        }
        if let Some((mac, at)) = self.node.last_conflict() {
            info!(admitted => "status: last conflict with {}, {} ago", HexMac(mac), now.since(at));
        }
        info!(admitted => "status: {} of {} questions to neighbours confirmed", counters.confirmed, counters.asked);
        info!(admitted => "status: {} conflicts heard, address {} times in use", counters.conflicts, counters.in_use);
        for (cause, count) in counters.drops() {
            info!(admitted => "status: {count} packets dropped: it {cause}");
        }
        info!(admitted => "status: the worker has {} bytes of memory allocated", heap::used());
    }
}

/// Of the 60 lines in a minute that a flood of SIGUSR1 gets; the keeper has the others.
static STATUS: Cause = Cause::of(52);
