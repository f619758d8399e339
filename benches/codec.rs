//! What each effort of the stream's compression gains and costs: on the sources of the crates that rsyn is built from, and on
//! made-up text. `cargo bench --bench codec`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "a benchmark reads files and prints"
)]

#[path = "sync/data.rs"]
#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod data;

use std::path::Path;
use std::time::Instant;

use rsyn::protocol::codec::{CHUNK_INPUT_BYTES, Effort, Encoder};

const MOST_BYTES: usize = 64 << 20;
const ROUNDS: usize = 5;

fn main() {
    let made_up = made_up();
    report("made-up text", &made_up);
    match data::crates() {
        Some(crates) => {
            let mut text = Vec::new();
            append(&crates, &mut text);
            report("sources of crates", &text[..text.len().min(MOST_BYTES)]);
        }
        None => println!("sources of crates: cargo keeps none here"),
    }
}

fn made_up() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    data::sources(dir.path(), 3000, 1);
    let mut text = Vec::new();
    append(dir.path(), &mut text);
    text
}

/// Appends all files below `dir` in the order of their names.
fn append(dir: &Path, text: &mut Vec<u8>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => append(&entry.path(), text),
            kind if kind.is_file() => text.extend(std::fs::read(entry.path()).unwrap()),
            _ => {}
        }
        if text.len() >= MOST_BYTES {
            return;
        }
    }
}

/// Prints for each effort the length of the whole stream and the fastest of some rounds.
fn report(name: &str, text: &[u8]) {
    println!("{name}, {:.1} MB", text.len() as f64 / 1e6);
    for effort in Effort::ALL {
        let outcomes: Vec<_> = (0..ROUNDS).map(|_| compress(text, effort)).collect();
        let fastest = outcomes.iter().map(|(_, secs)| *secs).reduce(f64::min);
        let bytes = outcomes.first().map_or(0, |(bytes, _)| *bytes);
        println!(
            "  {effort:?}: {:.2} MB, {:.0} MB/s",
            bytes as f64 / 1e6,
            text.len() as f64 / 1e6 / fastest.unwrap()
        );
    }
}

fn compress(text: &[u8], effort: Effort) -> (usize, f64) {
    let (mut encoder, mut chunk, mut bytes) = (Encoder::new(), Vec::new(), 0);
    let start = Instant::now();
    for input in text.chunks(CHUNK_INPUT_BYTES) {
        chunk.clear();
        encoder.chunk(input, Some(effort), &mut chunk).unwrap();
        bytes += chunk.len();
    }
    (bytes, start.elapsed().as_secs_f64())
}
