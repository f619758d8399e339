//! What the hub and a machine remember of deletions and generations, where trusting it blindly would lose work.

use crate::support::{Dir, Machine, Sandbox};

#[test]
fn a_file_that_is_made_again_with_its_old_content_is_new() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "hello");
    a.ok(&["push"]);
    a.remove("f");
    a.ok(&["push"]);

    a.write("f", "hello");

    assert_eq!(a.ok(&["pull", "--json"]).actions(), [""; 0]);
    assert_eq!(a.ok(&["push", "--json"]).actions(), ["create f"]);
}

#[test]
fn a_rollback_of_a_pulled_deletion_lasts() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "hello");
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    b.remove("f");
    b.ok(&["push"]);
    a.ok(&["pull"]);
    assert!(!a.has("f"));

    a.ok(&["rollback", "-y"]);

    assert_eq!(a.ok(&["pull", "--json"]).actions(), [""; 0]);
    let run = a.ok(&["push", "--force", "--json"]);
    assert_eq!(run.actions(), ["create f"]);
}

#[test]
fn an_old_copy_on_a_machine_that_never_synced_is_still_deleted() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "hello");
    a.ok(&["push"]);
    a.remove("f");
    a.ok(&["push"]);
    let c = world.project("c");
    c.write("f", "hello");

    assert_eq!(c.ok(&["pull", "--json"]).actions(), ["delete f"]);
}

#[test]
fn a_deletion_holds_on_a_machine_of_the_same_name() {
    let world = Sandbox::new();
    let a = world.project("a").with("RSYN_MACHINE", "debian");
    a.write("f", "hello");
    a.ok(&["push"]);
    a.remove("f");
    a.ok(&["push"]);
    let b = world.project("b").with("RSYN_MACHINE", "debian");
    b.write("f", "hello");

    assert_eq!(b.ok(&["sync", "--json"]).actions(), ["delete f"]);
    a.ok(&["status"])
        .says("several machines of this hub are called debian");
    a.ok(&["setup"])
        .says("several machines of this hub are called debian");

    // Nor does a machine that lost its memory bring it back.
    std::fs::remove_dir_all(a.at(".rsyn")).unwrap();
    a.write("f", "hello");
    assert_eq!(a.ok(&["sync", "--json"]).actions(), ["delete f"]);
}

#[test]
fn an_old_copy_that_a_run_left_in_place_does_not_come_back_with_the_next() {
    let leave: [&[&str]; 3] = [
        &["push"],
        &["pull", "--no-delete"],
        &["sync", "--only", "rsyn.toml"],
    ];
    for run in leave {
        let world = Sandbox::new();
        let a = world.project("a");
        a.write("f", "hello");
        a.ok(&["push"]);
        a.remove("f");
        a.ok(&["push"]);
        let c = world.project("c");
        c.write("f", "hello");

        c.ok(run);

        assert_eq!(c.ok(&["push", "--json"]).actions(), [""; 0], "{run:?}");
        assert_eq!(c.ok(&["pull", "--json"]).actions(), ["delete f"], "{run:?}");
    }
}

/// A machine that pushed on after the backup that its hub was then brought back from: since then `new` came, `edited`
/// changed, `again` was made again after another machine had deleted it, and `gone` was deleted.
fn with_a_hub_that_went_back_in_time() -> (Sandbox, Machine) {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("edited", "1");
    a.write("gone", "1");
    a.write("again", "1");
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    b.remove("again");
    b.ok(&["push"]);
    a.ok(&["pull"]);
    let (hub, backup) = (world.hub().0.clone(), world.dir("backup").0.clone());
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let done = std::process::Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(to)
            .status();
        assert!(done.unwrap().success());
    };
    copy(&hub, &backup);
    a.write("new", "2");
    a.write("edited", "2");
    a.write("again", "1");
    a.remove("gone");
    a.ok(&["push"]);
    a.ok(&["pull"]);
    std::fs::remove_dir_all(&hub).unwrap();
    copy(&backup, &hub);
    (world, a)
}

#[test]
fn a_hub_that_went_back_in_time_deletes_nothing() {
    let (_world, a) = with_a_hub_that_went_back_in_time();
    for verb in ["pull", "push", "sync"] {
        a.rsyn(&[verb]).exits(4).says("older than at the last sync");
    }
    for file in ["new", "edited", "again"] {
        assert!(a.has(file));
    }
}

#[test]
fn a_forced_push_gives_a_hub_that_went_back_in_time_the_work_of_this_machine() {
    for verb in ["push", "sync"] {
        let (world, a) = with_a_hub_that_went_back_in_time();
        let run = [verb, "--force"];
        let shown = a.ok(&[verb, "--force", "--dry-run", "--json"]).actions();
        let done = a.ok(&[&run[..], &["--json"]].concat()).actions();
        assert_eq!(shown, done, "{verb}");
        // From here on nothing has to be forced, and nothing goes.
        a.ok(&["pull"]);
        a.ok(&["sync"]);
        let hub = world.hub();
        for root in [&*a, &hub] {
            assert_eq!(root.read("new"), b"2", "{verb}");
            assert_eq!(root.read("again"), b"1", "{verb}");
            // A conflict: a sync begins with its pull, in which the hub wins.
            let edited = if verb == "push" { b"2" } else { b"1" };
            assert_eq!(root.read("edited"), edited, "{verb}");
            // Nobody remembers any more that it was deleted.
            assert!(root.has("gone"), "{verb}");
        }
    }
}

#[test]
fn a_forced_pull_takes_a_hub_that_went_back_in_time_as_it_is() {
    let (_world, a) = with_a_hub_that_went_back_in_time();
    a.ok(&["pull", "--force"]);
    assert!(!a.has("new") && a.has("gone"));
    assert_eq!(a.read("edited"), b"1");
    a.ok(&["rollback", "-y"]);
    assert_eq!([a.read("new"), a.read("edited")], [b"2", b"2"]);
}

#[test]
fn what_is_missing_beside_a_memory_that_was_brought_there_was_not_deleted() {
    for how in ["cp -a", "mv"] {
        let world = Sandbox::new();
        let a = world.project("a");
        a.write("f", "1");
        a.write("dir/g", "2");
        a.ok(&["push"]);
        // The project is lost; what is left of it is put beside new work.
        let lost = world.dir("lost").0;
        std::fs::rename(a.at(""), &lost).unwrap();
        let a = world.project("a");
        a.write("new", "3");
        let script = format!("{how} '{}/.rsyn' '{}/'", lost.display(), a.text_path());
        let done = std::process::Command::new("sh")
            .args(["-c", &script])
            .status();
        assert!(done.unwrap().success());

        let shown = a.ok(&["push", "--dry-run", "--json"]);
        assert_eq!(shown.actions(), ["create new"], "{how}");
        let pushed = a
            .ok(&["push", "--json"])
            .says("brought here from elsewhere");
        assert_eq!(pushed.actions(), ["create new"], "{how}");
        // From here on it is the memory of this tree: said once, and deletions are deletions again.
        a.remove("new");
        let pushed = a.ok(&["push", "--json"]).says_no("brought here");
        assert_eq!(pushed.actions(), ["delete new"], "{how}");
        let pulled = a.ok(&["pull", "--json"]).actions();
        assert_eq!(pulled, ["create dir", "create dir/g", "create f"], "{how}");
    }
}

/// `cp -a`.
fn copy(from: &Dir, to: &Dir) {
    let done = std::process::Command::new("cp")
        .arg("-a")
        .args([&from.0, &to.0])
        .status();
    assert!(done.unwrap().success());
}

/// Machine `a` with 12 files on the hub, and its copy as machine `b`.
fn with_a_copy_of_a_machine(before: impl Fn(&Machine)) -> (Sandbox, Machine, Machine) {
    let world = Sandbox::new();
    let a = world.project("a");
    for n in 0..12 {
        a.write(format!("f{n}"), format!("{n}"));
    }
    a.ok(&["push"]);
    before(&a);
    let b = world.machine("b");
    std::fs::remove_dir(b.at("")).unwrap();
    copy(&a, &b);
    (world, a, b)
}

#[test]
fn a_copy_of_a_whole_project_goes_on_and_deletes_what_is_deleted_in_it_from_then_on() {
    let (_world, _a, b) = with_a_copy_of_a_machine(|_| ());
    b.write("new", "1");
    b.ok(&["push"]).says_no("brought here");
    b.remove("f1");
    assert_eq!(b.ok(&["push", "--json"]).actions(), ["delete f1"]);
}

#[test]
fn a_copy_keeps_the_edits_that_came_with_it() {
    let (_world, _a, b) = with_a_copy_of_a_machine(|a| {
        a.write("f1", "edited after the sync");
        a.remove("f2");
    });
    // What was edited since the sync stays ahead; what is missing may have been missing before the copy.
    let pulled = b
        .ok(&["pull", "--json"])
        .says("brought here from elsewhere");
    assert_eq!(pulled.actions(), ["create f2"]);
    assert_eq!(b.text("f1"), "edited after the sync");
    assert_eq!(b.ok(&["push", "--json"]).actions(), ["update f1"]);
}

#[test]
fn the_memory_of_another_clone_neither_deletes_nor_reverts() {
    let world = Sandbox::new();
    let a = world.project("a");
    for n in 0..30 {
        a.write(format!("f{n}"), format!("{n}"));
        a.set_mtime(format!("f{n}"), 1_000_000_000_000_000_000);
    }
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    for n in 30..40 {
        a.write(format!("f{n}"), format!("{n}"));
    }
    a.write("f3", "newer");
    a.remove("f4");
    a.ok(&["push"]);
    let config = b.read(".rsyn/config.toml");
    std::fs::remove_dir_all(b.at(".rsyn")).unwrap();
    copy(&a.dir(".rsyn"), &b.dir(".rsyn"));
    b.write(".rsyn/config.toml", config);

    for verb in [&["push", "--dry-run", "--json"][..], &["push", "--json"]] {
        let run = b.ok(verb).says("brought here from elsewhere");
        let deletes = run.actions().iter().any(|a| a.starts_with("delete"));
        assert!(!deletes, "{:?}", run.actions());
        // One that is older than the sync is no edit: it stands against the hub's, and that is said.
        let update = run.json()["actions"][0].clone();
        assert_eq!(update["path"], "f3");
        assert_eq!(update["conflict"]["winner"], "local", "{update}");
        assert_eq!(run.actions().len(), 1, "{:?}", run.actions());
    }
    b.ok(&["pull"]);
    for root in [&*a, &*b, &world.hub()] {
        assert!(root.has("f39"));
    }
}

#[test]
fn a_brought_memory_that_was_refused_once_knows_of_no_deletion_afterwards() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.write("g", "1");
    a.ok(&["push"]);
    let b = world.machine("b");
    for name in ["f", "g", "rsyn.toml"] {
        copy(&a.dir(name), &b.dir(name));
    }
    a.remove("f");
    a.write("h", "2");
    a.ok(&["sync"]);
    a.write("i", "3");
    a.ok(&["sync"]);
    copy(&a.dir(".rsyn"), &b.dir(".rsyn"));

    b.rsyn(&["pull", "--max-delete", "0"]).exits(4);

    assert_eq!(b.ok(&["push", "--json"]).actions(), [""; 0]);
    assert!(!world.hub().has("f"));
}

#[test]
fn a_moved_hub_whose_first_visitor_has_rules_of_its_own_goes_on() {
    let world = Sandbox::new();
    let a = world.project("a");
    for n in 0..12 {
        a.write(format!("f{n}"), format!("{n}"));
    }
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    a.write("f1", "newer");
    a.ok(&["push"]);
    let moved = world.dir("moved");
    copy(&world.hub(), &moved);
    std::fs::remove_dir_all(world.hub().0).unwrap();
    std::fs::rename(&moved.0, world.hub().0).unwrap();

    a.ok(&["pull", "--exclude", "one run"]);

    assert_eq!(b.ok(&["pull", "--json"]).actions(), ["update f1"]);
}

/// A hub, its backup, and a machine that saw a later state; `reached` is how the machine then names the hub.
fn brought_back(under_another_name: bool, between: impl Fn(&Machine)) -> (Sandbox, Machine, Dir) {
    let world = Sandbox::new();
    let a = world.machine("a");
    a.write(".rsync-exclude", "");
    for n in 0..30 {
        a.write(format!("f{n}"), format!("{n}"));
    }
    a.ok(&["push", "-y", world.hub().text_path()]);
    let b = world.clone_of_hub("b");
    between(&b);
    let backup = world.dir("backup");
    copy(&world.hub(), &backup);
    a.write("new", "1");
    a.write("f3", "edited");
    a.ok(&["push", "-y", world.hub().text_path()]);
    std::fs::remove_dir_all(world.hub().0).unwrap();
    let hub = if under_another_name {
        world.dir("other")
    } else {
        world.hub()
    };
    copy(&backup, &hub);
    for n in 0..6 {
        b.write("b", format!("{n}"));
        b.ok(&["push", "-y", hub.text_path()]);
    }
    (world, a, hub)
}

#[test]
fn a_hub_from_a_backup_is_known_by_its_id_under_any_name() {
    let (_world, a, hub) = brought_back(true, |_| ());
    for verb in ["pull", "push", "sync"] {
        a.rsyn(&[verb, "-y", hub.text_path()])
            .exits(4)
            .says("older than at the last sync");
        a.rsyn(&[verb, "-n", hub.text_path()]).exits(4);
    }
    assert_eq!((a.text("new"), a.text("f3")), ("1".into(), "edited".into()));
    a.ok(&["push", "-y", "--force", hub.text_path()]);
    assert_eq!(
        (hub.text("new"), hub.text("f3")),
        ("1".into(), "edited".into())
    );
}

#[test]
fn rules_of_one_run_do_not_hide_that_a_hub_went_back_in_time() {
    let (_world, a, hub) = brought_back(false, |b| {
        for n in 0..5 {
            b.ok(&["pull", "--exclude", &format!("no{n}")]);
        }
    });
    a.rsyn(&["pull", hub.text_path()])
        .exits(4)
        .says("was it restored from a backup");
    assert!(a.has("new"));
}

#[test]
fn two_copies_of_a_hub_delete_nothing_of_each_other() {
    let world = Sandbox::new();
    let a = world.project("a");
    for n in 0..12 {
        a.write(format!("f{n}"), format!("{n}"));
    }
    a.ok(&["push"]);
    let second = world.dir("second");
    copy(&world.hub(), &second);
    a.write("new", "1");
    a.ok(&["push"]);
    for verb in ["pull", "push", "sync"] {
        a.rsyn(&[verb, "-y", second.text_path()]).exits(4);
    }
    assert!(a.has("new") && world.hub().has("new"));
}

#[test]
fn the_memory_of_a_hub_beside_another_tree_tells_of_no_deletion() {
    let world = Sandbox::new();
    let a = world.project("a");
    for n in 0..12 {
        a.write(format!("f{n}"), format!("{n}"));
    }
    a.ok(&["push"]);
    // The tree of the hub is an older one by now, its memory is not.
    let (hub, older) = (world.hub(), world.dir("older"));
    copy(&hub, &older);
    a.write("new", "1");
    a.ok(&["push"]);
    std::fs::remove_dir_all(older.at(".rsyn")).unwrap();
    copy(&hub.dir(".rsyn"), &older.dir(".rsyn"));
    std::fs::remove_dir_all(&hub.0).unwrap();
    std::fs::rename(&older.0, &hub.0).unwrap();

    for run in [&["pull"][..], &["pull", "-n"], &["push"], &["sync"]] {
        a.rsyn(run)
            .exits(4)
            .says("does not know the state that it had at the last sync");
    }
    let c = world.clone_of_hub("c");
    c.ok(&["pull"]);
    assert!(a.has("new"));
    a.ok(&["push", "--force"]);
    assert!(hub.has("new"));
    a.ok(&["sync"]);
}

#[test]
fn a_hub_that_was_moved_with_its_tree_goes_on() {
    let world = Sandbox::new();
    let a = world.project("a");
    for n in 0..12 {
        a.write(format!("f{n}"), format!("{n}"));
    }
    a.ok(&["push"]);
    let moved = world.dir("moved");
    copy(&world.hub(), &moved);
    std::fs::remove_dir_all(world.hub().0).unwrap();
    std::fs::rename(&moved.0, world.hub().0).unwrap();
    let b = world.clone_of_hub("b");
    b.remove("f1");
    b.ok(&["push"]);
    assert_eq!(a.ok(&["pull", "--json"]).actions(), ["delete f1"]);
}

#[test]
fn rules_of_one_run_forget_nothing_that_was_agreed() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "one");
    a.write("d/gone", "1");
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    for rules in [
        &["pull", "--exclude", "f", "--exclude", "/d"][..],
        &["push", "--exclude", "/d"],
    ] {
        a.ok(rules);
    }
    b.write("f", "two");
    b.ok(&["push"]);
    a.remove("d/gone");

    assert_eq!(a.ok(&["push", "--json"]).actions(), ["delete d/gone"]);
    assert_eq!(
        world.hub().text("f"),
        "two",
        "an unchanged file is no newer version"
    );
    assert_eq!(a.ok(&["pull", "--json"]).actions(), ["update f"]);
}

#[test]
fn rules_that_last_forget_even_in_a_run_that_has_rules_of_its_own() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "one");
    a.ok(&["push"]);
    a.write(".rsync-exclude", "/f\n");
    a.ok(&["push", "--exclude", "other"]);
    a.remove("f");
    a.write(".rsync-exclude", "");

    assert_eq!(
        a.ok(&["pull", "--json", "--only", "f"]).actions(),
        ["create f"],
        "what is deleted while it is out of scope is no deletion"
    );
}
