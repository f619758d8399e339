//! An older version of one path comes back from a snapshot, into the tree or elsewhere.

use crate::support::{Machine, Sandbox, assert_same, assert_untouched};

/// A machine that pulled a second version of everything below `dir/`, and lost one file there.
fn pulled() -> (Sandbox, Machine) {
    let world = Sandbox::new();
    let a = world.project("a");
    for file in ["dir/one", "dir/sub/two", "beside"] {
        a.write(file, format!("first {file}"));
    }
    a.link("dir/link", "one");
    a.ok(&["push"]);
    let hub = world.hub();
    hub.write("dir/one", "second, longer");
    hub.remove("dir/sub/two");
    hub.remove("dir/sub");
    hub.remove("dir/link");
    hub.link("dir/link", "elsewhere");
    hub.write("dir/created", "by the pull");
    hub.write("beside", "second beside");
    a.ok(&["pull"]);
    (world, a)
}

#[test]
fn a_file_comes_back_and_the_version_it_replaced_can_come_back_too() {
    let (_world, a) = pulled();

    let run = a.ok(&["restore", "dir/one", "--json"]).json();

    assert_eq!(a.text("dir/one"), "first dir/one");
    assert_eq!(a.text("beside"), "second beside");
    assert_eq!(run["actions"][0]["path"], "dir/one");
    a.ok(&["log", "-n", "1"]).says("restore");
    a.ok(&["rollback", run["snapshot"].as_str().unwrap()]);
    assert_eq!(a.text("dir/one"), "second, longer");
}

#[test]
fn a_directory_comes_back_with_what_was_deleted_and_nothing_is_deleted() {
    let (_world, a) = pulled();

    a.ok(&["restore", "dir"]).says("restored from");

    assert_eq!(a.text("dir/one"), "first dir/one");
    assert_eq!(a.text("dir/sub/two"), "first dir/sub/two");
    assert_eq!(
        std::fs::read_link(a.at("dir/link")).unwrap().to_str(),
        Some("one")
    );
    assert_eq!(a.text("dir/created"), "by the pull");
    a.ok(&["restore", "dir"]).says("undoes it");
    a.ok(&["restore", "dir/sub/two", "--json"]);
}

#[test]
fn the_snapshot_stays_whole_when_the_restored_file_is_edited() {
    let (_world, a) = pulled();
    let id = a.ok(&["snapshots", "--json"]).json()["snapshots"][0]["id"].clone();
    let id = id.as_str().unwrap();
    a.ok(&["restore", "dir/one"]);
    a.append("dir/one", " edited in place");

    a.ok(&["restore", "dir/one", "--from", id]);

    assert_eq!(a.text("dir/one"), "first dir/one");
}

#[test]
fn the_version_of_a_named_snapshot_is_taken() {
    let (world, a) = pulled();
    let id = a.ok(&["snapshots", "--json"]).json()["snapshots"][0]["id"].clone();
    world.hub().write("beside", "third of beside");
    a.ok(&["pull"]);

    a.ok(&["restore", "beside"]);
    assert_eq!(a.text("beside"), "second beside");
    a.ok(&["restore", "beside", "--from", id.as_str().unwrap()]);
    assert_eq!(a.text("beside"), "first beside");
    a.ok(&["restore", "beside", "--from", id.as_str().unwrap()])
        .says("nothing to do");
}

#[test]
fn an_old_version_is_written_elsewhere_and_the_tree_stays() {
    let (world, a) = pulled();
    let touch = a.touch();
    let out = world.dir("out");

    a.ok(&["restore", "dir", "-o", out.text_path()]);
    assert_eq!(out.text("sub/two"), "first dir/sub/two");
    assert_eq!(out.text("one"), "first dir/one");
    a.ok(&["restore", "beside", "-o", out.text_path()]);
    assert_eq!(out.text("beside"), "first beside");
    let shown = a.ok(&["restore", "beside", "-o", "-"]);
    assert_eq!(shown.stdout, b"first beside");
    // What stands there is never replaced.
    a.rsyn(&["restore", "dir/one", "-o", out.text_path()])
        .exits(1)
        .says("out/one is there already");

    assert_untouched(&touch, &a.touch());
}

#[test]
fn without_an_older_version_nothing_happens_and_it_is_said() {
    let (_world, a) = pulled();
    let before = a.tree();
    a.rsyn(&["restore", "rsyn.toml"])
        .exits(1)
        .says("no snapshot keeps an older version");
    a.rsyn(&["restore", "dir/created"]).exits(1);
    a.rsyn(&["restore", "../a", "--from", "x"]).exits(2);
    a.rsyn(&["restore", "dir/one", "--from", "no-such"])
        .exits(2);
    a.rsyn(&["restore", "dir", "-o", "-"]).exits(1);
    assert_same(&before, &a.tree());
}

#[test]
fn a_snapshot_that_is_not_there_is_wrong_usage() {
    let (_world, a) = pulled();
    for id in ["0123456789abcdef", "no-such-id", ""] {
        for more in [&[][..], &["-o", "-"]] {
            let args = ["restore", "dir/one", "--from", id];
            a.rsyn(&[&args, more].concat()).exits(2);
        }
    }
}

#[test]
fn what_stands_in_the_way_is_left_and_named() {
    let (_world, a) = pulled();
    a.write("dir/sub", "a file now");
    a.rsyn(&["restore", "dir/sub/two"])
        .exits(4)
        .says("dir/sub")
        .says("-o OUT");
    assert_eq!(a.text("dir/sub"), "a file now");
}

#[test]
fn a_damaged_snapshot_is_listed_and_never_passed_over_for_an_older_one() {
    let (world, a) = pulled();
    world.hub().write("dir/one", "the third version");
    let newest = a.ok(&["pull", "--json"]).json()["snapshot"].clone();
    let newest = newest.as_str().unwrap();
    let plan = format!(".rsyn/snap/{newest}/plan");
    let mut bytes = std::fs::read(a.at(&plan)).unwrap();
    for byte in &mut bytes {
        *byte ^= 0x55;
    }
    a.write(&plan, &bytes);

    a.ok(&["snapshots"]).says("damaged").says(newest);
    a.rsyn(&["rollback", "-y"]).exits(6).says(newest);
    a.rsyn(&["restore", "dir/one"]).exits(6);
    assert_eq!(a.text("dir/one"), "the third version");
}

#[test]
fn a_moved_file_is_found_where_it_is_and_named_when_it_was_edited_there() {
    let world = Sandbox::new();
    let a = world.project("a");
    for (file, content) in [("old/one", "first "), ("old/two", "second ")] {
        a.write(file, content.repeat(300));
    }
    a.ok(&["push"]);
    std::fs::rename(world.hub().at("old"), world.hub().at("new")).unwrap();
    a.ok(&["pull"]);

    a.ok(&["restore", "old/one"]).says("restored from");
    assert_eq!(a.text("old/one"), "first ".repeat(300));
    assert_eq!(a.text("new/one"), a.text("old/one"));

    a.write("new/two", "edited");
    let run = a.rsyn(&["restore", "old/two"]).exits(1);
    run.says("moved \"old/two\" to \"new/two\", where it was changed since");
    assert_eq!(a.text("new/two"), "edited");
}
