//! docs/log.md has every line of the log, with its level.

use std::fs;
use std::path::{Path, PathBuf};

/// A line that the sources can write: where, its level if it has one, and its text.
struct Line {
    place: String,
    level: Option<&'static str>,
    text: String,
}

/// What begins a line in the sources, with its level; the text is the first string after it.
const BEGINNINGS: [(&str, Option<&str>); 9] = [
    ("error!(", Some("error")),
    ("warn!(", Some("warning")),
    ("info!(", Some("info")),
    ("debug!(", Some("debug")),
    ("last_line(format_args!(", Some("error")),
    ("log(level, format_args!(", None),
    ("drop_worker(", None),
    ("Verdict::Kill(", None),
    ("let first = format_args!(", Some("info")),
];

/// Where each string is a line or a part of one.
const REASONS: [&str; 2] = ["src/node/reason.rs", "src/counters.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// The program without its tests and comments.
fn read(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let program = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    program.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

/// The string that begins `text`, which is behind its quote, and what is behind that string.
fn string(text: &str) -> (String, &str) {
    let mut string = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' if rest.as_str().starts_with('\n') => rest = rest.as_str().trim_start().chars(),
            '\\' => string.extend(rest.next()),
            _ => string.push(c),
        }
    }
    (string, rest.as_str())
}

/// What stays of a line whatever is in it: `{error}` of the sources and `<error>` of the page become a dot each.
fn fixed(text: &str) -> String {
    let mut fixed = String::new();
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '{' | '<' => {
                depth += 1;
                fixed.push('\u{b7}');
            }
            '}' | '>' => depth -= 1,
            _ if depth == 0 => fixed.push(c),
            _ => {}
        }
    }
    fixed
}

fn lines() -> Vec<Line> {
    let mut files = Vec::new();
    sources(&root().join("src/bin/ha"), &mut files);
    let mut lines = Vec::new();
    for path in files {
        let program = read(&path);
        for (beginning, level) in BEGINNINGS {
            for (at, _) in program.match_indices(beginning) {
                // The arguments end with the statement; a macro's own definition has no string.
                let call = &program[at + beginning.len()..];
                let call = &call[..call.find(";\n").unwrap_or(call.len())];
                if let Some(quote) = call.find('"').filter(|&quote| quote < 120) {
                    let place = format!("{}: {beginning}", path.strip_prefix(root()).unwrap().display());
                    lines.push(Line { place, level, text: string(&call[quote + 1..]).0 });
                }
            }
        }
    }
    for name in REASONS {
        let program = read(&root().join(name));
        for (at, _) in program.match_indices("fmt::Display for") {
            let mut rest = &program[at..];
            rest = &rest[..rest.find("\n}\n").unwrap_or(rest.len())];
            while let Some(quote) = rest.find('"') {
                let (text, behind) = string(&rest[quote + 1..]);
                lines.push(Line { place: name.to_owned(), level: None, text });
                rest = behind;
            }
        }
    }
    lines
}

#[test]
fn every_line_of_the_log_is_in_the_docs_with_its_level() {
    let page = fs::read_to_string(root().join("docs/log.md")).unwrap();
    let rows: Vec<String> = page.lines().map(fixed).collect();
    let lines = lines();
    assert!(lines.len() > 150, "the sources are read: {}", lines.len());
    let missing: Vec<String> = lines
        .iter()
        .filter(|line| line.text.chars().filter(|c| c.is_ascii_alphabetic()).count() > 2)
        .filter(|line| fixed(&line.text).chars().any(|c| c.is_ascii_alphabetic()))
        .filter(|line| {
            let text = fixed(&line.text);
            let is_level = |row: &String| line.level.is_none_or(|level| row.contains(&format!("` | {level} |")));
            let text = if line.level.is_some() { format!("`{text}`") } else { text };
            !rows.iter().any(|row| row.contains(&text) && is_level(row))
        })
        .map(|line| format!("{}: {:?}: {}", line.place, line.level, line.text))
        .collect();
    assert!(missing.is_empty(), "docs/log.md lacks:\n{}", missing.join("\n"));
}
