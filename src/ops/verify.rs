//! `verify`: every byte is read again, and files that changed behind the back of their stat are named.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::connect::{Hub, Reach};
use super::history::{Ending, note_in_log, record, remote_asked};
use super::in_use::speaks_for;
use super::local::take_over;
use super::look::{Look, World, look, no_such_hub};
use super::remembered::known_hub;
use super::sync::Request;
use super::undo::Where;
use super::{Failure, FailureKind};
use crate::disk::Lock;
use crate::endpoint::local::{Local, ScanOptions};
use crate::endpoint::users::usages;
use crate::model::{Node, RelPath, Skip, Tree, total_bytes};
use crate::plan::{Action, Altered, Direction, Plan, Reason, Side, Source, Verb, altered};
use crate::protocol::message::{Problem, Usage};
use crate::report::{json as contract, printable, text};
use crate::scan::{Progress, Scan};
use crate::state::{Index, Payload};
use crate::transaction::{self, Change, Expected, Label, NewNode, Staging, user_words};

/// How a repair is labelled.
const VERB: &str = "verify";
/// Where a repair that needs no hub takes its content from.
const SNAPSHOTS: &str = "snapshots";

/// A file whose content is not what is known of it.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Which, what it was and what it is.
    pub altered: Altered,
    /// Where the old content came from, if it was brought back.
    pub repaired: Option<&'static str>,
}

/// What was read and what was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that are not what they were, in path order.
    pub findings: Vec<Finding>,
    /// What could not be read, and other trouble, in words.
    pub warnings: Vec<String>,
    /// The commands that undo the repairs.
    pub undo: Vec<String>,
}

impl Report {
    fn of(tree: &Tree, mut found: Vec<Altered>) -> Self {
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.dedup_by(|a, b| a.path == b.path);
        let sizes = tree.entries().filter(|e| e.node.digest().is_some());
        let finding = |altered| Finding {
            altered,
            repaired: None,
        };
        Self {
            files: sizes.clone().count() as u64,
            bytes: total_bytes(sizes.map(|e| e.node.size())),
            findings: found.into_iter().map(finding).collect(),
            warnings: vec![],
            undo: vec![],
        }
    }

    /// Takes the files out that programs changed: such a change is no damage. They are named all the same.
    fn believe(&mut self, usages: &[Usage]) {
        let is_damage = |finding: &Finding| !speaks_for(usages, &finding.altered.path);
        let (damaged, changed): (Vec<_>, Vec<_>) = std::mem::take(&mut self.findings)
            .into_iter()
            .partition(is_damage);
        self.findings = damaged;
        self.warnings
            .extend(changed.iter().map(|finding| changed_words(finding, usages)));
    }

    /// Files that are still not what they were.
    pub fn unrepaired(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.repaired.is_none())
    }

    fn mark(&mut self, paths: &[RelPath], from: &'static str) {
        for finding in &mut self.findings {
            if paths.contains(&finding.altered.path) {
                finding.repaired = Some(from);
            }
        }
    }
}

/// Reads every byte of one side. With `repair`, the old content is brought back: here from a snapshot or the
/// hub, on the hub from this machine.
///
/// # Errors
/// A side cannot be read or reached, or a repair cannot be committed.
pub fn verify(
    world: &World<'_>,
    at: Where,
    reach: &Reach,
    repair: bool,
) -> Result<Report, Failure> {
    let outcome = match at {
        Where::Here => verify_here(world, reach, repair),
        Where::Hub => verify_hub(world, reach, repair),
    };
    if repair {
        note_ending(world, at, reach, outcome.as_ref());
    }
    outcome
}

/// Repairs are in the log as they were committed; so is a run that ended without one, or with something left.
fn note_ending(world: &World<'_>, at: Where, reach: &Reach, outcome: Result<&Report, &Failure>) {
    let left = outcome.ok().and_then(|report| refusal(report, at));
    let ending = match (outcome, &left) {
        (Err(failure), _) | (Ok(_), Some(failure)) => Ending::Failed(failure),
        (Ok(report), None) if report.findings.is_empty() => Ending::NothingToDo,
        (Ok(_), None) => return,
    };
    note_in_log(world, record(VERB, &remote_asked(world, reach), &ending));
}

fn verify_here(world: &World<'_>, reach: &Reach, repair: bool) -> Result<Report, Failure> {
    let local = Local::open(&world.project.path)?;
    let (lock, recovered) = match (&local.state, repair) {
        (Some(_), true) => {
            let (lock, recovered) = take_over(world, &local, "verify")?;
            (Some(lock), recovered)
        }
        _ => (None, None),
    };
    let verified = verify_recovered(world, reach, &local, lock);
    let mut report = verified.map_err(|e| e.after_recovery(recovered.as_ref()))?;
    report.warnings.extend(recovered);
    Ok(report)
}

/// With the lock: repairs.
fn verify_recovered(
    world: &World<'_>,
    reach: &Reach,
    local: &Local,
    lock: Option<Lock>,
) -> Result<Report, Failure> {
    let rules = world.project.rules(&[], None)?;
    let progress = Progress::default();
    let scan = local.scan(&ScanOptions {
        rules: &rules,
        newly_hidden: None,
        checksum: true,
        now_secs: world.now_secs(),
        progress: &progress,
        interrupted: world.interrupted,
    })?;
    let agreed = match Hub::find(&world.project.settings, reach, |_| true) {
        Ok(hub) => known_hub(local, &hub)?.base,
        Err(_) => None,
    };
    let agreed = agreed.map(|base| base.agreed(&scan.tree)).transpose()?;
    let mut found = altered(&agreed.unwrap_or_default(), &scan.tree);
    found.extend(against_index(local, &scan)?);
    let mut report = Report::of(&scan.tree, found);
    report.warnings = unread(&scan.problems);
    if !report.findings.is_empty() {
        report.believe(&usages(local, &scan));
    }
    if let Some(lock) = lock {
        repair_from_snapshots(world, local, &lock, &scan, &mut report)?;
        drop(lock);
        if report.unrepaired().next().is_some() {
            let asked = repair_from_hub(world, reach, &mut report);
            if let Err(failure) = asked {
                report
                    .warnings
                    .push(format!("the hub cannot help: {failure}"));
            }
        }
    }
    Ok(report)
}

/// The files that differ from what the index knows while their stat does not.
fn against_index(local: &Local, scan: &Scan) -> Result<Vec<Altered>, Failure> {
    let Some(state) = &local.state else {
        return Ok(vec![]);
    };
    let index = Index::load(state)?;
    let known = |problem: &Problem| {
        let path = RelPath::new(problem.path.as_slice()).ok()?;
        let now = scan.tree.get(&path)?.clone();
        let digest = index.digest(&path, &scan.stat(&path)?)?;
        let was = with_digest(&now, digest)?;
        Some(Altered { path, was, now })
    };
    Ok(scan.altered().filter_map(known).collect())
}

fn with_digest(node: &Node, digest: crate::model::Digest) -> Option<Node> {
    match node {
        Node::File {
            size, mode, mtime, ..
        } => Some(Node::File {
            size: *size,
            digest,
            mode: *mode,
            mtime: *mtime,
        }),
        _ => None,
    }
}

/// The old content, with the permission bits that the file has now: its owner may have changed them since.
fn brought_back(altered: &Altered) -> Option<Node> {
    match &altered.was {
        Node::File {
            size,
            digest,
            mtime,
            ..
        } => Some(Node::File {
            size: *size,
            digest: *digest,
            mode: altered.now.mode()?,
            mtime: *mtime,
        }),
        _ => None,
    }
}

/// That a program changed a file, and not the disk.
fn changed_words(finding: &Finding, usages: &[Usage]) -> String {
    let path = &finding.altered.path;
    let user = usages.iter().find(|u| u.path == *path && u.is_in_use());
    let why = match user {
        Some(usage) => format!("it is open in {}", user_words(&usage.program, usage.pid)),
        None => "it belongs to a database".to_owned(),
    };
    format!("{path:?} changed though its size and time did not; {why}, so this is no damage")
}

fn unread(problems: &[Problem]) -> Vec<String> {
    let unread = problems.iter().filter(|p| p.skip == Skip::Unreadable);
    unread
        .map(|p| format!("{} cannot be read: {}", p.path.escape_ascii(), p.detail))
        .collect()
}

fn repair_from_snapshots(
    world: &World<'_>,
    local: &Local,
    lock: &Lock,
    scan: &Scan,
    report: &mut Report,
) -> Result<(), Failure> {
    let staging = Staging::begin(&local.root)?;
    let mut changes = Vec::new();
    for (slot, finding) in (0..).zip(&report.findings) {
        let Altered { path, now, .. } = &finding.altered;
        let Some(node) = brought_back(&finding.altered) else {
            continue;
        };
        let kept = node
            .digest()
            .map(|digest| transaction::kept_content(&local.root, digest));
        let Some(content) = kept.transpose()?.flatten() else {
            continue;
        };
        staging.copy(slot, &content, &node)?;
        changes.push(Change {
            path: path.clone(),
            old: Some(Expected::new(now.clone(), scan.stat(path))),
            new: Some(NewNode {
                node,
                slot: Some(slot),
            }),
        });
    }
    if changes.is_empty() {
        return Ok(staging.abort()?);
    }
    let paths: Vec<_> = changes.iter().map(|c| c.path.clone()).collect();
    let request = transaction::Request {
        changes,
        payload: Payload::Nothing.encode()?,
        label: Label {
            verb: VERB.to_owned(),
            peer: SNAPSHOTS.to_owned(),
            machine: world.project.machine(world.environment),
            when: world.now_secs(),
            root: local.own_id(),
        },
        keep_snapshot: true,
        consumes: None,
        interrupted: &|| world.interrupted.load(Ordering::Relaxed),
    };
    let committed =
        transaction::commit(&local.root, lock, staging, request, &mut |id, payload| {
            local.remember(id.as_str(), payload)
        })?;
    let plan = repairs(report, Direction::Pull, |a| paths.contains(&a.path));
    let undo = committed.snapshot.as_ref().map(ToString::to_string);
    report.undo.extend(undo.map(|id| text::rollback_here(&id)));
    let snapshots = Where::Here.snapshots(committed.snapshot.map(|id| id.to_string()));
    note_in_log(
        world,
        record(VERB, SNAPSHOTS, &Ending::Done(&plan, snapshots)),
    );
    report.mark(&paths, "a snapshot");
    Ok(())
}

fn request(reach: &Reach, direction: Direction, repair: bool) -> Request {
    Request {
        reach: reach.clone(),
        checksum: true,
        dry_run: !repair,
        repair,
        ..Request::of(vec![direction])
    }
}

fn repair_from_hub(world: &World<'_>, reach: &Reach, report: &mut Report) -> Result<(), Failure> {
    let request = request(reach, Direction::Pull, true);
    let mut look = look(world, &request)?;
    let theirs = std::mem::take(&mut look.view.tree);
    let plan = plan(report, Direction::Pull, &theirs);
    look.view.tree = theirs;
    let from = (Where::Here, "the hub");
    carry_out(look, &plan, &request, report, from)
}

fn verify_hub(world: &World<'_>, reach: &Reach, repair: bool) -> Result<Report, Failure> {
    let request = request(reach, Direction::Push, repair);
    let mut look = look(world, &request)?;
    if !look.client.hello.root_exists {
        return Err(no_such_hub(&look.hub));
    }
    let mut found = altered(&look.view_before, &look.view.tree);
    let told = look
        .view
        .problems
        .iter()
        .filter(|p| p.skip == Skip::Altered);
    found.extend(told.filter_map(|problem| {
        let path = RelPath::new(problem.path.as_slice()).ok()?;
        let now = look.view.tree.get(&path)?.clone();
        let was = look.view_before.get(&path).unwrap_or(&now).clone();
        Some(Altered { path, was, now })
    }));
    let mut report = Report::of(&look.view.tree, found);
    look.note_problems();
    report.warnings = std::mem::take(&mut look.uncarried);
    report.warnings.append(&mut look.warnings);
    if !report.findings.is_empty() {
        report.believe(look.usages(Side::Remote)?);
    }
    if repair {
        let plan = plan(&report, Direction::Push, &look.scan.tree);
        let from = (Where::Hub, "this machine");
        carry_out(look, &plan, &request, &mut report, from)?;
    }
    Ok(report)
}

/// Brings back what `theirs` still has as it was.
fn plan(report: &Report, direction: Direction, theirs: &Tree) -> Plan {
    let has = |a: &Altered| theirs.get(&a.path).and_then(Node::digest) == a.was.digest();
    repairs(report, direction, has)
}

/// Brings back those that `can` be.
fn repairs(report: &Report, direction: Direction, can: impl Fn(&Altered) -> bool) -> Plan {
    let action = |a: &Altered| {
        let new = brought_back(a).filter(|new| !new.same_content(&a.now))?;
        Some(Action {
            path: a.path.clone(),
            verb: Verb::Update,
            reason: Reason::Undo,
            old: Some(a.now.clone()),
            new: Some(new),
            source: Source::Theirs(a.path.clone()),
            conflict: None,
        })
    };
    let altered = report.unrepaired().map(|f| &f.altered);
    Plan {
        actions: altered.filter(|a| can(a)).filter_map(action).collect(),
        ..Plan::nothing(direction)
    }
}

fn carry_out(
    mut look: Look<'_>,
    plan: &Plan,
    request: &Request,
    report: &mut Report,
    (at, from): (Where, &'static str),
) -> Result<(), Failure> {
    if plan.actions.is_empty() {
        return Ok(());
    }
    let paths: Vec<_> = plan.actions.iter().map(|a| a.path.clone()).collect();
    let snapshot = look.execute(plan, request).map_err(Failure::from)?;
    let named = request.reach.remote.as_deref();
    report.undo.extend(snapshot.as_deref().map(|id| match at {
        Where::Here => text::rollback_here(id),
        Where::Hub => text::rollback_on_hub(named, id),
    }));
    let ending = Ending::Done(plan, at.snapshots(snapshot));
    note_in_log(look.world, record(VERB, &look.hub.name, &ending));
    report.mark(&paths, from);
    Ok(())
}

/// Why the exit code is not 0, if it is not.
#[must_use]
pub fn refusal(report: &Report, at: Where) -> Option<Failure> {
    let left = report.unrepaired().count();
    if left == 0 {
        return None;
    }
    let message = format!(
        "{left} {} content that changed though size and time did not",
        if left == 1 { "file has" } else { "files have" }
    );
    let hint = match at {
        Where::Here => {
            "`touch` a file that a program changed; if it is damage, `rsyn verify --repair` brings the old content back from a \
            snapshot or the hub, and names the command that undoes it"
        }
        Where::Hub => {
            "`touch` a file there that a program changed; if it is damage, `rsyn verify --remote --repair` sends this machine's \
            copy, and names the command that undoes it"
        }
    };
    Some(Failure {
        state: String::new(),
        ..Failure::new(FailureKind::Integrity, message, hint)
    })
}

/// For people: a line for each file that was found.
#[must_use]
pub fn to_text(report: &Report) -> String {
    let line = |finding: &Finding| {
        let path = printable::path(&finding.altered.path);
        match finding.repaired {
            Some(from) => format!("repaired {path} from {from}\n"),
            None => format!("ALTERED  {path}\n"),
        }
    };
    let lines: String = report.findings.iter().map(line).collect();
    let undo = report.undo.iter();
    let undo: String = undo
        .map(|command| format!("undo the repair with `{command}`\n"))
        .collect();
    format!(
        "{lines}read {} files, {}\n{undo}",
        report.files,
        indicatif::HumanBytes(report.bytes)
    )
}

/// For scripts.
#[must_use]
pub fn to_json(report: &Report, refusal: Option<&Failure>) -> Value {
    let finding = |f: &Finding| {
        let (path, path_bytes) = contract::path(&f.altered.path);
        let digest = |node: &Node| node.digest().map(|d| d.to_string());
        json!({
            "path": path, "path_bytes": path_bytes, "repaired": f.repaired,
            "was": digest(&f.altered.was), "now": digest(&f.altered.now),
        })
    };
    let mut more = json!({
        "files": report.files,
        "bytes": report.bytes,
        "altered": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "undo": report.undo,
        "warnings": report.warnings,
    });
    if let (Some(refusal), Some(more)) = (refusal, more.as_object_mut()) {
        more.insert("error".to_owned(), contract::error(refusal));
    }
    let result = if refusal.is_some() { "failed" } else { "ok" };
    contract::object("verify", result, more)
}
