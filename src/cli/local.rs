//! Commands about this machine's tree and state: `list`, `why`, `log`, `recover`.

use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use super::args::{ListArgs, LogArgs, PlainArgs, WhyArgs};
use super::sync::inside;
use super::ui::{self, Manner, Terminal};
use super::{Context, Ended, clock_ms, exit};
use crate::endpoint::local::Local;
use crate::filter::Decision;
use crate::filter::Rules;
use crate::model::RelPath;
use crate::ops::local as ops;
use crate::ops::look::World;
use crate::ops::project::{ExtraRule, add_extra};
use crate::report::{json as contract, printable};
use crate::state::log;

pub(super) fn world<'a>(
    context: &'a Context,
    project: &'a crate::ops::Project,
    terminal: &'a Terminal,
) -> World<'a> {
    World {
        project,
        environment: &context.environment,
        talk: terminal,
        interrupted: &context.interrupted,
        clock: clock_ms,
        hub_here: crate::transport::local,
    }
}

/// Lists every path in scope.
pub(super) fn list(context: &Context, args: &ListArgs, extra: &[ExtraRule]) -> Ended {
    let directory = &context.environment.directory;
    let (path, rules) = match &args.dir {
        Some(dir) => {
            let mut rules = Rules::new();
            add_extra(&mut rules, extra)?;
            (directory.join(dir), rules)
        }
        None => {
            let project = context.project()?;
            let rules = project.rules(extra, None)?;
            (project.path, rules)
        }
    };
    for warning in rules.warnings() {
        ui::say(&format!("warning: {warning}"));
    }
    let listing = ops::list(&path, &rules, &context.interrupted)?;
    for problem in &listing.problems {
        ui::say(&format!("warning: {}", printable::line(problem)));
    }
    if args.json {
        let paths = listing.entries.iter().map(|e| {
            let (path, bytes) = contract::path(&e.path);
            json!({"path": path, "path_bytes": bytes, "dir": e.node.is_dir()})
        });
        let object = contract::object("list", "ok", json!({ "paths": [] }));
        ui::print_json_list(&object, "paths", paths);
        return Ok(exit::DONE);
    }
    let mut out = Vec::new();
    for entry in &listing.entries {
        match args.null {
            true => out.extend_from_slice(entry.path.as_bytes()),
            false => out.extend_from_slice(printable::path(&entry.path).as_bytes()),
        }
        if entry.node.is_dir() {
            out.push(b'/');
        }
        out.push(if args.null { 0 } else { b'\n' });
    }
    ui::print_bytes(&out);
    Ok(exit::DONE)
}

/// Says whether paths are in scope, and why.
pub(super) fn why(context: &Context, args: &WhyArgs, extra: &[ExtraRule]) -> Ended {
    let project = context.project()?;
    let rules = project.rules(extra, None)?;
    let local = Local::open(&project.path)?;
    let mut all_in = true;
    let mut answers = Vec::new();
    for typed in &args.paths {
        let path = inside(context, &project, typed)?;
        let ends_in_slash = typed.as_os_str().as_bytes().ends_with(b"/");
        let found = local.root.stat(&path)?;
        let is_there_dir = found.is_some_and(|s| s.kind == crate::disk::FileKind::Dir);
        let as_dir = rules.decide(&path, true);
        let as_file = rules.decide(&path, false);
        let same = |a: &Decision<'_>, b: &Decision<'_>| {
            let origin = |d: &Decision<'_>| d.rule.map(|r| r.origin.clone());
            (a.included, &a.path, origin(a)) == (b.included, &b.path, origin(b))
        };
        let readings = match (ends_in_slash || is_there_dir, found.is_some()) {
            (true, _) => vec![(as_dir, "")],
            (false, true) => vec![(as_file, "")],
            (false, false) if same(&as_dir, &as_file) => vec![(as_file, "")],
            // What is not there may become either.
            (false, false) => vec![(as_file, " as a file"), (as_dir, " as a directory")],
        };
        all_in &= readings.iter().any(|(decision, _)| decision.included);
        for (decision, reading) in readings {
            if !args.json {
                ui::print(&format!(
                    "{}{reading}: {}\n",
                    printable::path(&path),
                    decided(&decision, &path)
                ));
            }
            answers.push(answer(&decision, &path));
        }
    }
    if args.json {
        ui::print_json(&contract::object("why", "ok", json!({ "paths": answers })));
    }
    Ok(if all_in { exit::DONE } else { exit::NO })
}

/// Whether a path is in scope, and by which rule, for people.
fn decided(decision: &Decision<'_>, path: &RelPath) -> String {
    let verdict = match decision.included {
        true => "in scope",
        false => "excluded",
    };
    let Some(rule) = decision.rule else {
        return format!("{verdict}, no rule matches");
    };
    let through = match decision.path == *path {
        true => String::new(),
        false => format!(" (it excludes {}/)", printable::path(&decision.path)),
    };
    let pattern = printable::bytes(rule.pattern());
    format!("{verdict}, {}: {pattern}{through}", rule.origin)
}

/// The same for scripts.
fn answer(decision: &Decision<'_>, path: &RelPath) -> Value {
    let (raw, raw_bytes) = contract::path(path);
    json!({
        "path": raw, "path_bytes": raw_bytes, "included": decision.included,
        "rule": decision.rule.map(|r| String::from_utf8_lossy(r.pattern()).into_owned()),
        "file": decision.rule.map(|r| r.origin.source.to_string()),
        "line": decision.rule.map(|r| r.origin.line),
        "decided_at": printable::path(&decision.path),
    })
}

/// Shows the syncs of this root.
pub(super) fn log(context: &Context, args: &LogArgs) -> Ended {
    let project = context.project_for_undo()?;
    let local = Local::open(&project.path)?;
    let records = match &local.state {
        Some(state) => log::last(state, args.count)?,
        None => vec![],
    };
    if args.json {
        ui::print_json(&contract::object("log", "ok", json!({ "syncs": records })));
        return Ok(exit::DONE);
    }
    for record in &records {
        let counts = [
            (record.create, "+"),
            (record.update, "~"),
            (record.delete, "-"),
            (record.meta, "m"),
        ];
        let counts: Vec<_> = counts
            .iter()
            .filter(|c| c.0 > 0)
            .map(|(n, sign)| format!("{sign}{n}"))
            .collect();
        let skipped = match record.skipped {
            0 => String::new(),
            skipped => format!("  {skipped} skipped"),
        };
        let snapshot = snapshots(record);
        let note = record
            .note
            .as_ref()
            .map(|n| format!("  {n}"))
            .unwrap_or_default();
        let line = format!(
            "{}  {:<8} {:<13} {}  {}{skipped}{snapshot}{note}",
            record.when,
            record.verb,
            record.result,
            record.peer,
            counts.join(" ")
        );
        ui::print(&format!("{}\n", printable::line(line.trim_end())));
    }
    if records.is_empty() {
        ui::say("no sync yet");
    }
    Ok(exit::DONE)
}

/// The snapshots of a run, and which of them lie on the hub.
fn snapshots(record: &log::Record) -> String {
    let log::Snapshots { local, remote } = &record.snapshots;
    let old = record.snapshot.as_ref();
    let known = local.is_some() || remote.is_some();
    let here = local.as_ref().or(old.filter(|_| !known));
    let here = here.map_or_else(String::new, |id| format!("  snapshot {id}"));
    let hub = remote.as_ref();
    here + &hub.map_or_else(String::new, |id| format!("  snapshot {id} on the hub"))
}

/// Settles an interrupted sync.
pub(super) fn recover(context: &Context, args: &PlainArgs) -> Ended {
    let project = context.project_for_undo()?;
    let terminal = Terminal::new(context, Manner::default());
    let words = ops::recover(&world(context, &project, &terminal))?;
    if args.json {
        let result = if words.is_some() {
            "ok"
        } else {
            "nothing_to_do"
        };
        ui::print_json(&contract::object(
            "recover",
            result,
            json!({ "recovered": words }),
        ));
    } else {
        let words = words.unwrap_or_else(|| "nothing to recover".to_owned());
        ui::print(&format!("{}\n", printable::text(&words)));
    }
    Ok(exit::DONE)
}
