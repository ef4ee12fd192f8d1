//! One kernel interface per file, and the only wing with `unsafe`, beside heap.rs.
//!
//! What rustix does not have is called here. Each function but [`start::begin`] is safe to call with any argument: lengths come
//! from the types, pointers from references that outlive the call, and what the kernel wrote is read only after it said so.

use rustix::io::{self, Errno};

pub mod bpf;
pub mod capabilities;
pub mod clock;
pub mod clsact;
pub mod datagram;
pub mod ebpf;
pub mod file;
pub mod icmp6;
pub mod inherited;
pub mod last_word;
pub mod memory;
pub mod name;
pub mod netfilter;
pub mod netlink;
pub mod octets;
pub mod once;
pub mod option;
pub mod packet;
pub mod poll;
pub mod process;
#[cfg(any(test, own_start))]
mod relocate;
pub mod seccomp;
pub mod signals;
pub mod start;
#[cfg(any(test, panic = "immediate-abort"))]
pub mod trap;
pub mod udp;
pub mod unix;
pub mod watchdog;

fn last_errno() -> Errno {
    // SAFETY: the C library keeps it there as long as the thread runs.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

fn check(done: i32) -> io::Result<i32> {
    if done < 0 { Err(last_errno()) } else { Ok(done) }
}

fn check_long(done: libc::c_long) -> io::Result<i32> {
    check(i32::try_from(done).unwrap_or(-1))
}

/// The calls that know 64-bit time.
#[cfg(target_pointer_width = "64")]
pub use libc::{SYS_clock_gettime as CLOCK_GETTIME_64, SYS_ppoll as PPOLL_64};
#[cfg(target_pointer_width = "32")]
mod time_64 {
    use linux_raw_sys::general::{__NR_clock_gettime64, __NR_ppoll_time64};

    pub const CLOCK_GETTIME_64: libc::c_long = __NR_clock_gettime64.cast_signed();
    pub const PPOLL_64: libc::c_long = __NR_ppoll_time64.cast_signed();
}
#[cfg(target_pointer_width = "32")]
pub use time_64::{CLOCK_GETTIME_64, PPOLL_64};

#[cfg(any(target_arch = "arm", target_arch = "mips", target_arch = "powerpc64"))]
pub use libc::{SYS_recv as RECV, SYS_send as SEND};
/// What rustix and some C libraries call where no address is given: ARM, MIPS and POWER have calls without one, all others
/// have those with one only.
#[cfg(not(any(target_arch = "arm", target_arch = "mips", target_arch = "powerpc64")))]
pub use libc::{SYS_recvfrom as RECV, SYS_sendto as SEND};

/// Where rustix makes no system calls of its own it looks for functions of the C library by name. A static program has no names to
/// find; musl says so in 20 KB, and only to callers that are position-independent.
///
/// For little-endian MIPS it has calls of its own (rustix_use_experimental_asm), which must stay off: they do not say that the
/// kernel changes `$1`, `hi` and `lo` (musl's syscall_arch.h does), so that what is kept there is lost (rustix 1.1.6).
#[cfg(all(target_arch = "mips", target_env = "musl"))]
#[unsafe(no_mangle)]
extern "C" fn dlsym(_library: *mut libc::c_void, _name: *const libc::c_char) -> *mut libc::c_void {
    std::ptr::null_mut()
}
