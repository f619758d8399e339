//! What snapshots keep stays theirs, and goes only when it is old and nobody else needs it; one altered file does not
//! stand in the way of the rest.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::support::{Dir, Machine, Sandbox};

fn in_step(files: &[&str]) -> (Sandbox, Machine, Dir) {
    let world = Sandbox::new();
    let a = world.project("a");
    for file in files {
        a.write(file, format!("{file}\n"));
    }
    a.ok(&["push"]);
    let hub = world.hub();
    (world, a, hub)
}

fn append_to(dir: &Dir, path: &str) -> File {
    OpenOptions::new().append(true).open(dir.at(path)).unwrap()
}

/// Below `top` the files with this content.
fn files_with(top: &Path, content: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(top).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files_with(&path, content));
        } else if std::fs::read(&path).is_ok_and(|there| there == content) {
            found.push(path);
        }
    }
    found
}

/// Other bytes under the same size and mtime.
fn alter(path: &Path) {
    let was = std::fs::metadata(path).unwrap();
    let content = std::fs::read(path).unwrap().to_ascii_uppercase();
    std::fs::write(path, content).unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(was.modified().unwrap()).unwrap();
    let now = std::fs::metadata(path).unwrap();
    assert_eq!((was.len(), was.mtime_nsec()), (now.len(), now.mtime_nsec()));
}

/// The name beside a path that begins like this.
fn beside(dir: &Dir, begin: &str) -> String {
    let mut names = dir
        .names("")
        .into_iter()
        .filter(|name| name.starts_with(begin));
    let name = names
        .next()
        .unwrap_or_else(|| panic!("nothing begins with {begin}"));
    assert_eq!(names.next(), None);
    name
}

#[test]
fn an_edit_of_a_hard_link_does_not_reach_into_a_snapshot() {
    let (_world, a, hub) = in_step(&["f", "other"]);
    std::fs::hard_link(a.at("f"), a.at("g")).unwrap();
    a.ok(&["push"]);
    hub.write("f", "of the hub\n");
    a.ok(&["pull"]);
    append_to(&a, "g").write_all(b"edited in place\n").unwrap();
    a.ok(&["rollback", "-y"]);
    assert_eq!(a.text("f"), "f\n");
    assert_eq!(a.text("g"), "f\nedited in place\n");

    // On the hub as well.
    std::fs::hard_link(hub.at("other"), hub.at("linked")).unwrap();
    a.ok(&["pull"]);
    a.write("other", "of this machine\n");
    a.ok(&["push", "--force"]);
    append_to(&hub, "linked")
        .write_all(b"edited in place\n")
        .unwrap();
    a.ok(&["rollback", "--remote", "-y"]);
    assert_eq!(hub.text("other"), "other\n");
}

#[test]
fn a_rollback_leaves_an_altered_path_and_undoes_the_rest_here_and_on_the_hub() {
    for side in ["here", "hub", "here, in the tree", "hub, in the tree"] {
        let (_world, a, hub) = in_step(&["one", "two", "three"]);
        let is_hub = side.starts_with("hub");
        let (written, read, verb) = match is_hub {
            true => (&hub, &*a, "push"),
            false => (&*a, &hub, "pull"),
        };
        for file in ["one", "two", "three"] {
            read.write(file, format!("new {file}\n"));
        }
        a.ok(&[verb]);
        match side.ends_with("tree") {
            true => alter(&written.at("two")),
            false => {
                let kept = files_with(&written.at(".rsyn/snap"), b"two\n");
                alter(&kept[0]);
            }
        }
        let args = |more: &[&'static str]| {
            let remote: &[&str] = if is_hub { &["--remote"] } else { &[] };
            [&["rollback", "-y", "--json"][..], remote, more].concat()
        };
        let dry = a.ok(&args(&["-n"]));
        let run = a.ok(&args(&[]));
        assert_eq!(dry.actions(), run.actions(), "{side}");
        assert_eq!(dry.json()["warnings"], run.json()["warnings"], "{side}");
        assert!(
            dry.all().contains("two\\\" stays as it is"),
            "{side}: {}",
            dry.all()
        );
        assert_eq!(written.text("one"), "one\n", "{side}");
        assert_eq!(written.text("three"), "three\n", "{side}");
        let (stays, old) = match side.ends_with("tree") {
            true => ("NEW TWO\n", "two\n"),
            false => ("new two\n", "TWO\n"),
        };
        assert_eq!(written.text("two"), stays, "{side}");
        assert_eq!(
            written.text(beside(written, "two.rsyn-old-")),
            old,
            "{side}"
        );
        // It can itself be undone.
        a.ok(&args(&[]));
        assert_eq!(written.text("one"), "new one\n", "{side}");
        assert!(!written.has(beside_or_none(written)), "{side}");
    }
}

fn beside_or_none(dir: &Dir) -> String {
    let names = dir.names("");
    let found = names.into_iter().find(|name| name.contains(".rsyn-old-"));
    found.unwrap_or_else(|| "nothing of the kind".to_owned())
}

#[test]
fn a_change_inside_a_directory_without_write_permission_is_synced() {
    let (_world, a, hub) = in_step(&["ro/f", "notes"]);
    for dir in [&*a, &hub] {
        dir.chmod("ro", 0o555);
    }
    a.ok(&["push"]);
    a.chmod("ro", 0o755);
    a.write("ro/new", "new\n");
    a.remove("ro/f");
    a.chmod("ro", 0o555);
    a.write("notes", "a day of work\n");
    a.ok(&["push"]);
    assert_eq!(
        (hub.text("notes"), hub.text("ro/new")),
        ("a day of work\n".into(), "new\n".into())
    );
    assert!(!hub.has("ro/f"));
    assert_eq!(
        std::fs::metadata(hub.at("ro")).unwrap().mode() & 0o777,
        0o555
    );
    a.ok(&["rollback", "--remote", "-y"]);
    assert!(hub.has("ro/f") && !hub.has("ro/new"));
    assert_eq!(
        std::fs::metadata(hub.at("ro")).unwrap().mode() & 0o777,
        0o555
    );
}
