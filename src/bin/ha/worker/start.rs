//! How the copy of the keeper with all its privileges becomes a worker with none.

use std::os::fd::RawFd;

use ha::hash::hash;
use ha::node::Node;
use ha::wire::Seal;
use rustix::rand::{GetRandomFlags, getrandom};

use super::{Worker, sandbox};
use crate::channel::Channel;
use crate::linux::{self, clock, inherited};
use crate::log as lines;
use crate::log::{error, warn};
use crate::settings::Settings;
use crate::settings::keys;
use crate::text::Refusal;

/// Runs a worker in this process, which the keeper has made for it, and ends the process.
pub fn run(settings: &Settings, channel: Channel) -> ! {
    lines::set_pid();
    let code = match prepare(settings, channel) {
        Ok(worker) => i32::from(worker.run().is_err()),
        Err(refusal) => {
            error!("worker cannot start: {refusal}");
            1
        }
    };
    linux::process::exit(code)
}

fn prepare(settings: &Settings, channel: Channel) -> Result<&'static mut Worker, Refusal> {
    let ([number, replies], log): (_, Option<RawFd>) = (channel.descriptors(), lines::descriptor());
    linux::process::close_all_but([Some(number), Some(replies), log]);
    let worker = make_worker(settings, channel)?;
    // A node is large, and was made there before it came to its place, all of it.
    linux::memory::give_back_unused_stack();
    linux::memory::give_back(worker.node.unused());
    inherited::give_back_oom_score();
    if settings.daemon.realtime() {
        // The keeper has logged why, if it could not either.
        let _ = linux::memory::lock();
        let _ = linux::process::set_realtime(linux::process::WORKER_PRIORITY);
    }
    if let Err(errno) = linux::last_word::prepare(settings.daemon.multicast()) {
        warn!("handle the keeper's death: {errno}; it is silence to the others");
    }
    sandbox::confine_worker(settings.daemon.user(), number, log);
    Ok(worker)
}

/// Makes a worker with its keys. A function of its own, so that its stack is free when it returns.
#[inline(never)]
fn make_worker(settings: &Settings, channel: Channel) -> Result<&'static mut Worker, Refusal> {
    let seed = make_seed();
    let context = settings.context();
    let node = Node::new(settings.config.clone(), Seal::public(context), seed, clock::now());
    // Never freed: it may not ask the kernel for that.
    let worker = Box::leak(Box::new(Worker::new(node, channel, settings)));
    // Read by each worker for itself: the keeper has no key that could leak. Not before the node is where it stays, so that
    // no copy of what signs is left where it was.
    keys::wiped(|| keys::seal(settings.daemon.key_file(), context).map(|seal| worker.use_seal(seal)))?;
    Ok(worker)
}

/// Makes a number that no other boot has, of this machine or another one. It need not be secret (docs/protocol.md).
///
/// It does not wait: a machine without a random number generator may gather randomness for seconds, or for ever.
fn make_seed() -> u64 {
    let mut bytes = [0; 8];
    let Err(errno) = getrandom(&mut bytes, GetRandomFlags::NONBLOCK) else { return u64::from_ne_bytes(bytes) };
    warn!("getrandom: {errno}; the boot id comes from what the kernel has gathered so far");
    // Since Linux 5.6; an older kernel has put as much as it had into this program when it was started.
    let _ = getrandom(&mut bytes, GetRandomFlags::INSECURE);
    let now = clock::now().as_micros().to_ne_bytes();
    let id = std::process::id().to_ne_bytes();
    u64::from_be_bytes(hash(&[&bytes[..], &linux::start::start_bytes(), &now, &id]))
}
