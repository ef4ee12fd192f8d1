//! `ha check`: whether a configuration is good, and good for this machine.

use crate::commands::{Command, Failure, terminal};
use crate::keeper::fence::{self, Flaw};
use crate::linux::name::Name;
use crate::linux::netlink::Requests;
use crate::settings::given::Given;
use crate::settings::options::DECLARED;
use crate::settings::{DEFAULT_FILE, Fencing, Settings, place};
use crate::text::{Endpoint, Listed, Text, text};

pub const COMMAND: Command = Command {
    name: "check",
    about: "Says what is wrong with a configuration, or what the daemon would do with it; changes nothing.",
    takes: DECLARED,
    explains: "config\nfile\nconfiguration file (default: /etc/ha.conf)\n\
               [<options of run>]\n\nwith them it says which lines of the file they override\n",
    notes: "

Exit codes:
  1 The configuration is good, but an interface of this machine cannot have the addresses, or there is no fence, which is required.
  2 The configuration is wrong.",
    run,
};

/// Says what is wrong, or what the daemon would do with these settings. Where the kernel can be asked, says also what of this machine
/// does not suit them.
fn run(mut given: Given) -> Result<(), Failure> {
    let config = given.take("config");
    let expected_file = given.0.is_empty().then_some(DEFAULT_FILE);
    let settings = Settings::load(config.or(expected_file), &given.0).map_err(Failure::Refused)?;
    if let Ok(mut requests) = Requests::open()
        && let Some(obstacle) = place::obstacle(&settings, &mut requests)
    {
        return Err(Failure::Failed(obstacle));
    }
    let fence = fence::try_out(&settings);
    if let Err(flaw) = fence
        && settings.daemon.fence() == Fencing::Required
        && !flaw.is_of_this_user()
    {
        return Err(Failure::Failed(text!("fence required: {flaw}")));
    }
    terminal::say(&summary(&settings, !given.0.is_empty(), fence));
    Ok(())
}

/// One line for what the daemon would do; each warning and each note in a line of its own.
fn summary(settings: &Settings, has_options: bool, fence: Result<Text, Flaw>) -> String {
    let config = &settings.config;
    let source = match (settings.file, has_options) {
        (Some(file), false) => file,
        (Some(file), true) => text!("{file} with these options"),
        (None, _) => "this command line",
    };
    let from = settings.origin.map_or("", |origin| text!(" (from {origin})"));
    let mut places = String::new();
    for (link, name) in (0..).zip(&settings.links) {
        let and = if link > 0 { " and " } else { "" };
        places += match &config.on_link(link)[..] {
            [] => text!("heartbeats on {name}"),
            here => text!("{and}{}{from} on {}", Listed(here), place_of(settings, name)),
        };
    }
    let fence = match fence {
        Ok(fence) => fence,
        Err(Flaw::Off) => "no fence",
        Err(flaw) => text!("no fence ({flaw})"),
    };
    let lease = match config.lease() {
        Some(lease) => text!("lease {}s", lease.secs()),
        None => "no lease",
    };
    let key = if settings.daemon.key_file().is_some() { "a secret key" } else { "no key" };
    let mut summary = format!(
        "{source} is good: {places}, group {} at {}, worthiness {}, interval {}, tolerance {}, {fence}, {lease}, {key}",
        config.group(),
        Endpoint(settings.daemon.multicast()),
        config.worthiness(),
        config.interval(),
        config.tolerance(),
    );
    let warnings = settings.warning.iter().map(|warning| format!("\nwarning: {warning}"));
    let notes = settings.notes.iter().map(|note| format!("\nnote: {note}"));
    summary.extend(warnings.chain(notes));
    summary
}

/// Where the shared addresses of the interface called `name` will be.
fn place_of(settings: &Settings, name: Text) -> Text {
    let &Settings { alias, device, .. } = settings;
    match (device, Name::new(name.as_bytes())) {
        (Some(device), _) => text!("{device}, which is up only then, real address on {name}"),
        (None, Some(kernels)) => text!("{name} as {}", kernels.label(alias)),
        (None, None) => text!("{name} as its alias {alias}"),
    }
}
