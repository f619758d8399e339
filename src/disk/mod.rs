//! The one door to the disk: the only user of `std::fs` and `rustix::fs`.
//!
//! A [`Root`] is an opened directory; everything below it is reached through [`Dir`] handles, one
//! component at a time or by one kernel-checked path, never through a symbolic link and never onto
//! another file system. Every call that changes something takes a handle and one name, so that a
//! directory swapped by another program cannot redirect it.
//! Left to others: what the files mean, plans, filters, the layout of `.rsyn/`.

pub mod asked;
pub mod digest;
mod dir;
pub mod durable;
mod error;
pub(crate) mod fault;
mod file;
mod group;
mod list;
pub mod lock;
mod mode;
mod mounts;
mod nameless;
pub mod private_dir;
mod real_path;
mod root;
mod site;
pub mod space;
mod stat;
mod state_dir;
pub mod threads;
pub mod umask;
mod users;

pub use dir::Dir;
pub use error::DiskError;
pub use file::{NewFile, read_some};
pub use group::Group;
pub use list::Listed;
pub use lock::{Activity, Holder, Lock, LockError};
pub use real_path::{ancestry, kernel_id, read_program, real_path};
pub use root::Root;
pub use site::{Site, Vacancy};
pub use space::Space;
pub use stat::{FileKind, Identity, Stat};
pub use users::{Use, User, lasting_users, users};

/// What every call of this room returns.
pub type Result<T, E = DiskError> = std::result::Result<T, E>;
