//! Decides what a sync changes. Pure: no clock, no disk, no setting that is not an argument, so the same
//! trees always give the same [`Plan`]; a dry run prints exactly the plan that then runs.
//!
//! Reading order: [`mod@reconcile`] (three trees to a plan), [`policy`] (who wins a conflict), [`guard`] (when to
//! refuse), [`exposure`] (keys that others could read), [`moves`] (content that need not travel). Not here: whether anything succeeded.

pub mod altered;
pub mod exposure;
mod folded;
pub mod guard;
pub mod key_content;
mod modes;
pub mod moves;
pub mod policy;
pub mod reconcile;
mod threeway;
mod unheld;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Digest, Kind, Node, RelPath};
pub use altered::{Altered, altered};
pub use exposure::exposed;
pub use guard::Guard;
pub use modes::adopt_modes;
pub use policy::{Choice, Policies, Policy};
pub use reconcile::{Input, Options, reconcile};

/// One of the two sides of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// This machine.
    Local,
    /// The hub.
    Remote,
}

impl Side {
    /// The other side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Local => Self::Remote,
            Self::Remote => Self::Local,
        }
    }

    /// `local` or `remote`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

/// Which side is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The hub is read, this machine is written.
    Pull,
    /// This machine is read, the hub is written.
    Push,
}

impl Direction {
    /// The side that is written ("ours" in semantics.md).
    #[must_use]
    pub fn written(self) -> Side {
        match self {
            Self::Pull => Side::Local,
            Self::Push => Side::Remote,
        }
    }

    /// The side that is read ("theirs").
    #[must_use]
    pub fn read(self) -> Side {
        self.written().other()
    }

    /// `pull` or `push`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
        }
    }
}

/// What is done to a path of the written side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Nothing was there.
    Create,
    /// Other content or another kind takes its place.
    Update,
    /// It goes.
    Delete,
    /// Permission bits alone change.
    Meta,
}

impl Verb {
    /// The word of the JSON contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Meta => "meta",
        }
    }
}

/// Where the content of a new node is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Nothing is needed: a deletion, a directory, permission bits.
    Nothing,
    /// On the side that is read, at this path: it has to travel.
    Theirs(RelPath),
    /// On the side that is written, at this path: moved, copied, kept under another name.
    Ours(RelPath),
}

/// Why an action is in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The read side has it new.
    New,
    /// The read side changed it.
    Changed,
    /// The read side changed its permission bits.
    ModeChanged,
    /// The read side deleted it.
    Deleted,
    /// A stale copy of something that was deleted (a tombstone says so).
    Stale,
    /// Both sides changed it and the read side wins.
    ConflictLost,
    /// Both sides changed it and both versions are kept.
    ConflictBoth,
    /// Deleted on the written side, edited on the read side: the edit wins.
    EditBeatsDeletion,
    /// A directory that something inside needs.
    NeededInside,
    /// `--mirror`: make it the same, whatever the base says.
    Mirror,
    /// Back to what it was (rollback).
    Undo,
}

/// Who wins a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Winner {
    /// This machine's version.
    Local,
    /// The hub's version.
    Remote,
    /// A version made of both.
    Merged,
    /// Both versions, side by side.
    Both,
}

impl From<Side> for Winner {
    fn from(side: Side) -> Self {
        match side {
            Side::Local => Self::Local,
            Side::Remote => Self::Remote,
        }
    }
}

/// Both sides changed a path, differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The policy that decided.
    pub policy: Policy,
    /// Its decision; `None` while nobody decided.
    pub winner: Option<Winner>,
    /// What both sides last agreed on.
    pub base: Option<Digest>,
    /// This machine's version; `None` if deleted.
    pub local: Option<Digest>,
    /// The hub's version; `None` if deleted.
    pub remote: Option<Digest>,
}

/// One change of the written side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Where.
    pub path: RelPath,
    /// What is done.
    pub verb: Verb,
    /// Why.
    pub reason: Reason,
    /// What stands there now, on the written side.
    pub old: Option<Node>,
    /// What will stand there.
    pub new: Option<Node>,
    /// Where the new content comes from.
    pub source: Source,
    /// Set where both sides had changed.
    pub conflict: Option<Box<Conflict>>,
}

impl Action {
    /// The kind to show: of the new node, of the old one for a deletion.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.new
            .as_ref()
            .or(self.old.as_ref())
            .map_or(Kind::Skipped, Node::kind)
    }

    /// Bytes of content that have to travel, before any delta or compression.
    #[must_use]
    pub fn travelling_bytes(&self) -> u64 {
        match &self.source {
            Source::Theirs(_) => self.new.as_ref().map_or(0, Node::size),
            Source::Nothing | Source::Ours(_) => 0,
        }
    }
}

/// Why a path that differs stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptReason {
    /// Changed on this machine alone (on pull).
    Ahead,
    /// Changed on the hub alone (on push).
    Behind,
    /// Edited on the written side, deleted on the other; or a conflict that the written side wins.
    EditKept,
    /// A directory that should go, but holds entries that are out of scope or cannot be named.
    ExcludedInside,
    /// A program uses it on the written side, or a database that it belongs to.
    InUse,
    /// It changed each time it was looked at.
    Changing,
    /// The disk of the written side takes its name for one that is there.
    NameTaken,
    /// The disk of the written side refuses such a name or a link.
    CannotHold,
}

impl KeptReason {
    /// The word of the JSON contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ahead => "ahead",
            Self::Behind => "behind",
            Self::EditKept => "edit_kept",
            Self::ExcludedInside => "excluded_inside",
            Self::InUse => "in_use",
            Self::Changing => "changing",
            Self::NameTaken => "name_taken",
            Self::CannotHold => "cannot_hold",
        }
    }
}

/// A path that differs and stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Where.
    pub path: RelPath,
    /// Why.
    pub reason: KeptReason,
    /// Set where both sides had changed.
    pub conflict: Option<Box<Conflict>>,
    /// The program that uses it, where that is why.
    pub program: Option<Box<Program>>,
}

/// A program at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its process id; 0 if it is not known.
    pub pid: u32,
}

/// Why a path must stay as it is, whatever the trees say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub reason: KeptReason,
    /// The program that uses it, where that is why.
    pub program: Option<Box<Program>>,
}

/// Paths that must stay as they are.
pub type Holds = BTreeMap<RelPath, Hold>;

/// A path whose base changes once the plan is durable; `None` forgets it.
pub type BaseChange = (RelPath, Option<Node>);

/// What a sync in one direction does, all of it, before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Which side is written.
    pub direction: Direction,
    /// Changes of the written side, in path order.
    pub actions: Vec<Action>,
    /// Paths that differ and stay, in path order.
    pub kept: Vec<Kept>,
    /// Conflicts that a policy leaves to the user. If there is one, nothing is applied.
    pub undecided: Vec<Kept>,
    /// What enters or leaves the base once all is durable.
    pub base: Vec<BaseChange>,
    /// Of the kept paths those whose name is taken, each with the path that has it.
    pub taken: Vec<(RelPath, RelPath)>,
    /// How many paths are left out because the disk of the written side cannot hold them, or a directory above them.
    pub unheld: u64,
}

impl Plan {
    /// An empty plan.
    #[must_use]
    pub fn nothing(direction: Direction) -> Self {
        Self {
            direction,
            actions: vec![],
            kept: vec![],
            undecided: vec![],
            base: vec![],
            taken: vec![],
            unheld: 0,
        }
    }

    /// How many actions have this verb.
    #[must_use]
    pub fn count(&self, verb: Verb) -> usize {
        self.actions.iter().filter(|a| a.verb == verb).count()
    }

    /// How many paths were changed on both sides. The copies beside a path are no conflicts of their own.
    #[must_use]
    pub fn conflicts(&self) -> usize {
        let is_copy = |a: &Action| a.reason == Reason::ConflictBoth && a.verb == Verb::Create;
        let acted = self
            .actions
            .iter()
            .filter(|a| a.conflict.is_some() && !is_copy(a))
            .count();
        let kept = self.kept.iter().filter(|k| k.conflict.is_some()).count();
        acted + kept + self.undecided.len()
    }

    /// Every path that it acts on, keeps or leaves to the user.
    pub fn paths(&self) -> impl Iterator<Item = &RelPath> {
        let left = self.kept.iter().chain(&self.undecided);
        let acted = self.actions.iter().map(|a| &a.path);
        acted.chain(left.map(|k| &k.path))
    }

    /// The changes that the written side's tree goes through.
    pub fn changes(&self) -> impl Iterator<Item = (RelPath, Option<Node>)> + '_ {
        self.actions.iter().map(|a| (a.path.clone(), a.new.clone()))
    }
}
