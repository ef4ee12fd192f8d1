//! From the moments of a run to what was measured in it.

use crate::analysis::{Recording, Span};
use crate::frames::Mac;
use crate::neighbours::Move;
use crate::outcome::{Outcome, Witness, millis};
use crate::scenario::{Plan, Scenario};
use crate::sys::{self, Nanos};

/// The moments of a run that matter.
#[derive(Debug)]
pub struct Marks {
    /// The four values are measured from here.
    pub struck: Nanos,
    /// To here.
    ended: Nanos,
    /// Thawed, or healed: when it began, and when it was complete.
    pub mended: Option<Span>,
    /// Whose address it was.
    old: Option<Mac>,
    /// Only these spans count, if given: what was done between them moves the address.
    pub quiet: Option<Vec<Span>>,
    /// Since when all of it is looked at, and how many moves were meant to be.
    pub life: Option<(Nanos, u32)>,
    /// Clients that have the new owner's MAC instead of the old one's, and since when; the first of them is member 0.
    pub moved: Vec<Move>,
    /// What the scenario measured itself.
    pub measured: Vec<(&'static str, f64)>,
}

impl Marks {
    /// It has just ended.
    pub fn new(struck: Nanos, old: Option<Mac>) -> Self {
        Self {
            struck,
            ended: sys::now(),
            mended: None,
            old,
            quiet: None,
            life: None,
            moved: Vec::new(),
            measured: Vec::new(),
        }
    }

    /// Adds to the outcome what the recording says about the time between them.
    pub fn measure(&self, plan: &Plan, recording: &Recording, outcome: &mut Outcome) {
        let whole = Span::new(self.struck, self.ended);
        let details = &mut outcome.details;
        details.extend(self.measured.iter().copied());
        let since_struck = |at: Nanos| millis(at.saturating_sub(self.struck));
        let other = recording.first_claim(whole, |mac| Some(mac) != self.old).map(since_struck);
        match plan.scenario {
            Scenario::Power
            | Scenario::Stop
            | Scenario::KillWorker
            | Scenario::Panic
            | Scenario::StallWorker
            | Scenario::FreezeAll
            | Scenario::Replay
            | Scenario::SilentClients
            | Scenario::ReachableEntry => details.extend(other.map(|at| ("take_over_ms", at))),
            Scenario::KillKeeper | Scenario::KillAll => {
                details.extend(other.map(|at| ("take_over_ms", at)));
                let end = self.old.and_then(|old| recording.last_claim(whole, old)).map(since_struck);
                details.extend(end.map(|at| ("lease_end_ms", at)));
            }
            Scenario::Join => {
                details.extend(other.map(|at| ("hand_over_ms", at)));
                // Two rounds before the newcomer has it the old one must have been there without a break.
                let settled = recording.first_claim(whole, |mac| Some(mac) != self.old).unwrap_or(self.ended);
                let before = Span::new(self.struck, settled.saturating_sub(10_000_000));
                details.insert("blackout_before_ms", millis(recording.blackout(before)));
            }
            Scenario::Cold => {
                details.extend(other.map(|at| ("up_ms", at)));
                let owners = u32::try_from(recording.owners(whole).len()).unwrap_or(u32::MAX);
                details.insert("owners", f64::from(owners));
            }
            Scenario::PartitionHears
            | Scenario::PartitionHeard
            | Scenario::Rest
            | Scenario::Restarts
            | Scenario::Alone
            | Scenario::Forge
            | Scenario::Flood
            | Scenario::Rotate
            | Scenario::MixedKeyJoins
            | Scenario::MixedKeyFirst
            | Scenario::StrangerClaim
            | Scenario::StrangerInsists
            | Scenario::FalseTakeOver
            | Scenario::FalseTakeOverBeats
            | Scenario::DeafMulticast
            | Scenario::AddressRemoved
            | Scenario::NewMac
            | Scenario::NewPort
            | Scenario::CrashRestart => {}
        }
        if let Some(new) = recording.first_claim(whole, |mac| Some(mac) != self.old) {
            let since = |moved: &Move| millis(moved.at.saturating_sub(new));
            let first = self.moved.iter().find(|moved| moved.member == 0);
            details.extend(first.map(|moved| ("first_moved_ms", since(moved))));
            details.extend(self.moved.last().map(|moved| ("last_moved_ms", since(moved))));
        }
        if let Some((begun, meant)) = self.life {
            let life = Span::new(begun, self.ended);
            let up = recording.first_claim(life, |_| true).unwrap_or(self.ended);
            details.insert("up_ms", millis(up.saturating_sub(begun)));
            let moves = u32::try_from(recording.moves(life)).unwrap_or(u32::MAX);
            details.insert("moves_caused", f64::from(moves) - f64::from(meant));
            let overlaps = recording.two_owners(life).iter().map(|span| span.length()).sum();
            details.insert("two_owners_ever_ms", millis(overlaps));
        }
        let mut counted = whole;
        if let Some(mended) = self.mended {
            let after = Span::new(mended.from, self.ended);
            let complete = Span::new(mended.until, self.ended);
            let last = recording.two_owners(complete).last().map_or(0, |span| span.until - complete.from);
            details.insert("one_owner_after_ms", millis(last));
            details.insert("blackout_after_ms", millis(recording.blackout(after)));
            if plan.scenario != Scenario::FreezeAll {
                counted = after; // two owners while the client sees both sides of a cut LAN is physics
                let during = Span::new(self.struck, mended.from);
                details.insert("blackout_before_ms", millis(recording.blackout(during)));
                let overlaps = recording.two_owners(during).iter().map(|span| span.length()).sum();
                details.insert("two_owners_before_ms", millis(overlaps));
            }
        }
        let counted = self.quiet.as_deref().unwrap_or(std::slice::from_ref(&counted));
        outcome.witness = Some(Witness::of(recording, counted));
        if let Err(error) = recording.check_witness() {
            outcome.failure = Some(error.to_string());
        }
    }
}
