//! Instructions that no processor executes (sigaction(2)): a panic is one in a program that has no words for it.
//!
//! Each processor has one for this purpose; the kernel makes SIGILL of it on x86, 32-bit ARM and RISC-V, SIGTRAP on 64-bit ARM,
//! MIPS and POWER.

use std::ffi::{c_int, c_void};

use super::once::Once;
use super::process::exit;
use super::signals;

/// From now on `report` gets to know where in this program such an instruction is, in bytes from the beginning of its image, and
/// ends the process.
pub fn on_trap(report: fn(usize) -> !) {
    if REPORT.set(report).is_err() {
        return;
    }
    for signal in [libc::SIGILL, libc::SIGTRAP] {
        // Without it a panic ends the process too, by the signal.
        let _ = signals::handle(signal, handle);
    }
}

static REPORT: Once<fn(usize) -> !> = Once::new();

/// What it does may do anything that the interrupted code may: that has reached its end.
extern "C" fn handle(signal: c_int, info: *const libc::siginfo_t, context: *const c_void) -> ! {
    // SAFETY: both are those that the kernel has just handed over.
    let offset = offset(unsafe { place(info, context) });
    match offset.zip(REPORT.get()) {
        Some((offset, report)) => report(offset),
        // Another process has sent it, so that the place is none. As a shell says it.
        None => exit(128 + signal),
    }
}

/// Where in this program an address is, if it is there.
fn offset(address: usize) -> Option<usize> {
    unsafe extern "C" {
        // By the linker: the first byte of this program in memory, and the first after its code.
        static __ehdr_start: u8;
        static etext: u8;
    }
    let [image, end] = [&raw const __ehdr_start, &raw const etext].map(<*const u8>::addr);
    (image..end).contains(&address).then(|| address - image)
}

/// The address of the instruction.
///
/// # Safety
/// The caller has got these pointers as a handler of SIGILL or SIGTRAP.
#[cfg(not(target_arch = "mips"))]
unsafe fn place(info: *const libc::siginfo_t, _: *const c_void) -> usize {
    // SAFETY: of a signal that another process has sent it is another number.
    unsafe { (*info).si_addr().addr() }
}

/// The same. Linux for MIPS does not say it with the signal, but where it has interrupted the program.
///
/// # Safety
/// As above.
#[cfg(target_arch = "mips")]
unsafe fn place(_: *const libc::siginfo_t, context: *const c_void) -> usize {
    /// The beginning of struct ucontext with sc_pc of struct sigcontext (asm/ucontext.h, asm/sigcontext.h).
    #[repr(C)]
    struct Context {
        flags: u32,
        link: u32,
        stack: [u32; 3],
        padding: u32,
        used_registers: u32,
        status: u32,
        pc: u64,
    }
    // SAFETY: the kernel has filled it in.
    usize::try_from(unsafe { (*context.cast::<Context>()).pc }).unwrap_or(0)
}

/// What a panic is in such a program.
#[cfg(all(test, target_arch = "x86_64"))]
#[inline(never)]
pub fn trap() -> ! {
    // SAFETY: all that the instruction does is the signal.
    unsafe { std::arch::asm!("ud2", options(noreturn)) }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, WaitOptions, getpid, kill_process, waitpid};

    use super::*;
    use crate::linux::process::fork;

    /// How a process with such a report ends that does `deed`: its exit code, or the signal.
    fn end_of(report: fn(usize) -> !, deed: fn()) -> (Option<i32>, Option<i32>) {
        let Some(pid) = fork().unwrap() else {
            on_trap(report);
            deed();
            exit(0)
        };
        let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().expect("it waits");
        (status.exit_status(), status.terminating_signal())
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn its_place_is_that_of_the_instruction() {
        fn is_there(at: usize) -> ! {
            let start = offset(trap as *const () as usize).unwrap();
            exit(i32::from(!(start..start + 16).contains(&at)))
        }
        assert_eq!(end_of(is_there, || trap()), (Some(0), None));
    }

    #[test]
    fn the_signal_of_another_process_has_no_place() {
        let signal = || kill_process(getpid(), Signal::ILL).unwrap();
        assert_eq!(end_of(|_| exit(1), signal), (Some(128 + libc::SIGILL), None));
    }
}
