//! Whether the proxy is the link that it says it is: asked before each run over it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::figures::median;
use super::proxy::{Line, MOST_HELD_BYTES, Proxy};

const RATE_TOLERANCE: f64 = 0.02;
const DELAY_TOLERANCE_SECS: f64 = 0.001;
const PROBES: usize = 15;
/// How much of the line's time the rate is measured over, in seconds.
const RATE_SECS: f64 = 1.0;

/// Rate, delay, connection, count of bytes and bound of memory of a proxy of this line; one sentence for the report.
///
/// # Panics
/// One of them is not as asked.
pub fn check(line: Line) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(line, listener.local_addr().unwrap().port());
    let connect = || {
        let start = Instant::now();
        let near = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let (far, _) = listener.accept().unwrap();
        let seconds = start.elapsed().as_secs_f64();
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        (seconds, near, far)
    };
    let (_, mut near, mut far) = connect();
    let connect = median((0..PROBES).map(|_| connect().0).collect());
    assert_delay("connection", connect, 2.0 * line.delay.as_secs_f64());

    let up = delay(&mut near, &mut far);
    let down = delay(&mut far, &mut near);
    // A single byte takes its own time on the line, too; on a fast line that is nothing.
    assert_delay("way up", up, line.delay.as_secs_f64());
    assert_delay("way down", down, line.delay.as_secs_f64());

    let bytes = (line.bytes_per_second * RATE_SECS) as usize;
    let before = proxy.bytes();
    let (rate_up, rate_down) = (
        rate(&mut near, &mut far, bytes),
        rate(&mut far, &mut near, bytes),
    );
    for (way, rate) in [("up", rate_up), ("down", rate_down)] {
        let off = rate / line.bytes_per_second - 1.0;
        assert!(
            off.abs() <= RATE_TOLERANCE,
            "the proxy's rate {way} is off by {:.1} %",
            off * 100.0
        );
    }
    assert_eq!(proxy.bytes() - before, 2 * bytes as u64, "bytes counted");
    let held = check_bound();
    format!(
        "proxy checked: connection {:.1} ms, ways {:.1} / {:.1} ms, rates {:.2} / {:.2} Mbit/s, at most {} KiB held for a peer that does not read",
        connect * 1e3,
        up * 1e3,
        down * 1e3,
        rate_up * 8e-6,
        rate_down * 8e-6,
        held / 1024,
    )
}

fn assert_delay(what: &str, measured: f64, asked: f64) {
    assert!(
        (measured - asked).abs() <= DELAY_TOLERANCE_SECS,
        "the proxy's {what} takes {:.2} ms instead of {:.2}: is the machine busy?",
        measured * 1e3,
        asked * 1e3
    );
}

/// Median time of one byte from `from` to `to`, in seconds.
fn delay(from: &mut TcpStream, to: &mut TcpStream) -> f64 {
    let mut times = vec![];
    for _ in 0..PROBES {
        let start = Instant::now();
        from.write_all(b"x").unwrap();
        to.read_exact(&mut [0]).unwrap();
        times.push(start.elapsed().as_secs_f64());
    }
    median(times)
}

/// Bytes per second between the first and the last arrival.
fn rate(from: &mut TcpStream, to: &mut TcpStream, bytes: usize) -> f64 {
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(&vec![7; bytes]).unwrap());
        let mut buffer = vec![0; 1 << 16];
        let first = to.read(&mut buffer).unwrap();
        let start = Instant::now();
        let mut left = bytes - first;
        while left > 0 {
            left -= to.read(&mut buffer[..left.min(1 << 16)]).unwrap();
        }
        (bytes - first) as f64 / start.elapsed().as_secs_f64()
    })
}

/// Writes to a peer that does not read, over a line without delay, until nothing goes any more; the most bytes that
/// the proxy held.
fn check_bound() -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = Line {
        delay: Duration::ZERO,
        bytes_per_second: 1e9,
    };
    let proxy = Proxy::start(line, listener.local_addr().unwrap().port());
    let mut near = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    let (_far, _) = listener.accept().unwrap();
    near.set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let chunk = vec![0; 1 << 16];
    let mut written = 0u64;
    while let Ok(len) = near.write(&chunk) {
        written += len as u64;
        assert!(written < 1 << 30, "the proxy takes without end");
    }
    let held = proxy.most_held();
    // Equal or less than one chunk below: it was the bound that stopped it.
    let bound = MOST_HELD_BYTES as u64;
    assert!(
        (bound - 4096..=bound).contains(&held),
        "the proxy held {held} bytes, its bound is {bound}"
    );
    held
}
