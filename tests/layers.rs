//! The rooms of `src/` import one way, and few of them touch the disk or start processes.
//!
//! clippy keeps functions of `std::fs` and their kin out of most rooms (`.clippy.toml`); a room can opt out of
//! that with one line, so the rooms that may are named here as well.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that reads the sources"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The rooms; each may import those before it.
const ORDER: [&str; 15] = [
    // Words, and decisions without any input or output.
    "model",
    "delta",
    "filter",
    "plan",
    "config",
    "protocol",
    "report",
    // One job each with the world.
    "disk",
    "transport",
    "state",
    "scan",
    "transaction",
    "endpoint",
    // Verbs, and the edge.
    "ops",
    "cli",
];

/// Imports against the order: file, room, why it may.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    (
        "report/json.rs",
        "ops",
        "shows the Report and Failure of a verb, plain data that the verb defines",
    ),
    (
        "report/text.rs",
        "ops",
        "shows the Report of a verb, plain data that the verb defines",
    ),
];

/// Places that may call the file system, by path or its beginning. A handle of the type `File` may be anywhere.
const DISK: [(&str, &str); 2] = [
    ("disk/", "the door to the disk"),
    (
        "transport/mux.rs",
        "the directory of the control socket, outside of any root",
    ),
];

/// Places that may start processes.
const PROCESSES: [(&str, &str); 3] = [
    ("disk/group.rs", "the group of this process, starts nothing"),
    ("transport/", "leads to the hub"),
    ("disk/umask.rs", "the umask of this process, starts nothing"),
];

/// A source file without its comments and tests.
struct Source {
    /// Path below `src/`.
    path: String,
    code: String,
}

impl Source {
    /// The room that it belongs to.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.trim_end_matches(".rs")
    }

    /// The rooms that it names after `crate::`.
    fn imports(&self) -> BTreeSet<&str> {
        let mut rooms = BTreeSet::new();
        for (at, _) in self.code.match_indices("crate::") {
            let rest = &self.code[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(group) => rooms.extend(top_names(group)),
                None => rooms.extend(first_name(rest)),
            }
        }
        rooms
    }

    fn is_in(&self, places: &[(&str, &str)]) -> bool {
        places.iter().any(|(place, _)| self.path.starts_with(place))
    }
}

fn first_name(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    Some(&text[..end.unwrap_or(text.len())]).filter(|name| !name.is_empty())
}

/// The first name of each member of a `{…}` group whose opening brace is already passed.
fn top_names(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            ',' | '}' if depth == 0 => {
                names.extend(first_name(group[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All sources but those that only tests are made of.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut left = vec![src()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "tests" {
                left.push(path);
            } else if name.ends_with(".rs") && !["tests.rs", "test_data.rs"].contains(&name) {
                found.push(read(&path));
            }
        }
    }
    found
}

fn read(path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap();
    let mut tests = text.match_indices("#[cfg(test)]").map(|(at, _)| at);
    let begins_tests = |at: &usize| {
        let head = text[*at..].split("\n\n").next();
        head.is_some_and(|head| head.contains("\nmod tests {"))
    };
    let end = tests.find(begins_tests).unwrap_or(text.len());
    let code = text[..end]
        .lines()
        .filter(|l| !l.trim_start().starts_with("//"));
    Source {
        path: path
            .strip_prefix(src())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned(),
        code: code.collect::<Vec<_>>().join("\n"),
    }
}

fn place(room: &str) -> Option<usize> {
    ORDER.iter().position(|r| *r == room)
}

/// The rooms that `source` may not import but does.
fn against_the_order(source: &Source) -> Vec<String> {
    let here = place(source.room());
    let may = |room: &str| {
        let downwards = here
            .zip(place(room))
            .is_some_and(|(here, there)| there <= here);
        let excepted = EXCEPTIONS
            .iter()
            .any(|(file, to, _)| *file == source.path && *to == room);
        // The crate's root opens the edge alone.
        downwards || excepted || (here.is_none() && room == "cli")
    };
    source
        .imports()
        .into_iter()
        .filter(|room| !may(room))
        .map(|room| format!("{} imports {room}", source.path))
        .collect()
}

#[test]
fn rooms_import_one_way() {
    let wrong: Vec<_> = sources().iter().flat_map(against_the_order).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_has_its_place_and_every_place_its_room() {
    let rooms: BTreeSet<_> = sources().iter().map(|s| s.room().to_owned()).collect();
    let rooms: Vec<_> = rooms
        .iter()
        .map(String::as_str)
        .filter(|r| !["lib", "main"].contains(r))
        .collect();
    let mut order = ORDER.to_vec();
    order.sort_unstable();
    assert_eq!(rooms, order);
}

#[test]
fn every_exception_is_still_needed() {
    let sources = sources();
    for (file, room, why) in EXCEPTIONS {
        let source = sources.iter().find(|s| s.path == file);
        let used = source.is_some_and(|s| s.imports().contains(room));
        assert!(used, "{file} does not import {room} ({why})");
    }
    for (at, why) in DISK.iter().chain(&PROCESSES) {
        assert!(
            sources.iter().any(|s| s.path.starts_with(at)),
            "there is no {at} ({why})"
        );
    }
}

#[test]
fn only_the_disk_room_calls_the_file_system() {
    let calls = |s: &Source| {
        let handles_aside = s
            .code
            .replace("std::fs::File;", "")
            .replace("&std::fs::File", "");
        [
            "std::fs",
            "rustix::fs",
            "tokio::fs",
            "File::open",
            "File::create",
        ]
        .into_iter()
        .find(|call| handles_aside.contains(call))
        .map(|call| format!("{} has {call}", s.path))
    };
    let wrong: Vec<_> = sources()
        .iter()
        .filter(|s| !s.is_in(&DISK))
        .filter_map(calls)
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_transport_starts_processes() {
    let starts = |s: &Source| {
        let found = [
            "process::Command",
            "Command::new(",
            "rustix::process",
            "fork(",
        ];
        // clap calls its builder of commands by the same name, but never makes one with `new` here.
        found
            .into_iter()
            .find(|call| s.code.contains(call))
            .map(|call| format!("{} has {call}", s.path))
    };
    let wrong: Vec<_> = sources()
        .iter()
        .filter(|s| !s.is_in(&PROCESSES))
        .filter_map(starts)
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_one_file_writes_to_the_terminal() {
    let writes = |s: &Source| {
        [
            "io::stdout",
            "io::stderr",
            "anstream::std",
            "print!(",
            "println!(",
            "eprint!(",
            "eprintln!(",
            ".print()",
            "dbg!(",
        ]
        .into_iter()
        .find(|call| s.code.contains(call))
        .map(|call| format!("{} has {call}", s.path))
    };
    let sources = sources();
    let is_door = |s: &&Source| s.path == "cli/output.rs";
    assert!(sources.iter().filter(is_door).all(|s| writes(s).is_some()));
    let others = sources.iter().filter(|s| !is_door(s));
    let wrong: Vec<_> = others.filter_map(writes).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_room_is_reached_around_the_order() {
    let around = |s: &&Source| s.code.contains("super::super::") || s.code.contains("crate::*");
    let wrong: Vec<_> = sources()
        .iter()
        .filter(around)
        .map(|s| s.path.clone())
        .collect();
    assert!(
        wrong.is_empty(),
        "{wrong:?} name rooms in a way that this test cannot follow"
    );
}

#[test]
fn imports_are_read_in_every_form() {
    let source = Source {
        path: "disk/x.rs".to_owned(),
        code: "use crate::model::{A, B};\nuse crate::{plan, filter::{C, D}, cli::E};\nfn f() -> crate::ops::F {}".to_owned(),
    };
    let imports: Vec<_> = source.imports().into_iter().collect();
    assert_eq!(imports, ["cli", "filter", "model", "ops", "plan"]);
    let wrong = against_the_order(&source);
    assert_eq!(wrong, ["disk/x.rs imports cli", "disk/x.rs imports ops"]);
}
