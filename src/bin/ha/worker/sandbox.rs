//! What the worker gives up before it meets the network.
//!
//! The log names a step that this kernel or these privileges do not allow, and the worker starts all the same.

use std::fmt::Display;
use std::os::fd::RawFd;

use rustix::fs::{Mode, mkdir, rmdir};
use rustix::process::{Gid, Uid, chdir, chroot};
use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use crate::linux::capabilities::drop_bounding_set;
use crate::linux::seccomp::Rule;
use crate::linux::{self, file};
use crate::log::{self, warn};
use crate::settings::User;
use crate::text::{Text, text};

/// Gives up what the worker never needs: files, other processes, privileges, and all but a few system calls. Of what is open
/// it keeps `channel` and `syslog`, if there is one beside standard error.
pub fn confine_worker(user: User, channel: RawFd, syslog: Option<RawFd>) {
    drop_privileges(user);
    note("system calls", linux::seccomp::allow_only(&worker_rules(channel, syslog.unwrap_or(channel)), WORKER_CALLS));
}

/// What holds where the kernel has no filter for system calls, too.
fn drop_privileges(user: User) {
    note("empty root directory", enter_nowhere());
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let is_root = rustix::process::geteuid().is_root();
    drop_bounding_set(CapabilitySet::empty());
    if is_root {
        let change = set_thread_groups(&[])
            .and_then(|()| set_thread_res_gid(gid, gid, gid))
            .and_then(|()| set_thread_res_uid(uid, uid, uid));
        note("user", change);
    }
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    note("no capabilities", set_capabilities(None, none));
    note("no new privileges", set_no_new_privs(true));
    // Last, since the kernel forgets it when the user changes (prctl(2)). If the keeper has died before, the end of the channel
    // shows it.
    note("bound to the keeper's life", linux::last_word::bind_to_parent());
}

/// A root directory with nothing in it, where nothing can be made: it is deleted before it is entered.
fn enter_nowhere() -> Result<(), Text> {
    let mut refusal = "";
    for parent in ["/run", "/tmp", "/dev/shm", ""] {
        let path = text!("{parent}/.ha-{}", std::process::id());
        let name = file::name(path).expect("it has no NUL");
        if let Err(errno) = mkdir(&*name, Mode::from_raw_mode(0o755)) {
            refusal = text!("{path}: {errno}");
            continue;
        }
        let inside = chdir(&*name);
        let removed = rmdir(&*name);
        let entered = inside.and_then(|()| chroot(c".")).and_then(|()| chdir(c"/"));
        return entered.and(removed).map_err(|errno| text!("{errno}"));
    }
    Err(refusal)
}

fn note(step: &str, outcome: Result<(), impl Display>) {
    if let Err(error) = outcome {
        warn!("not confined: {step}: {error}");
    }
}

/// What the worker asks of the kernel once it runs.
///
/// | call | for |
/// |---|---|
/// | ppoll | waiting; writing to the log without waiting |
/// | recvmsg | packets of the group, news of the keeper |
/// | recvfrom, recv | ARP that claims our addresses, keys |
/// | sendto, send | packets to the group, orders to the keeper, lines to a standard error that is a socket, see [`worker_rules`] |
/// | write | lines to standard error or to syslog, and nowhere else |
/// | close | sockets of an interface that is gone |
/// | clock_gettime | where the kernel has no faster way |
/// | exit_group | the end |
const WORKER_CALLS: &[libc::c_long] = &[
    libc::SYS_ppoll,
    linux::PPOLL_64,
    libc::SYS_recvmsg,
    libc::SYS_recvfrom,
    linux::RECV,
    libc::SYS_close,
    // std looks before it closes, in a build with assertions.
    #[cfg(debug_assertions)]
    libc::SYS_fcntl,
    libc::SYS_clock_gettime,
    linux::CLOCK_GETTIME_64,
    libc::SYS_exit_group,
];

/// The socket that hears ARP could send any frame to any interface. A packet socket sends what comes without an address, or
/// with one longer than that of UDP: neither is allowed but to the keeper and to the log. These stay
/// open, so that no socket that comes later gets their numbers.
fn worker_rules(channel: RawFd, syslog: RawFd) -> [Rule; 11] {
    let rule =
        |call, argument, value: i32, is_allowed| Rule { call, argument, value: value.cast_unsigned(), is_allowed };
    let (descriptor, address, address_len) = (0, 4, 5);
    let spoken = if log::is_sent() { libc::STDERR_FILENO } else { channel };
    [
        rule(libc::SYS_sendto, descriptor, channel, true),
        rule(libc::SYS_sendto, descriptor, spoken, true),
        rule(libc::SYS_sendto, address, 0, false),
        rule(libc::SYS_sendto, address_len, SOCKADDR_IN_LEN, true),
        rule(linux::SEND, descriptor, channel, true),
        rule(linux::SEND, descriptor, spoken, true),
        rule(libc::SYS_write, descriptor, libc::STDERR_FILENO, true),
        rule(libc::SYS_write, descriptor, syslog, true),
        rule(libc::SYS_close, descriptor, libc::STDERR_FILENO, false),
        rule(libc::SYS_close, descriptor, channel, false),
        rule(libc::SYS_close, descriptor, syslog, false),
    ]
}

/// sizeof(struct sockaddr_in), ip(7); that of packet(7) has 20 bytes.
const SOCKADDR_IN_LEN: i32 = 16;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::{Ipv6Addr, SocketAddrV6};
    use std::os::fd::{AsFd, AsRawFd};

    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    use rustix::process::{Signal, WaitOptions, waitpid};

    use super::*;
    use crate::channel::{Channel, News};
    use crate::linux::udp::GroupSocket;

    /// How a confined process that does `deed` ends: its exit code, or the signal.
    fn end_of(deed: impl FnOnce() -> i32) -> (Option<i32>, Option<i32>) {
        end_with(NO_CHANNEL, deed)
    }

    /// The same, of one with a channel.
    fn end_with(channel: RawFd, deed: impl FnOnce() -> i32) -> (Option<i32>, Option<i32>) {
        match linux::process::fork().unwrap() {
            Some(pid) => {
                let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().expect("it waits");
                (status.exit_status(), status.terminating_signal())
            }
            None => {
                confine_worker(User { uid: NOBODY, gid: NOBODY }, channel, None);
                linux::process::exit(deed())
            }
        }
    }

    const NOBODY: u32 = 65_534;
    const NO_CHANNEL: RawFd = 1_000;
    const BAD_CALL: (Option<i32>, Option<i32>) = (None, Some(Signal::SYS.as_raw()));

    fn done<T>(outcome: Result<T, Errno>) -> i32 {
        i32::from(outcome.is_err())
    }

    #[test]
    fn a_confined_process_can_do_its_work() {
        let (ours, theirs) = Channel::pair().unwrap();
        let channel = theirs.as_fd().as_raw_fd();
        let _ = crate::linux::clock::now(); // the first call looks for the kernel's faster way
        let deed = move || {
            let _ = crate::linux::clock::now();
            let sent = done(theirs.send(&News::Lost, &[]));
            std::mem::forget(theirs); // it may not close it
            sent
        };
        assert_eq!(end_with(channel, deed), (Some(0), None));
        assert_eq!(ours.receive::<News>(false).unwrap().message, News::Lost);
    }

    /// The line of a confined process that panics in `deed`; it ends by itself.
    fn line_of_panic(deed: fn()) -> String {
        let (reader, writer) = std::io::pipe().unwrap();
        match linux::process::fork().unwrap() {
            Some(pid) => {
                let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().expect("it waits");
                assert_eq!(status.exit_status(), Some(101), "{:?}", status.terminating_signal());
            }
            None => {
                crate::log::panic::log_place();
                linux::trap::on_trap(crate::log::panic::log_offset);
                rustix::stdio::dup2_stderr(&writer).unwrap();
                confine_worker(User { uid: NOBODY, gid: NOBODY }, NO_CHANNEL, None);
                deed();
                linux::process::exit(0)
            }
        }
        drop(writer);
        let said = file::read(reader).unwrap();
        said.lines().find(|line| line.contains("panic at")).unwrap().to_owned()
    }

    #[test]
    fn a_confined_process_logs_where_it_panics_and_ends_by_itself() {
        let said = line_of_panic(|| panic!("on purpose\nerror: not another line"));
        assert!(said.starts_with("ha: panic at src/bin/ha/worker/sandbox.rs:"), "{said}");
        assert!(said.ends_with(": on purpose?error: not another line"), "{said}");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_confined_process_without_words_for_a_panic_logs_where_it_is_and_ends_by_itself() {
        let said = line_of_panic(|| linux::trap::trap());
        assert!(said.starts_with("ha: panic at +0x"), "{said}");
        assert!(said.ends_with(concat!(" of ha ", env!("CARGO_PKG_VERSION"), " (x86_64): report this line")), "{said}");
    }

    #[test]
    fn a_confined_process_can_neither_open_nor_change_nor_start_anything() {
        let open = || done(rustix::fs::open("/", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()));
        assert_eq!(end_of(open), BAD_CALL, "a file");
        for family in [AddressFamily::PACKET, AddressFamily::NETLINK, AddressFamily::INET, AddressFamily::UNIX] {
            let socket = move || done(rustix::net::socket_with(family, SocketType::RAW, SocketFlags::empty(), None));
            assert_eq!(end_of(socket), BAD_CALL, "a socket {family:?}");
        }
        assert_eq!(end_of(|| done(linux::process::fork())), BAD_CALL, "a process");
        assert_eq!(end_of(|| done(rustix::process::kill_process(rustix::process::getpid(), Signal::KILL))), BAD_CALL);
        assert_eq!(end_of(|| done(rustix::process::chroot("/"))), BAD_CALL);
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
        let bind = || done(linux::option::bind_to_device(socket.as_fd(), b"lo"));
        assert_eq!(end_of(bind), BAD_CALL, "an option of a socket");
    }

    /// As if the kernel had none.
    #[test]
    #[ignore = "only root has privileges to give up"]
    fn without_the_filter_it_has_no_files_and_no_privileges_either() {
        let is = |outcome: rustix::io::Result<()>, expected: &[Errno]| {
            i32::from(!outcome.is_err_and(|errno| expected.contains(&errno)))
        };
        let open = |path, flags| rustix::fs::open(path, flags, rustix::fs::Mode::RUSR).map(drop);
        let socket = |family, kind| rustix::net::socket_with(family, kind, SocketFlags::empty(), None).map(drop);
        let mut requests = crate::linux::netlink::Requests::open().unwrap();
        let parent = rustix::process::getpid();
        match linux::process::fork().unwrap() {
            Some(pid) => {
                let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().expect("it waits");
                assert_eq!(status.exit_status(), Some(0), "a bit for each thing that it could do");
            }
            None => {
                drop_privileges(User { uid: NOBODY, gid: NOBODY });
                let deeds = [
                    is(open("/etc/passwd", rustix::fs::OFlags::RDONLY), &[Errno::NOENT]),
                    is(
                        open("/new", rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY),
                        &[Errno::ACCESS, Errno::NOENT],
                    ),
                    is(socket(AddressFamily::PACKET, SocketType::RAW), &[Errno::PERM]),
                    is(socket(AddressFamily::INET, SocketType::RAW), &[Errno::PERM, Errno::PROTONOSUPPORT]),
                    is(requests.may_change_addresses(), &[Errno::PERM]),
                    is(rustix::process::kill_process(parent, Signal::USR1), &[Errno::PERM]),
                    is(rustix::process::chroot("/"), &[Errno::PERM]),
                ];
                linux::process::exit(deeds.iter().rev().fold(0, |bits, deed| bits << 1 | deed))
            }
        }
    }

    /// It is open when the process is confined, or comes later.
    #[test]
    #[ignore = "only root may open a packet socket"]
    fn a_confined_process_cannot_send_frames_by_the_socket_that_hears_them() {
        let kinds = (AddressFamily::PACKET, SocketType::RAW);
        let socket = rustix::net::socket_with(kinds.0, kinds.1, SocketFlags::empty(), None).unwrap();
        linux::packet::bind_packet(socket.as_fd(), 1, 0).unwrap();
        let frame = [0; 64];
        assert!(linux::packet::send_frame(socket.as_fd(), &frame).is_ok(), "it is such a socket");
        assert_eq!(end_of(|| done(linux::packet::send_frame(socket.as_fd(), &frame))), BAD_CALL, "where it is bound");
        assert_eq!(end_of(|| done(rustix::io::write(&socket, &frame))), BAD_CALL, "as a file");
        let to = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 1);
        let flags = rustix::net::SendFlags::empty();
        let refused = (Some(1), None);
        assert_eq!(end_of(|| done(rustix::net::sendto(&socket, &frame, flags, &to))), refused, "to an address of UDP");
        let (_ours, theirs) = Channel::pair().unwrap();
        let channel = theirs.as_fd().as_raw_fd();
        let close = move || {
            drop(theirs);
            0
        };
        assert_eq!(end_with(channel, close), BAD_CALL, "a number that may send would be free");
    }

    #[test]
    fn a_confined_process_sends_over_ipv6_to_where_a_socket_is_connected_and_nowhere_else() {
        let open = || {
            let socket = rustix::net::socket(AddressFamily::INET6, SocketType::DGRAM, None).unwrap();
            rustix::net::bind(&socket, &SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 0)).unwrap();
            let address = SocketAddrV6::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
            (socket, address)
        };
        let ((receiver, group), (sender, _), (other, _)) = (open(), open(), open());
        rustix::net::connect(&sender, &group).unwrap();
        let packet = [7; ha::wire::LEN];
        let flags = rustix::net::SendFlags::empty();
        assert_eq!(end_of(|| done(rustix::net::sendto(&other, &packet, flags, &group))), BAD_CALL, "to any address");
        let socket = GroupSocket::adopt(other, Some(sender), group.into());
        assert_eq!(end_of(|| done(socket.send(&packet))), (Some(0), None));
        let mut heard = [0; ha::wire::LEN + 1];
        let (_, len) = rustix::net::recv(&receiver, &mut heard[..], rustix::net::RecvFlags::DONTWAIT).unwrap();
        assert_eq!(heard[..len], packet);
    }

    #[test]
    fn nothing_is_left_of_the_empty_root() {
        let Some(pid) = linux::process::fork().unwrap() else {
            confine_worker(User { uid: NOBODY, gid: NOBODY }, NO_CHANNEL, None);
            linux::process::exit(0)
        };
        let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().expect("it waits");
        assert_eq!((status.exit_status(), status.terminating_signal()), (Some(0), None));
        for parent in ["/run", "/tmp", "/dev/shm", ""] {
            let path = format!("{parent}/.ha-{}", pid.as_raw_pid());
            assert!(!fs::exists(&path).unwrap(), "{path}");
        }
    }
}
