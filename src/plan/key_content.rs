//! What a file that is named like a key holds: certificates, public keys and lists of words are no keys. In doubt it is one.

use crate::model::RelPath;

/// A longer file is taken for a key unread, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// What follows `-----BEGIN ` in files that anybody may read (RFC 7468, RFC 4716, RFC 9580, OpenSSL's own).
const PUBLIC_LABELS: &[&str] = &[
    "CERTIFICATE",
    "X509 CERTIFICATE",
    "TRUSTED CERTIFICATE",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
    "X509 CRL",
    "PUBLIC KEY",
    "RSA PUBLIC KEY",
    "SSH2 PUBLIC KEY",
    "PGP PUBLIC KEY BLOCK",
    "PGP SIGNATURE",
    "DH PARAMETERS",
    "EC PARAMETERS",
    "PKCS7",
    "CMS",
];
/// A public key as OpenSSH writes it begins so.
const PUBLIC_TYPES: &[&str] = &[
    "ssh-rsa ",
    "ssh-ed25519 ",
    "ecdsa-sha2-",
    "sk-ssh-",
    "sk-ecdsa-",
];
/// Names by which programs call lists of words as well as keys.
const NAMES_OF_LISTS: &[&str] = &[".key", ".token", "token"];
/// A list of words has so many lines and words at least: a passphrase has fewer.
const LINES: usize = 3;
const WORDS: usize = 8;
/// A longer word is none.
const WORD_BYTES: usize = 20;

/// Whether all of `content`, of the file at `path`, is what anybody may read.
#[must_use]
pub fn holds_no_key(path: &RelPath, content: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(content) else {
        return false;
    };
    if content.len() > MAX_BYTES || text.to_ascii_uppercase().contains("PRIVATE") {
        return false;
    }
    let name = path.name().to_ascii_lowercase();
    let may_be_list = NAMES_OF_LISTS
        .iter()
        .any(|end| name.ends_with(end.as_bytes()));
    is_public_block(text) || is_public_line(text) || (may_be_list && is_word_list(text))
}

fn is_public_block(text: &str) -> bool {
    let mut labels = text.split("-----BEGIN ").skip(1).peekable();
    labels.peek().is_some()
        && labels.all(|rest| {
            let label = rest.split("-----").next().unwrap_or_default();
            PUBLIC_LABELS.contains(&label)
        })
}

fn is_public_line(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.is_empty()).peekable();
    let is_public = |line: &str| PUBLIC_TYPES.iter().any(|kind| line.starts_with(kind));
    lines.peek().is_some() && lines.all(is_public)
}

fn is_word_list(text: &str) -> bool {
    let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
    let is_between = |c: char| c.is_whitespace() || "=:,;()[]{}<>|/\"'".contains(c);
    let words: Vec<_> = text
        .split(is_between)
        .filter(|word| !word.is_empty())
        .collect();
    lines >= LINES && words.len() >= WORDS && words.iter().all(|word| is_word(word))
}

/// Whether it is of letters alone, or of a few digits, as words of a language are.
fn is_word(word: &str) -> bool {
    let is_letter = |c: char| c.is_alphabetic() || "-_.!?#*".contains(c);
    let is_number = word.len() <= 4 && word.bytes().all(|b| b.is_ascii_digit());
    word.chars().count() <= WORD_BYTES && (is_number || word.chars().all(is_letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds_none(name: &str, content: &str) -> bool {
        holds_no_key(&RelPath::new(name.as_bytes()).unwrap(), content.as_bytes())
    }

    #[test]
    fn certificates_public_keys_and_lists_of_words_are_no_keys() {
        let certificate =
            "# a bundle\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        let list = "Yes = Ja\nNo = Nein\nOpen the file = Die Datei öffnen\nPage 12: Seite 12\n";
        for (name, content) in [
            ("ca.pem", certificate),
            ("deep/Server.KEY", "-----BEGIN PUBLIC KEY-----\nMIIB\n"),
            ("host.key", "ssh-ed25519 AAAAC3Nza dev@hub\n"),
            ("Lang.key", list),
            ("docs/token", list),
            ("lex.token", list),
        ] {
            assert!(holds_none(name, content), "{name}");
        }
    }

    #[test]
    fn in_doubt_it_is_a_key() {
        let both = "-----BEGIN CERTIFICATE-----\nM\n-----BEGIN RSA PRIVATE KEY-----\nM\n";
        let words = "one two three\nfour five six\nseven eight nine ten\n";
        for (name, content) in [
            ("a.pem", both),
            ("a.pem", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n"),
            ("a.pem", "-----BEGIN ENCRYPTED SOMETHING-----\nb3Bl\n"),
            ("a.pem", words),
            ("id_rsa", words),
            (
                ".netrc",
                "machine a\nlogin b\npassword c\nmachine d login e password f\n",
            ),
            ("token", "hunter"),
            ("token", "correct horse battery staple\n"),
            (
                "token",
                "one two three\nfour five six\nseven eight ghp4x9Qz\n",
            ),
            ("token", "a b c\nd e f\ng h abcdefghijklmnopqrstuvwxyz\n"),
            ("a.key", ""),
            ("a.key", "\u{0}\u{1}"),
        ] {
            assert!(!holds_none(name, content), "{name}: {content}");
        }
        assert!(!holds_no_key(
            &RelPath::new(*b"a.key").unwrap(),
            b"\xff\xfe"
        ));
    }
}
