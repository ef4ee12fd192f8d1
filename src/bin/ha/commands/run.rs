//! `ha run`: the daemon.

use crate::commands::Failure;
use crate::keeper::Keeper;
use crate::linux::inherited;
use crate::log::{info, warn};
use crate::settings::Settings;
use crate::settings::given::Run;
use crate::{log, worker};

impl Run {
    /// Runs the daemon until a signal or an error ends it.
    pub fn run(&self) -> Result<(), Failure> {
        let settings = Settings::load(self.config, &self.given).map_err(Failure::Refused)?;
        log::start(settings.daemon.log_level(), settings.daemon.syslog());
        warn_of_risks(&settings);
        Keeper::open(settings, worker::run).and_then(Keeper::run).map_err(|error| {
            log::line_to_syslog(::log::Level::Error, format_args!("{error}"));
            Failure::Failed(error)
        })
    }
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
