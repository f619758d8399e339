//! [`Tombstone`]: the memory that something was deleted on purpose, so that a stale copy elsewhere does
//! not bring it back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::entry::{Kind, Node};
use super::hash::Digest;
use super::path::RelPath;

/// What was deleted, by whom, when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Kind of what was deleted.
    pub kind: Kind,
    /// Digest of the content or link target; `None` for a directory.
    pub digest: Option<Digest>,
    /// Id of the root from which it was deleted: a name may be that of several machines. `"hub"` if it vanished on the
    /// hub itself.
    #[serde(deserialize_with = "machine")]
    pub machine: String,
    /// When, in seconds since 1970.
    pub when_secs: i64,
}

/// Longest name of a machine, in bytes.
const MAX_MACHINE_BYTES: usize = 4096;

fn machine<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let machine = String::deserialize(from)?;
    match machine.len() <= MAX_MACHINE_BYTES {
        true => Ok(machine),
        false => Err(serde::de::Error::custom(
            "the name of a machine is too long",
        )),
    }
}

impl Tombstone {
    /// Whether it was left by a deletion of exactly this content. Permission bits do not count.
    #[must_use]
    pub fn is_of(&self, node: &Node) -> bool {
        self.kind == node.kind() && self.digest == node.digest()
    }
}

/// Tombstones by path. A path has at most one: that of its last deletion.
pub type Tombstones = BTreeMap<RelPath, Tombstone>;
