//! rsyn against rsync over one sshd on loopback, interleaved in one run: `make bench` and its sisters.
//!
//! Each workload brings the same change to the source, then runs `rsync -a`, `rsync -az`, rsyn and what else is
//! installed in an order that turns with the rounds; medians are compared, rsync's better variant is the reference.
//! docs/contributing.md names the forms and their knobs.
#![allow(missing_docs, reason = "a program, not a library")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::let_underscore_must_use,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a benchmark drives processes and files, and may stop at the first surprise"
)]

mod bench;
mod breakdown;
mod data;
mod figures;
mod growth;
mod interrupt;
mod kept;
mod limits;
mod machine;
mod phases;
mod processes;
mod proxy;
mod proxy_check;
mod server;
mod settings;
mod svg;
mod table;
mod tools;
mod watch;
mod workloads;

use std::process::ExitCode;

use bench::Bench;
use settings::{Form, Settings};

fn main() -> ExitCode {
    let settings = Settings::from_environment();
    processes::adopt_orphans();
    interrupt::note_signals();
    machine::print(&settings);
    if let Some(line) = settings.line {
        println!("{}\n", proxy_check::check(line));
    }
    let bench = Bench::new(settings);
    let held = match bench.settings.form {
        Form::Growth => {
            growth::print(&bench);
            true
        }
        Form::Table => tables(&bench),
    };
    drop(bench);
    if held {
        ExitCode::SUCCESS
    } else {
        eprintln!("a rate was not held");
        ExitCode::FAILURE
    }
}

/// Everything in each direction; whether every rate was held.
fn tables(bench: &Bench) -> bool {
    let mut held = true;
    for direction in &bench.settings.directions {
        table::print(bench, *direction);
        kept::print(bench, *direction);
        held &= limits::print(bench, *direction);
    }
    held
}
