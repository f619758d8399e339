//! A directory that holds what no tree can name stays, and that it stays is planned, told, and not taken for news.

use crate::support::{Dir, Machine, Sandbox};

/// Names that are not carried: another project's state, and the same in letters that only some file systems tell apart.
const UNNAMED: [&str; 2] = [".rsyn", ".RSYN"];

/// A machine and a clone of its hub, both with `d/f`.
fn two_machines() -> (Sandbox, Machine, Machine) {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("d/f", "1");
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    (world, a, b)
}

fn put_unnamed(root: &Dir, name: &str) -> String {
    let path = format!("d/{name}/inside");
    root.write(&path, "nobody else has it");
    path
}

/// A dry run and the run both say that `d` stays.
fn leaves_d(machine: &Machine, verb: &str) {
    for more in [&["-n"][..], &[]] {
        let run = machine.ok(&[&[verb, "--json"], more].concat());
        assert_eq!(run.actions(), ["delete d/f"], "{verb} {more:?}");
        assert_eq!(run.kept(), ["excluded_inside d"], "{verb} {more:?}");
    }
}

#[test]
fn a_pull_leaves_a_deleted_directory_that_holds_what_cannot_be_named() {
    for name in UNNAMED {
        let (world, a, b) = two_machines();
        let inside = put_unnamed(&b, name);
        a.remove("d");
        a.ok(&["push"]);

        leaves_d(&b, "pull");

        assert!(b.has(&inside));
        assert_eq!(b.ok(&["push", "--json"]).actions(), [""; 0]);
        assert_eq!(b.ok(&["sync", "--json"]).actions(), [""; 0]);
        assert!(!world.hub().has("d"), "{name}");
        assert!(!a.has("d"));
    }
}

#[test]
fn a_push_leaves_such_a_directory_of_the_hub() {
    for name in UNNAMED {
        let (world, a, _b) = two_machines();
        let inside = put_unnamed(&world.hub(), name);
        a.remove("d");

        leaves_d(&a, "push");

        assert!(world.hub().has(&inside));
        assert_eq!(a.ok(&["pull", "--json"]).actions(), [""; 0]);
        assert!(!a.has("d"), "{name}");
    }
}

#[test]
fn a_file_that_should_replace_such_a_directory_waits_and_the_rest_is_synced() {
    for name in UNNAMED {
        let (_world, a, b) = two_machines();
        let inside = put_unnamed(&b, name);
        a.remove("d");
        a.write("d", "a file now");
        a.write("other", "1");
        a.ok(&["push"]);

        let dry = b.ok(&["pull", "-n", "--json"]);
        let run = b.ok(&["pull", "--json"]);

        assert_eq!(run.actions(), ["delete d/f", "create other"], "{name}");
        assert_eq!(run.kept(), ["excluded_inside d"], "{name}");
        assert_eq!(dry.actions(), run.actions());
        assert!(b.has(&inside));
        assert_eq!(b.text("other"), "1");
    }
}

#[test]
fn the_state_of_a_project_inside_is_no_reason_for_a_warning() {
    let (_world, _a, b) = two_machines();
    put_unnamed(&b, ".rsyn");
    b.ok(&["pull"]).says_no("warning");
    b.ok(&["list"]).says_no("warning");
    put_unnamed(&b, ".RSYN");
    b.ok(&["pull"])
        .says("d/.RSYN here has a name that is not carried");
}
