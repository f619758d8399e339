//! rsyn: one project on several machines, in step through a hub that holds the truth.

#![forbid(unsafe_code)]

pub mod delta;
pub mod disk;
pub mod model;
pub mod plan;
pub mod protocol;
pub mod scan;
pub mod state;
