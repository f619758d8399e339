//! Status: are this machine and the hub in step, and since when.

use serde_json::{Value, json};

use super::Failure;
use super::connect::Reach;
use super::look::{Look, World, look};
use super::sync::Request;
use crate::config::remote::without_password;
use crate::disk::{Activity, Holder};
use crate::endpoint::local::Local;
use crate::endpoint::manage::snapshot_lines;
use crate::model::{Digest, RelPath, total_bytes};
use crate::plan::{Direction, Plan};
use crate::report::{json as contract, printable, text, time};
use crate::state::log;

/// A last sync longer ago than this is worth a word.
const STALE_SECS: i64 = 7 * 24 * 3600;

/// What is known about both sides.
#[derive(Debug, Clone)]
pub struct Status {
    /// The remote.
    pub remote: Option<String>,
    /// What a pull and a push would do; `None` if the hub was not asked.
    pub plans: Option<(Plan, Plan)>,
    /// Digest of the tree here.
    pub local_digest: Option<Digest>,
    /// Digest of the hub's tree.
    pub remote_digest: Option<Digest>,
    /// When this machine synced last, in seconds since 1970.
    pub synced_at: Option<i64>,
    /// The last line of the log.
    pub last: Option<log::Record>,
    /// Machines of the hub and when they were last there.
    pub machines: Vec<(String, i64)>,
    /// Whether an interrupted sync waits here.
    pub recovery_pending: bool,
    /// Who is at work here.
    pub activity: Activity,
    /// Number of snapshots here and their bytes.
    pub snapshots: (usize, u64),
    /// Paths that a rollback took back here and that the hub still has.
    pub undone: Vec<RelPath>,
    /// Paths that are not carried though nothing excludes them.
    pub skipped: usize,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl Status {
    /// Whether anything differs, as far as is known.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.recovery_pending
            || self.plans.as_ref().is_some_and(|(pull, push)| {
                [pull, push]
                    .iter()
                    .any(|p| !p.actions.is_empty() || !p.kept.is_empty() || !p.undecided.is_empty())
            })
    }
}

/// Looks at both sides, or at this one alone.
///
/// # Errors
/// [`Failure`] of the look.
pub fn status(world: &World<'_>, reach: &Reach, offline: bool) -> Result<Status, Failure> {
    let local = Local::open(&world.project.path)?;
    let snapshots = match &local.state {
        Some(_) => snapshot_lines(&local)?,
        None => vec![],
    };
    let last = match &local.state {
        Some(state) => log::last(state, 1)?.into_iter().next(),
        None => None,
    };
    let set = world.project.settings.remote.as_ref();
    let remote = reach.remote.as_ref().or(set.map(|s| &s.value));
    let mut status = Status {
        remote: remote.map(|r| without_password(r).into_owned()),
        plans: None,
        local_digest: None,
        remote_digest: None,
        synced_at: None,
        last,
        machines: vec![],
        recovery_pending: local.is_interrupted()?,
        activity: local.activity()?,
        snapshots: (
            snapshots.len(),
            total_bytes(snapshots.iter().map(|s| s.bytes)),
        ),
        undone: vec![],
        skipped: 0,
        warnings: vec![],
    };
    if !offline {
        let request = Request {
            dry_run: true,
            reach: reach.clone(),
            ..Request::of(vec![Direction::Pull, Direction::Push])
        };
        ask_hub(&mut status, look(world, &request)?, &request)?;
    }
    Ok(status)
}

fn ask_hub(status: &mut Status, mut look: Look<'_>, request: &Request) -> Result<(), Failure> {
    let pull = look.plan(Direction::Pull, request)?;
    let push = look.plan(Direction::Push, request)?;
    for plan in [&pull, &push] {
        let words = look.words_of(plan)?;
        look.tell(words);
    }
    status.skipped = look.skipped([&pull, &push].into_iter());
    status.plans = Some((pull, push));
    status.local_digest = Some(look.scan.tree.digest());
    status.remote_digest = Some(look.view.tree.digest());
    status.synced_at = look.synced_at;
    status.undone = look.undone.paths().cloned().collect();
    status.warnings = std::mem::take(&mut look.uncarried);
    status.warnings.append(&mut look.warnings);
    let stale = look
        .synced_at
        .and_then(|then| stale(then, look.world.now_secs()));
    status.warnings.extend(stale);
    if look.client.hello.root_exists && !look.client.hello.root_id.is_empty() {
        // A hub without state knows no machines; that is no failure.
        status.machines = look.client.machines().unwrap_or_default();
        status.warnings.extend(one_name_twice(&status.machines));
    }
    look.client.close();
    Ok(())
}

/// That several roots that synced with a hub have one name.
pub(super) fn one_name_twice(machines: &[(String, i64)]) -> Option<String> {
    let mut seen = std::collections::BTreeSet::new();
    let (twice, _) = machines.iter().find(|(name, _)| !seen.insert(name))?;
    Some(format!(
        "several machines of this hub are called {twice}, or one of them began anew: \
        give each a name of its own, `machine = …` in .rsyn/config.toml"
    ))
}

fn stale(then_secs: i64, now_secs: i64) -> Option<String> {
    let age = now_secs.saturating_sub(then_secs);
    (age > STALE_SECS).then(|| {
        let ago = time::ago(then_secs, now_secs);
        format!("the last sync was {ago}: pull before you go on working here")
    })
}

/// Numbers of paths: to pull, to push, conflicting.
fn counts(plans: &(Plan, Plan)) -> (usize, usize, usize) {
    let conflicts = plans.0.conflicts();
    let changed = |plan: &Plan| plan.actions.iter().filter(|a| a.conflict.is_none()).count();
    (changed(&plans.0), changed(&plans.1), conflicts)
}

/// For people.
#[must_use]
pub fn to_text(status: &Status, verbose: bool, now_secs: i64) -> String {
    let mut out = String::new();
    let remote = status.remote.as_deref().unwrap_or("no remote");
    out.push_str(&format!("hub        {}\n", printable::line(remote)));
    if let Some(plans) = &status.plans {
        let (pull, push, conflicts) = counts(plans);
        let words = match (pull, push, conflicts) {
            (0, 0, 0) if !status.differs() && status.skipped > 0 => {
                format!("in step, but {} skipped", status.skipped)
            }
            (0, 0, 0) if !status.differs() => "in step".to_owned(),
            (pull, push, conflicts) => {
                format!("{push} ahead (to push), {pull} behind (to pull), {conflicts} conflicting")
            }
        };
        out.push_str(&format!("state      {words}\n"));
        if verbose {
            let style = text::Style {
                verbose: true,
                itemize: false,
            };
            out.push_str(&text::plan(&plans.0, style));
            // What the user is to decide is the same in both directions.
            let push = Plan {
                undecided: vec![],
                ..plans.1.clone()
            };
            out.push_str(&text::plan(
                &push,
                text::Style {
                    verbose: false,
                    itemize: false,
                },
            ));
        }
    } else {
        out.push_str("state      not asked (--offline)\n");
    }
    if let (Some(local), Some(remote)) = (status.local_digest, status.remote_digest) {
        out.push_str(&format!(
            "digest     here {}, hub {}\n",
            local.short(),
            remote.short()
        ));
    }
    let synced = status
        .synced_at
        .map_or_else(|| "never".to_owned(), |then| time::ago(then, now_secs));
    if status.plans.is_some() {
        out.push_str(&format!("last sync  {synced}\n"));
    }
    if let Some(last) = &status.last {
        out.push_str(&format!(
            "last run   {} {} ({})\n",
            last.verb, last.when, last.result
        ));
    }
    for (machine, then) in &status.machines {
        out.push_str(&format!(
            "machine    {}: {}\n",
            printable::line(machine),
            time::ago(*then, now_secs)
        ));
    }
    if let Some(words) = at_work(&status.activity, now_secs) {
        out.push_str(&format!("running    {words}\n"));
    }
    if status.recovery_pending {
        out.push_str("recovery   an interrupted sync waits; `rsyn recover` settles it\n");
    }
    if let Some(words) = undone_words(&status.undone) {
        out.push_str(&format!("undone     {words}\n"));
    }
    let (count, bytes) = status.snapshots;
    out.push_str(&format!(
        "snapshots  {count}, {}\n",
        indicatif::HumanBytes(bytes)
    ));
    for warning in &status.warnings {
        out.push_str(&format!("note       {}\n", printable::line(warning)));
    }
    out
}

/// What comes of a pull that was undone here; `None` if none was.
fn undone_words(undone: &[RelPath]) -> Option<String> {
    let [first, others @ ..] = undone else {
        return None;
    };
    let more = match others.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "{}{more} of a pull: a pull leaves them as they are, a push asks before it takes them from everybody",
        printable::path(first)
    ))
}

/// Who is at work, in words; `None` if nobody is.
fn at_work(activity: &Activity, now_secs: i64) -> Option<String> {
    let words = |holder: &Holder| {
        let (pid, since) = (holder.pid, time::ago(holder.since, now_secs));
        let (verb, machine) = (
            printable::line(&holder.verb),
            printable::line(&holder.machine),
        );
        format!("{verb} (pid {pid} on {machine}), since {since}")
    };
    match activity {
        Activity::Idle | Activity::Died(_) => None,
        Activity::Running { holder: None, .. } => Some("a sync that left no word".to_owned()),
        Activity::Running {
            holder: Some(holder),
            elsewhere,
        } => Some(match elsewhere {
            true => format!("{}; the pid is one of another pid namespace", words(holder)),
            false => words(holder),
        }),
        Activity::Unknown(holder) => Some(format!(
            "{}: whether it still runs cannot be known here, in another pid namespace",
            words(holder)
        )),
    }
}

/// The same for scripts.
fn running(activity: &Activity) -> Value {
    let value = |holder: Option<&Holder>, known: bool| {
        json!({
            "pid": holder.map(|h| h.pid),
            "since": holder.map(|h| h.since),
            "verb": holder.map(|h| &h.verb),
            "machine": holder.map(|h| &h.machine),
            "known": known,
        })
    };
    match activity {
        Activity::Idle | Activity::Died(_) => Value::Null,
        Activity::Running { holder, .. } => value(holder.as_ref(), true),
        Activity::Unknown(holder) => value(Some(holder), false),
    }
}

/// For scripts.
#[must_use]
pub fn to_json(status: &Status) -> Value {
    let counts = status.plans.as_ref().map(counts);
    let digest = |d: Option<Digest>| d.map(|d| d.to_string());
    let undecided = status.plans.as_ref().map(|(pull, _)| {
        let paths = pull.undecided.iter().map(contract::kept_path);
        paths.collect::<Vec<_>>()
    });
    let result = if status.differs() {
        "ok"
    } else {
        "nothing_to_do"
    };
    contract::object(
        "status",
        result,
        json!({
            "remote": status.remote,
            "in_step": status.plans.as_ref().map(|_| !status.differs()),
            "behind": counts.map(|c| c.0),
            "ahead": counts.map(|c| c.1),
            "conflicts": counts.map(|c| c.2),
            "undecided": undecided,
            "digest": {"local": digest(status.local_digest), "remote": digest(status.remote_digest)},
            "last_sync": status.synced_at,
            "last_run": status.last,
            "machines": status.machines.iter().map(|(name, then)| json!({"name": name, "last": then})).collect::<Vec<_>>(),
            "recovery_pending": status.recovery_pending,
            "running": running(&status.activity),
            "snapshots": {"count": status.snapshots.0, "bytes": status.snapshots.1},
            "skipped": status.skipped,
            "undone": status.undone.iter().map(|path| contract::path(path).0).collect::<Vec<_>>(),
            "warnings": status.warnings,
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_sync_of_long_ago_is_told() {
        let now = 1_700_000_000;
        assert_eq!(stale(now - STALE_SECS, now), None);
        assert_eq!(stale(now + 5, now), None);
        let words = stale(now - 10 * 24 * 3600, now).unwrap();
        assert!(words.contains("10 days ago"), "{words}");
    }
}
