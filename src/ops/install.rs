//! Puts this very program on a hub, as a whole or not at all, and tells a program there that does not run from none.

use super::connect::Hub;
use super::look::World;
use super::{Failure, FailureKind};
use crate::protocol::handshake::ServerHello;
use crate::report::printable;
use crate::transport::remote_command::{INSTALL_PATH, SEARCH_PATH};
use crate::transport::shell::{Shell, complaint};

/// What is found on a hub that does not answer as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum There {
    /// No program of this name.
    Missing,
    /// One that does not run.
    Broken {
        /// Where it is.
        path: String,
        /// What came of running it.
        said: String,
    },
}

/// Looks for the program on a hub that does not answer; `None` if it runs, or nothing could be asked.
pub(super) fn there(world: &World<'_>, hub: &Hub) -> Option<There> {
    let shell = hub.shell(world).ok()?;
    let text = format!(
        "sh -c '{SEARCH_PATH}; p=$(command -v rsyn) || {{ echo none; exit 3; }}; echo \"at $p\"; v=$(\"$p\" --version) && echo \"is $v\"'"
    );
    let output = shell.run(&text, b"");
    shell.close();
    let output = output.ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // A login shell may print something before.
    let Some(at) = said.lines().find_map(|line| line.strip_prefix("at ")) else {
        return said
            .lines()
            .any(|line| line == "none")
            .then_some(There::Missing);
    };
    let runs = output.success && said.lines().any(|line| line.starts_with("is rsyn "));
    (!runs).then(|| There::Broken {
        path: printable::line(at),
        said: Some(complaint(&output))
            .filter(|words| !words.is_empty())
            .unwrap_or_else(|| "it is no rsyn".to_owned()),
    })
}

/// Whether the hub runs a program of this version that an install has put there, and that is not this one.
pub(super) fn is_damaged(world: &World<'_>, hub: &Hub, hello: &ServerHello) -> bool {
    let here = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    if hello.version != env!("CARGO_PKG_VERSION") || hello.platform != here {
        return false;
    }
    let Ok(shell) = hub.shell(world) else {
        return false;
    };
    let program = crate::disk::read_program(&world.environment.program);
    let text = format!(
        "sh -c '{SEARCH_PATH}; cd && p=$(command -v rsyn) && [ \"$p\" -ef {INSTALL_PATH} ] && cksum < \"$p\"'"
    );
    let output = shell.run(&text, b"");
    shell.close();
    match (program, output) {
        (Ok(program), Ok(output)) if output.success => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            !said.lines().any(|line| line.trim() == sum(&program))
        }
        _ => false,
    }
}

/// Copies this program to the hub, where pull and push find it though it is on no PATH.
///
/// # Errors
/// The hub cannot be reached, is of another kind, or the copy is not whole or does not run there. What was there
/// before is there then.
pub(super) fn put(world: &World<'_>, hub: &Hub) -> Result<String, Failure> {
    let shell = hub.shell(world)?;
    let outcome = put_by(&shell, world, hub);
    shell.close();
    outcome
}

fn put_by(shell: &Shell, world: &World<'_>, hub: &Hub) -> Result<String, Failure> {
    let failed = |message: String, hint: &str| Failure::new(FailureKind::Failed, message, hint);
    let there = shell.run("uname -sm", b"").map_err(|e| failed(e, ""))?;
    let there = String::from_utf8_lossy(&there.stdout)
        .trim()
        .to_lowercase()
        .replace("arm64", "aarch64");
    let here = format!(
        "{} {}",
        std::env::consts::OS.replace("macos", "darwin"),
        std::env::consts::ARCH
    );
    if there.lines().last() != Some(&here) {
        let hint = "build rsyn there from its source (`make install`), then run `rsyn setup` again";
        let there = printable::line(&there);
        return Err(failed(
            format!("the hub is {there}, this program is for {here}"),
            hint,
        ));
    }
    let program = crate::disk::read_program(&world.environment.program)?;
    let output = shell
        .run(&upload(&sum(&program)), &program)
        .map_err(|e| failed(e, "is there room on the hub?"))?;
    if !output.success {
        return Err(failed(
            format!("cannot install on the hub: {}", complaint(&output)),
            "what was there before is there still; is there room, is the home writable?",
        ));
    }
    Ok(format!(
        "rsyn {} is now at ~/{INSTALL_PATH} on {}",
        env!("CARGO_PKG_VERSION"),
        hub.host().unwrap_or("the hub")
    ))
}

/// The command that takes a program from its standard input. It is moved into place only after its sum was that of all
/// that was sent, and it ran: a connection that is cut looks like its end.
fn upload(sum: &str) -> String {
    let directory = INSTALL_PATH
        .rsplit_once('/')
        .map_or(".", |(above, _)| above);
    let version = env!("CARGO_PKG_VERSION");
    // No `!` and no backslash: some login shells see them inside of quotes.
    format!(
        "sh -c 'umask 077; cd && mkdir -p {directory} || exit 1; \
         t={INSTALL_PATH}.$$.part; rm -f {INSTALL_PATH}.*.part; trap \"rm -f $t\" 0; trap \"exit 1\" 1 2 13 15; \
         fail() {{ echo \"$1\" >&2; exit 1; }}; \
         [ -d {INSTALL_PATH} ] && fail \"{INSTALL_PATH} is a directory\"; \
         command -v cksum >/dev/null || fail \"the hub has no cksum to prove with that all arrived\"; \
         cat > $t || exit 1; \
         [ \"$(cksum < $t)\" = \"{sum}\" ] || fail \"the program arrived damaged or not as a whole\"; \
         chmod 755 $t || exit 1; \
         [ \"$($t --version)\" = \"rsyn {version}\" ] || fail \"the program does not run there\"; \
         sync $t 2>/dev/null || sync; \
         mv -f $t {INSTALL_PATH}'"
    )
}

/// What `cksum` prints of standard input with these bytes: a sum and how many they are.
/// Source: POSIX.1-2017, `cksum`.
fn sum(bytes: &[u8]) -> String {
    let table = table();
    let step = |sum: u32, byte: u8| (sum << 8) ^ table[usize::from((sum >> 24) as u8 ^ byte)];
    let mut sum = bytes.iter().fold(0, |sum, byte| step(sum, *byte));
    let mut left = bytes.len() as u64;
    while left > 0 {
        sum = step(sum, left.to_le_bytes()[0]);
        left >>= 8;
    }
    format!("{} {}", !sum, bytes.len())
}

fn table() -> [u32; 256] {
    const POLYNOMIAL: u32 = 0x04c1_1db7;
    let mut table = [0; 256];
    for (value, first) in table.iter_mut().zip(0_u32..) {
        *value = (0..8).fold(first << 24, |sum, _| match sum >> 31 {
            1 => (sum << 1) ^ POLYNOMIAL,
            _ => sum << 1,
        });
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_cksum() {
        // Printed by `cksum` of GNU coreutils.
        assert_eq!(sum(b""), "4294967295 0");
        assert_eq!(sum(b"abc"), "1219131554 3");
        assert_eq!(sum(&[7; 70_000]), "638236592 70000");
    }

    #[test]
    fn the_upload_has_nothing_that_a_login_shell_could_read_otherwise() {
        let text = upload("1 2");
        let inside = text.strip_prefix("sh -c '").unwrap().strip_suffix('\'');
        assert!(!inside.unwrap().contains(['\'', '!', '\\', '\n']), "{text}");
    }
}
