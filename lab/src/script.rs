//! Runs the script `lab/net`, which is part of this program.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Runs one command of the script for the lab `prefix`.
///
/// # Errors
/// The script's error message, as one line.
pub fn run(prefix: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("sh")
        .args(["-c", SCRIPT, "lab/net"])
        .args(arguments)
        .env("HA_LAB", prefix)
        .stdin(Stdio::null())
        .process_group(0) // Ctrl-C is for us to handle: it must not end a script half way
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(io::Error::other(format!("lab/net {}: {message}", arguments.join(" "))))
}

const SCRIPT: &str = include_str!("../net");
