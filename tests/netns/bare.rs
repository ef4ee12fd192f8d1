//! A machine on which nothing is there yet but the program and its configuration: no /proc, /sys, /dev, /run, /tmp, no
//! users, and nothing can be written.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::daemon::Daemon;
use crate::lan::{Lan, Namespace, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};
use crate::program;

tests![on_a_bare_machine_it_does_all_that_counts, without_standard_descriptors_no_socket_gets_their_numbers,];

/// Becomes the daemon in a root directory of its own, in memory, that can only be read. A program that is not static
/// gets the libraries that its interpreter asks for.
const BARE: &str = r#"
    exec 3<"$0"
    mount -t tmpfs -o mode=755 bare /mnt
    cd /mnt
    cat <&3 >ha
    chmod 755 ha
    exec 3<&-
    for library in $(ldd ha 2>/dev/null | grep -o '/[^ )]*'); do
        mkdir -p ".${library%/*}"
        cp "$library" ".$library"
    done
    printf 'interface = eth0\naddress = 10.0.0.100/24\ninterval = 100ms\ntolerance = 350ms\nlink-delay = 0s\n' >ha.conf
    (umask 077 && echo 5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a >key)
    mount -o remount,ro bare /mnt
    exec chroot /mnt /ha run --config /ha.conf --key-file /key"#;

/// The shell reads `more` behind the command: options, redirections.
fn bare(host: &Namespace, more: &str) -> Command {
    let mut command = host.command("unshare");
    command.args(["-m", "sh", "-ec", &format!("{BARE} {more}"), &program()]);
    command
}

fn on_a_bare_machine_it_does_all_that_counts() {
    let lan = Lan::new();
    let mut daemon = Daemon::spawn(bare(&lan.a, "--syslog --on-active /ha"));
    daemon.says("warning: syslog: connect to /dev/log: No such file or directory (os error 2); lines go to standard error until");
    daemon.says("out-of-memory score -900 is not set: No such file or directory");
    daemon.says("warning: not confined: empty root directory: /.ha-");
    daemon.says("standby: listening as 10.0.0.11");
    daemon.says("active: ");
    daemon.says("ha: unexpected INSTANCE"); // the only program here is no hook, but is run as one
    assert!(lan.a.has(SHARED_CIDR));
    let names = fs::read_dir(format!("/proc/{}/root", daemon.pid())).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| ["ha", "ha.conf", "key", "lib", "lib64", "usr"].iter().all(|&known| name != known));
    assert!(names.is_empty(), "there is more: {names:?}");
    // It survives its worker, which has to read the key again, and reads keys anew.
    daemon.signal_worker(Signal::KILL);
    daemon.says("error: worker dropped: it died; addresses released");
    daemon.says("active: no active node"); // `on-active: exit status 2` is another line
    daemon.signal(Signal::HUP);
    daemon.says("keys read again");
    let known = [
        "syslog: connect to",
        "tolerance 350ms",
        "not confined: empty root",
        "worker ended: signal 9",
        "on-active: exit status 2",
    ];
    for line in daemon.log().lines().filter(|line| line.starts_with("warning: ")) {
        assert!(known.iter().any(|&known| line.contains(known)), "{line}");
    }
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    assert!(!lan.a.has(SHARED_CIDR));
}

fn without_standard_descriptors_no_socket_gets_their_numbers() {
    let lan = Lan::new();
    let daemon = Daemon::spawn(bare(&lan.a, "<&- >&- 2>&-"));
    eventually("it has the address", PATIENCE, || lan.a.has(SHARED_CIDR));
    for (pid, numbers) in [(daemon.pid(), 0..3), (daemon.worker(), 2..3)] {
        for number in numbers {
            let what = fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
            assert_eq!(what.to_str(), Some("anon_inode:[eventpoll]"), "{number} of {pid}");
        }
    }
    // Something to say, and nobody to hear it.
    daemon.signal(Signal::USR1);
    daemon.signal_worker(Signal::KILL);
    eventually("the address goes", PATIENCE, || !lan.a.has(SHARED_CIDR));
    eventually("and comes back", PATIENCE, || lan.a.has(SHARED_CIDR));
}
