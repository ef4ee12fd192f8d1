//! The first thing that a program does which the kernel loads anywhere: to each pointer in its tables it adds where that is.
//!
//! musl would do that, by a list of 24 bytes a pointer (RELA). In the list that the linker makes by `-z pack-relative-relocs` (RELR,
//! System V ABI, chapter 5) a pointer is one bit, but Debian's musl does not know it: 1.2.3, and the first that does is 1.2.4. So
//! ci/static leaves out musl's first lines, rcrt1.o, and these are there instead. Nobody is called before that could do it, too.

#[cfg(own_start)]
use std::ffi::{c_char, c_int};

/// Where the kernel jumps to. On the stack it has put the number of arguments, and then these (System V ABI for x86-64, 3.4.1),
/// where a function of Rust would not look for them.
#[cfg(own_start)]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    std::arch::naked_asm!(
        "xor ebp, ebp", // no frame is above
        "mov rdi, rsp",
        "lea rsi, [rip + __ehdr_start]",
        "lea rdx, [rip + _DYNAMIC]",
        "and rsp, -16",
        "call {}",
        sym start,
    )
}

/// Makes the pointers good, then does what musl's rcrt1.o does. Until then no table with pointers may be used, which a `match` or a
/// text in several parts can become.
///
/// # Safety
/// `stack` is what the kernel made, `image` where the program is, and `dynamic` what the linker says of it.
#[cfg(own_start)]
unsafe extern "C" fn start(stack: *const usize, image: *mut usize, dynamic: *const [usize; 2]) -> ! {
    unsafe extern "C" {
        fn main(count: c_int, words: *const *const c_char) -> c_int;
        fn __libc_start_main(
            main: unsafe extern "C" fn(c_int, *const *const c_char) -> c_int,
            count: usize,
            words: *const usize,
        ) -> !;
    }
    /// The list's tags in `dynamic`: where it is, and its size in bytes.
    const DT_RELR: usize = 36;
    const DT_RELRSZ: usize = 35;

    // SAFETY: as the caller promised; both have each of the two tags.
    unsafe {
        let value = |wanted| {
            (0..).map(|place| *dynamic.add(place)).find(|[tag, _]| *tag == wanted).map_or(0, |[_, value]| value)
        };
        let list = std::slice::from_raw_parts(image.byte_add(value(DT_RELR)), value(DT_RELRSZ) / size_of::<usize>());
        relocate(image, list);
        __libc_start_main(main, *stack, stack.add(1))
    }
}

/// Adds the address of `image` to each of its words that `list` names: an even entry is the offset of a word, an odd one has, above
/// its lowest bit, a bit for each of the 63 words that follow.
///
/// # Safety
/// `image` has all of these words.
#[cfg(any(test, own_start))]
unsafe fn relocate(image: *mut usize, list: &[usize]) {
    let mut next = image;
    for &entry in list {
        let (words, mut bits) = if entry & 1 == 1 {
            (usize::BITS as usize - 1, entry >> 1)
        } else {
            next = image.wrapping_byte_add(entry);
            (1, 1)
        };
        let mut word = next;
        while bits != 0 {
            if bits & 1 == 1 {
                // SAFETY: the list names it.
                unsafe { *word = (*word).wrapping_add(image.addr()) };
            }
            word = word.wrapping_add(1);
            bits >>= 1;
        }
        next = next.wrapping_add(words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_the_list_names_are_moved_and_no_others() {
        let mut image = [1_usize; 140];
        let moved = image.as_ptr().addr() + 1;
        let list = [2 * 8, 0b101 << 1 | 1, 1 << 63 | 1, 1 << 1 | 1, 130 * 8, 139 * 8];
        // SAFETY: none of the words lies beyond.
        unsafe { relocate(image.as_mut_ptr(), &list) };
        let found: Vec<_> = (0..image.len()).filter(|&place| image[place] == moved).collect();
        // The first bitmap is of the words 3 to 65, the second of 66 to 128, the third of those from 129 on.
        assert_eq!(found, [2, 3, 5, 128, 129, 130, 139]);
        assert_eq!(image.iter().filter(|&&word| word == 1).count(), 140 - 7);
    }
}
