//! `ha run`: the daemon.

use crate::commands::{Command, Failure};
use crate::keeper::Keeper;
use crate::linux::inherited;
use crate::log::{info, warn};
use crate::settings::Settings;
use crate::settings::given::Given;
use crate::settings::options::DECLARED;
use crate::text::Text;
use crate::{log, worker};

pub const COMMAND: Command = Command {
    name: "run",
    about: "Runs the daemon in the foreground. SIGTERM or SIGINT: removes the address, tells the peers, exits. SIGUSR1: writes the \
            status to the log. SIGHUP: reads the key file again.",
    takes: DECLARED,
    explains: DECLARED,
    notes: NOTES,
    run,
};

/// Runs the daemon until a signal or an error ends it.
fn run(mut given: Given) -> Result<(), Failure> {
    let settings = Settings::load(given.take("config"), &given.0).map_err(Failure::Refused)?;
    log::start(settings.daemon.log_level(), settings.daemon.syslog());
    warn_of_risks(&settings);
    Keeper::open(settings, worker::run).and_then(Keeper::run).map_err(|error| {
        log::line_to_syslog(::log::Level::Error, format_args!("{error}"));
        Failure::Failed(error)
    })
}

/// Says, before the daemon begins, what makes it less safe than it could be.
fn warn_of_risks(settings: &Settings) {
    if let Some(limits) = inherited::low_limits() {
        warn!("limits too low: {limits}");
    }
    if let Some(warning) = settings.warning {
        warn!("{warning}");
    }
    for note in &settings.notes {
        info!("{note}");
    }
}

const NOTES: Text = "

Examples:
  ha run --interface eth0 --address 192.168.1.100/24

Notes:
  Every option can stand in the configuration file, one per line, as `name = value` without dashes;
  switches take yes or no, `#` starts a comment, quotes may stand around a value. Each may stand there
  once, address several times. The command line wins; `ha check` with the same options says what it overrides.
  Times: 1s, 350ms, 3.5s.

Error codes:
  1 The system refused: missing privileges, for instance.
  2 The command line or the configuration is wrong; nothing was changed.";
