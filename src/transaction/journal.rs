//! The plan of a transaction as a file: what stood where, what shall stand there, in which order.
//!
//! Written and synced before the first move; the only thing that recovery and rollback need to know.
//! Layout, integers little-endian:
//! ```text
//! [plan-magic] "rsynplan"  [plan-version] u32 = 4
//! [plan-head-len] u32  head (postcard)  [plan-head-digest] BLAKE3 of all before
//! [plan-body-len] u64  body (postcard)  [plan-digest]      BLAKE3 of all before
//! ```
//! The head has a digest of its own, so that listing snapshots reads some hundred bytes of each.

use std::fmt;
use std::io::Read;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::disk::{Dir, DiskError, Identity, Result, Stat, durable};
use crate::model::encoding::{append, encode};
use crate::model::{Digest, Node, RelPath};

use super::Label;

/// The journal.
pub(super) const PLAN: &[u8] = b"plan";
/// Marker: the plan is complete, moves may have begun.
pub(super) const PREPARED: &[u8] = b"PREPARED";
/// Marker: decided, the new tree stays.
pub(super) const COMMITTED: &[u8] = b"COMMITTED";
/// Staged objects; after exchanges, what they displaced.
pub(super) const NEW: &[u8] = b"new";
/// Displaced objects.
pub(super) const OLD: &[u8] = b"old";

const MAGIC: &[u8; 8] = b"rsynplan";
const VERSION: u32 = 4;
/// Whose plans lack some of the actions and the root that asked.
const OLDEST_VERSION: u32 = 1;
const MAX_HEAD_BYTES: u64 = 64 * 1024;
/// 16 million changes of 256 bytes.
const MAX_PLAN_BYTES: u64 = 4 << 30;
const MAX_MARKER_BYTES: u64 = 64 << 20;
const FIXED_BYTES: usize = 8 + 4 + 4;
const DIGEST_BYTES: usize = 32;

/// Names a transaction, and the snapshot that it leaves: 16 hexadecimal digits, random.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TxnId(String);

impl TxnId {
    pub(super) fn random() -> Result<Self> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|e| {
            DiskError::new(
                "name",
                b"a transaction".to_vec(),
                std::io::Error::other(e.to_string()),
            )
        })?;
        Ok(Self(format!("{:016x}", u64::from_le_bytes(bytes))))
    }

    /// Takes 16 lower-case hexadecimal digits; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let valid = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 16 && text.bytes().all(valid)).then(|| Self(text.to_owned()))
    }

    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        Self::parse(std::str::from_utf8(name).ok()?)
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn name(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TxnId {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a transaction id")
    }
}

impl From<TxnId> for String {
    fn from(id: TxnId) -> Self {
        id.0
    }
}

/// What is known of a transaction without reading all of its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) id: TxnId,
    /// Grows from transaction to transaction of one root: their order, whatever the clock says.
    pub(super) seq: u64,
    pub(super) label: Label,
    pub(super) changes: u64,
    /// Bytes of the files that are displaced.
    pub(super) displaced_bytes: u64,
    /// Whether the displaced objects are kept as a snapshot.
    pub(super) keep: bool,
    /// The snapshot whose content this transaction puts back, and which ends with it.
    pub(super) consumes: Option<TxnId>,
    /// [`Label::root`]. Since version 4.
    pub(super) root: String,
}

/// The first version whose heads end with [`Head::root`].
const WITH_ROOT: u32 = 4;

/// Everything that undoing, finishing and inverting need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) head: Head,
    pub(super) body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Body {
    /// In the order of their paths.
    pub(super) changes: Vec<Planned>,
    /// In the order in which they are done.
    pub(super) steps: Vec<Step>,
    /// Given to the writer of the base.
    pub(super) payload: Vec<u8>,
}

/// One path: before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Planned {
    pub(super) path: RelPath,
    /// Of what comes new there is none, and most is: it takes no room then.
    pub(super) before: Option<Box<Before>>,
    pub(super) after: Option<After>,
}

/// What stood there, as seen under the lock right before the plan was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    pub(super) node: Node,
    pub(super) stat: Stat,
}

/// What shall stand there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct After {
    pub(super) node: Node,
    /// `None` if the object stays and only gets other permission bits.
    pub(super) staged: Option<Staged>,
}

/// An object in `new/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Staged {
    pub(super) slot: u32,
    /// All twelve permission bits it was staged with; a directory is staged open for its owner.
    pub(super) bits: u16,
    pub(super) identity: Identity,
}

/// One move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    /// Index into the changes.
    pub(super) change: u32,
    pub(super) action: Action,
}

/// How a path gets from before to after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Action {
    /// Nothing stood there: the staged object is moved in.
    Place,
    /// The staged object and the old one swap their names; the old one is then in `new/`.
    Exchange,
    /// The old object is moved to `old/`.
    Displace,
    /// The object that is there at this moment gets other permission bits.
    Mode {
        /// All twelve bits before.
        from: u16,
        /// All twelve bits after.
        to: u16,
    },
    /// The staged object waits inside its new directory, and comes with it. Since version 2.
    Carried,
    /// The staged object is a second name of the file that goes with the change `from`. Since version 3.
    Rename {
        /// Index into the changes.
        from: u32,
    },
}

impl Plan {
    /// The change of a step; `None` only if the plan is damaged in a way its digest does not show.
    pub(super) fn change(&self, step: &Step) -> Option<&Planned> {
        self.body.changes.get(step.change as usize)
    }

    /// Takes every object for one of the file system `dev`.
    pub(super) fn on_device(mut self, dev: u64) -> Self {
        for change in &mut self.body.changes {
            if let Some(before) = &mut change.before {
                before.stat.dev = dev;
            }
            if let Some(staged) = change.after.as_mut().and_then(|a| a.staged.as_mut()) {
                staged.identity.dev = dev;
            }
        }
        self
    }
}

/// Name in `new/` of a staged object. That of a file tells its digest, so that an interrupted transfer
/// can be taken up again.
pub(super) fn new_name(slot: u32, node: &Node) -> Vec<u8> {
    match node {
        Node::File { digest, .. } => format!("{slot}-{digest}").into_bytes(),
        _ => slot.to_string().into_bytes(),
    }
}

/// Name in `old/` of what the change with this index displaced.
pub(super) fn old_name(change: u32) -> Vec<u8> {
    change.to_string().into_bytes()
}

/// Why a stored file of a transaction cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// Some byte is not what was written.
    #[error("{} is damaged: {what}", .path.escape_ascii())]
    Bytes {
        /// Which file.
        path: Vec<u8>,
        /// What does not fit.
        what: &'static str,
    },
    /// Written by a newer version.
    #[error("{} has version {version}, this rsyn knows {VERSION}", .path.escape_ascii())]
    Version {
        /// Which file.
        path: Vec<u8>,
        /// Its version.
        version: u32,
    },
    /// It cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Writes the plan into the directory of its transaction and syncs its content.
pub(super) fn write_plan(home: &Dir, plan: &Plan) -> Result<()> {
    let fail = |e: postcard::Error| home.error("write", PLAN, std::io::Error::other(e));
    let head = encode(&plan.head).map_err(fail)?;
    let mut bytes = Vec::new();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&head);
    seal(&mut bytes);
    // Its length comes before it, and is known when it is there.
    let length = bytes.len()..bytes.len() + 8;
    bytes.extend_from_slice(&[0; 8]);
    let mut bytes = append(bytes, &plan.body, DIGEST_BYTES).map_err(fail)?;
    let body = (bytes.len() - length.end) as u64;
    bytes[length].copy_from_slice(&body.to_le_bytes());
    seal(&mut bytes);
    durable::write_new(home, PLAN, &bytes)
}

/// Reads the whole plan. A file system can have another number after each mount; no move crosses one, so all objects
/// are on the one that holds the plan.
pub(super) fn read_plan(home: &Dir) -> Result<Plan, Damage> {
    let bytes = durable::read(home, PLAN, MAX_PLAN_BYTES)?;
    let path = [home.path(), PLAN].join(&b'/');
    Ok(parse_plan(&bytes.unwrap_or_default(), &path)?.on_device(home.dev()))
}

/// The head, or nothing if that snapshot is damaged.
///
/// # Errors
/// The system has no descriptor or memory left: the snapshot may be whole.
pub(super) fn read_head_if_whole(home: &Dir) -> Result<Option<Head>> {
    match read_head(home) {
        Ok(head) => Ok(Some(head)),
        Err(Damage::Disk(e)) if e.is_exhausted() => Err(e),
        Err(_) => Ok(None),
    }
}

/// Reads the head alone.
pub(super) fn read_head(home: &Dir) -> Result<Head, Damage> {
    let path = [home.path(), PLAN].join(&b'/');
    let (file, _) = home.open_file(PLAN)?;
    let mut bytes = Vec::new();
    let limit = FIXED_BYTES as u64 + MAX_HEAD_BYTES + DIGEST_BYTES as u64;
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|e| home.error("read", PLAN, e))?;
    Ok(parse_head(&bytes, &path)?.0)
}

/// Read: [plan-magic], [plan-version], [plan-head-len], [plan-head-digest]. Also returns the length.
fn parse_head(bytes: &[u8], path: &[u8]) -> Result<(Head, usize), Damage> {
    let damaged = |what| Damage::Bytes {
        path: path.to_vec(),
        what,
    };
    let (magic, rest) = bytes
        .split_first_chunk::<8>()
        .ok_or_else(|| damaged("too short"))?;
    let (version, rest) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| damaged("too short"))?;
    let (len, _) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| damaged("too short"))?;
    if magic != MAGIC {
        return Err(damaged("not a plan"));
    }
    let version = u32::from_le_bytes(*version);
    if !(OLDEST_VERSION..=VERSION).contains(&version) {
        return Err(Damage::Version {
            path: path.to_vec(),
            version,
        });
    }
    let end = FIXED_BYTES + u32::from_le_bytes(*len) as usize;
    let head = bytes
        .get(FIXED_BYTES..end)
        .ok_or_else(|| damaged("too short"))?;
    let end = check_seal(bytes, end).ok_or_else(|| damaged("wrong digest"))?;
    let head = decode_head(head, version).ok_or_else(|| damaged("no valid head"))?;
    Ok((head, end))
}

fn decode_head(bytes: &[u8], version: u32) -> Option<Head> {
    let mut head: Head = match version < WITH_ROOT {
        // The length of an empty text.
        true => decode(&[bytes, &[0]].concat())?,
        false => decode(bytes)?,
    };
    head.label.root.clone_from(&head.root);
    Some(head)
}

/// Read: [plan-body-len], [plan-digest].
fn parse_plan(bytes: &[u8], path: &[u8]) -> Result<Plan, Damage> {
    let damaged = |what| Damage::Bytes {
        path: path.to_vec(),
        what,
    };
    let (head, start) = parse_head(bytes, path)?;
    let (len, rest) = bytes[start..]
        .split_first_chunk::<8>()
        .ok_or_else(|| damaged("too short"))?;
    let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| damaged("too long"))?;
    let body = rest.get(..len).ok_or_else(|| damaged("too short"))?;
    match check_seal(bytes, start + 8 + len) {
        Some(end) if end == bytes.len() => {}
        _ => return Err(damaged("wrong digest")),
    }
    Ok(Plan {
        head,
        body: decode(body).ok_or_else(|| damaged("no valid body"))?,
    })
}

/// Writes the marker that decides: `kept` are the changes whose directory could not go.
pub(super) fn write_committed(home: &Dir, kept: &[u32]) -> Result<()> {
    let fail = |e: postcard::Error| home.error("write", COMMITTED, std::io::Error::other(e));
    let mut bytes = encode(kept).map_err(fail)?;
    seal(&mut bytes);
    durable::replace(home, COMMITTED, &bytes)
}

/// Reads the marker; `None` if the transaction is not decided.
pub(super) fn read_committed(home: &Dir) -> Result<Option<Vec<u32>>, Damage> {
    let Some(bytes) = durable::read(home, COMMITTED, MAX_MARKER_BYTES)? else {
        return Ok(None);
    };
    let path = [home.path(), COMMITTED].join(&b'/');
    let damaged = || Damage::Bytes {
        path: path.clone(),
        what: "wrong digest",
    };
    let end = bytes.len().checked_sub(DIGEST_BYTES).ok_or_else(damaged)?;
    check_seal(&bytes, end).ok_or_else(damaged)?;
    decode(&bytes[..end]).map(Some).ok_or_else(damaged)
}

fn seal(bytes: &mut Vec<u8>) {
    let digest = Digest::of(bytes);
    bytes.extend_from_slice(&digest.0);
}

/// The end of the digest at `at`, if it is that of all bytes before.
fn check_seal(bytes: &[u8], at: usize) -> Option<usize> {
    let end = at.checked_add(DIGEST_BYTES)?;
    (bytes.get(at..end)? == Digest::of(&bytes[..at]).0).then_some(end)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of_version(version: u32) -> Vec<u8> {
        let head = Head {
            id: TxnId("0123456789abcdef".to_owned()),
            seq: 7,
            label: Label::default(),
            changes: 0,
            displaced_bytes: 0,
            keep: true,
            consumes: None,
            root: "a root".to_owned(),
        };
        let body = Body {
            changes: vec![],
            steps: vec![],
            payload: b"base".to_vec(),
        };
        let [head, body] = [
            postcard::to_allocvec(&head).unwrap(),
            postcard::to_allocvec(&body).unwrap(),
        ];
        let own_bytes = if version < WITH_ROOT {
            head.len() - 7
        } else {
            head.len()
        };
        let head = &head[..own_bytes];
        let mut bytes = [&MAGIC[..], &version.to_le_bytes()].concat();
        bytes.extend(u32::try_from(head.len()).unwrap().to_le_bytes());
        bytes.extend(head);
        seal(&mut bytes);
        bytes.extend((body.len() as u64).to_le_bytes());
        bytes.extend(body);
        seal(&mut bytes);
        bytes
    }

    #[test]
    fn plans_of_older_versions_are_read_and_others_refused() {
        for version in [1, 2, 3, 4] {
            let plan = parse_plan(&plan_of_version(version), b"plan").unwrap();
            assert_eq!((plan.head.seq, &plan.body.payload[..]), (7, &b"base"[..]));
            let root = if version < WITH_ROOT { "" } else { "a root" };
            assert_eq!(plan.head.label.root, root);
        }
        for version in [0, 5] {
            let refused = parse_plan(&plan_of_version(version), b"plan");
            assert!(matches!(refused, Err(Damage::Version { version: v, .. }) if v == version));
        }
    }
}
