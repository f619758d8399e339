//! What the hub and a machine remember of deletions and generations, where trusting it blindly would lose work.

use crate::support::{Machine, Sandbox};

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

    a.ok(&["rollback"]);

    assert_eq!(a.ok(&["pull", "--json"]).actions(), [""; 0]);
    assert_eq!(a.ok(&["push", "--json"]).actions(), ["create f"]);
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
    a.ok(&["rollback"]);
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

#[test]
fn a_copy_of_a_whole_project_knows_what_was_deleted_in_it() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.write("g", "2");
    a.ok(&["push"]);
    a.remove("g");
    let b = world.machine("b");
    std::fs::remove_dir(b.at("")).unwrap();
    let script = format!("cp -a '{}' '{}'", a.text_path(), b.text_path());
    let done = std::process::Command::new("sh")
        .args(["-c", &script])
        .status();
    assert!(done.unwrap().success());

    let pushed = b.ok(&["push", "--json"]).says_no("brought here");

    assert_eq!(pushed.actions(), ["delete g"]);
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
