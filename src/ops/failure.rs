//! [`Failure`]: why a verb did not do what was asked, in the form that picks the exit code.

use std::fmt;

use crate::config::remote::without_passwords;
use crate::disk::{DiskError, LockError};
use crate::endpoint::PeerError;
use crate::endpoint::local::{IN_STATE_HINT, LocalError};
use crate::endpoint::receive::ReceiveError;
use crate::endpoint::transfer::TransferError;
use crate::protocol::ProtocolError;
use crate::protocol::message::{Refusal, RefusalKind};
use crate::scan::ScanError;
use crate::state::StateError;
use crate::transaction::{CommitError, Damage, StageError};

/// What sort of failure; `docs/cli.md` has the exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Something failed; the trees are as before.
    Failed,
    /// Bad usage or configuration.
    Usage,
    /// Conflicts that a policy leaves to the user.
    Conflict,
    /// A brake held.
    Guard,
    /// The hub could not be reached, or speaks no common protocol.
    Unreachable,
    /// Content did not verify, or stored state is damaged.
    Integrity,
    /// Another sync holds the lock, or files changed while the sync ran.
    Busy,
    /// The user interrupted.
    Interrupted,
}

impl FailureKind {
    /// The word of the JSON contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Conflict => "conflict",
            Self::Guard => "guard",
            Self::Unreachable => "unreachable",
            Self::Integrity => "integrity",
            Self::Busy => "busy",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Why a verb did not do what was asked.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What sort.
    pub kind: FailureKind,
    /// What was tried, on what, and what came of it.
    pub message: String,
    /// In which state the trees are; empty where that is plain.
    pub state: String,
    /// What to do now.
    pub hint: String,
}

/// The sentence for a run that touched nothing.
pub const UNCHANGED: &str = "nothing was changed";

/// The same for a sync whose first direction had been carried out.
pub const UNCHANGED_AFTER_PULL: &str = "the pull is done; the hub was not changed";

/// A failure after a pull that changed something was carried out: that is said.
pub(super) fn after_pull(failure: Failure) -> Failure {
    let state = match failure.state.as_str() {
        UNCHANGED | "" => UNCHANGED_AFTER_PULL.to_owned(),
        state => format!("the pull is done; {state}"),
    };
    Failure { state, ..failure }
}

/// What to do about rules that take too long.
const SIMPLER_RULES: &str =
    "write fewer rules, or simpler ones: what costs is `**` and several `*` in one pattern";
/// What to do where a file system cannot hold such an object at all.
pub const UNFIT: &str =
    "that file system cannot hold it, and no further run will do: exclude or rename it";
/// What to do where the system has no more of what a call needs.
const EXHAUSTED: &str =
    "let the process have more open files (`ulimit -n`) or memory, then run it again";

/// What to do about a file that a program uses.
pub(super) const CLOSE_IT: &str = "close it there, then run it again";

impl Failure {
    /// A failure that left everything as it was.
    pub fn new(kind: FailureKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            state: UNCHANGED.to_owned(),
            hint: hint.into(),
        }
    }

    /// Wrong usage or configuration.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            state: String::new(),
            ..Self::new(FailureKind::Usage, message, hint)
        }
    }

    /// The same failure with another hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: hint.into(),
            ..self
        }
    }

    /// Of a rollback on the hub that could not be noted here.
    pub(super) fn after_hub_took_back(error: StateError) -> Self {
        let hint = "look at the base (`.rsyn/peers`); until it is mended a pull brings the hub's versions here, and its \
            snapshot keeps yours";
        Self {
            state: "the push is undone on the hub; this machine has not noted it".to_owned(),
            ..Self::from(error)
        }
        .hint(hint)
    }

    /// The same failure of a run that had settled an interrupted one before; `words` say how.
    pub(super) fn after_recovery(self, words: Option<&String>) -> Self {
        let Some(words) = words else { return self };
        let state = match self.state.as_str() {
            UNCHANGED | "" => format!("{words}; nothing else was changed"),
            state => format!("{words}; {state}"),
        };
        Self { state, ..self }
    }

    /// The same failure without the passwords of remotes in its words.
    #[must_use]
    pub fn without_passwords(self) -> Self {
        let Self {
            kind,
            message,
            state,
            hint,
        } = self;
        let [message, state, hint] =
            [message, state, hint].map(|text| without_passwords(&text).into_owned());
        Self {
            kind,
            message,
            state,
            hint,
        }
    }

    /// The user interrupted.
    #[must_use]
    pub fn interrupted() -> Self {
        Self::new(FailureKind::Interrupted, "interrupted", "")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        if error.is_in_state() {
            return Self::usage(error.to_string(), IN_STATE_HINT);
        }
        let hint = if error.is_full() {
            "make room on that disk, then run it again"
        } else if error.is_unfit() {
            UNFIT
        } else if error.is_exhausted() {
            EXHAUSTED
        } else {
            "look at that path, then run it again"
        };
        Self::new(FailureKind::Failed, error.to_string(), hint)
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let (kind, hint) = match &error {
            StateError::Disk(e) if e.is_full() => (
                FailureKind::Failed,
                "make room on that disk, then run it again",
            ),
            StateError::Disk(_) => (FailureKind::Failed, "look at .rsyn/ and its permissions"),
            StateError::Damaged { .. } => (
                FailureKind::Integrity,
                "move that file away; rsyn then compares afresh and deletes nothing",
            ),
            StateError::Newer { .. } => {
                (FailureKind::Integrity, "use the newer rsyn that wrote it")
            }
            StateError::Layout(_) => (FailureKind::Failed, ""),
        };
        Self::new(kind, error.to_string(), hint)
    }
}

impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Interrupted => Self::interrupted(),
            ScanError::Rules(_) => Self::new(FailureKind::Usage, error.to_string(), SIMPLER_RULES),
            ScanError::Disk(ref e) if e.is_exhausted() => {
                Self::new(FailureKind::Failed, error.to_string(), EXHAUSTED)
            }
            other => Self::new(FailureKind::Failed, other.to_string(), ""),
        }
    }
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        match error {
            LocalError::Disk(e) => e.into(),
            LocalError::State(e) => e.into(),
            LocalError::Scan(e) => e.into(),
            LocalError::Lock(LockError::Disk(e)) => e.into(),
            LocalError::Lock(e) => Self::new(
                FailureKind::Busy,
                e.to_string(),
                "run it again when that is done",
            ),
            LocalError::Recover(e) => e.into(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal.kind {
            RefusalKind::Failed | RefusalKind::Unfinished => FailureKind::Failed,
            RefusalKind::Usage => FailureKind::Usage,
            RefusalKind::Guard => FailureKind::Guard,
            RefusalKind::Version => FailureKind::Unreachable,
            RefusalKind::Integrity => FailureKind::Integrity,
            RefusalKind::Busy => FailureKind::Busy,
        };
        Self::new(kind, refusal.message, refusal.hint)
    }
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Disk(e) => e.into(),
            other => Self::new(FailureKind::Integrity, other.to_string(), "run it again"),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        let message = error.to_string();
        match error {
            CommitError::Interrupted => Self::interrupted(),
            CommitError::Stale { .. } => Self::new(FailureKind::Busy, message, "run it again"),
            CommitError::InUse { .. } => Self::new(FailureKind::Busy, message, CLOSE_IT),
            CommitError::Stage(e) => e.into(),
            CommitError::Disk(e) => e.into(),
            CommitError::RecoveryPending => {
                Self::new(FailureKind::Busy, message, "run `rsyn recover`")
            }
            CommitError::Damaged(Damage::Disk(e)) => e.into(),
            CommitError::Damaged(_) => {
                Self::new(FailureKind::Integrity, message, "run `rsyn recover`")
            }
            CommitError::Attention { cause, attention } => {
                let lines: Vec<_> = attention.iter().map(ToString::to_string).collect();
                let failure = Self::from(*cause);
                Self {
                    state: format!("{UNCHANGED}, but: {}", lines.join("; ")),
                    ..failure
                }
            }
            CommitError::Unsettled { .. } => Self {
                kind: FailureKind::Failed,
                message,
                state: "some files are new and some old".to_owned(),
                hint: "run `rsyn recover` to get the old ones back".to_owned(),
            },
            CommitError::Unfinished { .. } => Self {
                kind: FailureKind::Failed,
                message,
                state: "the files are new".to_owned(),
                hint: "run `rsyn recover` to finish it".to_owned(),
            },
            _ => Self::new(FailureKind::Failed, message, ""),
        }
    }
}

impl From<PeerError> for Failure {
    fn from(error: PeerError) -> Self {
        let message = error.to_string();
        match error {
            PeerError::Interrupted => Self::interrupted(),
            PeerError::Refused(refusal) => refusal.into(),
            PeerError::Protocol(ProtocolError::TooLarge { .. }) => {
                let hint = "if the hub is to be trusted with it, give it more: `--max-tree 2GB`";
                Self::new(FailureKind::Guard, message, hint)
            }
            PeerError::Protocol(_) => {
                let hint = "use the same version of rsyn on both sides";
                Self::new(
                    FailureKind::Failed,
                    format!("the hub broke the protocol: {message}"),
                    hint,
                )
            }
            PeerError::Closed | PeerError::Silent(_) | PeerError::Noise(_) | PeerError::Io(_) => {
                Self::new(FailureKind::Unreachable, message, "run it again")
            }
        }
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        let message = error.to_string();
        match error {
            TransferError::Receive(ReceiveError::Peer(e)) => e.into(),
            TransferError::Receive(ReceiveError::Stage(e)) => e.into(),
            TransferError::Receive(ReceiveError::Disk(e)) => e.into(),
            TransferError::Unheard(PeerError::Refused(refusal))
                if refusal.kind.is_before_any_change() =>
            {
                PeerError::Refused(refusal).into()
            }
            TransferError::Unheard(e) => Self {
                state: "the hub was told to commit: the next run finds out what became of it"
                    .to_owned(),
                ..e.into()
            },
            TransferError::Changed { .. } => Self::new(
                FailureKind::Busy,
                message,
                "run it again when nothing writes there",
            ),
            TransferError::Integrity(_) => {
                let hint = "run it again with `-c` to read every file";
                Self::new(FailureKind::Integrity, message, hint)
            }
        }
    }
}
