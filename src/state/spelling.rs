//! Which names the disk of a root takes for one, as a name tells that stands in the state directory for this.
//!
//! Asked anew each time, by looking alone: so a dry run knows it, and a root that was moved to another disk does.

use super::layout::State;
use crate::disk::Dir;
use crate::model::Folding;

/// The name: a capital, and a small letter that can be decomposed.
const NAME: &str = "Spelling-\u{e9}";
const OTHER_ASCII_CASE: &str = "spelling-\u{e9}";
const OTHER_CASE: &str = "Spelling-\u{c9}";
const OTHER_FORM: &str = "Spelling-e\u{301}";

impl State {
    /// Which names the disk takes for one.
    #[must_use]
    pub fn folding(&self) -> Folding {
        folding(self.dir())
    }

    /// Makes the name that tells it, if it is not there. A disk that refuses it is asked as far as that goes.
    pub fn keep_spelling(&self) {
        if !matches!(self.dir().stat(NAME.as_bytes()), Ok(Some(_))) {
            drop(self.dir().create_file(NAME.as_bytes()));
        }
    }
}

fn folding(dir: &Dir) -> Folding {
    let ino = |name: &str| dir.stat(name.as_bytes()).ok().flatten().map(|s| s.ino);
    let Some(own) = ino(NAME) else {
        // The file by which the state directory is known has small letters alone.
        let ascii_case = ino("ID").is_some();
        return Folding {
            ascii_case,
            case: false,
            form: false,
        };
    };
    let is_one = |other| ino(other) == Some(own);
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
    use super::*;
    use crate::disk::Root;

    #[test]
    fn a_name_in_the_state_directory_tells_what_the_disk_takes_for_one() {
        let temp = tempfile::tempdir().unwrap();
        let root = Root::open(temp.path()).unwrap();
        let state = State::create(&root).unwrap();
        let at = |name: &str| temp.path().join(".rsyn").join(name);
        std::fs::write(at("ID"), "").unwrap();
        assert!(state.folding().ascii_case && !state.folding().form);
        state.keep_spelling();
        state.keep_spelling();
        assert_eq!(state.folding(), Folding::NONE);
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
            assert_eq!(state.folding(), expected, "{name}");
            std::fs::remove_file(at(name)).unwrap();
        }
        std::fs::write(at(OTHER_CASE), "another file").unwrap();
        assert_eq!(state.folding(), Folding::NONE);
    }
}
