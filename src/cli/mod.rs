//! The edge: arguments in, exit code out. One small file per command; the work is done in `ops`.
#![expect(
    clippy::disallowed_methods,
    reason = "the edge reads the environment and the clock"
)]

pub mod args;
mod exit;
mod help;
mod init;
mod local;
mod output;
mod rules;
mod sync;
mod ui;
mod undo;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser};

use crate::config::words;
use crate::endpoint::serve::{Machinery, Policy, serve};
use crate::ops::failure::{UNCHANGED, UNCHANGED_AFTER_PULL};
use crate::ops::project::{Environment, Setting};
use crate::ops::{Failure, FailureKind, Project};
use args::{Cli, ServeArgs, Verb};

/// The result of a command: an exit code, or why it failed.
type Ended = Result<u8, Failure>;

/// What every command has at hand.
struct Context {
    environment: Environment,
    directory: Option<PathBuf>,
    interrupted: Arc<AtomicBool>,
}

impl Context {
    fn project(&self) -> Result<Project, Failure> {
        Project::find(&self.environment, self.directory.as_deref())
    }

    /// The project of a verb that undoes or recovers something here: what is to be undone may be its settings.
    fn project_for_undo(&self) -> Result<Project, Failure> {
        let project = Project::find_for_undo(&self.environment, self.directory.as_deref())?;
        for line in &project.settings.warnings {
            ui::say(&format!("warning: {line}"));
        }
        Ok(project)
    }
}

/// Milliseconds since 1970.
fn clock_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Runs the command line and gives the exit code.
#[must_use]
pub fn main() -> u8 {
    let arguments = help::spelled_out(std::env::args_os().collect());
    let parsed = Cli::command().try_get_matches_from(&arguments);
    let (cli, matches) = match parsed.and_then(|m| Ok((Cli::from_arg_matches(&m)?, m))) {
        Ok(parsed) => parsed,
        Err(e) => return refuse(&e),
    };
    crate::disk::umask::keep_owner_bits();
    let context = Context {
        environment: Environment {
            start: cli.directory.clone(),
            ..environment()
        },
        directory: cli.directory.clone(),
        interrupted: watch_signals(),
    };
    let json = wants_json(&cli.verb);
    let name = verb_name(&cli.verb);
    let code = match run(&context, cli, matches, &arguments) {
        Ok(code) => code,
        Err(failure) => {
            let failure = blame_interruption(failure, &context.interrupted);
            let failure = failure.without_passwords();
            if json {
                ui::print_json(&crate::report::json::failure(name, &failure));
            } else {
                ui::say_failure(&failure);
            }
            exit::code(failure.kind)
        }
    };
    output::check(code)
}

/// Ctrl-C reaches ssh as well: what then looks like a broken connection is the user's wish.
fn blame_interruption(failure: Failure, interrupted: &AtomicBool) -> Failure {
    let broken = matches!(failure.kind, FailureKind::Unreachable | FailureKind::Failed);
    let is_plain = [UNCHANGED, UNCHANGED_AFTER_PULL].contains(&failure.state.as_str());
    match interrupted.load(Ordering::Relaxed) && broken && is_plain {
        true => Failure {
            state: failure.state,
            ..Failure::interrupted()
        },
        false => failure,
    }
}

/// Wrong arguments: clap's words, and its exit code 2; help and version are no failure.
fn refuse(error: &clap::Error) -> u8 {
    let words = error.render().to_string();
    if error.use_stderr() {
        ui::say(words.trim_end());
        return exit::code(FailureKind::Usage);
    }
    ui::print(&words);
    output::check(exit::DONE)
}

fn run(context: &Context, cli: Cli, matches: ArgMatches, arguments: &[OsString]) -> Ended {
    let (verb, matches) = with_options(context, cli, matches, arguments)?;
    let rules = || rules::in_order(&matches, &context.environment.directory);
    match verb {
        Verb::Pull(args) => sync::sync(context, "pull", &args, rules()),
        Verb::Push(args) => sync::sync(context, "push", &args, rules()),
        Verb::Sync(args) => sync::sync(context, "sync", &args, rules()),
        Verb::Diff(args) => sync::diff(context, &args),
        Verb::Clone(args) => sync::clone(context, &args),
        Verb::Status(args) => sync::status(context, &args),
        Verb::Init(args) => init::init(context, &args),
        Verb::Setup(args) => init::setup(context, &args),
        Verb::List(args) => local::list(context, &args, &rules()),
        Verb::Why(args) => local::why(context, &args, &rules()),
        Verb::Log(args) => local::log(context, &args),
        Verb::Recover(args) => local::recover(context, &args),
        Verb::Rollback(args) => undo::rollback(context, &args),
        Verb::Restore(args) => undo::restore(context, &args),
        Verb::Verify(args) => undo::verify(context, &args),
        Verb::Snapshots(args) => undo::snapshots(context, &args),
        Verb::Completions(args) => {
            let mut out = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "rsyn", &mut out);
            ui::print(&String::from_utf8_lossy(&out));
            Ok(exit::DONE)
        }
        Verb::Man => {
            let mut out = Vec::new();
            let rendered = clap_mangen::Man::new(Cli::command()).render(&mut out);
            rendered.map_err(|e| Failure::new(FailureKind::Failed, e.to_string(), ""))?;
            ui::print(&String::from_utf8_lossy(&out));
            Ok(exit::DONE)
        }
        Verb::Serve(args) => serve_stdio(context, &args),
    }
}

/// What to do about options that cannot be used.
const OPTIONS_HINT: &str =
    "mend RSYN_OPTIONS; what is for this machine alone belongs into .rsyn/config.toml";

/// Puts the flags of RSYN_OPTIONS before those of the command line, so that the latter win.
fn with_options(
    context: &Context,
    cli: Cli,
    matches: ArgMatches,
    arguments: &[OsString],
) -> Result<(Verb, ArgMatches), Failure> {
    if !matches!(cli.verb, Verb::Pull(_) | Verb::Push(_) | Verb::Sync(_)) {
        return Ok((cli.verb, matches));
    }
    let Some(options) = context.project()?.settings.options else {
        return Ok((cli.verb, matches));
    };
    let wrong =
        |message: String| Failure::usage(format!("{}: {message}", options.origin), OPTIONS_HINT);
    let words = words::split(&options.value).map_err(|e| wrong(e.to_string()))?;
    let verb = verb_name(&cli.verb);
    if options.travels {
        refuse_commands(verb, &words).map_err(wrong)?;
    }
    let at = arguments
        .iter()
        .position(|a| a == verb)
        .map_or(arguments.len(), |at| at + 1);
    let (before, after) = arguments.split_at(at);
    let all = before
        .iter()
        .cloned()
        .chain(words.into_iter().map(OsString::from))
        .chain(after.iter().cloned());
    let matches = Cli::command()
        .try_get_matches_from(all)
        .map_err(|e| wrong(first_line(&e)))?;
    let cli = Cli::from_arg_matches(&matches).map_err(|e| wrong(first_line(&e)))?;
    Ok((cli.verb, matches))
}

/// How RSYN_OPTIONS says that the hub is reached: the only part of it that verbs other than a sync have.
fn reach_in_options(options: &Setting) -> Result<args::ReachArgs, Failure> {
    let wrong =
        |message: String| Failure::usage(format!("{}: {message}", options.origin), OPTIONS_HINT);
    let words = words::split(&options.value).map_err(|e| wrong(e.to_string()))?;
    if options.travels {
        refuse_commands("pull", &words).map_err(wrong)?;
    }
    let arguments = ["rsyn", "pull"]
        .into_iter()
        .chain(words.iter().map(String::as_str));
    match Cli::try_parse_from(arguments)
        .map_err(|e| wrong(first_line(&e)))?
        .verb
    {
        Verb::Pull(args) => Ok(args.reach),
        _ => Ok(args::ReachArgs::default()),
    }
}

/// A file that travels with the project may not make this machine run a command, lift its guards, or have a run do or
/// say less. The table is in `docs/cli.md`.
fn refuse_commands(verb: &str, words: &[String]) -> Result<(), String> {
    let arguments = ["rsyn", verb]
        .into_iter()
        .chain(words.iter().map(String::as_str));
    let parsed = Cli::try_parse_from(arguments).map_err(|e| first_line(&e))?;
    let (Verb::Pull(args) | Verb::Push(args) | Verb::Sync(args)) = parsed.verb else {
        return Ok(());
    };
    let reach = &args.reach;
    let rules = [&args.exclude, &args.include].into_iter().flatten();
    let forbidden: [(&str, bool); 20] = [
        ("-e", reach.ssh_command.is_some()),
        ("-F", reach.ssh_config.is_some()),
        ("--port", reach.port.is_some()),
        ("--persist", reach.persist),
        ("--max-tree", reach.max_tree.is_some()),
        ("a remote", args.remote.is_some()),
        ("--force", args.force),
        ("-y", args.yes),
        ("--mirror", args.mirror),
        ("--no-snapshot", args.no_snapshot),
        ("--max-delete", args.max_delete.is_some()),
        ("--public", !args.public.is_empty()),
        ("--on-conflict", args.on_conflict.is_some()),
        ("--only", !args.only.is_empty()),
        ("--no-delete", args.no_delete),
        ("--exclude-from", !args.exclude_from.is_empty()),
        ("--exclude and --include", rules.count() > 0),
        ("-n", args.dry_run),
        ("-q", args.quiet || args.no_progress),
        ("--json", args.json),
    ];
    match forbidden.iter().find(|(_, is_set)| *is_set) {
        None => Ok(()),
        Some((flag, _)) => Err(format!(
            "it travels with the project and may not say {flag}: nothing that travels names commands or hubs, lifts \
            guards, decides what is kept, or has a run do or say less"
        )),
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned()
}

fn verb_name(verb: &Verb) -> &'static str {
    match verb {
        Verb::Init(_) => "init",
        Verb::Clone(_) => "clone",
        Verb::Setup(_) => "setup",
        Verb::Status(_) => "status",
        Verb::Pull(_) => "pull",
        Verb::Push(_) => "push",
        Verb::Sync(_) => "sync",
        Verb::Diff(_) => "diff",
        Verb::List(_) => "list",
        Verb::Why(_) => "why",
        Verb::Log(_) => "log",
        Verb::Recover(_) => "recover",
        Verb::Rollback(_) => "rollback",
        Verb::Restore(_) => "restore",
        Verb::Verify(_) => "verify",
        Verb::Snapshots(_) => "snapshots",
        Verb::Completions(_) => "completions",
        Verb::Man => "man",
        Verb::Serve(_) => "serve",
    }
}

fn wants_json(verb: &Verb) -> bool {
    match verb {
        Verb::Pull(a) | Verb::Push(a) | Verb::Sync(a) => a.json,
        Verb::Clone(a) => a.json,
        Verb::Setup(a) => a.json,
        Verb::Status(a) => a.json,
        Verb::Diff(a) => a.json,
        Verb::List(a) => a.json,
        Verb::Why(a) => a.json,
        Verb::Log(a) => a.json,
        Verb::Recover(a) => a.json,
        Verb::Rollback(a) => a.json,
        Verb::Restore(a) => a.json,
        Verb::Verify(a) => a.json,
        Verb::Snapshots(a) => a.json,
        Verb::Init(_) | Verb::Completions(_) | Verb::Man | Verb::Serve(_) => false,
    }
}

fn environment() -> Environment {
    use std::io::IsTerminal;
    let ours = |key: &str| key.starts_with("RSYN_") || key.starts_with("AMPLIFIER_SYNC_");
    let text = |(key, value): (OsString, OsString)| {
        Some((key.into_string().ok()?, value.into_string().ok()?))
    };
    let variables: BTreeMap<_, _> = std::env::vars_os()
        .filter_map(text)
        .filter(|(k, _)| ours(k))
        .collect();
    Environment {
        variables,
        home: std::env::home_dir().unwrap_or_else(|| PathBuf::from("/nonexistent")),
        directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        start: None,
        host: gethostname::gethostname().to_string_lossy().into_owned(),
        program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("rsyn")),
        interactive: std::io::stdin().is_terminal(),
    }
}

/// Ctrl-C, TERM and HUP set a flag that every step looks at; a second one ends the process at once.
fn watch_signals() -> Arc<AtomicBool> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Without a handler the signal ends the process, and recovery does the rest.
        drop(signal_hook::flag::register_conditional_shutdown(
            signal,
            130,
            Arc::clone(&flag),
        ));
        drop(signal_hook::flag::register(signal, Arc::clone(&flag)));
    }
    flag
}

/// Ends the process of a hub whose client is gone. If its session was at work, the next start
/// recovers.
#[expect(clippy::exit, reason = "nobody waits for the work that goes on")]
fn leave() {
    std::process::exit(exit::code(FailureKind::Unreachable).into())
}

fn serve_stdio(context: &Context, args: &ServeArgs) -> Ended {
    if !args.stdio {
        return Err(Failure::usage(
            "serve needs --stdio",
            "it is started by the other machine, through ssh",
        ));
    }
    // A hub that is told to stop finishes what it decided and undoes the rest at its next start.
    context.interrupted.store(false, Ordering::Relaxed);
    let machinery = Machinery {
        home: context.environment.home.clone(),
        machine: context.environment.host.clone(),
        clock: clock_ms,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        leave,
    };
    let policy = Policy {
        restrict: args.restrict.clone(),
        read_only: args.read_only,
    };
    serve(std::io::stdin(), output::wire(), &policy, &machinery).map_err(Failure::from)?;
    Ok(exit::DONE)
}
