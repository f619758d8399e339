//! The verbs: each plans, does, and returns what happened. They print nothing and ask through [`Talk`].

mod brakes;
pub mod clone;
pub mod connect;
pub mod diff;
mod execute;
pub mod failure;
mod history;
mod in_use;
mod install;
pub mod local;
mod locked_out;
pub mod look;
mod only;
pub mod project;
mod remembered;
pub mod restore;
pub mod setup;
mod skips;
pub mod status;
mod strangers;
pub mod sync;
mod taken;
pub mod talk;
pub mod trust;
pub mod undo;
pub mod verify;

#[cfg(test)]
mod tests;

pub use failure::{Failure, FailureKind};
pub use project::Project;
pub use talk::Talk;
