//! What is run on a hub. A constant: root, options and names travel inside the protocol as bytes, so that
//! nothing is ever quoted for a shell.

/// Where `rsyn setup --install` puts the binary, below the login's home.
pub const INSTALL_PATH: &str = ".local/bin/rsyn";

/// Where a hub's shell looks for rsyn: a non-interactive login often has neither of these on its PATH.
pub const SEARCH_PATH: &str =
    r#"PATH="$PATH:$HOME/.local/bin:$HOME/.cargo/bin:/usr/local/bin"; export PATH"#;

/// The command line for the hub's login shell, whichever that is: `sh` finds rsyn on the PATH or where an
/// install puts it, though a non-interactive login often has neither on its PATH.
pub const SERVE: &str = r#"sh -c 'PATH="$PATH:$HOME/.local/bin:$HOME/.cargo/bin:/usr/local/bin"; export PATH; exec rsyn serve --stdio'"#;

/// Exit code of a shell that did not find the command.
pub const NOT_FOUND: i32 = 127;
/// Exit code of ssh when ssh itself failed.
pub const SSH_FAILED: i32 = 255;
