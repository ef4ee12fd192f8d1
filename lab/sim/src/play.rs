//! Plays a plan, a panic being one more broken rule.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::checkers::{Rule, Violation};
use crate::plan::Plan;
use crate::trace::{Line, Trace};
use crate::world::{Outcome, World};

/// What came of the plan, and the lines if the trace is on.
pub fn play(plan: &Plan, trace: Trace) -> (Outcome, Vec<Line>) {
    let run = AssertUnwindSafe(|| World::new(plan, trace).run());
    catch_unwind(run).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()));
        let text = text.unwrap_or_else(|| "a panic without words".to_owned());
        let violation = Violation { rule: Rule::Panic, at: 0, text };
        (Outcome { violation: Some(violation), ..Outcome::default() }, Vec::new())
    })
}

/// The message of a panic goes into the violation and nowhere else.
pub fn silence_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}
