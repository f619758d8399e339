//! The doctor: every check a line, with the fix beside each failure.

use serde_json::{Value, json};

use super::connect::{Greeting, Hub, Reach};
use super::install::{self, There};
use super::look::World;
use super::project::{CONFIG_FILE, Setting};
use super::{Failure, FailureKind};
use crate::config::Remote;
use crate::config::remote::without_passwords;
use crate::disk::{Root, space};
use crate::endpoint::client::Client;
use crate::endpoint::local::Local;
use crate::endpoint::place::{self, EXCLUDE_FILE};
use crate::endpoint::users;
use crate::filter::Rules;
use crate::model::{Folding, RelPath};
use crate::protocol::handshake::{ProtocolRange, Purpose, ServerHello};
use crate::report::json as contract;
use crate::scan;
use crate::state::RootId;
use crate::state::base::Remotes;
use crate::transaction::user_words;
use crate::transport::remote_command;

/// Clocks that differ by less are fine: nothing is decided by a clock but `newer`.
const SKEW_MS: i64 = 5000;
/// Less room than this is worth a word.
const LITTLE_ROOM_BYTES: u64 = 1024 * 1024 * 1024;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Fine.
    Ok,
    /// Works, but look.
    Warn,
    /// Does not work.
    Fail,
}

impl Verdict {
    /// The word of its line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One check.
#[derive(Debug, Clone)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; empty if nothing.
    pub fix: String,
    /// Whether it is a value that came with the project.
    pub travels: bool,
}

/// All checks, in order.
#[derive(Debug, Default)]
pub struct Checks(pub Vec<Check>);

/// Words for people, without the passwords of remotes in them.
fn masked(words: impl Into<String>) -> String {
    without_passwords(&words.into()).into_owned()
}

impl Checks {
    fn ok(&mut self, name: &'static str, found: impl Into<String>) {
        self.0.push(Check {
            name,
            verdict: Verdict::Ok,
            found: masked(found),
            fix: String::new(),
            travels: false,
        });
    }

    /// A value of a setting, marked if it `travels`.
    fn value(&mut self, name: &'static str, found: impl Into<String>, travels: bool) {
        self.ok(name, found);
        if let Some(check) = self.0.last_mut() {
            check.travels = travels;
        }
    }

    fn warn(&mut self, name: &'static str, found: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Check {
            name,
            verdict: Verdict::Warn,
            found: masked(found),
            fix: masked(fix),
            travels: false,
        });
    }

    fn fail(&mut self, name: &'static str, found: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Check {
            name,
            verdict: Verdict::Fail,
            found: masked(found),
            fix: masked(fix),
            travels: false,
        });
    }

    /// Whether every check is fine or nearly so.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.0.iter().all(|c| c.verdict != Verdict::Fail)
    }

    /// For scripts.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let line = |c: &Check| {
            json!({"name": c.name, "verdict": c.verdict.word(), "found": c.found, "fix": c.fix,
            "travels": c.travels})
        };
        let result = if self.passed() { "ok" } else { "failed" };
        contract::object(
            "setup",
            result,
            json!({"checks": self.0.iter().map(line).collect::<Vec<_>>()}),
        )
    }
}

/// Checks everything that a sync needs; with `install`, puts this program on the hub first if that is needed.
#[must_use]
pub fn setup(world: &World<'_>, reach: &Reach, install: bool) -> Checks {
    let mut checks = Checks::default();
    check_settings(&mut checks, world);
    let rules = check_rules(&mut checks, world);
    check_databases(&mut checks, world, &rules);
    check_room(&mut checks, "room here", &world.project.path);
    if let Ok(local) = Local::open(&world.project.path)
        && local.state.is_some()
    {
        folding_line(&mut checks, "names here", place::folding(&local));
    }
    check_rsync_here(&mut checks);
    match world.hub(reach) {
        Err(failure) => checks.fail("remote", failure.message, failure.hint),
        Ok(hub) => {
            let found = format!("{} (from {})", hub.name, hub.origin);
            checks.value("remote", found, hub.proposal.is_some());
            if let Some(proposed) = &world.project.settings.proposed {
                let proposed = from(proposed);
                let words = format!("{proposed} proposes another one, and is not followed");
                let fix = "to use it: `remote = …` in .rsyn/config.toml";
                checks.warn("remote", words, fix);
            }
            check_hub(&mut checks, world, &hub, &rules, install);
        }
    }
    checks
}

fn check_settings(checks: &mut Checks, world: &World<'_>) {
    let settings = &world.project.settings;
    checks.ok("project", world.project.path.display().to_string());
    for warning in &settings.warnings {
        checks.warn(
            "settings",
            warning.clone(),
            "mend that file, or push another one",
        );
    }
    let host = Setting {
        value: world.environment.host.clone(),
        origin: "the host's name".to_owned(),
        travels: false,
    };
    let machine = settings.machine.as_ref().unwrap_or(&host);
    for (name, setting) in [
        ("options", settings.options.as_ref()),
        ("machine", Some(machine)),
        ("max_delete", settings.max_delete.as_ref()),
        ("max_delete", settings.max_delete_too.as_ref()),
        ("ssh command", settings.ssh_command.as_ref()),
        ("ssh config", settings.ssh_config.as_ref()),
    ] {
        if let Some(setting) = setting {
            checks.value(name, from(setting), setting.travels);
        }
    }
    for exclude in &settings.exclude {
        checks.value("exclude", from(exclude), exclude.travels);
    }
    for (pattern, policy, file) in &settings.conflict {
        let found = format!("{pattern}: {policy} (from {file})");
        checks.value("conflict", found, file == CONFIG_FILE);
    }
    for (name, remote) in &settings.remotes {
        let found = format!("{name} = {}", from(remote));
        checks.value("named remote", found, remote.travels);
    }
}

/// A value, and where it comes from.
fn from(setting: &Setting) -> String {
    format!("{} (from {})", setting.value, setting.origin)
}

fn check_rules(checks: &mut Checks, world: &World<'_>) -> Rules {
    let there = Root::open(&world.project.path).and_then(|r| r.top().stat(EXCLUDE_FILE.as_bytes()));
    match there {
        Ok(Some(_)) => {}
        Ok(None) => checks.warn(
            "exclude file",
            "there is no .rsync-exclude",
            "`rsyn init` writes one",
        ),
        Err(e) => checks.fail("exclude file", e.to_string(), "make it readable"),
    }
    match world.project.rules(&[], None) {
        Ok(rules) => {
            if matches!(there_is(world), Some(true)) {
                checks.ok(
                    "exclude file",
                    format!("{EXCLUDE_FILE}: {} rules", rules.rules().len()),
                );
            }
            for warning in rules.warnings() {
                checks.warn(
                    "exclude rule",
                    warning.to_string(),
                    "see docs/filter-rules.md",
                );
            }
            rules
        }
        Err(failure) => {
            checks.fail("exclude file", failure.message, failure.hint);
            Rules::new()
        }
    }
}

/// Names the databases: their programs have to rest while they are synced.
fn check_databases(checks: &mut Checks, world: &World<'_>, rules: &Rules) {
    let Ok(local) = Local::open(&world.project.path) else {
        return;
    };
    let excludes = |path: &RelPath, is_dir: bool| !rules.verdict(path.as_bytes(), is_dir).included;
    // What keeps the tree from being read is told by the first sync.
    let Ok(scan) = scan::names(&local.root, &excludes, world.interrupted) else {
        return;
    };
    let usages = users::usages(&local, &scan);
    for path in users::databases(&local, &scan) {
        let user = usages
            .iter()
            .find(|usage| usage.path == path && usage.is_in_use());
        let state =
            user.map(|usage| format!(", open in {}", user_words(&usage.program, usage.pid)));
        checks.warn(
            "database",
            format!("{path:?}{}", state.unwrap_or_default()),
            "close it while you sync: a copy of an open database may be torn, and one in use is not replaced",
        );
    }
}

fn there_is(world: &World<'_>) -> Option<bool> {
    let root = Root::open(&world.project.path).ok()?;
    Some(root.top().stat(EXCLUDE_FILE.as_bytes()).ok()?.is_some())
}

fn check_room(checks: &mut Checks, name: &'static str, path: &std::path::Path) {
    let room = Root::open(path).and_then(|root| space::space(root.top()));
    match room {
        Ok(room) => room_line(checks, name, room.free_bytes),
        Err(e) => checks.warn(name, e.to_string(), ""),
    }
}

/// Informational: names that collide are kept apart by each sync, and told.
fn folding_line(checks: &mut Checks, name: &'static str, folding: Folding) {
    let what = match (folding.ascii_case || folding.case, folding.form) {
        (false, false) => {
            return checks.ok(
                name,
                "names that differ in case or Unicode form are two names",
            );
        }
        (true, false) => "letter case",
        (false, true) => "Unicode form",
        (true, true) => "letter case or Unicode form",
    };
    let words = format!("the disk takes names that differ in {what} alone for one");
    checks.ok(
        name,
        format!("{words}; of two such names one stays out, and is told"),
    );
}

fn room_line(checks: &mut Checks, name: &'static str, free: u64) {
    let words = format!("{} free", indicatif::HumanBytes(free));
    match free {
        0..LITTLE_ROOM_BYTES => checks.warn(
            name,
            words,
            "new content is staged before it is put in place: make room",
        ),
        _ => checks.ok(name, words),
    }
}

/// Informational: rsyn needs no rsync.
fn check_rsync_here(checks: &mut Checks) {
    match crate::transport::output_of("rsync", &["--version"]) {
        Some(text) => checks.ok("rsync here", rsync_version(&text)),
        None => checks.ok("rsync here", "not installed (not needed)"),
    }
}

/// `rsync  version 3.5.0  protocol version 32` in short.
fn rsync_version(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let words: Vec<_> = first.split_whitespace().collect();
    let after = |word: &str| {
        let at = words.iter().position(|w| *w == word)?;
        words
            .get(at + 1..)
            .unwrap_or_default()
            .iter()
            .find(|w| w.starts_with(|c: char| c.is_ascii_digit()))
            .copied()
    };
    let version = after("version").unwrap_or("of unknown version");
    let protocol = after("protocol")
        .map(|p| format!(", protocol {p}"))
        .unwrap_or_default();
    format!("{version}{protocol} (not needed)")
}

fn check_hub(checks: &mut Checks, world: &World<'_>, hub: &Hub, rules: &Rules, install: bool) {
    let local = Local::open(&world.project.path).ok();
    let expected = local
        .as_ref()
        .and_then(|l| l.state.as_ref())
        .and_then(|s| Remotes::hub_of(s, &hub.name).ok().flatten());
    let meet = || {
        let client = greet(
            world,
            hub,
            rules,
            expected.as_ref().map(ToString::to_string),
        );
        // Compared at once: what is asked before it is told takes its time.
        let skew_ms = (client.as_ref()).map_or(0, |c| c.hello.clock_ms - (world.clock)());
        (client, skew_ms)
    };
    let (mut client, mut skew_ms) = meet();
    let outdated = |hello: &ServerHello| older(&hello.version, env!("CARGO_PKG_VERSION"));
    // Of a hub that answers, that is known already.
    let there = match &client {
        Ok(_) => None,
        Err(failure) if failure.kind != FailureKind::Unreachable => None,
        Err(_) => install::there(world, hub),
    };
    let is_ssh = matches!(hub.remote, Remote::Ssh { .. });
    let damaged = client
        .as_ref()
        .is_ok_and(|client| is_ssh && install::is_damaged(world, hub, &client.hello));
    let wanted = match &client {
        Ok(client) => outdated(&client.hello) || damaged,
        Err(failure) => failure.message.contains("no common protocol") || there.is_some(),
    };
    if install && wanted {
        match install::put(world, hub) {
            Ok(words) => {
                checks.ok("install", words);
                (client, skew_ms) = meet();
            }
            Err(failure) => checks.fail("install", failure.message, failure.hint),
        }
    } else if damaged {
        checks.warn(
            "program there",
            format!(
                "~/{} is not this program, though both are of one version",
                remote_command::INSTALL_PATH
            ),
            "`rsyn setup --install` puts this very program there",
        );
    } else if let Some(There::Broken { path, said }) = there {
        let fix = match path.ends_with(remote_command::INSTALL_PATH) {
            true => "`rsyn setup --install` replaces it".to_owned(),
            false => format!("remove or replace {path} on the hub"),
        };
        checks.fail("rsyn there", format!("{path} does not run: {said}"), fix);
    }
    match client {
        // A hub that does not answer as one is asked nothing more: what it prints has no end that it must keep.
        Err(failure) => {
            checks.fail("connection", failure.message, failure.hint);
            return;
        }
        Ok(client) => {
            check_hello(
                checks,
                hub,
                (&client, skew_ms),
                expected.as_ref().map(RootId::as_str),
            );
            if client.hello.root_exists && !client.hello.root_id.is_empty() {
                let machines = client.machines().unwrap_or_default();
                if let Some(words) = super::status::one_name_twice(&machines) {
                    checks.warn(
                        "machines",
                        words,
                        "a name is for people; nothing is decided on it",
                    );
                }
            }
            client.close();
        }
    }
    if let (Remote::Ssh { .. }, false) = (&hub.remote, hub.has_own_command()) {
        check_rsync_there(checks, world, hub);
    }
}

fn greet(
    world: &World<'_>,
    hub: &Hub,
    rules: &Rules,
    expected: Option<String>,
) -> Result<Client, Failure> {
    let greeting = Greeting {
        expected,
        machine_id: String::new(),
        machine: world.project.machine(world.environment),
        // Nothing but the Hello and the machines is wanted: no scan, no state.
        purpose: Purpose::Manage,
        repair: false,
        rules: Some(rules),
        checksum: false,
        seen: None,
    };
    hub.greet(hub.open(world, hub.dial(world).connect()?, &greeting)?)
}

fn check_hello(
    checks: &mut Checks,
    hub: &Hub,
    (client, skew_ms): (&Client, i64),
    expected: Option<&str>,
) {
    let hello = &client.hello;
    checks.ok(
        "connection",
        match hub.host() {
            Some(host) => format!("{host} answers as {}", hello.machine),
            None => "a directory of this machine".to_owned(),
        },
    );
    let agent = format!(
        "rsyn {}, protocol {} to {}, {}",
        hello.version, hello.protocol.min, hello.protocol.max, hello.platform
    );
    match ProtocolRange::OURS.common(hello.protocol) {
        Some(_) if older(&hello.version, env!("CARGO_PKG_VERSION")) => {
            checks.warn(
                "rsyn there",
                agent,
                "`rsyn setup --install` puts this version there",
            );
        }
        Some(_) => checks.ok("rsyn there", agent),
        None => checks.fail(
            "rsyn there",
            agent,
            "`rsyn setup --install` puts this version there",
        ),
    }
    if !hello.root_exists {
        match (expected.is_some(), hello.writable) {
            (true, _) => checks.fail(
                "hub path",
                "it does not exist, but was synced with before",
                "is the disk mounted?",
            ),
            (false, true) => checks.warn(
                "hub path",
                "it does not exist yet",
                "a first `rsyn push` makes it",
            ),
            (false, false) => checks.fail(
                "hub path",
                "it cannot be made: no such parent directory, or not writable",
                "make it on the hub",
            ),
        }
    } else {
        match hello.writable {
            true => checks.ok("hub path", "is there and writable"),
            false => checks.warn(
                "hub path",
                "is there but not writable",
                "pull works; for push, make it writable",
            ),
        }
        match (expected, hello.root_id.as_str()) {
            (Some(expected), found) if expected != found => {
                checks.fail(
                    "hub root",
                    "is not the one this project was synced with",
                    "is the path right, is the disk mounted?",
                );
            }
            (Some(_), _) => checks.ok("hub root", "is the one of the last sync"),
            (None, _) => checks.ok("hub root", "no sync with it yet"),
        }
        room_line(checks, "room there", hello.free_bytes);
        if hello.recovery_pending {
            checks.warn(
                "recovery",
                "an interrupted sync waits on the hub",
                "the next pull or push recovers it",
            );
        }
        let there = match hello.case_sensitive {
            true => hello.folding,
            false => Folding {
                ascii_case: true,
                ..hello.folding
            },
        };
        folding_line(checks, "names there", there);
    }
    if skew_ms.abs() > SKEW_MS {
        checks.warn(
            "clock",
            format!("the hub's clock differs by {} s", skew_ms / 1000),
            "only the policy `newer` minds; run a time service",
        );
    } else {
        checks.ok("clock", "in step with the hub's");
    }
}

fn check_rsync_there(checks: &mut Checks, world: &World<'_>, hub: &Hub) {
    // Informational, so that trouble here is no failure.
    let Ok(shell) = hub.shell(world) else { return };
    match shell.run("rsync --version", b"") {
        Ok(output) if output.success => checks.ok(
            "rsync there",
            rsync_version(&String::from_utf8_lossy(&output.stdout)),
        ),
        _ => checks.ok("rsync there", "not installed (not needed)"),
    }
    shell.close();
}

/// Whether version `a` is older than `b`; unknown forms are not.
fn older(a: &str, b: &str) -> bool {
    let numbers = |v: &str| {
        v.split('.')
            .map(|n| n.parse::<u64>().ok())
            .collect::<Option<Vec<_>>>()
    };
    matches!((numbers(a), numbers(b)), (Some(a), Some(b)) if a < b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_rsync_are_read_from_its_banner() {
        assert_eq!(
            rsync_version("rsync  version 3.5.0  protocol version 32\n"),
            "3.5.0, protocol 32 (not needed)"
        );
        assert_eq!(
            rsync_version("openrsync: protocol version 29\n"),
            "29, protocol 29 (not needed)"
        );
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(older("0.9.0", "0.10.0"));
        assert!(!older("0.1.0", "0.1.0"));
        assert!(!older("strange", "0.1.0"));
    }
}
