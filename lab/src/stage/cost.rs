//! What the daemons of a stage cost while nothing happens.

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use super::Stage;
use crate::net::{CLIENT, SHARED};
use crate::stats::count;
use crate::sys::{self, Nanos};
use crate::usage::Usage;

/// What one daemon costs.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Milliseconds of processor time in a second, of all its processes.
    pub ms_per_s: f64,
    /// How often its processes go to sleep in an interval, together.
    pub sleeps: f64,
}

/// What the daemons of a group cost at rest.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// The ACTIVE.
    pub active: Cost,
    /// One of the others, on average.
    pub standby: Cost,
}

impl Stage<'_> {
    /// Leaves the first `count` nodes on the switch and no other: a packet to all costs its sender something for each
    /// port that is up.
    pub fn plug_first(&self, count: u8) -> io::Result<()> {
        (1..=self.run.nodes).try_for_each(|number| self.lab.set_port(number, number <= count))
    }

    /// What the daemons use in `span`, of which node 1 is the ACTIVE. The client, whose questions wake the processors
    /// up, is silent meanwhile. A span in which the address moved does not count, and another one follows.
    pub fn costs_at_rest(&mut self, span: Duration) -> io::Result<Costs> {
        for _ in 0..TRIES {
            if let Some(costs) = self.costs_unless_it_moves(span)? {
                return Ok(costs);
            }
        }
        Err(io::Error::other(format!("the address moved within {span:?}, {TRIES} times")))
    }

    /// Processor time, in microseconds, of a small packet that each of these nodes sends from the shared address, until it is
    /// with the client. They take many turns.
    pub fn packet_us<const N: usize>(&self, nodes: [u8; N]) -> io::Result<Vec<[f64; N]>> {
        self.probe.hush();
        self.sleep(AFTER_THE_LAST_QUESTION);
        let sockets: io::Result<Vec<_>> = nodes.iter().map(|number| self.socket_to_the_client(*number)).collect();
        let turns = sockets.and_then(|sockets| (0..TURNS).map(|_| turn(&sockets)).collect());
        self.probe.speak();
        turns
    }

    fn socket_to_the_client(&self, number: u8) -> io::Result<UdpSocket> {
        sys::inside(&self.lab.namespace(&format!("n{number}")), || {
            let socket = UdpSocket::bind((SHARED, 0))?;
            socket.connect((CLIENT, DISCARD))?;
            Ok(socket)
        })
    }

    fn costs_unless_it_moves(&mut self, span: Duration) -> io::Result<Option<Costs>> {
        self.probe.hush();
        self.sleep(AFTER_THE_LAST_QUESTION);
        let hushed = sys::monotonic();
        let before = self.usages()?;
        self.sleep(span);
        let after = self.usages()?;
        self.probe.speak();
        let owner = self.wait_until_served_by(1)?;
        // What was announced meanwhile was kept for the client.
        if self.has_moved_from(owner, Duration::from_nanos(sys::monotonic() - hushed)) {
            return Ok(None);
        }
        let interval = self.setup.timing.interval;
        let mut costs: Vec<_> =
            before.iter().zip(&after).map(|(before, after)| cost(before, after, interval)).collect();
        let active = costs.remove(0);
        let others = count(costs.len());
        let average = |of: fn(&Cost) -> f64| costs.iter().map(of).sum::<f64>() / others;
        Ok(Some(Costs {
            active,
            standby: Cost { ms_per_s: average(|cost| cost.ms_per_s), sleeps: average(|cost| cost.sleeps) },
        }))
    }

    /// What each daemon has used, and when; node 1 first.
    fn usages(&mut self) -> io::Result<Vec<(Nanos, Usage)>> {
        self.nodes.sort_by_key(|(number, _)| *number);
        self.nodes.iter().map(|(_, node)| Ok((sys::monotonic(), node.usage()?))).collect()
    }
}

fn cost(before: &(Nanos, Usage), after: &(Nanos, Usage), interval: Duration) -> Cost {
    let span = Duration::from_nanos(after.0 - before.0).as_secs_f64();
    let used = after.1.since(before.1);
    let sleeps = u32::try_from(used.sleeps).map_or(f64::INFINITY, f64::from);
    Cost { ms_per_s: used.busy.as_secs_f64() * 1e3 / span, sleeps: sleeps * interval.as_secs_f64() / span }
}

/// What a packet has cost by each socket, in microseconds.
fn turn<const N: usize>(sockets: &[UdpSocket]) -> io::Result<[f64; N]> {
    let mut costs = [0.0; N];
    for (cost, socket) in costs.iter_mut().zip(sockets) {
        let before = sys::thread_time();
        let refused = (0..PACKETS_OF_A_TURN).filter(|_| socket.send(&SMALL).is_err()).count();
        let spent = Duration::from_nanos(sys::thread_time() - before);
        *cost = spent.as_secs_f64() * 1e6 / f64::from(PACKETS_OF_A_TURN);
        // The client says once a second that nobody listens, and one packet does not leave then.
        if refused > 1 {
            return Err(io::Error::other(format!("{refused} packets from the address did not leave")));
        }
    }
    Ok(costs)
}

/// It has been answered, and what had to be written about it is written.
const AFTER_THE_LAST_QUESTION: Duration = Duration::from_millis(100);
const TRIES: u32 = 3;

/// Nobody listens there (RFC 863).
const DISCARD: u16 = 9;
const SMALL: [u8; 64] = [0; 64];
const TURNS: u32 = 400;
const PACKETS_OF_A_TURN: u32 = 250;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_by_the_second_and_by_the_interval() {
        let used = |millis, sleeps| Usage { busy: Duration::from_millis(millis), sleeps };
        let (before, after) = ((1_000_000_000, used(5, 30)), (3_000_000_000, used(8, 70)));
        let cost = cost(&before, &after, Duration::from_millis(100));
        assert!((cost.ms_per_s - 1.5).abs() < 1e-9, "{cost:?}");
        assert!((cost.sleeps - 2.0).abs() < 1e-9, "{cost:?}");
    }
}
