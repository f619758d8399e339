//! How ssh is called: which cipher it is told to prefer, and a connection that is kept for the next run.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::hub::Hub;
use crate::support::Machine;

/// A machine whose `ssh` writes down how it is called, one word a line, and then is the real one.
fn with_written_calls(hub: &Hub, machine: Machine) -> Machine {
    let bin = hub.world.dir("bin");
    let calls = hub.world.dir("calls").text_path().to_owned();
    let path = std::env::var("PATH").unwrap();
    let script = format!(
        "#!/bin/sh\nfor word; do printf '%s\\n' \"$word\"; done >> '{calls}'\nPATH='{path}'\nexec ssh \"$@\"\n"
    );
    bin.write("ssh", script);
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bin.at("ssh"), executable).unwrap();
    machine.with("PATH", format!("{}:{path}", bin.text_path()))
}

/// The lists of ciphers that ssh was told.
fn ciphers_told(hub: &Hub) -> Vec<String> {
    let calls = hub.world.dir("").text("calls");
    let told = calls.lines().filter_map(|w| w.strip_prefix("Ciphers="));
    told.map(str::to_owned).collect()
}

fn has_aes_instructions() -> bool {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpu.split_whitespace().any(|flag| flag == "aes")
}

#[test]
fn a_cipher_with_instructions_of_its_own_is_preferred_unless_somebody_chose() {
    let hub = hub_or_skip!();
    let a = with_written_calls(&hub, hub.ready("a"));
    a.write("f", "1");
    a.ok(&["push"]);
    let told = ciphers_told(&hub);
    if has_aes_instructions() {
        assert!(told[0].starts_with("aes128-gcm@openssh.com,"), "{told:?}");
        assert!(told[0].contains(",chacha20-poly1305"), "{told:?}");
    } else {
        assert_eq!(told, [""; 0]);
    }

    let files = hub.world.dir("");
    files.write("calls", "");
    let config = files.text("ssh_config");
    files.write(
        "ssh_config",
        format!("{config}  Ciphers aes256-ctr,aes128-gcm@openssh.com\n"),
    );
    a.write("f", "2");
    a.ok(&["push"]);
    assert_eq!(ciphers_told(&hub), [""; 0]);
}

#[test]
fn a_kept_connection_serves_the_next_run_though_nobody_answers_the_door_any_more() {
    let mut hub = hub_or_skip!();
    let run = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
    let a = hub.ready("a").with("XDG_RUNTIME_DIR", run.path());
    a.write("f", "1");
    a.ok(&["push", "--persist"]);
    let mode = |name: &str| {
        let found = std::fs::symlink_metadata(run.path().join(name)).unwrap();
        found.permissions().mode() & 0o777
    };
    assert_eq!(mode("rsyn"), 0o700);
    let sockets: Vec<_> = std::fs::read_dir(run.path().join("rsyn"))
        .unwrap()
        .collect();
    assert_eq!(sockets.len(), 1);
    let socket = sockets[0].as_ref().unwrap().path();

    hub.stop_listening();
    a.write("f", "2");
    a.rsyn(&["push"]).exits(5);
    a.ok(&["push", "--persist"]);
    assert_eq!(hub.root().text("f"), "2");

    let ended = Command::new("ssh")
        .arg("-S")
        .arg(&socket)
        .args(["-O", "exit", "-F", &hub.config(), "hub"])
        .stderr(Stdio::null())
        .status();
    assert!(ended.unwrap().success());
}

#[test]
fn a_directory_for_kept_connections_that_others_can_enter_is_refused() {
    let hub = hub_or_skip!();
    let run = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
    let open = run.path().join("rsyn");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let a = hub.ready("a").with("XDG_RUNTIME_DIR", run.path());
    a.write("f", "1");
    let refused = a.rsyn(&["push", "--persist"]).exits(5);
    refused.says("only you can enter");
    assert!(!hub.root().0.exists());
}
