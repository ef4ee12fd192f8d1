//! What the worker hears from the keeper: the links, their sockets, the hosts on its LAN, and what had to wait.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use ha::config::Cidr;
use ha::node::Unfit;
use ha::time::{Duration, Instant, earliest};
use rustix::io::{self, Errno};

use super::Keeper;
use super::link::{Change, Happened, NO_LINK, Sockets};
use super::shortage::may_pass;
use crate::channel::{NEIGHBOURS_AT_ONCE, News, UP_SOCKETS};
use crate::linux::clock;
use crate::log::warn;
use crate::text::text;

impl Keeper {
    pub(super) fn send(&mut self, news: News) {
        self.send_with(&news, &[]);
    }

    /// Sends `news` with these sockets. A worker that does not read has stalled, and a worker that is dead shows when its
    /// orders are read.
    pub(super) fn send_with(&mut self, news: &News, sockets: &[BorrowedFd<'_>]) {
        let Some(worker) = self.workers.running_mut() else { return };
        let outcome = worker.queue.send(&worker.channel, news, sockets);
        self.check_sent(outcome);
    }

    pub(super) fn check_sent(&mut self, outcome: io::Result<()>) {
        match outcome {
            Err(Errno::WOULDBLOCK) => self.drop_worker("it does not read"),
            // It would wait for this for ever.
            Err(Errno::NOBUFS | Errno::NOMEM | Errno::TOOMANYREFS) => self.drop_worker("news cannot be sent to it"),
            Ok(()) | Err(_) => {}
        }
    }

    /// The worker has followed `count` news: sends what had to wait for that.
    pub(super) fn send_waiting(&mut self, count: u32) {
        if let Some(worker) = self.workers.running_mut() {
            worker.queue.acknowledge(count);
        }
        while let Some((news, socket)) = self.workers.running_mut().and_then(|worker| worker.queue.due()) {
            let socket: heapless::Vec<_, 1> = socket.iter().map(AsFd::as_fd).collect();
            self.send_with(&news, &socket);
        }
        if self.link.is_look_due {
            self.look();
        }
    }

    /// When to look at the interface without an event: for a worker only.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.workers.running()?;
        let fence = self.fence.next_try().filter(|_| self.link.is_up() && !self.link.is_look_due);
        earliest(&[self.link.next_look(self.ownership.addresses()), fence])
    }

    /// Something was changed in nftables, the fence perhaps.
    pub(super) fn follow_fence(&mut self) {
        if self.fence.follow_changes(&self.settings) {
            self.send(News::Fenced(self.fence.is_loaded()));
            if !self.fence.suffices() && self.workers.running().is_some() {
                self.look();
            }
        }
    }

    pub(super) fn follow_events(&mut self) {
        let Happened { was_added, may_be_removed, were_renewed_only } =
            self.link.drain(&self.settings, self.ownership.addresses());
        if self.workers.running().is_none() || were_renewed_only {
            return;
        }
        self.look();
        // An event may be about what was removed before they were taken, or put back since.
        if self.ownership.is_held() {
            if may_be_removed && !self.ownership.addresses_mut().check_presence() {
                self.send(News::Lost);
            }
        } else if was_added {
            self.send(News::Found);
        }
    }

    /// Looks at the interface and sends the worker what is new, as soon as it has room for that.
    pub(super) fn look(&mut self) {
        self.link.is_look_due = self.workers.running().is_some_and(|worker| !worker.queue.has_room_for_a_look());
        if self.link.is_look_due {
            return;
        }
        let changes = self.link.look(&self.settings, self.ownership.addresses_mut());
        if self.link.is_up() {
            // Before the worker hears that it may take the addresses.
            let comes_up = changes.iter().any(|change| matches!(change, Change::Up(..)));
            let links = || self.ownership.addresses_mut().links();
            if self.fence.ensure(links, &self.settings) || comes_up {
                self.send(News::Fenced(self.fence.is_loaded()));
            }
            if !self.fence.suffices() {
                self.link.refuse(Unfit::NoFence);
                self.send(News::Down { why: Unfit::NoFence, link: NO_LINK });
                return;
            }
        }
        for change in changes {
            match change {
                Change::Down(why, link) => self.send(News::Down { why, link }),
                Change::Mac => self.send(News::MacChanged(self.link.cards.macs)),
                Change::Lost => self.send(News::Lost),
                Change::Up(interface, own, already) => self.attach(interface, own, already),
            }
        }
    }

    /// Opens the sockets for the worker and hands them over.
    fn attach(&mut self, interface: u32, own: Cidr, already: bool) {
        match self.link.open_sockets(interface, own.address, &self.settings, self.ownership.addresses()) {
            Ok(Sockets { urgent, others }) => {
                let news = News::Up { node: own.address, prefix: own.prefix, macs: self.link.cards.macs, already };
                {
                    let sender = Some(urgent.sender()).filter(|_| self.settings.daemon.multicast().is_ipv6());
                    let all = [urgent.as_fd()].into_iter().chain(sender).chain(others.iter().map(AsFd::as_fd));
                    let all: heapless::Vec<_, UP_SOCKETS> = all.collect();
                    self.send_with(&news, &all);
                }
                self.link.keep_group(urgent);
                self.send_gateway();
            }
            Err((name, errno)) => {
                if !may_pass(errno) {
                    self.failure = Some(text!("open sockets on {name}: {errno}"));
                }
                self.send(News::Down { why: Unfit::NoSockets, link: NO_LINK });
            }
        }
    }

    /// When the gateways are due: routes come and go without an event that the keeper hears.
    pub(super) fn gateway_due(&self) -> Option<Instant> {
        self.workers.running().filter(|_| self.link.is_up()).map(|_| self.link.gateway_sent_at + GATEWAY_AGAIN)
    }

    /// Sends the gateways. Every host behind one depends on it: the worker asks it first whether it knows where the addresses are.
    pub(super) fn send_gateway(&mut self) {
        self.link.gateway_sent_at = clock::now();
        for link in 0..self.settings.links.len() {
            match self.ownership.addresses_mut().gateways(link) {
                Ok(found) => self.send_neighbours(link, true, &found),
                Err(error) => warn!("look for the gateway of {}: {error}", self.settings.links[link]),
            }
        }
    }

    /// Sends all neighbours that the kernel knows: after the first announcement, which they must not hold up.
    pub(super) fn send_all_neighbours(&mut self) {
        self.send_gateway();
        for link in 0..self.settings.links.len() {
            match self.ownership.addresses_mut().neighbours(link) {
                Ok(found) => self.send_neighbours(link, false, &found),
                Err(error) => warn!("look for the neighbours of {}: {error}", self.settings.links[link]),
            }
        }
    }

    fn send_neighbours(&mut self, link: usize, are_gateways: bool, found: &[IpAddr]) {
        let link = u8::try_from(link).expect("there are few");
        for some in found.chunks(NEIGHBOURS_AT_ONCE) {
            let addresses = some.iter().copied().collect();
            self.send(News::Neighbours { link, are_gateways, addresses });
        }
    }
}

/// The worker hears of a new gateway within this time.
const GATEWAY_AGAIN: Duration = Duration::from_secs(60);
