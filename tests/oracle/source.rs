//! Rules as files and options, for both programs.

use std::fmt;

use rsyn::filter::{FileStyle, FilterError, Origin, Rules, Sign};

/// One option with rules, in command-line order.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// `--exclude-from` or `--include-from` with a file of this text.
    File(Sign, Vec<u8>),
    /// `--exclude` or `--include`.
    Option(Sign, Vec<u8>),
}

/// What one run is given: `from0` changes how all files are read.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Sources {
    pub(crate) from0: bool,
    pub(crate) list: Vec<Source>,
}

impl Sources {
    /// The rules as rsyn reads them.
    pub(crate) fn rules(&self) -> Result<Rules, FilterError> {
        let mut rules = Rules::new();
        for (at, source) in self.list.iter().enumerate() {
            let name = format!("source {at}");
            match source {
                Source::File(sign, text) => {
                    rules.add_file(
                        text,
                        &name,
                        FileStyle {
                            sign: *sign,
                            nul: self.from0,
                        },
                    )?;
                }
                Source::Option(sign, text) => {
                    rules.add_rule(*sign, text, Origin::option(&name))?;
                }
            }
        }
        Ok(rules)
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "from0: {}", self.from0)?;
        self.list.iter().try_for_each(|source| match source {
            Source::File(sign, text) => writeln!(f, "{sign:?} from \"{}\"", text.escape_ascii()),
            Source::Option(sign, text) => writeln!(f, "{sign:?} \"{}\"", text.escape_ascii()),
        })
    }
}
