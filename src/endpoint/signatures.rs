//! Puts a signature together as its parts arrive.

use super::PeerError;
use super::connection::{Inbox, unexpected};
use crate::delta::{Params, Signature};
use crate::protocol::message::{Control, Message};
use crate::protocol::{ProtocolError, limits};

/// What a signature says about itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// Length of the basis in bytes.
    pub(super) basis_bytes: u64,
    /// Length of a block in bytes.
    pub(super) block_bytes: u32,
    /// Bytes of strong hash per block.
    pub(super) strong_bytes: u8,
    /// Key of both hashes.
    pub(super) key: [u8; 32],
}

impl Head {
    fn params(&self) -> Result<Params, PeerError> {
        let params = Params {
            block_bytes: self.block_bytes,
            strong_bytes: self.strong_bytes,
            key: self.key,
        };
        match params.check(self.basis_bytes) {
            Ok(())
                if params.signature_bytes(self.basis_bytes) <= limits::SIGNATURE_BYTES as u64 =>
            {
                Ok(params)
            }
            _ => Err(malformed()),
        }
    }
}

/// Receives the rest of a signature that began with `head`.
///
/// # Errors
/// The connection broke, or the signature is not what its head says.
pub(super) fn receive(inbox: &Inbox, head: Head) -> Result<Signature, PeerError> {
    let mut part = Partial::new(head)?;
    loop {
        match inbox.receive()? {
            Message::SignatureData(bytes) => part.push(&bytes)?,
            Message::Control(Control::SignatureEnd) => return part.finish(),
            other => return Err(unexpected(&other, "signature-data")),
        }
    }
}

/// A signature of which some parts are here.
pub(super) struct Partial {
    head: Head,
    params: Params,
    encoded: Vec<u8>,
}

impl Partial {
    /// Begins one.
    ///
    /// # Errors
    /// No signature can have this head.
    pub(super) fn new(head: Head) -> Result<Self, PeerError> {
        Ok(Self {
            params: head.params()?,
            head,
            encoded: Vec::new(),
        })
    }

    /// Takes the next part.
    ///
    /// # Errors
    /// It is longer than its head says.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), PeerError> {
        let len = (self.encoded.len() + bytes.len()) as u64;
        if len > self.params.signature_bytes(self.head.basis_bytes) {
            return Err(malformed());
        }
        self.encoded.extend_from_slice(bytes);
        Ok(())
    }

    /// Makes it searchable.
    ///
    /// # Errors
    /// It is not what its head says.
    pub(super) fn finish(self) -> Result<Signature, PeerError> {
        Signature::parse(self.params, self.head.basis_bytes, self.encoded).map_err(|_| malformed())
    }
}

fn malformed() -> PeerError {
    ProtocolError::Malformed { what: "signature" }.into()
}
