//! Who wins where both sides changed a path.

use crate::sides::{Sides, both_ways};
use crate::support::{Sandbox, assert_same, assert_untouched};

/// Both sides changed `f`; theirs is the newer.
fn changed_on_both(s: &Sides) {
    s.ours.write("f", "ours");
    s.theirs.write("f", "theirs");
    s.ours.set_mtime("f", 1_700_000_000_000_000_000);
    s.theirs.set_mtime("f", 1_700_000_001_000_000_000);
}

#[test]
fn local_and_remote_win_whatever_the_direction() {
    for policy in ["local", "remote"] {
        both_ways(&["f"], |s| {
            changed_on_both(s);
            let run = s.run(&["--on-conflict", policy]).exits(0);
            let conflict = &run.of("f")["conflict"];
            assert_eq!(conflict["policy"], policy);
            assert_eq!(conflict["winner"], policy);
            let wins = policy == s.their_name();
            assert_eq!(s.ours.text("f"), if wins { "theirs" } else { "ours" });
            assert_eq!(s.theirs.text("f"), "theirs");
        });
    }
}

#[test]
fn newer_takes_the_later_mtime() {
    both_ways(&["f"], |s| {
        changed_on_both(s);
        s.run(&["--on-conflict", "newer"]).exits(0);
        assert_eq!(s.ours.text("f"), "theirs");

        changed_on_both(s);
        s.ours.write("f", "ours again");
        s.theirs.write("f", "theirs again");
        s.theirs.set_mtime("f", 1_700_000_000_000_000_000);
        let run = s.run(&["--on-conflict", "newer"]).exits(0);
        assert_eq!(run.kept(), ["edit_kept f"]);
        assert_eq!(s.ours.text("f"), "ours again");
    });
}

#[test]
fn both_keeps_both_versions_beside_the_winner() {
    both_ways(&["dir/notes.txt"], |s| {
        s.ours.write("dir/notes.txt", "ours");
        s.theirs.write("dir/notes.txt", "theirs");
        let run = s.run(&["--on-conflict", "both"]).exits(0);
        assert_eq!(run.of("dir/notes.txt")["conflict"]["winner"], "both");
        let (local, remote) = match s.verb {
            "pull" => ("ours", "theirs"),
            _ => ("theirs", "ours"),
        };
        assert_eq!(s.ours.text("dir/notes.local.txt"), local);
        assert_eq!(s.ours.text("dir/notes.remote.txt"), remote);
        assert_eq!(s.ours.text("dir/notes.txt"), "theirs");
        s.machine.ok(&["sync"]);
        s.are_in_step();
    });
}

#[test]
fn block_and_ask_off_a_terminal_apply_nothing_at_all() {
    for policy in ["block", "ask"] {
        both_ways(&["f", "g"], |s| {
            changed_on_both(s);
            s.theirs.write("g", "not in conflict");
            let (ours, theirs) = (s.ours.tree(), s.theirs.tree());

            let run = s.run(&["--on-conflict", policy]).exits(3);

            let json = run.json();
            assert_eq!(json["result"], "stopped");
            assert_eq!(json["error"]["kind"], "conflict");
            assert!(json["error"]["message"].as_str().unwrap().contains("\"f\""));
            assert_same(&ours, &s.ours.tree());
            assert_same(&theirs, &s.theirs.tree());
            s.run(&["--on-conflict", "default"]).exits(0);
            s.are_in_step();
        });
    }
}

#[test]
fn every_conflict_that_is_left_to_the_user_is_named() {
    both_ways(&["f1", "f2", "f3"], |s| {
        let files = ["f1", "f2", "f3"];
        for file in files {
            s.ours.write(file, "ours");
            s.theirs.write(file, "theirs");
        }
        let config =
            s.machine.text("rsyn.toml") + "[[conflict]]\npaths = \"*\"\npolicy = \"block\"\n";
        s.machine.write("rsyn.toml", config);
        s.machine.ok(&["push", "--only", "rsyn.toml"]);

        let text = s.machine.rsyn(&[s.verb, "-n"]).exits(3);
        let status = s.machine.ok(&["status", "-v"]);
        let push = if s.verb == "push" {
            &["--push"][..]
        } else {
            &[]
        };
        let diff = s.machine.ok(&[&["diff"], push].concat());
        for file in files {
            let line = format!("  keep    {file}  (changed on both sides; you decide)");
            let named = |run: &crate::support::Run| run.out().matches(&line).count();
            assert_eq!((named(&text), named(&status)), (1, 1), "{}", status.out());
            assert!(diff.err().contains(file), "{}", diff.err());
        }
        let json = s.run(&["-n"]).exits(3);
        assert_eq!(
            json.kept(),
            ["edit_kept f1", "edit_kept f2", "edit_kept f3"]
        );
        let conflict = &json.of("f2")["conflict"];
        assert_eq!(conflict["winner"], serde_json::Value::Null);
        assert_eq!(conflict["policy"], "block");
        let status = s.machine.ok(&["status", "--json"]).json();
        let undecided = status["undecided"].as_array().unwrap();
        let paths: Vec<_> = undecided
            .iter()
            .map(|k| k["path"].as_str().unwrap())
            .collect();
        assert_eq!(paths, files);
    });
}

#[test]
fn the_first_rule_of_the_configuration_that_matches_decides() {
    both_ways(&["f"], |s| {
        let config = s.machine.text("rsyn.toml")
            + "[[conflict]]\npaths = \"*.log\"\npolicy = \"both\"\n\
               [[conflict]]\npaths = \"/kept/\"\npolicy = \"block\"\n\
               [[conflict]]\npaths = \"*.txt\"\npolicy = \"local\"\n";
        s.machine.write("rsyn.toml", config);
        for side in [&s.ours, &s.theirs] {
            for file in ["a.log", "a.txt", "a.other"] {
                side.write(file, format!("{file} of {}", side.text_path()));
            }
        }
        s.machine.ok(&["push", "--only", "rsyn.toml"]);

        let run = s.run(&[]).exits(0);
        for (file, policy) in [
            ("a.log", "both"),
            ("a.txt", "local"),
            ("a.other", "default"),
        ] {
            assert_eq!(run.of(file)["conflict"]["policy"], policy, "{file}");
        }

        s.ours.write("kept/f.txt", "1");
        s.theirs.write("kept/f.txt", "2");
        s.run(&[]).exits(3);
    });
}

#[test]
fn a_flag_wins_over_the_rules_of_the_configuration() {
    both_ways(&["f"], |s| {
        let config =
            s.machine.text("rsyn.toml") + "[[conflict]]\npaths = \"*\"\npolicy = \"block\"\n";
        s.machine.write("rsyn.toml", config);
        changed_on_both(s);
        s.run(&["--only", "f"]).exits(3);
        s.run(&["--only", "f", "--on-conflict", "remote"]).exits(0);
    });
}

#[test]
fn a_policy_that_nobody_knows_or_that_cannot_be_had_yet_is_refused() {
    let s = Sides::agreed("pull", &["f"]);
    let before = s.machine.touch();
    s.run(&["--on-conflict", "coin"]).exits(2).says("coin");
    s.run(&["--on-conflict", "union"]).exits(2).says("union");
    assert_untouched(&before, &s.machine.touch());
}

#[test]
fn a_conflict_that_the_written_side_wins_stays_one_until_the_other_direction_settles_it() {
    both_ways(&["f"], |s| {
        changed_on_both(s);
        s.run(&["--on-conflict", s.our_name()]).exits(0);
        assert_eq!(s.ours.text("f"), "ours");
        let back = if s.verb == "pull" { "push" } else { "pull" };
        s.machine.ok(&[back, "--on-conflict", s.our_name()]);
        assert_eq!(s.theirs.text("f"), "ours");
        s.are_in_step();
    });
}

#[test]
fn a_name_too_long_for_a_copy_is_told_and_the_policy_that_failed_is_not_offered() {
    let world = Sandbox::new();
    let a = world.project("a");
    let long = "y".repeat(255);
    a.write(&long, "of a");
    a.ok(&["push"]);
    let b = world.project("b");
    b.write(&long, "of b");
    b.rsyn(&["pull", "--on-conflict", "both"])
        .exits(3)
        .says("a longer name than a file system takes")
        .says("shorter name")
        .says_no("`both`");
    b.rsyn(&["pull", "--on-conflict", "block"])
        .exits(3)
        .says("`both`");
}
