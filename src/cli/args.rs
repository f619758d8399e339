//! The command line as it is typed. Names and letters are a contract (`docs/cli.md`).

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::plan::guard::MaxDelete;
use crate::plan::{Policy, policy::PolicyError};

/// rsyn keeps one project in step on several machines, through a hub that holds the truth.
#[derive(Debug, Parser)]
#[command(name = "rsyn", version, about, long_about = None, arg_required_else_help = true)]
#[command(
    after_help = "Morning: `rsyn pull`. Evening: `rsyn push`. Before either: `--dry-run`. Undo: `rsyn rollback`."
)]
pub struct Cli {
    /// Work in the project at DIR instead of the one around the current directory
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make this directory a project: write rsyn.toml and .rsync-exclude
    Init(InitArgs),
    /// Bring a project from its hub to this machine
    Clone(CloneArgs),
    /// Check everything that a sync needs, with the fix beside each failure
    Setup(SetupArgs),
    /// Show whether this machine and the hub are in step
    Status(StatusArgs),
    /// Bring changes of the hub here; where both sides changed, the hub wins
    #[command(disable_help_flag = true)]
    Pull(SyncArgs),
    /// Send changes of this machine to the hub; where both sides changed, this machine wins
    #[command(disable_help_flag = true)]
    Push(SyncArgs),
    /// Pull, then push, over one connection
    #[command(disable_help_flag = true)]
    Sync(SyncArgs),
    /// Show as text diffs what a pull (or --push) would change
    Diff(DiffArgs),
    /// List every path in scope
    List(ListArgs),
    /// Say whether a path is in scope and which rule decides
    Why(WhyArgs),
    /// Show the syncs that this project took part in
    Log(LogArgs),
    /// Finish or undo an interrupted sync at once
    Recover(PlainArgs),
    /// Undo a sync
    Rollback(RollbackArgs),
    /// Bring back the older version of a path that a snapshot keeps
    Restore(RestoreArgs),
    /// Read every byte again; name files that changed though their size and time did not
    Verify(VerifyArgs),
    /// List the snapshots that a rollback can go back to
    Snapshots(SnapshotsArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual page
    Man,
    /// The hub's side of a session
    #[command(hide = true)]
    Serve(ServeArgs),
}

/// How the hub is reached.
#[derive(Debug, Args, Default)]
pub struct ReachArgs {
    /// Run CMD in place of ssh (split as a shell splits words)
    #[arg(short = 'e', long, value_name = "CMD", overrides_with = "ssh_command")]
    pub ssh_command: Option<String>,
    /// Configuration file for ssh, as ssh's own -F
    #[arg(short = 'F', long, value_name = "FILE", overrides_with = "ssh_config")]
    pub ssh_config: Option<PathBuf>,
    /// Port of ssh on the hub
    #[arg(long, value_name = "PORT", overrides_with = "port")]
    pub port: Option<u16>,
    /// End the run when the hub is silent for SECS seconds
    #[arg(long, value_name = "SECS", overrides_with = "timeout")]
    pub timeout: Option<u64>,
    /// Keep the connection open for a minute, so that the next run need not make one
    #[arg(long, overrides_with = "persist")]
    pub persist: bool,
    /// Memory that the list of the hub's files may take here
    #[arg(long, value_name = "SIZE", value_parser = size, overrides_with = "max_tree")]
    pub max_tree: Option<u64>,
}

/// When to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompressArg {
    /// Over a network, where it shrinks.
    Auto,
    /// Always, where it shrinks.
    On,
    /// Never.
    Off,
}

fn policy(text: &str) -> Result<Policy, PolicyError> {
    text.parse()
}

fn max_delete(text: &str) -> Result<MaxDelete, crate::plan::guard::MaxDeleteError> {
    text.parse()
}

fn size(text: &str) -> Result<u64, crate::config::size::SizeError> {
    crate::config::size::parse_size(text)
}

fn rate(text: &str) -> Result<u64, crate::config::size::RateError> {
    crate::config::size::parse_rate(text)
}

/// Flags of pull, push and sync: rsync's letters where rsync has one.
#[derive(Debug, Args)]
pub struct SyncArgs {
    /// The hub: user@host:path, ssh://…, a path, or a name from rsyn.toml
    pub remote: Option<String>,
    /// How the hub is reached
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Show what would be done, change nothing on either side
    #[arg(short = 'n', long, action = ArgAction::SetTrue, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Show text diffs of what changes
    #[arg(long, overrides_with = "diff")]
    pub diff: bool,
    /// Show rsync's itemized codes
    #[arg(short = 'i', long, overrides_with = "itemize")]
    pub itemize: bool,
    /// Say more
    #[arg(short = 'v', long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but errors
    #[arg(short = 'q', long, overrides_with = "quiet")]
    pub quiet: bool,
    /// Show progress (the default on a terminal)
    #[arg(long, overrides_with_all = ["progress", "no_progress"])]
    pub progress: bool,
    /// Show no progress
    #[arg(long, overrides_with_all = ["progress", "no_progress"])]
    pub no_progress: bool,
    /// Compress content on its way
    #[arg(short = 'z', long, value_name = "WHEN", num_args = 0..=1, require_equals = true,
          default_missing_value = "on", overrides_with = "compress")]
    pub compress: Option<CompressArg>,
    /// Limit of bytes per second (rsync's units: a plain number is KiB)
    #[arg(long, value_name = "RATE", value_parser = rate, overrides_with = "bwlimit")]
    pub bwlimit: Option<u64>,
    /// Read every file, trust no time stamp
    #[arg(short = 'c', long, overrides_with = "checksum")]
    pub checksum: bool,
    /// Leave out what matches PATTERN
    #[arg(long, value_name = "PATTERN", action = ArgAction::Append)]
    pub exclude: Vec<String>,
    /// Keep in what matches PATTERN, though a later rule excludes it
    #[arg(long, value_name = "PATTERN", action = ArgAction::Append)]
    pub include: Vec<String>,
    /// Read exclude patterns from FILE
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    pub exclude_from: Vec<PathBuf>,
    /// Sync this part of the tree alone
    #[arg(long, value_name = "PATH", num_args = 1.., action = ArgAction::Append)]
    pub only: Vec<PathBuf>,
    /// Make the written side exactly the other, as rsync -a --delete
    #[arg(long, overrides_with = "mirror")]
    pub mirror: bool,
    /// Delete nothing
    #[arg(long, overrides_with = "no_delete")]
    pub no_delete: bool,
    /// Refuse to delete more than N paths or P% of them
    #[arg(long, value_name = "N|P%", value_parser = max_delete, overrides_with = "max_delete")]
    pub max_delete: Option<MaxDelete>,
    /// What to do where both sides changed: default, local, remote, newer, both, ask, block
    #[arg(long, value_name = "POLICY", value_parser = policy, overrides_with = "on_conflict")]
    pub on_conflict: Option<Policy>,
    /// Answer every question with yes
    #[arg(short = 'y', long, overrides_with = "yes")]
    pub yes: bool,
    /// Lift the guards of this run
    #[arg(long, overrides_with = "force")]
    pub force: bool,
    /// Let files that match PATTERN lie open on the hub, though they are named like keys
    #[arg(long, value_name = "PATTERN", action = ArgAction::Append)]
    pub public: Vec<String>,
    /// Keep no snapshot of what is replaced
    #[arg(long, overrides_with = "no_snapshot")]
    pub no_snapshot: bool,
    /// Send files whole, without delta
    #[arg(short = 'W', long, overrides_with = "whole_file")]
    pub whole_file: bool,
    /// Show counts of bytes at the end
    #[arg(long, overrides_with = "stats")]
    pub stats: bool,
    /// By itself: print help. Among rsync's letters: show sizes for people (rsyn always does)
    #[arg(short = 'h', long, action = ArgAction::Count)]
    pub human_readable: u8,
    /// Print one JSON object
    #[arg(long, overrides_with = "json")]
    pub json: bool,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// What rsync users type and what is always so here
    #[command(flatten)]
    pub habits: HabitArgs,
}

/// Flags of rsync that change nothing here.
#[derive(Debug, Args, Default)]
pub struct HabitArgs {
    /// Accepted: always so
    #[arg(short = 'a', long, hide = true, action = ArgAction::Count)]
    pub archive: u8,
    /// Accepted: always so
    #[arg(short = 'r', long, hide = true, action = ArgAction::Count)]
    pub recursive: u8,
    /// Accepted: always so
    #[arg(short = 't', long, hide = true, action = ArgAction::Count)]
    pub times: u8,
    /// Accepted: always so
    #[arg(short = 'p', long, hide = true, action = ArgAction::Count)]
    pub perms: u8,
    /// Accepted: always so
    #[arg(short = 'l', long, hide = true, action = ArgAction::Count)]
    pub links: u8,
    /// Accepted: deletions follow what was agreed on
    #[arg(long, hide = true, action = ArgAction::Count)]
    pub delete: u8,
}

impl HabitArgs {
    /// Whether one was typed.
    #[must_use]
    pub fn any(&self) -> bool {
        self.archive + self.recursive + self.times + self.perms + self.links + self.delete > 0
    }
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The hub
    pub remote: Option<String>,
    /// Write Makefile.sync as well
    #[arg(long)]
    pub makefile: bool,
}

/// Arguments of `clone`.
#[derive(Debug, Args)]
pub struct CloneArgs {
    /// The hub
    pub remote: String,
    /// Where to put the project (the last name of the remote's path)
    pub dir: Option<PathBuf>,
    /// How the hub is reached
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Say nothing but errors
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// Arguments of `setup`.
#[derive(Debug, Args)]
pub struct SetupArgs {
    /// The hub
    pub remote: Option<String>,
    /// Put this very program on the hub if it is missing or older
    #[arg(long)]
    pub install: bool,
    /// How the hub is reached
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The hub
    pub remote: Option<String>,
    /// Ask the hub nothing
    #[arg(long)]
    pub offline: bool,
    /// Exit with 1 if anything differs
    #[arg(long)]
    pub check: bool,
    /// How the hub is reached
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Name every path that differs
    #[arg(short = 'v', long)]
    pub verbose: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Show these paths alone
    pub paths: Vec<PathBuf>,
    /// Show what a push would change
    #[arg(long)]
    pub push: bool,
    /// The hub
    #[arg(long, value_name = "REMOTE")]
    pub remote: Option<String>,
    /// How the hub is reached
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// A directory outside of any project
    pub dir: Option<PathBuf>,
    /// End each path with NUL instead of a line break
    #[arg(long)]
    pub null: bool,
    /// Leave out what matches PATTERN
    #[arg(long, value_name = "PATTERN", action = ArgAction::Append)]
    pub exclude: Vec<String>,
    /// Keep in what matches PATTERN
    #[arg(long, value_name = "PATTERN", action = ArgAction::Append)]
    pub include: Vec<String>,
    /// Read exclude patterns from FILE
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    pub exclude_from: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Paths in the project
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Leave out what matches PATTERN
    #[arg(long, value_name = "PATTERN", action = ArgAction::Append)]
    pub exclude: Vec<String>,
    /// Keep in what matches PATTERN
    #[arg(long, value_name = "PATTERN", action = ArgAction::Append)]
    pub include: Vec<String>,
    /// Read exclude patterns from FILE
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    pub exclude_from: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// How many, newest first
    #[arg(short = 'n', default_value_t = 20)]
    pub count: usize,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of a verb with none of its own.
#[derive(Debug, Args)]
pub struct PlainArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The snapshot (the newest)
    pub id: Option<String>,
    /// Undo on the hub
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "REMOTE", default_missing_value = "")]
    pub remote: Option<String>,
    /// Show what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Answer every question with yes
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// Name every path
    #[arg(short = 'v', long)]
    pub verbose: bool,
    /// How the hub is reached
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// A file, or a directory for all that is kept below it
    pub path: PathBuf,
    /// The snapshot (the newest that keeps a version of it)
    #[arg(long, value_name = "ID")]
    pub from: Option<String>,
    /// Write it to OUT instead, which must not be there yet; `-` prints a file
    #[arg(short = 'o', long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Name every path
    #[arg(short = 'v', long)]
    pub verbose: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Read the hub's files
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "REMOTE", default_missing_value = "")]
    pub remote: Option<String>,
    /// Bring the old content back: from a snapshot, or from the other side
    #[arg(long)]
    pub repair: bool,
    /// How the hub is reached
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `snapshots`.
#[derive(Debug, Args)]
pub struct SnapshotsArgs {
    /// Those of the hub
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "REMOTE", default_missing_value = "")]
    pub remote: Option<String>,
    /// How the hub is reached
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// bash, elvish, fish, powershell, zsh
    pub shell: clap_complete::Shell,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Speak on standard input and output
    #[arg(long)]
    pub stdio: bool,
    /// Serve roots inside DIR alone
    #[arg(long, value_name = "DIR")]
    pub restrict: Option<PathBuf>,
    /// Let nothing be written
    #[arg(long)]
    pub read_only: bool,
}
