//! How an ACTIVE tells the LAN where the address is.

use super::Note;
use super::active::Active;
use super::io::{Output, Outputs, push};
use super::station::Station;
use crate::time::{Duration, Instant};

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
        [gratuitous, directed].into_iter().flatten().min()
    }
}
