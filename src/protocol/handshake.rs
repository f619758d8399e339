//! The start of a session: the magic that ends a login shell's chatter, and the two Hellos.
//!
//! Hello is JSON, the one message that tolerates unknown fields, so that versions can meet.

use serde::{Deserialize, Serialize};

use super::{ProtocolError, limits};
use crate::model::{Abilities, Digest, Folding};

/// What the server prints first. `[magic]`
pub const MAGIC: &[u8; 5] = b"RSYN\0";
/// Lowest protocol this version speaks.
pub const PROTOCOL_MIN: u32 = 1;
/// Highest protocol this version speaks.
pub const PROTOCOL_MAX: u32 = 1;
/// Features by name; both sides use those that both know.
pub const FEATURES: &[&str] = &[
    "zstd",
    "generations",
    AHEAD,
    UNNAMED,
    KEPT,
    ARRIVED,
    STAYING,
    PARTS,
    NOTES,
    ORIGIN,
    USERS,
];
/// The feature of content that is sent before it is asked for, and from where an earlier attempt stopped.
pub const AHEAD: &str = "ahead";
/// The feature of answers that say how many paths they do not name.
pub const UNNAMED: &str = "unnamed";
/// The feature of ends that tell how much they have read, so that the other one need not run ahead of the link.
pub const ARRIVED: &str = "arrived";
/// Signatures that a hub keeps, so that a pull need not send its own.
pub const KEPT: &str = "kept";
/// Directories that a rollback would remove and that stay are told with its plan.
pub const STAYING: &str = "staying";
/// What people should know of what a hub did, or would do, beside what its answer has a place for.
pub const NOTES: &str = "notes";
/// Files that programs use are told when they are asked for.
pub const USERS: &str = "users";

/// Whose sync a rollback would undo is told with its plan.
pub const ORIGIN: &str = "origin";

/// A list of snapshots in as many messages as it needs; an empty one ends it.
pub const PARTS: &str = "parts";

/// A range of protocol versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolRange {
    /// Lowest.
    pub min: u32,
    /// Highest.
    pub max: u32,
}

impl ProtocolRange {
    /// What this version speaks.
    pub const OURS: Self = Self {
        min: PROTOCOL_MIN,
        max: PROTOCOL_MAX,
    };

    /// The highest version that both speak.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u32> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
    }
}

/// What the session is for. It decides what the server may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Look and report: nothing is written, not even a cache.
    Look,
    /// The hub is read.
    Pull,
    /// The hub is written.
    Push,
    /// Pull, then push.
    Sync,
    /// Undo on the hub, list its snapshots, read its log.
    Manage,
}

/// The hub's state as this machine saw it last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Generation of the hub's tree.
    pub generation: u64,
    /// Digest of its view. Equality is always by digest, never by the generation alone.
    #[serde(with = "hex_digest")]
    pub view: Digest,
    /// Digest of its tombstones.
    #[serde(with = "hex_digest")]
    pub tombstones: Digest,
}

/// The client's Hello. `[client-hello]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientHello {
    /// Protocol versions it speaks.
    pub protocol: ProtocolRange,
    /// Features it knows.
    #[serde(default)]
    pub features: Vec<String>,
    /// Version of rsyn, for people.
    #[serde(default)]
    pub version: String,
    /// Root on the hub: the bytes of its path, in hex.
    pub root: String,
    /// Id of the root this machine synced with last; none on first contact.
    #[serde(default)]
    pub expected_root_id: Option<String>,
    /// Random id of the client's own root.
    pub machine_id: String,
    /// Name of the machine, for people.
    #[serde(default)]
    pub machine: String,
    /// What the session is for.
    pub purpose: Purpose,
    /// Whether a push brings old content back (`verify --repair`): a rollback passes it over.
    #[serde(default)]
    pub repair: bool,
    /// Whether the hub applies its own exclude file (a clone) instead of the rules that follow.
    #[serde(default)]
    pub own_rules: bool,
    /// Whether file contents decide, whatever their stat says.
    #[serde(default)]
    pub checksum: bool,
    /// Whether the root may be made if it is not there yet (first contact).
    #[serde(default)]
    pub create_root: bool,
    /// The hub's state as seen last.
    #[serde(default)]
    pub seen: Option<Seen>,
    /// Most bytes per second that the hub may send; 0 is no limit.
    #[serde(default)]
    pub bytes_per_second: u64,
    /// Whether the hub shall compress what it sends.
    #[serde(default)]
    pub compress: bool,
    /// Where the client's root is, for a hub on the same machine.
    #[serde(default)]
    pub standing: Option<Standing>,
}

impl ClientHello {
    /// The id of the client's root, no longer than an id is.
    #[must_use]
    pub fn asking_root(&self) -> String {
        self.machine_id.chars().take(64).collect()
    }
}

/// Where a root is, as far as that can be compared under one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Names the running kernel.
    pub kernel: String,
    /// Device and inode of the root's directory and of those above it, itself first.
    pub above: Vec<(u64, u64)>,
}

/// The server's Hello. `[server-hello]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerHello {
    /// Protocol versions it speaks; the session uses the highest common one.
    pub protocol: ProtocolRange,
    /// Features both know.
    #[serde(default)]
    pub features: Vec<String>,
    /// Version of rsyn, for people.
    #[serde(default)]
    pub version: String,
    /// Id of the root; empty if it does not exist yet.
    #[serde(default)]
    pub root_id: String,
    /// Name of the machine, for people.
    #[serde(default)]
    pub machine: String,
    /// Operating system and processor, as in `linux-x86_64`.
    #[serde(default)]
    pub platform: String,
    /// Its clock, in milliseconds since 1970.
    #[serde(default)]
    pub clock_ms: i64,
    /// Whether the root exists.
    #[serde(default)]
    pub root_exists: bool,
    /// Permission bits of the root.
    #[serde(default)]
    pub root_mode: Option<u16>,
    /// Whether the root can be written.
    #[serde(default)]
    pub writable: bool,
    /// Whether names that differ only in case are two names there.
    #[serde(default = "yes")]
    pub case_sensitive: bool,
    /// Which names the disk there takes for one.
    #[serde(default)]
    pub folding: Folding,
    /// What the disk there can hold.
    #[serde(default)]
    pub holds: Abilities,
    /// Free bytes on its file system.
    #[serde(default)]
    pub free_bytes: u64,
    /// What it had to recover before it could start; for people.
    #[serde(default)]
    pub recovered: Option<String>,
    /// Whether an interrupted sync waits for recovery (a session that only looks does not recover).
    #[serde(default)]
    pub recovery_pending: bool,
    /// Why the session ends here.
    #[serde(default)]
    pub refusal: Option<super::message::Refusal>,
}

fn yes() -> bool {
    true
}

/// Encodes a Hello as `u32` little-endian length and JSON. `[hello-len]`
///
/// # Errors
/// [`ProtocolError::TooLong`] if it is above [`limits::HELLO_BYTES`] (a root path of that length).
pub fn encode_hello<T: Serialize>(hello: &T) -> Result<Vec<u8>, ProtocolError> {
    let json = serde_json::to_vec(hello).map_err(|_| ProtocolError::Malformed { what: "Hello" })?;
    let len = check_hello_len(json.len())?;
    let mut bytes = len.to_le_bytes().to_vec();
    bytes.extend_from_slice(&json);
    Ok(bytes)
}

/// Decodes the JSON of a Hello. Unknown fields are fine.
///
/// # Errors
/// [`ProtocolError::Malformed`] if it is no such JSON.
pub fn decode_hello<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, ProtocolError> {
    serde_json::from_slice(json).map_err(|_| ProtocolError::Malformed { what: "Hello" })
}

/// Checks the announced length of a Hello.
///
/// # Errors
/// [`ProtocolError::TooLong`] above [`limits::HELLO_BYTES`].
pub fn check_hello_len(len: usize) -> Result<u32, ProtocolError> {
    let limit = limits::HELLO_BYTES;
    let too_long = ProtocolError::TooLong {
        what: "a Hello",
        len: len as u64,
        limit: limit as u64,
    };
    if len > limit {
        return Err(too_long);
    }
    u32::try_from(len).map_err(|_| too_long)
}

/// Position right after the first magic in `bytes`, if it is there. What stands before is noise.
#[must_use]
pub fn find_magic(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(MAGIC.len())
        .position(|w| w == MAGIC)
        .map(|at| at + MAGIC.len())
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Hexadecimal digits as bytes; `None` for anything else.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok())
        .collect()
}

mod hex_digest {
    use super::Digest;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(digest: &Digest, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(digest)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(d)?;
        Digest::from_hex(&text).ok_or_else(|| D::Error::custom("not a digest"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_from_a_later_version_is_understood() {
        let json = br#"{"protocol":{"min":1,"max":9},"root":"2f","machine_id":"x","purpose":"pull",
            "new_thing":{"a":[1,2]}}"#;
        let hello: ClientHello = decode_hello(json).unwrap();
        assert_eq!(ProtocolRange::OURS.common(hello.protocol), Some(1));
        assert_eq!(hello.seen, None);
    }

    #[test]
    fn versions_without_overlap_have_nothing_in_common() {
        let later = ProtocolRange {
            min: PROTOCOL_MAX + 1,
            max: PROTOCOL_MAX + 3,
        };
        assert_eq!(ProtocolRange::OURS.common(later), None);
        assert_eq!(later.common(ProtocolRange::OURS), None);
    }

    #[test]
    fn the_magic_is_found_behind_any_noise() {
        let mut bytes = b"Welcome RSYN to host\n".to_vec();
        bytes.extend_from_slice(MAGIC);
        assert_eq!(find_magic(&bytes), Some(bytes.len()));
        assert_eq!(find_magic(b"RSYN"), None);
    }

    #[test]
    fn hex_goes_there_and_back() {
        assert_eq!(from_hex(&to_hex(b"/srv/\xff")), Some(b"/srv/\xff".to_vec()));
        assert_eq!(from_hex("0g"), None);
        assert_eq!(from_hex("abc"), None);
    }
}
