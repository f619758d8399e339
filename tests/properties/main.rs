//! Laws of the planner: over every combination of versions of a path and of a directory with a child, and by
//! random histories of two machines and a hub.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests may stop at a surprise and read their own settings"
)]

mod exhaustive;
mod histories;
mod world;
