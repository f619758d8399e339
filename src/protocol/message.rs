//! The messages of a session. Enums only grow at their end and no message is ever edited: postcard does not
//! describe itself, so an old peer would misread it. A new need is a new message behind a feature name.

use serde::{Deserialize, Serialize};

use super::bounded::{self, Weight};
use crate::model::path::STATE_DIR;
use crate::model::{Digest, Node, RelPath, Skip, Tombstone};

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Everything but file and signature data. `[control]`
    Control(Control),
    /// A file that fits one message, whole. `[whole]`
    Whole {
        /// Number of the item.
        id: u32,
        /// Its content.
        content: Vec<u8>,
    },
    /// The next bytes of the item in progress. `[data]`
    Data(Vec<u8>),
    /// The next bytes of the signature in progress. `[signature-data]`
    SignatureData(Vec<u8>),
}

/// How a view is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ViewKind {
    /// As the client saw it last.
    Same,
    /// The client's last view with changes.
    Changes,
    /// All of it.
    Listing,
}

/// Something that is there and is left alone, and why, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where; any bytes.
    #[serde(deserialize_with = "bounded::place")]
    pub path: Vec<u8>,
    /// Why.
    pub skip: Skip,
    /// The system's words, if there are any.
    #[serde(deserialize_with = "bounded::text")]
    pub detail: String,
}

impl Problem {
    /// Whether it is the state directory of a project inside this one: it keeps its directory from going, and is
    /// otherwise as it should be.
    #[must_use]
    pub fn is_nested_state(&self) -> bool {
        let name = self.path.strip_suffix(STATE_DIR);
        self.skip == Skip::BadName && name.is_some_and(|above| above.ends_with(b"/"))
    }
}

impl Weight for Problem {
    fn text_bytes(&self) -> usize {
        self.path.len() + self.detail.len()
    }
}

/// A file that the receiver asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// Number by which it will be sent.
    pub id: u32,
    /// Where it is on the sender's side.
    pub path: RelPath,
    /// Bytes at its start that the receiver has already.
    pub skip_bytes: u64,
    /// Whether a signature follows, so that a delta can be sent.
    pub delta: bool,
}

impl Weight for Want {
    fn text_bytes(&self) -> usize {
        self.path.text_bytes()
    }
}

/// A file that a program uses, or a database with others of its files beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Which; of a database in use also each name beside it, whether anything stands there or not.
    pub path: RelPath,
    /// The program that uses it; empty if none does.
    #[serde(deserialize_with = "bounded::text")]
    pub program: String,
    /// Its process id; 0 if it is not known.
    pub pid: u32,
    /// Whether it is a database or belongs to one.
    pub is_database: bool,
    /// Whether a log or journal beside the database holds what is not in it.
    pub is_unfinished: bool,
}

impl Usage {
    /// Whether a program uses it.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        !self.program.is_empty()
    }
}

impl Weight for Usage {
    fn text_bytes(&self) -> usize {
        self.path.text_bytes() + self.program.len()
    }
}

/// Where the new content of an operation comes from, seen from the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpSource {
    /// Nothing is needed.
    Nothing,
    /// It will be sent whole.
    Whole,
    /// It will be sent as a delta against what stands at the path: a signature is asked for.
    Delta,
    /// The hub has it at this path.
    Yours(RelPath),
    /// It is the content of an earlier operation, by number.
    SameAs(u32),
    /// It will be sent from a place on, or before anybody asked for it (feature `ahead`).
    Sent {
        /// Bytes at its start that the hub told to have, see [`Control::Remains`].
        skip_bytes: u64,
        /// In which form.
        form: Form,
    },
}

/// In which form content is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// Whole.
    Whole,
    /// As a delta against what stands at the path: a signature is asked for.
    Delta,
    /// As a delta against what stands at the path, whose signature the client has kept: none is asked for.
    Ahead,
}

/// One change of the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Op {
    /// Where.
    pub path: RelPath,
    /// What must stand there.
    pub old: Option<Node>,
    /// What will stand there.
    pub new: Option<Node>,
    /// Where its content comes from.
    pub source: OpSource,
}

impl Weight for Op {
    fn text_bytes(&self) -> usize {
        let from = match &self.source {
            OpSource::Yours(from) => from.text_bytes(),
            _ => 0,
        };
        self.path.text_bytes() + self.old.text_bytes() + self.new.text_bytes() + from
    }
}

/// Why a peer ends what was asked, in a form that picks the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// Something failed.
    Failed,
    /// Wrong path, wrong option, not allowed.
    Usage,
    /// A brake: another root than last time.
    Guard,
    /// No common protocol.
    Version,
    /// Damaged content or state.
    Integrity,
    /// Another sync holds the lock, or files changed meanwhile.
    Busy,
    /// Something failed when the tree was being changed, or had been: what became of it is found out by the next run.
    Unfinished,
}

impl RefusalKind {
    /// Whether nothing of what is refused for this was done, whenever the client hears of it.
    #[must_use]
    pub fn is_before_any_change(self) -> bool {
        self != Self::Unfinished
    }
}

/// Why a peer ends what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What sort.
    pub kind: RefusalKind,
    /// What happened, on what.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// What the hub did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitReport {
    /// Id of the root: a first push may have made it.
    pub root_id: String,
    /// Id of the transaction.
    pub transaction: String,
    /// Generation of the tree now.
    pub generation: u64,
    /// Digest of the view now.
    pub view: Digest,
    /// Digest of the tombstones now.
    pub tombstones: Digest,
    /// Snapshot that undoes it.
    pub snapshot: Option<String>,
    /// Directories that stayed because something out of scope is inside.
    pub kept_dirs: Vec<RelPath>,
    /// Displaced files that a program went on writing to; their bytes are in the snapshot.
    pub late_writes: Vec<RelPath>,
}

/// A snapshot of the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotLine {
    /// Id.
    pub id: String,
    /// When it was made, in seconds since 1970.
    pub when_secs: i64,
    /// What made it.
    pub label: String,
    /// Paths it can bring back.
    pub changes: u64,
    /// Bytes it holds.
    pub bytes: u64,
}

/// The sync that a snapshot undoes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// `pull`, `push`, `rollback`, `restore`, `verify`.
    pub verb: String,
    /// The other side.
    pub peer: String,
    /// Name of the machine that asked for it, for people.
    pub machine: String,
    /// Id of the root that asked for it; empty if that is not known.
    pub root: String,
    /// When, in seconds since 1970.
    pub when_secs: i64,
}

/// Everything but data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Control {
    /// Nothing to say, still here. `[keep-alive]`
    KeepAlive,
    /// Client: the next part of the encoded exclude rules; an empty one ends them. `[rules]`
    Rules(Vec<u8>),
    /// Client: make what was chosen at Hello into a view, again. `[look]`
    Look,
    /// Server: a view begins. `[view]`
    View {
        /// How it is told.
        kind: ViewKind,
    },
    /// Server: entries of the view in ascending order; `None` is gone. `[entries]`
    Entries(#[serde(deserialize_with = "bounded::list")] Vec<(RelPath, Option<Node>)>),
    /// Server: all tombstones, where they are not those the client saw. `[tombstones]`
    Tombstones(#[serde(deserialize_with = "bounded::list")] Vec<(RelPath, Tombstone)>),
    /// Server: what was left alone. `[problems]`
    Problems(#[serde(deserialize_with = "bounded::list")] Vec<Problem>),
    /// Server: the view is complete. `[view-end]`
    ViewEnd {
        /// Its generation.
        generation: u64,
        /// Its digest.
        view: Digest,
        /// Digest of the tombstones.
        tombstones: Digest,
        /// Whether tombstones were sent.
        new_tombstones: bool,
    },
    /// Receiver: files it asks for. `[want]`
    Want(#[serde(deserialize_with = "bounded::list")] Vec<Want>),
    /// Receiver: the signature of what it has for an item begins. `[signature]`
    Signature {
        /// Number of the item.
        id: u32,
        /// Length of the basis in bytes.
        basis_bytes: u64,
        /// Length of a block in bytes.
        block_bytes: u32,
        /// Bytes of strong hash per block.
        strong_bytes: u8,
        /// Key of both hashes, fresh for each file.
        key: [u8; 32],
    },
    /// Receiver: the signature in progress is complete. `[signature-end]`
    SignatureEnd,
    /// Client: operations, in order. `[ops]`
    Ops(#[serde(deserialize_with = "bounded::list")] Vec<Op>),
    /// Client: the operations are complete. `[ops-end]`
    OpsEnd {
        /// Digest of all of them.
        plan: Digest,
    },
    /// Sender: the content of an item begins. `[start]`
    Start {
        /// Number of the item.
        id: u32,
    },
    /// Sender: the next bytes of the item in progress are in the receiver's basis. `[copy]`
    Copy {
        /// Where they start in the basis.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// Sender: the item in progress is complete. `[end]`
    End,
    /// Sender: an item cannot be sent as planned. `[changed]`
    Changed {
        /// Number of the item.
        id: u32,
        /// Why, for people.
        why: String,
    },
    /// Receiver: these items did not verify; send them whole. `[resend]`
    Resend(Vec<u32>),
    /// Client: all is sent; commit the plan with this digest. `[commit]`
    Commit {
        /// Digest of the operations.
        plan: Digest,
        /// Whether displaced content is kept.
        snapshot: bool,
        /// Words for the log.
        label: String,
    },
    /// Server: committed and durable. `[committed]`
    Committed(CommitReport),
    /// Server: these paths are not as the plan believes; nothing was changed. `[stale]`
    Stale(Vec<RelPath>),
    /// Client: list the snapshots. `[list-snapshots]`
    ListSnapshots,
    /// Server: the snapshots, newest first. `[snapshots]`
    Snapshots(Vec<SnapshotLine>),
    /// Client: what would undoing this snapshot (the newest if none is named) do? `[plan-rollback]`
    PlanRollback {
        /// Id of the snapshot.
        id: Option<String>,
    },
    /// Server: it would do this. `[rollback-plan]`
    RollbackPlan {
        /// Id of the snapshot.
        id: String,
        /// The changes: path, what is there, what will be there.
        #[serde(deserialize_with = "bounded::list")]
        ops: Vec<Op>,
        /// Whether more follow.
        more: bool,
    },
    /// Client: do it. `[rollback]`
    Rollback {
        /// Id of the snapshot.
        id: String,
        /// Words for the log.
        label: String,
    },
    /// Client: who synced last? `[list-machines]`
    ListMachines,
    /// Server: machines and when they were last here, in seconds since 1970. `[machines]`
    Machines(Vec<(String, i64)>),
    /// Either: this is the end, and why. `[refused]`
    Refused(Refusal),
    /// Client: done; this is what it holds now. `[bye]`
    Bye,
    /// Server: what it has of contents that an interrupted push began, in bytes from their start; within a view
    /// (feature `ahead`). `[remains]`
    Remains(#[serde(deserialize_with = "bounded::list")] Vec<(Digest, u64)>),
    /// Server: so many paths that the next answer should name do not fit it (feature `unnamed`). `[unnamed]`
    Unnamed(u64),
    /// Server: contents whose signatures it has kept; within a view (feature `kept`). `[kept]`
    Kept(#[serde(deserialize_with = "bounded::list")] Vec<Digest>),
    /// Receiver: what it has of items that it will ask for as deltas, of which the sender has kept the signatures: none
    /// follows (feature `kept`). `[bases]`
    Bases(#[serde(deserialize_with = "bounded::list")] Vec<(u32, Digest)>),
    /// Either: so many bytes of chunks have been read in all (feature `arrived`). `[arrived]`
    Arrived(u64),
    /// Server: directories that a rollback would remove and that stay for what is inside; before its plan (feature
    /// `staying`). `[staying]`
    Staying(#[serde(deserialize_with = "bounded::list")] Vec<RelPath>),
    /// Server: what people should know beside the next answer (feature `notes`). `[notes]`
    Notes(#[serde(deserialize_with = "bounded::list")] Vec<String>),
    /// Server: whose sync a rollback would undo; before its plan (feature `origin`). `[origin]`
    Origin(Origin),
    /// Client: which files of the tree do programs use, and which databases are there with others beside them (feature
    /// `users`)? `[ask-users]`
    AskUsers,
    /// Server: these; an empty list ends them (feature `users`). `[users]`
    Users(#[serde(deserialize_with = "bounded::list")] Vec<Usage>),
}

impl Message {
    /// Its name in `docs/protocol.md`, for error messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Whole { .. } => "whole",
            Self::Data(_) => "data",
            Self::SignatureData(_) => "signature-data",
            Self::Control(control) => control.name(),
        }
    }
}

impl Control {
    /// Its name in `docs/protocol.md`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::Rules(_) => "rules",
            Self::Look => "look",
            Self::View { .. } => "view",
            Self::Entries(_) => "entries",
            Self::Tombstones(_) => "tombstones",
            Self::Problems(_) => "problems",
            Self::ViewEnd { .. } => "view-end",
            Self::Want(_) => "want",
            Self::Signature { .. } => "signature",
            Self::SignatureEnd => "signature-end",
            Self::Ops(_) => "ops",
            Self::OpsEnd { .. } => "ops-end",
            Self::Start { .. } => "start",
            Self::Copy { .. } => "copy",
            Self::End => "end",
            Self::Changed { .. } => "changed",
            Self::Resend(_) => "resend",
            Self::Commit { .. } => "commit",
            Self::Committed(_) => "committed",
            Self::Stale(_) => "stale",
            Self::ListSnapshots => "list-snapshots",
            Self::Snapshots(_) => "snapshots",
            Self::PlanRollback { .. } => "plan-rollback",
            Self::RollbackPlan { .. } => "rollback-plan",
            Self::Rollback { .. } => "rollback",
            Self::ListMachines => "list-machines",
            Self::Machines(_) => "machines",
            Self::Refused(_) => "refused",
            Self::Bye => "bye",
            Self::Remains(_) => "remains",
            Self::Unnamed(_) => "unnamed",
            Self::Kept(_) => "kept",
            Self::Bases(_) => "bases",
            Self::Arrived(_) => "arrived",
            Self::Staying(_) => "staying",
            Self::Notes(_) => "notes",
            Self::Origin(_) => "origin",
            Self::AskUsers => "ask-users",
            Self::Users(_) => "users",
        }
    }
}

impl From<Control> for Message {
    fn from(control: Control) -> Self {
        Self::Control(control)
    }
}
