//! Each declared option by each way that leads to the settings, and what a file may hold.

use std::fs;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::settings::declare::Sample;
use crate::settings::given::Given;
use crate::settings::options::{DECLARED, SAMPLES};
use crate::settings::trusted::tests::Directory;

/// What every configuration here has, unless a test gives the same option.
const NEEDED: &[(Text, Text)] = &[("interface", "none0"), ("address", "192.0.2.1/24")];

/// An empty file, a good key, and files that the tests write.
struct Files {
    directory: Directory,
    key: Text,
}

impl Files {
    fn new(name: &str) -> Self {
        let directory = Directory::new(name);
        let key = directory.file("keys/good", 0o600);
        fs::write(key, "07".repeat(32)).unwrap();
        Self { directory, key }
    }

    /// The value of an option that differs from its default.
    fn good(&self, option: &Sample) -> Text {
        if option.name == "key-file" { self.key } else { option.good }
    }

    fn write(&self, text: &str) -> Text {
        let file = self.directory.file("ha.conf", 0o644);
        fs::write(file, text).unwrap();
        file
    }

    /// The settings with this option on the command line.
    fn by_command_line(&self, option: &str, value: &str) -> Result<Settings, Refusal> {
        let empty = self.write("");
        let mut words = vec!["--config".to_owned(), empty.to_owned()];
        for (name, value) in needed_beside(option) {
            words.extend([format!("--{name}"), (*value).to_owned()]);
        }
        words.push(format!("--{option}"));
        if !is_switch(option) {
            words.push(value.to_owned());
        }
        let words: Vec<_> = words.iter().map(|word| text!("{word}")).collect();
        let mut given = Given::read(DECLARED, &words)?.expect("nobody asks for help");
        Settings::load(given.take("config"), &given.0)
    }

    /// The settings with this line in a file.
    fn by_file(&self, line: &str) -> Result<Settings, Refusal> {
        let option = line.split(' ').next().unwrap();
        let needed = needed_beside(option).map(|(name, value)| format!("{name} = {value}\n"));
        Settings::load(Some(self.write(&(needed.collect::<String>() + line))), &[])
    }

    /// The line that OpenWrt's init script makes of an option of UCI.
    fn by_uci(&self, option: &str, value: &str) -> String {
        let init = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/openwrt/files/ha.init");
        let output = Command::new("sh")
            .args(["-c", UCI, "sh", init.to_str().unwrap(), &option.replace('-', "_"), value])
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// OpenWrt's functions, as far as the init script asks them, for a section with one option.
const UCI: &str = r#"
    init=$1 set_option=$2 set_value=$3
    uci() { return 1; }
    config_get() { if [ "$3" = "$set_option" ]; then eval "$1=\$set_value"; else eval "$1="; fi; }
    config_get_bool() { if [ "$3" = "$set_option" ]; then eval "$1=1"; else eval "$1=\$4"; fi; }
    config_list_foreach() { if [ "$2" = "$set_option" ]; then "$3" "$set_value"; fi; }
    . "$init"
    write_conf section
"#;

fn needed_beside(option: &str) -> impl Iterator<Item = &'static (Text, Text)> {
    NEEDED.iter().filter(move |(name, _)| *name != option)
}

fn is_switch(option: &str) -> bool {
    SAMPLES.iter().any(|sample| sample.name == option && sample.good == "yes")
}

/// All of the settings but where they came from.
fn effect(settings: Settings) -> String {
    format!("{:?}", Settings { file: None, notes: Vec::new(), ..settings })
}

/// An option that is read and forgotten leaves the settings as they are.
#[test]
fn each_option_changes_the_settings_and_does_so_by_command_line_file_and_uci() {
    let files = Files::new("each");
    let usual = effect(files.by_file("").unwrap());
    for option in SAMPLES {
        let (name, value) = (option.name, files.good(option));
        let by_file = effect(files.by_file(&format!("{name} = {value}")).unwrap());
        assert_ne!(by_file, usual, "{name} = {value} changes nothing");
        let by_command_line = effect(files.by_command_line(name, value).unwrap());
        assert_eq!(by_command_line, by_file, "--{name} {value}");
        let line = files.by_uci(name, value);
        assert_ne!(line, "", "VALUES and SWITCHES of dist/openwrt/files/ha.init lack {name}");
        assert_eq!(effect(files.by_file(&line).unwrap()), by_file, "option {name} '{value}' in UCI");
    }
}

#[test]
fn each_option_refuses_an_empty_value_by_its_name() {
    let files = Files::new("empty");
    for Sample { name, .. } in SAMPLES {
        let in_file = files.by_file(&format!("{name} =")).expect_err(name);
        let typed = if is_switch(name) { in_file } else { files.by_command_line(name, "").expect_err(name) };
        for refusal in [in_file, typed] {
            assert!(refusal.contains(name) && refusal.contains("expected ") && !refusal.contains('\n'), "{refusal}");
        }
    }
}

/// `(default: 3.5s)` in the help of an option; what is no value is said in words, such as `the tolerance`.
#[test]
fn the_defaults_that_the_help_names_are_the_defaults() {
    let files = Files::new("defaults");
    let usual = effect(files.by_file("").unwrap());
    let mut in_words = Vec::new();
    for Sample { name, help, .. } in SAMPLES {
        let Some((_, after)) = help.split_once("(default: ") else { continue };
        let default = after.split([',', ')']).next().unwrap();
        match files.by_file(&format!("{name} = {default}")) {
            Ok(settings) => assert_eq!(effect(settings), usual, "{name} = {default}"),
            Err(_) => in_words.push(*name),
        }
    }
    assert_eq!(in_words, ["address", "shared", "preempt-delay"]);
}

/// dist/ha.conf says of itself: a line that is commented out shows the default, unless the text above says "example".
#[test]
fn the_configuration_that_is_installed_shows_the_defaults() {
    let files = Files::new("installed");
    let usual = effect(files.by_file("").unwrap());
    let mut shown = 0;
    for paragraph in include_str!("../../../../../dist/ha.conf").split("\n\n").skip(1) {
        let is_example = paragraph.contains("Example") || paragraph.contains("eth0");
        for line in paragraph.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| !line.starts_with(' ')) {
            let (name, value) = line.split_once(" = ").unwrap();
            assert!(SAMPLES.iter().any(|option| option.name == name), "{line}");
            if !is_example && name != "address" {
                assert_eq!(effect(files.by_file(line).unwrap()), usual, "{name} = {value}");
                shown += 1;
            }
        }
    }
    assert_eq!(shown, 10);
}

#[test]
fn the_command_line_wins_over_the_file_and_its_addresses_replace_those_of_the_file() {
    let files = Files::new("wins");
    let text =
        "interface = none0\naddress = 192.0.2.1/24 # shared\naddress = 192.0.2.2/24\n\nsticky = yes\ngroup = 7\n";
    let file = files.write(text);
    let given = [("group", "8"), ("address", "192.0.2.3/24"), ("address", "192.0.2.4/24")];
    let settings = Settings::load(Some(file), &given).unwrap();
    let addresses: Vec<_> = settings.config.addresses().iter().map(ToString::to_string).collect();
    assert_eq!((settings.interface, settings.alias, settings.config.group()), ("none0", ":1", 8));
    assert_eq!(addresses, ["192.0.2.3/24", "192.0.2.4/24"]);
    assert!(settings.config.is_sticky(), "what the command line does not say stays");
    let expected = [
        text!("--address overrides address = 192.0.2.1/24 ({file}:2)"),
        text!("--address overrides address = 192.0.2.2/24 ({file}:3)"),
        text!("--group overrides group = 7 ({file}:6)"),
    ];
    assert_eq!(settings.notes, expected);
}

#[test]
fn a_bad_line_is_named_with_file_and_number() {
    let refusal = |text| Draft::default().read("ha.conf", text).unwrap_err();
    assert_eq!(refusal("interface = eth0\ngroup = 256\n"), "ha.conf:2: group = 256: expected a number from 1 to 255");
    assert_eq!(refusal("bogus = 1"), "ha.conf:1: bogus = 1: unknown option; `ha run --help` lists them");
    assert_eq!(refusal("link_delay = 1s"), "ha.conf:1: link_delay = 1s: unknown option; `ha run --help` lists them");
    assert_eq!(refusal("sticky"), "ha.conf:1: sticky: expected `name = value`");
}

/// A value that may be right for some option, or nearly.
fn value() -> impl Strategy<Value = String> {
    let known = SAMPLES.iter().map(|option| option.good).chain(VALUES.split('|'));
    prop_oneof![
        prop::sample::select(known.collect::<Vec<_>>()).prop_map(str::to_owned),
        "[0-9]{0,20}(\\.[0-9]{0,20})?(s|ms|us|m)?",
        "[0-9]{1,3}(\\.[0-9]{1,3}){3}(/[0-9]{1,3}|:[0-9]{1,6})?",
        "[a-z0-9:]{0,17}",
        "/[a-z/. ]{0,20}",
        any::<String>(),
    ]
}

const VALUES: &str = "eth0|eth0:1|no|0|1|255|65536|nobody|root|info|/bin/true -x|192.0.2.1/24|192.0.2.255/24|239.2.3.4:5555|\
                      1s|3.5s|0.5ms";

fn line() -> impl Strategy<Value = String> {
    let name = prop::sample::select(SAMPLES.iter().map(|option| option.name).collect::<Vec<_>>());
    prop_oneof![
        8 => (name, value(), "[ \t]?").prop_map(|(name, value, space)| format!("{name}{space}={space}{value}")),
        1 => any::<String>(),
    ]
}

proptest! {
    #[test]
    fn any_file_is_read_or_refused_in_one_line(
        lines in prop::collection::vec(line(), 0..12),
        end in prop::sample::select(&["\n", "\r\n", "\r", "\n\n"][..]),
    ) {
        let mut draft = Draft::default();
        let read = draft.read("ha.conf", text!("{}", lines.join(end)));
        if let Err(refusal) = read.and_then(|()| draft.settings()) {
            prop_assert!(!refusal.is_empty() && !refusal.contains('\n'), "{refusal:?}");
        }
    }
}

#[test]
fn an_address_is_on_the_interface_that_is_named_with_it() {
    let files = Files::new("links");
    let settings = files.by_file(
        "address = 203.0.113.5/29 dev wan0\naddress = 192.0.2.1/24\naddress = 2001:db8::1/64   dev  wan0\n\
         address = 192.0.2.3/24 dev none0\naddress = 198.51.100.1/24 dev uplink-to-the-second-switch",
    );
    let settings = settings.unwrap();
    assert_eq!(settings.links, ["none0", "wan0", "uplink-to-the-second-switch"]);
    assert_eq!(settings.config.links(), [1, 0, 1, 0, 2]);
    assert!(settings.notes[0].starts_with("uplink-to-the-second-switch has 27 characters"), "{:?}", settings.notes);
    let alone = files.by_command_line("address", "203.0.113.5/29 dev wan0").unwrap();
    assert_eq!((&alone.links[..], alone.config.links()), (&["none0", "wan0"][..], &[1][..]));
    assert_eq!(files.by_uci("address", "203.0.113.5/29 dev wan0"), "address = 203.0.113.5/29 dev wan0\n");
}

#[test]
fn links_that_do_not_work_are_refused() {
    let files = Files::new("no-links");
    let lines = |names: &[&str]| -> String {
        (1..).zip(names).map(|(number, name)| format!("address = 192.0.2.{number}/24 dev {name}\n")).collect()
    };
    let five = lines(&["one", "two", "three", "four"]);
    let device = format!("{}shared = eth1", lines(&["one"]));
    for (text, expected) in [
        (&*five, "address 192.0.2.4/24 dev four: expected at most 4 interfaces"),
        (&device, "shared eth1: expected an alias of none0, since one has addresses, too"),
        ("address = 192.0.2.1/24 dev lo", "192.0.2.1/24 dev lo: nobody else is on the loopback; expected the name"),
        ("address = 192.0.2.1/24 dev", "expected dev and an interface behind the address"),
        ("address = 192.0.2.1/24 wan0", "expected dev and an interface behind the address"),
        ("address = 192.0.2.1/24 dev a b", "expected the name of an interface, such as eth0"),
        ("address = 192.0.2.1/24 dev wan0:1", "expected the name of an interface, such as eth0"),
        ("address = 192.0.2.1 dev wan0", "expected a host's address with its prefix"),
        (
            "address = fe80::1/64\naddress = fe80::1/64 dev wan0",
            "address fe80::1/64: given twice; expected each address once",
        ),
    ] {
        let refusal = files.by_file(text).expect_err(text);
        assert!(refusal.contains(expected), "{text}: {refusal}");
    }
}

#[test]
fn who_asks_on_an_interface_for_the_addresses_that_are_there() {
    let files = Files::new("who-links");
    let file = files.write("interface = none0\naddress = 192.0.2.1/24\naddress = 203.0.113.5/29 dev wan0\n");
    for (given, expected) in [
        (&[][..], "192.0.2.1"),
        (&[("interface", "wan0")], "203.0.113.5"),
        (&[("interface", "eth7")], "192.0.2.1"),
        (&[("interface", "wan0"), ("address", "203.0.113.6")], "203.0.113.6"),
    ] {
        let question = super::super::Question::load(Some(file), given).unwrap();
        let asked: Vec<_> = question.config.addresses().iter().map(|cidr| cidr.address.to_string()).collect();
        assert_eq!(asked, [expected], "{given:?}");
    }
}
