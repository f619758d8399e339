//! `pull`, `push`, `sync`, `clone`, `status`, `diff`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::args::{CloneArgs, CompressArg, DiffArgs, ReachArgs, StatusArgs, SyncArgs};
use super::ui::{self, Manner, Terminal};
use super::{Context, Ended, blame_interruption, clock_ms, exit};
use crate::model::RelPath;
use crate::ops::connect::{Compress, Reach};
use crate::ops::look::World;
use crate::ops::project::{ExtraRule, Project, Setting};
use crate::ops::sync::{Report, Request};
use crate::ops::talk::Talk;
use crate::ops::{self, Failure};
use crate::plan::Direction;
use crate::report::{json, printable, text};

/// Runs pull, push or sync.
pub(super) fn sync(
    context: &Context,
    verb: &'static str,
    args: &SyncArgs,
    rules: Vec<ExtraRule>,
) -> Ended {
    let project = context.project()?;
    let terminal = Terminal::new(context, manner(args));
    if args.habits.any() && args.verbose > 0 {
        ui::say(
            "note: -a, -r, -t, -p, -l and --delete are always so, or follow what was agreed on",
        );
    }
    let request = Request {
        rules,
        ..request(context, &project, verb, args)?
    };
    let world = world(context, &project, &terminal);
    let style = text::Style {
        verbose: args.verbose > 0,
        itemize: args.itemize,
    };
    let mut report = ops::sync::run(&world, &request)?;
    let refusal = report.refusal.take();
    report.refusal = refusal.map(|failure| blame_interruption(failure, &context.interrupted));
    finish(verb, &terminal, args, &report, style);
    match &report.refusal {
        None => Ok(exit::DONE),
        Some(refusal) => {
            if !args.json {
                ui::say_failure(refusal);
            }
            Ok(exit::code(refusal.kind))
        }
    }
}

fn finish(verb: &str, terminal: &Terminal, args: &SyncArgs, report: &Report, style: text::Style) {
    terminal.warn_of(report);
    if args.json {
        ui::print_json(&json::sync(verb, report));
        return;
    }
    for diff in report.legs.iter().filter_map(|leg| leg.diff.as_deref()) {
        ui::print(diff);
    }
    if !args.quiet {
        ui::print(&text::report(verb, report, style));
    }
    if args.stats {
        ui::print(&text::stats(report));
    }
}

fn manner(args: &SyncArgs) -> Manner {
    let progress = match (args.progress, args.no_progress) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    Manner {
        quiet: args.quiet,
        verbose: args.verbose > 0,
        json: args.json,
        yes: args.yes,
        progress,
    }
}

fn world<'a>(context: &'a Context, project: &'a Project, talk: &'a dyn Talk) -> World<'a> {
    World {
        project,
        environment: &context.environment,
        talk,
        interrupted: &context.interrupted,
        clock: clock_ms,
        hub_here: crate::transport::local,
    }
}

fn directions(verb: &str) -> Vec<Direction> {
    match verb {
        "pull" => vec![Direction::Pull],
        "push" => vec![Direction::Push],
        _ => vec![Direction::Pull, Direction::Push],
    }
}

/// How the hub is reached: flags of the verb, and where it has none, those in RSYN_OPTIONS.
pub(super) fn reach(
    context: &Context,
    options: Option<&Setting>,
    args: &ReachArgs,
    remote: Option<&String>,
) -> Result<Reach, Failure> {
    let general = match options {
        Some(options) => super::reach_in_options(options)?,
        None => ReachArgs::default(),
    };
    let timeout = args.timeout.or(general.timeout).filter(|t| *t > 0);
    let ssh_config = args.ssh_config.clone().or(general.ssh_config);
    Ok(Reach {
        remote: remote.cloned(),
        ssh_command: args.ssh_command.clone().or(general.ssh_command),
        ssh_config: ssh_config.map(|file| context.environment.directory.join(file)),
        port: args.port.or(general.port),
        timeout: timeout.map(Duration::from_secs),
        persist: args.persist || general.persist,
        max_tree_bytes: args.max_tree.or(general.max_tree),
        ..Reach::default()
    })
}

fn request(
    context: &Context,
    project: &Project,
    verb: &str,
    args: &SyncArgs,
) -> Result<Request, Failure> {
    let reach = Reach {
        compress: match args.compress {
            None | Some(CompressArg::Auto) => Compress::Auto,
            Some(CompressArg::On) => Compress::On,
            Some(CompressArg::Off) => Compress::Off,
        },
        bytes_per_second: args.bwlimit.unwrap_or(0),
        ..reach(context, None, &args.reach, args.remote.as_ref())?
    };
    let only = args
        .only
        .iter()
        .map(|p| inside(context, project, p))
        .collect::<Result<_, _>>()?;
    Ok(Request {
        reach,
        dry_run: args.dry_run,
        only,
        mirror: args.mirror,
        no_delete: args.no_delete,
        max_delete: args.max_delete,
        on_conflict: args.on_conflict,
        force: args.force,
        public: args.public.clone(),
        no_snapshot: args.no_snapshot,
        whole_file: args.whole_file,
        checksum: args.checksum,
        diff: args.diff,
        ..Request::of(directions(verb))
    })
}

/// A path that the user typed, relative to the working directory or absolute, as one of the project.
pub(super) fn inside(
    context: &Context,
    project: &Project,
    path: &Path,
) -> Result<RelPath, Failure> {
    use std::os::unix::ffi::OsStrExt;
    let wrong = |why: &str| {
        let shown = path.display().to_string().escape_debug().to_string();
        Failure::usage(format!("{shown} {why}"), "name a path inside the project")
    };
    let base = crate::disk::real_path(&context.environment.standing())?;
    let mut full = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            std::path::Component::ParentDir => {
                full.pop();
            }
            std::path::Component::CurDir => {}
            part => full.push(part),
        }
    }
    let below = full
        .strip_prefix(&project.path)
        .map_err(|_| wrong("is outside of the project"))?;
    RelPath::new(below.as_os_str().as_bytes())
        .map_err(|e| wrong(&format!("names no entry of the project: {e}")))
}

/// Brings a project from its hub to this machine.
pub(super) fn clone(context: &Context, args: &CloneArgs) -> Ended {
    let terminal = Terminal::new(
        context,
        Manner {
            quiet: args.quiet,
            json: args.json,
            ..Manner::default()
        },
    );
    let options = context.environment.options();
    let reach = reach(context, options.as_ref(), &args.reach, Some(&args.remote))?;
    let (path, report) = ops::clone::clone(
        &context.environment,
        &terminal,
        &context.interrupted,
        clock_ms,
        &reach,
        args.dir.as_deref(),
    )?;
    terminal.warn_of(&report);
    if args.json {
        ui::print_json(&json::sync("clone", &report));
    } else if !args.quiet {
        let shown = printable::line(&path.display().to_string());
        ui::print(&format!(
            "cloned into {shown}: {}\n",
            text::done_sum(&report)
        ));
    }
    Ok(exit::DONE)
}

/// Shows whether both sides are in step.
pub(super) fn status(context: &Context, args: &StatusArgs) -> Ended {
    let project = context.project()?;
    let terminal = Terminal::new(
        context,
        Manner {
            json: args.json,
            verbose: args.verbose,
            ..Manner::default()
        },
    );
    let world = world(context, &project, &terminal);
    let options = project.settings.options.as_ref();
    let reach = reach(context, options, &args.reach, args.remote.as_ref())?;
    let status = ops::status::status(&world, &reach, args.offline)?;
    if args.json {
        ui::print_json(&ops::status::to_json(&status));
    } else {
        ui::print(&ops::status::to_text(
            &status,
            args.verbose,
            clock_ms().div_euclid(1000),
        ));
    }
    let differs = status.differs();
    Ok(if args.check && (differs || status.skipped > 0) {
        exit::NO
    } else {
        exit::DONE
    })
}

/// Shows what would change as text diffs.
pub(super) fn diff(context: &Context, args: &DiffArgs) -> Ended {
    let project = context.project()?;
    let terminal = Terminal::new(
        context,
        Manner {
            json: args.json,
            ..Manner::default()
        },
    );
    let world = world(context, &project, &terminal);
    let paths = args
        .paths
        .iter()
        .map(|p| inside(context, &project, p))
        .collect::<Result<Vec<_>, _>>()?;
    let direction = if args.push {
        Direction::Push
    } else {
        Direction::Pull
    };
    let options = project.settings.options.as_ref();
    let reach = reach(context, options, &args.reach, args.remote.as_ref())?;
    let only = paths;
    let request = Request {
        dry_run: true,
        diff: true,
        reach,
        only,
        ..Request::of(vec![direction])
    };
    let report = ops::sync::run(&world, &request)?;
    let diffs: String = report
        .legs
        .iter()
        .filter_map(|leg| leg.diff.as_deref())
        .collect();
    if !args.json {
        ui::print(&diffs);
        for leg in &report.legs {
            for conflict in &leg.plan.undecided {
                let words = text::kept_words(conflict, leg.plan.direction);
                let path = printable::path(&conflict.path);
                terminal.warn(&format!("{path}: {words}"));
            }
        }
        return Ok(exit::DONE);
    }
    let mut object = json::sync("diff", &report);
    if let Some(object) = object.as_object_mut() {
        object.insert("diff".to_owned(), json!(diffs));
    }
    ui::print_json(&object);
    Ok(exit::DONE)
}
