//! The umask: which permission bits the system takes from what this process makes.

use rustix::fs::Mode;
use rustix::process::umask;

/// Lets the owner have what is asked for: what this process makes is its own to read and write, whatever it was started with.
pub fn keep_owner_bits() {
    let others = Mode::RWXG | Mode::RWXO;
    let before = umask(others);
    umask(before & others);
}
