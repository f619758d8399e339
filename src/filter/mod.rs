//! rsync's exclude patterns, to the byte: which entries belong to a synchronisation, and which rule says so.
//!
//! Pure: text and paths in, verdicts out. What it leaves to others: reading the file, walking the
//! tree (a walker asks [`Rules::verdict`] once per entry and does not enter what is excluded), and
//! what becomes of an excluded entry.
//!
//! The way of a rule: `lines` cuts a file into lines, `line` gives one line its meaning, `pattern`
//! says which part of a path is compared, `glob` and `bracket` compare it byte by byte, `rules`
//! keeps the order, `index` makes the first match quick to find. `warning` and `unreachable` name
//! lines that do something else than they seem to. `work` bounds what a list may cost. `wire` carries a list to the other side.
//!
//! Source of the behaviour: measurements of rsync 3.5.0, repeated by `tests/oracle`; the language is
//! told in `docs/filter-rules.md`.

mod bracket;
mod error;
mod example;
mod glob;
mod index;
mod line;
mod lines;
mod pattern;
mod rule;
mod rules;
mod unreachable;
mod warning;
mod wire;
mod work;

pub use error::{FilterError, WireError};
pub use example::EXAMPLE;
pub use line::MAX_PATTERN_BYTES;
pub use lines::FileStyle;
pub use rule::{Origin, Rule, Sign};
pub use rules::{Decision, MAX_RULES, Rules, Verdict};
pub use warning::{Warning, WarningKind};
pub use wire::MAX_WIRE_BYTES;
pub use work::Work;
