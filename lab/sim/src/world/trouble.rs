//! What a fault does when it begins, and when it ends.

use ha::node::BURST;

use super::{Event, World};
use crate::checkers::rest::Trouble;
use crate::fault::{Fault, What};
use crate::lan::Damage;
use crate::machine::Process;
use crate::time::{FOREVER, Us};
use crate::trace::Mark;

impl World {
    /// A daemon that should run starts.
    pub(super) fn start(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        if machine.downs > 0 || machine.pauses > 0 || machine.is_running {
            return;
        }
        machine.boot(self.now, self.seed, self.keyed);
        self.attend(node);
        self.checks.owners.open(FOREVER, node);
        self.checks.words.forget(node);
        self.checks.reports.forget(node);
        self.trace.line(self.now, Some(node), Mark::Fault, || "starts".to_owned());
        self.trouble(Trouble::Joins(node));
        self.report(node);
        self.wake_at(node, self.now);
    }

    /// A daemon that had to stop has ended.
    pub(super) fn exit(&mut self, node: usize, process: &mut Process) {
        self.drop_unread(process);
        self.machines[node].is_running = false;
        self.trace.line(self.now, Some(node), Mark::State(None), || "exits".to_owned());
        self.report(node);
        self.start(node);
    }

    pub(super) fn begin(&mut self, index: usize) {
        let fault = self.faults[index];
        let at = fault.what.node();
        self.trace.line(self.now, at, Mark::Fault, || format!("{}", fault.what));
        let trouble = self.kind(fault.what);
        self.trouble(trouble);
        self.apply(fault);
        self.report_all();
    }

    /// How the checkers see the beginning of a fault.
    fn kind(&self, what: What) -> Trouble {
        let runs = |n: usize| self.machines[n].is_running && self.machines[n].is_scheduled();
        match what {
            What::Stop(n, _) if runs(n) => Trouble::Leaves(n),
            What::Refuse(n) if runs(n) => Trouble::Leaves(n),
            What::Orphan(n) if runs(n) && self.machines[n].kernel.fence.is_some() => Trouble::Leaves(n),
            What::Kill(n)
            | What::Orphan(n)
            | What::Power(n)
            | What::Freeze(n)
            | What::Pause { n, .. }
            | What::Carrier { n, .. } => Trouble::Silent(n),
            What::Steal(n) if runs(n) => Trouble::Robbed(n),
            What::NewMac(n) if runs(n) => Trouble::Rehoused(n),
            What::Claim => {
                let owner = (0..self.machines.len()).find(|&n| self.machines[n].is_owner() && runs(n));
                owner.map_or(Trouble::Other, Trouble::Rehoused)
            }
            What::Stop(..)
            | What::Refuse(_)
            | What::Steal(_)
            | What::NewMac(_)
            | What::Jump { .. }
            | What::Cut { .. }
            | What::Deaf(_)
            | What::Dumb(_)
            | What::Split(_)
            | What::Noise(_)
            | What::Slow(_)
            | What::Replay { .. } => Trouble::Other,
        }
    }

    fn apply(&mut self, fault: Fault) {
        let now = self.now;
        match fault.what {
            What::Kill(n) => {
                self.machines[n].downs += 1;
                self.die(n);
            }
            What::Orphan(n) => {
                self.machines[n].downs += 1;
                self.orphan(n);
                self.die(n);
            }
            What::Power(n) => {
                self.machines[n].downs += 1;
                self.die(n);
                self.machines[n].kernel.has = false;
                self.machines[n].kernel.is_open = false;
            }
            What::Stop(n, _) => {
                self.machines[n].downs += 1;
                let machine = &mut self.machines[n];
                if let Some(process) = machine.process.as_deref_mut().filter(|_| !machine.is_stopping) {
                    process.must_stop = true;
                    machine.is_stopping = true;
                }
                self.wake_soon(n);
            }
            What::Freeze(n) => {
                self.machines[n].freezes += 1;
                self.attend(n);
            }
            What::Pause { n, .. } => {
                if self.machines[n].pauses == 0 {
                    self.machines[n].paused_at = now;
                }
                self.machines[n].pauses += 1;
                self.attend(n);
                self.checks.words.slept(self.now, n);
            }
            What::Jump { n, by } => {
                self.machines[n].clock.jump(now, by);
                if self.is_attended(n) {
                    self.checks.owners.odd(now, n);
                }
                // The core lets no time pass until the clock has caught up.
                let behind = if by < 0 { by.unsigned_abs() } else { 0 };
                self.checks.words.slept(now + behind + behind / 1_000, n);
                self.reschedule(n);
            }
            What::Carrier { n, .. } => {
                self.machines[n].unplugs += 1;
                self.link_news(n);
            }
            What::Steal(n) => {
                self.remove(n);
                self.wake_soon(n);
            }
            What::NewMac(n) => {
                self.machines[n].mac += 1;
                self.machines[n].is_mac_news = true;
                self.wake_soon(n);
            }
            What::Claim => self.claim(),
            What::Refuse(n) => self.machines[n].kernel.refusals += 1,
            What::Cut { from, to } => self.lan.cut(from, to, true),
            What::Deaf(n) => self.isolate(n, true, false, true),
            What::Dumb(n) => self.isolate(n, false, true, true),
            What::Split(mask) => self.split(mask, true),
            What::Noise(ppm) => self.lan.noise.push(ppm),
            What::Slow(by) => self.lan.slowness.push(by),
            What::Replay { every } => self.at(now + every, Event::Replay { every, until: now + fault.lasts }),
        }
    }

    /// An attacker without the key plays back, to all, a packet that is too old to be one that was just late.
    pub(super) fn replay(&mut self, every: Us, until: Us) {
        if self.now >= until {
            return;
        }
        self.at(self.now + every, Event::Replay { every, until });
        let index = self.luck.index(self.recorded.len().max(1));
        let old = 2 * self.checks.bounds.tolerance;
        let Some(packet) = self.recorded.get(index).filter(|packet| packet.sent_at + old < self.now).cloned() else {
            return;
        };
        let from = packet.from;
        let packet = self.packets.enter(packet.bytes, packet.said, from, packet.sent_at);
        self.packets.hold(packet);
        for node in (0..self.machines.len()).filter(|&node| node != from) {
            self.packets.hold(packet);
            self.at(self.now, Event::Arrive { node, packet, damage: Damage::None, is_copy: true });
        }
        self.packets.drop(packet);
    }

    /// An attacker records packets: the first ones, and then any of them with the same likelihood.
    pub(super) fn record(&mut self, packet: u32) {
        if !self.keyed {
            return;
        }
        if self.recorded.len() < RECORDS {
            self.recorded.push(self.packets.get(packet).clone());
        } else if self.luck.chance(100_000) {
            let index = self.luck.index(RECORDS);
            self.recorded[index] = self.packets.get(packet).clone();
        }
    }

    pub(super) fn finish(&mut self, index: usize) {
        let fault = self.faults[index];
        if fault.what.is_momentary() {
            return;
        }
        self.trace.line(self.now, fault.what.node(), Mark::Fault, || format!("over: {}", fault.what));
        self.trouble(Trouble::Other);
        let now = self.now;
        match fault.what {
            What::Kill(n) | What::Orphan(n) | What::Power(n) => self.back(n),
            What::Stop(n, settings) => {
                if let Some(settings) = settings {
                    self.machines[n].settings = settings;
                }
                self.back(n);
            }
            What::Freeze(n) => {
                self.machines[n].freezes -= 1;
                if self.machines[n].freezes == 0 {
                    self.wakes_again(n);
                }
            }
            What::Pause { n, clock_runs } => self.resume(n, clock_runs),
            What::Carrier { n, deaf } => {
                self.machines[n].unplugs -= 1;
                if self.machines[n].unplugs == 0 && deaf > 0 {
                    self.isolate(n, true, true, true);
                    self.at(now + deaf, Event::Undeaf(n));
                }
                self.link_news(n);
            }
            What::Refuse(n) => self.machines[n].kernel.refusals -= 1,
            What::Cut { from, to } => self.lan.cut(from, to, false),
            What::Deaf(n) => self.isolate(n, true, false, false),
            What::Dumb(n) => self.isolate(n, false, true, false),
            What::Split(mask) => {
                self.split(mask, false);
                // An owner that was cut off for less than its patience is heard again, perhaps a moment too late.
                (0..self.machines.len()).for_each(|n| self.checks.owners.odd(now, n));
            }
            What::Noise(ppm) => take_out(&mut self.lan.noise, ppm),
            What::Slow(by) => take_out(&mut self.lan.slowness, by),
            What::Jump { .. } | What::Steal(_) | What::NewMac(_) | What::Claim | What::Replay { .. } => {}
        }
        self.report_all();
    }

    /// The worker finds its keeper dead, and says its last word.
    fn orphan(&mut self, n: usize) {
        if !self.machines[n].is_scheduled() {
            return;
        }
        let Some(process) = self.machines[n].process.take() else { return };
        if let Some(packet) = process.node.resign_packet().filter(|_| !process.node.needs_kernel_to_resign()) {
            for _ in 0..BURST {
                self.put_on_lan(n, &packet);
            }
        }
        self.machines[n].process = Some(process);
    }

    fn die(&mut self, n: usize) {
        if let Some(mut process) = self.machines[n].process.take() {
            self.drop_unread(&mut process);
            self.machines[n].is_running = false;
            self.trace.line(self.now, Some(n), Mark::State(None), || "is gone".to_owned());
        }
        self.attend(n);
    }

    /// For how long no daemon looks after the address of this node, if it does not run.
    fn attend(&mut self, n: usize) {
        let bounds = self.checks.bounds;
        if self.is_attended(n) {
            self.checks.owners.attended(self.now, n);
            return;
        }
        // A successor that stops between the order to take the address and its first word as ACTIVE is passed over.
        let is_taking = self.machines[n].process.as_deref().is_some_and(|process| !process.orders.is_empty());
        let outlasts = self.machines[n].outlasts(bounds.lease_end);
        let is_fenced = self.machines[n].kernel.fence.is_some();
        let until = self.now.saturating_add(outlasts);
        self.checks.owners.unattended(until, n);
        // An owner that dies or freezes while it is cut off has renewed its lease after the others heard it last.
        let since = self.now.saturating_sub(bounds.tolerance);
        let is_cut_off = (0..self.machines.len()).any(|other| self.checks.owners.missed_since(since, n, other));
        let is_cut_off_from_quorum = bounds.quorum.is_some() && is_cut_off;
        // Behind a fence nobody sees the address of an owner that has not spoken for a while, whatever its kernel has.
        let is_late = if is_fenced {
            outlasts > bounds.shortest
        } else {
            bounds.late_lease > 0 || bounds.is_leaseless || is_taking
        };
        if is_late || is_cut_off_from_quorum {
            self.checks.owners.odd(until, n);
        }
    }

    fn is_attended(&self, n: usize) -> bool {
        self.machines[n].is_running && self.machines[n].is_scheduled()
    }

    pub(super) fn back(&mut self, n: usize) {
        self.machines[n].downs -= 1;
        self.start(n);
    }

    fn resume(&mut self, n: usize, clock_runs: bool) {
        let now = self.now;
        let machine = &mut self.machines[n];
        machine.pauses -= 1;
        if machine.pauses > 0 {
            return;
        }
        let slept = now - machine.paused_at;
        if !clock_runs {
            machine.clock.stood_still(machine.paused_at, now);
        }
        let kernel = &mut machine.kernel;
        for expiry in [&mut kernel.gone, &mut kernel.shut] {
            if expiry.at < FOREVER {
                expiry.at += slept;
            }
        }
        let gone_at = if kernel.has { kernel.gone.next_look() } else { None };
        let shut_at = if kernel.is_open { kernel.shut.next_look() } else { None };
        if let Some(at) = shut_at {
            self.at(at, Event::Shut(n));
        }
        if let Some(at) = gone_at {
            self.at(at, Event::Expire(n));
        }
        self.checks.owners.open_longer(slept, n);
        self.checks.owners.odd(now, n);
        self.wakes_again(n);
        self.start(n);
        if !clock_runs && self.checks.bounds.quorum.is_some() {
            // A node that does not know that it slept counts its quorum from before.
            self.checks.owners.odd(now + self.checks.bounds.tolerance, n);
        }
    }

    fn wakes_again(&mut self, n: usize) {
        self.attend(n);
        self.checks.words.slept(self.now, n);
        self.reschedule(n);
    }

    /// It sleeps towards a deadline that is not where it was.
    fn reschedule(&mut self, n: usize) {
        if let Some(process) = self.machines[n].process.as_deref_mut() {
            process.wakes_at = FOREVER;
        }
        self.wake_soon(n);
    }

    /// The machine finds out about its carrier a little later.
    fn link_news(&mut self, n: usize) {
        let after = self.luck.below(20_000);
        self.at(self.now + after, Event::LinkNews(n));
    }

    /// Cuts `n` off, or connects it again: what goes to it, what comes from it, or both.
    pub(super) fn isolate(&mut self, n: usize, inwards: bool, outwards: bool, is_cut: bool) {
        for other in (0..=self.lan.client()).filter(|&other| other != n) {
            if inwards && other != self.lan.client() {
                self.lan.cut(other, n, is_cut);
            }
            if outwards {
                self.lan.cut(n, other, is_cut);
            }
        }
    }

    fn split(&mut self, mask: u64, is_cut: bool) {
        let side = |end: usize| mask >> end & 1;
        for from in 0..self.lan.client() {
            for to in (0..=self.lan.client()).filter(|&to| side(to) != side(from)) {
                self.lan.cut(from, to, is_cut);
            }
        }
    }

    fn drop_unread(&mut self, process: &mut Process) {
        for datagram in process.take_unread() {
            self.packets.drop(datagram.packet);
        }
    }

    fn report_all(&mut self) {
        for node in 0..self.machines.len() {
            self.report(node);
        }
    }
}

fn take_out<T: PartialEq>(all: &mut Vec<T>, one: T) {
    if let Some(index) = all.iter().position(|it| *it == one) {
        all.swap_remove(index);
    }
}

/// Packets that are recorded.
const RECORDS: usize = 1_000;
