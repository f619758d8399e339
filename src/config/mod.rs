//! Text to settings, with errors that name file and line. Pure: texts come as arguments.

pub mod dotenv;
pub mod file;
pub mod nearest;
pub mod remote;
pub mod size;
pub mod words;

pub use file::{ConfigError, ConfigFile};
pub use remote::{Host, Remote};
