//! The word that was probably meant.

/// Less alike than this (Jaro-Winkler, 1 is the same word) is another word.
const ALIKE: f64 = 0.8;

/// The one of `words` that `typed` is most like; `None` if it is like none of them.
pub fn nearest<'a>(typed: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let rated = words.map(|word| (strsim::jaro_winkler(typed, word), word));
    let (likeness, word) = rated.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness > ALIKE).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_another_word_is_not() {
        let words = ["remote", "remotes", "exclude", "options"];
        for (typed, meant) in [
            ("remot", Some("remote")),
            ("exlude", Some("exclude")),
            ("option", Some("options")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, words.into_iter()), meant, "{typed}");
        }
        assert_eq!(nearest("a", std::iter::empty()), None);
    }
}
