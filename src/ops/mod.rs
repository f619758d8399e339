//! The verbs: each plans, does, and returns what happened. They print nothing and ask through [`Talk`].

pub mod connect;
pub mod failure;
pub mod project;
pub mod sync;
pub mod talk;

pub use failure::{Failure, FailureKind};
pub use project::Project;
pub use talk::Talk;
