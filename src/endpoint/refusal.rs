//! Why a hub does not carry out what it was asked, in words for the client.

use super::PeerError;
use super::local::{IN_STATE_HINT, LocalError};
use crate::disk::{DiskError, LockError};
use crate::protocol::ProtocolError;
use crate::protocol::handshake::ProtocolRange;
use crate::protocol::message::{Refusal, RefusalKind};
use crate::scan::ScanError;
use crate::state::StateError;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Local(#[from] LocalError),
    #[error("{}", .0.message)]
    Refused(Refusal),
}

impl ServeError {
    pub(super) fn refused(
        kind: RefusalKind,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Refused(Refusal {
            kind,
            message: message.into(),
            hint: hint.into(),
        })
    }

    /// What the client is told; nothing if it is the client that is gone.
    pub(super) fn as_refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal.clone()),
            Self::Local(error) => Some(local_refusal(error)),
            Self::Peer(PeerError::Protocol(error)) => {
                let message = format!("the hub did not understand this machine: {error}");
                let hint = "use the same version of rsyn on both sides".to_owned();
                Some(Refusal {
                    kind: RefusalKind::Failed,
                    message,
                    hint,
                })
            }
            Self::Peer(_) => None,
        }
    }
}

fn local_refusal(error: &LocalError) -> Refusal {
    let (kind, hint) = match error {
        LocalError::Lock(LockError::Held(_)) => (RefusalKind::Busy, "try again when it is done"),
        LocalError::Disk(e) if e.is_in_state() => (RefusalKind::Usage, IN_STATE_HINT),
        LocalError::State(StateError::Disk(e))
        | LocalError::Disk(e)
        | LocalError::Lock(LockError::Disk(e))
        | LocalError::Scan(ScanError::Disk(e)) => (RefusalKind::Failed, disk_hint(e)),
        LocalError::State(_) => (RefusalKind::Integrity, "look at .rsyn/ on the hub"),
        LocalError::Scan(ScanError::Rules(_)) => (
            RefusalKind::Usage,
            "write fewer rules, or simpler ones: what costs is `**` and several `*` in one pattern",
        ),
        LocalError::Scan(_) => (RefusalKind::Failed, "run it again"),
        LocalError::Recover(e) => match e.disk_cause() {
            Some(e) => (RefusalKind::Failed, disk_hint(e)),
            None => (RefusalKind::Integrity, "run `rsyn recover` on the hub"),
        },
    };
    Refusal {
        kind,
        message: format!("on the hub: {error}"),
        hint: hint.to_owned(),
    }
}

/// What to do about a call that failed on the hub.
pub(super) fn disk_hint(error: &DiskError) -> &'static str {
    if error.is_full() {
        "make room on the hub's disk, then run it again"
    } else if error.is_unfit() {
        "the hub's file system cannot hold it, and no further run will do: exclude or rename it"
    } else if error.is_exhausted() {
        "let rsyn on the hub have more open files (`ulimit -n`) or memory, then run it again"
    } else {
        "look at that path on the hub"
    }
}

/// The two ends, each with the version of its rsyn and the protocols that it speaks, have none in common.
pub(super) fn no_common_protocol(
    (client, theirs): (&str, ProtocolRange),
    (hub, ours): (&str, ProtocolRange),
) -> Refusal {
    let message = format!(
        "no common protocol: this machine (rsyn {client}) speaks {} to {}, the hub (rsyn {hub}) {} to {}",
        theirs.min, theirs.max, ours.min, ours.max
    );
    let hint = "install the same version of rsyn on both sides; `rsyn setup --install` does it";
    Refusal {
        kind: RefusalKind::Version,
        message,
        hint: hint.to_owned(),
    }
}

/// What a client said that makes no sense where it came.
pub(super) fn malformed(what: &'static str) -> PeerError {
    ProtocolError::Malformed { what }.into()
}
