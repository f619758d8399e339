//! What can be wrong with rules so that none of them is used.

use super::rule::Origin;
use super::rules::MAX_RULES;
use super::wire::MAX_WIRE_BYTES;

/// Why a rule file or an option is refused. The rules read before stay as they were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// `+ ` or `- ` with no pattern after it.
    #[error(
        "cannot use the rules of {0}: a sign with no pattern after it; add the pattern or remove the line"
    )]
    SignAlone(Origin),
    /// More than [`MAX_RULES`] rules.
    #[error(
        "cannot use the rules of {0}: it is the rule that makes them more than {MAX_RULES}; \
             replace lists of names by patterns"
    )]
    TooManyRules(Origin),
    /// More than [`MAX_WIRE_BYTES`] bytes in all rules together.
    #[error(
        "cannot use the rules of {0}: with this rule they take more than {MAX_WIRE_BYTES} bytes; \
             replace lists of names by patterns"
    )]
    TooManyBytes(Origin),
}

/// Why bytes from the other side are not a list of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// More than [`MAX_WIRE_BYTES`] bytes or [`MAX_RULES`] rules.
    #[error("a list of filter rules is too long")]
    TooLong,
    /// The bytes end too early, go on too long, or are no such list.
    #[error("a list of filter rules is malformed")]
    Malformed,
    /// A pattern that no file can hold: empty, over-long, or with a NUL.
    #[error("a list of filter rules has an impossible pattern")]
    Pattern,
}
