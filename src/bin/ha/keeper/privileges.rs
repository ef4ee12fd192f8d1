//! What the keeper asks for and gives up before it starts a worker.
//!
//! The log names a step that this kernel or these privileges do not allow, and the daemon starts all the same.

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use crate::linux::capabilities::drop_bounding_set;
use crate::linux::process::{KEEPER_PRIORITY, set_realtime};
use crate::linux::{inherited, memory};
use crate::log::{info, warn};
use crate::settings::Settings;

/// Locks memory, runs before ordinary processes, is the last that the kernel kills when memory is short, and keeps the
/// capabilities that the work needs.
pub fn prepare(settings: &Settings) {
    if settings.daemon.realtime() {
        if let Err(errno) = memory::lock() {
            info!("memory is not locked: {errno}");
        }
        if let Err(error) = set_realtime(KEEPER_PRIORITY) {
            info!("not scheduled before ordinary processes: {error}");
        }
    }
    if let Err(error) = inherited::spare_from_oom(OOM_SCORE) {
        info!("out-of-memory score {OOM_SCORE} is not set: {error}");
    }
    confine(settings);
}

/// Gives up what the keeper and the programs that it starts do not need.
fn confine(settings: &Settings) {
    let kept = CAPABILITIES.union(match settings.daemon.multicast().port() {
        ..1024 => CapabilitySet::NET_BIND_SERVICE,
        _ => CapabilitySet::empty(),
    });
    // A hook may want anything that root may; without hooks no program gets more than the keeper has.
    if !settings.daemon.has_scripts() {
        drop_bounding_set(kept);
        if let Err(errno) = set_no_new_privs(true) {
            warn!("not confined: no new privileges: {errno}");
        }
    }
    let now = rustix::thread::capabilities(None);
    let kept = now.map(|now| now.permitted.intersection(kept)).unwrap_or(kept);
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    if let Err(errno) = set_capabilities(None, sets) {
        warn!("not confined: fewer capabilities: {errno}");
    }
}

/// For addresses and ARP; and, for each worker, to make it the user nobody in an empty root with locked memory, and to kill it.
const CAPABILITIES: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::IPC_LOCK)
    .union(CapabilitySet::KILL);

/// -1000 would spare the daemon for ever, even if it were what eats the memory.
const OOM_SCORE: i32 = -900;
