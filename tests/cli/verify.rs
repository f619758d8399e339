//! Content that changed behind the back of its stat is found, named, mended, and never carried on.

use crate::support::{Dir, Machine, Sandbox};

const THEN: u64 = 1_600_000_000_123_456_789;

/// Two machines in step with the hub; `dir/file` is the same everywhere.
fn in_step() -> (Sandbox, Machine, Machine) {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("dir/file", "good content");
    a.write("beside", "beside");
    a.set_mtime("dir/file", THEN);
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    (world, a, b)
}

/// What a failing disk does: other bytes, the same size and mtime.
fn rot(place: &Dir) {
    place.write("dir/file", "good?content");
    place.set_mtime("dir/file", THEN);
}

#[test]
fn a_tree_that_is_as_it_was_verifies() {
    let (_world, a, _b) = in_step();
    a.ok(&["verify"]).says("read 3 files");
    a.ok(&["verify", "--remote"]).says("read 3 files");
    let json = a.ok(&["verify", "--json"]).json();
    assert_eq!(
        (json["result"].as_str(), json["files"].as_u64()),
        (Some("ok"), Some(3))
    );
}

#[test]
fn an_altered_file_is_named_and_stays_here_until_it_is_touched() {
    let (world, a, _b) = in_step();
    rot(&a);

    a.rsyn(&["verify"])
        .exits(6)
        .says("ALTERED")
        .says("dir/file")
        .says("--repair");
    a.rsyn(&["push"]).exits(6).says("dir/file").says("touch");
    a.rsyn(&["push", "-c"]).exits(6);
    a.rsyn(&["sync"]).exits(6);
    a.rsyn(&["push", "--dry-run"]).exits(6).says("dir/file");
    assert_eq!(world.hub().text("dir/file"), "good content");

    a.set_mtime("dir/file", THEN + 1_000_000_007);
    a.ok(&["verify"]);
    a.ok(&["push"]);
    assert_eq!(world.hub().text("dir/file"), "good?content");
}

#[test]
fn what_altered_on_the_hub_is_not_pulled() {
    let (world, a, b) = in_step();
    rot(&world.hub());

    b.rsyn(&["pull"])
        .exits(6)
        .says("dir/file")
        .says("verify --remote");
    a.rsyn(&["verify", "--remote"])
        .exits(6)
        .says("ALTERED")
        .says("dir/file");
    assert_eq!(b.text("dir/file"), "good content");
}

#[test]
fn a_repair_takes_the_hubs_copy_and_the_machines_copy() {
    let (world, a, b) = in_step();
    rot(&a);
    a.ok(&["verify", "--repair"])
        .says("repaired")
        .says("the hub");
    assert_eq!(a.text("dir/file"), "good content");
    a.ok(&["verify"]);
    a.ok(&["push"]).says("nothing to do");

    rot(&world.hub());
    a.ok(&["verify", "--remote", "--repair"])
        .says("this machine");
    assert_eq!(world.hub().text("dir/file"), "good content");
    a.ok(&["verify", "--remote"]);
    b.ok(&["pull"]).says("nothing to do");
    a.ok(&["status", "--check"]);
}

#[test]
fn a_repair_takes_a_snapshot_where_the_hub_is_away() {
    let (world, a, _b) = in_step();
    world.hub().write("dir/file", "a newer version");
    a.ok(&["pull"]);
    a.ok(&["rollback", "-y"]);
    a.ok(&["restore", "dir/file"]);
    a.ok(&["push", "--on-conflict", "local"]);
    let mtime = std::fs::metadata(a.at("dir/file"))
        .unwrap()
        .modified()
        .unwrap();
    a.write("dir/file", "a nEWER version");
    let file = std::fs::File::options()
        .write(true)
        .open(a.at("dir/file"))
        .unwrap();
    file.set_modified(mtime).unwrap();
    drop(file);
    std::fs::rename(world.hub().at(""), world.dir("away").at("")).unwrap();

    let run = a.rsyn(&["verify", "--repair"]);

    run.exits(0).says("a snapshot");
    let record = a.ok(&["log", "--json"]).json()["syncs"][0].clone();
    assert_eq!(
        (&record["verb"], &record["peer"], &record["update"]),
        (&"verify".into(), &"snapshots".into(), &1.into())
    );
    assert!(record["snapshots"]["local"].is_string(), "{record}");
    assert_eq!(a.text("dir/file"), "a newer version");
}

fn mode(place: &Dir) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(place.at("dir/file")).unwrap();
    meta.permissions().mode() & 0o777
}

#[test]
fn a_repair_keeps_the_permission_bits_of_now_is_labelled_and_in_the_log() {
    let (world, a, _b) = in_step();
    let last = || a.ok(&["log", "--json"]).json()["syncs"][0].clone();
    let newest = |place: &[&str]| {
        let run = a.ok(&[&["snapshots", "--json"], place].concat());
        run.json()["snapshots"][0].clone()
    };

    rot(&a);
    a.chmod("dir/file", 0o755);
    a.ok(&["verify", "--repair"]);
    assert_eq!(a.text("dir/file"), "good content");
    assert_eq!(mode(&a), 0o755);
    let (record, snapshot) = (last(), newest(&[]));
    assert_eq!(
        (&record["verb"], &record["update"]),
        (&"verify".into(), &1.into()),
        "{record}"
    );
    assert_eq!(record["snapshots"]["local"], snapshot["id"]);
    assert!(
        snapshot["label"].as_str().unwrap().starts_with("verify"),
        "{snapshot}"
    );

    let hub = world.hub();
    rot(&hub);
    hub.chmod("dir/file", 0o700);
    a.ok(&["verify", "--remote", "--repair"]);
    assert_eq!(
        (hub.text("dir/file").as_str(), mode(&hub)),
        ("good content", 0o700)
    );
    let (record, snapshot) = (last(), newest(&["--remote"]));
    assert_eq!(
        (&record["verb"], &record["update"]),
        (&"verify".into(), &1.into()),
        "{record}"
    );
    assert_eq!(record["snapshots"]["remote"], snapshot["id"]);
    assert!(
        snapshot["label"].as_str().unwrap().contains("verify"),
        "{snapshot}"
    );

    a.ok(&["verify", "--repair"]);
    assert_eq!(last()["result"], "nothing_to_do");
    rot(&a);
    rot(&hub);
    a.rsyn(&["verify", "--repair"]).exits(6);
    let record = last();
    assert_eq!(
        (&record["verb"], &record["result"]),
        (&"verify".into(), &"failed".into()),
        "{record}"
    );
}

#[test]
fn a_hub_that_does_not_exist_does_not_verify() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    for repair in [&[][..], &["--repair"]] {
        let run = a.rsyn(&[&["verify", "--remote"], repair].concat());
        run.exits(2).says("does not exist");
    }
    assert!(!world.hub().0.exists());
}

#[test]
fn what_nobody_has_any_more_is_said_and_left() {
    let (world, a, _b) = in_step();
    rot(&a);
    rot(&world.hub());
    a.rsyn(&["verify", "--repair"])
        .exits(6)
        .says("ALTERED")
        .says("dir/file");
    assert_eq!(a.text("dir/file"), "good?content");
}

#[test]
fn versions_with_a_time_of_whole_seconds_are_edits() {
    let (world, a, _b) = in_step();
    for (content, place) in [("version 1.0", "push"), ("version 1.1", "push")] {
        a.write("unpacked", content);
        a.set_mtime("unpacked", 499_162_500_000_000_000);
        a.ok(&[place]);
        assert_eq!(world.hub().text("unpacked"), content);
    }
}
