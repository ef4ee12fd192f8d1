//! Programs of classic BPF (linux/filter.h), which filter packets and system calls.

use std::os::fd::BorrowedFd;

use rustix::io;

use super::option::set_option;

/// A classic BPF instruction (linux/filter.h).
pub type Instruction = libc::sock_filter;

/// One with its code, how many to jump over if true and if false, and its operand.
pub const fn step(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// Loads the big-endian word at an offset (linux/filter.h).
pub const BPF_LD_W_ABS: u16 = 0x20;

/// Loads the big-endian half word at an offset.
pub const BPF_LD_H_ABS: u16 = 0x28;

/// Loads the byte at an offset.
pub const BPF_LD_B_ABS: u16 = 0x30;

/// Loads the length of the packet.
pub const BPF_LD_W_LEN: u16 = 0x80;

/// Jumps over `jt` instructions if the word equals `k`, over `jf` if not.
pub const BPF_JEQ: u16 = 0x15;

/// The same if the word is that or more.
pub const BPF_JGE: u16 = 0x35;

/// The same if the word and `k` have a bit in common.
pub const BPF_JSET: u16 = 0x45;

/// Keeps `k` bytes of the packet; 0 drops it.
pub const BPF_RET: u16 = 0x06;

/// A program of classic BPF; all of ours are short.
pub type Program = heapless::Vec<Instruction, MAX_PROGRAM>;

/// Ends `program` with a drop unless what `load` finds at `offset` is `value`; else it goes on.
pub fn require(program: &mut Program, load: u16, offset: u32, value: u32) {
    let step = [step(load, 0, 0, offset), step(BPF_JEQ, 1, 0, value), step(BPF_RET, 0, 0, 0)];
    assert!(program.extend_from_slice(&step).is_ok(), "programs are short");
}

/// Ends `program`: the second of `answers` if the word at `offset` is one of `words`, else the first.
pub fn answer_any(program: &mut Program, offset: u32, words: &[u32], answers: [u32; 2]) {
    jump_if_any(program, offset, words, 1);
    for answer in answers {
        assert!(program.push(step(BPF_RET, 0, 0, answer)).is_ok(), "programs are short");
    }
}

/// Goes on in `program` if the word at `offset` is none of `words`, else `by` instructions later.
pub fn jump_if_any(program: &mut Program, offset: u32, words: &[u32], by: usize) {
    let mut push = |instruction| assert!(program.push(instruction).is_ok(), "programs are short");
    push(step(BPF_LD_W_ABS, 0, 0, offset));
    let last = words.len() + by - 1;
    for (position, &word) in words.iter().enumerate() {
        push(step(BPF_JEQ, u8::try_from(last - position).expect("programs are short"), 0, word));
    }
}

/// Lets the kernel drop what `program` drops (SO_ATTACH_FILTER).
pub fn attach_filter(fd: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    with_filter(program, |filter| set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, filter))
}

/// As the kernel wants a program: a length and a pointer.
pub(super) fn with_filter<T>(program: &[Instruction], use_it: impl FnOnce(&libc::sock_fprog) -> T) -> T {
    let len = u16::try_from(program.len()).expect("programs are short");
    use_it(&libc::sock_fprog { len, filter: program.as_ptr().cast_mut() })
}

const MAX_PROGRAM: usize = 80;
