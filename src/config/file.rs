//! `rsyn.toml`, which travels with the project, and `.rsyn/config.toml`, which belongs to this machine.
//!
//! Only the second may name commands: a project that somebody else filled must not be able to run one.

use std::collections::BTreeMap;

use serde::Deserialize;

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
}

/// Reads a configuration file. `travels` is true for one that comes with the project.
///
/// # Errors
/// [`ConfigError`].
pub fn parse(text: &str, file: &str, travels: bool) -> Result<ConfigFile, ConfigError> {
    let parsed: ConfigFile = toml::from_str(text).map_err(|e| ConfigError::Syntax {
        file: place(file, text, e.span().map(|s| s.start)),
        message: e.message().lines().collect::<Vec<_>>().join(" "),
    })?;
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
        let error = parse(
            "[[conflict]]\npaths='*'\npolicy='json'\n",
            "rsyn.toml",
            true,
        )
        .unwrap_err();
        assert!(error.to_string().contains("cannot do yet"), "{error}");
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
