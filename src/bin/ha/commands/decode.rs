//! `ha decode`: a heartbeat in words.

use std::fmt::Display;

use ha::wire::{Context, Heartbeat, LEN, Seal};
use rustix::stdio::stdin;

use crate::commands::{Command, Failure, terminal};
use crate::linux::file;
use crate::settings;
use crate::settings::given::Given;
use crate::settings::keys::{self, Keys};
use crate::text::{Refusal, Text, text};

pub const COMMAND: Command = Command {
    name: "decode",
    about: "Explains a heartbeat field by field.",
    takes: OPTIONS,
    explains: OPTIONS,
    notes: "",
    run,
};

const OPTIONS: Text = "key-file\nfile\nfile with the secret key to check the tag with (default: the public constant)\n\
                       multicast\naddress:port\nwhere the packet was sent to, on which its tag depends (default: 239.2.3.4:5555)\n\
                       <hex>\n\nthe packet (the UDP payload) as hexadecimal digits, with or without white space; - reads them from \
                       standard input\n";

/// Prints a line for each field.
fn run(given: Given) -> Result<(), Failure> {
    terminal::say(&words(given).map_err(Failure::Refused)?);
    Ok(())
}

fn words(mut given: Given) -> Result<String, Refusal> {
    let keys = given.take("key-file").map(Keys::read).transpose()?;
    let multicast = match given.take("multicast") {
        Some(value) => settings::multicast(value).map_err(|expected| text!("--multicast {value}: {expected}"))?,
        None => Context::MULTICAST,
    };
    let packet = packet(given.take("<hex>").ok_or("no <hex>; see `ha decode --help`")?)?;
    let heartbeat =
        Heartbeat::parse(&packet).map_err(|defect| text!("{} bytes: {defect}; {}", packet.len(), expected()))?;
    let context = Context { group: heartbeat.group, multicast };
    let seal = keys.map_or_else(|| Seal::public(context), |keys| keys.signing(context).seal());
    let is_genuine = packet.as_slice().try_into().is_ok_and(|packet| seal.is_genuine(packet));
    let tag = match (is_genuine, seal.is_keyed()) {
        (true, true) => "right for this key",
        (true, false) => "right for no key",
        (false, true) => "wrong for this key",
        (false, false) => "wrong without a key",
    };
    Ok(describe(&heartbeat, tag))
}

/// The bytes that the digits stand for.
fn packet(mut digits: Text) -> Result<Vec<u8>, Refusal> {
    if digits == "-" {
        let read = file::read(stdin()).map_err(|error| text!("standard input: {error}; {}", expected()))?;
        digits = read.leak();
    }
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    keys::unhex(&digits).ok_or_else(|| text!("{} characters: {}", digits.len(), expected()))
}

fn expected() -> Text {
    text!("expected {} hexadecimal digits", 2 * LEN)
}

/// A line for each field, and one for the tag.
fn describe(heartbeat: &Heartbeat, tag: &str) -> String {
    let following = heartbeat.following.map_or("nobody", |node| text!("{node}"));
    let fields: [(&str, &dyn Display); 15] = [
        ("kind", &heartbeat.kind),
        ("group", &heartbeat.group),
        ("state", &heartbeat.state),
        ("flags", &heartbeat.flags),
        ("release", &heartbeat.release),
        ("worthiness", &heartbeat.worthiness),
        ("node", &heartbeat.node),
        ("following", &following),
        ("boot", &format_args!("{:016x}", heartbeat.boot)),
        ("seq", &heartbeat.seq),
        ("interval", &heartbeat.interval),
        ("hold", &heartbeat.hold),
        ("addresses", &format_args!("{:08x}", heartbeat.addresses)),
        ("nonce", &format_args!("{:016x}", heartbeat.nonce)),
        ("tag", &tag),
    ];
    fields.map(|(name, value)| format!("{name:10} {value}")).join("\n")
}
