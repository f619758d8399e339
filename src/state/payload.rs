//! What is remembered once a transaction is decided. It lies in the journal, so that recovery can do it
//! again: each kind makes sure that a second time changes nothing.

use serde::{Deserialize, Serialize};

use super::undone::{Rollback, Undone};
use super::{Base, BaseUpdate, Hub, HubUpdate, Result, State, StateError};
use crate::model::encoding::encode;
use crate::model::{RelPath, Tombstone};

/// The memory that goes with a transaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Payload {
    /// A root that was written as a hub.
    Hub(HubUpdate),
    /// A root that was written by its own pull.
    Base(BaseUpdate),
    /// Nothing: the next sync finds out by itself.
    Nothing,
    /// A root that was rolled back by its own user.
    Rollback(Rollback),
    /// A hub that was rolled back on behalf of another root: tombstones of what that deleted.
    Deletions(Vec<(RelPath, Tombstone)>),
}

impl Payload {
    /// The bytes for the journal.
    ///
    /// # Errors
    /// [`StateError::Damaged`] if it cannot be encoded, which no payload of ours is.
    pub fn encode(&self) -> Result<Vec<u8>> {
        encode(self).map_err(|_| damaged())
    }

    /// Remembers what `bytes` say, for the transaction of this id.
    ///
    /// # Errors
    /// The bytes are damaged or the state cannot be written.
    pub fn apply(state: &State, transaction: &str, bytes: &[u8]) -> Result<()> {
        match postcard::from_bytes(bytes).map_err(|_| damaged())? {
            Self::Hub(update) => Hub::apply(state, transaction, update),
            Self::Base(update) => Base::apply(state, transaction, update),
            Self::Nothing => Ok(()),
            Self::Rollback(rollback) => Undone::apply(state, rollback),
            Self::Deletions(deleted) => Hub::bury_all(state, transaction, deleted),
        }
    }
}

fn damaged() -> StateError {
    StateError::Damaged {
        file: "txn/…/plan".to_owned(),
    }
}
