//! The project a verb works on: where its root is, its settings and where each comes from, its rules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::config::remote::without_passwords;
use crate::config::{ConfigFile, dotenv, file};
use crate::disk::{DiskError, Root, durable};
use crate::endpoint::place::EXCLUDE_FILE;
use crate::filter::{FileStyle, Origin, Rules, Sign};
use crate::model::RelPath;
use crate::plan::guard::MaxDelete;
use crate::plan::{Policies, Policy};

/// Names of the files that make a directory a root, and hold its settings.
pub const CONFIG_FILE: &str = "rsyn.toml";
/// Settings of this machine alone.
const MACHINE_CONFIG: &str = ".rsyn/config.toml";
/// Variables of the project; only those that are ours are read.
const ENV_FILE: &str = ".env";
/// A configuration file is not longer than this, in bytes.
const CONFIG_BYTES: u64 = 1024 * 1024;

/// A setting and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its value.
    pub value: String,
    /// `RSYN_REMOTE in the environment`, `.env line 3`, `rsyn.toml`, `the command line`.
    pub origin: String,
    /// Whether it comes from a file that travels with the project.
    pub travels: bool,
}

/// What follows the name of a variable in an origin.
const IN_ENVIRONMENT: &str = " in the environment";

impl Setting {
    /// Whether a variable of this process says so, and no file.
    #[must_use]
    pub fn is_of_environment(&self) -> bool {
        self.origin.ends_with(IN_ENVIRONMENT)
    }
}

/// What the environment says to rsyn, and where things are on this machine.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Variables that start with `RSYN_` or `AMPLIFIER_SYNC_`.
    pub variables: BTreeMap<String, String>,
    /// Home directory.
    pub home: PathBuf,
    /// Working directory.
    pub directory: PathBuf,
    /// Where the user wants to stand instead (`-C`).
    pub start: Option<PathBuf>,
    /// Name of the host.
    pub host: String,
    /// This very program.
    pub program: PathBuf,
    /// Whether standard input is a terminal.
    pub interactive: bool,
}

impl Environment {
    /// Where the user stands: what is typed is relative to it.
    #[must_use]
    pub fn standing(&self) -> PathBuf {
        match &self.start {
            Some(start) => self.directory.join(start),
            None => self.directory.clone(),
        }
    }

    /// The flags for every sync that the environment names, where there is no project yet.
    #[must_use]
    pub fn options(&self) -> Option<Setting> {
        let key = ["RSYN_OPTIONS", "AMPLIFIER_SYNC_OPTIONS"]
            .into_iter()
            .find(|k| self.variables.contains_key(*k))?;
        let value = self.variables.get(key)?.clone();
        Some(Setting {
            value,
            origin: format!("{key}{IN_ENVIRONMENT}"),
            travels: false,
        })
    }
}

/// The settings of a project from all layers.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The hub.
    pub remote: Option<Setting>,
    /// More hubs by name.
    pub remotes: BTreeMap<String, Setting>,
    /// Flags for every sync.
    pub options: Option<Setting>,
    /// Name of this machine.
    pub machine: Option<Setting>,
    /// Command in place of ssh.
    pub ssh_command: Option<Setting>,
    /// Configuration file for ssh.
    pub ssh_config: Option<Setting>,
    /// What runs on the hub.
    pub remote_command: Option<Setting>,
    /// The brake.
    pub max_delete: Option<Setting>,
    /// The brake that the project brings: it holds beside the other one, and lifts nothing.
    pub max_delete_too: Option<Setting>,
    /// The hub that the project brings, where this machine has another one.
    pub proposed: Option<Setting>,
    /// The hub that a file names, of this machine or of the project, whatever the environment says.
    pub written: Option<Setting>,
    /// Patterns of files that are no keys, whatever they are called.
    pub public: Vec<Setting>,
    /// Exclude patterns of the configuration, with their files.
    pub exclude: Vec<Setting>,
    /// Who wins conflicts, first match first: pattern, policy, file.
    pub conflict: Vec<(String, Policy, String)>,
    /// Files that were passed over, in words.
    pub warnings: Vec<String>,
}

/// What becomes of a settings file that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Faulty {
    /// It is an error.
    Refused,
    /// It counts as absent, with a warning.
    PassedOver,
}

/// A project.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its root.
    pub path: PathBuf,
    /// Its settings.
    pub settings: Settings,
}

impl Project {
    /// Finds the project that `environment.directory`, or `start` if given, lies in.
    ///
    /// # Errors
    /// There is none, or its configuration cannot be read.
    pub fn find(environment: &Environment, start: Option<&Path>) -> Result<Self, Failure> {
        Self::at(root_above(environment, start)?, environment)
    }

    /// As [`Project::find`], for verbs that undo and recover: a settings file that cannot be read is passed over, with a
    /// warning, for it may be what is to be undone.
    ///
    /// # Errors
    /// There is none.
    pub fn find_for_undo(environment: &Environment, start: Option<&Path>) -> Result<Self, Failure> {
        let path = root_above(environment, start)?;
        let settings = Settings::load(&path, environment, Faulty::PassedOver)?;
        Ok(Self { path, settings })
    }

    /// The project whose root is `path`.
    ///
    /// # Errors
    /// Its configuration cannot be read.
    pub fn at(path: PathBuf, environment: &Environment) -> Result<Self, Failure> {
        let settings = Settings::load(&path, environment, Faulty::Refused)?;
        Ok(Self { path, settings })
    }

    /// The rules: `extra` from the command line first, then those of `rsyn.toml`, then `.rsync-exclude`. Where that is no
    /// regular file, those of the last sync, if they are `known`, hold instead: what was kept back stays so.
    ///
    /// # Errors
    /// A file or rule cannot be read.
    pub fn rules(&self, extra: &[ExtraRule], known: Option<&Rules>) -> Result<Rules, Failure> {
        let mut rules = Rules::new();
        add_extra(&mut rules, extra)?;
        for exclude in &self.settings.exclude {
            add_rule(&mut rules, Sign::Exclude, &exclude.value, &exclude.origin)?;
        }
        let root = Root::open(&self.path)?;
        if !is_regular_or_missing(&root, EXCLUDE_FILE)? {
            let known = known.ok_or_else(|| {
                let message = format!(
                    "{EXCLUDE_FILE} is a link or a directory: what it keeps back is not known"
                );
                Failure::usage(message, "put the file back, or remove what stands there")
            })?;
            rules.add_all(known).map_err(wrong_rule)?;
            return Ok(rules);
        }
        if let Some(text) = durable::read(root.top(), EXCLUDE_FILE.as_bytes(), CONFIG_BYTES)? {
            rules
                .add_file(&text, EXCLUDE_FILE, FileStyle::EXCLUDE)
                .map_err(wrong_rule)?;
        }
        Ok(rules)
    }

    /// The policies of the configuration, under one for the whole run.
    ///
    /// # Errors
    /// A pattern cannot be read.
    pub fn policies(&self, for_all: Option<Policy>) -> Result<PathPolicies, Failure> {
        let mut patterns = Vec::new();
        for (pattern, policy, origin) in &self.settings.conflict {
            let mut rules = Rules::new();
            add_rule(&mut rules, Sign::Exclude, pattern, origin)?;
            patterns.push((rules, *policy));
        }
        Ok(PathPolicies { for_all, patterns })
    }

    /// The brakes of the configuration; each holds.
    ///
    /// # Errors
    /// One is no limit.
    pub fn max_delete(&self) -> Result<Vec<MaxDelete>, Failure> {
        let parse = |limit: &Setting| {
            let wrong =
                |e| Failure::usage(format!("{}: {e}", limit.origin), "mend safety.max_delete");
            limit.value.parse().map_err(wrong)
        };
        let own = self.settings.max_delete.as_ref().map(parse).transpose()?;
        let brought = self
            .settings
            .max_delete_too
            .as_ref()
            .map(parse)
            .transpose()?;
        Ok([own.unwrap_or(MaxDelete::Default)]
            .into_iter()
            .chain(brought)
            .collect())
    }

    /// The files that are no keys, whatever they are called: those of the settings and `typed` ones. What these rules
    /// exclude is one.
    ///
    /// # Errors
    /// A pattern cannot be read.
    pub fn public(&self, typed: &[String]) -> Result<Rules, Failure> {
        let mut rules = Rules::new();
        for pattern in typed {
            add_rule(&mut rules, Sign::Exclude, pattern, "--public")?;
        }
        for Setting { value, origin, .. } in &self.settings.public {
            add_rule(&mut rules, Sign::Exclude, value, origin)?;
        }
        Ok(rules)
    }

    /// Name of this machine.
    #[must_use]
    pub fn machine(&self, environment: &Environment) -> String {
        self.settings
            .machine
            .as_ref()
            .map_or_else(|| environment.host.clone(), |s| s.value.clone())
    }
}

/// The root that `environment.directory`, or `start` if given, lies in.
fn root_above(environment: &Environment, start: Option<&Path>) -> Result<PathBuf, Failure> {
    let from = environment.directory.join(start.unwrap_or(Path::new("")));
    let from = crate::disk::real_path(&from)?;
    let home =
        crate::disk::real_path(&environment.home).unwrap_or_else(|_| environment.home.clone());
    // A directory that cannot be looked into may be the root: none further up is taken for it then.
    let mut unseen = None;
    for directory in from.ancestors() {
        let by_name = start.is_some() && directory == from;
        let too_wide = directory == home || directory.parent().is_none();
        if !by_name && too_wide {
            continue;
        }
        match (is_root(directory), unseen.take()) {
            (Ok(false), before) => unseen = before,
            (Err(e), before) => unseen = before.or(Some(e)),
            (Ok(true), Some(e)) => return Err(e.into()),
            (Ok(true), None) => return Ok(directory.to_owned()),
        }
    }
    let but = unseen.map_or_else(String::new, |e| format!(", as far as can be seen: {e}"));
    let message = format!(
        "{} is in no rsyn project{but}",
        from.display().to_string().escape_debug()
    );
    Err(Failure::usage(
        message,
        "`rsyn init REMOTE` makes it one, `rsyn clone REMOTE` brings one here",
    ))
}

fn is_root(directory: &Path) -> Result<bool, DiskError> {
    let root = Root::open(directory)?;
    let mut unseen = None;
    for name in [CONFIG_FILE, ".rsyn", EXCLUDE_FILE] {
        match root.top().stat(name.as_bytes()) {
            Ok(Some(_)) => return Ok(true),
            Ok(None) => {}
            Err(e) => unseen = Some(e),
        }
    }
    unseen.map_or(Ok(false), Err)
}

/// A rule of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtraRule {
    /// `--exclude`.
    Exclude(String),
    /// `--include`.
    Include(String),
    /// `--exclude-from`.
    ExcludeFrom(PathBuf),
}

/// Adds rules of the command line, in their order.
///
/// # Errors
/// A file or rule cannot be read.
pub fn add_extra(rules: &mut Rules, extra: &[ExtraRule]) -> Result<(), Failure> {
    for rule in extra {
        match rule {
            ExtraRule::Exclude(text) => add_rule(rules, Sign::Exclude, text, "--exclude")?,
            ExtraRule::Include(text) => add_rule(rules, Sign::Include, text, "--include")?,
            ExtraRule::ExcludeFrom(path) => {
                let shown = path.display().to_string();
                let text = read_outside(path)?;
                rules
                    .add_file(&text, &shown, FileStyle::EXCLUDE)
                    .map_err(wrong_rule)?;
            }
        }
    }
    Ok(())
}

/// Reads a file that the user named.
fn read_outside(path: &Path) -> Result<Vec<u8>, Failure> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Failure::usage(format!("{} is no file", path.display()), ""));
    };
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let root = Root::open(directory)?;
    let name = std::os::unix::ffi::OsStrExt::as_bytes(name);
    let missing = || {
        Failure::usage(
            format!("{} does not exist", path.display()),
            "name an exclude file",
        )
    };
    durable::read(root.top(), name, CONFIG_BYTES)?.ok_or_else(missing)
}

fn add_rule(rules: &mut Rules, sign: Sign, text: &str, origin: &str) -> Result<(), Failure> {
    rules
        .add_rule(sign, text.as_bytes(), Origin::option(origin))
        .map_err(wrong_rule)
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
fn wrong_rule(error: crate::filter::FilterError) -> Failure {
    Failure::usage(error.to_string(), "mend that rule")
}

/// Policies by pattern.
pub struct PathPolicies {
    for_all: Option<Policy>,
    patterns: Vec<(Rules, Policy)>,
}

impl Policies for PathPolicies {
    fn policy(&self, path: &RelPath) -> Policy {
        let by_pattern = || {
            self.patterns
                .iter()
                .find(|(rules, _)| !rules.decide(path, false).included)
        };
        self.for_all
            .or_else(|| by_pattern().map(|(_, policy)| *policy))
            .unwrap_or(Policy::Default)
    }
}

impl Settings {
    /// Reads all layers below the command line; a higher one wins.
    fn load(path: &Path, environment: &Environment, faulty: Faulty) -> Result<Self, Failure> {
        let root = Root::open(path)?;
        let mut settings = Self::default();
        // What travels first, so that all that this machine says itself wins over it.
        settings.read_file(&root, (CONFIG_FILE, true), faulty)?;
        let text = settings.heed(read_text(&root, ENV_FILE), ENV_FILE, faulty)?;
        if let Some(text) = settings.regular(text, ENV_FILE) {
            for line in dotenv::parse(&text) {
                let origin = format!(".env line {} ({})", line.line, line.key);
                settings.variable(&line.key, line.value, origin, true);
            }
        }
        let brought = settings.remote.clone();
        settings.read_file(&root, (MACHINE_CONFIG, false), faulty)?;
        let own = settings.remote.as_ref().map(|remote| &remote.value);
        settings.proposed = brought.filter(|brought| Some(&brought.value) != own);
        settings.written.clone_from(&settings.remote);
        // The names of before rsyn first, so that ours win over them.
        for old in ["AMPLIFIER_SYNC_", "RSYN_"] {
            for (key, value) in environment
                .variables
                .iter()
                .filter(|(k, _)| k.starts_with(old))
            {
                settings.variable(key, value.clone(), format!("{key}{IN_ENVIRONMENT}"), false);
            }
        }
        Ok(settings)
    }

    /// Reads a settings file, `travels` or not, over what is there.
    fn read_file(
        &mut self,
        root: &Root,
        (file, travels): (&str, bool),
        faulty: Faulty,
    ) -> Result<(), Failure> {
        let text = self.heed(read_text(root, file), file, faulty)?;
        let Some(text) = self.regular(text, file) else {
            return Ok(());
        };
        let config = self.heed(parse_config(&text, file, travels), file, faulty)?;
        if let Some(config) = config {
            self.overlay(config, file, travels);
        }
        Ok(())
    }

    /// The text of `file`. Whoever pushed a link or a directory in its place must not stop every run here.
    fn regular(&mut self, found: Option<Found>, file: &str) -> Option<String> {
        match found? {
            Found::Text(text) => Some(text),
            Found::Absent => None,
            Found::NoFile => {
                self.warnings
                    .push(format!("{file} is no regular file and is passed over"));
                None
            }
        }
    }

    /// What was read of `file`; or `None` and a warning, where a file that cannot be read is to be passed over.
    fn heed<T>(
        &mut self,
        read: Result<T, Failure>,
        file: &str,
        faulty: Faulty,
    ) -> Result<Option<T>, Failure> {
        match (read, faulty) {
            (Ok(read), _) => Ok(Some(read)),
            (Err(e), Faulty::Refused) => Err(e),
            (Err(e), Faulty::PassedOver) => {
                let words = format!("{file} is passed over: {e}");
                self.warnings.push(without_passwords(&words).into_owned());
                Ok(None)
            }
        }
    }

    fn overlay(&mut self, config: ConfigFile, file: &str, travels: bool) {
        let machine = self.own_name(config.machine, file, travels);
        let set = |slot: &mut Option<Setting>, value: Option<String>| {
            if let Some(value) = value {
                *slot = Some(Setting {
                    value,
                    origin: file.to_owned(),
                    travels,
                });
            }
        };
        set(&mut self.remote, config.remote);
        set(&mut self.options, config.options);
        set(&mut self.machine, machine);
        set(&mut self.ssh_command, config.ssh_command);
        set(&mut self.ssh_config, config.ssh_config);
        set(&mut self.remote_command, config.remote_command);
        let brake = match travels {
            true => &mut self.max_delete_too,
            false => &mut self.max_delete,
        };
        set(brake, config.safety.max_delete.map(|l| l.to_string()));
        self.public
            .extend(config.safety.public.into_iter().map(|value| Setting {
                value,
                origin: file.to_owned(),
                travels,
            }));
        for (name, remote) in config.remotes {
            let setting = Setting {
                value: remote.url,
                origin: file.to_owned(),
                travels,
            };
            self.remotes.insert(name, setting);
        }
        let excludes = config.exclude.into_iter();
        self.exclude.extend(excludes.map(|value| Setting {
            value,
            origin: file.to_owned(),
            travels,
        }));
        let rules = config
            .conflict
            .into_iter()
            .map(|r| (r.paths, r.policy, file.to_owned()));
        // Settings of this machine come before those of the project.
        self.conflict = rules.chain(std::mem::take(&mut self.conflict)).collect();
    }

    /// The name of this machine, unless it comes with the project: then all machines would have one name.
    fn own_name(&mut self, name: Option<String>, origin: &str, travels: bool) -> Option<String> {
        if travels && name.is_some() {
            self.warnings.push(format!(
                "the machine's name in {origin} is passed over: it comes with the project, and each machine has its own; \
                write `machine = …` into .rsyn/config.toml"
            ));
            return None;
        }
        name
    }

    fn variable(&mut self, key: &str, value: String, origin: String, travels: bool) {
        let value = match key {
            "RSYN_MACHINE" => self.own_name(Some(value), &origin, travels),
            _ => Some(value),
        };
        let slot = match key {
            "RSYN_REMOTE" | "AMPLIFIER_SYNC_REMOTE" => &mut self.remote,
            "RSYN_OPTIONS" | "AMPLIFIER_SYNC_OPTIONS" => &mut self.options,
            "RSYN_MACHINE" => &mut self.machine,
            "RSYN_REMOTE_COMMAND" if !travels => &mut self.remote_command,
            _ => return,
        };
        let ours_is_set = slot
            .as_ref()
            .is_some_and(|s| s.travels == travels && s.origin.contains("RSYN_"));
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return;
        };
        if ours_is_set && key.starts_with("AMPLIFIER_") {
            return;
        }
        *slot = Some(Setting {
            value,
            origin,
            travels,
        });
    }
}

fn parse_config(text: &str, file: &str, travels: bool) -> Result<ConfigFile, Failure> {
    file::parse(text, file, travels).map_err(|e| {
        let hint = "commands belong into .rsyn/config.toml, the environment or flags";
        Failure::usage(e.to_string(), if travels { hint } else { "" })
    })
}

/// The hub that the project's own file names, in a root as it is now; `None` if it names none or cannot be read.
pub(super) fn brought_remote(root: &Root) -> Option<String> {
    match read_text(root, CONFIG_FILE) {
        Ok(Found::Text(text)) => parse_config(&text, CONFIG_FILE, true).ok()?.remote,
        _ => None,
    }
}

fn is_regular_or_missing(root: &Root, name: &str) -> Result<bool, DiskError> {
    let stat = root.top().stat(name.as_bytes())?;
    Ok(stat.is_none_or(|stat| stat.is_regular()))
}

/// What stands where a settings file may be.
enum Found {
    Absent,
    Text(String),
    /// A link, a directory, a FIFO.
    NoFile,
}

fn read_text(root: &Root, file: &str) -> Result<Found, Failure> {
    let (directory, name) = match file.strip_prefix(".rsyn/") {
        None => (std::sync::Arc::clone(root.top()), file),
        Some(name) => match root.top().open_dir(b".rsyn") {
            Ok(directory) => (directory.into(), name),
            Err(e) if e.is_no_directory() => return Ok(Found::Absent),
            Err(e) => return Err(e.into()),
        },
    };
    if directory
        .stat(name.as_bytes())?
        .is_some_and(|stat| !stat.is_regular())
    {
        return Ok(Found::NoFile);
    }
    let Some(bytes) = durable::read(&directory, name.as_bytes(), CONFIG_BYTES)? else {
        return Ok(Found::Absent);
    };
    let no_text = |_| Failure::usage(format!("{file} is not UTF-8 text"), "mend or move it");
    String::from_utf8(bytes).map(Found::Text).map_err(no_text)
}
