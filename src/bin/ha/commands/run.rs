//! `ha run`: the daemon.

use argh::FromArgs;
use ha::lease::Lease;

use crate::commands::Failure;
use crate::keeper::Keeper;
use crate::log::{info, warn};
use crate::settings::Settings;
use crate::settings::given::{Word, value_of};
use crate::text::{Refusal, Text, text};
use crate::{inherited, log};

/// The daemon, in the foreground. SIGTERM or SIGINT: remove the address, tell the others, exit. SIGUSR1: status to the log.
/// SIGHUP: reads the key file again.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "run",
    note = "Every option can stand in the configuration file, one per line, as `name = value` without dashes;\nswitches take yes or no, `#` starts a comment, quotes may stand around a value. Each stands there\nonce, but for address. The command line wins; `ha check` with the same options says over what. Times: 1s, 350ms, 3.5s.",
    example = "{command_name} --interface eth0 --address 192.168.1.100/24",
    error_code(1, "The system refused: missing privileges, for instance."),
    error_code(2, "The command line or the configuration is wrong; nothing was changed.")
)]
pub struct Run {
    /// configuration file (default: /etc/ha.conf if it exists)
    #[argh(option, arg_name = "file")]
    pub config: Option<Word>,
    /// interface with the real address, by its name or an alternative one; it may appear later
    #[argh(option, arg_name = "name")]
    interface: Option<Word>,
    /// a shared address, such as 192.168.1.100/24; repeatable, any subnet, the same on all nodes (default: what `iface eth0:1
    /// inet static` says in /etc/network/interfaces, for the name that --shared gives)
    #[argh(option, arg_name = "cidr")]
    address: Vec<Word>,
    /// label of the shared addresses, an alias of the interface (default: its name with :1); or another device on the same LAN,
    /// such as eth1, which has them, is up only then, and is brought down at start
    #[argh(option, arg_name = "name")]
    shared: Option<Word>,
    /// number of the group, 1 to 255, the same on all nodes (default: 1)
    #[argh(option, arg_name = "n")]
    group: Option<Word>,
    /// where heartbeats go (default: 239.2.3.4:5555)
    #[argh(option, arg_name = "address:port")]
    multicast: Option<Word>,
    /// higher hosts the address; 0 never does; at equal worthiness the lowest real address (default: 100)
    #[argh(option, arg_name = "n")]
    worthiness: Option<Word>,
    /// time between two heartbeats (default: 1s)
    #[argh(option, arg_name = "time")]
    interval: Option<Word>,
    /// silence after which a node counts as dead, more than the interval (default: 3.5s)
    #[argh(option, arg_name = "time")]
    tolerance: Option<Word>,
    /// time to be up before claiming the address from a less worthy node (default: the tolerance)
    #[argh(option, arg_name = "time")]
    preempt_delay: Option<Word>,
    /// time that a link may be deaf after it came up (default: 10s)
    #[argh(option, arg_name = "time")]
    link_delay: Option<Word>,
    /// time between two gratuitous ARPs at rest (default: 60s)
    #[argh(option, arg_name = "time")]
    announce_interval: Option<Word>,
    /// ARP frames a second in the long run; switches shut a port at 15 (default: 10)
    #[argh(option, arg_name = "n")]
    announce_rate: Option<Word>,
    /// what to do if nobody is heard and somebody answers for the address by ARP: hold (leave it alone until nobody does any
    /// more) or take (default: hold)
    #[argh(option, arg_name = "take|hold")]
    on_conflict: Option<Word>,
    /// keep the address when a more worthy node comes
    #[argh(switch)]
    sticky: u8,
    /// have the address only while so many nodes live, this one included: in a partition, more than half (default: 0, off)
    #[argh(option, arg_name = "n")]
    quorum: Option<Word>,
    /// file with a secret key, as `ha keygen` makes it, the same on all nodes, readable by its owner only and changed by root
    /// only; up to four, one per line: the first signs, all are accepted; SIGHUP reads it again
    #[argh(option, arg_name = "file")]
    key_file: Option<Word>,
    /// program that runs after the address came or was put back, with arguments; it and its directories may be changed by root only
    #[argh(option, arg_name = "path")]
    on_active: Option<Word>,
    /// program that runs when this node is ready to take over
    #[argh(option, arg_name = "path")]
    on_standby: Option<Word>,
    /// program that runs when this node cannot host
    #[argh(option, arg_name = "path")]
    on_unfit: Option<Word>,
    /// program that runs when the daemon leaves
    #[argh(option, arg_name = "path")]
    on_shutdown: Option<Word>,
    /// program that runs before the address comes, for 200ms at most
    #[argh(option, arg_name = "path")]
    before_active: Option<Word>,
    /// time after which another program of these is killed (default: 10s)
    #[argh(option, arg_name = "time")]
    child_timeout: Option<Word>,
    /// device that restarts the machine unless this daemon is well, such as /dev/watchdog
    #[argh(option, arg_name = "device")]
    watchdog: Option<Word>,
    /// user that the process which hears the network runs as (default: nobody)
    #[argh(option, arg_name = "name")]
    user: Option<Word>,
    /// do not let the kernel remove the address of a dead or frozen daemon
    #[argh(switch)]
    no_lease: u8,
    /// run as an ordinary process, without SCHED_FIFO and locked memory
    #[argh(switch)]
    no_realtime: u8,
    /// off, error, warn, info, debug or trace (default: info)
    #[argh(option, arg_name = "level")]
    log_level: Option<Word>,
    /// log to /dev/log instead of standard error
    #[argh(switch)]
    syslog: u8,
}

impl Run {
    fn settings(&self) -> Result<Settings, Refusal> {
        Settings::load(value_of(self.config), &self.given()?)
    }

    /// Runs the daemon until a signal or an error ends it.
    pub fn run(&self) -> Result<(), Failure> {
        let settings = self.settings().map_err(Failure::Refused)?;
        log::start(settings.log_level, settings.syslog);
        warn_of_risks(&settings);
        Keeper::open(settings).and_then(Keeper::run).map_err(|error| {
            log::line_to_syslog(::log::Level::Error, format_args!("{error}"));
            Failure::Failed(error)
        })
    }

    /// The options with their values; argh has refused most of those that are given twice.
    pub fn given(&self) -> Result<Vec<(Text, Text)>, Refusal> {
        let options = [
            ("interface", self.interface),
            ("shared", self.shared),
            ("group", self.group),
            ("multicast", self.multicast),
            ("quorum", self.quorum),
            ("user", self.user),
            ("worthiness", self.worthiness),
            ("interval", self.interval),
            ("tolerance", self.tolerance),
            ("preempt-delay", self.preempt_delay),
            ("link-delay", self.link_delay),
            ("announce-interval", self.announce_interval),
            ("announce-rate", self.announce_rate),
            ("on-conflict", self.on_conflict),
            ("key-file", self.key_file),
            ("on-active", self.on_active),
            ("on-standby", self.on_standby),
            ("on-unfit", self.on_unfit),
            ("on-shutdown", self.on_shutdown),
            ("before-active", self.before_active),
            ("child-timeout", self.child_timeout),
            ("watchdog", self.watchdog),
            ("log-level", self.log_level),
        ];
        let switches = [
            ("sticky", self.sticky),
            ("no-lease", self.no_lease),
            ("no-realtime", self.no_realtime),
            ("syslog", self.syslog),
        ];
        let mut given = Vec::new();
        for (name, word) in options {
            given.extend(word.map(|Word(value)| (name, value)));
        }
        for (name, times) in switches {
            match times {
                0 => {}
                1 => given.push((name, "yes")),
                _ => return Err(text!("--{name}: given {times} times; expected once")),
            }
        }
        given.extend(self.address.iter().map(|Word(value)| ("address", *value)));
        Ok(given)
    }
}

/// Says, before the daemon begins, what makes it less safe than it could be.
fn warn_of_risks(settings: &Settings) {
    let config = &settings.config;
    if config.lease().is_some_and(Lease::is_late) {
        warn!(
            "tolerance {} is below 2s: the kernel's lease ends too late to fence a daemon that was killed or frozen",
            config.tolerance()
        );
    }
    if let Some(limits) = inherited::low_limits() {
        warn!("limits too low: {limits}");
    }
    if let Some(caution) = settings.caution {
        warn!("{caution}");
    }
    for note in &settings.notes {
        info!("{note}");
    }
}
