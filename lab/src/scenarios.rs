//! All scenarios. A new one is a file in `scenarios/` and its line here.

use std::str::FromStr;

use crate::scenario::Scenario;

/// Declares the modules and the list of what they hold.
macro_rules! scenarios {
    ($($file:ident)*) => {
        $(mod $file;)*

        const FILES: &[&[Scenario]] = &[$($file::SCENARIOS),*];
        #[cfg(test)]
        const NAMES: &[&str] = &[$(stringify!($file)),*];
    };
}

// In the order of the table of figures.
scenarios! {
    power
    rest
    stop
    join
    worker
    kill
    freeze_all
    partition
    cold
    restarts
    alone
    cost
    packet
    shortest
    forge
    flood
    replay
    rotate
    mixed_key
    stranger_claim
    stranger_insists
    false_take_over
    deaf_multicast
    silent_clients
    reachable_entry
    address_removed
    new_mac
    new_port
    crash_restart
    six
    router
}

/// All scenarios, in the order in which they are shown.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    FILES.iter().copied().flatten()
}

/// A list of scenarios, as `--scenario` has it: names with commas, the first words of several names (`kill`,
/// `partition`, `mixed-key`), or `all` but those that have to be asked for by name.
#[derive(Debug, Clone)]
pub struct Chosen(pub Vec<&'static Scenario>);

/// All but those that have to be asked for by name.
impl Default for Chosen {
    fn default() -> Self {
        Self(all().filter(|scenario| !scenario.is_on_request).collect())
    }
}

impl FromStr for Chosen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut chosen: Vec<&'static Scenario> = Vec::new();
        for name in text.split(',') {
            let is_name = all().any(|scenario| scenario.name == name);
            let is_meant = |scenario: &&Scenario| {
                let is_kind = scenario.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
                let is_all = name == "all" && !scenario.is_on_request;
                is_all || if is_name { scenario.name == name } else { is_kind }
            };
            let meant: Vec<_> = all().filter(is_meant).collect();
            if meant.is_empty() {
                let names: Vec<_> = all().map(|scenario| scenario.name).collect();
                return Err(format!(
                    "{name}: expected some of {}, the first words of several, or all",
                    names.join(", ")
                ));
            }
            let is_new = |scenario: &&'static Scenario| !chosen.contains(scenario);
            chosen.extend(meant.into_iter().filter(is_new).collect::<Vec<_>>());
        }
        Ok(Self(chosen))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn scenarios_are_chosen_by_name() {
        let chosen =
            |text: &str| text.parse::<Chosen>().map(|list| list.0.iter().map(|one| one.name).collect::<Vec<_>>());
        assert_eq!(chosen("power,cold"), Ok(vec!["power", "cold"]));
        assert_eq!(chosen("mixed"), Ok(vec!["mixed-key-joins", "mixed-key-first"]));
        assert_eq!(
            chosen("kill"),
            Ok(vec!["kill-worker", "kill-keeper", "kill-all", "kill-all-keepalived", "kill-worker-six"])
        );
        assert_eq!(chosen("stop"), Ok(vec!["stop"]), "a name stands for itself alone");
        assert_eq!(
            chosen("shortest"),
            Ok(vec!["shortest-at-rest", "shortest-no-realtime", "shortest-beside-hogs"]),
            "they have to be asked for"
        );
        assert_eq!(chosen("cost,cost-50,cost"), Ok(vec!["cost", "cost-50"]), "each of them once");
        assert_eq!(chosen("mixed-key"), Ok(vec!["mixed-key-joins", "mixed-key-first"]));
        let ordinary = all().filter(|scenario| !scenario.is_on_request).count();
        assert_eq!(chosen("all").map(|list| list.len()), Ok(ordinary));
        assert_eq!(Chosen::default().0.len(), ordinary);
        let is_asked_for = |name: &str| name.starts_with("shortest-");
        assert!(all().all(|scenario| scenario.is_on_request == is_asked_for(scenario.name)));
        assert!(chosen("power,nap").is_err_and(|error| error.starts_with("nap: expected")));
    }

    #[test]
    fn every_file_is_on_the_list_and_every_name_is_its_own() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scenarios");
        let files: BTreeSet<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        let listed: BTreeSet<_> = NAMES.iter().map(|name| folder.join(name).with_extension("rs")).collect();
        assert_eq!(files, listed);
        let names: BTreeSet<_> = all().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all().count());
    }
}
