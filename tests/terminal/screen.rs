//! A run of the program on a pseudo-terminal.

use std::process::Command;

use rexpect::session::{PtySession, spawn_command};

use crate::support::Machine;

/// How long anything may take, in milliseconds.
const PATIENCE_MS: u64 = 20_000;

/// A program on a terminal of its own.
pub struct Screen {
    session: PtySession,
    shown: String,
}

impl Screen {
    /// Starts it in the machine's project; the terminal has 80 columns.
    pub fn start(machine: &Machine, args: &[&str]) -> Self {
        Self::of_width(machine, args, 80)
    }

    /// As [`Screen::start`], on a terminal of another width.
    pub fn of_width(machine: &Machine, args: &[&str], columns: u16) -> Self {
        let program = machine.command(args);
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("stty rows 24 cols {columns}; exec \"$@\""))
            .arg("sh")
            .arg(program.get_program())
            .args(program.get_args())
            .current_dir(program.get_current_dir().unwrap())
            .env_clear()
            .env("TERM", "xterm")
            .envs(program.get_envs().filter_map(|(k, v)| Some((k, v?))));
        let session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
        let shown = String::new();
        Self { session, shown }
    }

    /// Waits until it says `words`.
    #[track_caller]
    pub fn says(&mut self, words: &str) -> &mut Self {
        match self.session.exp_string(words) {
            Ok(before) => self.shown += &(before + words),
            Err(e) => panic!("no `{words}`: {e}\nbefore: {}", self.shown),
        }
        self
    }

    /// What it showed so far, up to the words that were waited for last.
    pub fn so_far(&self) -> &str {
        &self.shown
    }

    /// Types bytes: `\r` is Enter, `\x03` Ctrl-C, `\x04` Ctrl-D.
    pub fn types(&mut self, keys: &str) -> &mut Self {
        self.session.send(keys).unwrap();
        self.session.flush().unwrap();
        self
    }

    /// Waits for its end; everything it showed.
    #[track_caller]
    pub fn ends(mut self, code: i32) -> String {
        match self.session.exp_eof() {
            Ok(rest) => self.shown += &rest,
            Err(e) => panic!("it does not end: {e}\nbefore: {}", self.shown),
        }
        let status = format!("{:?}", self.session.process().wait().unwrap());
        let ended_so = status.starts_with("Exited(") && status.ends_with(&format!(", {code})"));
        assert!(ended_so, "not {code}: {status}\n{}", self.shown);
        // What was read is bytes, one in each character.
        let bytes: Vec<u8> = self
            .shown
            .chars()
            .filter_map(|c| u8::try_from(c).ok())
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What stands on a terminal of so many columns in the end, line by line, after a program has written `raw`.
pub fn remaining(raw: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![vec![]];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut chars = raw.chars();
    while let Some(char) = chars.next() {
        match char {
            '\r' => column = 0,
            '\n' => row += 1,
            '\x1b' => {
                assert_eq!(chars.next(), Some('['), "a sequence of another kind");
                let mut number = String::new();
                let last = chars.by_ref().find(|c| {
                    number.push(*c);
                    c.is_ascii_alphabetic()
                });
                number.pop();
                let count = number.parse().unwrap_or(1);
                match last {
                    Some('A') => row = row.saturating_sub(count),
                    Some('B') => row += count,
                    Some('K') if number == "2" => lines[row].clear(),
                    Some('K') => lines[row].truncate(column),
                    Some('J') => {
                        lines[row].truncate(column);
                        lines.truncate(row + 1);
                    }
                    _ => {}
                }
            }
            char => {
                if column == columns {
                    (row, column) = (row + 1, 0);
                }
                lines.resize(lines.len().max(row + 1), vec![]);
                let width = lines[row].len().max(column + 1);
                lines[row].resize(width, ' ');
                lines[row][column] = char;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), vec![]);
    }
    lines
        .into_iter()
        .map(|line| line.into_iter().collect())
        .collect()
}
