//! Waiting for several descriptors (ppoll(2)).

use std::ptr;

use rustix::io::{self, Errno};

use super::{PPOLL_64, check_long};

/// Waits for `limit_us` microseconds at most until one of `fds` is ready (ppoll(2)). A system call of its own: where `long` has
/// 32 bits a kernel may have the call with 64-bit time only, or the older one only, and musl does not try both.
pub fn poll(fds: &mut [libc::pollfd], limit_us: Option<u64>) -> io::Result<()> {
    let long = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let limit = limit_us.map(|us| [long(us / 1_000_000), long(us % 1_000_000 * 1_000)]);
    match poll_by(PPOLL_64, fds, limit) {
        Err(Errno::NOSYS) if cfg!(target_pointer_width = "32") => {
            let short = |number: i64| libc::c_long::try_from(number).unwrap_or(libc::c_long::MAX);
            poll_by(libc::SYS_ppoll, fds, limit.map(|limit| limit.map(short)))
        }
        outcome => outcome,
    }
}

fn poll_by<T>(call: libc::c_long, fds: &mut [libc::pollfd], mut limit: Option<[T; 2]>) -> io::Result<()> {
    let limit = limit.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    let no_signals = ptr::null::<libc::sigset_t>();
    // SAFETY: the kernel writes into as many structures as the slice has, and into the limit, of the type that the call
    // wants, during the call only.
    let done = unsafe { libc::syscall(call, fds.as_mut_ptr(), fds.len(), limit, no_signals, 0usize) };
    check_long(done).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::clock::boot_time_us;

    #[test]
    fn a_limit_of_50_ms_is_waited_out() {
        let before = boot_time_us();
        poll(&mut [], Some(50_000)).unwrap();
        let waited = boot_time_us() - before;
        assert!((50_000..10_000_000).contains(&waited), "{waited} us");
    }
}
