//! The one door to standard output and standard error. A text is made safe for a terminal here, at the writer, so that no
//! name and no word of a peer gets past; and what standard output does not take is remembered and told at the end.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the door that everything else is kept from"
)]

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anstyle::Style;
use indicatif::{ProgressBar, WeakProgressBar};

use super::exit;
use crate::config::remote::without_passwords;
use crate::report::printable;

/// The first write that standard output did not take.
static TROUBLE: Mutex<Option<io::Error>> = Mutex::new(None);

fn trouble() -> std::sync::MutexGuard<'static, Option<io::Error>> {
    TROUBLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bar that is drawn last.
static BAR: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// Takes note of a bar: it is away while anything else is written.
pub(super) fn note_bar(bar: &ProgressBar) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.downgrade());
}

/// The bar that is drawn now.
fn bar() -> Option<ProgressBar> {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
    bar?.upgrade().filter(|bar| !bar.is_finished())
}

/// Takes the bar away for good: what comes is the end.
pub(super) fn end_bar() {
    if let Some(bar) = bar() {
        bar.finish_and_clear();
    }
}

/// How many columns the terminal has on which bars are drawn.
pub(super) fn columns() -> u16 {
    rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col)
}

/// Writes a text to standard output.
pub(super) fn print(text: &str) {
    print_bytes(printable::text(text).as_bytes());
}

/// Writes an object of the JSON contract to standard output, as one line.
pub(super) fn print_json(value: &serde_json::Value) {
    print_bytes(format!("{}\n", printable::json(value)).as_bytes());
}

/// As [`print_json`], the list at `key`, which is empty in `value`, filled with `items` one by one: of a million of them
/// one is in memory.
pub(super) fn print_json_list(
    value: &serde_json::Value,
    key: &str,
    items: impl Iterator<Item = serde_json::Value>,
) {
    let line = printable::json(value);
    let place = format!("\"{key}\":[");
    // Inside of a text a quote is escaped, so that this is the key.
    let Some(at) = line.find(&format!("{place}]")) else {
        return print_json(value);
    };
    let (before, after) = line.split_at(at + place.len());
    let mut out = io::BufWriter::with_capacity(64 * 1024, Raw);
    let mut write = |text: &str| out.write_all(text.as_bytes()).is_ok();
    let mut go_on = write(before);
    for (number, item) in items.enumerate() {
        let comma = if number > 0 { "," } else { "" };
        go_on = go_on && write(comma) && write(&printable::json(&item));
        if !go_on {
            return;
        }
    }
    write(after);
    write("\n");
    drop(out.flush());
}

/// Writes bytes to standard output as they are: content of a file, names for a program.
pub(super) fn print_bytes(bytes: &[u8]) {
    // What fails is remembered.
    end_bar();
    drop(Raw.write_all(bytes));
}

/// Writes a line to standard error.
pub(super) fn say(line: &str) {
    drop(write_err(&format!("{}\n", safe(line))));
}

/// Writes a line to standard error that begins with a coloured word.
pub(super) fn say_labelled(style: Style, label: &str, line: &str) {
    let line = safe(line);
    drop(write_err(&format!("{style}{label}{style:#}: {line}\n")));
}

/// Writes a question to standard error.
pub(super) fn say_question(question: &str) {
    drop(write_err(&format!("{} ", safe(question))));
}

/// Words for people as a terminal may have them, without the passwords of remotes.
fn safe(words: &str) -> String {
    printable::text(&without_passwords(words))
}

fn write_err(text: &str) -> io::Result<()> {
    let write = || {
        let mut err = anstream::stderr().lock();
        err.write_all(text.as_bytes())?;
        err.flush()
    };
    match bar() {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Standard output, byte by byte. Not that of the standard library, for which one that cannot be written takes everything.
pub(super) struct Raw;

impl Write for Raw {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(e) = &*trouble() {
            return Err(again(e));
        }
        loop {
            match rustix::io::write(io::stdout().as_fd(), bytes) {
                Ok(written) => return Ok(written),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => std::thread::sleep(Duration::from_millis(5)),
                Err(e) => {
                    let e = io::Error::from(e);
                    let told = again(&e);
                    *trouble() = Some(e);
                    return Err(told);
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn again(e: &io::Error) -> io::Error {
    e.raw_os_error()
        .map_or_else(|| e.kind().into(), io::Error::from_raw_os_error)
}

/// Whether standard output did not take all.
pub(super) fn is_broken() -> bool {
    trouble().is_some()
}

/// The exit code of a command that ended with `code`, once it was said what standard output did not take. A reader that has
/// gone, as `head`, did not want more.
pub(super) fn check(code: u8) -> u8 {
    match &*trouble() {
        Some(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            let words = format!("cannot write to standard output: {e}");
            say_labelled(super::ui::red(), "error", &words);
            match code {
                exit::DONE => {
                    say("  what was asked for was done, but its result was not told");
                    exit::NO
                }
                code => code,
            }
        }
        _ => code,
    }
}

/// Standard output of a hub, for its client.
pub(super) fn wire() -> io::Stdout {
    io::stdout()
}

/// Whether standard error is a terminal.
pub(super) fn can_draw() -> bool {
    io::stderr().is_terminal()
}
