//! The clients of a stage, and the entries of their kernels.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::Stage;
use crate::frames::{self, Mac};
use crate::neighbours::{self, Neighbours};
use crate::net::SHARED;
use crate::sys;

impl Stage<'_> {
    /// Adds clients and a gateway, which learn from requests for themselves alone: see `lab/net`.
    pub fn add_silent_clients(&self, clients: u8) -> io::Result<()> {
        self.lab.add_silent_clients(clients)
    }

    /// Takes the port of one of them down.
    pub fn cut_member(&self, member: &str) -> io::Result<()> {
        self.lab.cut_member(member)
    }

    /// Lets each of them, the gateway first, send to the shared address once, and watches them from then on.
    pub fn let_clients_speak(&self, clients: u8) -> io::Result<Neighbours> {
        let watched = Neighbours::watch(&self.lab, members(clients), SHARED.into())?;
        for member in watched.members() {
            let socket = sys::inside(&self.lab.namespace(member), || sys::icmp_socket(SHARED.into()))?;
            sys::send_icmp(&socket, SHARED.into(), &frames::echo(0, 0))?;
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.entries(clients)?.iter().any(Option::is_none) {
            if Instant::now() > deadline {
                return Err(io::Error::other("not all silent clients found the shared address within 2 s"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(watched)
    }

    /// Where they send to: first the gateway, then the clients.
    pub fn entries(&self, clients: u8) -> io::Result<Vec<Option<Mac>>> {
        members(clients).iter().map(|member| neighbours::entry(&self.lab, member, SHARED.into())).collect()
    }

    /// Watches where the client of the probe sends to.
    pub fn watch_client(&self) -> io::Result<Neighbours> {
        Neighbours::watch(&self.lab, vec![CLIENT.into()], self.address)
    }

    /// Gives the client an entry for the shared address, in that state.
    pub fn set_entry(&self, mac: Mac, state: &str) -> io::Result<()> {
        let address = self.address;
        self.lab.ip(CLIENT, &format!("neighbour replace {address} lladdr {mac:?} nud {state} dev eth0"))
    }

    /// 0 if the client sends to `owner`, 1 if not.
    pub fn wrong_entries(&self, owner: Mac) -> io::Result<f64> {
        Ok(if neighbours::entry(&self.lab, CLIENT, self.address)? == Some(owner) { 0.0 } else { 1.0 })
    }
}

fn members(clients: u8) -> Vec<String> {
    let clients = (1..=clients).map(|number| format!("c{number}"));
    std::iter::once("gateway".to_owned()).chain(clients).collect()
}

const CLIENT: &str = "client";
