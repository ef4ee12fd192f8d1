//! The stack of this process (madvise(2)).

use std::ptr;

use rustix::mm::{Advice, madvise};

/// Gives the pages back that the stack has used and does not use now; they are empty when they are used again.
///
/// Not after mlockall(2): the kernel keeps what is locked.
#[inline(never)]
pub fn give_back_unused() {
    // SAFETY: it reads what the kernel has put there at the start.
    let page = usize::try_from(unsafe { libc::getauxval(libc::AT_PAGESZ) }).unwrap_or(LEN).max(1);
    let here = 0u8;
    let end = (ptr::from_ref(&here).addr() & !(page - 1)).saturating_sub(page);
    let start = end.saturating_sub(LEN);
    // SAFETY: the stack grows downwards, and a page below this frame nothing of it is in use. There is nothing else: the kernel
    // keeps megabytes free for it (RLIMIT_STACK), and what is not mapped is passed over.
    let _ = unsafe { madvise(ptr::with_exposed_provenance_mut(start), end - start, Advice::LinuxDontNeed) };
}

/// As much as is mapped from the start on.
const LEN: usize = 128 * 1024;
