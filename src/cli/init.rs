//! `init` and `setup`.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::args::{InitArgs, SetupArgs};
use super::sync::reach;
use super::ui::{self, Manner, Terminal};
use super::{Context, Ended, clock_ms, exit};
use crate::config::Remote;
use crate::disk::{Root, durable};
use crate::endpoint::place::EXCLUDE_FILE;
use crate::ops::look::World;
use crate::ops::project::{CONFIG_FILE, Project};
use crate::ops::setup::{Verdict, setup as check};
use crate::ops::trust::{Proposal, write_remote};
use crate::ops::{Failure, clone::toml_text};
use crate::report::printable;
use crate::state::State;

/// The exclude file that a new project begins with.
const EXCLUDE_EXAMPLE: &str = include_str!("../../.rsync-exclude.example");
/// The targets that `--makefile` writes.
const MAKEFILE: &str = include_str!("../../sync.mk");

/// Makes a directory a project.
pub(super) fn init(context: &Context, args: &InitArgs) -> Ended {
    let directory = context.environment.standing();
    let path = crate::disk::real_path(&directory)?;
    let home = crate::disk::real_path(&context.environment.home).ok();
    if context.directory.is_none() && (path.parent().is_none() || Some(&path) == home.as_ref()) {
        let hint = "go into a directory of its own, or say `-C DIR` if you mean it";
        return Err(Failure::usage(
            "this would make a whole home or file system a project",
            hint,
        ));
    }
    if let Some(remote) = &args.remote {
        let wrong = |e: crate::config::remote::RemoteError| Failure::usage(e.to_string(), "");
        let parsed: Remote = remote.parse().map_err(wrong)?;
        let is_there = |path: &[u8]| {
            let place = path_of(path);
            crate::disk::real_path(&directory.join(place)).is_ok()
        };
        parsed.refuse_word(is_there).map_err(wrong)?;
    }
    let root = Root::open(&path)?;
    root.check_outside_state()?;
    let is_new = write_new(
        &root,
        CONFIG_FILE,
        &config_text(args.remote.as_deref()),
        args.remote.is_some(),
    )?;
    if let Some(remote) = args.remote.as_ref().filter(|_| is_new) {
        keep_remote(&root, remote, &directory)?;
    }
    write_new(&root, EXCLUDE_FILE, EXCLUDE_EXAMPLE, false)?;
    if args.makefile {
        write_new(&root, "Makefile.sync", MAKEFILE, false)?;
    }
    ui::say("next: `rsyn setup` checks everything, `rsyn push --dry-run` shows what would go");
    Ok(exit::DONE)
}

fn path_of(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// Writes the hub into the settings of this machine as well: `rsyn.toml` can only propose one.
fn keep_remote(root: &Root, remote: &str, directory: &Path) -> Result<(), Failure> {
    let state = State::create(root)?;
    let own = match remote.parse() {
        Ok(Remote::Path(_)) => directory.join(remote).display().to_string(),
        _ => remote.to_owned(),
    };
    write_remote(&state, &Proposal { name: None }, &own)
}

fn config_text(remote: Option<&str>) -> String {
    let remote = match remote {
        Some(remote) => format!("remote = {}\n", toml_text(remote)),
        None => "# remote = \"user@host:path\"\n".to_owned(),
    };
    format!(
        "# Settings of rsyn; this file travels with the project. See docs/cli.md.\n\
         # Settings of one machine alone, and commands, belong into .rsyn/config.toml.\n\
         {remote}\n\
         # Who wins where both sides changed a path (first match; default: remote on pull, local on push):\n\
         # [[conflict]]\n\
         # paths = \"*.log\"\n\
         # policy = \"both\"\n\n\
         # [safety]\n\
         # max_delete = \"50%\"\n"
    )
}

/// Writes a file that is not there yet; one that is stays, and says so. Whether it was written.
fn write_new(root: &Root, name: &str, text: &str, matters: bool) -> Result<bool, Failure> {
    if root.top().stat(name.as_bytes())?.is_some() {
        let more = if matters {
            "; set `remote = …` there"
        } else {
            ""
        };
        ui::say(&format!("{name} is there already and stays{more}"));
        return Ok(false);
    }
    durable::create(root.top(), name.as_bytes(), text.as_bytes(), 0o644)?;
    ui::say(&format!("wrote {name}"));
    Ok(true)
}

/// Checks everything that a sync needs.
pub(super) fn setup(context: &Context, args: &SetupArgs) -> Ended {
    let project = match context.project() {
        Ok(project) => project,
        // With a remote on the command line the connection can be checked from anywhere.
        Err(failure) if args.remote.is_none() => return Err(failure),
        Err(_) => Project {
            path: context.environment.directory.clone(),
            settings: Default::default(),
        },
    };
    let terminal = Terminal::new(
        context,
        Manner {
            json: args.json,
            ..Manner::default()
        },
    );
    let world = World {
        project: &project,
        environment: &context.environment,
        talk: &terminal,
        interrupted: &context.interrupted,
        clock: clock_ms,
        hub_here: crate::transport::local,
    };
    let checks = check(
        &world,
        &reach(
            context,
            project.settings.options.as_ref(),
            &args.reach,
            args.remote.as_ref(),
        )?,
        args.install,
    );
    if context.interrupted.load(Ordering::Relaxed) {
        // Checks that were cut off tell nothing.
        return Err(Failure {
            state: String::new(),
            ..Failure::interrupted()
        });
    }
    if args.json {
        ui::print_json(&checks.to_json());
    } else {
        for line in &checks.0 {
            let came = if line.travels {
                "  [came with the project]"
            } else {
                ""
            };
            ui::print(&format!(
                "{:<4}  {:<13} {}{came}\n",
                line.verdict.word(),
                line.name,
                printable::indented(&line.found, 20)
            ));
            if line.verdict != Verdict::Ok && !line.fix.is_empty() {
                ui::print(&format!(
                    "      {:<13} fix: {}\n",
                    "",
                    printable::line(&line.fix)
                ));
            }
        }
    }
    Ok(if checks.passed() {
        exit::DONE
    } else {
        exit::NO
    })
}
