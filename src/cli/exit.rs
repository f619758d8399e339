//! Exit codes: a contract (`docs/cli.md`).

use crate::ops::FailureKind;

/// Done, or nothing to do.
pub(super) const DONE: u8 = 0;
/// `status --check` found a difference; `list` and `why` say no.
pub(super) const NO: u8 = 1;

/// The exit code of a failure.
#[must_use]
pub(super) fn code(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::Failed => 1,
        FailureKind::Usage => 2,
        FailureKind::Conflict => 3,
        FailureKind::Guard => 4,
        FailureKind::Unreachable => 5,
        FailureKind::Integrity => 6,
        FailureKind::Busy => 7,
        FailureKind::Interrupted => 130,
    }
}
