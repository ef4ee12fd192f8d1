//! The client asks for a shared address of IPv6, in a group that shares one of IPv4 as well. What happens is what
//! happens with IPv4 alone, and so are the promises, but for the lease: the kernel removes an address of IPv6 up to
//! half a second later, and says at each renewal in which groups it is.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::freeze_all::{FRAMES, THAWED_FRAMES};
use super::{freeze_all, join, partition, power, stop, stranger_claim, worker};
use crate::marks::{Marks, lease_end, silent, take_over};
use crate::net::SHARED_SIX;
use crate::node::Program;
use crate::promise::Bound::{AtMost, Median, Strict};
use crate::promise::{BRISK, FAST, Promise, SLOW};
use crate::run::Extent;
use crate::scenario::{Runs, Scenario};
use crate::stage::Stage;
use crate::stats::count;
use crate::sys::{self, Signal};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        address: ADDRESS,
        readings: &[take_over],
        promises: STOPPED,
        is_delicate: true, // a millisecond counts
        ..Scenario::new("stop-six", "IPv6: the ACTIVE is stopped in good order", stop::play)
    },
    Scenario {
        address: ADDRESS,
        promises: &[
            Promise::new(SLOW, "blackout_ms", "blackout, ms", Median(1.0)).not_in_short(),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(BRISK, "blackout_ms", "blackout, ms", Median(1.0)).not_in_short(),
            Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(FAST, "blackout_ms", "blackout, ms", Median(1.0)).not_in_short(),
            Promise::new(FAST, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
        ],
        is_delicate: true, // a millisecond counts
        ..Scenario::new("join-six", "IPv6: a more worthy node starts", join::play)
    },
    Scenario {
        address: ADDRESS,
        readings: &[take_over],
        promises: &[
            Promise::new(SLOW, "blackout_ms", "blackout, ms", AtMost(3_515.0)).not_in_short(),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(BRISK, "blackout_ms", "blackout, ms", AtMost(365.0)),
            Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)),
            Promise::new(FAST, "blackout_ms", "blackout, ms", AtMost(50.0)).not_in_short(),
            Promise::new(FAST, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
        ],
        ..Scenario::new("power-six", "IPv6: the ACTIVE loses power", power::play)
    },
    Scenario {
        address: ADDRESS,
        readings: &[take_over],
        promises: &[
            Promise::new(SLOW, "blackout_ms", "blackout, ms", Median(1.0)).not_in_short(),
            Promise::new(SLOW, "blackout_ms", "blackout of any, ms", AtMost(20.0)).not_in_short(),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(BRISK, "blackout_ms", "blackout, ms", Median(1.0)).not_in_short(),
            Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(FAST, "blackout_ms", "blackout, ms", Median(1.0)).not_in_short(),
            Promise::new(FAST, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
        ],
        ..Scenario::new("kill-worker-six", "IPv6: the ACTIVE's worker dies; its keeper lives", |stage| {
            worker::play(stage, Signal::SIGKILL)
        })
    },
    Scenario {
        address: ADDRESS,
        promises: &[
            Promise::new(SLOW, "one_owner_after_ms", "one owner after healing, ms", AtMost(1_100.0)).not_in_short(),
            Promise::new(SLOW, "blackout_after_ms", "blackout after healing, ms", AtMost(20.0)).not_in_short(),
            Promise::new(BRISK, "one_owner_after_ms", "one owner after healing, ms", AtMost(200.0)).not_in_short(),
            Promise::new(BRISK, "blackout_after_ms", "blackout after healing, ms", AtMost(20.0)).not_in_short(),
            Promise::new(BRISK, "wrong_entries", "the client sends to a loser", Strict(0.0)).not_in_short(),
        ],
        is_long: true,
        ..Scenario::new(
            "partition-six",
            "IPv6: the ACTIVE is cut off from the nodes but not from the client, and the LAN heals",
            heal_by_turns,
        )
    },
    Scenario {
        address: ADDRESS,
        readings: &[take_over, silent],
        promises: &[
            Promise::new(SLOW, "silent_ms", SILENT, Strict(2_450.0)).not_in_short(),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(SLOW, "frames_after_take_over", FRAMES, Strict(0.0)).not_in_short(),
            Promise::new(SLOW, "frames_after_thaw", THAWED_FRAMES, Strict(0.0)).not_in_short(),
            Promise::new(SLOW, "blackout_after_ms", "client dark after the thaw, ms", AtMost(20.0)).not_in_short(),
            Promise::new(BRISK, "silent_ms", SILENT, Strict(245.0)).not_in_short(),
            Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(BRISK, "frames_after_take_over", FRAMES, Strict(0.0)).not_in_short(),
            Promise::new(BRISK, "frames_after_thaw", THAWED_FRAMES, Strict(0.0)).not_in_short(),
            Promise::new(BRISK, "blackout_after_ms", "client dark after the thaw, ms", AtMost(20.0)).not_in_short(),
            Promise::new(FAST, "silent_ms", SILENT, Strict(24.5)).not_in_short(),
            Promise::new(FAST, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(FAST, "frames_after_take_over", FRAMES, Strict(0.0)).not_in_short(),
            Promise::new(FAST, "frames_after_thaw", THAWED_FRAMES, Strict(0.0)).not_in_short(),
            Promise::new(FAST, "blackout_after_ms", "client dark after the thaw, ms", AtMost(20.0)).not_in_short(),
        ],
        is_long: true,
        ..Scenario::new("freeze-all-six", "IPv6: the ACTIVE's processes are all frozen for a while", |stage| {
            freeze_all::play(stage, Program::Ha)
        })
    },
    Scenario {
        address: ADDRESS,
        readings: &[take_over, lease_end],
        promises: &[
            // The lease of 2 s, which the kernel ends up to 1.5 s late.
            Promise::new(SLOW, "lease_end_ms", "frozen one's last frame, no fence, ms", AtMost(3_500.0)).not_in_short(),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
        ],
        ..Scenario::new("lease-six", "IPv6: the ACTIVE's processes are frozen, and there is no fence", freeze_unfenced)
    },
    Scenario {
        address: ADDRESS,
        promises: &[
            Promise::new(SLOW, "mld_per_s", MEMBERSHIPS, Strict(MLD_PER_S)).not_in_short(),
            Promise::new(BRISK, "mld_per_s", MEMBERSHIPS, Strict(MLD_PER_S)).not_in_short(),
            Promise::new(FAST, "mld_per_s", MEMBERSHIPS, Strict(MLD_PER_S)).not_in_short(),
        ],
        runs: Runs::One,
        full: Extent { rest: Duration::from_secs(20), ..Extent::FULL },
        ..Scenario::new("rest-six", "IPv6: nothing happens; how often does the ACTIVE's kernel name its groups?", rest)
    },
    Scenario {
        address: ADDRESS,
        promises: &[
            Promise::new(BRISK, "blackout_ms", "a stranger has the client, ms", AtMost(20.0)).not_in_short(),
            Promise::new(BRISK, "wrong_entries", "the client sends to the stranger", Strict(0.0)).not_in_short(),
        ],
        ..Scenario::new(
            "stranger-claim-six",
            "IPv6: a machine outside of the group says once by an NA that it has the address",
            stranger_claim::play,
        )
    },
    Scenario {
        address: ADDRESS,
        readings: &[take_over],
        promises: STOPPED,
        is_delicate: true, // a millisecond counts
        ..Scenario::new("stop-over-six", "heartbeats over IPv6, nodes without IPv4: the ACTIVE is stopped", |stage| {
            speak_over_six(stage)?;
            stop::play(stage)
        })
    },
    Scenario {
        address: ADDRESS,
        readings: &[take_over],
        promises: &[
            Promise::new(SLOW, "blackout_ms", "blackout, ms", AtMost(3_515.0)).not_in_short(),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(BRISK, "blackout_ms", "blackout, ms", AtMost(365.0)).not_in_short(),
            Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(FAST, "blackout_ms", "blackout, ms", AtMost(50.0)).not_in_short(),
            Promise::new(FAST, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
        ],
        ..Scenario::new("power-over-six", "heartbeats over IPv6, nodes without IPv4: the ACTIVE loses power", |stage| {
            speak_over_six(stage)?;
            power::play(stage)
        })
    },
    Scenario {
        address: ADDRESS,
        readings: &[take_over],
        promises: &[
            Promise::shown(BRISK, "blackout_ms", "blackout, ms").not_in_short(),
            Promise::shown(BRISK, "two_owners_ms", "two owners, ms").not_in_short(),
        ],
        is_delicate: true,
        ..Scenario::new("stop-six-keepalived", "IPv6: keepalived's master is stopped in good order", |stage| {
            stage.set_program(Program::Keepalived);
            stop::play(stage)
        })
    },
    Scenario {
        address: ADDRESS,
        readings: &[take_over],
        promises: &[
            Promise::shown(BRISK, "blackout_ms", "blackout, ms").not_in_short(),
            Promise::shown(BRISK, "two_owners_ms", "two owners, ms").not_in_short(),
        ],
        ..Scenario::new("power-six-keepalived", "IPv6: keepalived's master loses power", |stage| {
            stage.set_program(Program::Keepalived);
            power::play(stage)
        })
    },
    Scenario {
        address: ADDRESS,
        promises: &[
            Promise::shown(BRISK, "one_owner_after_ms", "one owner after healing, ms").not_in_short(),
            Promise::shown(BRISK, "blackout_after_ms", "blackout after healing, ms").not_in_short(),
            Promise::shown(BRISK, "wrong_entries", "the client sends to a loser").not_in_short(),
        ],
        is_long: true,
        ..Scenario::new(
            "partition-six-keepalived",
            "IPv6: keepalived's master is cut off from the nodes but not from the client, and the LAN heals",
            |stage| {
                stage.set_program(Program::Keepalived);
                heal_by_turns(stage)
            },
        )
    },
];

/// Whatever the heartbeats go by.
const STOPPED: &[Promise] = &[
    Promise::new(SLOW, "blackout_ms", "blackout, ms", Median(1.0)).not_in_short(),
    Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
    Promise::new(BRISK, "blackout_ms", "blackout, ms", Median(1.0)),
    Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)),
    Promise::new(FAST, "blackout_ms", "blackout, ms", Median(1.0)).not_in_short(),
    Promise::new(FAST, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
];

/// The nodes have no address of IPv4 of their own: they know each other by link-local ones.
fn speak_over_six(stage: &mut Stage<'_>) -> io::Result<()> {
    stage.remove_addresses_of_four()?;
    stage.set_options(&["--multicast", "[ff12::6861]:5555"]);
    Ok(())
}

/// In two of four runs the old ACTIVE hears the others first; in one of each two the client sends to it until then.
fn heal_by_turns(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let hears_first = stage.run().number.is_multiple_of(4) || stage.run().number % 4 == 3;
    partition::play(stage, if hears_first { ["hears", "heard"] } else { ["heard", "hears"] })
}

/// The lease alone ends what the frozen one had.
fn freeze_unfenced(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.set_options(&["--fence", "off"]);
    let old = stage.start_all()?;
    let start = sys::now();
    stage.signal(1, Signal::SIGSTOP);
    stage.watch_past_the_tolerance();
    Ok(Marks::new(start, Some(old)))
}

fn rest(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let owner = stage.start_all()?;
    stage.sleep(JOINED);
    let cable = stage.memberships(1)?;
    let start = sys::now();
    stage.sleep(stage.run().extent.rest);
    let packets = cable.count()?;
    let mut marks = Marks::new(start, Some(owner));
    marks.measured = vec![("mld_per_s", count(packets) / stage.run().extent.rest.as_secs_f64())];
    Ok(marks)
}

const ADDRESS: IpAddr = IpAddr::V6(SHARED_SIX);
/// After what a kernel says when it joins groups.
const JOINED: Duration = Duration::from_secs(3);
/// Two for each renewal, of which there is one a second. In 20 s there may be 21.
const MLD_PER_S: f64 = 2.1;
const MEMBERSHIPS: &str = "MLD packets of the ACTIVE a second";
/// The fence is open for that long (docs/fence.md).
const SILENT: &str = "last frame of the frozen one, ms";
