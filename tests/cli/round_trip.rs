//! Push to a new hub, clone, edit, push, pull: the trees are equal, to the nanosecond.

use std::os::unix::fs::FileExt;

use crate::sides::both_ways;
use crate::support::{Dir, Machine, Sandbox, assert_same, assert_untouched, noise};

/// A tree with everything that may stand in a project.
fn fill(root: &Dir) {
    root.write("plain.txt", "text\n");
    root.write("deep/er/and/deeper/file", "x");
    root.write("empty", "");
    root.mkdir("empty dir");
    root.write("run.sh", "#!/bin/sh\n");
    root.chmod("run.sh", 0o755);
    root.write("secret", "k");
    root.chmod("secret", 0o600);
    root.write("read only", "r");
    root.chmod("read only", 0o444);
    root.write("shut/inside", "i");
    root.chmod("shut", 0o555);
    root.mkdir("private");
    root.chmod("private", 0o700);
    root.link("link", "plain.txt");
    root.link("dangling", "no/such/file");
    root.link("absolute", "/etc/hostname");
    root.link("dir link", "deep/er");
    root.set_mtime("plain.txt", 1_234_567_890_123_456_789);
    root.set_mtime("empty", 1);
}

fn fill_odd_names(root: &Dir) {
    let long = vec![b'n'; 255];
    let names: [&[u8]; 12] = [
        b"new\nline",
        b"quo\"te's",
        b"-rf",
        b"--delete",
        b"not utf-8 \xff\xfe",
        b"back\\slash",
        b" blanks ",
        b"*?[a-z]{b}",
        "größe 日本 🦀".as_bytes(),
        b"\x1b[31mred",
        b"...",
        &long,
    ];
    for (name, i) in names.into_iter().zip(0..) {
        root.write(name, format!("content {i}"));
        root.write(
            [name, b"dir"]
                .concat()
                .get(..250.min(name.len() + 3))
                .unwrap(),
            "",
        );
    }
    root.write(b"di\xffr/in\nside", "deep");
}

#[test]
fn a_tree_survives_push_and_clone_to_the_nanosecond() {
    let world = Sandbox::new();
    let a = world.project("a");
    fill(&a);

    let push = a.ok(&["push", "--json"]);
    let b = world.clone_of_hub("b");

    assert_eq!(push.result(), "ok");
    assert_same(&a.tree(), &world.hub().tree());
    assert_same(&a.tree(), &b.tree());
}

#[test]
fn odd_names_survive_push_and_clone() {
    let world = Sandbox::new();
    let a = world.project("a");
    fill_odd_names(&a);

    a.ok(&["push"]);
    let b = world.clone_of_hub("b");

    assert_same(&a.tree(), &world.hub().tree());
    assert_same(&a.tree(), &b.tree());
}

#[test]
fn edits_of_one_machine_reach_the_other() {
    let world = Sandbox::new();
    let a = world.project("a");
    fill(&a);
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");

    b.write("plain.txt", "edited\n");
    b.write("new/file", "new");
    b.chmod("secret", 0o640);
    b.remove("empty dir");
    b.remove("dangling");
    b.link("dangling", "elsewhere");
    b.ok(&["push"]);
    a.ok(&["pull"]);

    assert_eq!(a.text("plain.txt"), "edited\n");
    assert!(!a.has("empty dir"));
    assert_same(&b.tree(), &world.hub().tree());
    assert_same(&b.tree(), &a.tree());
}

#[test]
fn files_that_are_read_only_are_replaced_and_deleted_all_the_same() {
    both_ways(&["f", "g", "dir/gone"], |s| {
        for file in ["f", "g", "dir/gone"] {
            s.ours.chmod(file, 0o444);
            s.theirs.chmod(file, 0o444);
        }
        s.are_in_step();
        for file in ["f", "g"] {
            s.theirs.remove(file);
            s.theirs.write(file, "2");
        }
        s.theirs.chmod("f", 0o444);
        s.theirs.remove("dir/gone");
        s.run(&[]).exits(0);
        s.are_in_step();
    });
}

#[test]
fn what_changes_in_a_read_only_directory_is_carried_out_or_refused_as_a_whole() {
    both_ways(&["shut/changed", "shut/gone", "open"], |s| {
        s.ours.chmod("shut", 0o555);
        s.theirs.write("shut/changed", "2");
        s.theirs.remove("shut/gone");
        s.theirs.write("open", "2");
        s.theirs.chmod("shut", 0o555);
        let before = s.ours.tree();

        let run = s.run(&[]);

        if rustix::process::geteuid().is_root() {
            run.exits(0);
            s.are_in_step();
        } else {
            run.exits(1).says("shut").says("Permission denied");
            assert_same(&before, &s.ours.tree());
        }
    });
}

#[test]
fn a_sparse_file_arrives_with_its_content() {
    let world = Sandbox::new();
    let a = world.project("a");
    let file = std::fs::File::create(a.at("sparse")).unwrap();
    file.set_len(8 * 1024 * 1024).unwrap();
    file.write_all_at(b"end", 8 * 1024 * 1024 - 3).unwrap();
    drop(file);

    a.ok(&["push"]);
    let b = world.clone_of_hub("b");

    assert_same(&a.tree(), &b.tree());
}

#[test]
fn a_file_of_which_a_byte_changed_travels_as_a_delta() {
    let world = Sandbox::new();
    let a = world.project("a");
    let mut content = noise(4_000_000, 1);
    a.write("big", &content);
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");

    content.splice(1_000_000..1_000_000, *b"inserted");
    a.write("big", &content);
    let push = a.ok(&["push", "--json"]).json();
    let pull = b.ok(&["pull", "--json"]).json();

    assert_eq!(b.read("big"), content);
    for summary in [&push["summary"], &pull["summary"]] {
        assert_eq!(summary["bytes_total"], content.len() as u64);
        assert!(
            summary["literal_bytes"].as_u64().unwrap() < 100_000,
            "{summary}"
        );
        assert!(
            summary["matched_bytes"].as_u64().unwrap() > 3_900_000,
            "{summary}"
        );
    }
}

#[test]
fn a_file_of_a_hundred_kilobytes_travels_as_a_delta_too() {
    let world = Sandbox::new();
    let a = world.project("a");
    let mut content = noise(100_000, 1);
    a.write("f", &content);
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");

    content[50_000] ^= 1;
    a.write("f", &content);
    let push = a.ok(&["push", "--json"]).json();
    let pull = b.ok(&["pull", "--json"]).json();

    assert_eq!(b.read("f"), content);
    for summary in [&push["summary"], &pull["summary"]] {
        let literal = summary["literal_bytes"].as_u64().unwrap();
        assert!(literal < 10_000, "{summary}");
    }
}

#[test]
fn a_whole_file_travels_whole_if_asked() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", vec![b'x'; 1_000_000]);
    a.ok(&["push"]);

    a.write("f", [vec![b'x'; 1_000_000], b"y".to_vec()].concat());
    let push = a.ok(&["push", "-W", "--json"]).json();

    assert_eq!(push["summary"]["literal_bytes"], 1_000_001);
    assert_same(&a.tree(), &world.hub().tree());
}

#[test]
fn a_second_sync_has_nothing_to_do_and_touches_no_file() {
    let world = Sandbox::new();
    let a = world.project("a");
    fill(&a);
    fill_odd_names(&a);
    a.ok(&["sync"]);
    let without_state = |root: &Dir| {
        let mut touch = root.touch();
        touch.retain(|path, _| !path.starts_with(b".rsyn"));
        touch
    };
    let (here, there) = (without_state(&a), without_state(&world.hub()));

    for verb in ["sync", "pull", "push"] {
        let run = a.ok(&[verb, "--json"]);
        assert_eq!(run.result(), "nothing_to_do", "{verb}");
        assert!(run.actions().is_empty() && run.kept().is_empty(), "{verb}");
    }

    assert_untouched(&here, &without_state(&a));
    assert_untouched(&there, &without_state(&world.hub()));
}

#[test]
fn a_touched_file_is_no_change() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "same");
    a.ok(&["push"]);

    a.set_mtime("f", 1_000_000_000_000_000_000);
    let run = a.ok(&["push", "--json"]);

    assert_eq!(run.result(), "nothing_to_do");
}

#[test]
fn a_content_that_changed_under_the_same_stat_is_found_with_checksum() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "one");
    a.set_mtime("f", 1_000_000_000_000_000_000);
    a.ok(&["push"]);

    a.write("f", "two");
    a.set_mtime("f", 1_000_000_000_000_000_000);
    let run = a.ok(&["push", "-c", "--json"]);

    assert_eq!(run.actions(), ["update f"]);
    assert_eq!(world.hub().text("f"), "two");
}

#[test]
fn three_machines_come_to_the_same_tree() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("from a", "1");
    a.ok(&["push"]);
    let (b, c) = (world.clone_of_hub("b"), world.clone_of_hub("c"));

    b.write("from b", "2");
    b.ok(&["sync"]);
    c.write("from c", "3");
    c.remove("from a");
    c.ok(&["sync"]);
    a.ok(&["sync"]);
    b.ok(&["sync"]);

    assert_eq!(a.names(""), [".rsyn", "from b", "from c", "rsyn.toml"]);
    for machine in [&b, &c] {
        assert_same(&a.tree(), &machine.tree());
    }
    assert_same(&a.tree(), &world.hub().tree());
}

#[test]
fn a_clone_into_a_directory_with_something_in_it_is_refused() {
    let world = Sandbox::new();
    world.project("a").ok(&["push"]);
    let b = world.machine("b");
    b.write("mine", "1");
    let before = b.touch();

    let hub = world.hub();
    b.run_in(&world.dir("").0, &["clone", hub.text_path(), "b"])
        .exits(2)
        .says("not empty");

    assert_untouched(&before, &b.touch());
}

#[test]
fn a_clone_that_fails_leaves_no_directory() {
    let world = Sandbox::new();
    let nobody = world.machine("x");
    let no_hub = world.dir("no such hub");

    nobody
        .run_in(&world.dir("").0, &["clone", no_hub.text_path(), "new"])
        .exits(2)
        .says("does not exist");

    assert!(!world.dir("").has("new"));
    assert!(!world.dir("").has("no such hub"));
}

#[test]
fn a_clone_takes_the_rules_of_the_hub() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write(".rsync-exclude", "*.log\n");
    a.ok(&["push"]);
    world.hub().write("hub.log", "stays there");

    let b = world.clone_of_hub("b");

    assert!(b.has(".rsync-exclude") && !b.has("hub.log"));
}

#[test]
fn a_clone_of_a_directory_without_settings_is_ready_for_push() {
    let world = Sandbox::new();
    world.hub().write("f", "1");

    let b = world.clone_of_hub("b");
    b.write("f", "2");
    b.ok(&["push"]);

    assert_eq!(world.hub().text("f"), "2");
}

#[test]
fn permission_bits_of_one_name_leave_the_other_names_of_a_file_alone() {
    use std::os::unix::fs::MetadataExt;

    let world = Sandbox::new();
    let a = world.project("a");
    for name in ["f", "g", "h"] {
        a.write(name, "1");
    }
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    let outside = world.dir("outside");
    for name in ["g", "h"] {
        b.remove(name);
        std::fs::hard_link(b.at("f"), b.at(name)).unwrap();
    }
    std::fs::hard_link(b.at("f"), &outside.0).unwrap();
    a.chmod("f", 0o700);
    a.chmod("g", 0o755);
    a.ok(&["push"]);

    let shown = b.ok(&["pull", "--dry-run", "--json"]).actions();
    assert_eq!(b.ok(&["pull", "--json"]).actions(), shown);
    assert_eq!(shown, ["meta f", "meta g"]);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    let bits = ["f", "g", "h"].map(|name| mode(&b.at(name)));
    assert_eq!(bits, [0o700, 0o755, 0o644]);
    assert_eq!(
        mode(&outside.0),
        0o644,
        "nothing outside of the root changes"
    );
    assert_eq!(b.ok(&["push", "--json"]).result(), "nothing_to_do");

    b.ok(&["rollback", "-y"]);
    let bits = ["f", "g", "h"].map(|name| mode(&b.at(name)));
    assert_eq!(bits, [0o644; 3]);
}

/// A clone that was killed when all had arrived, before it noted how to reach the hub.
fn unfinished_clone(world: &Sandbox) -> Machine {
    world.hub().write("f", "1");
    let b = world.clone_of_hub("b");
    b.remove(".rsyn/config.toml");
    b.write(".rsyn/unfinished-clone", world.hub().text_path());
    b
}

#[test]
fn a_clone_that_was_killed_before_it_was_ready_goes_on() {
    let world = Sandbox::new();
    let b = unfinished_clone(&world);
    b.write("mine", "made since");

    let top = world.dir("").0;
    let hub = world.hub();
    let again = ["clone", hub.text_path(), "b"];
    b.run_in(&top, &again).exits(0);

    assert_eq!(b.text("mine"), "made since");
    b.ok(&["push"]);
    assert_eq!(world.hub().text("mine"), "made since");
    b.run_in(&top, &again).exits(2).says("not empty");
}

#[test]
fn an_unfinished_clone_of_another_hub_is_left_alone() {
    let world = Sandbox::new();
    let b = unfinished_clone(&world);
    let other = world.dir("other");
    other.write("g", "1");
    let before = b.touch();

    b.run_in(&world.dir("").0, &["clone", other.text_path(), "b"])
        .exits(2)
        .says("not empty");

    assert_untouched(&before, &b.touch());
}
