//! Whose sync a rollback undoes, and what the next pull and push make of it.

use crate::support::{Dir, Machine, Sandbox};

/// A hub with `f` and `gone`, and two machines in step with it.
fn two() -> (Sandbox, Machine, Machine, Dir) {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.write("gone", "1");
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    let hub = world.hub();
    (world, a, b, hub)
}

/// A pull that changes, deletes and creates a file, undone.
fn undone_pull() -> (Sandbox, Machine, Machine, Dir) {
    let (world, a, b, hub) = two();
    b.write("f", "2");
    b.write("new", "2");
    b.remove("gone");
    b.ok(&["push"]);
    a.ok(&["pull"]);
    a.ok(&["rollback", "-y"])
        .says("undoes the pull from")
        .says("the next `rsyn pull` leaves these paths as they are");
    (world, a, b, hub)
}

#[test]
fn without_an_id_somebody_must_be_asked_or_have_said_yes() {
    let (_world, a, _b, hub) = two();
    hub.write("f", "2");
    let id = a.ok(&["pull", "--json"]).json()["snapshot"].clone();
    for args in [
        &["rollback"][..],
        &["rollback", "--json"],
        &["rollback", "--remote"],
    ] {
        a.rsyn(args).exits(2).says("-y");
        assert_eq!(a.text("f"), "2");
    }
    a.ok(&["rollback", "-n"]).says("undoes the pull from");
    a.ok(&["rollback", id.as_str().unwrap()]);
    assert_eq!(a.text("f"), "1");
}

#[test]
fn a_push_takes_nothing_from_the_hub_that_was_undone_here() {
    let (_world, a, b, hub) = undone_pull();
    let there = hub.tree();
    a.ok(&["status"]).says("undone     ").says("and 2 more");
    assert_eq!(a.ok(&["status", "--json"]).json()["undone"][2], "new");
    assert_eq!(a.ok(&["pull", "--json"]).actions(), [""; 0]);
    a.write("else", "1");
    for verb in ["push", "sync"] {
        for more in [&[][..], &["-y"], &["--json"]] {
            let run = a.rsyn(&[&[verb], more].concat()).exits(4);
            run.says("was undone here");
        }
    }
    a.rsyn(&["push", "-n"])
        .exits(4)
        .says("delete")
        .says("was undone here");
    crate::support::assert_same(&there, &hub.tree());

    a.ok(&["push", "--only", "else"]);
    a.ok(&["push", "--force"]);
    assert_eq!(hub.text("f"), "1");
    assert!(hub.has("gone") && !hub.has("new"));
    a.ok(&["status"]).says_no("undone     ");
    b.ok(&["pull"]);
    assert_eq!(b.text("f"), "1");
}

#[test]
fn an_edit_upon_what_was_undone_is_stopped_as_well() {
    let (_world, a, _b, hub) = undone_pull();
    a.write("f", "1, and work since");
    a.rsyn(&["push", "--only", "f"]).exits(4);
    assert_eq!(hub.text("f"), "2");
}

#[test]
fn what_is_brought_back_is_undone_no_more() {
    let (_world, a, _b, hub) = undone_pull();
    a.ok(&["rollback", "-y"]).says("undoes the rollback of");
    assert_eq!(a.text("f"), "2");
    a.write("f", "3");
    a.ok(&["push"]);
    assert_eq!(hub.text("f"), "3");
}

#[test]
fn what_a_later_pull_settles_is_undone_no_more() {
    let (_world, a, b, hub) = undone_pull();
    a.ok(&["pull", "--mirror", "--force"]);
    assert_eq!(a.text("f"), "2");
    a.write("f", "3");
    a.ok(&["push"]);
    assert_eq!(hub.text("f"), "3");
    b.ok(&["pull"]);
}

#[test]
fn after_an_undone_push_a_pull_keeps_the_files_here_and_takes_them_back_elsewhere() {
    let (_world, a, b, hub) = two();
    let before = hub.tree();
    a.write("f", "2");
    a.write("new", "2");
    a.remove("gone");
    a.ok(&["push"]);
    b.ok(&["pull"]);
    let work = a.tree();

    a.ok(&["rollback", "--remote", "-y"])
        .says("undoes the push")
        .says("the files here stay");
    crate::support::assert_same(&before, &hub.tree());

    assert_eq!(a.ok(&["pull", "--json"]).actions(), [""; 0]);
    crate::support::assert_same(&work, &a.tree());
    let status = a.ok(&["status", "--json"]).json();
    assert_eq!(
        (&status["ahead"], &status["behind"]),
        (&3.into(), &0.into())
    );
    b.ok(&["pull"]);
    assert_eq!(b.text("f"), "1");
    assert!(b.has("gone") && !b.has("new"));

    a.ok(&["sync"]);
    assert_eq!(hub.text("f"), "2");
    assert!(hub.has("new") && !hub.has("gone"));
    crate::support::assert_same(&work, &a.tree());
    b.ok(&["pull"]);
    assert!(b.has("new") && !b.has("gone"));
}

#[test]
fn a_push_of_another_machine_is_undone_by_its_id_alone() {
    let (_world, a, b, hub) = two();
    a.write("f", "of a");
    let own = a.ok(&["push", "--json"]).json()["snapshots"]["remote"].clone();
    b.ok(&["pull"]);
    b.write("g", "of b");
    let others = b.ok(&["push", "--json"]).json()["snapshots"]["remote"].clone();
    let (own, others) = (own.as_str().unwrap(), others.as_str().unwrap());

    for more in [&["-y"][..], &["-n"]] {
        a.rsyn(&[&["rollback", "--remote"], more].concat())
            .exits(4)
            .says("push by b")
            .says(others)
            .says(own);
    }
    assert_eq!(hub.text("g"), "of b");
    a.ok(&["rollback", "--remote", own]);
    assert_eq!(hub.text("f"), "1");
    assert_eq!(hub.text("g"), "of b");
    b.rsyn(&["rollback", "--remote", "-y"])
        .exits(4)
        .says("rollback of");
    a.ok(&["rollback", "--remote", others])
        .says("every machine that has it");
    assert!(!hub.has("g"));
}

#[test]
fn a_machine_of_the_same_name_is_another_machine() {
    let (_world, a, b, hub) = two();
    let b = b.with("RSYN_MACHINE", "a");
    b.write("g", "of b");
    b.ok(&["push"]);
    a.rsyn(&["rollback", "--remote", "-y"]).exits(4);
    assert!(hub.has("g"));
}

#[test]
fn an_id_of_the_hub_is_told_from_one_of_this_machine() {
    let (_world, a, ..) = two();
    a.write("f", "2");
    let id = a.ok(&["push", "--json"]).json()["snapshots"]["remote"].clone();
    let command = format!("rsyn rollback --remote {}", id.as_str().unwrap());
    a.rsyn(&["rollback", id.as_str().unwrap()])
        .exits(2)
        .says(&command);
    a.rsyn(&["rollback", "0123456789abcdef"])
        .exits(2)
        .says("rsyn snapshots");
}

#[test]
fn restores_and_repairs_are_passed_over() {
    let (_world, a, _b, hub) = two();
    hub.write("f", "2");
    hub.write("other", "2");
    a.ok(&["pull"]);
    a.ok(&["restore", "f"]);
    assert_eq!(a.text("f"), "1");
    a.write("f", "2");
    a.ok(&["rollback", "-n"]).says("undoes the pull from");
}

#[test]
fn on_a_hub_itself_the_pushes_of_others_are_undone_by_their_ids_alone() {
    let (world, a, _b, hub) = two();
    a.write("f", "2");
    let id = a.ok(&["push", "--json"]).json()["snapshots"]["remote"].clone();
    let there = world.machine("hub");
    there.rsyn(&["rollback", "-y"]).exits(4).says("push by");
    there.ok(&["rollback", id.as_str().unwrap()]);
    assert_eq!(hub.text("f"), "1");
}
