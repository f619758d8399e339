//! `init` and `setup`, and where settings come from.

use crate::support::{Machine, Sandbox, assert_untouched};

#[test]
fn init_writes_the_settings_and_the_exclude_file() {
    let world = Sandbox::new();
    let a = world.machine("a");

    a.ok(&["init", "dev@hub.example:/srv/p"]);

    assert_eq!(a.names(""), [".rsyn", ".rsync-exclude", "rsyn.toml"]);
    assert!(
        a.text(".rsyn/config.toml")
            .contains("remote = \"dev@hub.example:/srv/p\"")
    );
    assert!(
        a.text("rsyn.toml")
            .contains("remote = \"dev@hub.example:/srv/p\"")
    );
    assert!(a.text(".rsync-exclude").contains("node_modules/"));
}

#[test]
fn init_writes_a_makefile_only_if_asked() {
    let world = Sandbox::new();
    let a = world.machine("a");

    a.ok(&["init", "--makefile"]);

    assert_eq!(
        a.names(""),
        [".rsync-exclude", "Makefile.sync", "rsyn.toml"]
    );
    assert!(a.text("Makefile.sync").contains("sync-pull-dry:"));
}

#[test]
fn init_keeps_what_is_there() {
    let world = Sandbox::new();
    let a = world.machine("a");
    a.write(".rsync-exclude", "# mine\n");
    a.write("rsyn.toml", "# mine\n");
    a.write("Makefile.sync", "# mine\n");
    let before = a.touch();

    a.ok(&["init", "hub:/p", "--makefile"])
        .says("rsyn.toml is there already")
        .says("set `remote");

    assert_untouched(&before, &a.touch());
}

#[test]
fn init_refuses_the_home_directory_unless_it_is_named() {
    let world = Sandbox::new();
    let a = world.machine("a");
    let home = world.home();

    a.run_in(&home.0, &["init", "hub:/p"]).exits(2);
    assert_eq!(home.names(""), [""; 0]);

    a.run_in(&home.0, &["-C", ".", "init", "hub:/p"]).exits(0);
    assert!(home.has("rsyn.toml"));
}

#[test]
fn init_refuses_a_remote_that_is_none() {
    let world = Sandbox::new();
    let a = world.machine("a");
    for remote in ["-oProxyCommand=x:/p", "host:", "ssh://host:99999/p", ""] {
        a.rsyn(&["init", "--", remote]).exits(2);
    }
    assert_eq!(a.names(""), [""; 0]);
}

#[test]
fn a_project_that_init_made_can_push_and_pull() {
    let world = Sandbox::new();
    let a = world.machine("a");
    a.write("f", "1");
    a.ok(&["init", world.hub().text_path()]);

    a.ok(&["push"]);
    a.ok(&["pull"]).says("nothing to do");

    assert_eq!(world.hub().text("f"), "1");
}

#[test]
fn the_home_directory_is_no_project_by_accident() {
    let world = Sandbox::new();
    let a = world.machine("a");
    world.home().write(".rsync-exclude", "");
    world.home().mkdir("sub");

    a.run_in(&world.home().0, &["status", "--offline"]).exits(2);
    a.run_in(&world.home().at("sub"), &["status", "--offline"])
        .exits(2);
    a.run_in(&world.home().0, &["-C", ".", "status", "--offline"])
        .exits(0);
}

#[test]
fn a_project_is_found_from_a_directory_inside() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("deep/er/f", "1");

    a.run_in(&a.at("deep/er"), &["push"]).exits(0);

    assert!(world.hub().has("deep/er/f"));
}

#[test]
fn setup_finds_nothing_wrong_with_a_good_project() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write(".rsync-exclude", "*.log\n");
    a.ok(&["setup"])
        .says("warn  hub path")
        .says("first `rsyn push`");
    assert!(!world.dir("").has("hub"), "looking makes nothing");

    a.ok(&["push"]);

    let setup = a.ok(&["setup", "--json"]).json();
    assert_eq!(setup["result"], "ok");
    let checks = setup["checks"].as_array().unwrap();
    let wrong: Vec<_> = checks.iter().filter(|c| c["verdict"] != "ok").collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    for name in [
        "project",
        "remote",
        "connection",
        "hub path",
        "hub root",
        "clock",
    ] {
        assert!(checks.iter().any(|c| c["name"] == name), "{name}");
    }
}

#[test]
fn setup_fails_with_the_fix_beside_it() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("rsyn.toml", "");
    a.rsyn(&["setup"])
        .exits(1)
        .says("FAIL  remote")
        .says("fix:");

    a.write(
        "rsyn.toml",
        format!("remote = \"{}/no/such\"\n", world.dir("x").text_path()),
    );
    a.rsyn(&["setup"]).exits(1).says("FAIL  hub path");

    a.write(".rsync-exclude", "dir-merge .x\n- [[:nosuch:]\n");
    let setup = a.rsyn(&["setup", "--json"]).exits(1).json();
    assert_eq!(setup["result"], "failed");
}

#[test]
fn setup_tells_a_hub_that_is_gone() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.ok(&["push"]);
    std::fs::remove_dir_all(world.hub().0).unwrap();
    a.rsyn(&["setup"])
        .exits(1)
        .says("FAIL  hub path")
        .says("mounted");
}

/// The value and origin of the remote, as setup tells it.
fn remote_of(machine: &Machine, more: &[&str]) -> String {
    let json = machine.rsyn(&[&["setup", "--json"], more].concat()).json();
    let checks = json["checks"].as_array().unwrap();
    let remote = checks.iter().find(|c| c["name"] == "remote").unwrap();
    remote["found"].as_str().unwrap().to_owned()
}

#[test]
fn settings_come_from_flags_environment_dotenv_and_rsyn_toml_in_this_order() {
    let world = Sandbox::new();
    let a = world.machine("a");
    let at = |name: &str| world.dir(name).text_path().to_owned();

    a.write("rsyn.toml", format!("remote = \"{}\"\n", at("toml")));
    assert_eq!(
        remote_of(&a, &[]),
        format!("{} (from rsyn.toml)", at("toml"))
    );

    a.write(
        ".env",
        format!("SECRET=1\nAMPLIFIER_SYNC_REMOTE={}\n", at("old")),
    );
    let found = remote_of(&a, &[]);
    assert_eq!(
        found,
        format!("{} (from .env line 2 (AMPLIFIER_SYNC_REMOTE))", at("old"))
    );

    a.write(
        ".env",
        format!("{}RSYN_REMOTE={}\n", a.text(".env"), at("new")),
    );
    let found = remote_of(&a, &[]);
    assert_eq!(
        found,
        format!("{} (from .env line 3 (RSYN_REMOTE))", at("new"))
    );

    let a = a.with("AMPLIFIER_SYNC_REMOTE", at("old env"));
    let found = remote_of(&a, &[]);
    assert_eq!(
        found,
        format!(
            "{} (from AMPLIFIER_SYNC_REMOTE in the environment)",
            at("old env")
        )
    );

    let a = a.with("RSYN_REMOTE", at("env"));
    let found = remote_of(&a, &[]);
    assert_eq!(
        found,
        format!("{} (from RSYN_REMOTE in the environment)", at("env"))
    );

    let flag = at("flag");
    let found = remote_of(&a, &[&flag]);
    assert_eq!(found, format!("{flag} (from the command line)"));
}

#[test]
fn a_remote_is_found_by_its_name() {
    let world = Sandbox::new();
    let a = world.project("a");
    let backup = world.dir("backup");
    let config =
        a.text("rsyn.toml") + &format!("[remotes.backup]\nurl = \"{}\"\n", backup.text_path());
    a.write("rsyn.toml", config);
    a.write("f", "1");

    a.ok(&["push", "backup"]);

    assert!(backup.has("f") && !world.dir("").has("hub"));
    assert!(remote_of(&a, &["backup"]).ends_with("(from remotes.backup in .rsyn/config.toml)"));
}

#[test]
fn options_of_the_settings_are_flags_and_the_command_line_wins() {
    for (key, file) in [("RSYN_OPTIONS", true), ("AMPLIFIER_SYNC_OPTIONS", false)] {
        let world = Sandbox::new();
        let a = world.project("a");
        a.write(".rsync-exclude", "/.env\n");
        a.ok(&["push"]);
        a.write("f.tmp", "1");
        a.write("g", "1");
        // A file that travels may neither leave something out nor set limits.
        let options = match file {
            true => "--stats",
            false => "--exclude '*.tmp' --max-delete 0",
        };
        let a = if file {
            a.write(".env", format!("{key}=\"{options}\"\n"));
            a
        } else {
            a.with(key, options)
        };

        let left_out = ["create f.tmp", "create g"];
        let expected = if file { &left_out[..] } else { &left_out[1..] };
        assert_eq!(a.ok(&["push", "--json"]).actions(), expected);
        a.remove("g");
        if !file {
            a.rsyn(&["push"]).exits(4);
        }
        a.ok(&["push", "--max-delete", "1"]);
        a.ok(&["setup"]).says(key);
    }
}

#[test]
fn rsync_habits_change_nothing() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.ok(&["push", "-avz", "-rtpl", "--delete", "--progress", "-h"])
        .says("always so");
    assert_eq!(world.hub().text("f"), "1");
}

#[test]
fn a_wrong_key_in_the_settings_is_named_with_its_line() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("rsyn.toml", "# one\nremot = \"x\"\n");
    a.rsyn(&["status"])
        .exits(2)
        .says("rsyn.toml line 2")
        .says("remot");
}

#[test]
fn a_word_that_is_neither_a_hub_nor_a_directory_is_refused_with_what_may_be_meant() {
    let world = Sandbox::new();
    let a = world.machine("a");
    a.rsyn(&["init", "dev@hub"]).exits(2).says("dev@hub:path");
    a.rsyn(&["init", "server"]).exits(2).says("./server");
    assert!(!a.has("rsyn.toml"));
    a.ok(&["init"]);
    a.write(
        ".rsyn/config.toml",
        "[remotes.backup]\nurl = \"/nowhere/b\"\n",
    );
    a.rsyn(&["push", "bakup"])
        .exits(2)
        .says("did you mean `backup`?");
    a.rsyn(&["push", "2001:db8::1:p"])
        .exits(2)
        .says("[2001:db8::1]:p");
    a.mkdir("there");
    a.rsyn(&["push", "-n", "there"])
        .exits(2)
        .says("inside each other");
}
