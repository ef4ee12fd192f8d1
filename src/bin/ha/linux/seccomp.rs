//! Which system calls this process may still make (seccomp(2)).

use std::ptr;

use rustix::io;

use super::bpf::{BPF_JEQ, BPF_LD_W_ABS, BPF_RET, Program, answer_any, step, with_filter};
use super::check_long;

/// Decides about a system call by one of its arguments.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its number.
    pub call: libc::c_long,
    /// Which argument, from 0.
    pub argument: u32,
    /// If the lower 32 bits of the argument are this, the rule decides.
    pub value: u32,
    /// What it decides.
    pub is_allowed: bool,
}

/// Ends this process at every system call but those that a rule, the first that decides, or the list allows, from now on and
/// for ever (seccomp(2)).
pub fn allow_only(rules: &[Rule], calls: &[libc::c_long]) -> io::Result<()> {
    let (no, yes) = (libc::SECCOMP_RET_KILL_PROCESS, libc::SECCOMP_RET_ALLOW);
    let number = |call: libc::c_long| u32::try_from(call).expect("calls have small numbers");
    let mut program = Program::new();
    let mut push = |instruction| assert!(program.push(instruction).is_ok(), "programs are short");
    for instruction in
        [step(BPF_LD_W_ABS, 0, 0, SECCOMP_DATA_ARCH), step(BPF_JEQ, 1, 0, AUDIT_ARCH), step(BPF_RET, 0, 0, no)]
    {
        push(instruction);
    }
    for rule in rules {
        push(step(BPF_LD_W_ABS, 0, 0, SECCOMP_DATA_NR));
        push(step(BPF_JEQ, 0, 3, number(rule.call)));
        push(step(BPF_LD_W_ABS, 0, 0, SECCOMP_DATA_ARGUMENTS + 8 * rule.argument));
        push(step(BPF_JEQ, 0, 1, rule.value));
        push(step(BPF_RET, 0, 0, if rule.is_allowed { yes } else { no }));
    }
    let calls: heapless::Vec<u32, 16> = calls.iter().map(|&call| number(call)).collect();
    answer_any(&mut program, SECCOMP_DATA_NR, &calls, [no, yes]);
    with_filter(&program, |filter| {
        // SAFETY: the kernel copies the program, which outlives the call.
        check_long(unsafe {
            libc::syscall(libc::SYS_prctl, libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, ptr::from_ref(filter))
        })
        .map(drop)
    })
}

/// Offsets in struct seccomp_data (linux/seccomp.h).
const SECCOMP_DATA_NR: u32 = 0;

const SECCOMP_DATA_ARCH: u32 = 4;

/// The lower half of the first argument.
const SECCOMP_DATA_ARGUMENTS: u32 = if cfg!(target_endian = "little") { 16 } else { 20 };

/// Whose calls these are: linux/audit.h and linux/elf-em.h, with the bits for 64 bits and little-endian.
const AUDIT_ARCH: u32 = {
    let machine = if cfg!(target_arch = "x86_64") {
        62
    } else if cfg!(target_arch = "aarch64") {
        183
    } else if cfg!(target_arch = "arm") {
        40
    } else if cfg!(target_arch = "riscv64") {
        243
    } else if cfg!(target_arch = "powerpc64") {
        21
    } else if cfg!(target_arch = "mips") {
        8
    } else {
        0
    };
    let is_64 = if cfg!(target_pointer_width = "64") { 0x8000_0000 } else { 0 };
    let is_little_endian = if cfg!(target_endian = "little") { 0x4000_0000 } else { 0 };
    machine | is_64 | is_little_endian
};
