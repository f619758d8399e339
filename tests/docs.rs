//! The documents say what the program does: hex examples decode to the words above them, tables of flags, verbs,
//! limits and exit codes are complete, links lead somewhere.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that reads the documents"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use rsyn::cli::args::Cli;
use rsyn::protocol::codec::{CHUNK_HEADER_BYTES, Decoder};
use rsyn::protocol::handshake::{self, ClientHello, PROTOCOL_MAX, Purpose};
use rsyn::protocol::{Message, frame};

const PROTOCOL: &str = include_str!("../docs/protocol.md");
const CLI: &str = include_str!("../docs/cli.md");

/// Name, bytes and the line above of each ```` ```hex name=… ```` block.
fn examples() -> Vec<(String, Vec<u8>, String)> {
    let lines: Vec<_> = PROTOCOL.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(name) = line.strip_prefix("```hex name=") {
            let digits = lines[at + 1..].iter().take_while(|l| **l != "```");
            let digits: String = digits.flat_map(|l| l.split_whitespace()).collect();
            let bytes = handshake::from_hex(&digits).unwrap();
            let words = lines[at - 1].trim_matches('`');
            found.push((name.to_owned(), bytes, words.to_owned()));
        }
    }
    found
}

/// The frames in `bytes`, to the last byte.
fn messages(mut bytes: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let (message, taken) = frame::decode(bytes).unwrap().unwrap();
        messages.push(message);
        bytes = &bytes[taken..];
    }
    messages
}

fn shown(messages: &[Message]) -> String {
    let each: Vec<_> = messages.iter().map(|m| format!("{m:?}")).collect();
    each.join(", ")
}

fn chunk_payload(bytes: &[u8]) -> Vec<u8> {
    let (header, payload) = bytes.split_first_chunk::<CHUNK_HEADER_BYTES>().unwrap();
    let (len, coding) = Decoder::header(*header).unwrap();
    assert_eq!(len, payload.len());
    let mut plain = Vec::new();
    let mut sink = |part: &[u8]| {
        plain.extend_from_slice(part);
        Ok(())
    };
    Decoder::new().chunk(coding, payload, &mut sink).unwrap();
    plain
}

fn check_hello(bytes: &[u8]) {
    let (len, json) = bytes.split_first_chunk::<4>().unwrap();
    assert_eq!(u32::from_le_bytes(*len) as usize, json.len());
    let hello: ClientHello = handshake::decode_hello(json).unwrap();
    assert_eq!(handshake::from_hex(&hello.root).unwrap(), b"/srv/p");
    assert_eq!(hello.purpose, Purpose::Pull);
}

fn check_magic(bytes: &[u8]) {
    let at = handshake::find_magic(bytes).unwrap();
    assert_eq!(bytes[at..], [u8::try_from(PROTOCOL_MAX).unwrap()]);
}

#[test]
fn every_hex_example_of_the_protocol_is_what_the_line_above_says() {
    let examples = examples();
    assert!(examples.len() >= 18, "only {} found", examples.len());
    for (name, bytes, words) in &examples {
        match name.as_str() {
            "magic" => check_magic(bytes),
            "client-hello" => check_hello(bytes),
            "chunk" => assert_eq!(&shown(&messages(&chunk_payload(bytes))), words),
            _ => assert_eq!(&shown(&messages(bytes)), words, "{name}"),
        }
    }
}

#[test]
fn every_hex_example_of_a_message_is_what_the_program_writes() {
    let no_message = ["magic", "client-hello", "chunk"];
    for (name, bytes, _) in examples() {
        if !no_message.contains(&name.as_str()) {
            let mut written = Vec::new();
            frame::encode(&messages(&bytes)[0], &mut written).unwrap();
            assert_eq!(written, bytes, "{name}");
        }
    }
}

/// All `[tag]`s that stand alone in doc comments of the protocol's code.
fn tags_of_the_code() -> BTreeSet<String> {
    let mut tags = BTreeSet::new();
    for file in files_in("src/protocol", "rs") {
        let text = std::fs::read_to_string(file).unwrap();
        for line in text.lines().filter(|l| l.trim_start().starts_with("//")) {
            for part in line.split('[').skip(1) {
                let tag = part.split(']').next().unwrap_or_default();
                let is_tag = |c: char| c.is_ascii_lowercase() || c == '-';
                if !tag.is_empty() && tag.chars().all(is_tag) && tag != "tag" {
                    tags.insert(tag.to_owned());
                }
            }
        }
    }
    tags
}

#[test]
fn every_tag_in_the_code_of_the_protocol_is_in_its_specification() {
    let tags = tags_of_the_code();
    assert!(tags.len() > 30, "{tags:?}");
    let missing: Vec<_> = tags
        .iter()
        .filter(|tag| !PROTOCOL.contains(&format!("[{tag}]")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// docs/cli.md without what is announced for later.
fn cli_today() -> &'static str {
    CLI.split("\n## Not yet").next().unwrap()
}

/// Flags of every visible verb, as typed.
fn flags() -> BTreeMap<String, Vec<String>> {
    let cli = Cli::command();
    let verbs = cli.get_subcommands().filter(|v| !v.is_hide_set());
    verbs
        .map(|verb| {
            let visible: Vec<_> = verb.get_arguments().filter(|a| !a.is_hide_set()).collect();
            let long = visible.iter().filter_map(|a| a.get_long());
            let short = visible.iter().filter_map(|a| a.get_short());
            let typed = long
                .map(|l| format!("--{l}"))
                .chain(short.map(|s| format!("-{s}")));
            (verb.get_name().to_owned(), typed.collect())
        })
        .collect()
}

/// Whether `flag` stands in `text` as a word of its own: `--port` is not in `--portable`.
fn names(text: &str, flag: &str) -> bool {
    let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '-';
    text.match_indices(flag).any(|(at, _)| {
        !text[..at].ends_with(goes_on) && !text[at + flag.len()..].starts_with(goes_on)
    })
}

#[test]
fn every_verb_and_every_flag_is_in_the_reference() {
    for (verb, flags) in flags() {
        assert!(names(cli_today(), &format!("rsyn {verb}")), "{verb}");
        for flag in flags {
            assert!(names(cli_today(), &flag), "{flag} of {verb}");
        }
    }
}

#[test]
fn every_long_flag_in_the_reference_is_one_of_the_program() {
    let cli = Cli::command();
    let all: BTreeSet<String> = cli
        .get_subcommands()
        .flat_map(clap::Command::get_arguments)
        .filter_map(|a| a.get_long().map(|l| format!("--{l}")))
        .chain(["--help".to_owned(), "--version".to_owned()])
        .collect();
    let is_part = |c: char| c.is_ascii_lowercase() || c == '-';
    for (at, _) in cli_today().match_indices("--") {
        let before = &cli_today()[..at];
        let rest = &cli_today()[at..];
        let flag: String = rest.chars().take_while(|c| is_part(*c)).collect();
        let is_flag = flag[2..].starts_with(|c: char| c.is_ascii_lowercase());
        if is_flag && !before.ends_with(|c: char| is_part(c) || c == '|') {
            assert!(all.contains(&flag), "{flag} is no flag of rsyn");
        }
    }
}

#[test]
fn the_exit_codes_of_the_reference_are_those_of_the_program() {
    let source = include_str!("../src/cli/exit.rs");
    let number = |text: &str| text.trim().trim_end_matches([',', ';']).parse::<u8>().ok();
    let of_code: BTreeSet<u8> = source
        .lines()
        .filter_map(|l| l.rsplit_once("=> ").or_else(|| l.rsplit_once("u8 = ")))
        .filter_map(|(_, n)| number(n))
        .collect();
    let table = CLI.split("\n## Exit codes").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|l| l.strip_prefix("| "));
    let of_table: BTreeSet<u8> = rows.filter_map(|l| number(l.split('|').next()?)).collect();
    assert_eq!(of_table, of_code);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn files_in(directory: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(directory)).unwrap();
    let paths = entries.map(|e| e.unwrap().path());
    paths
        .filter(|p| p.extension().is_some_and(|e| e == extension))
        .collect()
}

#[test]
fn every_link_between_documents_leads_to_a_file() {
    let mut pages = files_in("docs", "md");
    pages.extend(files_in(".", "md"));
    let mut broken = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1) {
            let target = target.split([')', '#']).next().unwrap_or_default();
            let is_file = !target.is_empty() && !target.contains("://");
            if is_file && !page.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// What is typed after `make ` in code of `text`.
fn typed_targets(text: &str) -> BTreeSet<String> {
    let starts = ["`make ", "$ make "];
    let typed = starts.iter().flat_map(|start| text.split(start).skip(1));
    let is_part = |c: &char| c.is_ascii_lowercase() || *c == '-';
    typed
        .map(|rest| rest.chars().take_while(is_part).collect())
        .collect()
}

#[test]
fn the_make_targets_that_the_documents_name_exist() {
    let makefiles = concat!(include_str!("../Makefile"), include_str!("../sync.mk"));
    let readme = include_str!("../README.md");
    let contributing = include_str!("../docs/contributing.md");
    assert!(typed_targets(readme).contains("demo"));
    for target in typed_targets(&format!("{readme}{contributing}")) {
        let line = format!("\n{target}:");
        assert!(makefiles.contains(&line), "make {target}");
    }
}
