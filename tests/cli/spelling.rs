//! A disk that takes names for one which differ in case or Unicode form alone. None is at hand: a second name of the one by
//! which a root asks its disk stands for it.

use crate::support::{Machine, Sandbox};

const ASKED: &str = "Spelling-\u{e9}";
const OTHERS: [&str; 3] = ["spelling-\u{e9}", "Spelling-\u{c9}", "Spelling-e\u{301}"];

/// Two machines in step; the disk of the second one folds.
fn two() -> (Sandbox, Machine, Machine) {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("Name", "name\n");
    a.write("Docs/a", "a\n");
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    for other in OTHERS {
        let at = |name| b.at(format!(".rsyn/names/{name}"));
        std::fs::hard_link(at(ASKED), at(other)).unwrap();
    }
    (world, a, b)
}

#[test]
fn of_two_names_that_a_disk_takes_for_one_the_second_one_waits_and_all_else_comes() {
    let (world, a, b) = two();
    a.write("name", "another\n");
    a.write("e\u{301}", "decomposed\n");
    a.write("\u{e9}", "composed\n");
    a.write("else", "else\n");
    a.ok(&["push"]);
    for args in [&["pull", "-n"][..], &["pull"], &["pull"]] {
        b.ok(args)
            .says("\"name\" stays out here: the disk takes it and \"Name\" for one name")
            .says("keep    name");
    }
    let json = b.ok(&["pull", "--json"]).json();
    let kept: Vec<_> = json["kept"].as_array().unwrap().iter().collect();
    let reasons = kept.iter().map(|kept| kept["reason"].as_str().unwrap());
    assert_eq!(reasons.collect::<Vec<_>>(), ["name_taken", "name_taken"]);
    b.ok(&["status"]).says("\"name\" stays out here");
    assert_eq!(b.text("Name"), "name\n");
    assert_eq!(b.text("else"), "else\n");
    assert!(!b.has("name") && b.has("e\u{301}") && !b.has("\u{e9}"));

    // Nothing of it is deleted anywhere, and what has the name goes on.
    b.write("Name", "edited\n");
    b.ok(&["sync"]);
    let hub = world.hub();
    assert_eq!(hub.text("name"), "another\n");
    assert_eq!(hub.text("Name"), "edited\n");
    assert!(hub.has("\u{e9}"));
    b.remove("Name");
    b.ok(&["push"]);
    b.ok(&["pull"]);
    assert_eq!(b.text("name"), "another\n");
    assert!(!hub.has("Name"));
}

#[test]
fn a_rename_that_changes_the_case_alone_comes_through_and_is_undone() {
    let (_world, a, b) = two();
    let before = b.tree();
    for (old, new) in [("Name", "name"), ("Docs", "docs")] {
        std::fs::rename(a.at(old), a.at(new)).unwrap();
    }
    a.write("docs/a", "changed\n");
    a.ok(&["push"]);
    b.ok(&["pull"]);
    crate::support::assert_same(&a.tree(), &b.tree());
    b.ok(&["rollback", "-y"]);
    crate::support::assert_same(&before, &b.tree());
}

#[test]
fn a_directory_with_something_excluded_inside_keeps_its_old_name_and_its_content() {
    let (_world, a, b) = two();
    b.write(".rsync-exclude", ".DS_Store\n");
    b.write("Docs/.DS_Store", "finder");
    std::fs::rename(a.at("Docs"), a.at("docs")).unwrap();
    a.write("else", "else\n");
    a.ok(&["push"]);
    b.ok(&["pull"]).says("\"docs\" stays out here");
    assert_eq!(b.text("Docs/a"), "a\n");
    assert_eq!(b.text("else"), "else\n");
    b.ok(&["push"]);
    assert!(a.has("docs/a"));
    // The user does it.
    std::fs::rename(b.at("Docs"), b.at("docs")).unwrap();
    b.ok(&["sync"]);
    assert!(!b.ok(&["status"]).all().contains("stays out"));
    assert_eq!(a.ok(&["pull"]).code, 0);
    assert!(a.has("docs/a") && !a.has("Docs"));
}

#[test]
fn a_hub_whose_disk_folds_takes_one_of_two_names() {
    let (world, a, _b) = two();
    let hub = world.hub();
    for other in OTHERS {
        let at = |name| hub.at(format!(".rsyn/names/{name}"));
        std::fs::hard_link(at(ASKED), at(other)).unwrap();
    }
    a.write("name", "another\n");
    a.write("else", "else\n");
    for _ in 0..2 {
        a.ok(&["push"]).says("\"name\" stays out on the hub");
    }
    assert!(hub.has("else") && !hub.has("name"));
    a.ok(&["pull"]);
    assert_eq!(a.text("name"), "another\n");
    a.ok(&["setup"]).says("names there");
}

#[test]
fn a_link_that_a_disk_refuses_stays_out_and_all_else_comes() {
    let (world, a, b) = two();
    let hub = world.hub();
    // What stands in the place of the link that is tried there.
    let refuse = |dir: &crate::support::Dir| {
        dir.mkdir(".rsyn/names/link");
        dir.remove(".rsyn/names/links");
    };
    a.link("link", "Name");
    a.write("else", "else\n");
    refuse(&hub);
    for _ in 0..2 {
        a.ok(&["push"])
            .says("\"link\" stays out on the hub: the disk refuses");
    }
    assert!(hub.has("else") && !hub.has("link"));
    assert!(a.has("link"));

    hub.link("link", "Docs");
    hub.write("more", "more\n");
    refuse(&b);
    b.ok(&["pull", "-n"]).says("keep    link");
    b.ok(&["pull"])
        .says("\"link\" stays out here: the disk refuses");
    let json = b.ok(&["pull", "--json"]).json();
    assert_eq!(json["kept"][0]["reason"], "cannot_hold");
    b.ok(&["sync"]);
    assert!(b.has("more") && !b.has("link") && hub.has("link"));
    for n in 0..12 {
        hub.link(format!("link{n}"), "Docs");
    }
    b.rsyn(&["pull"]).exits(4).says("cannot hold 13 of");
}

/// All files and directories of `dir` show the bits of a disk that keeps none. What is no file cannot tell that they are kept.
fn show_no_modes(dir: &crate::support::Dir) {
    dir.remove(".rsyn/names/mode");
    dir.link(".rsyn/names/mode", "tried");
    for path in ["Name", "Docs", "Docs/a", "secret", "new"] {
        if dir.has(path) {
            dir.chmod(path, 0o755);
        }
    }
}

fn mode_of(dir: &crate::support::Dir, path: &str) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    let there = std::fs::metadata(dir.at(path)).unwrap();
    there.permissions().mode() & 0o777
}

#[test]
fn a_disk_that_keeps_no_permission_bits_gives_none_to_other_machines() {
    let (world, a, b) = two();
    let hub = world.hub();
    a.write("secret", "secret\n");
    a.chmod("secret", 0o600);
    a.ok(&["push"]);
    b.ok(&["pull"]);
    show_no_modes(&b);
    assert!(b.ok(&["push", "--json"]).actions().is_empty());
    b.write("secret", "edited\n");
    b.write("new", "new\n");
    show_no_modes(&b);
    b.ok(&["push"]);
    assert_eq!(hub.text("secret"), "edited\n");
    assert_eq!(mode_of(&hub, "secret"), 0o600);
    assert_eq!(mode_of(&hub, "new"), 0o644);
    a.ok(&["pull"]);
    assert_eq!(mode_of(&a, "secret"), 0o600);

    // Bits of others come, and what came is undone, whatever the disk shows.
    a.chmod("Name", 0o640);
    a.write("secret", "once more\n");
    a.ok(&["push"]);
    b.ok(&["pull"]);
    show_no_modes(&b);
    assert!(b.ok(&["sync", "--json"]).actions().is_empty());
    b.ok(&["rollback", "-y"]);
    assert_eq!(b.text("secret"), "edited\n");
}

#[test]
fn a_hub_whose_disk_keeps_no_permission_bits_takes_none_from_its_machines() {
    let (world, a, _b) = two();
    let hub = world.hub();
    a.write("secret", "secret\n");
    a.chmod("secret", 0o600);
    a.ok(&["push"]);
    show_no_modes(&hub);
    for args in [&["pull", "--json"], &["push", "--json"]] {
        assert!(a.ok(args).actions().is_empty());
    }
    hub.write("secret", "of the hub\n");
    show_no_modes(&hub);
    a.ok(&["pull"]);
    assert_eq!(a.text("secret"), "of the hub\n");
    assert_eq!(mode_of(&a, "secret"), 0o600);
}
