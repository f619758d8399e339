//! SQLite databases by what can be seen of them: the first bytes of their files, and the names of the files beside them.

use super::RelPath;

/// How a database begins.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// How a write-ahead log begins, but for its lowest bit.
const WAL_MAGIC: [u8; 4] = [0x37, 0x7f, 0x06, 0x82];
/// What follows the name of a database in the names of the files that belong to it.
const SIDECARS: [&str; 3] = ["-wal", "-shm", "-journal"];
/// The size of a database is a multiple of this many bytes.
const SECTOR_BYTES: u64 = 512;
/// Bytes that [`is_database`] and [`is_wal`] look at.
pub const HEAD_BYTES: usize = 16;

/// Whether a file that begins with `head` is a database.
#[must_use]
pub fn is_database(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Whether a file that begins with `head` is the write-ahead log of a database, which may be encrypted.
#[must_use]
pub fn is_wal(head: &[u8]) -> bool {
    match head {
        [a, b, c, d, ..] => [*a, *b, *c, d & !1] == WAL_MAGIC,
        _ => false,
    }
}

/// Whether a file of this size can be a database.
#[must_use]
pub fn has_size_of_one(size_bytes: u64) -> bool {
    size_bytes >= SECTOR_BYTES && size_bytes.is_multiple_of(SECTOR_BYTES)
}

/// The database that a file of this name would belong to, and how its name goes on.
#[must_use]
pub fn main_of(path: &RelPath) -> Option<(RelPath, &'static str)> {
    SIDECARS.into_iter().find_map(|suffix| {
        let main = path.as_bytes().strip_suffix(suffix.as_bytes())?;
        Some((RelPath::new(main).ok()?, suffix))
    })
}

/// The files that would belong to a database at `path`.
pub fn sidecars(path: &RelPath) -> impl Iterator<Item = RelPath> + '_ {
    let beside = |suffix: &str| RelPath::new([path.as_bytes(), suffix.as_bytes()].concat()).ok();
    SIDECARS.into_iter().filter_map(beside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_beside_a_database_lead_to_it_and_no_other_name_does() {
        let path = |name: &str| RelPath::new(name.as_bytes()).unwrap();
        let main = path("a/x.db");
        let beside: Vec<_> = sidecars(&main).collect();
        assert_eq!(
            beside,
            ["a/x.db-wal", "a/x.db-shm", "a/x.db-journal"].map(path)
        );
        for sidecar in &beside {
            assert_eq!(main_of(sidecar).unwrap().0, main);
        }
        for name in ["a/x.db", "-wal", "a/-shm", "x-wall"] {
            assert_eq!(main_of(&path(name)), None, "{name}");
        }
    }

    #[test]
    fn both_byte_orders_of_a_log_are_known() {
        assert!(is_wal(&[0x37, 0x7f, 0x06, 0x82, 0]));
        assert!(is_wal(&[0x37, 0x7f, 0x06, 0x83, 0]));
        assert!(!is_wal(&[0x37, 0x7f, 0x06, 0x84, 0]));
        assert!(!is_wal(b"7"));
    }
}
