//! Memory of this process: pages that never go to a disk, that its copies share, that the stack gives back (mlock(2), mmap(2),
//! madvise(2)).

use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::AtomicU32;

use rustix::io;
use rustix::mm::{Advice, MapFlags, MlockAllFlags, ProtFlags, madvise, mlockall, mmap_anonymous};

/// Keeps all memory of this process from being swapped out, what it gets later included: heartbeats must not wait for a disk.
pub fn lock() -> io::Result<()> {
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
}

/// Numbers, zero at first, that this process and its later copies all see; where there is no such memory each has its own.
pub fn shared_numbers() -> &'static [AtomicU32; 2] {
    static OWN: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
    let len = size_of_val(&OWN);
    // SAFETY: the kernel chooses where, so that nothing else is there; it stays as long as the program runs, begins with a page
    // and is at least as long as said. Zeros are valid numbers, and atomic ones may be shared.
    unsafe {
        mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)
            .map_or(&OWN, |at| &*at.cast::<[AtomicU32; 2]>())
    }
}

/// Gives the pages back that the stack has used and does not use now; they are empty when they are used again.
///
/// Not after mlockall(2): the kernel keeps what is locked.
#[inline(never)]
pub fn give_back_unused_stack() {
    let page = page_len();
    let here = 0u8;
    let end = (ptr::from_ref(&here).addr() & !(page - 1)).saturating_sub(page);
    let start = end.saturating_sub(LEN);
    // SAFETY: the stack grows downwards, and a page below this frame nothing of it is in use. There is nothing else: the kernel
    // keeps megabytes free for it (RLIMIT_STACK), and what is not mapped is passed over.
    let _ = unsafe { madvise(ptr::with_exposed_provenance_mut(start), end - start, Advice::LinuxDontNeed) };
}

/// Gives the pages back in which there is nothing but `unused`: whatever was copied to there with the rest.
///
/// Not after mlockall(2), either.
pub fn give_back<T>(unused: &mut [MaybeUninit<T>]) {
    let page = page_len();
    let Range { start, end } = unused.as_mut_ptr_range();
    let start = start.map_addr(|start| start.next_multiple_of(page));
    let end = end.addr() & !(page - 1);
    if start.addr() < end {
        // SAFETY: what is not initialized may become zero, and nothing else is in these pages.
        let _ = unsafe { madvise(start.cast(), end - start.addr(), Advice::LinuxDontNeed) };
    }
}

fn page_len() -> usize {
    // SAFETY: it reads what the kernel has put there at the start.
    usize::try_from(unsafe { libc::getauxval(libc::AT_PAGESZ) }).unwrap_or(LEN).max(1)
}

/// As much of the stack as is mapped from the start on.
const LEN: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_whole_pages_of_what_is_unused() {
        const PAGE: usize = 4096;
        let mut table = Box::new(heapless::Vec::<u8, { 16 * PAGE }>::new());
        table.extend([7; 100]);
        for byte in table.spare_capacity_mut() {
            byte.write(9);
        }
        give_back(table.spare_capacity_mut());
        assert!(table.iter().all(|&byte| byte == 7));
        // SAFETY: each was written, and is zero if its page was given back.
        let given_back = table.spare_capacity_mut().iter().filter(|byte| unsafe { byte.assume_init() } == 0).count();
        assert!(given_back >= 14 * PAGE || page_len() > PAGE, "{given_back}");
    }
}
