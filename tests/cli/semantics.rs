//! The table of `docs/semantics.md`, row by row, for pull and for push.

use crate::sides::{Sides, both_ways};
use crate::support::{Sandbox, assert_same};

#[test]
fn equal_changes_of_both_sides_are_no_conflict() {
    both_ways(&["f"], |s| {
        s.ours.write("f", "same");
        s.theirs.write("f", "same");
        s.ours.write("new", "same");
        s.theirs.write("new", "same");
        let run = s.does(&[], &[]);
        assert_eq!(run.result(), "nothing_to_do");
        s.theirs.write("f", "later");
        s.does(&["update f"], &[]);
    });
}

#[test]
fn what_theirs_changed_is_taken() {
    both_ways(&["content", "mode"], |s| {
        s.theirs.write("content", "new");
        s.theirs.chmod("mode", 0o755);
        s.theirs.write("created", "new");
        s.theirs.mkdir("dir");
        s.theirs.link("link", "content");
        s.does(
            &[
                "update content",
                "create created",
                "create dir",
                "create link",
                "meta mode",
            ],
            &[],
        );
        s.are_in_step();
    });
}

#[test]
fn what_theirs_deleted_is_deleted() {
    both_ways(&["f", "dir/one", "dir/two"], |s| {
        s.theirs.remove("f");
        s.theirs.remove("dir");
        s.does(
            &["delete dir", "delete dir/one", "delete dir/two", "delete f"],
            &[],
        );
        s.are_in_step();
        assert!(!s.ours.has("dir"));
    });
}

#[test]
fn what_ours_changed_alone_is_kept() {
    both_ways(&["content", "mode", "gone"], |s| {
        s.ours.write("content", "new");
        s.ours.chmod("mode", 0o755);
        s.ours.write("created", "new");
        s.ours.remove("gone");
        let before = s.ours.tree();
        let kept = ["content", "created", "gone", "mode"].map(|p| s.alone_at(p));
        let run = s.does(&[], &kept.each_ref().map(String::as_str));
        assert_eq!(run.result(), "nothing_to_do");
        assert_same(&before, &s.ours.tree());
    });
}

#[test]
fn where_both_changed_theirs_wins_and_a_rollback_brings_ours_back() {
    both_ways(&["f"], |s| {
        s.ours.write("f", "ours");
        s.theirs.write("f", "theirs");
        let run = s.does(&["update f"], &[]);
        let conflict = &run.of("f")["conflict"];
        assert_eq!(conflict["policy"], "default");
        assert_eq!(conflict["winner"], s.their_name());
        for version in ["base", "local", "remote"] {
            assert_eq!(conflict[version].as_str().unwrap().len(), 64, "{version}");
        }
        assert_eq!(run.json()["summary"]["conflicts"], 1);
        assert_eq!(s.ours.text("f"), "theirs");

        let rollback = match s.verb {
            "pull" => &["rollback", "-y"][..],
            _ => &["rollback", "--remote", "-y"],
        };
        s.machine.ok(rollback);
        assert_eq!(s.ours.text("f"), "ours");
    });
}

#[test]
fn an_edit_of_ours_beats_a_deletion_of_theirs() {
    both_ways(&["f"], |s| {
        s.ours.write("f", "edited");
        s.theirs.remove("f");
        let run = s.does(&[], &["edit_kept f"]);
        let conflict = &run.of("f")["conflict"];
        assert_eq!(conflict["winner"], s.our_name());
        assert!(conflict[s.their_name()].is_null());
        assert_eq!(s.ours.text("f"), "edited");
    });
}

#[test]
fn an_edit_of_theirs_beats_a_deletion_of_ours() {
    both_ways(&["f", "dir/inside"], |s| {
        s.ours.remove("f");
        s.ours.remove("dir");
        s.theirs.write("f", "edited");
        s.theirs.write("dir/inside", "edited");
        let run = s.does(&["create dir", "create dir/inside", "create f"], &[]);
        let conflict = &run.of("f")["conflict"];
        assert_eq!(conflict["winner"], s.their_name());
        assert!(conflict[s.our_name()].is_null());
        s.are_in_step();
    });
}

#[test]
fn what_was_never_synced_is_taken_or_kept() {
    for verb in ["pull", "push"] {
        let s = Sides::strangers(verb);
        s.ours.write("ours", "1");
        s.theirs.write("theirs", "2");
        let kept = s.alone_at("ours");
        s.does(&["create theirs"], &[&kept]);
        assert!(s.ours.has("ours") && !s.theirs.has("ours"));
    }
}

#[test]
fn two_files_that_were_never_synced_and_differ_are_a_conflict() {
    for verb in ["pull", "push"] {
        let s = Sides::strangers(verb);
        s.ours.write("f", "ours");
        s.theirs.write("f", "theirs");
        let run = s.does(&["update f"], &[]);
        let conflict = &run.of("f")["conflict"];
        assert!(conflict["base"].is_null());
        assert_eq!(conflict["winner"], s.their_name());
        assert_eq!(s.ours.text("f"), "theirs");
    }
}

/// `b` holds copies of `f` and `g` and knows nothing of the sync they came with; `f` is deleted on the hub.
fn stale_copies(deleted_by_hand: bool) -> (Sandbox, crate::support::Machine) {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "old");
    a.write("g", "other");
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    b.remove(".rsyn");
    if deleted_by_hand {
        world.hub().remove("f");
        a.ok(&["pull"]);
    } else {
        a.remove("f");
        a.ok(&["push"]);
    }
    (world, b)
}

#[test]
fn a_stale_copy_of_something_deleted_is_deleted_on_pull() {
    for by_hand in [false, true] {
        let (world, b) = stale_copies(by_hand);
        let run = b.ok(&["pull", "--json"]);
        assert_eq!(run.actions(), ["delete f"], "by hand: {by_hand}");
        assert!(run.of("f")["reason"].as_str().unwrap().contains("old copy"));
        assert_same(&b.tree(), &world.hub().tree());
    }
}

#[test]
fn a_stale_copy_of_something_deleted_does_not_come_back_on_push() {
    for by_hand in [false, true] {
        let (world, b) = stale_copies(by_hand);
        let run = b.ok(&["push", "--json"]);
        assert_eq!(run.actions(), [""; 0], "by hand: {by_hand}");
        assert_eq!(run.kept(), ["behind f"]);
        assert!(!world.hub().has("f"));
    }
}

#[test]
fn another_content_at_the_place_of_something_deleted_is_new() {
    let (world, b) = stale_copies(false);
    b.write("f", "something else");
    assert_eq!(b.ok(&["pull", "--json"]).kept(), ["ahead f"]);
    assert_eq!(b.ok(&["push", "--json"]).actions(), ["create f"]);
    assert_eq!(world.hub().text("f"), "something else");
}

#[test]
fn a_path_made_again_after_its_deletion_is_no_stale_copy() {
    let (world, b) = stale_copies(false);
    world.hub().write("f", "old");
    let run = b.ok(&["sync", "--json"]);
    assert_eq!(run.result(), "nothing_to_do");
    assert!(b.has("f") && world.hub().has("f"));
}

#[test]
fn a_deleted_file_does_not_come_back_from_a_machine_that_was_away() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.write("g", "1");
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    a.remove("f");
    a.ok(&["push"]);

    let push = b.ok(&["push", "--json"]);
    assert_eq!(push.kept(), ["behind f"]);
    assert!(!world.hub().has("f"));
    b.ok(&["sync"]);
    assert!(!b.has("f"));
    assert_same(&a.tree(), &b.tree());
}

#[test]
fn a_push_from_a_stale_machine_puts_no_old_version_over_a_new_one() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    a.write("f", "2");
    a.ok(&["push"]);

    b.write("other", "b");
    let push = b.ok(&["push", "--json"]);

    assert_eq!(push.actions(), ["create other"]);
    assert_eq!(push.kept(), ["behind f"]);
    assert_eq!(world.hub().text("f"), "2");
}

#[test]
fn a_pull_does_not_undo_unpushed_work() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.ok(&["push"]);
    a.write("f", "2");
    a.write("new", "1");

    a.ok(&["pull"]);
    a.ok(&["pull"]);

    assert_eq!(a.text("f"), "2");
    assert!(a.has("new"));
}

#[test]
fn a_sync_brings_both_sides_together() {
    let world = Sandbox::new();
    let a = world.project("a");
    for file in ["here", "there", "gone here", "gone there", "both"] {
        a.write(file, "1");
    }
    a.ok(&["push"]);
    let hub = world.hub();
    a.write("here", "2");
    hub.write("there", "2");
    a.remove("gone here");
    hub.remove("gone there");
    a.write("both", "mine");
    hub.write("both", "theirs");

    a.ok(&["sync"]);

    assert_same(&a.tree(), &hub.tree());
    assert_eq!(a.text("here") + &a.text("there"), "22");
    assert_eq!(a.text("both"), "theirs");
    assert!(!a.has("gone here") && !a.has("gone there"));
}

#[test]
fn one_kind_takes_the_place_of_another() {
    let kinds = ["file", "dir", "link"];
    for from in kinds {
        for to in kinds.into_iter().filter(|to| *to != from) {
            both_ways(&["other"], |s| {
                let make = |kind: &str| match kind {
                    "file" => s.theirs.write("x", "file"),
                    "dir" => s.theirs.write("x/in/side", "dir"),
                    _ => s.theirs.link("x", "other"),
                };
                make(from);
                s.run(&[]).exits(0);
                s.theirs.remove("x");
                make(to);
                s.run(&[]).exits(0);
                s.are_in_step();
            });
        }
    }
}

#[test]
fn a_directory_that_became_a_file_on_one_side_and_holds_an_edit_on_the_other_loses_nothing() {
    both_ways(&["x/edited", "x/same"], |s| {
        s.theirs.remove("x");
        s.theirs.write("x", "a file now");
        s.ours.write("x/edited", "edited");
        s.run(&[]).exits(0);
        assert_eq!(s.ours.text("x/edited"), "edited");
    });
}

#[test]
fn a_moved_file_is_moved_and_does_not_travel() {
    both_ways(&["keep"], |s| {
        s.theirs.write("old", vec![b'm'; 200_000]);
        s.run(&[]).exits(0);
        std::fs::rename(s.theirs.at("old"), s.theirs.at("new")).unwrap();
        let run = s.does(&["create new", "delete old"], &[]);
        assert_eq!(run.json()["summary"]["literal_bytes"], 0);
        s.are_in_step();
    });
}

#[test]
fn a_moved_directory_keeps_its_files_and_so_does_its_rollback() {
    use std::os::unix::fs::MetadataExt;
    both_ways(&["keep"], |s| {
        let files = |dir: &str| ["/one", "/sub/two"].map(|name| format!("{dir}{name}"));
        for file in files("old") {
            s.theirs.write(&file, file.repeat(500));
        }
        s.run(&[]).exits(0);
        let objects = |dir: &str| {
            files(dir).map(|file| {
                let meta = std::fs::metadata(s.ours.at(&file)).unwrap();
                assert_eq!(meta.nlink(), 1, "{file} is shared");
                meta.ino()
            })
        };
        let before = objects("old");
        std::fs::rename(s.theirs.at("old"), s.theirs.at("new")).unwrap();
        s.run(&[]).exits(0);
        s.are_in_step();
        assert_eq!(objects("new"), before);
        let rollback = match s.verb {
            "pull" => &["rollback", "-y"][..],
            _ => &["rollback", "--remote", "-y"],
        };
        s.machine.ok(rollback);
        assert_eq!(objects("old"), before);
        assert!(!s.ours.has("new"));
    });
}

#[test]
fn an_edit_stays_at_its_path_when_the_rest_of_its_directory_is_moved() {
    use std::os::unix::fs::MetadataExt;
    both_ways(&["keep"], |s| {
        for file in ["old/edited", "old/moved"] {
            s.theirs.write(file, file.repeat(500));
        }
        s.run(&[]).exits(0);
        let ino = |path: &str| std::fs::metadata(s.ours.at(path)).unwrap().ino();
        let moved = ino("old/moved");
        s.ours.append("old/edited", "mine");
        std::fs::rename(s.theirs.at("old"), s.theirs.at("new")).unwrap();
        s.run(&[]).exits(0);
        assert!(s.ours.text("old/edited").ends_with("mine"));
        assert_eq!(s.ours.text("new/edited"), "old/edited".repeat(500));
        assert_eq!(ino("new/moved"), moved);
        assert!(!s.ours.has("old/moved"));
    });
}

#[test]
fn mirror_makes_ours_exactly_theirs_and_the_snapshot_keeps_the_rest() {
    both_ways(&["changed", "gone", "same"], |s| {
        s.ours.write("changed", "mine");
        s.ours.write("extra/file", "mine");
        s.ours.remove("gone");
        let before = s.ours.tree();

        let run = s.run(&["--mirror"]).exits(0);

        assert_eq!(
            run.actions(),
            [
                "update changed",
                "delete extra",
                "delete extra/file",
                "create gone"
            ]
        );
        assert_same(&s.ours.tree(), &s.theirs.tree());
        let rollback = match s.verb {
            "pull" => &["rollback", "-y"][..],
            _ => &["rollback", "--remote", "-y"],
        };
        s.machine.ok(rollback);
        assert_same(&before, &s.ours.tree());
    });
}

#[test]
fn no_delete_deletes_nothing() {
    both_ways(&["gone", "changed"], |s| {
        s.theirs.remove("gone");
        s.theirs.write("changed", "2");
        let run = s.run(&["--no-delete"]).exits(0);
        assert_eq!(run.actions(), ["update changed"]);
        assert_eq!(run.kept(), [s.alone_at("gone")]);
        assert!(s.ours.has("gone"));
        s.does(&["delete gone"], &[]);
    });
}

#[test]
fn only_confines_a_sync_to_a_part() {
    both_ways(&["in/f", "in/gone", "out/f"], |s| {
        s.theirs.write("in/f", "2");
        s.theirs.remove("in/gone");
        s.theirs.write("out/f", "2");
        s.theirs.write("out/new", "2");
        let run = s.run(&["--only", "in"]).exits(0);
        assert_eq!(run.actions(), ["update in/f", "delete in/gone"]);
        assert_eq!(s.ours.text("out/f"), "out/f");
        s.does(&["update out/f", "create out/new"], &[]);
        s.are_in_step();
    });
}

#[test]
fn only_refuses_a_path_that_is_nowhere_or_out_of_scope() {
    both_ways(&["in/f", "f"], |s| {
        s.machine.write(".rsync-exclude", "*.o\n/target/\n");
        s.machine.write("a.o", "1");
        s.machine.write("target/f", "1");
        s.machine.link("link", "in");
        for (path, words) in [
            ("nosuch", "nosuch is neither here nor on the hub"),
            ("in/nosuch", "in/nosuch is neither here nor on the hub"),
            ("a.o", "a.o is excluded by .rsync-exclude"),
            ("target", "target is excluded"),
            ("target/f", "target/f is excluded"),
            ("link/f", "link/f lies behind the link link"),
        ] {
            for more in [&[][..], &["-n"]] {
                let only = ["--only", "in", path];
                s.machine
                    .rsyn(&[&[s.verb], &only[..], more].concat())
                    .exits(2)
                    .says(words);
            }
        }
        // What one side alone has, or none any more since the last sync, is there.
        s.theirs.write("theirs", "1");
        s.run(&["--only", "theirs"]).exits(0);
        s.ours.write("ours", "1");
        s.run(&["--only", "ours"]).exits(0);
        s.ours.remove("in/f");
        s.theirs.remove("in/f");
        s.run(&["--only", "in/f"]).exits(0);
    });
}

#[test]
fn only_takes_paths_relative_to_the_working_directory_and_none_outside() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("sub/in/f", "1");
    a.write("sub/out", "1");
    let sub = world.dir("a/sub").0;

    let run = a.run_in(&sub, &["push", "--only", "in", "--json"]).exits(0);
    assert_eq!(
        run.actions(),
        ["create sub", "create sub/in", "create sub/in/f"]
    );

    a.run_in(&sub, &["push", "--only", "../../elsewhere"])
        .exits(2)
        .says("outside of the project");
}

#[test]
fn no_snapshot_keeps_none() {
    both_ways(&["f"], |s| {
        s.theirs.write("f", "2");
        let run = s.run(&["--no-snapshot"]).exits(0);
        assert!(run.json()["snapshot"].is_null());
        assert_eq!(s.ours.text("f"), "2");
    });
}

#[test]
fn an_mtime_that_changed_alone_is_known_when_the_content_travels_or_newer_decides() {
    let (early, late) = (1_500_000_000_000_000_000, 1_900_000_000_000_000_000);
    let world = Sandbox::new();
    let a = world.project("a");
    let hub = world.hub();
    for file in ["f", "g"] {
        a.write(file, "1");
        a.set_mtime(file, early + 1);
    }
    a.ok(&["push"]);
    let b = world.project("b");
    b.write("g", "b's own");
    b.set_mtime("g", early + 2);
    b.ok(&["pull", "--only", "rsyn.toml"]);

    hub.set_mtime("f", late);
    hub.set_mtime("g", late);

    b.ok(&["pull", "--on-conflict", "newer"]);
    assert_eq!(b.text("g"), "1", "the hub's is the newer");
    for file in ["f", "g"] {
        assert_eq!(b.tree()[file.as_bytes()], hub.tree()[file.as_bytes()]);
    }
}
