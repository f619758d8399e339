//! What is remembered once a transaction is decided. It lies in the journal, so that recovery can do it
//! again: each kind makes sure that a second time changes nothing.

use serde::{Deserialize, Serialize};

use super::{Base, BaseUpdate, Hub, HubUpdate, Result, State, StateError};
use crate::model::encoding::encode;

/// The memory that goes with a transaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Payload {
    /// A root that was written as a hub.
    Hub(HubUpdate),
    /// A root that was written by its own pull.
    Base(BaseUpdate),
    /// Nothing: the next sync finds out by itself.
    Nothing,
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
        }
    }
}

fn damaged() -> StateError {
    StateError::Damaged {
        file: "txn/…/plan".to_owned(),
    }
}
