//! Trees before and after, one pair for each kind of change, and one with all kinds at once.

use std::collections::BTreeMap;
use std::path::Path;

use rsyn::disk::Root;
use rsyn::model::Mtime;

use crate::support::Dir;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obj {
    File(String, u32),
    Dir(u32),
    Link(&'static str),
}

/// Path to object.
pub type Rows = BTreeMap<&'static str, Obj>;

fn file(content: &str, mode: u32) -> Obj {
    Obj::File(content.to_owned(), mode)
}

fn rows<const N: usize>(rows: [(&'static str, Obj); N]) -> Rows {
    rows.into_iter().collect()
}

/// Makes the tree below `dir` the one of `new`, where `old` stood.
pub fn edit(dir: &Dir, old: &Rows, new: &Rows) {
    for (path, obj) in old.iter().rev() {
        if new.get(path) != Some(obj)
            && dir.has(path)
            && !matches!((obj, new.get(path)), (Obj::Dir(_), Some(Obj::Dir(_))))
        {
            dir.remove(path);
        }
    }
    for (path, obj) in new {
        if old.get(path) == Some(obj) && dir.has(path) {
            continue;
        }
        match obj {
            Obj::Dir(mode) => {
                dir.mkdir(path);
                dir.chmod(path, *mode);
            }
            Obj::Link(target) => dir.link(path, target),
            Obj::File(content, mode) => {
                dir.write(path, content);
                dir.chmod(path, *mode);
            }
        }
        if !matches!(obj, Obj::Dir(_)) {
            set_mtime(&dir.at(path), obj);
        }
    }
}

/// An mtime that goes with the content, so that a wrong one shows.
fn set_mtime(path: &Path, obj: &Obj) {
    let weight = match obj {
        Obj::File(content, _) => content.len(),
        Obj::Link(target) => target.len(),
        Obj::Dir(_) => 0,
    };
    let secs = 1_500_000_000 + i64::try_from(weight).unwrap();
    let mtime = Mtime { secs, nanos: 7 };
    let name = path.file_name().unwrap().as_encoded_bytes();
    Root::open(path.parent().unwrap())
        .unwrap()
        .top()
        .set_mtime(name, mtime)
        .unwrap();
}

/// Text in which nothing repeats, so that no delta is without literals.
fn long(seed: u64, len: usize) -> String {
    crate::support::noise(len / 2, seed)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// What stays in every pair, so that no change is more than half of the tree.
fn stays() -> Rows {
    rows([
        ("stay", Obj::Dir(0o755)),
        ("stay/1", file("one", 0o644)),
        ("stay/2", file("two", 0o644)),
        ("stay/3", file("three", 0o644)),
        ("stay/4", file("four", 0o644)),
    ])
}

fn with(more: Rows) -> Rows {
    let mut rows = stays();
    rows.extend(more);
    rows
}

fn filled() -> Rows {
    rows([
        ("x", Obj::Dir(0o755)),
        ("x/f", file("f", 0o600)),
        ("x/s", Obj::Dir(0o700)),
        ("x/s/l", Obj::Link("../f")),
    ])
}

/// Each kind of change by itself.
pub fn kinds() -> Vec<(&'static str, Rows, Rows)> {
    let one = |obj: Obj| with(rows([("x", obj)]));
    let text = || file("some text", 0o644);
    vec![
        ("create a file", stays(), one(text())),
        (
            "replace a file",
            one(text()),
            one(file("another text", 0o644)),
        ),
        ("delete a file", one(text()), stays()),
        ("change a mode", one(text()), one(file("some text", 0o755))),
        ("create an empty file", stays(), one(file("", 0o600))),
        ("create a link", stays(), one(Obj::Link("nowhere"))),
        (
            "replace a link",
            one(Obj::Link("here")),
            one(Obj::Link("there!")),
        ),
        ("a file becomes a link", one(text()), one(Obj::Link("stay"))),
        ("a link becomes a file", one(Obj::Link("stay")), one(text())),
        ("create a directory", stays(), with(filled())),
        ("delete a directory", with(filled()), stays()),
        ("a file becomes a directory", one(text()), with(filled())),
        ("a directory becomes a file", with(filled()), one(text())),
        (
            "change the mode of a directory",
            one(Obj::Dir(0o755)),
            one(Obj::Dir(0o700)),
        ),
        (
            "patch a large file",
            one(Obj::File(long(1, 200_000), 0o644)),
            one(Obj::File(patched(), 0o644)),
        ),
    ]
}

fn patched() -> String {
    let mut text = long(1, 200_000);
    text.insert_str(90_000, "inserted in the middle");
    text
}

/// All kinds at once.
pub fn mixed() -> (Rows, Rows) {
    let old = with(rows([
        ("bin", Obj::Dir(0o755)),
        ("bin/run", file("run", 0o644)),
        ("docs", Obj::Dir(0o755)),
        ("docs/a.md", file("chapter a", 0o644)),
        ("docs/old", Obj::Dir(0o750)),
        ("docs/old/x", file("x", 0o600)),
        ("docs/old/y", Obj::Link("x")),
        ("large", Obj::File(long(1, 200_000), 0o644)),
        ("latest", Obj::Link("v1")),
        ("notes", file("some notes", 0o644)),
        ("src", Obj::Dir(0o755)),
        ("src/lib", file("library", 0o644)),
        ("src/gone", file("not needed", 0o644)),
    ]));
    let new = with(rows([
        ("bin", Obj::Dir(0o755)),
        ("bin/run", file("run", 0o755)),
        ("docs", file("docs are a file now", 0o644)),
        ("extra", Obj::Dir(0o700)),
        ("extra/deep", Obj::Dir(0o750)),
        ("extra/deep/file", file("deep", 0o400)),
        ("extra/empty", file("", 0o644)),
        ("large", Obj::File(patched(), 0o644)),
        ("latest", Obj::Link("v2!")),
        ("notes", Obj::Dir(0o755)),
        ("notes/today", file("notes of today", 0o644)),
        ("src", Obj::Dir(0o750)),
        ("src/lib", file("library, improved", 0o644)),
        ("src/main", file("main", 0o644)),
    ]));
    (old, new)
}

/// So many files, each for a directory of its own that is there already, that one sync of the file system is cheaper than
/// one of each.
pub fn many() -> (Rows, Rows) {
    let mut old = stays();
    old.insert("many", Obj::Dir(0o755));
    let mut new = old.clone();
    for n in 0..300 {
        let [dir, name] = [format!("many/{n}"), format!("many/{n}/file")];
        let dir: &'static str = dir.leak();
        old.insert(dir, Obj::Dir(0o755));
        new.insert(dir, Obj::Dir(0o755));
        new.insert(name.leak(), file(&format!("content {n}"), 0o644));
    }
    (old, new)
}
