//! What a sync placed is known by its stat at once: the next one does not read it.

use rsyn::disk::Root;
use rsyn::model::RelPath;
use rsyn::state::{Index, State};

use crate::support::{Dir, Sandbox};

#[track_caller]
fn is_known(root: &Dir, path: &str) -> bool {
    let root = Root::open(&root.0).unwrap();
    let state = State::open(&root).unwrap().unwrap();
    let path = RelPath::new(path.as_bytes()).unwrap();
    let stat = root.stat(&path).unwrap().unwrap();
    let index = Index::load(&state).unwrap();
    index.digest(&path, &stat).is_some()
}

#[test]
fn a_hub_knows_what_was_pushed_and_a_machine_what_it_pulled() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("first", "1");
    a.ok(&["push"]);
    assert!(is_known(&world.hub(), "first"), "into a root that was made");
    a.write("first", "one");
    a.write("dir/second", "2");
    a.ok(&["push"]);
    assert!(is_known(&world.hub(), "first"), "replaced");
    assert!(is_known(&world.hub(), "dir/second"));

    let b = world.clone_of_hub("b");
    assert!(is_known(&b, "first"), "cloned");
    a.write("third", "3");
    a.ok(&["push"]);
    b.ok(&["pull"]);
    assert!(is_known(&b, "third") && is_known(&b, "first"));

    // Whoever writes into it afterwards is noticed.
    b.write("third", "4");
    b.set_mtime("third", 1_600_000_000_000_000_000);
    assert!(!is_known(&b, "third"));
    assert_eq!(b.ok(&["push", "--json"]).actions(), ["update third"]);
}
