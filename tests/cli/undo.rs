//! Every sync can be undone, here and on the hub, and so can the undoing.

use crate::support::{Dir, Machine, Sandbox, assert_same, assert_untouched};

/// A machine that pulled a change of every kind; with the tree before and after.
fn pulled() -> (Sandbox, Machine, crate::support::Tree, crate::support::Tree) {
    let world = Sandbox::new();
    let a = world.project("a");
    let hub = world.hub();
    for file in ["changed", "gone", "dir/gone", "mode", "to dir"] {
        a.write(file, file);
        a.set_mtime(file, 1_600_000_000_123_456_789);
    }
    a.link("link", "changed");
    a.ok(&["push"]);
    a.write("mine alone", "stays");
    let before = a.tree();
    hub.write("changed", "new content");
    hub.remove("gone");
    hub.remove("dir");
    hub.chmod("mode", 0o600);
    hub.remove("to dir");
    hub.write("to dir/inside", "1");
    hub.remove("link");
    hub.link("link", "mode");
    hub.write("created/here", "1");
    a.ok(&["pull"]);
    let after = a.tree();
    (world, a, before, after)
}

#[test]
fn a_rollback_brings_everything_back_to_the_nanosecond() {
    let (_world, a, before, after) = pulled();
    assert_ne!(before, after);

    let run = a.ok(&["rollback", "-y", "--json"]);

    assert_eq!(run.result(), "ok");
    assert_same(&before, &a.tree());
}

#[test]
fn a_rollback_of_a_rollback_brings_the_sync_back() {
    let (_world, a, before, after) = pulled();
    a.ok(&["rollback", "-y"]);
    a.ok(&["rollback", "-y"]).says("rolled back");
    assert_same(&after, &a.tree());
    a.ok(&["rollback", "-y"]);
    assert_same(&before, &a.tree());
}

#[test]
fn a_dry_run_of_a_rollback_tells_what_it_does_and_writes_nothing() {
    let (_world, a, ..) = pulled();
    let touch = a.touch();

    let dry = a.ok(&["rollback", "--dry-run", "--json"]).json();
    a.ok(&["rollback", "-n"]).says("nothing was changed");
    assert_untouched(&touch, &a.touch());

    let real = a.ok(&["rollback", "-y", "--json"]).json();
    assert_eq!(dry["result"], "dry_run");
    assert_eq!(dry["actions"], real["actions"]);
    assert_eq!(dry["id"], real["id"]);
    assert!(dry["actions"].as_array().unwrap().len() > 8);
}

#[test]
fn a_rollback_is_refused_where_paths_changed_since_and_names_them() {
    let (_world, a, ..) = pulled();
    a.write("changed", "work since");
    let before = a.tree();

    for more in [&["--dry-run"][..], &[]] {
        let run = a
            .rsyn(&[&["rollback", "-y", "--json"], more].concat())
            .exits(7);
        let json = run.json();
        assert!(
            json["error"]["message"]
                .as_str()
                .unwrap()
                .contains("changed"),
            "{json}"
        );
    }

    assert_same(&before, &a.tree());
}

#[test]
fn a_rollback_of_the_hub_brings_its_tree_back() {
    let world = Sandbox::new();
    let a = world.project("a");
    let hub = world.hub();
    a.write("f", "1");
    a.write("gone", "1");
    a.ok(&["push"]);
    let before = hub.tree();
    a.write("f", "2");
    a.remove("gone");
    a.write("new/file", "1");
    a.ok(&["push"]);
    let after = hub.tree();

    let touch = hub.touch();
    let dry = a
        .ok(&["rollback", "--remote", "--dry-run", "--json"])
        .json();
    assert_untouched(&touch, &hub.touch());
    let real = a.ok(&["rollback", "--remote", "-y", "--json"]).json();

    assert_eq!(dry["actions"], real["actions"]);
    assert_same(&before, &hub.tree());
    a.ok(&["rollback", "--remote", "-y"]);
    assert_same(&after, &hub.tree());
}

#[test]
fn an_older_snapshot_is_rolled_back_by_its_id() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.write("g", "1");
    a.ok(&["push"]);
    world.hub().write("f", "2");
    let first = a.ok(&["pull", "--json"]).json()["snapshot"].clone();
    world.hub().write("g", "2");
    a.ok(&["pull"]);

    a.ok(&["rollback", first.as_str().unwrap()]);

    assert_eq!(a.text("f") + &a.text("g"), "12");
}

#[test]
fn a_snapshot_that_is_not_there_is_wrong_usage() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.rsyn(&["rollback", "-y"]).exits(2);
    a.ok(&["push"]);
    a.rsyn(&["rollback", "-y"]).exits(2).says("no snapshot");
    for id in ["no-such-id", "../../etc", ""] {
        a.rsyn(&["rollback", id]).exits(2);
        a.rsyn(&["rollback", "--remote", id]).exits(2);
    }
}

#[test]
fn verbose_names_every_path_of_a_long_rollback() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.ok(&["push"]);
    for number in 0..220 {
        world.hub().write(format!("f{number:03}"), "1");
    }
    a.ok(&["pull"]);
    a.ok(&["rollback", "-n"])
        .says("-v shows all")
        .says_no("f219");
    a.ok(&["rollback", "-n", "-v"])
        .says("f219")
        .says_no("-v shows all");
}

#[test]
fn snapshots_are_listed_newest_first_with_their_size() {
    let (_world, a, ..) = pulled();
    a.ok(&["rollback", "-y"]);
    let json = a.ok(&["snapshots", "--json"]).json();
    let all = json["snapshots"].as_array().unwrap();
    let labels: Vec<_> = all.iter().map(|s| s["label"].as_str().unwrap()).collect();
    assert!(labels[0].starts_with("rollback"), "{labels:?}");
    assert!(
        labels[1..].iter().all(|l| l.starts_with("pull")),
        "{labels:?}"
    );
    for snapshot in all {
        assert!(snapshot["changes"].as_u64().unwrap() > 0);
        assert!(snapshot["when"].as_str().unwrap().contains('T'));
    }
    a.ok(&["snapshots"]).says(all[0]["id"].as_str().unwrap());
    let hub = a.ok(&["snapshots", "--remote", "--json"]).json();
    assert!(hub["snapshots"].is_array());
}

#[test]
fn a_rollback_keeps_what_the_sync_did_not_touch() {
    let (_world, a, ..) = pulled();
    a.write("made since", "1");
    a.write("mine alone", "edited since");
    a.ok(&["rollback", "-y"]);
    assert_eq!(a.text("made since"), "1");
    assert_eq!(a.text("mine alone"), "edited since");
}

/// A machine and its hub, of which one got a directory by a sync in the place of a file, and another one.
fn with_directories(at: &[&str]) -> (Sandbox, Machine, Dir) {
    let world = Sandbox::new();
    let a = world.project("a");
    let hub = world.hub();
    a.write("room", "a file");
    a.ok(&["push"]);
    let mine = Dir::clone(&a);
    let (maker, taker, verb) = match at {
        [] => (hub, mine, "pull"),
        _ => (mine, hub, "push"),
    };
    maker.remove("room");
    maker.write("room/for/it", "1");
    maker.write("made/f", "1");
    maker.write("made/deep/g", "1");
    a.ok(&[verb]);
    (world, a, taker)
}

const SIDES: [&[&str]; 2] = [&[], &["--remote"]];

#[test]
fn a_rollback_that_needs_the_room_of_newer_files_is_refused_by_its_dry_run_too() {
    for at in SIDES {
        let (_world, a, side) = with_directories(at);
        side.write("room/for/newer", "work since");
        let before = side.tree();

        for more in [&["--dry-run"][..], &[]] {
            let run = a.rsyn(&[&["rollback", "-y", "--json"], at, more].concat());
            let json = run.exits(7).json();
            let message = json["error"]["message"].as_str().unwrap();
            assert!(message.contains("room/for/newer"), "{json}");
        }

        assert_same(&before, &side.tree());
    }
}

#[test]
fn a_directory_that_stays_for_what_is_in_it_is_told_by_a_rollback_and_by_its_dry_run() {
    for at in SIDES {
        let (_world, a, side) = with_directories(at);
        side.write("made/deep/newer", "work since");
        let said = |more: &[&str]| a.ok(&[&["rollback", "-y", "--json"], at, more].concat());
        let (dry, real) = (said(&["--dry-run"]), said(&[]));

        assert_eq!(dry.actions(), real.actions());
        let expected = [
            "delete made/deep/g",
            "delete made/f",
            "update room",
            "delete room/for",
            "delete room/for/it",
        ];
        assert_eq!(dry.actions(), expected);
        let warnings = dry.json()["warnings"].clone();
        assert_eq!(warnings, real.json()["warnings"]);
        let dirs: Vec<_> = warnings
            .as_array()
            .unwrap()
            .iter()
            .map(|line| {
                let line = line.as_str().unwrap();
                line.split_once(" stays ").unwrap().0
            })
            .collect();
        assert_eq!(dirs, ["\"made\"", "\"made/deep\""]);
        assert_eq!(side.text("made/deep/newer"), "work since");
        assert_eq!(side.text("room"), "a file");
        assert!(!side.has("made/f"));
    }
}

#[test]
fn more_snapshots_of_a_hub_than_fit_a_message_are_all_listed() {
    let world = Sandbox::new();
    let a = world
        .project("a")
        .with("RSYN_MACHINE", "machine ".repeat(32));
    let hub = world.hub();
    a.write("f", "1");
    a.ok(&["push"]);
    a.write("f", "2");
    a.ok(&["push"]);
    let snap = hub.dir(".rsyn/snap");
    let ids = snap.names("");
    let plan = snap.read(format!("{}/plan", ids[0]));
    for n in 0..4500 {
        snap.write(format!("{n:016x}/plan"), &plan);
    }

    let json = a.ok(&["snapshots", "--remote", "--json"]).json();

    let all = json["snapshots"].as_array().unwrap();
    assert_eq!(all.len(), ids.len() + 4500);
    let label = all[0]["label"].as_str().unwrap();
    assert!(label.len() * all.len() > 1 << 20, "{label}");
}

#[test]
fn settings_that_a_pull_brought_and_that_stop_every_run_can_be_undone() {
    let brought = [
        ("rsyn.toml", "remote = [", "rsyn.toml is passed over"),
        (".env", "", ".env is no regular file"),
        (".env", "RSYN_OPTIONS=--no-such\n", ""),
    ];
    for (file, content, words) in brought {
        let world = Sandbox::new();
        let a = world.project("a");
        a.write("f", "1");
        a.ok(&["push"]);
        let before = a.tree();
        match content {
            "" => world.hub().link(file, "f"),
            content => world.hub().write(file, content),
        }
        world.hub().write("f", "22");
        a.ok(&["pull"]);

        let shown: [&[&str]; 5] = [
            &["snapshots"],
            &["log"],
            &["recover"],
            &["restore", "f", "-o", "-"],
            &["rollback", "-n"],
        ];
        for verb in shown {
            a.ok(verb).says(words);
        }
        // On the hub f was edited by hand since the push: that is said where the settings can be read.
        let needs_settings = a.rsyn(&["rollback", "--remote", "-n"]);
        needs_settings.exits(if words.starts_with(".env") { 7 } else { 2 });
        a.ok(&["rollback", "-y"]).says(words).says("rolled back");

        assert_same(&before, &a.tree());
        a.ok(&["pull", "-n"]);
    }
}

#[test]
fn a_link_in_the_place_of_dotenv_stops_no_sync_and_is_told() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.link(".env", "nowhere");
    a.ok(&["push"]).says(".env is no regular file");
    world.hub().write("f", "1");
    a.ok(&["pull"]).says(".env is no regular file");
    assert_eq!(a.text("f"), "1");
}
