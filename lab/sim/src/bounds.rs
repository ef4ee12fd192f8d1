//! What a run may cost: every bound that a checker uses, in one place, with its reason.

use std::net::IpAddr;

use crate::plan::{NodePlan, Plan, Regime};
use crate::settings::Settings;
use crate::time::Us;

/// The bounds of one run, all in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// A packet that is handed in later than this after it was sent counts as lost: the protocol stands delays of a twentieth
    /// of the interval, and of a quarter of what the tolerance exceeds the interval by.
    pub delay: Us,
    /// Longest answer of a keeper, and the time until a process runs.
    pub local: Us,
    /// Longest interval.
    pub interval: Us,
    /// Longest tolerance, stretched by two clocks that drift apart.
    pub tolerance: Us,
    /// From the last trouble to rest: exactly one owner, the most worthy, known to the client.
    pub settle: Us,
    /// Two owners that hear each other become one: the next beat, and an interval for the answer.
    pub overlap: Us,
    /// A lost packet excuses two owners for this long: it was missed for a tolerance, or in a hand-over.
    pub excuse: Us,
    /// Overlap of a lease and a tolerance that the clocks' drift excuses.
    pub drift: Us,
    /// Owned again after a resign or a hand-over: two one-way delays, two answers of keepers.
    pub planned: Us,
    /// Owned again after the owner fell silent and does not have the address.
    pub silence: Us,
    /// Owned by a fit node after the owner fell silent: the others wait for it while its kernel answers.
    pub successor: Us,
    /// The same after an owner behind a fence, through which its kernel answers until the fence closes.
    pub successor_of_fenced: Us,
    /// A lease may outlast a tolerance by this much: one below 2 s, or that of a node with shorter timing than the owner's.
    pub late_lease: Us,
    /// Shortest tolerance.
    pub shortest: Us,
    /// From the last refresh to the moment when the address is surely gone.
    pub lease_end: Us,
    /// Some node has no lease.
    pub is_leaseless: bool,
    /// The number of nodes that have to be alive, if there is a quorum.
    pub quorum: Option<usize>,
    /// The client uses an IPv4 address all the time, and an IPv6 address when somebody asks it from there.
    pub client_has_entry: bool,
}

impl Bounds {
    /// The bounds of this plan.
    pub fn of(plan: &Plan) -> Self {
        let max = |of: fn(&Settings) -> Us| plan.all_settings().map(of).max().unwrap_or(0);
        let delay = plan.all_settings().map(longest_delay).min().unwrap_or(0);
        let most =
            |of: fn(&NodePlan) -> Us| plan.nodes.iter().filter(|node| node.is_present).map(of).max().unwrap_or(0);
        let local = most(|node| node.keeper) + 2 * most(|node| node.wake) + GRAIN;
        let interval = stretched(max(|it| it.interval));
        let tolerance = stretched(max(|it| it.tolerance));
        let preempt = stretched(max(|it| it.preempt_delay));
        let link_delay = stretched(max(|it| it.link_delay));
        let step = delay + local;
        let max_quorum = plan.all_settings().map(|it| it.quorum).max().unwrap_or(0);
        let lease_end = plan.all_settings().map(lease_end).max().unwrap_or(0);
        let shortest = plan.all_settings().map(|it| it.tolerance).min().unwrap_or(0);
        let late_lease = lease_end.saturating_sub(shortest);
        let exam = if plan.has_router { EXAM + 10 * step } else { 0 };
        Self {
            delay,
            local,
            interval,
            tolerance,
            settle: link_delay + 2 * tolerance + preempt.max(tolerance) + 4 * interval + 8 * step + late_lease + exam,
            overlap: 2 * interval + 3 * step,
            excuse: tolerance + 2 * interval + 4 * step,
            drift: max(|it| it.tolerance) / 1_000 + 2 * local,
            planned: 2 * step,
            silence: tolerance.max(UNANSWERED) + 2 * step + exam,
            successor: tolerance.max(stretched(lease_end) + UNANSWERED) + 2 * step + exam,
            successor_of_fenced: tolerance + UNANSWERED + 2 * step + exam,
            late_lease,
            shortest,
            lease_end,
            is_leaseless: plan.all_settings().any(|it| !it.lease),
            quorum: (plan.regime == Regime::Parted).then_some(usize::from(max_quorum)),
            client_has_entry: plan.all_settings().any(|it| it.families.addresses().iter().any(IpAddr::is_ipv4)),
        }
    }
}

/// The longest one-way delay, the waking of the process included, that these settings stand.
pub fn longest_delay(settings: &Settings) -> Us {
    (settings.interval / 20).min((settings.tolerance - settings.interval) / 4)
}

/// Two clocks, one 500 ppm fast and one 500 ppm slow.
fn stretched(span: Us) -> Us {
    span + span / 1_000 + 1
}

fn lease_end(settings: &Settings) -> Us {
    settings.lease_if_any().end().as_micros()
}

/// A frozen owner has ended when three questions, 100 ms apart, were not answered.
const UNANSWERED: Us = 300_000;

/// A node finds out by a few frames that a router answers for every address; it sends ten a second.
const EXAM: Us = 1_000_000;

/// What rounding between clocks may cost.
const GRAIN: Us = 10;
