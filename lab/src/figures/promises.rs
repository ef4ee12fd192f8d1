//! The table of promises.

use crate::scenario::Scenario;
use crate::timing::Timing;

use Bound::{AtLeast, AtMost, Between, Median, Strict};
use Scenario::*;

/// One promise.
#[derive(Debug, Clone, Copy)]
pub struct Promise {
    pub scenario: Scenario,
    pub timing: Timing,
    pub value: &'static str,
    pub words: &'static str,
    pub bound: Bound,
}

/// What the values of all runs must be like, in milliseconds or as a number.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// Every run between these.
    Between(f64, f64),
    /// Every run at most this: a number of times, or a time that is a matter of right and wrong.
    Strict(f64),
    /// Every run at most this.
    AtMost(f64),
    /// Every run at least this.
    AtLeast(f64),
    /// Half of the runs at most this.
    Median(f64),
}

pub const SLOW: Timing = Timing::from_millis(1_000, 3_500);
pub const BRISK: Timing = Timing::from_millis(100, 350);
const FAST: Timing = Timing::from_millis(10, 35);

const fn promise(
    scenario: Scenario,
    timing: Timing,
    value: &'static str,
    words: &'static str,
    bound: Bound,
) -> Promise {
    Promise { scenario, timing, value, words, bound }
}

pub const PROMISES: &[Promise] = &[
    promise(Power, SLOW, "take_over_ms", "take-over after the cut, ms", Between(2_400.0, 3_600.0)),
    promise(Power, SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(Power, BRISK, "blackout_ms", "blackout, ms", AtMost(360.0)),
    promise(Power, FAST, "blackout_ms", "blackout, ms", AtMost(45.0)),
    promise(Rest, FAST, "moves", "moves at rest", Strict(0.0)),
    promise(Stop, SLOW, "blackout_ms", "blackout, ms", Median(3.0)),
    promise(Stop, SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(Join, SLOW, "blackout_ms", "blackout, ms", Median(3.0)),
    promise(Join, SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(Join, SLOW, "hand_over_ms", "newcomer settled before it has it, ms", Between(3_500.0, 6_000.0)),
    promise(Join, SLOW, "blackout_before_ms", "blackout while it settles, ms", AtMost(20.0)),
    promise(KillWorker, SLOW, "blackout_ms", "blackout, ms", Median(5.0)),
    promise(KillWorker, SLOW, "blackout_ms", "blackout of any, ms", AtMost(20.0)),
    promise(KillWorker, SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(Panic, SLOW, "blackout_ms", "blackout, ms", Median(5.0)),
    promise(Panic, SLOW, "blackout_ms", "blackout of any, ms", AtMost(20.0)),
    promise(Panic, SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(StallWorker, SLOW, "take_over_ms", "take-over, ms", AtMost(2_600.0)),
    promise(StallWorker, SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(KillKeeper, SLOW, "take_over_ms", "take-over, ms", Between(2_400.0, 3_600.0)),
    promise(KillKeeper, SLOW, "blackout_ms", "blackout, from the lease's end on, ms", AtMost(1_600.0)),
    promise(KillKeeper, SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(KillAll, SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(KillAll, SLOW, "take_over_ms", "take-over, ms", Between(2_400.0, 3_600.0)),
    promise(FreezeAll, SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(FreezeAll, SLOW, "take_over_ms", "take-over, ms", Between(2_400.0, 3_600.0)),
    promise(FreezeAll, SLOW, "one_owner_after_ms", "one owner after the thaw, ms", AtMost(1_100.0)),
    promise(FreezeAll, SLOW, "blackout_after_ms", "blackout after the thaw, ms", AtMost(20.0)),
    promise(PartitionHears, SLOW, "one_owner_after_ms", "one owner after healing, ms", AtMost(1_100.0)),
    promise(PartitionHears, SLOW, "blackout_after_ms", "blackout after healing, ms", AtMost(20.0)),
    promise(PartitionHeard, SLOW, "one_owner_after_ms", "one owner after healing, ms", AtMost(1_100.0)),
    promise(PartitionHeard, SLOW, "blackout_after_ms", "blackout after healing, ms", AtMost(20.0)),
    promise(Cold, SLOW, "up_ms", "address up after the start, ms", AtMost(3_700.0)),
    promise(Cold, SLOW, "owners", "stations that ever had it", Strict(1.0)),
    promise(Cold, SLOW, "moves", "moves", Strict(0.0)),
    promise(Restarts, BRISK, "hop_median_ms", "resign to gratuitous ARP, median, ms", AtMost(0.5)),
    promise(Restarts, BRISK, "hop_p99_ms", "resign to gratuitous ARP, 99 %, ms", AtMost(2.0)),
    promise(Alone, BRISK, "memory_kb", "memory of keeper and worker, KB", Strict(400.0)),
    promise(Forge, BRISK, "packets", "forged and replayed packets", AtLeast(1e6)),
    promise(Forge, BRISK, "believed", "of them believed", Strict(0.0)),
    promise(Forge, BRISK, "moves", "moves", Strict(0.0)),
    promise(Forge, BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(Forge, BRISK, "blackout_ms", "blackout, ms", AtMost(20.0)),
    promise(Flood, BRISK, "least_per_s", "packets a second, least of four kinds", AtLeast(95_000.0)),
    promise(Flood, BRISK, "moves", "moves", Strict(0.0)),
    promise(Flood, BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(Flood, BRISK, "blackout_ms", "blackout, ms", AtMost(20.0)),
    promise(Flood, BRISK, "late_ms", "latest heartbeat, ms after its time", AtMost(20.0)),
    promise(Flood, SLOW, "least_per_s", "packets a second, least of four kinds", AtLeast(95_000.0)),
    promise(Flood, SLOW, "moves", "moves", Strict(0.0)),
    promise(Flood, SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(Flood, SLOW, "blackout_ms", "blackout, ms", AtMost(20.0)),
    promise(Flood, SLOW, "late_ms", "latest heartbeat, ms after its time", AtMost(20.0)),
    promise(Replay, BRISK, "up_ms", "address up after the start, ms", AtMost(800.0)),
    promise(Replay, BRISK, "moves_caused", "moves caused", Strict(0.0)),
    promise(Replay, BRISK, "two_owners_ever_ms", "two owners, ms", Strict(0.0)),
    promise(Replay, BRISK, "blackout_ms", "blackout while nothing is done, ms", AtMost(20.0)),
    promise(Replay, BRISK, "take_over_ms", "take-over after a power cut, ms", Between(240.0, 380.0)),
    promise(Replay, SLOW, "up_ms", "address up after the start, ms", AtMost(7_200.0)),
    promise(Replay, SLOW, "moves_caused", "moves caused", Strict(0.0)),
    promise(Replay, SLOW, "two_owners_ever_ms", "two owners, ms", Strict(0.0)),
    promise(Replay, SLOW, "blackout_ms", "blackout while nothing is done, ms", AtMost(20.0)),
    promise(Replay, SLOW, "take_over_ms", "take-over after a power cut, ms", Between(2_400.0, 3_600.0)),
    promise(Rotate, BRISK, "moves", "moves", Strict(0.0)),
    promise(Rotate, BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(Rotate, BRISK, "blackout_ms", "blackout, ms", AtMost(20.0)),
    promise(Rotate, BRISK, "believed", "packets with the old key believed", Strict(0.0)),
    promise(MixedKeyJoins, BRISK, "moves", "moves", Strict(0.0)),
    promise(MixedKeyJoins, BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(MixedKeyFirst, BRISK, "moves", "moves", Strict(0.0)),
    promise(MixedKeyFirst, BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(FreezeAll, BRISK, "blackout_after_ms", "blackout after the thaw, ms", AtMost(20.0)),
    promise(PartitionHears, BRISK, "blackout_after_ms", "blackout after healing, ms", AtMost(20.0)),
    promise(PartitionHears, BRISK, "wrong_entries", "the client sends to a loser", Strict(0.0)),
    promise(PartitionHeard, BRISK, "blackout_after_ms", "blackout after healing, ms", AtMost(20.0)),
    promise(PartitionHeard, BRISK, "wrong_entries", "the client sends to a loser", Strict(0.0)),
    promise(StrangerClaim, BRISK, "blackout_ms", "a stranger has the client, ms", AtMost(20.0)),
    promise(StrangerClaim, BRISK, "wrong_entries", "the client sends to the stranger", Strict(0.0)),
    promise(
        StrangerInsists,
        BRISK,
        "announcements",
        "announcements against 75 claims, repeats included",
        Between(1.0, 13.0),
    ),
    promise(StrangerInsists, BRISK, "closest_ms", "between two of them, ms", AtLeast(990.0)),
    promise(FalseTakeOver, SLOW, "blackout_after_ms", "blackout after a one-way cut, ms", AtMost(20.0)),
    promise(FalseTakeOver, BRISK, "blackout_after_ms", "blackout after a one-way cut, ms", AtMost(20.0)),
    promise(FalseTakeOverBeats, SLOW, "blackout_after_ms", "blackout after heartbeats were lost, ms", AtMost(20.0)),
    promise(FalseTakeOverBeats, BRISK, "blackout_after_ms", "blackout after heartbeats were lost, ms", AtMost(20.0)),
    promise(SilentClients, BRISK, "left_behind", "of 51 that never speak first, not told", Strict(0.0)),
    promise(SilentClients, BRISK, "last_moved_ms", "the last of them is told, ms", AtMost(10_000.0)),
    promise(SilentClients, BRISK, "first_moved_ms", "the gateway is told, ms", AtMost(5.0)),
    promise(ReachableEntry, BRISK, "first_moved_ms", "a fresh entry moves after the first frame, ms", AtMost(1.0)),
    promise(ReachableEntry, BRISK, "wrong_entries", "the client sends to the old owner", Strict(0.0)),
    promise(AddressRemoved, BRISK, "blackout_ms", "blackout, ms", AtMost(20.0)),
    promise(AddressRemoved, BRISK, "wrong_entries", "the client sends elsewhere", Strict(0.0)),
    promise(NewMac, BRISK, "blackout_ms", "blackout, ms", AtMost(20.0)),
    promise(NewMac, BRISK, "wrong_entries", "the client sends to the old MAC", Strict(0.0)),
    promise(NewPort, BRISK, "blackout_ms", "blackout until the next heartbeat, ms", AtMost(120.0)),
    promise(CrashRestart, BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)),
    promise(CrashRestart, BRISK, "wrong_entries", "the client sends elsewhere", Strict(0.0)),
];
