//! Which names a disk takes for one: by letter case, by Unicode form.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// What does not count where a disk compares names. What it was written like is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Folding {
    /// Whether the case of ASCII letters does not count.
    #[serde(default)]
    pub ascii_case: bool,
    /// Whether the case of no letter counts.
    #[serde(default)]
    pub case: bool,
    /// Whether composed and decomposed characters are the same.
    #[serde(default)]
    pub form: bool,
}

impl Folding {
    /// Every byte counts.
    pub const NONE: Self = Self {
        ascii_case: false,
        case: false,
        form: false,
    };

    /// Whether every byte of a name counts.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// A spelling that all names have in common which the disk takes for one. Not a name to use.
    #[must_use]
    pub fn fold(self, name: &[u8]) -> Cow<'_, [u8]> {
        if self.is_none() {
            return Cow::Borrowed(name);
        }
        match std::str::from_utf8(name) {
            Ok(text) if !text.is_ascii() && (self.case || self.form) => {
                Cow::Owned(self.fold_text(text).into_bytes())
            }
            _ if self.ascii_case || self.case => Cow::Owned(name.to_ascii_lowercase()),
            _ => Cow::Borrowed(name),
        }
    }

    fn fold_text(self, text: &str) -> String {
        let decomposed = |text: &str| match self.form {
            true => text.nfd().collect(),
            false => text.to_owned(),
        };
        match () {
            // Case folding can make what is decomposed again (U+0130, U+1FB3).
            () if self.case => decomposed(&fold_case(&decomposed(text))),
            () if self.ascii_case => decomposed(&text.to_ascii_lowercase()),
            () => decomposed(text),
        }
    }
}

/// Full case folding (Unicode, `CaseFolding.txt`, C and F), by way of the capitals: `ß` and `ss`, `ς` and `σ` are one.
fn fold_case(text: &str) -> String {
    const DOTLESS: char = 'ı';
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Its capital is that of another letter.
            DOTLESS => folded.push(c),
            _ => folded.extend(c.to_uppercase().flat_map(char::to_lowercase)),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Folding = Folding {
        ascii_case: true,
        case: true,
        form: true,
    };

    fn are_one(folding: Folding, a: &str, b: &str) -> bool {
        folding.fold(a.as_bytes()) == folding.fold(b.as_bytes())
    }

    #[test]
    fn names_that_differ_in_case_or_form_alone_are_one() {
        for (a, b) in [
            ("Twin", "twin"),
            ("É", "e\u{301}"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("Straße", "STRASSE"),
            ("\u{212a}", "k"),
            ("\u{1100}\u{1161}", "가"),
            ("a/Ü", "A/u\u{308}"),
        ] {
            assert!(are_one(ALL, a, b), "{a} {b}");
            assert!(!are_one(Folding::NONE, a, b), "{a} {b}");
        }
        for (a, b) in [("a", "b"), ("sı", "si"), ("e", "é"), ("a.txt", "atxt")] {
            assert!(!are_one(ALL, a, b), "{a} {b}");
        }
    }

    #[test]
    fn a_disk_that_folds_less_keeps_more_names_apart() {
        let ascii = Folding {
            ascii_case: true,
            ..Folding::NONE
        };
        assert!(are_one(ascii, "Aé", "aé") && !are_one(ascii, "É", "é"));
        let form = Folding {
            form: true,
            ..Folding::NONE
        };
        assert!(are_one(form, "é", "e\u{301}") && !are_one(form, "é", "É"));
        assert_eq!(ALL.fold(b"A\xffB"), &b"a\xffb"[..]);
    }
}
