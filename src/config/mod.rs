//! Text to settings, with errors that name file and line. Pure: the text comes as an argument.

pub mod remote;

pub use remote::{Host, Remote};
