//! Decides what each path of the written side should become, from three trees: `base` (what both sides last
//! agreed on), `local` and `remote`.
//!
//! The rules speak of *ours* (the side that is written) and *theirs* (the side that is read), so a push is a
//! pull seen from the other side. The table is `docs/semantics.md`. Four passes over the paths:
//! 1. `fate_of` decides each path by itself, and `hold` has those stay that must;
//! 2. bottom up, a directory that something inside still needs is kept or created;
//! 3. top down, nothing is put below something that is no directory;
//! 4. nothing is put that the disk cannot hold, or where it finds another name.

use std::collections::{BTreeMap, BTreeSet};

use super::folded;
use super::policy::{self, Choice, Policies, Policy};
use super::threeway::{Versions, threeway};
use super::unheld;
use super::{
    Action, BaseChange, Conflict, Direction, Hold, Holds, Kept, KeptReason, Plan, Program, Reason,
    Side, Source, Verb, Winner,
};
use crate::model::{Abilities, Folding, Node, RelPath, Skip, Tombstones, Tree};

/// The state of the world that a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// What both sides last agreed on; empty on the first sync.
    pub base: &'a Tree,
    /// This machine.
    pub local: &'a Tree,
    /// The hub.
    pub remote: &'a Tree,
    /// Directories of the written side that hold something which no tree can name, so that they cannot go.
    pub unnamed: &'a BTreeSet<RelPath>,
    /// Deletions remembered here. Only a hub remembers; empty on a plain machine.
    pub local_tombstones: &'a Tombstones,
    /// Deletions that the hub remembers.
    pub remote_tombstones: &'a Tombstones,
    /// Paths of the written side that must stay as they are, with all below them.
    pub holds: &'a Holds,
}

/// What the user asked for.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Which side is written.
    pub direction: Direction,
    /// Who wins conflicts.
    pub policies: &'a dyn Policies,
    /// Decisions that were made for single paths; they come before the policies.
    pub choices: &'a BTreeMap<RelPath, Choice>,
    /// Make ours exactly theirs, whatever the base says.
    pub mirror: bool,
    /// Whether anything may be deleted.
    pub delete: bool,
    /// The sub-trees that the plan is confined to; empty for all.
    pub only: &'a [RelPath],
    /// Whether a path that a side excludes, a directory or not, is out of scope for longer than this run: what was agreed on
    /// it is forgotten then.
    pub forgets: &'a dyn Fn(&RelPath, bool) -> bool,
    /// Which names the disk of the written side takes for one.
    pub folding: Folding,
    /// What that disk can hold.
    pub holds: Abilities,
}

/// What becomes of a path of ours.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate {
    /// Out of scope, skipped, or agreed on: stays as it is, and there is nothing to report.
    Untouched,
    /// Becomes theirs.
    Take(Reason, Option<Box<Conflict>>),
    /// Becomes theirs, and both versions are put beside it.
    Both(Box<Conflict>),
    /// Goes.
    Delete(Reason),
    /// Stays, though it differs.
    Keep(KeptReason, Option<Box<Conflict>>),
    /// Somebody has to decide.
    Undecided(Box<Conflict>),
}

pub(super) struct Decision<'a> {
    pub(super) at: Versions<'a>,
    pub(super) fate: Fate,
}

impl Decision<'_> {
    /// What stands at the path of ours afterwards.
    pub(super) fn result(&self) -> Option<&Node> {
        match self.fate {
            Fate::Take(..) | Fate::Both(_) => self.at.theirs,
            Fate::Delete(_) => None,
            Fate::Untouched | Fate::Keep(..) | Fate::Undecided(_) => self.at.ours,
        }
    }

    pub(super) fn puts(&self) -> bool {
        matches!(self.fate, Fate::Take(..) | Fate::Both(_))
    }

    fn writes(&self) -> bool {
        self.puts() || matches!(self.fate, Fate::Delete(_))
    }
}

/// Returns the plan that brings `theirs` to `ours`.
///
/// Total: every combination of versions has a decision. Actions and kept paths come in path order; a
/// directory comes before what is inside.
#[must_use]
pub fn reconcile(input: &Input<'_>, options: &Options<'_>) -> Plan {
    let mut base = Vec::new();
    let mut decisions = decide(input, options, &mut base);
    hold(&mut decisions, input.holds);
    keep_needed_directories(&mut decisions, input, options);
    respect_what_is_no_directory(&mut decisions, options);
    let ours = match options.direction.written() {
        Side::Local => input.local,
        Side::Remote => input.remote,
    };
    let unheld = unheld::leave_out(&mut decisions, options.holds);
    let taken = folded::hold_taken_names(&mut decisions, ours, options.folding);
    Plan {
        taken,
        unheld,
        ..emit(decisions, base, input, options)
    }
}

/// Pass 1. Paths that both sides agree on are not among the decisions: theirs has them, so it has all
/// directories above them, and no such directory can be deleted or replaced.
fn decide<'a>(
    input: &Input<'a>,
    options: &Options<'_>,
    base: &mut Vec<BaseChange>,
) -> Vec<Decision<'a>> {
    let (ours, theirs) = match options.direction.written() {
        Side::Local => (input.local, input.remote),
        Side::Remote => (input.remote, input.local),
    };
    let mut decisions = Vec::new();
    let mut skipped: Option<(&RelPath, bool)> = None;
    for at in threeway(input.base, ours, theirs) {
        if let Some((top, forget)) = skipped.filter(|(top, _)| at.path.is_below(top)) {
            skipped = Some((top, forget));
            leave_alone(at, forget, base, &mut decisions);
        } else if let Some(forget) = skip_of(&at, options) {
            skipped = Some((at.path, forget));
            leave_alone(at, forget, base, &mut decisions);
        } else if !in_scope(at.path, options.only) {
            decisions.push(Decision {
                at,
                fate: Fate::Untouched,
            });
        } else if same(at.ours, at.theirs) {
            if !same(at.base, at.ours) {
                base.push((at.path.clone(), at.ours.cloned()));
            }
        } else {
            decisions.push(Decision {
                at,
                fate: fate_of(&at, input, options),
            });
        }
    }
    decisions
}

/// Whether a side skips this path, and if so, whether the base forgets it (it left the scope for good).
fn skip_of(at: &Versions<'_>, options: &Options<'_>) -> Option<bool> {
    let skips = [at.ours, at.theirs]
        .into_iter()
        .flatten()
        .filter(|n| n.is_skipped());
    let is_excluded = skips
        .map(|n| *n == Node::Skipped(Skip::Excluded))
        .reduce(|a, b| a || b)?;
    let was_dir = at.base.is_some_and(Node::is_dir);
    Some(is_excluded && (options.forgets)(at.path, was_dir))
}

fn leave_alone<'a>(
    at: Versions<'a>,
    forget: bool,
    base: &mut Vec<BaseChange>,
    decisions: &mut Vec<Decision<'a>>,
) {
    if forget && at.base.is_some() {
        base.push((at.path.clone(), None));
    }
    decisions.push(Decision {
        at,
        fate: Fate::Untouched,
    });
}

fn in_scope(path: &RelPath, only: &[RelPath]) -> bool {
    only.is_empty() || only.iter().any(|top| path.is_at_or_below(top))
}

fn same(a: Option<&Node>, b: Option<&Node>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.same_version(b),
        (None, None) => true,
        _ => false,
    }
}

/// The table of `docs/semantics.md`, for two versions that differ and are not skipped.
fn fate_of(at: &Versions<'_>, input: &Input<'_>, options: &Options<'_>) -> Fate {
    let fate = if options.mirror {
        mirror_fate(at)
    } else {
        threeway_fate(at, input, options)
    };
    match fate {
        Fate::Delete(_) if !options.delete => Fate::Keep(alone(options.direction), None),
        fate => fate,
    }
}

fn mirror_fate(at: &Versions<'_>) -> Fate {
    match at.theirs {
        Some(_) => Fate::Take(Reason::Mirror, None),
        None => Fate::Delete(Reason::Mirror),
    }
}

fn threeway_fate(at: &Versions<'_>, input: &Input<'_>, options: &Options<'_>) -> Fate {
    let ours_changed = !same(at.ours, at.base);
    let theirs_changed = !same(at.theirs, at.base);
    let (ours_tombstones, theirs_tombstones) = match options.direction.written() {
        Side::Local => (input.local_tombstones, input.remote_tombstones),
        Side::Remote => (input.remote_tombstones, input.local_tombstones),
    };
    let is_stale = |tombstones: &Tombstones, node: &Node| {
        at.base.is_none() && tombstones.get(at.path).is_some_and(|t| t.is_of(node))
    };
    match (at.ours, at.theirs) {
        (None, Some(theirs)) if is_stale(ours_tombstones, theirs) => {
            Fate::Keep(alone(options.direction), None)
        }
        (Some(ours), None) if is_stale(theirs_tombstones, ours) => Fate::Delete(Reason::Stale),
        (_, Some(_)) if !ours_changed => Fate::Take(reason_to_take(at), None),
        (_, None) if !ours_changed => Fate::Delete(Reason::Deleted),
        _ if !theirs_changed => Fate::Keep(alone(options.direction), None),
        (Some(ours), Some(theirs)) => conflict_fate(at, ours, theirs, options),
        (Some(_), None) => {
            let winner = options.direction.written();
            Fate::Keep(
                KeptReason::EditKept,
                Some(conflict(at, options, Policy::Default, Some(winner.into()))),
            )
        }
        (None, _) => {
            let winner = options.direction.read();
            let conflict = conflict(at, options, Policy::Default, Some(winner.into()));
            Fate::Take(Reason::EditBeatsDeletion, Some(conflict))
        }
    }
}

/// How a difference is called that only the written side has.
fn alone(direction: Direction) -> KeptReason {
    match direction {
        Direction::Pull => KeptReason::Ahead,
        Direction::Push => KeptReason::Behind,
    }
}

fn reason_to_take(at: &Versions<'_>) -> Reason {
    match (at.ours, at.theirs) {
        (None, _) => Reason::New,
        (Some(ours), Some(theirs)) if ours.same_content(theirs) => Reason::ModeChanged,
        _ => Reason::Changed,
    }
}

/// Both sides hold a changed version: the choice made for this path, or else its policy, decides.
fn conflict_fate(at: &Versions<'_>, ours: &Node, theirs: &Node, options: &Options<'_>) -> Fate {
    let direction = options.direction;
    let policy = options.policies.policy(at.path);
    let (local, remote) = match direction.written() {
        Side::Local => (ours, theirs),
        Side::Remote => (theirs, ours),
    };
    let choice = match options.choices.get(at.path) {
        Some(choice) => *choice,
        None => policy::choose(policy, direction, local, remote),
    };
    let decided = |winner| conflict(at, options, policy, Some(winner));
    match choice {
        Choice::Take(side) if side == direction.read() => {
            Fate::Take(Reason::ConflictLost, Some(decided(side.into())))
        }
        Choice::Take(side) => Fate::Keep(KeptReason::EditKept, Some(decided(side.into()))),
        // Two directories, or two permission settings of one content, cannot stand side by side.
        Choice::Both if ours.same_content(theirs) || ours.is_dir() || theirs.is_dir() => {
            Fate::Take(Reason::ConflictLost, Some(decided(direction.read().into())))
        }
        Choice::Both
            if [Side::Local, Side::Remote]
                .iter()
                .all(|s| policy::beside(at.path, *s).is_some()) =>
        {
            Fate::Both(decided(Winner::Both))
        }
        // A name that has no room for another beside it.
        Choice::Both => Fate::Undecided(conflict(at, options, policy, None)),
        Choice::Undecided => Fate::Undecided(conflict(at, options, policy, None)),
    }
}

fn conflict(
    at: &Versions<'_>,
    options: &Options<'_>,
    policy: Policy,
    winner: Option<Winner>,
) -> Box<Conflict> {
    let digest = |node: Option<&Node>| node.and_then(Node::digest);
    let (local, remote) = match options.direction.written() {
        Side::Local => (at.ours, at.theirs),
        Side::Remote => (at.theirs, at.ours),
    };
    Box::new(Conflict {
        policy,
        winner,
        base: digest(at.base),
        local: digest(local),
        remote: digest(remote),
    })
}

/// What must stay stays, whatever was decided; permission bits may change.
fn hold(decisions: &mut [Decision<'_>], holds: &Holds) {
    if holds.is_empty() {
        return;
    }
    for decision in decisions {
        let at = decision.at;
        let is_meta = matches!((at.ours, at.theirs), (Some(a), Some(b)) if a.same_content(b));
        if let Some(hold) = holds.get(at.path).filter(|_| decision.writes() && !is_meta) {
            let conflict = match &mut decision.fate {
                Fate::Take(_, conflict) => conflict.take(),
                Fate::Both(conflict) => Some(conflict.clone()),
                _ => None,
            };
            decision.fate = Fate::Keep(hold.reason, conflict);
        }
    }
}

/// Pass 2, bottom up: a directory does not go while something inside stays, and it is there when something
/// inside is put there.
///
/// Children come right after their directory, so "something below" is a question about the nearest path seen.
fn keep_needed_directories(
    decisions: &mut [Decision<'_>],
    input: &Input<'_>,
    options: &Options<'_>,
) {
    let mut next_stays: Option<&RelPath> = None;
    let mut next_skipped: Option<&RelPath> = None;
    let mut next_put: Option<&RelPath> = None;
    for i in (0..decisions.len()).rev() {
        let at = decisions[i].at;
        let below = |next: Option<&RelPath>| next.is_some_and(|p| p.is_below(at.path));
        let goes =
            at.ours.is_some_and(Node::is_dir) && !decisions[i].result().is_some_and(Node::is_dir);
        let must_stay = below(next_stays) || below(next_skipped) || input.unnamed.contains(at.path);
        if goes && must_stay {
            decisions[i].fate = stays(&decisions[i], below(next_stays), options);
        } else if below(next_put) && at.ours.is_none() && !decisions[i].puts() {
            decisions[i].fate = Fate::Take(Reason::NeededInside, None);
        }
        if decisions[i].puts() {
            next_put = Some(at.path);
        }
        match decisions[i].result() {
            Some(node) if node.is_skipped() => next_skipped = Some(at.path),
            Some(_) => next_stays = Some(at.path),
            None => {}
        }
    }
}

/// The fate of a directory that should go but cannot.
fn stays(decision: &Decision<'_>, something_in_scope: bool, options: &Options<'_>) -> Fate {
    match &decision.fate {
        _ if !something_in_scope => Fate::Keep(KeptReason::ExcludedInside, None),
        Fate::Delete(_) => Fate::Keep(alone(options.direction), None),
        _ => {
            let winner = options.direction.written().into();
            let conflict = conflict(&decision.at, options, Policy::Default, Some(winner));
            Fate::Keep(KeptReason::EditKept, Some(conflict))
        }
    }
}

/// Pass 3, top down: what should come below something of ours that is no directory and stays, cannot.
fn respect_what_is_no_directory(decisions: &mut [Decision<'_>], options: &Options<'_>) {
    let mut wall: Option<&RelPath> = None;
    for decision in decisions {
        let at = decision.at;
        if wall.is_some_and(|w| at.path.is_below(w)) {
            if decision.puts() {
                let winner = options.direction.written().into();
                let conflict = conflict(&at, options, Policy::Default, Some(winner));
                decision.fate = Fate::Keep(KeptReason::EditKept, Some(conflict));
            }
        } else if decision.result().is_some_and(|n| !n.is_dir()) {
            wall = Some(at.path);
        }
    }
}

fn emit(
    decisions: Vec<Decision<'_>>,
    base: Vec<BaseChange>,
    input: &Input<'_>,
    options: &Options<'_>,
) -> Plan {
    let mut plan = Plan {
        base,
        ..Plan::nothing(options.direction)
    };
    let writes = decisions
        .iter()
        .filter(|decision| decision.writes())
        .count();
    plan.actions.reserve_exact(writes);
    plan.base.reserve_exact(writes);
    let mut names = BTreeSet::new();
    for Decision { at, fate } in decisions {
        let path = at.path.clone();
        match fate {
            Fate::Untouched => {}
            Fate::Keep(reason, conflict) => plan.kept.push(Kept {
                program: program(input.holds.get(&path), reason),
                path,
                reason,
                conflict,
            }),
            Fate::Undecided(conflict) => {
                let reason = KeptReason::EditKept;
                plan.undecided.push(Kept {
                    path,
                    reason,
                    conflict: Some(conflict),
                    program: None,
                });
            }
            Fate::Delete(reason) => {
                plan.base.push((path, None));
                plan.actions.push(deletion(&at, reason));
            }
            Fate::Take(reason, conflict) => {
                plan.base.push((path, at.theirs.cloned()));
                plan.actions.extend(taking(&at, reason, conflict));
            }
            Fate::Both(conflict) => {
                plan.base.push((path, at.theirs.cloned()));
                plan.actions
                    .extend(copies(&at, &conflict, input, options.direction, &mut names));
                plan.actions
                    .extend(taking(&at, Reason::ConflictBoth, Some(conflict)));
            }
        }
    }
    plan.actions.sort_by(|a, b| a.path.cmp(&b.path));
    plan.base.sort_by(|a, b| a.0.cmp(&b.0));
    plan
}

/// The program that has a path kept, if that is why.
fn program(hold: Option<&Hold>, reason: KeptReason) -> Option<Box<Program>> {
    let hold = hold.filter(|hold| hold.reason == reason)?;
    hold.program.clone()
}

fn deletion(at: &Versions<'_>, reason: Reason) -> Action {
    Action {
        path: at.path.clone(),
        verb: Verb::Delete,
        reason,
        old: at.ours.cloned(),
        new: None,
        source: Source::Nothing,
        conflict: None,
    }
}

fn taking(at: &Versions<'_>, reason: Reason, conflict: Option<Box<Conflict>>) -> Option<Action> {
    let theirs = at.theirs?;
    let verb = match at.ours {
        None => Verb::Create,
        Some(ours) if ours.same_content(theirs) => Verb::Meta,
        Some(_) => Verb::Update,
    };
    let source = match (verb, theirs) {
        (Verb::Meta, _) | (_, Node::Dir { .. }) => Source::Nothing,
        _ => Source::Theirs(at.path.clone()),
    };
    let new = match (verb, at.ours) {
        // The content stays where it is, and with it its mtime.
        (Verb::Meta, Some(ours)) => with_mode_of(ours, theirs),
        _ => theirs.clone(),
    };
    Some(Action {
        path: at.path.clone(),
        verb,
        reason,
        old: at.ours.cloned(),
        new: Some(new),
        source,
        conflict,
    })
}

fn with_mode_of(ours: &Node, theirs: &Node) -> Node {
    match (ours, theirs.mode()) {
        (
            Node::File {
                size,
                digest,
                mtime,
                ..
            },
            Some(mode),
        ) => Node::File {
            size: *size,
            digest: *digest,
            mode,
            mtime: *mtime,
        },
        _ => theirs.clone(),
    }
}

/// The two creations that keep both versions of a conflicting path beside it.
fn copies(
    at: &Versions<'_>,
    conflict: &Conflict,
    input: &Input<'_>,
    direction: Direction,
    names: &mut BTreeSet<RelPath>,
) -> Vec<Action> {
    let sides = [
        (direction.written(), at.ours),
        (direction.read(), at.theirs),
    ];
    let mut actions = Vec::new();
    for (side, node) in sides {
        let free = |p: &RelPath| {
            input.local.get(p).is_none() && input.remote.get(p).is_none() && !names.contains(p)
        };
        let Some((node, path)) = node.zip(free_name(at.path, side, free)) else {
            continue;
        };
        names.insert(path.clone());
        let source = match side == direction.written() {
            true => Source::Ours(at.path.clone()),
            false => Source::Theirs(at.path.clone()),
        };
        actions.push(Action {
            path,
            verb: Verb::Create,
            reason: Reason::ConflictBoth,
            old: None,
            new: Some(node.clone()),
            source,
            conflict: Some(Box::new(conflict.clone())),
        });
    }
    actions
}

/// `name.local.ext`, or `name.local.local.ext` and so on while that is taken.
fn free_name(path: &RelPath, side: Side, free: impl Fn(&RelPath) -> bool) -> Option<RelPath> {
    let mut name = policy::beside(path, side)?;
    while !free(&name) {
        name = policy::beside(&name, side)?;
    }
    Some(name)
}
