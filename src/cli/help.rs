//! `-h` of pull, push and sync: help by itself, and rsync's "sizes for people" among rsync's other letters.

use std::ffi::{OsStr, OsString};

/// Letters that rsync has as well. `-av -h` is typed by its users and is no call for help.
const LETTERS_OF_RSYNC: &[u8] = b"artplvziqcWne";

/// Puts `--help` for each `-h` that is typed without rsync's other letters.
pub(super) fn spelled_out(arguments: Vec<OsString>) -> Vec<OsString> {
    let is_sync = |word: &OsString| ["pull", "push", "sync"].iter().any(|verb| word == verb);
    let Some(verb) = arguments.iter().position(is_sync) else {
        return arguments;
    };
    let typed = arguments
        .iter()
        .skip(verb + 1)
        .take_while(|word| *word != "--");
    if typed.clone().any(|word| has_letter_of_rsync(word)) {
        return arguments;
    }
    let end = verb + 1 + typed.count();
    let spell = |(at, word): (usize, OsString)| match (verb..end).contains(&at) && is_only_h(&word)
    {
        true => OsString::from("--help"),
        false => word,
    };
    arguments.into_iter().enumerate().map(spell).collect()
}

/// The letters of a word such as `-avz`.
fn letters(word: &OsStr) -> Option<&[u8]> {
    match word.as_encoded_bytes() {
        [b'-', b'-', ..] | [b'-'] => None,
        [b'-', letters @ ..] => Some(letters),
        _ => None,
    }
}

fn has_letter_of_rsync(word: &OsStr) -> bool {
    letters(word).is_some_and(|typed| typed.iter().any(|b| LETTERS_OF_RSYNC.contains(b)))
}

fn is_only_h(word: &OsStr) -> bool {
    letters(word).is_some_and(|typed| typed.iter().all(|b| *b == b'h'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(line: &str) -> bool {
        let words = line.split(' ').map(OsString::from).collect();
        spelled_out(words).iter().any(|word| word == "--help")
    }

    #[test]
    fn h_alone_is_help_and_among_letters_of_rsync_it_is_not() {
        for line in [
            "rsyn push -h",
            "rsyn pull -h hub:p",
            "rsyn sync hub:p -h",
            "rsyn -C dir push -y -h",
            "rsyn push --dry-run -h",
            "rsyn push -hh",
        ] {
            assert!(asks(line), "{line}");
        }
        for line in [
            "rsyn push -avzh",
            "rsyn push -av -h",
            "rsyn push -h -z hub:p",
            "rsyn push -nh",
            "rsyn push -- -h",
            "rsyn list -h",
            "rsyn push",
        ] {
            assert!(!asks(line), "{line}");
        }
    }
}
