//! What the disk of a root takes for one name, and what it can hold, as a directory inside the state tells that is there for this.
//!
//! Asked anew each time, by looking alone: so a dry run knows it, and a root that was moved to another disk does.

use rustix::io::Errno;

use super::layout::State;
use crate::disk::asked::{ASKED, ASKED_MODE, KEPT_BITS, shows_kept_bits};
use crate::disk::{Dir, DiskError, durable};
use crate::model::{Abilities, Folding};

const NAMES: &str = "names";
/// A capital, and a small letter that can be decomposed.
const NAME: &[u8] = "Spelling-\u{e9}".as_bytes();
const OTHER_ASCII_CASE: &[u8] = "spelling-\u{e9}".as_bytes();
const OTHER_CASE: &[u8] = "Spelling-\u{c9}".as_bytes();
const OTHER_FORM: &[u8] = "Spelling-e\u{301}".as_bytes();
/// What is tried, and the name that stays where it worked: names that other disks refuse would be in the way of a copy.
const LINK: [&[u8]; 2] = [b"link", b"links"];
const MARKS: [&[u8]; 2] = [b"a:b", b"marks"];
const BYTES: [&[u8]; 2] = [b"\xff", b"bytes"];
/// Is there once all others were tried, and tells in which state directory that was.
const TRIED: &[u8] = b"tried";

impl State {
    /// Which names the disk takes for one.
    #[must_use]
    pub fn folding(&self) -> Folding {
        match self.asked() {
            Some(dir) => folding(&dir),
            // The file by which the state directory is known has small letters alone.
            _ => Folding {
                ascii_case: has(self.dir(), b"ID"),
                ..Folding::NONE
            },
        }
    }

    /// What the disk can hold.
    #[must_use]
    pub fn holds(&self) -> Abilities {
        match self.asked() {
            Some(dir) if has(&dir, TRIED) => Abilities {
                links: has(&dir, LINK[1]),
                marks: has(&dir, MARKS[1]),
                bytes: has(&dir, BYTES[1]),
                modes: shows_kept_bits(&dir),
            },
            _ => Abilities::ALL,
        }
    }

    fn asked(&self) -> Option<Dir> {
        self.dir().open_dir(ASKED).ok()
    }

    /// Makes what tells it, as far as the disk can hold that, durably. Where nothing can be made, nothing is known.
    pub fn ask_disk(&self) {
        let Ok(dir) = self.subdir(NAMES) else { return };
        let place = self.dir().ino().to_string().into_bytes();
        let is_here = matches!(durable::read(&dir, TRIED, 32), Ok(Some(at)) if at == place);
        for name in [NAME, ASKED_MODE] {
            make(&dir, name);
        }
        if !shows_kept_bits(&dir) {
            let set = dir.set_mode(ASKED_MODE, KEPT_BITS);
            drop(set.and_then(|()| dir.sync_file(ASKED_MODE)));
        }
        // What worked is not tried again; where the directory is a copy, that was another disk.
        let is_known = |works: &[u8]| is_here && has(&dir, works);
        if !is_known(LINK[1]) {
            try_out(&dir, LINK, |dir, name| dir.symlink(name, TRIED));
        }
        for name in [MARKS, BYTES] {
            if !is_known(name[1]) {
                try_out(&dir, name, |dir, name| dir.create_file(name).map(drop));
            }
        }
        // ORDER: last, for a disk that takes not even this one, as one that is full, refused nothing else for its name; and
        // a power cut leaves it only beside the others.
        if !is_here && dir.sync().is_ok() {
            drop(durable::replace(&dir, TRIED, &place));
        }
    }
}

/// Makes an empty file, if the disk lets it be made.
fn make(dir: &Dir, name: &[u8]) {
    if !has(dir, name) {
        drop(dir.create_file(name).and_then(|file| file.sync()));
    }
}

/// Makes something that the disk may refuse, takes it away again, and keeps a name where that worked.
fn try_out(
    dir: &Dir,
    [tried, works]: [&[u8]; 2],
    make_it: fn(&Dir, &[u8]) -> Result<(), DiskError>,
) {
    // A crash can have left it.
    if has(dir, tried) {
        drop(dir.remove_file(tried));
    }
    match make_it(dir, tried) {
        Ok(()) => {
            drop(dir.remove_file(tried));
            make(dir, works);
        }
        // That says nothing of the name.
        Err(e) if !is_refusal(&e) => {}
        Err(_) if has(dir, works) => drop(dir.remove_file(works)),
        Err(_) => {}
    }
}

/// What file systems answer to what they cannot hold. One that has something in that place holds nothing else there.
fn is_refusal(error: &DiskError) -> bool {
    const REFUSALS: [Errno; 8] = [
        Errno::PERM,
        Errno::INVAL,
        Errno::ILSEQ,
        Errno::OVERFLOW,
        Errno::NAMETOOLONG,
        Errno::NOTSUP,
        Errno::NOSYS,
        Errno::EXIST,
    ];
    error.errno().is_some_and(|errno| REFUSALS.contains(&errno))
}

fn has(dir: &Dir, name: &[u8]) -> bool {
    matches!(dir.stat(name), Ok(Some(_)))
}

fn folding(dir: &Dir) -> Folding {
    let ino = |name: &[u8]| dir.stat(name).ok().flatten().map(|stat| stat.ino);
    let own = ino(NAME);
    let is_one = |other| own.is_some() && ino(other) == own;
    Folding {
        ascii_case: is_one(OTHER_ASCII_CASE),
        case: is_one(OTHER_CASE),
        form: is_one(OTHER_FORM),
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests prepare and look at the disk by other means"
)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::disk::{Root, fault};

    #[test]
    fn names_in_the_state_directory_tell_what_the_disk_takes_for_one() {
        let temp = tempfile::tempdir().unwrap();
        let root = Root::open(temp.path()).unwrap();
        let state = State::create(&root).unwrap();
        std::fs::write(temp.path().join(".rsyn/ID"), "").unwrap();
        assert!(state.folding().ascii_case && !state.folding().form);
        state.ask_disk();
        state.ask_disk();
        assert_eq!(state.folding(), Folding::NONE);
        let at = |name: &[u8]| {
            temp.path()
                .join(".rsyn/names")
                .join(OsStr::from_bytes(name))
        };
        // A hard link stands for the other spelling on a disk that folds.
        for (name, folding) in [
            (OTHER_FORM, (false, false, true)),
            (OTHER_ASCII_CASE, (true, false, false)),
            (OTHER_CASE, (false, true, false)),
        ] {
            std::fs::hard_link(at(NAME), at(name)).unwrap();
            let (ascii_case, case, form) = folding;
            let expected = Folding {
                ascii_case,
                case,
                form,
            };
            assert_eq!(state.folding(), expected, "{name:?}");
            std::fs::remove_file(at(name)).unwrap();
        }
        std::fs::write(at(OTHER_CASE), "another file").unwrap();
        assert_eq!(state.folding(), Folding::NONE);
    }

    #[test]
    fn what_a_disk_refuses_it_cannot_hold_and_a_full_one_is_not_blamed() {
        let refusing = |refused: &'static [&'static [u8]], errno: i32| {
            let temp = tempfile::tempdir().unwrap();
            let root = Root::open(temp.path()).unwrap();
            let state = State::create(&root).unwrap();
            assert_eq!(state.holds(), Abilities::ALL);
            let hook: fault::Hook = Box::new(move |_, path| {
                let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                match refused.contains(&name) {
                    true => Err(std::io::Error::from_raw_os_error(errno)),
                    false => Ok(()),
                }
            });
            fault::with_hook(hook, || state.ask_disk());
            state.holds()
        };
        let all = Abilities::ALL;
        assert_eq!(refusing(&[], 1), all);
        assert_eq!(
            refusing(&[LINK[0]], 1),
            Abilities {
                links: false,
                ..all
            }
        );
        assert_eq!(
            refusing(&[MARKS[0]], 22),
            Abilities {
                marks: false,
                ..all
            }
        );
        assert_eq!(
            refusing(&[BYTES[0]], 84),
            Abilities {
                bytes: false,
                ..all
            }
        );
        assert_eq!(refusing(&[LINK[0], MARKS[0], BYTES[0], TRIED], 28), all);
        let no_modes = Abilities {
            modes: false,
            ..all
        };
        assert_eq!(refusing(&[ASKED_MODE], 1), all, "it is not there");
        let temp = tempfile::tempdir().unwrap();
        let root = Root::open(temp.path()).unwrap();
        let state = State::create(&root).unwrap();
        state.ask_disk();
        assert!(crate::disk::asked::keeps_modes(&root));
        state.asked().unwrap().set_mode(ASKED_MODE, 0o755).unwrap();
        assert_eq!(state.holds(), no_modes);
        assert!(!crate::disk::asked::keeps_modes(&root));
        state.ask_disk();
        assert_eq!(state.holds(), all);
    }
}
