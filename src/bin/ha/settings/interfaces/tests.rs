use proptest::prelude::*;

use super::*;

/// The addresses that a file gives to `eth0:1`, or why it is refused.
fn said(text: &str) -> Result<String, Refusal> {
    let mut found = Interfaces::new("eth0:1", DIRECTORY);
    found.text("f", text!("{text}"), 0)?;
    Ok(found.addresses.iter().map(Cidr::to_string).collect::<Vec<_>>().join(" "))
}

#[test]
fn the_file_of_the_original_is_read() {
    let text = "\
# This file describes the network interfaces available on your system
# and how to activate them. For more information, see interfaces(5).

# The loopback network interface
auto lo
iface lo inet loopback

# The primary network interface
auto eth0
iface eth0 inet static
 address 192.168.1.20
 netmask 255.255.255.0
 network 192.168.1.0
 broadcast 192.168.1.255
 gateway 192.168.1.254

# The shared cluster address
iface eth0:1 inet static
 address 192.168.1.100
 netmask 255.255.255.0
 network 192.168.1.0
 broadcast 192.168.1.255
";
    let mut found = Interfaces::new("eth0:1", DIRECTORY);
    found.text("/etc/network/interfaces", text, 0).unwrap();
    assert_eq!(found.addresses, [Cidr::new([192, 168, 1, 100].into(), 24)]);
    assert_eq!(found.origin, Some("/etc/network/interfaces:18"));
    assert_eq!(found.at_boot, None);
    let mut other = Interfaces::new("eth0", DIRECTORY);
    other.text("f", text, 0).unwrap();
    assert_eq!(other.at_boot, Some("f:9: auto eth0"));
}

#[test]
fn dialects() {
    for (label, text, expected) in [
        ("a prefix", "iface eth0:1 inet static\naddress 10.0.0.1/8\n", "10.0.0.1/8"),
        ("a netmask of one number", "iface eth0:1 inet static\n\tnetmask 8\n\taddress 10.0.0.1", "10.0.0.1/8"),
        ("both, the same", "iface eth0:1 inet static\naddress 10.0.0.1/8\nnetmask 255.0.0.0", "10.0.0.1/8"),
        ("no indentation, blank lines", "\niface  eth0:1\tinet static \n\n\naddress 10.0.0.1/8 \n", "10.0.0.1/8"),
        ("lines of DOS", "iface eth0:1 inet static\r\n address 10.0.0.1/8\r\n", "10.0.0.1/8"),
        ("a comment in a stanza", "iface eth0:1 inet static\n # address 10.9.9.9\\\n address 10.0.0.1/8", "10.0.0.1/8"),
        ("a line that goes on", "iface eth0:1 \\\ninet static\n addr\\\ness 10.0.0.1\\\n/8", "10.0.0.1/8"),
        ("a backslash at the end", "iface eth0:1 inet static\n address 10.0.0.1/8\n up true \\", "10.0.0.1/8"),
        (
            "options that are not ours",
            "iface eth0:1 inet static\n up ip route add address\n address 10.0.0.1/8",
            "10.0.0.1/8",
        ),
        (
            "several stanzas",
            "iface eth0:1 inet static\naddress 10.0.0.1/8\niface eth0:1 inet static\naddress 10.0.0.2/8",
            "10.0.0.1/8 10.0.0.2/8",
        ),
        (
            "another stanza ends it",
            "iface eth0:1 inet static\naddress 10.0.0.1/8\nmapping eth1\naddress 10.0.0.2/8\nno-scripts x\naddress x",
            "10.0.0.1/8",
        ),
        ("IPv6", "iface eth0:1 inet6 static\naddress 2001:db8::1/64\n", "2001:db8::1/64"),
        ("IPv6 with the bits apart", "iface eth0:1 inet6 static\naddress 2001:db8::1\nnetmask 64", "2001:db8::1/64"),
        (
            "both families",
            "iface eth0:1 inet static\naddress 10.0.0.1/8\niface eth0:1 inet6 static\naddress 2001:db8::1/64\n",
            "10.0.0.1/8 2001:db8::1/64",
        ),
        ("IPv6 from a router", "iface eth0:1 inet6 auto\n privext 2\naddress x", ""),
        ("other names", "iface eth0 inet static\naddress x\niface eth0:10 inet dhcp\niface eth0:1x inet static", ""),
        ("nothing", "", ""),
        ("an option of nothing", "address 10.0.0.1/8", ""),
    ] {
        assert_eq!(said(text).as_deref(), Ok(expected), "{label}");
    }
}

#[test]
fn refusals_name_file_line_and_what_would_be_accepted() {
    let begins = "iface eth0:1 inet static\n";
    for (text, expected) in [
        (
            "\niface eth0:1 inet dhcp",
            "f:2: iface eth0:1 inet dhcp: expected `iface eth0:1 inet static` with all that it needs",
        ),
        ("iface eth0:1", "f:1: iface eth0:1: expected `iface eth0:1 inet static` with all that it needs"),
        (
            "iface eth0:1 inet static inherits base",
            "f:1: iface eth0:1 inet static inherits base: expected `iface eth0:1 inet static` with all that it needs",
        ),
        (begins, "f:1: iface eth0:1 inet static: expected an `address` line in this stanza"),
        (
            &format!("{begins}address 10.0.0.1"),
            "f:1: iface eth0:1 inet static: expected a `netmask` line in this stanza",
        ),
        (
            &format!("{begins}address 10.0.0.300"),
            "f:2: address 10.0.0.300: expected an IPv4 address, such as 192.168.1.100 or 192.168.1.100/24",
        ),
        (
            &format!("{begins}address"),
            "f:2: address: expected an IPv4 address, such as 192.168.1.100 or 192.168.1.100/24",
        ),
        (
            &format!("{begins}address 10.0.0.1/33"),
            "f:2: address 10.0.0.1/33: expected an IPv4 address, such as 192.168.1.100 or 192.168.1.100/24",
        ),
        (
            &format!("{begins}netmask 255.0.255.0"),
            "f:2: netmask 255.0.255.0: expected a netmask, such as 255.255.255.0 or 24",
        ),
        (&format!("{begins}netmask 33"), "f:2: netmask 33: expected a netmask, such as 255.255.255.0 or 24"),
        (
            &format!("{begins}address 10.0.0.1\naddress 10.0.0.2"),
            "f:3: address 10.0.0.2: expected one address in each stanza",
        ),
        (
            &format!("{begins}address 10.0.0.1/8\nnetmask 16"),
            "f:1: iface eth0:1 inet static: expected one netmask in this stanza, not both /8 and /16",
        ),
        (
            &format!("{begins}address 10.255.255.255/8"),
            "f:1: iface eth0:1 inet static: expected a host's address in this stanza, not 10.255.255.255/8: it is a broadcast \
             address",
        ),
        (
            &format!("{begins}address 2001:db8::1/64"),
            "f:2: address 2001:db8::1/64: expected an IPv4 address, such as 192.168.1.100 or 192.168.1.100/24",
        ),
        (
            "iface eth0:1 inet6 static\naddress 10.0.0.1/8",
            "f:2: address 10.0.0.1/8: expected an IPv6 address, such as 2001:db8::100 or 2001:db8::100/64",
        ),
        (
            "iface eth0:1 inet6 static\naddress 2001:db8::1/129",
            "f:2: address 2001:db8::1/129: expected an IPv6 address, such as 2001:db8::100 or 2001:db8::100/64",
        ),
        (
            "iface eth0:1 inet6 static\nnetmask 255.255.255.0",
            "f:2: netmask 255.255.255.0: expected the bits of the prefix, such as 64",
        ),
        (
            "iface eth0:1 inet6 static\naddress ff02::1/64",
            "f:1: iface eth0:1 inet6 static: expected a host's address in this stanza, not ff02::1/64: it is a multicast address",
        ),
        ("source /etc/*/x", "f:1: source /etc/*/x: expected a path, with * and ? in its last part only"),
        ("source /etc/[a-z]", "f:1: source /etc/[a-z]: expected a path, with * and ? in its last part only"),
    ] {
        assert_eq!(said(text), Err(expected));
    }
    let many = format!("{begins}address 10.0.0.1/8\n").repeat(17);
    let refusal = "f:33: iface eth0:1 inet static: expected at most 16 stanzas of this name";
    assert_eq!(said(&many), Err(refusal));
}

#[test]
fn a_line_that_brings_the_device_up_at_boot_is_found() {
    for (line, expected) in [
        ("auto lo eth0:1", true),
        ("allow-auto eth0:1", true),
        ("allow-hotplug eth0:1", true),
        ("auto /eth*", true),
        ("auto /eth?", false),
        ("auto eth0", false),
        ("allow-manual eth0:1", false),
        ("no-auto-down eth0:1", false),
        ("# auto eth0:1", false),
    ] {
        let mut found = Interfaces::new("eth0:1", DIRECTORY);
        found.text("f", line, 0).unwrap();
        assert_eq!(found.at_boot, expected.then_some(text!("f:1: {line}")));
    }
}

/// A directory that is removed with this value.
struct Scratch(String);

impl Scratch {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("ha-interfaces-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("interfaces.d/directory")).unwrap();
        for (file, text) in files {
            std::fs::write(path.join(file), text).unwrap();
        }
        Self(path.to_str().unwrap().to_owned())
    }

    fn read(&self) -> Result<Vec<String>, Refusal> {
        let (file, directory) = (text!("{}/interfaces", self.0), text!("{}/interfaces.d", self.0));
        let found = Interfaces::read_from("eth0:1", file, directory)?;
        let mut all: Vec<_> = found.addresses.iter().map(Cidr::to_string).collect();
        all.sort_unstable();
        Ok(all)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn other_files_are_included_by_the_rules_of_ifupdown() {
    let stanza = |host: &str| format!("iface eth0:1 inet static\naddress 10.0.0.{host}/24\n");
    let texts = ["1", "2", "3", "4", "5"].map(stanza);
    let files = |main| {
        [
            ("interfaces", main),
            ("interfaces.d/plain", &*texts[0]),
            ("interfaces.d/with.dot", &*texts[1]),
            ("interfaces.d/.hidden", &*texts[2]),
            ("interfaces.d/backup~", &*texts[3]),
            ("other", &*texts[4]),
        ]
    };
    for (main, expected) in [
        ("", &["10.0.0.1/24"][..]),
        ("source interfaces.d/*", &["10.0.0.1/24", "10.0.0.2/24", "10.0.0.4/24"]),
        ("source interfaces.d/w*", &["10.0.0.2/24"]),
        ("source interfaces.d/pla?n other missing interfaces.d/directory", &["10.0.0.1/24", "10.0.0.5/24"]),
        ("source interfaces.d/missing* other\nsource-directory interfaces.d/", &["10.0.0.1/24", "10.0.0.5/24"]),
        ("source-directory interfaces.d", &["10.0.0.1/24"]),
        ("source-dir missing interfaces.d/directory", &["10.0.0.1/24"]),
    ] {
        let scratch = Scratch::new("rules", &files(main));
        assert_eq!(scratch.read().unwrap(), expected, "{main}");
        drop(scratch);
    }
}

#[test]
fn files_without_an_answer_or_without_an_end_are_refused() {
    let refusal = |name, text: &str| {
        let scratch = Scratch::new(name, &[("interfaces", text)]);
        scratch.read().unwrap_err().replace(&scratch.0, "")
    };
    let nothing = "/interfaces: nothing for eth0:1; expected `iface eth0:1 inet static` there, or an address in the \
        configuration";
    assert_eq!(refusal("empty", "auto lo\n"), nothing);
    let endless = "/interfaces: expected at most 256 files, 4 within each other";
    assert_eq!(refusal("endless", "source interfaces\n"), endless);
    let many = format!("source {}\n", "missing ".repeat(257));
    assert_eq!(refusal("many", &many), "/missing: expected at most 256 files, 4 within each other");
    let missing = Scratch::new("missing", &[]);
    let refusal = missing.read().unwrap_err();
    assert!(
        refusal.contains("/interfaces: ") && refusal.contains("; expected `iface eth0:1 inet static`"),
        "{refusal}"
    );
}

#[test]
fn patterns_match_as_in_the_shell() {
    for (pattern, name, expected) in [
        ("*", "", true),
        ("*", "x", true),
        ("", "", true),
        ("", "x", false),
        ("?", "", false),
        ("a*b", "ab", true),
        ("a*b", "acb", true),
        ("a*b", "acbc", false),
        ("a*b*c", "abbbcbc", true),
        ("*.conf", "x.conf", true),
        ("*.conf", "x.conf~", false),
        ("x**", "x", true),
    ] {
        assert_eq!(is_match(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
    }
}

fn line() -> impl Strategy<Value = String> {
    let word = prop::sample::select(
        "iface auto eth0:1 inet inet6 static dhcp address netmask 10.0.0.1 10.0.0.1/24 255.255.255.0 24 # \\ /* mapping \
         source-directory allow-hotplug inherits up"
            .split(' ')
            .collect::<Vec<_>>(),
    );
    prop_oneof![
        3 => Just("iface eth0:1 inet static".to_owned()),
        3 => Just("address 10.0.0.1/24".to_owned()),
        8 => prop::collection::vec(word, 0..6).prop_map(|words| words.join(" ")),
        1 => any::<String>().prop_filter("reads no file", |text| !text.contains("source")),
    ]
}

proptest! {
    #[test]
    fn any_file_is_read_or_refused_in_one_line(
        lines in prop::collection::vec(line(), 0..12),
        end in prop::sample::select(&["\n", "\r\n", "\\\n", "\\"][..]),
    ) {
        if let Err(refusal) = said(&lines.join(end)) {
            prop_assert!(refusal.starts_with("f:") && refusal.contains(": expected ") && !refusal.contains('\n'), "{refusal:?}");
        }
    }

    #[test]
    fn a_pattern_without_a_star_matches_equal_names(pattern in "[ab?]{0,6}", name in "[ab]{0,6}") {
        let is_equal = pattern.len() == name.len() && pattern.bytes().zip(name.bytes()).all(|(p, n)| p == b'?' || p == n);
        prop_assert_eq!(is_match(pattern.as_bytes(), name.as_bytes()), is_equal);
        let with_stars = format!("*{pattern}*");
        let is_within = (0..=name.len()).any(|from| {
            name[from..].get(..pattern.len()).is_some_and(|part| is_match(pattern.as_bytes(), part.as_bytes()))
        });
        prop_assert_eq!(is_match(with_stars.as_bytes(), name.as_bytes()), is_within);
    }
}
