//! What a daemon and its keeper do: the contract between the core and the outside.

use ha::config::MAX_LINKS;
use ha::fence::{self, Effect};
use ha::node::{Input, Link, Note, Output};
use ha::wire::{Flags, Heartbeat, Kind, LEN, NodeId, State};

use super::arp::{ROUTER, client_asks, mac_bytes};
use super::{Datagram, Event, Fate, World, is_light};
use crate::checkers::duties::Sent;
use crate::checkers::rest::Trouble;
use crate::checkers::words::{self, Turn};
use crate::lan::Damage;
use crate::machine::{Answer, KnownLink, NO_CARRIER, Order, Process};
use crate::time::{FOREVER, Us};
use crate::trace::Mark;

impl World {
    /// One turn of the loop.
    pub(super) fn wake(&mut self, node: usize) {
        if !self.machines[node].is_scheduled() {
            return;
        }
        let Some(mut process) = self.machines[node].process.take() else { return };
        process.wakes_at = FOREVER;
        self.turn(node, &mut process);
        let is_finished = process.node.is_finished() && process.orders.is_empty();
        let state = process.node.state();
        let has_address = self.machines[node].kernel.is_exposed();
        let turn = self.turn_of(node);
        let violation = &mut self.checks.violation;
        if is_finished {
            self.checks.duties.done(self.now, node, None, has_address, violation);
            self.exit(node, &mut process);
            return;
        }
        if process.link == KnownLink::Up && process.orders.is_empty() {
            self.checks.duties.done(self.now, node, Some(state), has_address, violation);
        }
        let (all, bounds) = (&self.checks.all, &self.checks.bounds);
        self.checks.words.done(turn, state == State::Active, all, bounds, violation);
        self.checks.reports.done(turn, process.orders.is_empty().then_some(state), violation);
        let link = process.link;
        let is_called = process.is_called(turn.clock);
        let deadline = process.node.deadline();
        let is_late = deadline.is_some_and(|at| at <= turn.clock);
        process.spins = if is_late { process.spins + 1 } else { 0 };
        self.checks.duties.spun(self.now, node, process.spins, violation);
        self.machines[node].process = Some(process);
        self.report(node);
        let machine = &self.machines[node];
        let wake = machine.plan.wake;
        if is_called || machine.is_removal_news || machine.is_mac_news {
            self.wake_at(node, self.now + wake);
        } else {
            let due = deadline.map(|at| machine.clock.when(at.as_micros()).max(self.now));
            let look = (link == KnownLink::Down).then_some(self.now + LOOK_AGAIN);
            if let Some(when) = due.into_iter().chain(look).min() {
                self.wake_at(node, when + wake);
            }
        }
    }

    fn turn(&mut self, node: usize, process: &mut Process) {
        self.look_at_link(node, process);
        if std::mem::take(&mut self.machines[node].is_removal_news) {
            self.feed(node, process, Input::Lost);
        }
        for heard in 1..=HEARD_AT_ONCE {
            let Some(datagram) = process.next_datagram() else { break };
            self.hand_in(node, process, datagram);
            if heard == HEARD_AT_ONCE {
                process.waits_for_all_until = self.turn_of(node).clock + process.node.config().interval();
            }
        }
        for said in std::mem::take(&mut process.arps) {
            let is_shared = self.shared(node).contains(&said.from);
            let is_owners = said.answers_probe() && is_shared && said.mac != Some(mac_bytes(ROUTER));
            if is_owners && process.node.state() == State::Standby {
                self.checks.words.answered(self.turn_of(node), said.from);
            }
            self.feed(node, process, Input::Resolution(said));
        }
        self.feed(node, process, Input::Tick);
        if std::mem::take(&mut process.must_stop) {
            self.feed(node, process, Input::Shutdown);
        }
        while let Some(answer) = process.answers.pop_front() {
            self.feed(node, process, input(answer));
        }
    }

    fn look_at_link(&mut self, node: usize, process: &mut Process) {
        if process.link == KnownLink::Nothing {
            let is_fenced = self.machines[node].kernel.fence.is_some();
            self.feed(node, process, Input::Fenced(is_fenced));
        }
        let machine = &mut self.machines[node];
        let found = if machine.has_carrier() { KnownLink::Up } else { KnownLink::Down };
        let before = std::mem::replace(&mut process.link, found);
        let is_new_mac = std::mem::take(&mut machine.is_mac_news);
        if before == found {
            if found == KnownLink::Down {
                self.feed(node, process, Input::Link(Link::Down(NO_CARRIER)));
            }
            if is_new_mac && found == KnownLink::Up {
                let mac = mac_bytes(self.machines[node].mac);
                self.feed(node, process, Input::MacChanged([mac; MAX_LINKS]));
            }
            return;
        }
        let link = match found {
            KnownLink::Up => {
                let already = before == KnownLink::Nothing;
                let delay = if already { 0 } else { machine.settings.link_delay };
                let turn = Turn { now: self.now, node, clock: machine.local(self.now) };
                self.checks.words.linked(turn, delay);
                let families = machine.settings.families;
                process.arps.extend(families.addresses().iter().map(|&address| client_asks(address)));
                let (_, prefix) = families.node(node);
                Link::Up { node: machine.id, prefix, macs: [mac_bytes(machine.mac); MAX_LINKS], already }
            }
            KnownLink::Down | KnownLink::Nothing => Link::Down(NO_CARRIER),
        };
        self.feed(node, process, Input::Link(link));
    }

    fn hand_in(&mut self, node: usize, process: &mut Process, datagram: Datagram) {
        let Datagram { packet: index, damage, is_copy, arrived_at, at } = datagram;
        if process.link != KnownLink::Up {
            // The socket of a link that is gone is closed.
            if !is_copy {
                self.missed(index, node);
            }
            self.packets.drop(index);
            return;
        }
        let packet = self.packets.get(index);
        let (from, said) = (packet.from, packet.said);
        let mut buffer = [0; LEN];
        let bytes = packet.bytes;
        let boot_now = self.machines[from].boot_number();
        let is_late = arrived_at - packet.sent_at > self.checks.bounds.delay;
        let is_stale = boot_now.is_some_and(|boot| boot != said.boot);
        let turn = self.turn_of(node);
        let is_stranger = !self.checks.words.believes(Turn { clock: at.min(turn.clock), ..turn }, from, said.boot);
        let (bytes, ttl) = damage.apply(&bytes, &mut buffer);
        self.packets.drop(index);
        if damage == Damage::None {
            self.checks.words.heard(turn, at, from, &said, &self.checks.all, &self.checks.bounds);
            if is_stranger || said.kind == Kind::Challenge {
                self.checks.duties.doubted(node);
            }
            let is_question = said.state == State::Active || said.kind != Kind::Heartbeat || said.following.is_none();
            let calls = u64::from(is_question);
            self.checks.duties.called(node, calls);
        }
        if is_late && !is_copy {
            self.missed_between(from, node);
        }
        if is_stale && !is_stranger {
            self.deceived(node, from);
        }
        let id: NodeId = self.machines[from].id;
        self.feed(node, process, Input::Heard { at, from: id, ttl, bytes });
    }

    fn turn_of(&self, node: usize) -> Turn {
        Turn { now: self.now, node, clock: self.machines[node].local(self.now) }
    }

    /// A node that has not heard an earlier boot believes a copy of its packet, and for a hold not the boot that lives.
    fn deceived(&mut self, node: usize, by: usize) {
        let until = self.now + self.checks.bounds.tolerance;
        self.checks.owners.missed(until, by, node);
        self.checks.words.deceived(until, node, by);
        self.trouble(Trouble::Other);
    }

    /// Hands an input to the core, carries out its outputs, and hands in the result.
    pub(super) fn feed(&mut self, node: usize, process: &mut Process, input: Input<'_>) {
        let clock = self.machines[node].local(self.now);
        let was = process.node.state();
        if matches!(input, Input::Taken) {
            self.checks.reports.taken(self.turn_of(node));
            self.checks.duties.added(node, true);
        }
        let outputs = process.node.handle(clock, input);
        let is_reported = outputs.iter().any(|output| matches!(output, Output::Changed { .. }));
        if was == State::Active && process.node.state() != State::Active && !is_reported {
            // A take that it gave up: it says so as after any change.
            self.checks.duties.called(node, CHANGE);
        }
        let mut answers = [None; ha::node::MAX_OUTPUTS];
        for (output, answer) in outputs.iter().zip(&mut answers) {
            *answer = self.perform(node, process, was, output);
        }
        for answer in answers.into_iter().take(outputs.len()).flatten() {
            self.feed(node, process, self::input(answer));
        }
    }

    fn perform(&mut self, node: usize, process: &mut Process, was: State, output: &Output) -> Option<Answer> {
        match output {
            Output::Send(bytes) => self.send(node, process, was, bytes),
            Output::Take => {
                if was == State::Standby {
                    let turn = self.turn_of(node);
                    self.checks.words.takes(turn, &self.checks.all, &mut self.checks.violation);
                }
                self.trace.line(self.now, Some(node), Mark::Note, || "takes the address".to_owned());
                return self.order(node, process, Order::Take);
            }
            Output::Refresh => return self.order(node, process, Order::Refresh),
            Output::Release => {
                self.checks.reports.releases(node);
                self.checks.duties.added(node, false);
                self.trace.line(self.now, Some(node), Mark::Note, || "releases the address".to_owned());
                return self.order(node, process, Order::Release);
            }
            Output::AssertAbsent => return self.order(node, process, Order::AssertAbsent),
            Output::Announce(index) => self.announce(node, process, *index),
            Output::Ask(ask) => self.ask(node, process, ask),
            Output::Probe { address, .. } => {
                if self.shared(node).contains(address) {
                    self.checks.words.probed(self.turn_of(node), *address);
                }
                self.probe(node, *address);
            }
            Output::Changed { from, to, reason, took } => {
                self.checks.duties.called(node, CHANGE);
                self.checks.reports.changed(node, *to);
                let is_fenced = self.machines[node].kernel.fence.is_some();
                self.checks.duties.changed(self.now, node, [*from, *to], is_fenced, &mut self.checks.violation);
                if *to == State::Active {
                    let settings = &self.machines[node].settings;
                    self.checks.words.got_active(self.now, node, settings, *reason, &mut self.checks.violation);
                }
                let mark = Mark::State(Some(*to));
                self.trace.line(self.now, Some(node), mark, || format!("{from} -> {to}: {reason} ({took})"));
            }
            Output::PutBack => {
                self.checks.reports.put_back(self.turn_of(node), &mut self.checks.violation);
                self.trace.line(self.now, Some(node), Mark::Note, || "says that it is put back".to_owned());
            }
            Output::Note(note) => {
                if matches!(note, Note::Conflict { is_answered: false, .. }) {
                    self.checks.rest.given_up(self.now);
                }
                self.trace.line(self.now, Some(node), Mark::Note, || format!("note: {note}"));
            }
        }
        None
    }

    fn send(&mut self, node: usize, process: &Process, was: State, bytes: &[u8; LEN]) {
        let said = Heartbeat::parse(bytes).expect("the core sends sense");
        self.pass_fence(node, &said, fence::effect(bytes));
        self.checks.words.spoke(self.turn_of(node), &said);
        let jumped_after = self.now.saturating_sub(2 * self.checks.bounds.local);
        let sent = Sent {
            node,
            said: &said,
            states: [was, process.node.state()],
            // By a clock that has just jumped the lease is over, and the node does not wait for the keeper's answer.
            has_address: self.machines[node].kernel.is_exposed()
                && !self.checks.owners.was_odd_since(jumped_after, node),
            has_link: process.link == KnownLink::Up,
            is_calm: self.checks.rest.is_calm(),
        };
        self.checks.duties.sent(self.now, &sent, &mut self.checks.violation);
        self.carry(node, said, bytes);
    }

    /// A packet leaves that one half of the daemon sends because the other half has died: no word of the core.
    pub(super) fn put_on_lan(&mut self, node: usize, bytes: &[u8; LEN]) {
        let said = Heartbeat::parse(bytes).expect("the core sends sense");
        self.pass_fence(node, &said, fence::effect(bytes));
        let has_address = self.machines[node].kernel.is_exposed();
        self.checks.duties.last_word(self.now, node, has_address, &mut self.checks.violation);
        self.carry(node, said, bytes);
    }

    fn carry(&mut self, node: usize, said: Heartbeat, bytes: &[u8; LEN]) {
        self.trace_packet(node, &said);
        if self.machines[node].unplugs > 0 {
            return;
        }
        if said.kind == Kind::Challenge {
            let asked = said.following.and_then(|id| self.machines.iter().position(|machine| machine.id == id));
            self.checks.words.asked(node, asked, said.nonce);
        }
        let packet = self.packets.enter(*bytes, said, node, self.now);
        self.packets.hold(packet);
        self.record(packet);
        for to in (0..self.machines.len()).filter(|&to| to != node) {
            let Some(hearer) = self.machines[to].process.as_deref() else { continue };
            let believes_in_link = hearer.link == KnownLink::Up;
            let has_link = self.machines[to].unplugs == 0;
            let is_lost = self.loss.as_mut().is_some_and(|loss| loss.takes(node, to, &said));
            let fate = if is_lost { Fate::Lost } else { self.lan.carry(node, to) };
            match fate {
                _ if !believes_in_link => {
                    if said.hold.as_micros() > self.machines[to].settings.tolerance {
                        // It will listen for its own tolerance only, which may not be enough.
                        self.missed_between(node, to);
                    }
                }
                Fate::Arrives { .. } if !has_link => self.missed_between(node, to),
                Fate::Lost => self.missed_between(node, to),
                Fate::Arrives { after, damage, again_after } => {
                    if damage != Damage::None || after > self.checks.bounds.delay {
                        self.missed_between(node, to);
                    }
                    for (after, is_copy) in [(Some(after), false), (again_after, true)] {
                        let Some(after) = after else { continue };
                        self.packets.hold(packet);
                        self.at(self.now + after, Event::Arrive { node: to, packet, damage, is_copy });
                    }
                }
            }
        }
        self.packets.drop(packet);
    }

    /// A packet leaves: it may open the fence, or close it.
    fn pass_fence(&mut self, node: usize, said: &Heartbeat, effect: Effect) {
        let kernel = &mut self.machines[node].kernel;
        if kernel.fence.is_none() {
            return;
        }
        kernel.pass(self.now, effect);
        if let Some(at) = kernel.shut.next_look() {
            self.at(at, Event::Shut(node));
        }
        if effect == Effect::Opens {
            self.checks.owners.open(self.now + words::longest_open(said).as_micros(), node);
            self.checks.words.opens(self.turn_of(node), &mut self.checks.violation);
            self.checks.duties.opened(self.now, node, &mut self.checks.violation);
        }
        self.report(node);
    }

    /// A fence closes by itself, unless a heartbeat has left since.
    pub(super) fn shut(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let is_time = machine.kernel.shut.look(self.now);
        if !machine.kernel.is_open || machine.pauses > 0 {
            return;
        }
        if !is_time {
            if let Some(at) = machine.kernel.shut.next_look() {
                self.at(at, Event::Shut(node));
            }
            return;
        }
        machine.kernel.pass(self.now, Effect::Closes);
        self.trace.line(self.now, Some(node), Mark::Note, || "the fence closes".to_owned());
        self.report(node);
    }

    fn trace_packet(&mut self, node: usize, said: &Heartbeat) {
        let find = |id: NodeId| self.machines.iter().position(|machine| machine.id == id);
        let following = said.following.and_then(find);
        let mark = match said.kind {
            Kind::Claim | Kind::Query => Mark::Claim(following),
            Kind::Challenge | Kind::Response => Mark::Beat,
            Kind::Heartbeat if said.flags.has(Flags::RELEASED) => Mark::Resign,
            Kind::Heartbeat => Mark::Beat,
        };
        self.trace.line(self.now, Some(node), mark, || {
            let following = following.map_or_else(|| "nobody".to_owned(), |node| node.to_string());
            format!("sends {} {}: {}, flags {}, following {following}", said.kind, said.seq, said.state, said.flags)
        });
    }

    /// Gives an order to the keeper, which answers at once if it is quick.
    fn order(&mut self, node: usize, process: &mut Process, order: Order) -> Option<Answer> {
        let machine = &self.machines[node];
        let delay = machine.plan.keeper;
        if process.orders.is_empty() && (delay == 0 || is_light(order)) {
            return self.keep(node, order);
        }
        process.orders.push_back(order);
        let delay = if is_light(order) { 0 } else { delay };
        process.keeper_free_at = process.keeper_free_at.max(self.now) + delay;
        let (at, boot) = (process.keeper_free_at, process.boot);
        self.at(at, Event::Kept { node, boot });
        None
    }

    /// A slow keeper has carried out its oldest order.
    pub(super) fn keep_next(&mut self, node: usize) {
        let Some(order) = self.machines[node].process.as_deref_mut().and_then(|process| process.orders.pop_front())
        else {
            return;
        };
        let answer = self.keep(node, order);
        if let Some(process) = self.machines[node].process.as_deref_mut() {
            process.answers.extend(answer);
        }
        self.wake(node);
    }

    fn keep(&mut self, node: usize, order: Order) -> Option<Answer> {
        let machine = &mut self.machines[node];
        let answer = match order {
            Order::Take | Order::Refresh if machine.kernel.refusals > 0 => {
                self.remove(node);
                let retries_by = LONGEST_RETRY.max(2 * self.checks.bounds.tolerance);
                self.machines[node].refused_at = Some(self.now);
                self.at(self.now + retries_by, Event::Retried { node, refused_at: self.now });
                self.trouble(Trouble::Other);
                Some(Answer::Refused)
            }
            Order::Take | Order::Refresh => {
                machine.kernel.add(self.now, &machine.settings);
                let was_doubtful = machine.refused_at.take().is_some();
                if let Some(at) = machine.kernel.gone.next_look() {
                    self.at(at, Event::Expire(node));
                }
                if was_doubtful {
                    self.trouble(Trouble::Other);
                }
                (order == Order::Take).then_some(Answer::Taken)
            }
            Order::Release | Order::AssertAbsent => {
                self.remove(node);
                (order == Order::Release).then_some(Answer::Released)
            }
        };
        self.report(node);
        answer
    }

    /// The kernel removes the address and says so to its listeners.
    pub(super) fn remove(&mut self, node: usize) {
        let kernel = &mut self.machines[node].kernel;
        self.machines[node].is_removal_news |= std::mem::take(&mut kernel.has);
        self.report(node);
    }

    /// A lease runs out, unless it was renewed since.
    pub(super) fn expire(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let is_time = machine.kernel.gone.look(self.now);
        if !machine.kernel.has || machine.pauses > 0 {
            return;
        }
        if !is_time {
            if let Some(at) = machine.kernel.gone.next_look() {
                self.at(at, Event::Expire(node));
            }
            return;
        }
        self.trace.line(self.now, Some(node), Mark::Note, || "the lease of the address ends".to_owned());
        self.remove(node);
        self.wake_soon(node);
    }
}

fn input(answer: Answer) -> Input<'static> {
    match answer {
        Answer::Taken => Input::Taken,
        Answer::Refused => Input::Refused,
        Answer::Released => Input::Released,
    }
}

/// Packets that the daemon reads before it looks at the clock again.
const HEARD_AT_ONCE: usize = 64;

/// A node that was refused the address tries again within this, and has listened for its tolerance before.
const LONGEST_RETRY: Us = 70_000_000;

/// Without a link the daemon looks each second.
const LOOK_AGAIN: Us = 1_000_000;

/// A change of state is said this many times, and may be answered once more.
const CHANGE: u64 = 4;
