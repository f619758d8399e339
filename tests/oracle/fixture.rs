//! The cases of `fixtures/filter/`, written by hand. Their README.md tells the form.

use std::path::Path;

use rsyn::filter::Sign;

use crate::oracle::{Paths, split};
use crate::source::{Source, Sources};

/// One case: rules, a tree, and what stays in.
#[derive(Default)]
pub(crate) struct Case {
    title: String,
    pub(crate) sources: Sources,
    kept: Paths,
    dropped: Paths,
    refused: bool,
}

/// All cases of all files.
pub(crate) fn all() -> Vec<Case> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/filter");
    let files = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension() == Some("txt".as_ref()))
        .collect();
    files.sort();
    let cases: Vec<_> = files
        .iter()
        .flat_map(|path| parse(&std::fs::read_to_string(path).unwrap()))
        .collect();
    assert!(cases.len() > 100, "only {} cases found", cases.len());
    cases
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("== ") {
            cases.push(Case {
                title: title.to_owned(),
                ..Case::default()
            });
        } else if let Some(case) = cases.last_mut() {
            case.read(line);
        }
    }
    cases
}

impl Case {
    fn read(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "" | "#" => {}
            "|" => self.add_to_file(rest.bytes().chain([b'\n']).collect()),
            "bytes" => self.add_to_file(decode(rest)),
            "exclude-from" => self
                .sources
                .list
                .push(Source::File(Sign::Exclude, Vec::new())),
            "include-from" => self
                .sources
                .list
                .push(Source::File(Sign::Include, Vec::new())),
            "from0" => self.sources.from0 = true,
            "exclude" => self
                .sources
                .list
                .push(Source::Option(Sign::Exclude, decode(rest))),
            "include" => self
                .sources
                .list
                .push(Source::Option(Sign::Include, decode(rest))),
            "keep" => self.kept.extend(rest.split(' ').map(decode)),
            "drop" => self.dropped.extend(rest.split(' ').map(decode)),
            "refused" => self.refused = true,
            _ => panic!("{}: what is `{line}`?", self.title),
        }
    }

    /// Adds to the last file, or to a first exclude file.
    fn add_to_file(&mut self, bytes: Vec<u8>) {
        match self.sources.list.last_mut() {
            Some(Source::File(_, text)) => text.extend(bytes),
            _ => self.sources.list.push(Source::File(Sign::Exclude, bytes)),
        }
    }

    /// The tree: all paths that are named.
    pub(crate) fn entries(&self) -> Paths {
        assert!(
            !self.kept.is_empty() || !self.dropped.is_empty(),
            "{}: no paths",
            self.title
        );
        self.kept.union(&self.dropped).cloned().collect()
    }

    /// How rsyn differs from the case.
    pub(crate) fn difference(&self) -> Option<String> {
        let rules = self.sources.rules().ok();
        let decided = |path: &&Vec<u8>| {
            let (name, is_dir) = split(path);
            let path = rsyn::model::RelPath::new(name).unwrap();
            rules
                .as_ref()
                .is_some_and(|rules| rules.decide(&path, is_dir).included)
        };
        let entries = self.entries();
        let kept = entries.iter().filter(decided).cloned().collect();
        self.difference_to(rules.as_ref().map(|_| &kept))
    }

    /// How `kept` differs from the case; `None` for `kept`: the rules were refused.
    pub(crate) fn difference_to(&self, kept: Option<&Paths>) -> Option<String> {
        let Some(kept) = kept else {
            return (!self.refused).then(|| format!("{}: refused", self.title));
        };
        if self.refused {
            return Some(format!("{}: not refused", self.title));
        }
        let lost = self
            .kept
            .difference(kept)
            .map(|path| format!("\"{}\" is out", path.escape_ascii()));
        let found = self.dropped.intersection(kept);
        let found = found.map(|path| format!("\"{}\" is in", path.escape_ascii()));
        let wrong: Vec<_> = lost.chain(found).collect();
        (!wrong.is_empty()).then(|| format!("{}: {}", self.title, wrong.join(", ")))
    }
}

/// Undoes `%XX`, so that a case can hold any byte.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        match rest {
            [b'%', high, low, after @ ..] => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                rest = after;
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    bytes
}
