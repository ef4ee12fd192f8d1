//! Programs of eBPF (bpf(2), linux/bpf.h, RFC 9669), and a number that they share with this process.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap};

use super::check_long;

#[cfg(test)]
pub mod machine;

/// A number of 64 bits, zero at first. It is there as long as this process or a program that uses it.
#[derive(Debug)]
pub struct Number {
    map: OwnedFd,
    /// Where this process sees it; copies of this process do not.
    halves: &'static [AtomicU32; 2],
}

impl Number {
    /// Makes one: a map with one element (BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE; Linux 5.5).
    pub fn new(name: &CStr) -> io::Result<Self> {
        let [kind, key_len, len, count, flags] = [2, 4, 8, 1, 1 << 10];
        let attributes = MapAttributes { kind, key_len, len, count, flags, inner: 0, node: 0, name: in_16(name) };
        let map = bpf(MAP_CREATE, &attributes)?;
        // SAFETY: the kernel chooses where, so that nothing else is there; it stays as long as the program runs, begins with a page,
        // and is as long as said. Any bytes are valid numbers, and atomic ones may be changed by others.
        let halves = unsafe {
            let at = mmap(ptr::null_mut(), 8, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &map, 0)?;
            madvise(at, 8, Advice::LinuxDontFork)?;
            &*at.cast::<[AtomicU32; 2]>()
        };
        Ok(Self { map, halves })
    }

    /// One of which no kernel knows.
    #[cfg(test)]
    pub fn of_tests() -> Self {
        static HALVES: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
        let map = rustix::fs::open("/dev/null", rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty()).unwrap();
        Self { map, halves: &HALVES }
    }

    /// Sets it, one half after the other.
    pub fn set(&self, number: u64) {
        let [a, b, c, d, e, f, g, h] = number.to_ne_bytes();
        for (half, bytes) in self.halves.iter().zip([[a, b, c, d], [e, f, g, h]]) {
            half.store(u32::from_ne_bytes(bytes), Ordering::Relaxed);
        }
    }
}

/// An instruction (struct bpf_insn).
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A program that the compiler writes, of `LEN` instructions; what is known only later is in slots. Its jumps lead forward, to a label that is set later.
#[derive(Debug)]
pub struct Text<const LEN: usize, const SLOTS: usize> {
    instructions: [Instruction; LEN],
    len: usize,
    /// Jumps whose labels are not set: which instruction, and the same as offsets are counted.
    jumps: [Option<(usize, i16, Label)>; LEN],
    here: i16,
    slots: [i16; SLOTS],
}

/// A place in a program.
#[derive(Debug, Clone, Copy)]
pub struct Label(pub u8);

/// A constant of a program that is known only later.
#[derive(Debug, Clone, Copy)]
pub struct Slot(pub usize);

/// A program, and where its slots are.
#[derive(Debug, Clone, Copy)]
pub struct Program<const LEN: usize, const SLOTS: usize> {
    instructions: [Instruction; LEN],
    slots: [i16; SLOTS],
}

/// Registers: what a call returns, its arguments, which it forgets, those that it keeps, and the end of the stack.
pub const R0: u8 = 0;
pub const R1: u8 = 1;
pub const R2: u8 = 2;
pub const R3: u8 = 3;
pub const R4: u8 = 4;
pub const R6: u8 = 6;
pub const R7: u8 = 7;
pub const R8: u8 = 8;
pub const STACK: u8 = 10;

/// What is compared with a constant: 32 bits.
pub const JEQ: u8 = 0x16;
pub const JNE: u8 = 0x56;

/// How many bytes are loaded.
pub const BYTE: u8 = 0x71;
pub const HALF: u8 = 0x69;
pub const WORD: u8 = 0x61;
pub const DOUBLE: u8 = 0x79;

impl<const LEN: usize, const SLOTS: usize> Text<LEN, SLOTS> {
    /// An empty one.
    pub const fn new() -> Self {
        let nothing = Instruction { code: 0, registers: 0, offset: 0, immediate: 0 };
        Self { instructions: [nothing; LEN], len: 0, jumps: [None; LEN], here: 0, slots: [0; SLOTS] }
    }

    const fn push(&mut self, code: u8, to: u8, from: u8, offset: i16, immediate: i32) {
        let registers = if cfg!(target_endian = "big") { to << 4 | from } else { from << 4 | to };
        self.instructions[self.len] = Instruction { code, registers, offset, immediate };
        self.len += 1;
        self.here += 1;
    }

    /// The constant of the next instruction is in this slot.
    pub const fn slot(&mut self, slot: Slot) {
        self.slots[slot.0] = self.here;
    }

    /// `to = from`
    pub const fn copy(&mut self, to: u8, from: u8) {
        self.push(0xbf, to, from, 0, 0);
    }

    /// `to = number`, with its sign
    pub const fn set(&mut self, to: u8, number: i32) {
        self.push(0xb7, to, 0, 0, number);
    }

    /// `to += number`, with its sign
    pub const fn add(&mut self, to: u8, number: i32) {
        self.push(0x07, to, 0, 0, number);
    }

    /// `to += from`
    pub const fn add_register(&mut self, to: u8, from: u8) {
        self.push(0x0f, to, from, 0, 0);
    }

    /// `to &= number`
    pub const fn and(&mut self, to: u8, number: i32) {
        self.push(0x57, to, 0, 0, number);
    }

    /// `to <<= bits`
    pub const fn shift_left(&mut self, to: u8, bits: i32) {
        self.push(0x67, to, 0, 0, bits);
    }

    /// `to = number`, whose lower and upper half are in slots
    pub const fn set_wide(&mut self, to: u8, [low, high]: [Slot; 2]) {
        self.slot(low);
        self.push(0x18, to, 0, 0, 0);
        self.slot(high);
        self.push(0, 0, 0, 0, 0);
    }

    /// `to = address of the number` whose map is in a slot (BPF_PSEUDO_MAP_VALUE; Linux 5.2)
    pub const fn address_of(&mut self, to: u8, map: Slot) {
        self.slot(map);
        self.push(0x18, to, 2, 0, 0);
        self.push(0, 0, 0, 0, 0);
    }

    /// `to = bytes at from + offset`
    pub const fn load(&mut self, width: u8, to: u8, from: u8, offset: i16) {
        self.push(width, to, from, offset, 0);
    }

    /// `8 bytes at to = from`
    pub const fn store(&mut self, to: u8, from: u8) {
        self.push(0x7b, to, from, 0, 0);
    }

    /// `8 bytes at to = 0`
    pub const fn store_zero(&mut self, to: u8) {
        self.push(0x7a, to, 0, 0, 0);
    }

    /// Calls a function of the kernel.
    pub const fn call(&mut self, function: i32) {
        self.push(0x85, 0, 0, 0, function);
    }

    /// Goes on at the label.
    pub const fn jump(&mut self, label: Label) {
        self.push_jump(0x05, 0, 0, 0, label);
    }

    /// Goes on at the label if the lower 32 bits of `left` compare so with `right`.
    pub const fn jump_if(&mut self, code: u8, left: u8, right: u32, label: Label) {
        self.push_jump(code, left, 0, right.cast_signed(), label);
    }

    /// Goes on at the label if `left` is greater than `right`.
    pub const fn jump_if_greater(&mut self, left: u8, right: u8, label: Label) {
        self.push_jump(0x2d, left, right, 0, label);
    }

    const fn push_jump(&mut self, code: u8, to: u8, from: u8, immediate: i32, label: Label) {
        self.jumps[self.len] = Some((self.len, self.here, label));
        self.push(code, to, from, 0, immediate);
    }

    /// The label is here.
    pub const fn label(&mut self, label: Label) {
        let mut number = 0;
        while number < self.len {
            if let Some((at, place, Label(to))) = self.jumps[number]
                && to == label.0
            {
                self.instructions[at].offset = self.here - place - 1;
                self.jumps[number] = None;
            }
            number += 1;
        }
    }

    /// Ends with `number`.
    pub const fn exit(&mut self, number: i32) {
        self.set(R0, number);
        self.push(0x95, 0, 0, 0, 0);
    }

    /// All of it is written, and each label is set.
    pub const fn finish(self) -> Program<LEN, SLOTS> {
        assert!(self.len == LEN, "its length is another one");
        let mut number = 0;
        while number < LEN {
            assert!(self.jumps[number].is_none(), "a label is missing");
            number += 1;
        }
        Program { instructions: self.instructions, slots: self.slots }
    }
}

impl<const LEN: usize, const SLOTS: usize> Program<LEN, SLOTS> {
    /// Fills a slot.
    pub fn fill(&mut self, slot: Slot, constant: u32) {
        self.instruction(slot).immediate = constant.cast_signed();
    }

    /// The jump with this slot leads to the next instruction in any case.
    pub fn leave_out(&mut self, slot: Slot) {
        self.instruction(slot).offset = 0;
    }

    fn instruction(&mut self, Slot(number): Slot) -> &mut Instruction {
        &mut self.instructions[usize::try_from(self.slots[number]).expect("they are counted from zero")]
    }

    /// Fills two with a number.
    pub fn fill_wide(&mut self, [low, high]: [Slot; 2], number: u64) {
        let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
        self.fill(low, u32::from_le_bytes([a, b, c, d]));
        self.fill(high, u32::from_le_bytes([e, f, g, h]));
    }

    /// Fills one with the map of a number.
    pub fn fill_map(&mut self, slot: Slot, number: &Number) {
        self.fill(slot, number.map.as_raw_fd().cast_unsigned());
    }

    /// Has the kernel check it, as a program for packets (BPF_PROG_TYPE_SCHED_CLS).
    pub fn load_into_kernel(&self, name: &CStr) -> io::Result<OwnedFd> {
        let address = |at: *const u8| u64::try_from(at.expose_provenance()).expect("addresses have 64 bits at most");
        bpf(
            PROG_LOAD,
            &ProgramAttributes {
                kind: 3,
                count: u32::try_from(LEN).expect("programs are short"),
                instructions: address(self.instructions.as_ptr().cast()),
                license: address(c"MIT".as_ptr().cast()),
                log: [0; 4],
                kernel: 0,
                flags: 0,
                name: in_16(name),
            },
        )
    }
}

/// Of union bpf_attr. Neither has gaps.
#[repr(C)]
struct MapAttributes {
    kind: u32,
    key_len: u32,
    len: u32,
    count: u32,
    flags: u32,
    inner: u32,
    node: u32,
    name: [u8; 16],
}

#[repr(C)]
struct ProgramAttributes {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    /// How much it shall say, and where; all zero: nothing.
    log: [u32; 4],
    kernel: u32,
    flags: u32,
    name: [u8; 16],
}

/// A name of at most 15 characters, as the kernel keeps it.
fn in_16(name: &CStr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..name.count_bytes()].copy_from_slice(name.to_bytes());
    bytes
}

/// `attributes` is one of the two above, whose addresses are of what outlives the call. What they make is closed when a program is
/// executed.
fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads the structure and what it refers to during the call only, and returns a descriptor that is ours alone.
    unsafe {
        let done = libc::syscall(libc::SYS_bpf, command, ptr::from_ref(attributes), size_of::<T>());
        Ok(OwnedFd::from_raw_fd(check_long(done)?))
    }
}

const MAP_CREATE: libc::c_long = 0;
const PROG_LOAD: libc::c_long = 5;
