//! What the worker orders, and what the keeper does about it.

use ha::time::Instant;
use ha::wire::{NodeId, State};
use rustix::io::Errno;

use super::Keeper;
use super::hooks::BEFORE_ACTIVE_LIMIT;
use super::judge::Verdict;
use super::ownership::Take;
use crate::channel::{Duty, News, Order};
use crate::linux::clock;
use crate::log::{self, warn};

impl Keeper {
    /// Follows the next order of the worker; false if there is none. One order for each look at the events of the kernel, so that
    /// nothing is renewed on an interface that is known to be gone.
    pub(super) fn obey(&mut self) -> bool {
        let Some(worker) = self.workers.running() else { return false };
        match worker.channel.receive(false) {
            Ok(received) => self.judge(&received.message),
            Err(Errno::WOULDBLOCK) => return false,
            Err(Errno::PIPE) => self.follow_end_of_channel(),
            Err(error) => {
                warn!("worker sent no order: {error}");
                self.drop_worker("no node would order that");
            }
        }
        true
    }

    fn judge(&mut self, order: &Order) {
        let now = clock::now();
        let (is_held, shared) = (self.ownership.is_held(), self.settings.config.addresses());
        match self.judge.judge(order, is_held, self.ends_by.is_some(), shared, now) {
            Verdict::Obey => self.perform(order, false, now),
            Verdict::Skip => self.perform(order, true, now),
            Verdict::Refuse => {
                if let Order::Take { ticket, .. } = *order {
                    self.ownership.release();
                    self.send(News::Refused(ticket));
                }
            }
            Verdict::Kill(what) => {
                warn!("worker sent an order {what}");
                self.drop_worker("no node would order that");
            }
        }
    }

    fn perform(&mut self, order: &Order, is_recent: bool, now: Instant) {
        let is_fenced = self.fence.is_loaded();
        match *order {
            Order::Beat { at_us, duty, resign_packet } => {
                if let Some(worker) = self.workers.running_mut() {
                    worker.record_life(&self.settings.config, self.ownership.is_held() && !is_fenced, now);
                    worker.resign_packet = resign_packet;
                }
                self.supervisors.report_life(now);
                let is_done = self.do_duty(duty, Instant::from_micros(at_us), is_recent, now);
                if let Some(outcome) = self.workers.running().map(|worker| worker.channel.reply(is_done)) {
                    self.check_sent(outcome);
                }
                if !is_done {
                    // Behind a fence the worker does not wait for the reply.
                    self.send(News::Lost);
                }
                self.ownership.addresses_mut().expect_heartbeat(now);
                log::follow_syslog();
                log::catch_up();
                self.lock.drain(now);
            }
            Order::Acknowledge(count) => self.send_waiting(count),
            Order::Take { ticket, at_us } => {
                let decided_at = Instant::from_micros(at_us);
                if self.hooks.run_before_active(now) {
                    // Meanwhile the worker goes on saying that this node is ACTIVE.
                    self.ownership.keep_waiting(Take { ticket, decided_at: decided_at + BEFORE_ACTIVE_LIMIT });
                } else {
                    self.take(Take { ticket, decided_at });
                }
            }
            Order::Announce(index) if self.ownership.is_certain(is_fenced, now) => {
                self.ownership.addresses_mut().announce(index, now);
                if self.ownership.take_first_announcement() {
                    self.send_all_neighbours();
                }
            }
            Order::Ask { index, neighbour, to } if self.ownership.is_certain(is_fenced, now) => {
                self.ownership.addresses_mut().ask(index, neighbour, to, now);
            }
            Order::Announce(_) | Order::Ask { .. } => {}
            Order::Probe { link, address } => self.ownership.addresses_mut().probe(link, address, now),
            Order::Changed { to, peer, ref reason } => {
                if let Some(to) = State::from_byte(to) {
                    self.report_state(to, reason, peer.map(NodeId::new));
                }
            }
        }
    }

    /// Does what goes with a beat; `is_recent`: the last time was a moment ago. False if the addresses are not up as the worker
    /// wants them; then none is left.
    fn do_duty(&mut self, duty: Duty, decided_at: Instant, is_recent: bool, now: Instant) -> bool {
        match duty {
            Duty::None => true,
            Duty::Renew if is_recent && self.ownership.is_certain(self.fence.is_loaded(), now) => true,
            Duty::AssertAbsent | Duty::Release if is_recent => true,
            // Only a take adds what is not there.
            Duty::Renew => self.ownership.is_held() && self.link.is_up() && self.ownership.renew(decided_at),
            Duty::AssertAbsent => {
                self.ownership.addresses_mut().assert_absent();
                true
            }
            Duty::Release => {
                self.ownership.release();
                true
            }
        }
    }

    /// Adds the addresses and sends the outcome.
    pub(super) fn take(&mut self, Take { ticket, decided_at }: Take) {
        let is_up = self.ownership.take(decided_at);
        self.send(if is_up { News::Taken(ticket) } else { News::Refused(ticket) });
    }
}
