//! How an ACTIVE tells the LAN where the address is.

use super::Note;
use super::active::Active;
use super::io::{Output, Outputs, push};
use super::station::Station;
use crate::neighbours::Kind;
use crate::peers::Peer;
use crate::time::{Duration, Instant, earliest};
use crate::wire::State;

impl Active {
    /// Tells all from `at` on, and asks the neighbours whether they know.
    pub(super) fn announce_from(&mut self, station: &mut Station, at: Instant) {
        self.announcer.restart(at);
        station.lan.neighbours.start(at);
    }

    /// Tells all again, since caches may be wrong.
    pub(super) fn announce_again(&mut self, station: &mut Station, now: Instant, out: &mut Outputs) {
        self.announce_from(station, now);
        self.announce(station, now, out);
    }

    /// The same once a second at most: for what goes on, so that there are frames left when it ends.
    pub(super) fn announce_soon(&mut self, station: &mut Station, now: Instant, out: &mut Outputs) {
        let started = self.announcer.started();
        if started <= now {
            self.announce_from(station, now.max(started + Duration::from_secs(1)));
            self.announce(station, now, out);
        }
    }

    /// Sends what is due, as far as there are frames left: gratuitous ARP first.
    pub(super) fn announce(&mut self, station: &mut Station, now: Instant, out: &mut Outputs) {
        let lan = &mut station.lan;
        while let Some(index) = self.announcer.poll(now, &mut lan.frames) {
            push(out, Output::Announce(index));
        }
        if self.announcer.is_pending() {
            return;
        }
        while let Some(ask) = lan.neighbours.poll(now, &mut lan.frames) {
            push(out, Output::Ask(ask));
        }
        if let Some(coverage) = lan.neighbours.finish(now) {
            station.counters.covered(coverage);
            push(out, Output::Note(Note::Covered(coverage)));
        }
    }

    /// When there is something to announce or to ask.
    pub(super) fn announces_at(&self, station: &Station) -> Option<Instant> {
        let lan = &station.lan;
        let gratuitous = self.announcer.deadline(&lan.frames);
        let directed = lan.neighbours.deadline(&lan.frames).filter(|_| !self.announcer.is_pending());
        earliest(&[gratuitous, directed])
    }
}

impl Station {
    /// Living peers may be clients of the address too, on the link of the heartbeats; and the node knows those that have answered by
    /// their hardware address.
    pub(super) fn enter_members(&mut self, now: Instant) {
        for peer in self.peers.iter().filter(|peer| peer.is_alive(now) && peer.said.state != State::Shutdown) {
            let address = peer.node().address();
            let uses = self.addresses_for(0, address);
            self.lan.neighbours.learn(now, (0, address), None, Kind::Member, uses);
        }
    }

    /// Between two announcements at rest.
    ///
    /// A peer that fell silent, did not answer yet, or was never heard may live where only this node does not hear it, have the
    /// address there, and let go of it unheard: its clients are ours again within a tolerance. At most two frames a second. What
    /// was recorded of a peer that has left makes no difference.
    pub(super) fn announce_interval(&self, now: Instant) -> Duration {
        let usual = self.config.announce_interval();
        let has_left = |peer: &Peer| peer.said.state == State::Shutdown;
        let none_is_missing = self.peers.iter().all(|peer| peer.is_alive(now) || has_left(peer));
        let knows_a_peer = self.peers.iter().next().is_some();
        let left = |node| self.peers.get(node).is_some_and(has_left);
        if knows_a_peer && none_is_missing && !self.strangers.is_missing_one(now, left) {
            return usual;
        }
        let least = Duration::from_secs(self.config.addresses().len().try_into().unwrap_or(u64::MAX));
        usual.min(self.config.tolerance().max(least))
    }
}
