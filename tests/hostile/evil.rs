//! The table: each field of a session times each evil value, and each message times what can befall one.

use crate::encoder::{CONTROL, Field, Message, chunks, frame, varint};

/// Limits of `docs/protocol.md` that a length is held against.
const CONTROL_BYTES: u32 = 1 << 20;
const DATA_BYTES: u32 = 256 << 10;

/// One evil session: what is wrong with it, and its bytes behind the Hello.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
}

const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    3,
    5,
    6,
    30,
    31,
    127,
    128,
    1 << 12,
    1 << 20,
    4_000_000,
    4_000_001,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

fn numbers(right: u64) -> Vec<(String, Vec<u8>)> {
    let near = [right.wrapping_add(1), right.wrapping_sub(1)];
    let values = NUMBERS.iter().copied().chain(near);
    let mut evil: Vec<_> = values
        .filter(|value| *value != right)
        .map(|value| (format!("{value}"), varint(value)))
        .collect();
    let patterns: [(&str, Vec<u8>); 5] = [
        ("nothing", vec![]),
        ("cut", vec![0x80]),
        ("ten ones", vec![0xff; 10]),
        ("eleven ones", vec![0xff; 11]),
        ("without end", vec![0x80; 40]),
    ];
    evil.extend(patterns.map(|(name, bytes)| (name.to_owned(), bytes)));
    evil
}

/// Contents that a text or a target may not have, or not be believed.
fn contents() -> Vec<(String, Vec<u8>)> {
    let of = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    vec![
        of("empty", b""),
        of("NUL", b"\0"),
        of("no UTF-8", b"\xff\xfe"),
        of("escapes", b"\x1b]0;x\x07\x1b[31m\r\n"),
        of("long", &[b'x'; 5000]),
        of("very long", &vec![b'x'; 900 << 10]),
        of("beyond a message", &vec![b'x'; 1 << 20]),
    ]
}

/// Paths that lead out of the root, into its state, through a link (`out`), or nowhere.
pub fn paths() -> Vec<(String, Vec<u8>)> {
    let mut evil: Vec<(String, Vec<u8>)> = [
        "..",
        "../x",
        "d/..",
        "d/../../x",
        "/",
        "/etc/x",
        "//x",
        "d//x",
        "d/",
        "./x",
        ".",
        "d/./x",
        "x\0y",
        ".rsyn",
        ".rsyn/id",
        ".rsyn/txn/x",
        "d/.rsyn/x",
        ".RSYN/id",
        ".Rsyn",
        "out",
        "out/x",
        "out/secret",
        "out/../x",
        "f/x",
        "d/x/y/z",
        "~/x",
        "-rf",
        "CON",
        "d\\..\\x",
        "\u{202e}x",
        "new\nline",
    ]
    .map(|path| (path.escape_debug().to_string(), path.as_bytes().to_vec()))
    .to_vec();
    let of = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    evil.extend([
        of("name of 256", vec![b'n'; 256]),
        of("path of 4096", b"abcdefg/".repeat(512)[..4096].to_vec()),
        of("513 deep", b"d/".repeat(513)[..1025].to_vec()),
        of("10,000 deep", b"d/".repeat(10_000)[..19_999].to_vec()),
        of("10,000 up", b"../".repeat(10_000)),
        of("no UTF-8", b"\xff\xfe".to_vec()),
    ]);
    evil
}

/// The evil encodings of one field.
fn of_field(field: &Field) -> Vec<(String, Vec<u8>)> {
    let held = |(name, bytes): (String, Vec<u8>)| (name, Field::Bytes(bytes).encode());
    match field {
        Field::Number(number) => numbers(*number),
        Field::Bytes(bytes) => {
            let lies = numbers(bytes.len() as u64).into_iter();
            let lies =
                lies.map(|(name, len)| (format!("length {name}"), [len, bytes.clone()].concat()));
            lies.chain(contents().into_iter().map(held)).collect()
        }
        Field::Path(bytes) => {
            let all = paths().into_iter().chain(contents()).map(held);
            let lies = numbers(bytes.len() as u64).into_iter();
            let lies =
                lies.map(|(name, len)| (format!("length {name}"), [len, bytes.clone()].concat()));
            all.chain(lies).collect()
        }
        Field::Raw(bytes) => vec![
            ("zeros".to_owned(), vec![0; bytes.len()]),
            ("ones".to_owned(), vec![0xff; bytes.len()]),
            ("nothing".to_owned(), vec![]),
            (
                "cut".to_owned(),
                bytes[..bytes.len().saturating_sub(1)].to_vec(),
            ),
            ("one more".to_owned(), [&bytes[..], &[0]].concat()),
            ("twice".to_owned(), [&bytes[..], bytes].concat()),
        ],
    }
}

/// What can befall a message as a whole; instead of it these bytes are sent.
fn of_message(message: &Message) -> Vec<(String, Vec<u8>)> {
    let (payload, right) = (message.payload(), message.frame());
    let claim = |len: u32| [&len.to_le_bytes()[..], &[message.kind], &payload].concat();
    let len = u32::try_from(payload.len()).unwrap();
    let mut evil = vec![
        ("dropped".to_owned(), vec![]),
        ("repeated".to_owned(), right.repeat(2)),
        (
            "a thousand times".to_owned(),
            right.repeat(1000.min(1 + (1 << 20) / right.len())),
        ),
        (
            "one byte more".to_owned(),
            frame(message.kind, &[&payload[..], &[0]].concat()),
        ),
    ];
    evil.extend(
        [
            0,
            1,
            len.wrapping_sub(1),
            len + 1,
            CONTROL_BYTES,
            CONTROL_BYTES + 1,
            DATA_BYTES + 1,
            1 << 31,
            u32::MAX,
        ]
        .map(|claimed| (format!("claims {claimed} bytes"), claim(claimed))),
    );
    let kinds = [0, 1, 2, 3, 4, 5, 0x7f, 0xff]
        .into_iter()
        .filter(|kind| *kind != message.kind);
    evil.extend(kinds.map(|kind| (format!("of type {kind}"), frame(kind, &payload))));
    // Cut in its payload, with the right length of what is left.
    let cuts = (0..payload.len()).step_by(1 + payload.len() / 24);
    evil.extend(cuts.map(|cut| {
        (
            format!("cut to {cut}"),
            frame(message.kind, &payload[..cut]),
        )
    }));
    evil
}

/// All evil forms of a session. `finish` makes what depends on the messages, such as a digest over them.
pub fn cases(session: &[Message], finish: &dyn Fn(&mut Vec<Vec<u8>>)) -> Vec<Case> {
    let right: Vec<Vec<u8>> = session.iter().map(Message::frame).collect();
    let mut cases = Vec::new();
    let mut add = |name: String, mut frames: Vec<Vec<u8>>| {
        finish(&mut frames);
        cases.push(Case {
            name,
            bytes: chunks(&frames.concat()),
        });
    };
    for (at, message) in session.iter().enumerate() {
        let number = message
            .fields
            .first()
            .map_or_else(String::new, |field| format!("{field:?}"));
        let who = match message.kind {
            CONTROL => format!("message {at} ({number})"),
            kind => format!("message {at} (type {kind})"),
        };
        for (index, field) in message.fields.iter().enumerate() {
            for (value, bytes) in of_field(field) {
                let encoded = message.fields.iter().enumerate();
                let payload: Vec<u8> = encoded
                    .flat_map(|(i, f)| {
                        if i == index {
                            bytes.clone()
                        } else {
                            f.encode()
                        }
                    })
                    .collect();
                let mut frames = right.clone();
                frames[at] = frame(message.kind, &payload);
                add(format!("{who}, field {index}: {value}"), frames);
            }
        }
        for (what, bytes) in of_message(message) {
            let mut frames = right.clone();
            frames[at] = bytes;
            add(format!("{who} {what}"), frames);
        }
        for other in at + 1..session.len() {
            let mut frames = right.clone();
            frames.swap(at, other);
            add(format!("{who} in the place of message {other}"), frames);
        }
    }
    cases.extend(of_stream(&right.concat()));
    cases
}

/// What can befall the chunks that carry the messages.
fn of_stream(frames: &[u8]) -> Vec<Case> {
    let whole = chunks(frames);
    let of = |name: String, bytes: Vec<u8>| Case { name, bytes };
    let mut cases: Vec<Case> = (2..=255)
        .step_by(23)
        .map(|coding| of(format!("chunks of coding {coding}"), frame(coding, frames)))
        .collect();
    cases.push(of("plain bytes as zstd".to_owned(), frame(1, frames)));
    cases.push(of(
        "an empty chunk first".to_owned(),
        [frame(0, b""), whole.clone()].concat(),
    ));
    cases.push(of(
        "a chunk per byte".to_owned(),
        frames.iter().flat_map(|b| frame(0, &[*b])).collect(),
    ));
    for len in [0, 1, (256 << 10) + 1, 1 << 31, u32::MAX] {
        let mut bytes = whole.clone();
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        cases.push(of(format!("a chunk that claims {len} bytes"), bytes));
    }
    let cuts = (0..whole.len()).step_by(1 + whole.len() / 60);
    cases.extend(cuts.map(|cut| {
        of(
            format!("the stream cut to {cut} bytes"),
            whole[..cut].to_vec(),
        )
    }));
    cases
}

/// A Hello with one field taken away, or of an evil value.
pub fn hellos(right: &serde_json::Value) -> Vec<(String, String)> {
    let deep = "[".repeat(20_000);
    let long = format!("\"{}\"", "x".repeat(60_000));
    let too_long = format!("\"{}\"", "x".repeat(70_000));
    let values = [
        "null",
        "true",
        "-1",
        "0",
        "1",
        "65536",
        "4294967296",
        "18446744073709551616",
        "1e999",
        "\"\"",
        "\"x\"",
        "\"2e2e\"",
        "\"\\u0000\"",
        "[]",
        "{}",
        "{\"min\":1}",
        "{\"min\":2,\"max\":1}",
        "{\"min\":7,\"max\":9}",
        "nonsense",
        &deep,
        &long,
        &too_long,
    ];
    let fields = right.as_object().unwrap();
    let json = |without: &str, value: Option<&str>| {
        let others = fields.iter().filter(|(key, _)| *key != without);
        let mut parts: Vec<String> = others
            .map(|(key, value)| format!("\"{key}\":{value}"))
            .collect();
        parts.extend(value.map(|value| format!("\"{without}\":{value}")));
        format!("{{{}}}", parts.join(","))
    };
    let mut cases = Vec::new();
    for key in fields.keys() {
        cases.push((format!("Hello without {key}"), json(key, None)));
        // A client may well ask for a byte per second, and gets no more.
        let is_slow = |value: &&str| key == "bytes_per_second" && matches!(*value, "1" | "65536");
        for value in values.into_iter().filter(|value| !is_slow(value)) {
            let name = value.get(..value.len().min(30)).unwrap();
            cases.push((format!("Hello with {key} = {name}"), json(key, Some(value))));
        }
    }
    for (name, text) in [
        ("nothing", ""),
        ("no JSON", "GET / HTTP/1.1"),
        ("a list", "[]"),
        ("NULs", "\0\0\0\0"),
    ] {
        cases.push((format!("Hello that is {name}"), text.to_owned()));
    }
    cases
}

/// All evil forms of some fields alone.
pub fn insides(fields: &[Field]) -> Vec<(String, Vec<u8>)> {
    let mut evil = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        for (name, bytes) in of_field(field) {
            let encoded = fields.iter().enumerate();
            let all = encoded.flat_map(|(i, f)| {
                if i == index {
                    bytes.clone()
                } else {
                    f.encode()
                }
            });
            evil.push((format!("field {index}: {name}"), all.collect()));
        }
    }
    evil
}
