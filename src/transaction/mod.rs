//! Changes a tree as a whole or not at all, and takes it back.
//!
//! New content is staged and verified inside the state directory ([`Staging`]); [`commit`] then
//! writes a journal, moves every object into place by renames that displace nothing unseen, and
//! decides with one marker file. A crash before the marker is undone by [`recover()`], one after it is
//! finished. What was displaced stays as a snapshot, from which [`inverse`] makes an ordinary
//! transaction. `docs/safety.md`, sections 5 to 7, is the design.
//! Left to others: which changes to make, where their content comes from, what the base remembers.

mod age;
mod altered;
mod apply;
mod area;
mod carried;
mod check;
mod commit;
mod content;
mod crowded;
mod displaced;
mod error;
mod finish;
mod group;
mod in_use;
mod journal;
mod linked;
mod order;
mod partial;
mod place;
mod placed;
mod recover;
mod renamed;
mod restore;
mod rollback;
mod settle;
mod snapshot;
mod sparse_file;
mod stage;
mod staged_file;
mod stager;
#[cfg(test)]
mod tests;
mod undo;
mod work;
mod writing;

use serde::{Deserialize, Serialize};

use crate::disk::Stat;
use crate::model::{Node, RelPath};

pub use altered::{Left, Reason};
pub use area::{can_replace, has_full_guarantee, state_dir};
pub use commit::{Committed, Request, commit};
pub use error::{Attention, CommitError, Finish, StageError, Why};
pub use in_use::{InUse, Programs, database_of, is_database, leave_used, user_words};
pub use journal::{Damage, TxnId};
pub use partial::{PartialLimits, prune_partial, remains};
pub use recover::{PendingKind, Recovery, pending, recover};
pub use restore::{OldVersions, RestoreError, kept_content, old_versions};
pub use rollback::{Inverse, inverse};
pub use snapshot::{Kept, LateWrite, Pruned, SnapshotInfo, prune, snapshots};
pub use stage::Staging;
pub use staged_file::StagedFile;
pub use stager::Stager;

/// One path, and what shall stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub path: RelPath,
    /// What must stand there now; `None`: nothing. Of what comes new there is none, and it takes no room then.
    pub old: Option<Box<Expected>>,
    /// What shall stand there; `None`: nothing.
    pub new: Option<NewNode>,
}

/// A precondition: what the plan was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Kind, content, permission bits or target. The mtime is no part of it.
    pub node: Node,
    /// The `lstat` of the scan that read `node`. If it still holds, the content is not read again.
    pub seen: Option<Stat>,
}

impl Expected {
    /// What `node` says, as the scan that read it saw it.
    #[must_use]
    pub fn new(node: Node, seen: Option<Stat>) -> Box<Self> {
        Box::new(Self { node, seen })
    }
}

/// What shall stand at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNode {
    /// Kind, content, permission bits, mtime, target.
    pub node: Node,
    /// The staged object; `None` if the object that is there only gets other permission bits.
    pub slot: Option<u32>,
}

/// Who made a transaction and what for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Label {
    /// `pull`, `push`, `rollback`.
    pub verb: String,
    /// The other side.
    pub peer: String,
    /// Name of the machine that asked for it, for people.
    pub machine: String,
    /// When, seconds since 1970.
    pub when: i64,
    /// Id of the root that asked for it; empty in plans of before version 4. It lies at the end of the head.
    #[serde(skip)]
    pub root: String,
}
