//! The table of mounts: where none lies below a root, its entries need not be asked for theirs, which takes a dearer
//! call for each.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;

/// Whether something is mounted below the directory `top`, as far as this process can see; `true` where that is not
/// known.
#[cfg(target_os = "linux")]
#[expect(
    clippy::disallowed_methods,
    reason = "proc is the only place that tells; a number of ours is no path of a user"
)]
pub(super) fn lie_below(top: impl AsFd) -> bool {
    let itself = format!("/proc/self/fd/{}", top.as_fd().as_raw_fd());
    match (
        std::fs::read_link(itself),
        std::fs::read("/proc/self/mountinfo"),
    ) {
        (Ok(path), Ok(table)) => is_named_below(path.as_os_str().as_bytes(), &table),
        _ => true,
    }
}

/// Mounts of other systems are known by their device numbers alone.
#[cfg(not(target_os = "linux"))]
pub(super) fn lie_below(_: impl AsFd) -> bool {
    true
}

/// Whether `table`, in the form of `/proc/self/mountinfo` (proc_pid_mountinfo(5)), names a mount below `path`.
fn is_named_below(path: &[u8], table: &[u8]) -> bool {
    let Some(b'/') = path.first() else {
        return true;
    };
    let mut above = escaped(path);
    if !above.ends_with(b"/") {
        above.push(b'/');
    }
    let mut lines = table.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    lines.any(|line| match line.split(|b| *b == b' ').nth(4) {
        Some(point) => point.len() > above.len() && point.starts_with(&above),
        None => true,
    })
}

/// A path as the table writes it: blanks, line breaks and backslashes in octal.
fn escaped(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len() + 1);
    for byte in path {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => {
                out.extend_from_slice(format!("\\{byte:03o}").as_bytes());
            }
            _ => out.push(*byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 254:0 / / rw - ext4 /dev/vda rw\n\
        31 22 0:27 / /proc rw - proc proc rw\n\
        35 22 254:0 /x /srv/a\\040b/data rw - ext4 /dev/vda rw\n\
        36 22 0:30 / /srv/c rw - tmpfs tmpfs rw\n";

    #[test]
    fn a_mount_below_a_root_is_found_and_one_beside_or_above_it_is_not() {
        for root in ["/", "/srv", "/srv/a b"] {
            assert!(is_named_below(root.as_bytes(), TABLE), "{root}");
        }
        for root in ["/srv/a", "/srv/a b/data", "/srv/a b/dat", "/srv/c", "/home"] {
            assert!(!is_named_below(root.as_bytes(), TABLE), "{root}");
        }
    }

    #[test]
    fn what_cannot_be_told_counts_as_a_mount() {
        assert!(is_named_below(b"(unreachable)/srv", TABLE));
        assert!(is_named_below(b"/home", b"22 1\n"));
    }
}
