//! A panic: where it was, in a line, before the process ends.
//!
//! The program that is built for size has one instruction for each panic, and neither words nor places in the sources, which would
//! be a sixth of it. It logs where that instruction is, and `ci/place` knows what is there.

use crate::{linux, log};

/// From now on a panic logs its place and ends the process at once, which a confined worker may do: what std does instead asks
/// the kernel for signals, and would end in the filter. The keeper sees the exit status.
#[cfg(not(panic = "immediate-abort"))]
pub fn log_place() {
    // An empty closure takes no memory.
    std::panic::set_hook(Box::new(|info| {
        let (file, line) = info.location().map_or(("", 0), |place| (place.file(), place.line()));
        log::last_line(format_args!("panic at {file}:{line}: {}", info.payload_as_str().unwrap_or_default()));
        linux::process::exit(PANICKED)
    }));
}

#[cfg(panic = "immediate-abort")]
pub fn log_place() {
    linux::trap::on_trap(log_offset);
}

/// Logs where in this program the instruction is, and ends the process.
#[cfg(any(test, panic = "immediate-abort"))]
pub fn log_offset(offset: usize) -> ! {
    let (version, processor) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    log::last_line(format_args!("panic at +{offset:#x} of ha {version} ({processor}): report this line"));
    linux::process::exit(PANICKED)
}

/// As of any program in Rust.
const PANICKED: i32 = 101;
