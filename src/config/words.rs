//! Splits a text as a POSIX shell splits words: blanks, quotes, backslashes; no expansion of any kind.

/// A quote that is not closed, or a backslash at the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` has an unclosed quote or ends in a backslash")]
pub struct WordsError(String);

/// The words of `text`.
///
/// # Errors
/// [`WordsError`].
pub fn split(text: &str) -> Result<Vec<String>, WordsError> {
    let error = || WordsError(text.to_owned());
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(error)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(error)? {
                        '"' => break,
                        '\\' => {
                            let next = chars.next().ok_or_else(error)?;
                            if !"\"\\$`".contains(next) {
                                word.push('\\');
                            }
                            word.push(next);
                        }
                        c => word.push(c),
                    }
                }
            }
            '\\' => word
                .get_or_insert_default()
                .push(chars.next().ok_or_else(error)?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        let cases: [(&str, &[&str]); 6] = [
            ("", &[]),
            ("  a  b\tc ", &["a", "b", "c"]),
            (
                "ssh -o 'ProxyCommand=nc %h 22' -v",
                &["ssh", "-o", "ProxyCommand=nc %h 22", "-v"],
            ),
            (r#"a\ b "c \"d\" \n" ''"#, &["a b", r#"c "d" \n"#, ""]),
            ("x'y'z", &["xyz"]),
            ("$HOME `id`", &["$HOME", "`id`"]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        for text in ["'open", "\"open", "end\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }
}
