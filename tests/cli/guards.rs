//! Plans that look like an accident are refused: exit code 4, nothing changed, a line on how to go on.

use std::os::unix::fs::MetadataExt;

use crate::sides::{Sides, both_ways};
use crate::support::{Run, Sandbox, assert_same};

/// Names of `n` files.
fn files(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("f{i:03}")).collect()
}

fn agreed(verb: &'static str, n: usize) -> Sides {
    let names = files(n);
    Sides::agreed(verb, &names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn delete_theirs(s: &Sides, n: usize) {
    for name in files(n) {
        s.theirs.remove(name);
    }
}

#[track_caller]
fn is_refused(s: &Sides, more: &[&str]) -> Run {
    let before = s.ours.tree();
    let run = s.run(more).exits(4);
    let json = run.json();
    assert_eq!(json["result"], "stopped");
    assert_eq!(json["error"]["kind"], "guard");
    assert!(!json["error"]["hint"].as_str().unwrap().is_empty());
    assert_same(&before, &s.ours.tree());
    run
}

#[test]
fn more_deletions_than_half_and_than_ten_are_refused() {
    for verb in ["pull", "push"] {
        let s = agreed(verb, 20);
        delete_theirs(&s, 11);
        is_refused(&s, &[]).says("11 of 21");
        is_refused(&s, &["--dry-run"]);
        s.run(&["--force"]).exits(0);
        s.are_in_step();
    }
}

#[test]
fn half_of_the_files_and_ten_deletions_pass() {
    for (all, deleted) in [(30, 15), (12, 10)] {
        for verb in ["pull", "push"] {
            let s = agreed(verb, all);
            delete_theirs(&s, deleted);
            s.run(&[]).exits(0);
            s.are_in_step();
        }
    }
}

#[test]
fn max_delete_sets_the_limit_in_numbers_and_in_percent() {
    for verb in ["pull", "push"] {
        let s = agreed(verb, 19);
        delete_theirs(&s, 3);
        for limit in ["2", "0", "14%"] {
            is_refused(&s, &["--max-delete", limit]);
        }
        for limit in ["3", "15%"] {
            s.run(&["-n", "--max-delete", limit]).exits(0);
        }
        s.run(&["--max-delete", "many"]).exits(2);
        delete_theirs_again(&s);
        s.run(&["--max-delete", "100%"]).exits(0);
        s.are_in_step();
    }
}

fn delete_theirs_again(s: &Sides) {
    for name in files(15).into_iter().skip(3) {
        s.theirs.remove(name);
    }
}

#[test]
fn max_delete_of_the_configuration_holds() {
    both_ways(&["f", "g", "h"], |s| {
        let config = s.machine.text("rsyn.toml") + "[safety]\nmax_delete = 1\n";
        s.machine.write("rsyn.toml", config);
        s.machine.ok(&["push"]);
        s.theirs.remove("f");
        s.theirs.remove("g");
        is_refused(s, &[]);
        s.run(&["--max-delete", "2"]).exits(0);
    });
}

#[test]
fn moves_are_no_deletions() {
    for verb in ["pull", "push"] {
        let s = agreed(verb, 20);
        s.theirs.mkdir("moved");
        for name in files(20) {
            std::fs::rename(s.theirs.at(&name), s.theirs.at(format!("moved/{name}"))).unwrap();
        }
        s.run(&["--max-delete", "0"]).exits(0);
        s.are_in_step();
    }
}

#[test]
fn a_side_that_is_empty_now_is_not_believed() {
    both_ways(&["f", "g"], |s| {
        for name in ["f", "g", "rsyn.toml"] {
            s.theirs.remove(name);
        }
        let machine = s
            .machine
            .clone()
            .with("RSYN_REMOTE", s.world.hub().text_path());
        let before = s.ours.tree();
        machine.rsyn(&[s.verb]).exits(4).says("empty");
        assert_same(&before, &s.ours.tree());
        machine.rsyn(&[s.verb, "--force"]).exits(0);
        assert!(!s.ours.has("f"));
    });
}

#[test]
fn another_root_in_place_of_the_hub_is_refused() {
    both_ways(&["f"], |s| {
        let (world, hub) = (&s.world, s.world.hub());
        std::fs::rename(&hub.0, world.dir("old hub").0).unwrap();
        hub.write("f", "another project");
        let other = world.machine("other");
        other.write("x", "1");
        other.write(".rsync-exclude", "");
        other.ok(&["push", hub.text_path()]);

        let before = (s.machine.tree(), hub.tree());
        s.run(&[]).exits(4).says("is not the hub");
        assert_same(&before.0, &s.machine.tree());
        assert_same(&before.1, &hub.tree());
        s.run(&["--force"]).exits(0);
    });
}

#[test]
fn a_hub_without_state_in_place_of_the_known_one_is_refused() {
    both_ways(&["f"], |s| {
        let hub = s.world.hub();
        std::fs::remove_dir_all(&hub.0).unwrap();
        hub.write("something", "else");
        let before = (s.machine.tree(), hub.tree());
        s.run(&["-n"]).exits(4);
        s.run(&[]).exits(4);
        assert_same(&before.0, &s.machine.tree());
        assert_same(&before.1, &hub.tree());
    });
}

#[test]
fn a_hub_that_is_gone_after_a_sync_is_refused_and_not_made_again() {
    for verb in ["pull", "push", "sync"] {
        let s = Sides::agreed("push", &["f"]);
        std::fs::remove_dir_all(s.world.hub().0).unwrap();
        let before = s.machine.tree();
        s.machine.rsyn(&[verb]).exits(4).says("does not exist");
        assert!(!s.world.dir("").has("hub"));
        assert_same(&before, &s.machine.tree());
    }
}

#[test]
fn a_first_pull_from_a_hub_that_is_not_there_is_wrong_usage() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.rsyn(&["pull"]).exits(2).says("does not exist");
    assert!(!world.dir("").has("hub"));
}

#[test]
fn a_remote_inside_the_project_or_around_it_is_refused() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("sub/f", "1");
    let around = world.dir("");
    for remote in ["./sub", ".", "./not/there/yet", around.text_path(), ".."] {
        for verb in ["push", "pull"] {
            a.rsyn(&[verb, remote]).exits(2);
        }
        assert!(!a.has("sub/.rsyn") && !a.has("not"), "{remote}");
        assert!(!around.has(".rsyn"));
    }
}

#[test]
fn a_sync_whose_push_would_be_refused_changes_nothing() {
    let world = Sandbox::new();
    let a = world.project("a");
    for name in files(20) {
        a.write(name, "1");
    }
    a.ok(&["push"]);
    for name in files(15) {
        a.remove(name);
    }
    world.hub().write("new", "1");

    let (here, there) = (a.tree(), world.hub().tree());
    for dry_run in [&["sync", "--dry-run"][..], &["sync"]] {
        a.rsyn(dry_run).exits(4).says("15 of 22 files");
    }
    assert_same(&here, &a.tree());
    assert_same(&there, &world.hub().tree());

    a.ok(&["sync", "--max-delete", "15"]);
    assert!(a.has("new") && !world.hub().has("f001"));
}

#[test]
fn a_key_that_others_on_the_hub_could_read_is_not_pushed() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("src/main.rs", "fn main() {}");
    a.ok(&["push"]);
    let mode = std::fs::metadata(&world.hub().0).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o700, "a hub that rsyn makes is private");
    a.write("conf/id_ed25519", "PRIVATE KEY");
    a.chmod("conf", 0o755);
    a.chmod("conf/id_ed25519", 0o644);
    let hub = world.hub();

    hub.chmod("", 0o755);
    a.rsyn(&["push", "--dry-run"])
        .exits(4)
        .says("conf/id_ed25519");
    a.rsyn(&["push"])
        .exits(4)
        .says("named like a key")
        .says("chmod o-r");
    assert!(!hub.has("conf"), "nothing was changed");

    a.chmod("conf/id_ed25519", 0o600);
    a.ok(&["push"]);
    a.chmod("conf/id_ed25519", 0o644);
    a.rsyn(&["push"]).exits(4);
    hub.chmod("", 0o700);
    a.ok(&["push"]);
    assert_eq!(hub.text("conf/id_ed25519"), "PRIVATE KEY");
}

#[test]
fn force_pushes_a_key_all_the_same() {
    let world = Sandbox::new();
    let a = world.project("a");
    world.hub().mkdir("");
    world.hub().chmod("", 0o755);
    a.write("server.pem", "PRIVATE KEY");
    a.chmod("server.pem", 0o644);
    a.rsyn(&["push"]).exits(4).says("server.pem");
    a.ok(&["push", "--force"]);
}

/// A machine whose settings are out of scope, so that nothing at all can be left in its tree.
fn agreed_with_settings_out_of_scope() -> Sandbox {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write(".rsync-exclude", "/rsyn.toml\n/.rsync-exclude\n");
    for name in ["f", "g", "h"] {
        a.write(name, name);
    }
    a.ok(&["push"]);
    world
}

#[test]
fn a_side_that_both_have_emptied_may_be_filled_anew() {
    let world = agreed_with_settings_out_of_scope();
    let (a, hub) = (world.machine("a"), world.hub());
    for name in ["f", "g", "h"] {
        a.remove(name);
        hub.remove(name);
    }
    a.write("new", "1");
    a.ok(&["sync", "--dry-run"]);
    a.ok(&["sync"]);
    assert!(hub.has("new"));
}

#[test]
fn an_emptied_tree_is_not_refilled_by_halves_and_then_taken_for_deletions() {
    let world = agreed_with_settings_out_of_scope();
    let (a, hub) = (world.dir("a"), world.hub());
    for name in ["f", "g", "h"] {
        a.remove(name);
    }
    a.mkdir("left");
    hub.write("news", "news");
    let before = hub.tree();

    let machine = world.machine("a");
    for verb in ["sync", "pull", "sync", "push", "pull"] {
        let run = machine.rsyn(&[verb, "-y"]).exits(4);
        run.says("the local side is empty");
    }
    assert_same(&before, &hub.tree());

    machine.ok(&["pull", "-y", "--mirror"]);
    assert_eq!(a.read("f"), b"f");
    assert_eq!(a.read("news"), b"news");
}

#[test]
fn a_hub_that_cannot_be_made_is_refused_before_anything_is_done() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    let nowhere = world.dir("no/such/hub");
    for run in [
        &["push", "--dry-run"][..],
        &["sync", "--dry-run"],
        &["push"],
        &["sync"],
    ] {
        let args = [run, &[nowhere.text_path()]].concat();
        let run = a.rsyn(&args).exits(2).says("cannot be made");
        run.says("nothing was changed").says_no("told to commit");
    }
}

#[test]
fn certificates_and_lists_of_words_are_no_keys_and_others_can_be_named_so() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.ok(&["push"]);
    let hub = world.hub();
    hub.chmod("", 0o755);
    a.write("ca.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    a.write(
        "Lang.key",
        "Yes = Ja\nNo = Nein\nOpen this file = Datei auf\n",
    );
    a.ok(&["push"]);
    let key = "-----BEGIN PRIVATE KEY-----\nMIIB\n";
    a.write(
        "both.pem",
        format!("-----BEGIN CERTIFICATE-----\nMIIB\n{key}"),
    );
    a.write("test/demo.key", key);
    a.chmod("test", 0o755);
    for path in ["both.pem", "test/demo.key"] {
        a.chmod(path, 0o644);
        a.rsyn(&["push", "--only", path])
            .exits(4)
            .says(path)
            .says("--public");
    }
    a.rsyn(&["push", "--public", "test/**"])
        .exits(4)
        .says("both.pem");
    a.ok(&["push", "--public", "*.pem", "--only", "both.pem"]);
    a.write(".rsyn/config.toml", "[safety]\npublic = [\"test/*.key\"]\n");
    a.ok(&["push"]);
    assert_eq!(hub.text("test/demo.key"), key);
    a.write("rsyn.toml", "[safety]\npublic = [\"*\"]\n");
    a.rsyn(&["push"]).exits(2).says("safety.public");
}
