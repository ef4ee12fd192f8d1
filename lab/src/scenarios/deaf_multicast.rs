//! The switch drops multicast and nothing else for a while; then the owner loses power.

use std::io;

use crate::analysis::Span;
use crate::marks::Marks;
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    is_long: true,
    ..Scenario::new("deaf-multicast", "the switch drops multicast for a while; then the owner loses power", play)
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.start_all()?;
    let start = sys::now();
    stage.drop_multicast()?;
    stage.sleep(stage.run().extent.pause);
    let died = sys::now();
    stage.cut_power()?;
    stage.watch_after_the_fault();
    stage.sleep(stage.run().timing.tolerance);
    Ok(Marks::new(start, Some(old)).healed(Span::new(died, died)))
}
