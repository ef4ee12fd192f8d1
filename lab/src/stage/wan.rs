//! Routers: nodes with a LAN and a WAN, and a client on each.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::Stage;
use crate::analysis::{Span, millis};
use crate::frames::Mac;
use crate::net::SHARED_ON_WAN;
use crate::probe::Probe;
use crate::sys::{self, Nanos};

impl Stage<'_> {
    /// Makes the nodes routers before they are started. Another client asks on their other side for the address there.
    pub fn add_wan(&mut self) -> io::Result<()> {
        self.lab.add_wan()?;
        self.world = Some(Probe::start(&self.lab.namespace("world"), SHARED_ON_WAN.into())?);
        self.setup.options = &["--address", "203.0.113.5/24 dev wan0"];
        Ok(())
    }

    /// Waits until this station serves the client on the other side.
    pub fn wait_for_wan(&mut self, mac: Mac) -> io::Result<()> {
        let deadline = Instant::now() + self.patience();
        while !self.world.as_ref().is_some_and(|world| world.is_served_by(mac)) {
            self.check_daemons()?;
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("waited for {mac:?} to serve the client on the other side")));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Pulls the cable of node 1 on its other side.
    pub fn cut_wan(&self) -> io::Result<()> {
        self.lab.cut_member("wan-n1")
    }

    /// What the client on the other side felt from `start` on, when `old` served it, until now.
    pub fn close_wan(&mut self, start: Nanos, old: Mac) -> io::Result<Vec<(&'static str, f64)>> {
        let span = Span::new(start, sys::now());
        let world = self.world.take().expect("scenarios add it before they close it");
        let recording = world.stop()?;
        recording.check_witness()?;
        let two_owners = recording.two_owners(span).iter().map(|span| span.length()).sum();
        let mut measured = vec![(DARK, millis(recording.blackout(span))), ("wan_two_owners_ms", millis(two_owners))];
        let taken = recording.first_sighting(span, |mac| mac != old);
        measured.extend(taken.map(|at| (TAKEN, millis(at.saturating_sub(start)))));
        Ok(measured)
    }
}

/// How long the client on the other side was dark, and when another node had the address there, in milliseconds.
pub const DARK: &str = "wan_blackout_ms";
pub const TAKEN: &str = "wan_take_over_ms";
