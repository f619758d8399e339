//! `rsyn.toml`, which travels with the project, and `.rsyn/config.toml`, which belongs to this machine.
//!
//! Only the second may name commands: a project that somebody else filled must not be able to run one.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::nearest::nearest;
use super::size::{SizeError, parse_size};
use crate::plan::Policy;

/// A remote with a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedRemote {
    /// Where it is, as in `rsyn pull`.
    pub url: String,
}

/// Who wins conflicts at some paths.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConflictRule {
    /// A pattern of the exclude file's language.
    pub paths: String,
    /// What is done.
    pub policy: Policy,
}

/// The brakes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Safety {
    /// A number or a share (`"10%"`).
    #[serde(default)]
    pub max_delete: Option<Limit>,
    /// Patterns of files that are no keys, whatever they are called. Only in `.rsyn/config.toml`.
    #[serde(default)]
    pub public: Vec<String>,
}

/// Which snapshots stay on this machine. Only in `.rsyn/config.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshots {
    /// So many of the newest, whatever their age and size.
    #[serde(default)]
    pub newest: Option<usize>,
    /// All that are younger, in days.
    #[serde(default)]
    pub days: Option<u32>,
    /// Of those that are older than a day and not among the newest, the oldest go until all fit: bytes, or a
    /// number with a unit (`"20GB"`).
    #[serde(default)]
    pub max_size: Option<Limit>,
}

impl Snapshots {
    /// [`Snapshots::max_size`] in bytes.
    ///
    /// # Errors
    /// It is no size.
    pub fn max_bytes(&self) -> Result<Option<u64>, SizeError> {
        let text = self.max_size.as_ref().map(ToString::to_string);
        text.map(|t| parse_size(&t)).transpose()
    }
}

/// `25` or `"10%"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Limit {
    /// A number of entries.
    Count(u64),
    /// A number or a share.
    Text(String),
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// What a configuration file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// The hub.
    #[serde(default)]
    pub remote: Option<String>,
    /// More hubs, by name.
    #[serde(default)]
    pub remotes: BTreeMap<String, NamedRemote>,
    /// Flags for every sync, as one text.
    #[serde(default)]
    pub options: Option<String>,
    /// Name of this machine.
    #[serde(default)]
    pub machine: Option<String>,
    /// Exclude patterns beside those of `.rsync-exclude`.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Who wins conflicts; the first that matches.
    #[serde(default)]
    pub conflict: Vec<ConflictRule>,
    /// The brakes.
    #[serde(default)]
    pub safety: Safety,
    /// Which snapshots stay. Only in `.rsyn/config.toml`.
    #[serde(default)]
    pub snapshots: Option<Snapshots>,
    /// Command in place of ssh. Only in `.rsyn/config.toml`.
    #[serde(default)]
    pub ssh_command: Option<String>,
    /// Configuration file for ssh. Only in `.rsyn/config.toml`.
    #[serde(default)]
    pub ssh_config: Option<String>,
    /// What is run on the hub. Only in `.rsyn/config.toml`.
    #[serde(default)]
    pub remote_command: Option<String>,
}

/// Why a configuration file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It is no TOML, or has a key that nobody knows.
    #[error("{file}: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// What is wrong, with line and column.
        message: String,
    },
    /// It names a command and travels with the project.
    #[error("{file} sets `{key}`, but it travels with the project and may not name commands")]
    Command {
        /// The file.
        file: String,
        /// The key.
        key: &'static str,
    },
    /// It says what may lie open, and travels with the project.
    #[error(
        "{file} has safety.public, but which files may lie open is set in this machine's own .rsyn/config.toml"
    )]
    Public {
        /// The file.
        file: String,
    },
    /// It says which snapshots stay, and travels with the project.
    #[error("{file} has [snapshots], but what a machine keeps is set in its own .rsyn/config.toml")]
    Snapshots {
        /// The file.
        file: String,
    },
    /// A size that is none.
    #[error("{file}: snapshots.max_size: {error}")]
    Size {
        /// The file.
        file: String,
        /// What is wrong.
        error: SizeError,
    },
}

/// Reads a configuration file. `travels` is true for one that comes with the project.
///
/// # Errors
/// [`ConfigError`].
pub fn parse(text: &str, file: &str, travels: bool) -> Result<ConfigFile, ConfigError> {
    let parsed: ConfigFile = toml::from_str(text).map_err(|e| ConfigError::Syntax {
        file: place(file, text, e.span().map(|s| s.start)),
        message: with_nearest_key(&e.message().lines().collect::<Vec<_>>().join(" ")),
    })?;
    if let Some(snapshots) = &parsed.snapshots {
        let file = file.to_owned();
        if travels {
            return Err(ConfigError::Snapshots { file });
        }
        if let Err(error) = snapshots.max_bytes() {
            return Err(ConfigError::Size { file, error });
        }
    }
    if travels && !parsed.safety.public.is_empty() {
        return Err(ConfigError::Public {
            file: file.to_owned(),
        });
    }
    let commands = [
        ("ssh_command", parsed.ssh_command.is_some()),
        ("ssh_config", parsed.ssh_config.is_some()),
        ("remote_command", parsed.remote_command.is_some()),
    ];
    match commands.into_iter().find(|(_, set)| travels && *set) {
        Some((key, _)) => Err(ConfigError::Command {
            file: file.to_owned(),
            key,
        }),
        None => Ok(parsed),
    }
}

/// Adds the key that was probably meant to a message about an unknown one. The message names the
/// known keys in backticks.
fn with_nearest_key(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let typed = quoted
        .next()
        .filter(|_| message.starts_with("unknown field"));
    match typed.and_then(|typed| nearest(typed, quoted)) {
        Some(meant) => format!("{message}; did you mean `{meant}`?"),
        None => message.to_owned(),
    }
}

fn place(file: &str, text: &str, offset: Option<usize>) -> String {
    match offset.and_then(|at| text.get(..at)) {
        Some(before) => format!("{file} line {}", before.matches('\n').count() + 1),
        None => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_read() {
        let text = r#"
remote = "dev@hub:/srv/p"
exclude = ["*.tmp"]
[remotes.backup]
url = "nas:/backup/p"
[safety]
max_delete = 25
[[conflict]]
paths = "*.log"
policy = "both"
"#;
        let config = parse(text, "rsyn.toml", true).unwrap();
        assert_eq!(config.remotes["backup"].url, "nas:/backup/p");
        assert_eq!(config.conflict[0].policy, Policy::Both);
        assert_eq!(config.safety.max_delete, Some(Limit::Count(25)));
    }

    #[test]
    fn a_wrong_key_is_named_with_its_line() {
        let error = parse("remote = \"h:/p\"\nremot = 1\n", "rsyn.toml", true)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("rsyn.toml line 2: unknown field `remot`"),
            "{error}"
        );
        assert!(error.ends_with("did you mean `remote`?"), "{error}");
        let error = parse("[safety]\nmax_deletes = 3\n", "rsyn.toml", true).unwrap_err();
        assert!(error.to_string().contains("`max_delete`"), "{error}");
        let error = parse(
            "[[conflict]]\npaths='*'\npolicy='json'\n",
            "rsyn.toml",
            true,
        )
        .unwrap_err();
        assert!(error.to_string().contains("cannot do yet"), "{error}");
    }

    #[test]
    fn only_a_machine_itself_says_which_snapshots_it_keeps() {
        let text = "[snapshots]\nnewest = 3\ndays = 30\nmax_size = \"2GB\"\n";
        let ours = parse(text, ".rsyn/config.toml", false).unwrap();
        let snapshots = ours.snapshots.unwrap();
        assert_eq!((snapshots.newest, snapshots.days), (Some(3), Some(30)));
        assert_eq!(snapshots.max_bytes(), Ok(Some(2_000_000_000)));
        let theirs = parse(text, "rsyn.toml", true).unwrap_err();
        assert!(theirs.to_string().contains(".rsyn/config.toml"));
        let wrong = parse(
            "[snapshots]\nmax_size = \"much\"\n",
            ".rsyn/config.toml",
            false,
        );
        assert!(wrong.unwrap_err().to_string().contains("`much`"));
    }

    #[test]
    fn only_a_machine_itself_says_what_may_lie_open() {
        let text = "[safety]\npublic = [\"*.pem\"]\n";
        let ours = parse(text, ".rsyn/config.toml", false).unwrap();
        assert_eq!(ours.safety.public, ["*.pem"]);
        let theirs = parse(text, "rsyn.toml", true).unwrap_err();
        assert!(theirs.to_string().contains(".rsyn/config.toml"));
    }

    #[test]
    fn a_file_that_travels_may_not_name_commands() {
        for key in ["ssh_command", "ssh_config", "remote_command"] {
            let text = format!("{key} = \"evil\"\n");
            assert!(
                matches!(
                    parse(&text, "rsyn.toml", true),
                    Err(ConfigError::Command { .. })
                ),
                "{key}"
            );
            assert!(parse(&text, ".rsyn/config.toml", false).is_ok());
        }
    }
}
