//! A machine that just woke up: its kernel has no randomness yet, and a worker takes long to be born.

use std::collections::HashSet;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::capture::Capture;
use crate::daemon::{Daemon, FAST};
use crate::group::KeyFile;
use crate::lan::{Lan, Namespace, SHARED_CIDR};
use crate::lines::PATIENCE;
use crate::program;

tests![
    without_randomness_it_speaks_at_once_and_each_boot_has_a_number_of_its_own,
    without_randomness_nodes_with_a_key_prove_themselves,
    a_worker_that_takes_long_to_be_born_is_not_taken_for_stalled,
];

/// What getrandom(2) does before the kernel has gathered enough.
#[derive(Debug, Clone, Copy)]
enum Kernel {
    /// Since Linux 5.6 it gives what it has to those who ask for that.
    New,
    /// Before that it does not.
    Old,
}

const SAID: &str = "warning: getrandom: Resource temporarily unavailable (os error 11); the boot id comes from what the \
                    kernel has gathered so far";

/// Whatever the command becomes gets no randomness, and is ended if it waits for some, which may take for ever.
fn starve(kernel: Kernel, command: &mut Command) {
    let number = u32::try_from(libc::SYS_getrandom).expect("a small number");
    let errno = |errno: i32| libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    let insecure = match kernel {
        Kernel::New => libc::SECCOMP_RET_ALLOW,
        Kernel::Old => errno(libc::EINVAL),
    };
    let (load, jump_if, answer) = (0x20, 0x15, 0x06);
    let program = [
        (load, 0, 0, 0),
        (jump_if, 0, 6, number),
        // The flags are the third argument.
        (load, 0, 0, if cfg!(target_endian = "little") { 32 } else { 36 }),
        (jump_if, 0, 1, libc::GRND_NONBLOCK),
        (answer, 0, 0, errno(libc::EAGAIN)),
        (jump_if, 0, 1, libc::GRND_INSECURE),
        (answer, 0, 0, insecure),
        (answer, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        (answer, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let mut program = program.map(|(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k });
    let restrict = move || {
        let filter = libc::sock_fprog { len: 9, filter: program.as_mut_ptr() };
        // SAFETY: the kernel reads the local during the call only.
        let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: it neither allocates nor takes a lock.
    unsafe { command.pre_exec(restrict) };
}

/// A daemon without randomness.
fn starved(host: &Namespace, kernel: Kernel, more: &[&str]) -> Daemon {
    let mut command = host.command(&program());
    command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR]).args(FAST).args(more);
    starve(kernel, &mut command);
    Daemon::spawn(command)
}

fn without_randomness_it_speaks_at_once_and_each_boot_has_a_number_of_its_own() {
    let lan = Lan::new();
    let output = {
        let mut command = lan.a.command(&program());
        starve(Kernel::New, command.arg("keygen"));
        command.output().unwrap()
    };
    assert_eq!(output.status.code(), None, "a key is worth waiting for, and who waits is ended: the test can fail");
    let capture = Capture::start(&lan.b, "udp and src host 10.0.0.11");
    for kernel in [Kernel::New, Kernel::Old] {
        let begun = Instant::now();
        let daemon = starved(&lan.a, kernel, &[]);
        daemon.says(SAID);
        daemon.says("standby: listening");
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}:\n{}", begun.elapsed(), daemon.log());
        daemon.says("active: ");
        // The next worker of the same program.
        daemon.signal_worker(rustix::process::Signal::KILL);
        daemon.says(SAID);
        daemon.says("active: ");
    }
    let boots = |frames: &[crate::capture::Frame]| {
        frames.iter().map(|frame| frame.heartbeat()[44..52].to_vec()).collect::<HashSet<_>>()
    };
    capture.wait("four boots", PATIENCE, |frames| (boots(frames).len() == 4).then_some(()));
}

fn without_randomness_nodes_with_a_key_prove_themselves() {
    let lan = Lan::new();
    let file = KeyFile::new("entropy", "5a");
    let key = ["--key-file", file.path()];
    let b = starved(&lan.b, Kernel::Old, &[&key[..], &["--worthiness", "1"]].concat());
    b.says("active: ");
    let a = starved(&lan.a, Kernel::New, &key);
    a.says("10.0.0.12 heard for the first time");
    a.says("active: 10.0.0.12 handed over");
    for daemon in [&a, &b] {
        assert_eq!(daemon.count(SAID), 1, "{}", daemon.log());
    }
}

/// Only the worker changes its root directory; the tracer makes that a matter of seconds.
fn a_worker_that_takes_long_to_be_born_is_not_taken_for_stalled() {
    let lan = Lan::new();
    let mut command = lan.a.command("strace");
    command.args(["-D", "-f", "-q", "-o", "/dev/null", "-e", "trace=chroot"]);
    command.args(["-e", "inject=chroot:delay_enter=3000000"]).arg(program());
    command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR]).args(FAST);
    let begun = Instant::now();
    let daemon = Daemon::spawn(command);
    daemon.says("active: ");
    assert!(begun.elapsed() > Duration::from_secs(3), "it took no time:\n{}", daemon.log());
    assert_eq!((daemon.count("stalled"), daemon.count("standby: listening")), (0, 1), "{}", daemon.log());
}
