//! The clients of a stage, and what their kernels believe.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::Stage;
use crate::frames::{self, Mac};
use crate::neighbours::{self, Neighbours};
use crate::net::SHARED;
use crate::sys;

impl Stage<'_> {
    /// Adds so many clients, and a gateway, that are to be told by name: see `lab/net`.
    pub fn admit_silent(&self, clients: u8) -> io::Result<()> {
        self.lab.admit_silent(clients)
    }

    /// Pulls the cable of one of them.
    pub fn unplug(&self, member: &str) -> io::Result<()> {
        self.lab.unplug(member)
    }

    /// Each of them, the gateway first, speaks to the shared address once, and is watched from then on.
    pub fn crowd_talks(&self, clients: u8) -> io::Result<Neighbours> {
        let crowd = Neighbours::watch(&self.lab, members(clients))?;
        for member in crowd.members() {
            let socket = sys::inside(&self.lab.namespace(member), sys::icmp_socket)?;
            sys::send_icmp(&socket, SHARED, &frames::echo(0, 0))?;
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.entries(clients)?.iter().any(Option::is_none) {
            if Instant::now() > deadline {
                return Err(io::Error::other("not all silent clients found the shared address within 2 s"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(crowd)
    }

    /// Where they send to: the gateway, then the clients.
    pub fn entries(&self, clients: u8) -> io::Result<Vec<Option<Mac>>> {
        members(clients).iter().map(|member| neighbours::entry(&self.lab, member)).collect()
    }

    /// Watches where the client sends to that the probe speaks through.
    pub fn watch_client(&self) -> io::Result<Neighbours> {
        Neighbours::watch(&self.lab, vec![CLIENT.into()])
    }

    /// Gives the client an entry for the shared address, in that state.
    pub fn set_entry(&self, mac: Mac, state: &str) -> io::Result<()> {
        self.lab.ip(CLIENT, &format!("neighbour replace {SHARED} lladdr {mac:?} nud {state} dev eth0"))
    }

    /// 0 if the client sends to `owner`, 1 if not.
    pub fn wrong_entries(&self, owner: Mac) -> io::Result<f64> {
        Ok(if neighbours::entry(&self.lab, CLIENT)? == Some(owner) { 0.0 } else { 1.0 })
    }
}

fn members(clients: u8) -> Vec<String> {
    let clients = (1..=clients).map(|number| format!("c{number}"));
    std::iter::once("gateway".to_owned()).chain(clients).collect()
}

const CLIENT: &str = "client";
