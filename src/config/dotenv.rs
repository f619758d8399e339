//! The `.env` of a project: only the few keys that are ours are read, and nothing enters the environment. No variable
//! is expanded in a value: the file travels, and could send a secret of the environment to the hub.

/// Keys that are read, ours first; the others are those that projects used before rsyn.
pub const KEYS: [&str; 6] = [
    "RSYN_REMOTE",
    "RSYN_OPTIONS",
    "RSYN_MACHINE",
    "RSYN_LOG",
    "AMPLIFIER_SYNC_REMOTE",
    "AMPLIFIER_SYNC_OPTIONS",
];

/// Stands for a dollar sign while a line is parsed: a character for private use.
const DOLLAR: &str = "\u{f8d4}";

/// One setting of a `.env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// One of [`KEYS`].
    pub key: String,
    /// Its value.
    pub value: String,
    /// Line in the file, from 1.
    pub line: usize,
}

/// The settings of a `.env` that are ours, in order. Lines of others are passed over, readable or not.
#[must_use]
pub fn parse(text: &str) -> Vec<Line> {
    text.lines()
        .zip(1..)
        .filter_map(|(line, number)| parse_line(line, number))
        .collect()
}

fn parse_line(line: &str, number: usize) -> Option<Line> {
    let trimmed = line.trim_start();
    let assignment = trimmed
        .strip_prefix("export ")
        .unwrap_or(trimmed)
        .trim_start();
    let (key, raw) = assignment.split_once('=')?;
    let key = KEYS.iter().find(|k| **k == key.trim_end())?;
    // The parser would put variables in for each `$`: it is given none.
    let hidden = line.replace("\\$", DOLLAR).replace('$', DOLLAR);
    // A value with blanks and no quotes, `OPTIONS=-z --progress`, is no proper .env, but people write it.
    let proper = dotenvy::from_read_iter(hidden.as_bytes())
        .next()
        .and_then(Result::ok);
    let value = proper.map_or_else(
        || raw.trim().to_owned(),
        |(_, value)| value.replace(DOLLAR, "$"),
    );
    Some(Line {
        key: (*key).to_owned(),
        value,
        line: number,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variable_is_put_into_a_value() {
        for (text, value) in [
            ("RSYN_MACHINE=\"${PATH}\"", "${PATH}"),
            ("RSYN_MACHINE=\"$PATH\"", "$PATH"),
            ("RSYN_MACHINE=$HOME", "$HOME"),
            ("RSYN_MACHINE=${HOME} x", "${HOME} x"),
            ("RSYN_MACHINE='${HOME}'", "${HOME}"),
            ("RSYN_MACHINE=\"a \\$HOME\"", "a $HOME"),
            ("RSYN_REMOTE=h:/srv/${USER}", "h:/srv/${USER}"),
            ("RSYN_MACHINE=$(id)`id`", "$(id)`id`"),
        ] {
            assert_eq!(parse(text)[0].value, value, "{text}");
        }
    }

    #[test]
    fn our_keys_are_read_and_others_passed_over() {
        let text = "SECRET=x\n# RSYN_REMOTE=no\nexport RSYN_REMOTE='dev@hub:/p'\nbroken line\n\
            AMPLIFIER_SYNC_OPTIONS=--verbose --progress\nRSYN_OPTIONS=\"-z --bwlimit=1000\"\n";
        let found: Vec<_> = parse(text)
            .into_iter()
            .map(|l| (l.key, l.value, l.line))
            .collect();
        let expected = [
            ("RSYN_REMOTE", "dev@hub:/p", 3),
            ("AMPLIFIER_SYNC_OPTIONS", "--verbose --progress", 5),
            ("RSYN_OPTIONS", "-z --bwlimit=1000", 6),
        ];
        assert_eq!(
            found,
            expected.map(|(k, v, l)| (k.to_owned(), v.to_owned(), l))
        );
    }
}
