//! rsyn: one project on several machines, in step through a hub that holds the truth.

#![forbid(unsafe_code)]

pub mod disk;
pub mod model;
pub mod transaction;
