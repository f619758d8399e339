//! What can go wrong in a transaction, and in which state it leaves the tree.

use std::fmt;

use crate::disk::DiskError;
use crate::model::{Digest, RelPath};

use super::in_use::InUse;
use super::journal::{Damage, TxnId};

/// Writes what both sides agreed on after a transaction was decided. Called with the id and the payload
/// given to `commit`; after a crash it is called again with the same, so it must be idempotent.
pub type Finish<'a> =
    &'a mut dyn FnMut(&TxnId, &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Why an object could not be staged. The tree was not touched.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The content is not what the plan says: it was damaged on its way, or its source changed.
    #[error("content of staged object {slot} does not verify: expected {expected}, got {got}")]
    Integrity {
        /// The object.
        slot: u32,
        /// Digest in the plan.
        expected: Digest,
        /// Digest of what was written.
        got: Digest,
    },
    /// More bytes than the plan says.
    #[error(
        "content of staged object {slot} is longer than the {expected_bytes} bytes of the plan"
    )]
    TooLong {
        /// The object.
        slot: u32,
        /// Length in the plan.
        expected_bytes: u64,
    },
    /// There is no such staged object, or there is one already.
    #[error("no staged object {0}")]
    NoObject(u32),
    /// The state directory cannot hold it.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Why a transaction has not (or not completely) taken place.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// These paths are not what the plan was made for. The tree is as it was before.
    #[error("{}", stale(.paths))]
    Stale {
        /// At least one.
        paths: Vec<RelPath>,
    },
    /// Programs use these files. The tree is as it was before.
    #[error("{}", in_use(.held))]
    InUse {
        /// At least one.
        held: Vec<InUse>,
    },
    /// The changes make no tree. Nothing was touched.
    #[error("cannot plan a change of {path:?}: {why}")]
    Invalid {
        /// The first one that does not fit.
        path: RelPath,
        /// What does not fit.
        why: &'static str,
    },
    /// The user asked to stop. The tree is as it was before.
    #[error("interrupted")]
    Interrupted,
    /// A staged object is missing or is not what the plan says. Nothing was touched.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// A call failed. The tree is as it was before.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The caller does not hold the lock alone. Nothing was touched.
    #[error("cannot change the tree without holding its lock alone")]
    NotLocked,
    /// An earlier transaction waits for recovery. Nothing was touched.
    #[error("an interrupted sync has to be recovered first")]
    RecoveryPending,
    /// Several transactions wait to be undone, which one lock cannot have let happen. Nothing was touched.
    #[error(
        "several interrupted syncs are found below .rsyn/txn, and rsyn cannot tell their order"
    )]
    Ambiguous,
    /// The stored plan or marker of a transaction is damaged. Nothing was touched.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The transaction was undone, and meanwhile somebody else changed these paths: their content was
    /// kept, and a person has to look.
    #[error("{cause}; {} path(s) changed meanwhile need your attention", .attention.len())]
    Attention {
        /// Why it was undone.
        cause: Box<Self>,
        /// What to look at; at least one.
        attention: Vec<Attention>,
    },
    /// The tree is partly old and partly new, because undoing failed, too. Recovery continues it.
    #[error("{cause}; and undoing it failed: {undo}")]
    Unsettled {
        /// Why it was to be undone.
        cause: Box<Self>,
        /// Why it could not be.
        undo: DiskError,
    },
    /// The tree is new and stays new, but what follows the decision failed. Recovery continues it.
    #[error("the files were changed, but the sync could not be finished: {cause}")]
    Unfinished {
        /// The transaction.
        id: TxnId,
        /// What failed.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CommitError {
    /// The failed call that it comes down to, if it does.
    #[must_use]
    pub fn disk_cause(&self) -> Option<&DiskError> {
        match self {
            Self::Disk(e) | Self::Stage(StageError::Disk(e)) | Self::Damaged(Damage::Disk(e)) => {
                Some(e)
            }
            Self::Attention { cause, .. } | Self::Unsettled { cause, .. } => cause.disk_cause(),
            _ => None,
        }
    }
}

/// Something that somebody else put in the way of an undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attention {
    /// The path of the transaction.
    pub path: RelPath,
    /// What happened.
    pub why: Why,
    /// The path, in the tree, at which the content that could not stay or return was put aside.
    pub copy: Option<RelPath>,
}

/// What happened to a path while a transaction was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Content of another program came out of the way; it was put aside.
    NewerKept,
    /// The old version could not return, because something new stands there; it was put aside.
    OldKept,
    /// Something new stands there and was left alone.
    LeftAlone,
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.why {
            Why::NewerKept => "was changed meanwhile; that version is",
            Why::OldKept => "was replaced meanwhile; the version before the sync is",
            Why::LeftAlone => "was changed meanwhile and was left as it is",
        };
        match &self.copy {
            Some(copy) => write!(f, "{:?} {what} {copy:?}", self.path),
            None => write!(f, "{:?} {what}", self.path),
        }
    }
}

fn stale(paths: &[RelPath]) -> String {
    match paths {
        [one] => format!("{one:?} changed since the plan was made"),
        [first, rest @ ..] => {
            format!(
                "{first:?} and {} more changed since the plan was made",
                rest.len()
            )
        }
        [] => "the tree changed since the plan was made".to_owned(),
    }
}

fn in_use(held: &[InUse]) -> String {
    match held {
        [one] => format!("{:?} is open in {}", one.path, one.user()),
        [first, rest @ ..] => {
            let more = rest.len();
            format!(
                "{:?} and {more} more are open in {}",
                first.path,
                first.user()
            )
        }
        [] => "a file is open in a program".to_owned(),
    }
}
