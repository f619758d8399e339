//! What `.rsyn/` remembers between two runs. `docs/state-format.md` is the specification.
//!
//! Every file is a [`sealed`] value: damage is found before anything is believed, and a damaged or missing
//! file behaves as an empty one. Writers here are idempotent, so recovery may repeat them.

pub mod base;
mod home;
pub mod hub;
pub mod index;
pub mod layout;
pub mod log;
mod packed;
mod packed_tree;
mod part;
mod past;
pub mod payload;
pub mod sealed;
pub mod signatures;
mod spelling;
pub mod undone;

pub use base::{Base, BaseUpdate};
pub use hub::{Hub, HubUpdate};
pub use index::{Index, Stamp};
pub use layout::{RootId, State};
pub use payload::Payload;
pub use signatures::KeptSignature;
pub use undone::Undone;

use crate::disk::DiskError;

/// Why state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It could not be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Its content is not what was written.
    #[error("the state file .rsyn/{file} is damaged")]
    Damaged {
        /// Name inside the state directory.
        file: String,
    },
    /// A later version of rsyn wrote it.
    #[error("the state file .rsyn/{file} has format {found}; this rsyn knows up to {known}")]
    Newer {
        /// Name inside the state directory.
        file: String,
        /// Format found.
        found: u32,
        /// Highest format known.
        known: u32,
    },
    /// The state directory is not one.
    #[error("{0}")]
    Layout(String),
}

/// Result of this module.
pub type Result<T> = std::result::Result<T, StateError>;
