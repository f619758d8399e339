//! Commands that bring older versions back: `rollback`, `snapshots`, `restore`, `verify`.

use serde_json::json;

use super::args::{ReachArgs, RestoreArgs, RollbackArgs, SnapshotsArgs, VerifyArgs};
use super::local::world;
use super::sync::{inside, reach};
use super::ui::{self, Manner, Terminal};
use super::{Context, Ended, clock_ms, exit};
use crate::ops::connect::Reach;
use crate::ops::restore::{self, Target};
use crate::ops::undo::{self, Where};
use crate::ops::verify;
use crate::ops::{Failure, Project, Talk};
use crate::report::{json as contract, printable, text, time};

/// Undoes a sync.
pub(super) fn rollback(context: &Context, args: &RollbackArgs) -> Ended {
    let (project, at, reach) = whose(context, &args.reach, args.remote.as_deref())?;
    let terminal = Terminal::new(
        context,
        Manner {
            json: args.json,
            yes: args.yes,
            verbose: args.verbose,
            ..Manner::default()
        },
    );
    if args.id.is_none() && !args.yes && !args.dry_run && !terminal.can_ask() {
        return Err(Failure::usage(
            "which sync is to be undone? there is nobody to ask here",
            "name it (`rsyn snapshots` lists them), or say `-y` for the last one of this machine; `-n` shows it",
        ));
    }
    let world = world(context, &project, &terminal);
    let report = undo::rollback(&world, at, &reach, args.id.as_deref(), args.dry_run)?;
    for line in &report.warnings {
        terminal.warn(line);
    }
    if args.json {
        let actions = undo::actions_json(&report.plan);
        ui::print_json_list(&undo::to_json(&report), "actions", actions);
        return Ok(exit::DONE);
    }
    let style = text::Style {
        verbose: args.verbose,
        itemize: false,
    };
    if !report.of.is_empty() {
        ui::print(&format!("undoes the {}\n", report.of));
    }
    ui::print(&text::plan(&report.plan, style));
    let sum = text::sum(&report.plan);
    match (args.dry_run, sum.is_empty()) {
        (true, _) => ui::print(&format!(
            "dry run of rollback to before {}: {sum}; nothing was changed\n",
            report.id
        )),
        (false, _) if report.declined => ui::print("declined; nothing was changed\n"),
        (false, true) => ui::print("rollback: nothing to do\n"),
        (false, false) => {
            ui::print(&format!(
                "rolled back {}: {}
",
                report.id,
                text::past(&sum)
            ));
            if let Some(id) = &report.snapshot {
                let command = match at {
                    Where::Here => text::rollback_here(id),
                    Where::Hub => text::rollback_on_hub(args.remote.as_deref(), id),
                };
                ui::print(&format!("this can be undone as well: `{command}`\n"));
            }
            if !report.next.is_empty() {
                ui::print(&format!("{}\n", report.next));
            }
        }
    }
    Ok(exit::DONE)
}

/// Whose tree is meant and how the hub is reached. The settings of the project may be what is to be undone here, so only
/// `--remote` needs them.
fn whose(
    context: &Context,
    flags: &ReachArgs,
    remote: Option<&str>,
) -> Result<(Project, Where, Reach), Failure> {
    let Some(name) = remote else {
        return Ok((context.project_for_undo()?, Where::Here, Reach::default()));
    };
    let project = context.project()?;
    let named = Some(name.to_owned()).filter(|name| !name.is_empty());
    let options = project.settings.options.as_ref();
    let reach = reach(context, options, flags, named.as_ref())?;
    Ok((project, Where::Hub, reach))
}

fn site(remote: Option<&str>) -> Where {
    if remote.is_some() {
        Where::Hub
    } else {
        Where::Here
    }
}

/// Lists snapshots.
pub(super) fn snapshots(context: &Context, args: &SnapshotsArgs) -> Ended {
    let (project, at, reach) = whose(context, &args.reach, args.remote.as_deref())?;
    let terminal = Terminal::new(
        context,
        Manner {
            json: args.json,
            ..Manner::default()
        },
    );
    let world = world(context, &project, &terminal);
    let lines = undo::snapshots(&world, at, &reach)?;
    if args.json {
        let all: Vec<_> = lines.iter().map(|l| json!({
            "id": l.id, "when": time::rfc3339(l.when_secs * 1000), "label": l.label, "changes": l.changes, "bytes": l.bytes,
        })).collect();
        ui::print_json(&contract::object(
            "snapshots",
            "ok",
            json!({ "snapshots": all }),
        ));
        return Ok(exit::DONE);
    }
    let now = clock_ms().div_euclid(1000);
    for line in &lines {
        let words = format!(
            "{}  {:<13} {:>6} paths  {:>10}  {}",
            line.id,
            time::ago(line.when_secs, now),
            line.changes,
            indicatif::HumanBytes(line.bytes).to_string(),
            line.label
        );
        ui::print(&format!("{}\n", printable::line(&words)));
    }
    if lines.is_empty() {
        ui::say("no snapshots");
    }
    Ok(exit::DONE)
}

/// Brings an older version of a path back.
pub(super) fn restore(context: &Context, args: &RestoreArgs) -> Ended {
    let project = context.project_for_undo()?;
    let terminal = Terminal::new(context, Manner::default());
    let world = world(context, &project, &terminal);
    let path = inside(context, &project, &args.path)?;
    let mut stdout = super::output::Raw;
    let target = match &args.output {
        None => Target::Place,
        Some(out) if out.as_os_str() == "-" => Target::Stream(&mut stdout),
        Some(out) => Target::Elsewhere(context.environment.directory.join(out)),
    };
    let is_stream = matches!(target, Target::Stream(_));
    let restored = restore::restore(&world, &path, args.from.as_deref(), target);
    // That is told at the end, or was the wish of a reader.
    if is_stream && super::output::is_broken() {
        return Ok(exit::DONE);
    }
    let report = restored?;
    for line in &report.warnings {
        terminal.warn(line);
    }
    if is_stream {
        return Ok(exit::DONE);
    }
    if args.json {
        ui::print_json(&restore::to_json(&report));
        return Ok(exit::DONE);
    }
    let from = &report.from;
    if let Some(to) = &report.written {
        let to = to.display().to_string();
        ui::print(&format!(
            "{}\n",
            printable::line(&format!("wrote {to} (snapshot {from})"))
        ));
        return Ok(exit::DONE);
    }
    let style = text::Style {
        verbose: args.verbose,
        itemize: false,
    };
    ui::print(&text::plan(&report.plan, style));
    let sum = text::sum(&report.plan);
    if sum.is_empty() {
        ui::print(&format!("nothing to do: it is as it was in {from}\n"));
        return Ok(exit::DONE);
    }
    ui::print(&format!("restored from {from}: {}\n", text::past(&sum)));
    if let Some(id) = &report.snapshot {
        ui::print(&format!("`{}` undoes it\n", text::rollback_here(id)));
    }
    Ok(exit::DONE)
}

/// Reads every byte of one side again.
pub(super) fn verify(context: &Context, args: &VerifyArgs) -> Ended {
    let project = context.project()?;
    let terminal = Terminal::new(
        context,
        Manner {
            json: args.json,
            ..Manner::default()
        },
    );
    let world = world(context, &project, &terminal);
    let at = site(args.remote.as_deref());
    let named = args.remote.clone().filter(|r| !r.is_empty());
    let options = project.settings.options.as_ref();
    let reach = reach(context, options, &args.reach, named.as_ref())?;
    let report = verify::verify(&world, at, &reach, args.repair)?;
    let refusal = verify::refusal(&report, at);
    for line in &report.warnings {
        terminal.warn(line);
    }
    if args.json {
        ui::print_json(&verify::to_json(&report, refusal.as_ref()));
    } else {
        ui::print(&verify::to_text(&report));
    }
    match refusal {
        None => Ok(exit::DONE),
        Some(refusal) => {
            if !args.json {
                ui::say_failure(&refusal);
            }
            Ok(exit::code(refusal.kind))
        }
    }
}
