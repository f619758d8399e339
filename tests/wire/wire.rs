//! A wire in place of ssh: this test program, started once more by rsyn as `-e`. It passes bytes between rsyn and
//! the hub, counts them, and breaks where it is told to.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::support::{Machine, Sandbox};

/// Tells the process that it is a wire, and which.
const WIRE: &str = "RSYN_TEST_WIRE";
/// The hub's words are passed on when both have been quiet for so long, so that all that one says without
/// waiting counts as one turn.
const QUIET: Duration = Duration::from_millis(150);

/// How a wire behaves.
#[derive(Debug, Clone, Copy)]
pub struct Wire {
    /// Bytes that pass from the machine to the hub.
    pub up: u64,
    /// Bytes that pass from the hub to the machine.
    pub down: u64,
    /// Whether it stays open and dead after that, instead of ending.
    pub hangs: bool,
    /// Whether turns are counted, which slows it down.
    pub counts: bool,
}

/// A wire that passes everything.
pub const SOUND: Wire = Wire {
    up: u64::MAX,
    down: u64::MAX,
    hangs: false,
    counts: false,
};

/// What passed a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// How often the machine waited for the hub.
    pub round_trips: u64,
    /// Bytes from the machine.
    pub up: u64,
    /// Bytes from the hub.
    pub down: u64,
}

impl Wire {
    /// `machine` with this wire to its hub.
    pub fn to(self, machine: &Machine, world: &Sandbox) -> Machine {
        let exe = std::env::current_exe().unwrap();
        let me = "wire::a_wire_passes_as_many_bytes_as_it_is_told";
        let options = format!("-e \"'{}' --exact {me} --nocapture\"", exe.display());
        let note = world.dir("passed").0;
        let spec = format!(
            "{} {} {} {} {}",
            self.up,
            self.down,
            self.hangs,
            self.counts,
            note.display()
        );
        machine
            .clone()
            .with("RSYN_OPTIONS", options)
            .with(WIRE, spec)
    }
}

/// A project whose hub is behind a wire.
pub fn project(world: &Sandbox, name: &str) -> Machine {
    let machine = world.machine(name);
    let remote = format!("remote = \"hub:{}\"\n", world.hub().text_path());
    machine.write("rsyn.toml", remote);
    machine
}

/// What passed the last wire of this world.
#[track_caller]
pub fn passed(world: &Sandbox) -> Passed {
    let until = Instant::now() + Duration::from_secs(10);
    let note = world.dir("");
    while !note.has("passed") {
        assert!(Instant::now() < until, "the wire left no note");
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = note.text("passed");
    note.remove("passed");
    let numbers: Vec<u64> = text.split(' ').map(|n| n.parse().unwrap()).collect();
    Passed {
        round_trips: numbers[0],
        up: numbers[1],
        down: numbers[2],
    }
}

/// Looks for pieces that say nothing but how much has arrived (`[arrived]`, alone in plain chunks): that flows beside the
/// content, is no question, and is answered by nobody.
#[derive(Default)]
struct News {
    /// The begin of a chunk that may be one.
    begun: Vec<u8>,
}

impl News {
    /// Bytes of the longest such chunk: chunk header, frame header, number of the message, a number.
    const MOST_BYTES: usize = 16;

    fn is_all_of(&mut self, piece: &[u8]) -> bool {
        let all = [std::mem::take(&mut self.begun), piece.to_vec()].concat();
        let mut rest = &all[..];
        while let [len @ 9..=11, 0, 0, 0, 0, _, 0, 0, 0, 1, 34, ..] = rest {
            match rest.get(5 + usize::from(*len)..) {
                Some(after) => rest = after,
                None => break,
            }
        }
        let may_be_one = rest.len() < Self::MOST_BYTES && matches!(rest, [] | [9..=11, ..]);
        if may_be_one {
            self.begun = rest.to_vec();
        }
        may_be_one
    }
}

#[test]
fn a_wire_knows_news_however_they_are_cut() {
    let news = [9, 0, 0, 0, 0, 4, 0, 0, 0, 1, 34, 0xc3, 0xc3, 0x21];
    let twice = [news, news].concat();
    for cut in 0..twice.len() {
        let mut all = News::default();
        assert!(
            all.is_all_of(&twice[..cut]) && all.is_all_of(&twice[cut..]),
            "{cut}"
        );
    }
    let look = [7, 0, 0, 0, 0, 2, 0, 0, 0, 1, 2];
    assert!(!News::default().is_all_of(&look));
    assert!(!News::default().is_all_of(&[&news[..], &look].concat()));
    assert!(!News::default().is_all_of(b"RSYN\0\x01"));
}

/// What both directions know of each other.
#[derive(Default)]
struct Shared {
    up: u64,
    /// Whether anything went up since the last answer.
    asked: bool,
    round_trips: u64,
    down: u64,
    last_up: Option<Instant>,
    last_down: Option<Instant>,
}

impl Shared {
    /// Whether neither side has said anything for a while.
    fn is_quiet(&self) -> bool {
        let long_ago = |last: Option<Instant>| last.is_none_or(|at| at.elapsed() >= QUIET);
        long_ago(self.last_up) && long_ago(self.last_down)
    }
}

/// Passes bytes on, at most `limit`; whether the source ended by itself.
fn pass(
    from: &mut impl Read,
    to: &mut impl Write,
    limit: u64,
    mut before: impl FnMut(&[u8]),
) -> bool {
    let mut left = limit;
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        let most = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        match from.read(&mut buffer[..most]) {
            Ok(0) | Err(_) => return true,
            Ok(read) => {
                before(&buffer[..read]);
                left -= read as u64;
                if to.write_all(&buffer[..read]).is_err() {
                    return true;
                }
            }
        }
    }
    false
}

/// Passes the hub's words on and counts its turns: what it says is held back until both have been quiet, so that it is one
/// turn in however many pieces it comes.
fn pass_in_turns(
    from_hub: &mut (impl Read + Send),
    to: &mut impl Write,
    shared: &Mutex<Shared>,
) -> bool {
    std::thread::scope(|scope| {
        let (sender, pieces) = mpsc::channel();
        scope.spawn(move || {
            let mut news = News::default();
            pass(from_hub, &mut std::io::sink(), u64::MAX, |piece| {
                let is_news = news.is_all_of(piece);
                if !is_news {
                    shared.lock().unwrap().last_down = Some(Instant::now());
                }
                // Nobody listens any more where the machine has ended.
                drop(sender.send((piece.to_vec(), is_news)));
            })
        });
        while let Ok((piece, is_news)) = pieces.recv() {
            let mut turn = vec![piece];
            if !is_news {
                while !shared.lock().unwrap().is_quiet() {
                    std::thread::sleep(Duration::from_millis(2));
                }
                turn.extend(pieces.try_iter().map(|(piece, _)| piece));
            }
            let turn = turn.concat();
            {
                let mut shared = shared.lock().unwrap();
                shared.down += turn.len() as u64;
                if shared.asked && !is_news {
                    shared.asked = false;
                    shared.round_trips += 1;
                }
            }
            if to.write_all(&turn).is_err() {
                break;
            }
        }
        true
    })
}

/// Also the process that is a wire: rsyn starts this test with the command for the hub as its last argument.
#[test]
fn a_wire_passes_as_many_bytes_as_it_is_told() {
    let Ok(spec) = std::env::var(WIRE) else {
        for (limit, arrives, ends) in [(3, &b"abc"[..], false), (9, b"abcde", true)] {
            let mut arrived = Vec::new();
            assert_eq!(pass(&mut &b"abcde"[..], &mut arrived, limit, |_| ()), ends);
            assert_eq!(arrived, arrives);
        }
        return;
    };
    let words: Vec<_> = spec.splitn(5, ' ').collect();
    let number = |at: usize| words[at].parse().unwrap();
    be_a_wire(
        Wire {
            up: number(0),
            down: number(1),
            hangs: words[2] == "true",
            counts: words[3] == "true",
        },
        &PathBuf::from(words[4]),
    );
}

fn be_a_wire(wire: Wire, note: &std::path::Path) -> ! {
    let command = std::env::args().next_back().unwrap();
    let mut hub = Command::new("sh")
        .args(["-c", &command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to_hub, mut from_hub) = (hub.stdin.take().unwrap(), hub.stdout.take().unwrap());
    let shared = Arc::new(Mutex::new(Shared::default()));
    let upwards = Arc::clone(&shared);
    // Unbuffered, and nothing of the test harness in between.
    let mut stdin = File::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut stdout = File::from(std::io::stdout().as_fd().try_clone_to_owned().unwrap());
    std::thread::spawn(move || {
        let mut news = News::default();
        let ended = pass(&mut stdin, &mut to_hub, wire.up, |piece| {
            let mut shared = upwards.lock().unwrap();
            shared.up += piece.len() as u64;
            if !news.is_all_of(piece) {
                shared.asked = true;
                shared.last_up = Some(Instant::now());
            }
        });
        if !ended && wire.hangs {
            std::thread::sleep(Duration::from_secs(60));
        }
        // The hub sees the end, and so does the machine when the hub has ended.
        drop(to_hub);
    });
    let ended = match wire.counts {
        true => pass_in_turns(&mut from_hub, &mut stdout, &shared),
        false => pass(&mut from_hub, &mut stdout, wire.down, |piece| {
            shared.lock().unwrap().down += piece.len() as u64;
        }),
    };
    if !ended && wire.hangs {
        std::thread::sleep(Duration::from_secs(60));
    }
    drop(from_hub);
    if !ended {
        // A cut wire: the hub hears of it when it next writes, or here.
        drop(stdout);
        hub.kill().ok();
    }
    hub.wait().unwrap();
    let shared = shared.lock().unwrap();
    let text = format!("{} {} {}", shared.round_trips, shared.up, shared.down);
    let whole = note.with_extension("new");
    std::fs::write(&whole, text).unwrap();
    std::fs::rename(&whole, note).unwrap();
    std::process::exit(0);
}
