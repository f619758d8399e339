//! Opens a session: starts both directions, says hello without waiting for the hub, and tells why it did not
//! answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::PeerError;
use super::client::Client;
use super::connection::{self, Inbox, Interrupted, Outbox, SendOptions, Terms, Traffic, Writer};
use super::refusal::no_common_protocol;
use crate::filter::Rules;
use crate::protocol::handshake::{self, ClientHello, ProtocolRange, ServerHello};
use crate::protocol::limits;
use crate::protocol::message::Control;
use crate::transport::{Process, Stderr, Transport};

/// How long a process that does not answer may take to end, and to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A session that waits for the hub's Hello.
pub struct Opening {
    greeting: connection::Greeting<ServerHello>,
    outbox: Outbox,
    inbox: Inbox,
    writer: Writer,
    process: Process,
    stderr: Stderr,
    terms: Terms,
}

/// A session that did not start, with all that is known about why.
#[derive(Debug)]
pub struct NotOpened {
    /// What the stream said.
    pub error: PeerError,
    /// Exit code of the process at this end, if it ended.
    pub exit_code: Option<i32>,
    /// The last lines of its stderr.
    pub stderr: Vec<String>,
}

/// How a session is opened.
pub struct OpenOptions {
    /// How bytes are sent.
    pub send: SendOptions,
    /// How long the hub may be silent.
    pub timeout: Duration,
    /// Set when the user wants to stop.
    pub interrupted: Interrupted,
}

/// Sends the Hello, and the rules unless the hub has its own, without waiting for the hub.
///
/// # Errors
/// The Hello is too long (a root path of that length).
pub fn open(
    transport: Transport,
    hello: &ClientHello,
    rules: Option<&Rules>,
    options: OpenOptions,
) -> Result<Opening, PeerError> {
    let Transport {
        reader,
        mut writer,
        stderr,
        process,
        ..
    } = transport;
    let OpenOptions {
        send,
        timeout,
        interrupted,
    } = options;
    let terms = Terms::new(timeout, interrupted);
    let hello = handshake::encode_hello(hello)?;
    let (greeting, inbox) = connection::start_reader(reader, true, &terms);
    // A hub that is gone already says so on the reading side, with words.
    drop(writer.write_all(&hello).and_then(|()| writer.flush()));
    let (outbox, writer) = connection::start_writer(writer, send, &terms);
    if let Some(rules) = rules {
        for part in rules.encode().chunks(limits::DATA_BYTES) {
            drop(outbox.send(Control::Rules(part.to_vec())));
        }
        drop(outbox.send(Control::Rules(Vec::new())));
    }
    Ok(Opening {
        greeting,
        outbox,
        inbox,
        writer,
        process,
        stderr,
        terms,
    })
}

/// A hub that did not refuse another protocol by itself.
fn in_common(hello: ServerHello) -> Result<ServerHello, PeerError> {
    if hello.refusal.is_some() || ProtocolRange::OURS.common(hello.protocol).is_some() {
        return Ok(hello);
    }
    let client = (env!("CARGO_PKG_VERSION"), ProtocolRange::OURS);
    let hub = (hello.version.as_str(), hello.protocol);
    Err(PeerError::Refused(no_common_protocol(client, hub)))
}

impl Opening {
    /// Bytes on the wire so far, and from now on.
    #[must_use]
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.terms.traffic)
    }

    /// Waits for the hub's Hello.
    ///
    /// # Errors
    /// [`NotOpened`]: it did not come, or refuses.
    pub fn wait(self) -> Result<Client, NotOpened> {
        let Self {
            greeting,
            outbox,
            inbox,
            writer,
            mut process,
            stderr,
            terms,
        } = self;
        let step = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        let hello = loop {
            match greeting.wait(step).and_then(in_common) {
                Err(PeerError::Silent(_))
                    if terms.interrupted.load(std::sync::atomic::Ordering::Relaxed) =>
                {
                    break Err(PeerError::Interrupted);
                }
                Err(PeerError::Silent(_)) if waited < terms.timeout => waited += step,
                Err(PeerError::Silent(_)) => break Err(PeerError::Silent(waited)),
                other => break other,
            }
        };
        match hello {
            Ok(ServerHello {
                refusal: Some(refusal),
                ..
            }) => {
                // Its process ends once nobody speaks to it, and is waited for.
                drop(outbox);
                Err(NotOpened {
                    error: PeerError::Refused(refusal),
                    exit_code: None,
                    stderr: stderr.lines(),
                })
            }
            Ok(hello) => {
                terms.meet(&hello.features);
                Ok(Client {
                    outbox,
                    inbox,
                    writer,
                    process,
                    usages: Mutex::default(),
                    hello,
                    traffic: terms.traffic,
                })
            }
            Err(error) => {
                drop(outbox);
                if matches!(error, PeerError::Interrupted) {
                    process.kill();
                }
                let exit_code = process.wait(LAST_WORDS).flatten();
                Err(NotOpened {
                    error,
                    exit_code,
                    // What it said may still be on its way though it ended.
                    stderr: stderr.last_lines(LAST_WORDS),
                })
            }
        }
    }
}
