//! What the C library and the kernel hand to a program when it starts.

use std::ffi::{CStr, c_char};
#[cfg(not(test))]
use std::os::fd::{IntoRawFd, OwnedFd};

#[cfg(not(test))]
use rustix::fs::{Mode, OFlags};

/// Makes `$run` what this program does: a function from its arguments to its exit code.
macro_rules! entry {
    ($run:path) => {
        #[cfg(not(test))]
        #[unsafe(no_mangle)]
        extern "C" fn main(count: ::libc::c_int, words: *const *const ::std::ffi::c_char) -> ::libc::c_int {
            // SAFETY: the C library hands over as many strings as it says, which live as long as the program.
            $run(unsafe { $crate::linux::start::begin(count, words) }).into()
        }
    };
}
pub(crate) use entry;

/// Where the program begins; returns its arguments. What std does before its `main` and is of use here is done here, in a tenth
/// of the code: descriptors 0 to 2 are open, so that no socket gets their numbers, and a reader that has gone is an error and not
/// the end. Nothing that the starting process has set, or forgot to reset, changes what the program does.
///
/// # Safety
/// `words` has `count` strings, which live as long as the program.
#[cfg(not(test))]
pub unsafe fn begin(count: libc::c_int, words: *const *const c_char) -> Vec<&'static str> {
    super::signals::forget_inherited();
    // Before anything is opened: there may be too few descriptors.
    super::inherited::take();
    // SAFETY: constants, and strings as the caller promised.
    let arguments = unsafe {
        for fd in 0..=2 {
            // The lowest free number is given to what is opened. Where there are no devices yet, it is something that
            // takes nothing and gives nothing.
            let is_open = libc::dup2(fd, fd) == fd;
            let null = || rustix::fs::open(c"/dev/null", OFlags::RDWR, Mode::empty()).map(OwnedFd::into_raw_fd);
            if !is_open && null() != Ok(fd) && libc::epoll_create1(0) != fd {
                super::process::exit(1);
            }
        }
        (1..usize::try_from(count).unwrap_or(0)).map(|position| CStr::from_ptr(*words.add(position)))
    };
    arguments.map(|word| word.to_str().unwrap_or("\u{fffd}")).collect()
}

/// A variable of the environment that is text.
pub fn variable(name: &CStr) -> Option<&'static str> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: the list ends with a null pointer; nothing changes it, so that its strings live as long as the program.
    let entry = |place| unsafe { (*environ.add(place)).as_ref().map(|entry| CStr::from_ptr(entry).to_bytes()) };
    let value = |entry: &'static [u8]| entry.strip_prefix(name.to_bytes())?.strip_prefix(b"=");
    (0..).map_while(entry).find_map(value).and_then(|value| str::from_utf8(value).ok())
}

/// What the kernel drew when it started this program, from what it had by then (AT_RANDOM, getauxval(3)).
pub fn start_bytes() -> [u8; 16] {
    // SAFETY: the kernel puts 16 bytes at that address, where they stay; zero says that it did not.
    unsafe { (libc::getauxval(libc::AT_RANDOM) as *const [u8; 16]).as_ref().copied().unwrap_or_default() }
}
