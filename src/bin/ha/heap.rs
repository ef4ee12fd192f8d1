//! Memory for what is allocated: a fixed block, handed out from its beginning.
//!
//! Like a stack of plates: what was put on top last can be taken away or grow, all else stays where it is for as long as the
//! program runs. That suits a program which allocates while it starts, and is a tenth of a C library's heap. Pages that
//! nothing was put on cost nothing.
//!
//! `unsafe`, for one reason: an allocator hands out addresses.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::{Cell, UnsafeCell};
use std::ptr;

use crate::{linux, log};

#[cfg_attr(not(test), global_allocator)] // tests have threads
static HEAP: Heap<SIZE> = Heap::new();

/// Bytes in use.
pub fn used() -> usize {
    HEAP.used.get()
}

/// What is in use are the first bytes of the block.
#[repr(align(16))]
struct Heap<const SIZE: usize> {
    block: UnsafeCell<[u8; SIZE]>,
    used: Cell<usize>,
    /// The most that ever were: what follows is still zero.
    most: Cell<usize>,
}

// SAFETY: the program has one thread.
unsafe impl<const SIZE: usize> Sync for Heap<SIZE> {}

impl<const SIZE: usize> Heap<SIZE> {
    const fn new() -> Self {
        Self { block: UnsafeCell::new([0; SIZE]), used: Cell::new(0), most: Cell::new(0) }
    }

    /// Where the block begins; its bytes are reached through this only.
    fn base(&self) -> *mut u8 {
        self.block.get().cast()
    }

    /// Whether what lies there is on top.
    fn is_last(&self, at: *mut u8, size: usize) -> bool {
        at.addr() - self.base().addr() + size == self.used.get()
    }

    /// Makes room for `layout` after the first `used` bytes.
    fn put(&self, layout: Layout, used: usize) -> *mut u8 {
        let base = self.base();
        let start = (base.addr() + used).next_multiple_of(layout.align()) - base.addr();
        match start.checked_add(layout.size()) {
            Some(end) if end <= SIZE => {
                self.used.set(end);
                self.most.set(self.most.get().max(end));
                base.wrapping_add(start)
            }
            _ => exhausted(),
        }
    }
}

// SAFETY: blocks lie within `block`, aligned, and do not overlap: each starts where `used` ended, and `used` goes back only to
// where the last one starts, when that is given back or moves on.
unsafe impl<const SIZE: usize> GlobalAlloc for Heap<SIZE> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.put(layout, self.used.get())
    }

    /// Writes zeros only where something was: pages that nobody has used stay unused.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let most = self.most.get();
        let at = self.put(layout, self.used.get());
        let used_before = most.saturating_sub(at.addr() - self.base().addr()).min(layout.size());
        // SAFETY: no more than there is room for.
        unsafe { ptr::write_bytes(at, 0, used_before) };
        at
    }

    #[inline(never)] // else it is in each of a dozen places that give something back
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if self.is_last(at, layout.size()) {
            self.used.set(at.addr() - self.base().addr());
        }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let is_last = self.is_last(at, layout.size());
        if !is_last && size <= layout.size() {
            return at;
        }
        let used = if is_last { at.addr() - self.base().addr() } else { self.used.get() };
        // SAFETY: the caller promises a size that makes a layout.
        let new = self.put(unsafe { Layout::from_size_align_unchecked(size, layout.align()) }, used);
        if new != at {
            // SAFETY: both have that many bytes, and the new one starts after all that is in use.
            unsafe { ptr::copy_nonoverlapping(at, new, layout.size()) };
        }
        new
    }
}

/// Only what the user wrote can be so much.
#[cold]
fn exhausted() -> ! {
    log::last_line(format_args!("out of memory: expected less than 3 MiB of arguments, or a shorter configuration"));
    linux::process::exit(2)
}

/// For two of the longest texts that [`file::read`] reads, and some arguments.
const SIZE: usize = 3 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: Layout = Layout::new::<u64>();

    /// The offsets of its blocks show what a heap of 64 bytes does.
    fn offset(heap: &Heap<64>, at: *mut u8) -> usize {
        at.addr() - heap.base().addr()
    }

    #[test]
    fn blocks_are_aligned_and_lie_one_after_the_other() {
        let heap = Heap::<64>::new();
        let sizes = [(1, 1), (8, 8), (1, 1), (2, 2), (16, 16), (0, 1)];
        // SAFETY: no layout is larger than the heap; nothing is read or written.
        let offsets = sizes
            .map(|(size, align)| unsafe { offset(&heap, heap.alloc(Layout::from_size_align(size, align).unwrap())) });
        assert_eq!(offsets, [0, 8, 16, 18, 32, 48]);
        assert_eq!(heap.used.get(), 48);
    }

    #[test]
    fn the_last_block_is_given_back_and_grows_where_it_is() {
        let heap = Heap::<64>::new();
        // SAFETY: blocks are used as what they were allocated.
        unsafe {
            let first = heap.alloc(WORD);
            let last = heap.alloc(WORD);
            assert_eq!(heap.realloc(last, WORD, 56), last);
            assert_eq!(heap.used.get(), 64);
            assert_eq!(heap.realloc(last, Layout::array::<u64>(7).unwrap(), 8), last);
            heap.dealloc(first, WORD);
            assert_eq!(heap.used.get(), 16, "it is not the last");
            heap.dealloc(last, WORD);
            assert_eq!((heap.used.get(), offset(&heap, heap.alloc(WORD))), (8, 8));
        }
    }

    #[test]
    fn what_grows_below_another_block_moves_with_its_bytes() {
        let heap = Heap::<64>::new();
        // SAFETY: blocks are used as what they were allocated.
        unsafe {
            let first = heap.alloc(WORD);
            first.cast::<u64>().write(0x0102_0304_0506_0708);
            let other = heap.alloc(WORD);
            assert_eq!(heap.realloc(first, WORD, 4), first, "less is no reason to move");
            let moved = heap.realloc(first, WORD, 16);
            assert_eq!((offset(&heap, other), offset(&heap, moved)), (8, 16));
            assert_eq!(moved.cast::<u64>().read(), 0x0102_0304_0506_0708);
        }
    }
    #[test]
    fn what_was_used_before_is_zero_when_zeros_are_asked_for() {
        let heap = Heap::<64>::new();
        // SAFETY: blocks are used as what they were allocated.
        unsafe {
            let first = heap.alloc(WORD);
            first.cast::<u64>().write(u64::MAX);
            heap.dealloc(first, WORD);
            let zeros = heap.alloc_zeroed(Layout::array::<u64>(4).unwrap());
            assert_eq!((offset(&heap, zeros), zeros.cast::<[u64; 4]>().read()), (0, [0; 4]));
        }
    }
}
