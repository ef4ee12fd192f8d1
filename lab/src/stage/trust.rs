//! The keys of a stage, its attacker, and what the nodes believe.

use std::io;
use std::thread;
use std::time::Duration;

use super::Stage;
use crate::attacker::Attacker;
use crate::forgery::{self, Forger};
use crate::key::{self, LabKey};
use crate::net::address_of;
use crate::node::{Part, key_file};
use crate::sys::{self, Signal};

impl Stage<'_> {
    /// Adds an attacker, which is no node.
    pub fn attacker(&self) -> io::Result<Attacker> {
        Attacker::join(&self.lab, self.address)
    }

    /// A forger that has heard the nodes for three intervals.
    pub fn forger(&self, attacker: &Attacker) -> io::Result<Forger> {
        attacker.overheard()?;
        self.sleep(3 * self.setup.timing.interval);
        Forger::new(1, attacker.overheard()?)
    }

    /// Gives all nodes the same keys, which they read when they start.
    pub fn give_keys(&self, keys: &[LabKey]) -> io::Result<()> {
        (1..=self.run.nodes).try_for_each(|number| self.write_keys(number, keys))
    }

    /// Writes the key file of one node.
    pub fn write_keys(&self, number: u8, keys: &[LabKey]) -> io::Result<()> {
        key::write(&key_file(self.place.logs, number), keys)
    }

    /// Writes a key file without a key.
    pub fn spoil_keys(&self, number: u8) -> io::Result<()> {
        key::write_text(&key_file(self.place.logs, number), "0123, or so\n")
    }

    /// Makes a daemon read its key file.
    pub fn reread_keys(&mut self, number: u8) -> io::Result<()> {
        sys::signal(self.pid(number, Part::Keeper)?, Signal::SIGHUP);
        Ok(())
    }

    /// Hears each node for two intervals, and refuses one whose last packet `key` has not signed.
    pub fn wait_until_all_sign_with(&self, attacker: &Attacker, key: LabKey) -> io::Result<()> {
        attacker.overheard()?;
        self.sleep(2 * self.setup.timing.interval);
        let heard = attacker.overheard()?;
        for number in 1..=self.run.nodes {
            let address = address_of(number);
            let last = heard.iter().rfind(|heard| heard.from == address);
            let last = last.ok_or_else(|| io::Error::other(format!("node {number} sends nothing")))?;
            if !key.has_signed(&last.bytes) {
                return Err(io::Error::other(format!(
                    "node {number} signs with another key than the first one of its file after SIGHUP"
                )));
            }
        }
        Ok(())
    }

    /// Asks all nodes for their peers. Counts those that are no nodes, or that have a worthiness from a forged
    /// heartbeat.
    pub fn count_believed(&mut self) -> io::Result<u32> {
        let mut believed = 0;
        for number in 1..=self.run.nodes {
            let node = self.node(number);
            let before = node.log_from(0).len();
            let keeper = node.pid(Part::Keeper)?;
            sys::signal(keeper, Signal::SIGUSR1);
            thread::sleep(Duration::from_millis(200));
            let status = node.log_from(before);
            let peers = status.lines().filter_map(|line| line.split_once("status: ")?.1.split_once(" worthiness "));
            let mut known = 0;
            for (who, what) in peers {
                known += 1;
                let peer = who.split(' ').next().unwrap_or_default();
                let honest = (1..=self.run.nodes).find(|&number| address_of(number).to_string() == peer);
                let honest = honest.map(|number| self.worthiness(number).to_string());
                if honest.as_deref() != what.split(' ').next() || what.contains(&forgery::FORGED_WORTHINESS.to_string())
                {
                    believed += 1;
                }
            }
            if known == 0 {
                return Err(io::Error::other(format!("node {number} shows no peers at SIGUSR1")));
            }
        }
        Ok(believed)
    }
}
