//! The workloads: what lies in the source, and what happens to it in each round.

use std::path::Path;

use super::data::{self, Noise};
use super::settings::Settings;

/// What a round leaves for the next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Destinations stay: the round is a change.
    Changes,
    /// Destinations go: the round is a first copy.
    Nothing,
}

/// Changes a source, before a round of this number.
type Change = Box<dyn FnMut(&Path, usize)>;

pub struct Workload {
    pub name: String,
    pub keep: Keep,
    /// Whether it is a measure of the link alone when that is slow.
    pub only_fast_link: bool,
    /// Makes the source, before the first round.
    pub prepare: Box<dyn FnMut(&Path)>,
    /// Changes it, before each round.
    pub change: Change,
}

const MIB: u64 = 1 << 20;

/// All workloads of the table, in its order.
pub fn all(settings: &Settings) -> Vec<Workload> {
    let files = settings.count(20_000);
    let many = settings.count(100_000);
    let big = settings.bytes(1024 * MIB);
    let db = settings.bytes(205 * MIB);
    let moved = settings.count(500);
    let real = data::crates().map(|crates| {
        first_copy(
            "initial copy, crates of rsyn".to_owned(),
            false,
            move |src, _| {
                data::copy_crates(&crates, src);
            },
        )
    });
    let mut rows = vec![
        first_copy(
            format!("initial copy, {files} source files"),
            false,
            move |src, _| data::sources(src, files, 1),
        ),
        no_change(format!("no change, {files} files"), move |src| {
            data::sources(src, files, 1);
        }),
        change(
            format!("1 % of {files} files edited"),
            move |src| data::sources(src, files, 1),
            move |src, round| data::edit_one_percent(src, files, round),
        ),
        no_change(format!("no change, {many} files"), move |src| {
            data::small_files(src, many);
        }),
        scattered(&format!("{} MiB file, 10 scattered edits", big / MIB), big),
        pages(
            format!("{} MiB database, 1 % of pages changed", db / MIB),
            db,
        ),
        Workload {
            only_fast_link: true,
            ..change(
                format!("{} MiB entirely rewritten", big / MIB),
                move |src| data::random_file(&src.join("big"), big, 5),
                move |src, round| data::random_file(&src.join("big"), big, 1000 + round as u64),
            )
        },
        first_copy(
            format!("{} MiB new, incompressible", big / MIB),
            true,
            move |src, round| data::random_file(&src.join("new"), big, 2000 + round as u64),
        ),
        change(
            format!("{moved} MiB directory renamed"),
            move |src| data::directory(&src.join("dir-0"), moved, MIB),
            |src, round| {
                let name = |round: usize| src.join(format!("dir-{round}"));
                std::fs::rename(name(round), name(round + 1)).unwrap();
            },
        ),
    ];
    // Real text, beside the one that is made up above: only this one has what it says twice.
    if let Some(row) = real {
        rows.insert(1, row);
    }
    rows
}

fn change(
    name: String,
    prepare: impl FnMut(&Path) + 'static,
    change: impl FnMut(&Path, usize) + 'static,
) -> Workload {
    Workload {
        name,
        keep: Keep::Changes,
        only_fast_link: false,
        prepare: Box::new(prepare),
        change: Box::new(change),
    }
}

fn no_change(name: String, prepare: impl FnMut(&Path) + 'static) -> Workload {
    change(name, prepare, |_, _| {})
}

fn first_copy(
    name: String,
    only_fast_link: bool,
    make: impl FnMut(&Path, usize) + 'static,
) -> Workload {
    Workload {
        keep: Keep::Nothing,
        only_fast_link,
        ..change(name, |_| {}, make)
    }
}

/// A big file of which little changes.
fn scattered(name: &str, bytes: u64) -> Workload {
    let mut noise = Noise::new(7);
    change(
        name.to_owned(),
        move |src| data::random_file(&src.join("big"), bytes, 3),
        move |src, _| data::scatter(&src.join("big"), bytes, 10, 100, &mut noise),
    )
}

fn pages(name: String, bytes: u64) -> Workload {
    let mut noise = Noise::new(11);
    let edits = (bytes / 4096 / 100) as usize;
    change(
        name,
        move |src| data::database(&src.join("db"), bytes),
        move |src, _| data::scatter(&src.join("db"), bytes, edits, 64, &mut noise),
    )
}
