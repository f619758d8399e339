//! Runs over a connection that stands already: rsync over a control master, `rsyn --persist`.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::bench::Bench;
use super::data;
use super::figures::{wall, wall_and_range};
use super::server::Route;
use super::settings::Direction;
use super::tools::{Tool, Trip};
use super::watch::Run;

/// How the four contenders are called, in the order of the columns.
const CONTENDERS: [(&str, Tool); 4] = [
    ("rsync -a", Tool::Rsync),
    ("rsync kept", Tool::Rsync),
    ("rsyn", Tool::Rsyn),
    ("rsyn --persist", Tool::Rsyn),
];

/// The rows of one direction.
pub fn print(bench: &Bench, direction: Direction) {
    let (few, many) = (bench.settings.count(20_000), bench.settings.count(100_000));
    let mut rows = vec![];
    for (files, sources) in [(few, true), (many, false)] {
        let name = format!("no change, repeated over a kept connection, {files} files");
        if bench.settings.wants(&name) {
            eprintln!("{}: {name} …", direction.name());
            rows.push(row(bench, direction, &name, files, sources));
            eprintln!("{}", rows[rows.len() - 1]);
        }
    }
    if !rows.is_empty() {
        println!(
            "| {} | rsync -a, new connection | rsync -a, kept connection | rsyn, new connection | rsyn --persist (min–max) | --persist / rsync new | --persist / rsync kept |",
            direction.name()
        );
        println!("|---|---|---|---|---|---|---|");
        println!("{}\n", rows.join("\n"));
    }
}

fn row(bench: &Bench, direction: Direction, name: &str, files: usize, sources: bool) -> String {
    let source = bench.new_source();
    if sources {
        data::sources(&source, files, 1);
    } else {
        data::small_files(&source, files);
    }
    let master = Master::start(bench);
    let contenders = if knows_persist(direction) { 4 } else { 3 };
    let mut runs: Vec<Vec<Run>> = vec![vec![]; contenders];
    for round in 0..2 + bench.settings.rounds {
        for turn in 0..contenders {
            let one = (turn + round) % contenders;
            let route = if round == 0 {
                Route::Direct
            } else {
                Route::Measured
            };
            let run = go(bench, direction, &source, one, &master, route);
            // Two rounds make ready: the first copies, the second finds settled time stamps and makes what is kept.
            if round >= 2 {
                check_logins(one, &run);
                runs[one].push(run);
            }
        }
        if round < 2 {
            std::thread::sleep(Duration::from_millis(2200));
        }
    }
    for (name, _) in &CONTENDERS[..contenders] {
        bench.check_equal(&source, &bench.destination(name));
    }
    drop(master);
    bench.end_kept_connections();
    bench.clear();
    let (new, kept) = (wall(&runs[0]), wall(&runs[1]));
    let last = runs.get(3).map_or_else(
        || "not built | - | -".to_owned(),
        |persist| {
            let ours = wall(persist);
            let (to_new, to_kept) = (ours / new, ours / kept);
            format!(
                "{} | **{to_new:.2}** | {to_kept:.2}",
                wall_and_range(persist)
            )
        },
    );
    format!(
        "| {name} | {new:.2} | {kept:.2} | {:.2} | {last} |",
        wall(&runs[2])
    )
}

fn go(
    bench: &Bench,
    direction: Direction,
    source: &std::path::Path,
    one: usize,
    master: &Master,
    route: Route,
) -> Run {
    let (name, tool) = CONTENDERS[one];
    let trip = Trip {
        direction,
        source,
        destination: &bench.destination(name),
        route,
        options: &[],
        ssh_options: "",
    };
    let trip = match (route, one) {
        (Route::Measured, 1) => Trip {
            ssh_options: &master.options,
            ..trip
        },
        (Route::Measured, 3) => Trip {
            options: &["--persist"],
            ..trip
        },
        _ => trip,
    };
    bench.run(tool, &trip)
}

/// A kept connection that was not used would go unnoticed: ssh makes a new one without a word.
fn check_logins(one: usize, run: &Run) {
    let expected = usize::from(one == 0 || one == 2);
    let name = CONTENDERS[one].0;
    assert_eq!(run.logins, expected, "new connections of {name}");
}

fn knows_persist(direction: Direction) -> bool {
    let help = Command::new(env!("CARGO_BIN_EXE_rsyn"))
        .args([direction.name(), "--help"])
        .output()
        .unwrap();
    assert!(help.status.success(), "rsyn {} --help", direction.name());
    String::from_utf8_lossy(&help.stdout).contains("--persist")
}

/// A control master of ours, for rsync's ssh.
struct Master {
    child: Child,
    socket: PathBuf,
    options: String,
}

impl Master {
    fn start(bench: &Bench) -> Self {
        let socket = bench.dir.join("sshd/control");
        let config = bench.server.config(Route::Measured);
        let child = Command::new("ssh")
            .arg("-F")
            .arg(&config)
            .args(["-M", "-N", "-S"])
            .arg(&socket)
            .arg("hub")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while !socket.exists() {
            assert!(start.elapsed() < Duration::from_secs(20), "no ssh master");
            std::thread::sleep(Duration::from_millis(20));
        }
        let options = format!("-o ControlMaster=no -S {}", socket.display());
        Self {
            child,
            socket,
            options,
        }
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A killed master leaves its socket, which the next one would not take over.
        let _ = std::fs::remove_file(&self.socket);
    }
}
