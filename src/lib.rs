//! rsyn: one project on several machines, in step through a hub that holds the truth.

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod delta;
pub mod disk;
pub mod endpoint;
pub mod filter;
pub mod model;
pub mod ops;
pub mod plan;
pub mod protocol;
pub mod report;
pub mod scan;
pub mod state;
pub mod transaction;
pub mod transport;
