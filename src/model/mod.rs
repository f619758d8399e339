//! Words of the field as types that keep their own promises: a path, what stands there, a tree.
//!
//! Not here: the disk, the separator of an operating system, how a tree was scanned.

mod abilities;
pub mod database;
pub mod encoding;
pub mod entry;
mod folding;
pub mod hash;
mod overlay;
pub mod path;
pub mod tombstone;
pub mod tree;
pub mod tree_hasher;

pub use abilities::Abilities;
pub use entry::{Entry, Kind, Mode, Mtime, Node, Skip, total_bytes};
pub use folding::Folding;
pub use hash::Digest;
pub use overlay::Entries;
pub use path::{PathError, RelPath};
pub use tombstone::{Tombstone, Tombstones};
pub use tree::Tree;
