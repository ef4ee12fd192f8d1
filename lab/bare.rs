//! The core in a program without std: see ci/bare.

#![no_std]
#![no_main]

extern crate ha;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
