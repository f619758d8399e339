//! [`Gathered`]: small messages that are handed to the writing thread together. Each handing over wakes it, and a tree of small
//! files is a message for each of them.

use super::PeerError;
use super::connection::Outbox;
use crate::protocol::message::Message;

/// So much is gathered, in bytes of content.
const ENOUGH_BYTES: usize = 64 * 1024;

/// Messages that wait for each other. They go out before any other message of the same thread: whoever sends one calls
/// [`Self::flush`] first, and before he waits for an answer.
#[derive(Default)]
pub(super) struct Gathered {
    messages: Vec<Message>,
    bytes: usize,
}

impl Gathered {
    /// Adds a message with `bytes` of content.
    ///
    /// # Errors
    /// As [`Outbox::send`].
    pub(super) fn add(
        &mut self,
        outbox: &Outbox,
        message: Message,
        bytes: usize,
    ) -> Result<(), PeerError> {
        self.messages.push(message);
        // An empty file is a message, too.
        self.bytes += bytes + 64;
        match self.bytes >= ENOUGH_BYTES {
            true => self.flush(outbox),
            false => Ok(()),
        }
    }

    /// Queues what waits.
    ///
    /// # Errors
    /// As [`Outbox::send`].
    pub(super) fn flush(&mut self, outbox: &Outbox) -> Result<(), PeerError> {
        self.bytes = 0;
        match self.messages.is_empty() {
            true => Ok(()),
            false => outbox.send_all(std::mem::take(&mut self.messages)),
        }
    }
}
