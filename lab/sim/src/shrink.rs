//! Makes a failing plan smaller as long as it breaks the same rule.

use crate::checkers::Rule;
use crate::fault::Fault;
use crate::plan::Plan;
use crate::play::play;
use crate::time::Us;
use crate::trace::Trace;

/// The smallest plan found that breaks the rule that `plan` breaks.
pub fn shrink(plan: &Plan) -> Plan {
    let Some(violation) = play(plan, Trace::default()).0.violation else {
        return plan.clone();
    };
    let mut best = Shrinker { rule: violation.rule, plan: plan.clone(), tries: 0 };
    loop {
        let before = best.size();
        best.cut_end();
        best.leave_out_faults();
        best.leave_out_nodes();
        best.make_plain();
        if best.size() == before || best.tries > MOST_TRIES {
            return best.plan;
        }
    }
}

struct Shrinker {
    rule: Rule,
    plan: Plan,
    tries: u32,
}

impl Shrinker {
    /// Keeps `plan` if it fails in the same way.
    fn keep(&mut self, plan: Plan) -> bool {
        self.tries += 1;
        let fails = play(&plan, Trace::default()).0.violation.is_some_and(|violation| violation.rule == self.rule);
        if fails {
            self.plan = plan;
        }
        fails
    }

    fn changed(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut plan = self.plan.clone();
        change(&mut plan);
        self.keep(plan)
    }

    fn size(&self) -> (usize, usize, Us, usize) {
        let nodes = self.plan.nodes.iter().filter(|node| node.is_present).count();
        (self.plan.faults.len(), nodes, self.plan.end, format!("{}", self.plan).len())
    }

    /// Nothing that comes after the failure matters.
    fn cut_end(&mut self) {
        let Some(violation) = play(&self.plan, Trace::default()).0.violation else { return };
        let end = violation.at + AFTER;
        if end < self.plan.end {
            self.changed(|plan| {
                plan.end = end;
                plan.faults.retain(|fault| fault.at <= end);
            });
        }
    }

    fn leave_out_faults(&mut self) {
        let mut size = self.plan.faults.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.plan.faults.len() {
                let until = (from + size).min(self.plan.faults.len());
                if !self.changed(|plan| drop(plan.faults.drain(from..until))) {
                    from = until;
                }
            }
            size /= 2;
        }
    }

    fn leave_out_nodes(&mut self) {
        for node in 0..self.plan.nodes.len() {
            if self.plan.nodes[node].is_present {
                self.changed(|plan| {
                    plan.nodes[node].is_present = false;
                    plan.faults.retain(|fault: &Fault| fault.what.node() != Some(node));
                });
            }
        }
    }

    /// Every setting that need not be odd is not.
    fn make_plain(&mut self) {
        self.changed(|plan| plan.net.loss_ppm = 0);
        self.changed(|plan| plan.net.damage_ppm = 0);
        self.changed(|plan| plan.net.twice_ppm = 0);
        self.changed(|plan| plan.net.jitter = 0);
        self.changed(|plan| plan.has_router = false);
        for node in 0..self.plan.nodes.len() {
            if self.plan.nodes[node].is_present {
                self.changed(|plan| plan.nodes[node].ppm = 0);
                self.changed(|plan| plan.nodes[node].wake = 0);
                self.changed(|plan| plan.nodes[node].keeper = 0);
                self.changed(|plan| plan.nodes[node].starts_at = 0);
                self.changed(|plan| plan.nodes[node].settings.sticky = false);
            }
        }
    }
}

/// Shown after the failure.
const AFTER: Us = 1_000_000;

const MOST_TRIES: u32 = 3_000;
