//! [`Remote`]: where the hub is, parsed and checked before anything is started with it.
//!
//! `[user@]host:path`, `ssh://[user@]host[:port]/path`, or a path on this machine. A host that ssh could
//! take for an option never gets past here (incidents of git, svn and rsync: `-oProxyCommand=…`).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A host as ssh will be given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Login, if one is named.
    pub user: Option<String>,
    /// Name, address or alias.
    pub name: String,
    /// Port, if one is named.
    pub port: Option<u16>,
}

impl Host {
    /// `user@name` or `name`, an IPv6 address in brackets: as it stands in a remote.
    #[must_use]
    pub fn written(&self) -> String {
        let name = match self.name.contains(':') {
            true => format!("[{}]", self.name),
            false => self.name.clone(),
        };
        match &self.user {
            Some(user) => format!("{user}@{name}"),
            None => name,
        }
    }

    /// `user@name` or `name`, as ssh takes it.
    #[must_use]
    pub fn destination(&self) -> String {
        match &self.user {
            Some(user) => format!("{user}@{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Where a hub is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// Reached by ssh.
    Ssh {
        /// The machine.
        host: Host,
        /// Root there: absolute, or relative to the login's home.
        path: Vec<u8>,
    },
    /// On this machine.
    Path(Vec<u8>),
}

/// Why a text is no remote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// Nothing at all.
    #[error(
        "the remote is empty; write [user@]host:path, ssh://[user@]host[:port]/path, or a path"
    )]
    Empty,
    /// A host or user with letters that no host has, or that looks like an option.
    #[error(
        "`{0}` is no host name: letters, digits and . _ - : % + [ ] are allowed, and no leading -"
    )]
    Host(String),
    /// An IPv6 address without brackets: its colons would end the host.
    #[error("`{address}` is an IPv6 address: write it in brackets, {meant}")]
    Brackets {
        /// The address, with its user.
        address: String,
        /// What was probably meant.
        meant: String,
    },
    /// A user and host without a path.
    #[error("`{0}` names no directory of the hub: write {0}:path")]
    NoPath(String),
    /// A word that is neither a path nor a host with a path.
    #[error(
        "`{0}` is no name of [remotes]; write [user@]host:path for a hub, or ./{0} for a directory of this machine"
    )]
    Word(String),
    /// A password, which ssh would take no notice of and everybody could read.
    #[error(
        "the remote `{0}` holds a password; ssh takes none from there: use a key or an agent, and change that password"
    )]
    Password(String),
    /// A port that is none.
    #[error("`{0}` is no port: 1 to 65535")]
    Port(String),
    /// A path that would make a whole home or file system the root.
    #[error(
        "the remote `{0}` names no directory of its own: give a path below / or the home directory"
    )]
    TooWide(String),
    /// A path with a NUL.
    #[error("the path of the remote has a NUL byte")]
    Nul,
}

impl Remote {
    /// Refuses a path of one word at which nothing `is_there`: a name was meant, or a hub.
    ///
    /// # Errors
    /// It is one.
    pub fn refuse_word(&self, is_there: impl Fn(&[u8]) -> bool) -> Result<(), RemoteError> {
        match self {
            Self::Path(path)
                if !path.contains(&b'/') && !path.starts_with(b".") && !is_there(path) =>
            {
                Err(RemoteError::Word(path.escape_ascii().to_string()))
            }
            _ => Ok(()),
        }
    }
}

impl FromStr for Remote {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        if text.is_empty() {
            return Err(RemoteError::Empty);
        }
        if text.contains('\0') {
            return Err(RemoteError::Nul);
        }
        let shown = without_password(text);
        if shown != text {
            return Err(RemoteError::Password(shown.escape_debug().to_string()));
        }
        if let Some(rest) = text.strip_prefix("ssh://") {
            return parse_url(rest, text);
        }
        refuse_bare_address(text)?;
        match end_of_host(text) {
            None if !text.contains('/') && text.contains('@') && !text.starts_with(['.', '~']) => {
                Err(RemoteError::NoPath(text.escape_debug().to_string()))
            }
            Some(colon) => {
                let host = parse_host(&text[..colon], None)?;
                let path = checked_path(&text[colon + 1..], text)?;
                Ok(Self::Ssh { host, path })
            }
            None => Ok(Self::Path(checked_path(text, text)?)),
        }
    }
}

/// Finds the colon that ends a host: the first one before any slash and outside of brackets, as
/// rsync and scp read it.
fn end_of_host(text: &str) -> Option<usize> {
    let begin = &text[..text.find('/').unwrap_or(text.len())];
    let address = begin.rfind("@[").map_or(0, |at| at + 1);
    let from = match begin[address..]
        .strip_prefix('[')
        .and_then(|rest| rest.find(']'))
    {
        Some(length) => address + 1 + length,
        None => 0,
    };
    begin[from..].find(':').map(|colon| from + colon)
}

/// Refuses `2001:db8::1:path`, of which a colon of the address would end the host.
fn refuse_bare_address(text: &str) -> Result<(), RemoteError> {
    let begin = &text[..text.find('/').unwrap_or(text.len())];
    let (user, rest) = begin.split_at(begin.rfind('@').map_or(0, |at| at + 1));
    let is_address = |text: &str| {
        let (address, zone) = text.split_once('%').unwrap_or((text, ""));
        !zone.contains(':') && address.parse::<std::net::Ipv6Addr>().is_ok()
    };
    // The longest first: what follows the last colon may be a group of the address, too.
    let cut = rest.rfind(':').map(|colon| &rest[..colon]);
    let Some(address) = [Some(rest), cut]
        .into_iter()
        .flatten()
        .find(|t| is_address(t))
    else {
        return Ok(());
    };
    let path = text[user.len() + address.len()..].trim_start_matches(':');
    let path = if path.is_empty() { "path" } else { path };
    Err(RemoteError::Brackets {
        address: format!("{user}{address}").escape_debug().to_string(),
        meant: format!("{user}[{address}]:{path}")
            .escape_debug()
            .to_string(),
    })
}

/// Any text without the passwords of remotes that stand in it as words of their own.
#[must_use]
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    if !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let ends_word = |c: char| c.is_whitespace() || "\"'`()<>=,;".contains(c);
    let words = text.split_inclusive(ends_word).map(|word| {
        let end = word.trim_end_matches(ends_word).len();
        without_password(&word[..end]) + &word[end..]
    });
    Cow::Owned(words.collect())
}

/// The place of a password in `user:password@host:path`, which ssh does not know: from its colon to the `@`.
fn password_before_host(text: &str) -> Option<(usize, usize)> {
    let begin = &text[..text.find('/').unwrap_or(text.len())];
    let colon = begin
        .find([':', '[', '@'])
        .filter(|at| begin[*at..].starts_with(':'))?;
    let host = begin.rfind(':').filter(|at| *at > colon)?;
    let at = begin[..host].rfind('@').filter(|at| *at > colon)?;
    Some((colon, at))
}

/// A remote without the password that may stand in it, for logs and terminals.
#[must_use]
pub fn without_password(text: &str) -> Cow<'_, str> {
    let scheme = text.find("://").filter(|end| !text[..*end].contains('/'));
    let found = scheme.and_then(|end| {
        let authority = end + 3;
        let end = text[authority..]
            .find('/')
            .map_or(text.len(), |slash| authority + slash);
        let at = authority + text[authority..end].rfind('@')?;
        let colon = authority + text[authority..at].find(':')?;
        Some((colon, at))
    });
    let of_no_url = || {
        scheme
            .is_none()
            .then(|| password_before_host(text))
            .flatten()
    };
    match found.or_else(of_no_url) {
        None => Cow::Borrowed(text),
        Some((colon, at)) => Cow::Owned(format!("{}:***{}", &text[..colon], &text[at..])),
    }
}

fn parse_url(rest: &str, whole: &str) -> Result<Remote, RemoteError> {
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let after_user = authority.rfind('@').map_or(0, |at| at + 1);
    let host_end = match authority[after_user..].find(']') {
        Some(bracket) => after_user + bracket + 1,
        None => after_user,
    };
    let (name, port) = match authority[host_end..].rfind(':') {
        Some(colon) => (
            &authority[..host_end + colon],
            Some(parse_port(&authority[host_end + colon + 1..])?),
        ),
        None => (authority, None),
    };
    let host = parse_host(name, port)?;
    // `ssh://host/~/p` is below the home, as in git.
    let path = path
        .strip_prefix("/~/")
        .map_or_else(|| path.to_owned(), |p| format!("~/{p}"));
    Ok(Remote::Ssh {
        host,
        path: checked_path(&path, whole)?,
    })
}

fn parse_port(text: &str) -> Result<u16, RemoteError> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(RemoteError::Port(text.to_owned())),
    }
}

fn parse_host(text: &str, port: Option<u16>) -> Result<Host, RemoteError> {
    let (user, name) = match text.rfind('@') {
        Some(at) => (Some(&text[..at]), &text[at + 1..]),
        None => (None, text),
    };
    let fits = |s: &str, extra: &str| {
        let letter = |c: char| c.is_alphanumeric() || "._-:%+[]".contains(c) || extra.contains(c);
        !s.is_empty() && !s.starts_with('-') && s.chars().all(letter)
    };
    let shown = || RemoteError::Host(text.escape_debug().to_string());
    if !fits(name, "") || user.is_some_and(|u| !fits(u, "@\\")) {
        return Err(shown());
    }
    let name = name
        .strip_prefix('[')
        .and_then(|n| n.strip_suffix(']'))
        .unwrap_or(name);
    if name.starts_with('-') || name.is_empty() {
        return Err(shown());
    }
    Ok(Host {
        user: user.map(str::to_owned),
        name: name.to_owned(),
        port,
    })
}

/// Refuses what would make a whole home directory or file system the root: a typo must not sync it all.
fn checked_path(path: &str, whole: &str) -> Result<Vec<u8>, RemoteError> {
    let trimmed = path.trim_end_matches('/');
    let parts = trimmed.split('/').filter(|p| !p.is_empty() && *p != ".");
    let mut depth = 0i32;
    for part in parts {
        depth += match part {
            ".." => -1,
            "~" if depth == 0 => 0,
            _ => 1,
        };
    }
    let climbs = path.split('/').next() == Some("..");
    if depth <= 0 && !climbs {
        return Err(RemoteError::TooWide(whole.escape_debug().to_string()));
    }
    Ok(trimmed.as_bytes().to_vec())
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssh {
                host: Host {
                    port: Some(port), ..
                },
                path,
            } if path.starts_with(b"/") => {
                let Self::Ssh { host, .. } = self else {
                    return Ok(());
                };
                write!(
                    f,
                    "ssh://{}:{port}{}",
                    host.written(),
                    String::from_utf8_lossy(path)
                )
            }
            Self::Ssh { host, path } => {
                write!(f, "{}:{}", host.written(), String::from_utf8_lossy(path))
            }
            Self::Path(path) => write!(f, "{}", String::from_utf8_lossy(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_refused_and_never_shown() {
        let texts = [
            "ssh://bob:hunter2@hub/srv/p",
            "ssh://bob:hunter2@hub:22/srv/p@x",
            "https://bob:hunter2@hub/p",
            "ssh://bob:hun@ter2@hub",
            "bob:hunter2@hub:p",
            "bob:hunter2@hub:/srv/p",
            "bob:hun:te@r2@hub:p",
        ];
        for text in texts {
            let error = text.parse::<Remote>().unwrap_err().to_string();
            assert!(error.contains("bob:***@hub"), "{error}");
            assert!(!error.contains("ter2"), "{error}");
        }
        for text in [
            "ssh://bob@hub:22/p:q@r",
            "bob@hub:/p",
            "ssh://[::1]:22/p",
            "/a://b:c@d",
            "hub:p@q",
            "hub:/p@q:r",
            "bob@hub:p@q:r",
            "[::1]:p@q:r",
            "bob@[::1]:p",
        ] {
            assert_eq!(without_password(text), text);
        }
    }

    #[test]
    fn passwords_are_found_in_the_middle_of_a_text() {
        for (text, shown) in [
            (
                "cannot use `bob:pw@hub:p` (from --remote=ssh://x:pw@h/p)",
                "cannot use `bob:***@hub:p` (from --remote=ssh://x:***@h/p)",
            ),
            (
                "-e 'proxy http://u:pw@p:80 x' y",
                "-e 'proxy http://u:***@p:80 x' y",
            ),
            (
                "bob:pw@hub: Permission denied",
                "bob:***@hub: Permission denied",
            ),
            (
                "mail to bob@hub: at 12:30, a@b",
                "mail to bob@hub: at 12:30, a@b",
            ),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }

    fn ssh(user: Option<&str>, name: &str, port: Option<u16>, path: &str) -> Remote {
        let host = Host {
            user: user.map(str::to_owned),
            name: name.to_owned(),
            port,
        };
        Remote::Ssh {
            host,
            path: path.as_bytes().to_vec(),
        }
    }

    #[test]
    fn the_forms_of_a_remote() {
        let cases = [
            ("dev@hub:/srv/p", ssh(Some("dev"), "hub", None, "/srv/p")),
            ("hub:work/p/", ssh(None, "hub", None, "work/p")),
            ("hub:~/p", ssh(None, "hub", None, "~/p")),
            (
                "ssh://dev@hub:2222/srv/p",
                ssh(Some("dev"), "hub", Some(2222), "/srv/p"),
            ),
            ("ssh://hub/~/p", ssh(None, "hub", None, "~/p")),
            ("ssh://[::1]:2222/p", ssh(None, "::1", Some(2222), "/p")),
            ("root@[::1]:/p", ssh(Some("root"), "::1", None, "/p")),
            ("[fe80::1%eth0]:p", ssh(None, "fe80::1%eth0", None, "p")),
            ("a:b/[::1]:c", ssh(None, "a", None, "b/[::1]:c")),
            ("/mnt/disk/p", Remote::Path(b"/mnt/disk/p".to_vec())),
            ("../other", Remote::Path(b"../other".to_vec())),
            ("./with:colon", Remote::Path(b"./with:colon".to_vec())),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_remote_is_written_as_it_is_read() {
        for text in ["root@[::1]:/p", "ssh://root@[::1]:2222/p", "dev@hub:p"] {
            assert_eq!(text.parse::<Remote>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_address_without_brackets_is_told_how_it_is_written() {
        for (text, meant) in [
            ("root@2001:db8::1:/srv/p", "root@[2001:db8::1]:/srv/p"),
            ("::1:p", "[::1]:p"),
            ("fe80::1%eth0:/p", "[fe80::1%eth0]:/p"),
            ("2001:db8::1", "[2001:db8::1]:path"),
        ] {
            let error = text.parse::<Remote>().unwrap_err().to_string();
            assert!(error.contains(meant), "{text}: {error}");
        }
        assert!("hub:a:b:c".parse::<Remote>().is_ok());
        assert!("cafe:beef".parse::<Remote>().is_ok());
    }

    #[test]
    fn a_word_that_names_no_directory_is_refused_with_what_may_be_meant() {
        let error = "dev@hub".parse::<Remote>().unwrap_err().to_string();
        assert!(error.contains("dev@hub:path"), "{error}");
        let word: Remote = "hub".parse().unwrap();
        let error = word.refuse_word(|_| false).unwrap_err().to_string();
        assert!(error.contains("./hub"), "{error}");
        assert!(word.refuse_word(|_| true).is_ok());
        for text in ["./hub", "a/hub", "/hub", "~/hub", "h:p"] {
            let remote: Remote = text.parse().unwrap();
            assert!(remote.refuse_word(|_| false).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_host_that_is_an_option_or_shell_text_is_refused() {
        for text in [
            "-oProxyCommand=touch x:/p",
            "ssh://-oProxyCommand=x/p",
            "ssh://[-oProxyCommand=x]/p",
            "a b:/p",
            "$(id):/p",
            "h;id:/p",
            "-u@hub:/p",
            "@hub:/p",
            ":/p",
            "h\n:/p",
        ] {
            assert!(
                matches!(text.parse::<Remote>(), Err(RemoteError::Host(_))),
                "{text}"
            );
        }
        for text in ["ssh://hub:0/p", "ssh://hub:99999/p", "ssh://hub:x/p"] {
            assert!(
                matches!(text.parse::<Remote>(), Err(RemoteError::Port(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_root_that_is_everything_is_refused() {
        for text in [
            "/",
            "hub:/",
            "hub:",
            "hub:~",
            "hub:~/",
            "hub:.",
            "ssh://hub",
            "//",
            "hub:/a/..",
        ] {
            assert!(
                matches!(text.parse::<Remote>(), Err(RemoteError::TooWide(_))),
                "{text}"
            );
        }
    }
}
