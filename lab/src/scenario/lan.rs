//! Stories about what the LAN believes: who else claims the address, and who goes on sending to the wrong card.

use std::io;
use std::time::Duration;

use crate::analysis::Span;
use crate::attacker::Dose;
use crate::frames::Mac;
use crate::neighbours::Move;
use crate::outcome::millis;
use crate::scenario::marks::Marks;
use crate::scenario::trust::count;
use crate::stage::Stage;
use crate::sys;

/// Somebody outside of the group says once that the address is its own.
pub fn stranger_claims(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let stranger = stage.attacker()?;
    let owner = stage.node_1_has_it()?;
    stage.sleep(BETWEEN_ROUNDS);
    let struck = sys::now();
    stranger.claim()?;
    stage.linger(Duration::from_millis(500));
    stage.watch_until_served_by(owner, LONG)?;
    let mut marks = Marks::new(struck, Some(owner));
    marks.measured.push(("wrong_entries", stage.wrong_entries(owner)?));
    Ok(marks)
}

/// The same five times a second: the answer must be neither silence nor a storm.
pub fn stranger_insists(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let stranger = stage.attacker()?;
    let owner = stage.node_1_has_it()?;
    stage.sleep(ALL_ROUNDS);
    let announcements = stage.announcements(1)?;
    let struck = sys::now();
    let sent = stranger.attack(vec![stranger.claim_frame()], Dose { rate_per_s: 5, limit: INSISTENCE })?.wait()?;
    let insisted = sys::now();
    stage.watch_until_served_by(owner, LONG)?;
    let times = announcements.times()?;
    let announced = times.iter().filter(|&&at| at <= insisted).count();
    let mut marks = Marks::new(struck, Some(owner));
    marks.measured = vec![
        ("claims", f64::from(sent.frames)),
        ("announcements", count(announced)),
        ("wrong_entries", stage.wrong_entries(owner)?),
    ];
    let closest = times.windows(2).map(|pair| pair[1] - pair[0]).min();
    marks.measured.extend(closest.map(|closest| ("closest_ms", millis(closest))));
    Ok(marks)
}

/// The others do not hear the ACTIVE for a while, which hears them; `cut` is what `lab/net` does to it.
pub fn false_take_over(stage: &mut Stage<'_>, cut: &str) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.tell(cut, 1)?;
    stage.sleep(ONE_WAY);
    let healing = sys::now();
    stage.tell("heard", 1)?;
    let healed = sys::now();
    stage.watch_the_mended();
    let mut marks = Marks::new(struck, Some(old));
    marks.mended = Some(Span::new(healing, healed));
    Ok(marks)
}

/// The switch drops what is said to the group, and nothing else; after a while whoever has the address dies.
pub fn deaf_multicast(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.drop_multicast()?;
    stage.sleep(stage.plan().pause);
    let died = sys::now();
    stage.cut_power()?;
    stage.watch_the_mended();
    stage.sleep(stage.plan().timing.tolerance);
    let mut marks = Marks::new(struck, Some(old));
    marks.mended = Some(Span::new(died, died));
    Ok(marks)
}

/// Clients that never speak first and do not listen to what is said to all, the gateway among them.
pub fn silent_clients(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.admit_silent(CLIENTS)?;
    let old = stage.node_1_has_it()?;
    let crowd = stage.crowd_talks(CLIENTS)?;
    stage.sleep(BETWEEN_ROUNDS);
    let struck = sys::now();
    stage.cut_power()?;
    stage.wait_for_other_than(old)?;
    stage.sleep(Duration::from_secs(11));
    let moves = crowd.stop()?;
    let mut marks = Marks::new(struck, Some(old));
    let new = Mac::of(2);
    let left_behind = stage.entries(CLIENTS)?.iter().filter(|&&entry| entry != Some(new)).count();
    marks.measured.push(("left_behind", count(left_behind)));
    marks.moved = moves.into_iter().filter(|moved| moved.mac == new && moved.at >= struck).collect();
    Ok(marks)
}

/// The client's entry was confirmed a moment ago, which protects it from some frames.
pub fn reachable_entry(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let client = stage.watch_client()?;
    // That it changes makes it new.
    stage.set_entry(old, "stale")?;
    let confirmed = sys::now();
    stage.set_entry(old, "reachable")?;
    let struck = sys::now();
    stage.signal(1, libc::SIGTERM);
    stage.wait_for_other_than(old)?;
    stage.wait_for_good_end(1)?;
    stage.linger(Duration::from_millis(500));
    let is_ours = |moved: &Move| moved.mac != old && moved.at >= struck;
    let moves: Vec<_> = client.stop()?.into_iter().filter(is_ours).collect();
    let mut marks = Marks::new(struck, Some(old));
    if let Some(moved) = moves.first() {
        let age = millis(moved.at - confirmed);
        if age >= 1_000.0 {
            return Err(io::Error::other(format!("the entry was {age} ms old: nothing is known about a fresh one")));
        }
        marks.measured.push(("entry_age_ms", age));
    }
    marks.measured.push(("wrong_entries", stage.wrong_entries(Mac::of(2))?));
    marks.moved = moves;
    Ok(marks)
}

/// A person, or a script of the system, deletes the address.
pub fn removed(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let owner = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.delete_address(1)?;
    stage.linger(Duration::from_millis(500));
    stage.watch_until_served_by(owner, LONG)?;
    let mut marks = Marks::new(struck, Some(owner));
    marks.measured.push(("wrong_entries", stage.wrong_entries(owner)?));
    Ok(marks)
}

/// Another card in the same place, as after a fail-over of a bond.
pub fn new_mac(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    stage.sleep(BETWEEN_ROUNDS);
    let new = Mac::of(NEW_STATION);
    let struck = sys::now();
    stage.set_mac(1, new)?;
    stage.linger(Duration::from_millis(500));
    stage.watch_until_served_by(new, LONG)?;
    let mut marks = Marks::new(struck, Some(old));
    marks.measured.push(("wrong_entries", stage.wrong_entries(new)?));
    Ok(marks)
}

/// Another port, of another switch, and the one in the middle does not know: as after a virtual machine's move.
pub fn new_port(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.tell("outer", 1)?;
    let owner = stage.node_1_has_it()?;
    // The node's answers to the probe would tell all switches where it is.
    stage.tell("shield", 1)?;
    let struck = sys::now();
    stage.tell("move", 1)?;
    stage.linger(Duration::from_millis(1_500));
    let moved = sys::now();
    stage.tell("expose", 1)?;
    stage.watch_until_served_by(owner, LONG)?;
    let mut marks = Marks::new(struck, Some(owner));
    marks.measured.push(("wrong_entries", stage.wrong_entries(owner)?));
    marks.quiet = Some(vec![Span::new(struck, moved)]);
    Ok(marks)
}

/// The daemon dies and is started again at once, over the address that it left behind.
pub fn restarted(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let owner = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.kill(1, None)?;
    stage.start(1)?;
    stage.sleep(stage.plan().timing.tolerance + stage.plan().timing.interval);
    stage.wait_for_hand_over_to(1)?;
    stage.linger(Duration::from_millis(500));
    let mut marks = Marks::new(struck, Some(owner));
    marks.measured.push(("wrong_entries", stage.wrong_entries(owner)?));
    Ok(marks)
}

/// So many, and the gateway.
const CLIENTS: u8 = 50;

/// No node has this one.
const NEW_STATION: u8 = 99;

/// After the second round of announcements, which comes 1.2 s after the first, and before the third, after 3 s.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(900);

/// After the last round but for the steady ones.
const ALL_ROUNDS: Duration = Duration::from_millis(7_500);

const INSISTENCE: Duration = Duration::from_secs(15);
const ONE_WAY: Duration = Duration::from_secs(5);

/// A kernel that is left alone finds out in less.
const LONG: Duration = Duration::from_secs(20);
