//! What the lab says where keepalived is missing or refuses to run: skipped, which is neither passed nor failed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

mod namespaces;

fn main() -> ExitCode {
    namespaces::run([
        ("without_keepalived_its_scenarios_are_skipped", missing),
        ("a_keepalived_that_ends_at_once_is_skipped_and_its_last_line_says_why", refusing),
    ])
}

fn missing() {
    let (code, text) = lab("halab-missing", None);
    assert_eq!(code, Some(77), "{text}");
    assert!(text.contains("SKIPPED: keepalived: No such file or directory"), "{text}");
}

fn refusing() {
    let (code, text) = lab("halab-refusing", Some("#!/bin/sh\necho 'no such interface' >&2\nexit 1\n"));
    assert_eq!(code, Some(77), "{text}");
    assert!(text.contains("SKIPPED: keepalived: the daemon of node"), "{text}");
    assert!(text.contains("no such interface"), "{text}");
}

/// Exit code and output of a lab that has this keepalived, or none.
fn lab(prefix: &str, keepalived: Option<&str>) -> (Option<i32>, String) {
    let tools = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(prefix);
    let _ = fs::remove_dir_all(&tools); // there may be none
    fs::create_dir_all(&tools).unwrap();
    for name in ["sh", "ip", "sed", "chrt"] {
        symlink(tool(name), tools.join(name)).unwrap();
    }
    if let Some(script) = keepalived {
        fs::write(tools.join("keepalived"), script).unwrap();
        fs::set_permissions(tools.join("keepalived"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_ha-lab"))
        .args(["run", "--scenario", "kill-all-keepalived", "--runs", "1", "--ha", "/bin/true"])
        .env("PATH", &tools)
        .env("HA_LAB", prefix)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Where a program is, also for a user whose PATH has no `sbin`.
fn tool(name: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.exists()).unwrap()
}
