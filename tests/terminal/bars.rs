//! Bars, colours, names: what reaches the terminal besides words.

use std::time::Duration;

use crate::screen::{Screen, remaining};
use crate::support::{Machine, RSYN, Sandbox, noise};

const ESC: char = '\x1b';

/// A machine whose next push takes about a second.
fn with_much_to_send() -> (Sandbox, Machine) {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("big", noise(3_000_000, 1));
    (world, a)
}

#[test]
fn a_bar_shows_a_longer_transfer_on_a_terminal_alone() {
    let (_world, a) = with_much_to_send();
    let shown = Screen::start(&a, &["push", "-y", "--bwlimit", "3000"]).ends(0);
    assert!(
        shown.contains('%') && shown.contains(" of 2.86 MiB"),
        "{shown:?}"
    );

    let (_world, a) = with_much_to_send();
    let run = a.ok(&["push", "--bwlimit", "3000"]);
    assert!(!run.all().contains(['%', '\r', ESC]), "{}", run.all());
}

#[test]
fn nothing_is_left_of_a_bar_on_a_terminal_of_any_width() {
    for columns in [40, 59, 80, 120, 200] {
        let (_world, a) = with_much_to_send();
        let push = ["push", "-y", "--bwlimit", "3000"];
        let mut screen = Screen::of_width(&a, &push, columns);
        screen
            .says(" of 2.86 MiB")
            .says(" of 2.86 MiB")
            .types("\x03");
        let stopped = screen.ends(130);
        let done = Screen::of_width(&a, &push, columns).ends(0);
        for (shown, words) in [(stopped, "interrupted"), (done, "big")] {
            let plain = shown.replace("\x1b[2K", "");
            let drawn = plain.split(['\r', '\n']).filter(|l| l.contains(" of 2.86"));
            let widest = drawn.map(|line| line.chars().count()).max();
            let fits = widest.is_some_and(|widest| widest <= columns.into());
            assert!(fits, "{columns}: {widest:?} {shown:?}");
            let lines = remaining(&shown, columns.into()).join("\n");
            let rest = ["%", "looking", "putting", " left"].map(|word| lines.contains(word));
            assert_eq!(rest, [false; 4], "{columns}: {lines}\n{shown:?}");
            assert!(
                lines.contains(words) || words == "big",
                "{columns}: {lines}"
            );
        }
    }
}

#[test]
fn nothing_that_moves_is_drawn_while_ssh_may_ask() {
    let world = Sandbox::new();
    let a = world
        .project("a")
        .with("RSYN_REMOTE_COMMAND", format!("{RSYN} serve --stdio"));
    a.write("f", "content");
    let ssh = world.dir("bin");
    ssh.write(
        "ssh",
        "printf 'passphrase: ' >/dev/tty; read word </dev/tty; sleep 0.4; printf 'thanks' >/dev/tty\n\
         shift 2; exec sh -c \"$*\"\n",
    );
    let command = format!("sh {}/ssh", ssh.text_path());
    let hub = format!("host:{}", world.hub().text_path());
    let mut screen = Screen::start(&a, &["push", "-y", "-e", &command, &hub]);
    screen.says("passphrase: ");
    // A spinner moves ten times a second.
    std::thread::sleep(Duration::from_millis(600));
    screen.types("word\r").says("thanks");
    let asked = screen.so_far().to_owned();
    assert!(
        !asked.contains(ESC) && !asked.contains("looking"),
        "{asked:?}"
    );
    screen.ends(0);
    assert_eq!(world.hub().read("f"), b"content");
}

#[test]
fn no_progress_and_quiet_show_no_bar() {
    for flag in ["--no-progress", "--quiet"] {
        let (_world, a) = with_much_to_send();
        let shown = Screen::start(&a, &["push", "-y", "--bwlimit", "6000", flag]).ends(0);
        assert!(!shown.contains('%'), "{shown:?}");
    }
}

#[test]
fn long_names_are_shown_in_full_and_asked_about_on_a_narrow_terminal() {
    let world = Sandbox::new();
    let a = world.project("a");
    let name = "a name that is far longer than this terminal is wide.txt";
    a.write(name, "1");
    a.ok(&["push"]);
    a.remove(name);
    let mut screen = Screen::of_width(&a, &["push"], 20);
    screen.says(name).says("? [y/N] ").types("y\r");
    screen.ends(0);
    assert!(!world.hub().has(name));
}

#[test]
fn no_control_character_of_a_name_reaches_the_terminal() {
    let world = Sandbox::new();
    let a = world.project("a").with("NO_COLOR", "1");
    let evil = "evil\x1b[2J\x07\x08\u{9b}31m\u{202e}name";
    a.write(evil, "1");
    a.ok(&["push"]);
    a.write(evil, "local");
    world.hub().write(evil, "remote");
    let raw = [ESC, '\x07', '\x08', '\u{9b}', '\u{202e}'];

    let mut screen = Screen::start(&a, &["push", "--no-progress", "-v"]);
    screen.says("? [y/N] ").types("n\r");
    let asked = screen.ends(0);
    let mut screen = Screen::start(&a, &["pull", "--no-progress", "--on-conflict", "ask"]);
    screen.says("or [q]uit? ").types("q\r");
    let chosen = screen.ends(3);
    let listed = Screen::start(&a, &["pull", "-n", "-i", "--no-progress"]).ends(0);

    for shown in [asked, chosen, listed] {
        assert!(shown.contains("evil"), "{shown:?}");
        assert!(!shown.contains(raw), "{shown:?}");
    }
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let world = Sandbox::new();
    let a = world.machine("a");
    a.write("rsyn.toml", "remote = \"/nowhere/at/all\"\n");
    let shown = Screen::start(&a, &["pull", "-y", "--no-progress"]).ends(2);
    assert!(
        shown.contains("\x1b[") && shown.contains("error"),
        "{shown:?}"
    );
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = a.clone().with(name, value);
        let shown = Screen::start(&plain, &["pull", "-y", "--no-progress"]).ends(2);
        assert!(
            !shown.contains(ESC) && shown.contains("error: "),
            "{shown:?}"
        );
    }
    assert!(!a.rsyn(&["pull"]).exits(2).all().contains(ESC));
    let forced = a.with("CLICOLOR_FORCE", "1");
    assert!(forced.rsyn(&["pull"]).exits(2).all().contains(ESC));
}
