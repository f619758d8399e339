//! What is asked, and what each answer does.

use crate::screen::Screen;
use crate::support::{Dir, Machine, Sandbox, assert_same};

/// A machine that deleted a file which the hub still has.
fn deleted() -> (Sandbox, Machine, Dir) {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("gone", "1");
    a.write("stays", "1");
    a.ok(&["push"]);
    a.remove("gone");
    let hub = world.hub();
    (world, a, hub)
}

/// A machine and a hub that changed `f` each in their own way.
fn in_conflict() -> (Sandbox, Machine, Dir) {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.ok(&["push"]);
    a.write("f", "local");
    world.hub().write("f", "remote");
    let hub = world.hub();
    (world, a, hub)
}

const PUSH: &str = "? [y/N] ";
const CHOICE: &str = "or [q]uit? ";

#[test]
fn a_push_that_deletes_shows_what_goes_and_asks() {
    for yes in ["y", "yes", "Y", " yes "] {
        let (_world, a, hub) = deleted();
        let mut screen = Screen::start(&a, &["push"]);
        screen.says("gone").says(PUSH);
        assert!(hub.has("gone"), "nothing is done before the answer");
        screen.types(&format!("{yes}\r"));
        screen.ends(0);
        assert!(!hub.has("gone"), "{yes:?}");
    }
}

#[test]
fn a_hub_that_only_the_project_names_is_asked_about_once() {
    const HUB: &str = "use it on this machine? [y/N] ";
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    for no in ["n\r", "\r", "\x04"] {
        let mut screen = Screen::start(&a, &["push"]);
        screen
            .says("comes with the project and names the hub")
            .says(HUB)
            .types(no);
        screen.ends(3);
        assert!(!world.dir("").has("hub"));
    }
    assert!(
        !a.has(".rsyn"),
        "a hub that is not used leaves nothing behind"
    );
    let mut screen = Screen::start(&a, &["push"]);
    screen.says(HUB).types("y\r");
    screen.ends(0);
    assert!(world.hub().has("f"));
    a.write("g", "1");
    assert!(!Screen::start(&a, &["push"]).ends(0).contains(HUB));
    assert!(world.hub().has("g"));
}

#[test]
fn everything_but_a_clear_yes_is_a_no() {
    for no in ["n\r", "no\r", "\r", "yess\r", "\x04"] {
        let (_world, a, hub) = deleted();
        let (here, there) = (a.tree(), hub.tree());
        let mut screen = Screen::start(&a, &["push"]);
        screen.says(PUSH).types(no);
        assert!(screen.ends(0).contains("nothing was changed"), "{no:?}");
        assert_same(&here, &a.tree());
        assert_same(&there, &hub.tree());
        a.ok(&["push"]);
        assert!(!hub.has("gone"), "the answer is not remembered");
    }
}

#[test]
fn one_ctrl_c_ends_a_question() {
    for args in [&["push"][..], &["sync"]] {
        let (_world, a, hub) = deleted();
        let there = hub.tree();
        let mut screen = Screen::start(&a, args);
        screen.says(PUSH).types("\x03");
        screen.ends(130);
        assert_same(&there, &hub.tree());
    }
    let (_world, a, hub) = in_conflict();
    let mut screen = Screen::start(&a, &["pull", "--on-conflict", "ask"]);
    screen.says(CHOICE).types("\x03");
    screen.ends(130);
    assert_eq!(
        (a.text("f"), hub.text("f")),
        ("local".into(), "remote".into())
    );
}

#[test]
fn a_push_that_overwrites_a_version_of_the_hub_asks() {
    let (_world, a, hub) = in_conflict();
    let mut screen = Screen::start(&a, &["push"]);
    screen.says(PUSH).types("n\r");
    screen.ends(0);
    assert_eq!(hub.text("f"), "remote");
    let mut screen = Screen::start(&a, &["push"]);
    screen.says(PUSH).types("y\r");
    screen.ends(0);
    assert_eq!(hub.text("f"), "local");
}

#[test]
fn a_sync_shows_and_asks_about_both_directions_before_it_does_anything() {
    for (no, code) in [("n\r", 0), ("\x03", 130)] {
        let (_world, a, hub) = deleted();
        hub.write("new", "from the hub");
        let (here, there) = (a.tree(), hub.tree());
        let mut screen = Screen::start(&a, &["sync"]);
        screen.says("new").says("gone").says(PUSH).types(no);
        assert!(screen.ends(code).contains("nothing was changed"));
        assert_same(&here, &a.tree());
        assert_same(&there, &hub.tree());

        let mut screen = Screen::start(&a, &["sync"]);
        screen.says("push that to it").says(PUSH).types("y\r");
        let said = screen.ends(0);
        assert_eq!(said.matches("[y/N]").count(), 1, "asked once: {said}");
        assert!(!hub.has("gone") && a.has("new"));
    }
}

#[test]
fn a_pull_and_a_sync_that_overwrite_local_edits_ask() {
    for verb in ["pull", "sync"] {
        let (_world, a, hub) = in_conflict();
        let mut screen = Screen::start(&a, &[verb]);
        screen.says("f").says(PUSH).types("n\r");
        screen.ends(0);
        assert_eq!(a.text("f"), "local", "{verb}");
        let mut screen = Screen::start(&a, &[verb]);
        screen.says(PUSH).types("y\r");
        screen.ends(0);
        assert_eq!(
            (a.text("f"), hub.text("f")),
            ("remote".into(), "remote".into())
        );
    }
}

#[test]
fn a_push_of_what_was_undone_asks() {
    let world = Sandbox::new();
    let (a, hub) = (world.project("a"), world.hub());
    a.write("f", "1");
    a.ok(&["push"]);
    hub.write("f", "2");
    a.ok(&["pull"]);
    let mut screen = Screen::start(&a, &["rollback"]);
    screen.says("undo the pull from").says(PUSH).types("y\r");
    screen.ends(0);
    assert_eq!(a.text("f"), "1");
    for (answer, there) in [("n\r", "2"), ("y\r", "1")] {
        let mut screen = Screen::start(&a, &["push"]);
        screen.says("take from everybody").says(PUSH).types(answer);
        screen.ends(0);
        assert_eq!(hub.text("f"), there);
    }
}

#[test]
fn a_rollback_that_is_declined_is_in_the_log() {
    let (_world, a, hub) = deleted();
    a.write("new", "1");
    a.ok(&["push", "-y"]);
    let there = hub.tree();
    let mut screen = Screen::start(&a, &["rollback", "--remote"]);
    screen.says(PUSH).types("n\r");
    screen.ends(0);
    assert_same(&there, &hub.tree());
    let record = a.ok(&["log", "--json"]).json()["syncs"][0].clone();
    assert_eq!(record["verb"], "rollback", "{record}");
    assert_eq!(record["note"], "declined", "{record}");
    assert_eq!(
        (&record["create"], &record["delete"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn nothing_is_asked_where_nothing_of_the_hub_goes_or_yes_is_given() {
    let (_world, a, hub) = deleted();
    let shown = Screen::start(&a, &["push", "--dry-run"]).ends(0);
    assert!(!shown.contains("[y/N]"));
    assert!(hub.has("gone"));
    Screen::start(&a, &["push", "--yes"]).ends(0);
    assert!(!hub.has("gone"));

    let (_world, a, hub) = deleted();
    a.ok(&["push"]);
    hub.remove("stays");
    Screen::start(&a, &["pull"]).ends(0);
    assert!(!a.has("stays"), "a pull deletes without a question");
    a.write("new", "1");
    Screen::start(&a, &["push"]).ends(0);
    assert!(hub.has("new"), "nor does a push that only adds ask");
}

#[test]
fn a_rollback_of_the_hub_asks() {
    let world = Sandbox::new();
    let (a, hub) = (world.project("a"), world.hub());
    a.write("f", "1");
    a.ok(&["push"]);
    a.write("g", "1");
    a.ok(&["push"]);
    let mut screen = Screen::start(&a, &["rollback", "--remote"]);
    screen.says(PUSH).types("\r");
    screen.ends(0);
    assert!(hub.has("g"));
    let mut screen = Screen::start(&a, &["rollback", "--remote"]);
    screen.says(PUSH).types("\x03");
    screen.ends(130);
    assert!(hub.has("g"));
    let mut screen = Screen::start(&a, &["rollback", "--remote"]);
    screen.says(PUSH).types("y\r");
    screen.ends(0);
    assert!(!hub.has("g"));
}

#[test]
fn a_conflict_that_asks_does_what_it_is_told() {
    let answers = [
        ("l", "local"),
        ("local", "local"),
        ("r", "remote"),
        ("R", "remote"),
    ];
    for (answer, expected) in answers {
        let (_world, a, hub) = in_conflict();
        let mut screen = Screen::start(&a, &["pull", "--on-conflict", "ask"]);
        screen
            .says("f changed here and on")
            .says(CHOICE)
            .types(&format!("{answer}\r"));
        screen.ends(0);
        assert_eq!(a.text("f"), expected, "{answer}");
        assert_eq!(hub.text("f"), "remote");
    }
    let (_world, a, _hub) = in_conflict();
    let mut screen = Screen::start(&a, &["pull", "--on-conflict", "ask"]);
    screen.says(CHOICE).types("b\r");
    screen.ends(0);
    assert_eq!(
        (a.text("f.local"), a.text("f.remote")),
        ("local".into(), "remote".into())
    );
}

#[test]
fn what_is_no_answer_to_a_conflict_is_asked_again_and_quit_applies_nothing() {
    for quit in ["q\r", "quit\r", "\x04"] {
        let (_world, a, hub) = in_conflict();
        hub.write("other", "not in conflict");
        let mut screen = Screen::start(&a, &["pull", "--on-conflict", "ask"]);
        screen.says(CHOICE).types("maybe\r");
        screen.says(CHOICE).types("\r");
        screen.says(CHOICE).types(quit);
        screen.ends(3);
        assert_eq!(
            (a.text("f"), hub.text("f")),
            ("local".into(), "remote".into())
        );
        assert!(!a.has("other"), "nothing at all is applied");
    }
}
