//! What a worker sends when its keeper dies (PR_SET_PDEATHSIG, prctl(2)): the kernel interrupts it whatever it is doing, also when it
//! waits for an answer that will never come, or does not get out of a loop.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use ha::node::BURST;
use ha::wire::LEN;
use rustix::io;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::once::Once;
use super::process::exit;
use super::{signals, udp};

/// Prepares [`say`], to this group, for the death of the parent.
pub fn prepare(group: SocketAddr) -> io::Result<()> {
    let _ = GROUP.set(group);
    signals::handle(PARENT_DIED.as_raw(), end)
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
    let (Some(Word(word)), Some(&group), 0..) = (WORDS.get(chosen), GROUP.get(), socket) else { return };
    // SAFETY: no word is written while one is chosen, but the other one. The socket is open until `use_socket` says otherwise.
    let (word, socket) = unsafe { (&*word.get(), BorrowedFd::borrow_raw(socket)) };
    for _ in 0..BURST {
        let _ = udp::send_to(socket, word, group); // there is nobody to tell
    }
}

extern "C" fn end(_: c_int, _: *const libc::siginfo_t, _: *const c_void) -> ! {
    say();
    exit(0)
}

struct Word(UnsafeCell<[u8; LEN]>);

// SAFETY: the process has one thread; `set` says what is read when.
unsafe impl Sync for Word {}

static WORDS: [Word; 2] = [const { Word(UnsafeCell::new([0; LEN])) }; 2];
static CHOSEN: AtomicUsize = AtomicUsize::new(NONE);
static SOCKET: AtomicI32 = AtomicI32::new(-1);
static GROUP: Once<SocketAddr> = Once::new();

/// None of [`WORDS`].
const NONE: usize = 2;

/// Nobody else sends it, and it is none of those that the keeper blocks. Without a handler it ends the process.
const PARENT_DIED: Signal = Signal::POWER;
