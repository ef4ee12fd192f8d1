//! What a worker sends when its keeper dies (PR_SET_PDEATHSIG, prctl(2)): the kernel interrupts it whatever it is doing, also when it
//! waits for an answer that will never come, or does not get out of a loop.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::mem::{self, size_of_val};
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use ha::node::BURST;
use ha::wire::LEN;
use rustix::io;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::check;
use super::process::exit;

/// Prepares [`say`], to this group, for the death of the parent.
pub fn prepare(group: SocketAddrV4) -> io::Result<()> {
    let _ = GROUP.set(libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(libc::AF_INET).expect("it is 2"),
        sin_port: group.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(group.ip().octets()) },
        sin_zero: [0; 8],
    });
    // SAFETY: zero is a valid value of every field; the handler has the type of one without SA_SIGINFO, and does not return.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = end as *const () as usize;
        check(libc::sigaction(PARENT_DIED.as_raw(), &raw const action, ptr::null_mut()))?;
    }
    Ok(())
}

/// From now on the death of the parent ends this process. The kernel forgets it when the user changes (prctl(2)).
pub fn bind_to_parent() -> io::Result<()> {
    set_parent_process_death_signal(Some(PARENT_DIED))
}

/// The last word is this one from now on; with none the process ends in silence.
pub fn set(packet: Option<&[u8; LEN]>) {
    let Some(packet) = packet else { return CHOSEN.store(NONE, Ordering::SeqCst) };
    let next = usize::from(CHOSEN.load(Ordering::SeqCst) == 0);
    // SAFETY: one thread writes, and what interrupts it reads the other one of the two.
    unsafe { *WORDS[next].0.get() = *packet };
    CHOSEN.store(next, Ordering::SeqCst);
}

/// It goes out by this socket from now on; without one not at all.
pub fn use_socket(socket: Option<BorrowedFd<'_>>) {
    SOCKET.store(socket.map_or(-1, |socket| socket.as_raw_fd()), Ordering::SeqCst);
}

/// Sends it, once, as often as a node that leaves does: there is no later for the other packets.
pub fn say() {
    let (chosen, socket) = (CHOSEN.swap(NONE, Ordering::SeqCst), SOCKET.load(Ordering::SeqCst));
    let (Some(Word(word)), Some(group)) = (WORDS.get(chosen), GROUP.get()) else { return };
    for _ in 0..BURST {
        // SAFETY: both are read during the call only, and are as long as said. No word is written while one is chosen, but the
        // other one.
        unsafe {
            let len = libc::socklen_t::try_from(size_of_val(group)).unwrap_or(0);
            libc::sendto(socket, word.get().cast(), LEN, libc::MSG_DONTWAIT, ptr::from_ref(group).cast(), len);
        }
    }
}

extern "C" fn end(_: c_int) {
    say();
    exit(0)
}

struct Word(UnsafeCell<[u8; LEN]>);

// SAFETY: the process has one thread; `set` says what is read when.
unsafe impl Sync for Word {}

static WORDS: [Word; 2] = [const { Word(UnsafeCell::new([0; LEN])) }; 2];
static CHOSEN: AtomicUsize = AtomicUsize::new(NONE);
static SOCKET: AtomicI32 = AtomicI32::new(-1);
static GROUP: OnceLock<libc::sockaddr_in> = OnceLock::new();

/// None of [`WORDS`].
const NONE: usize = 2;

/// Nobody else sends it, and it is none of those that the keeper blocks. Without a handler it ends the process.
const PARENT_DIED: Signal = Signal::POWER;
