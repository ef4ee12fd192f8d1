//! Memory that a process shares with the copies that it makes of itself (mmap(2)).

use std::ptr;
use std::sync::atomic::AtomicU32;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// Numbers, zero at first, that this process and its later copies all see; where there is no such memory each has its own.
pub fn numbers() -> &'static [AtomicU32; 2] {
    static OWN: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
    let len = size_of_val(&OWN);
    // SAFETY: the kernel chooses where, so that nothing else is there; it stays as long as the program runs, begins with a page
    // and is at least as long as said. Zeros are valid numbers, and atomic ones may be shared.
    unsafe {
        mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)
            .map_or(&OWN, |at| &*at.cast::<[AtomicU32; 2]>())
    }
}
