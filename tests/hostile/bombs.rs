//! Few bytes that claim or unfold to many: compressed, as lists, as numbers, as patterns.

use rsyn::delta::{Params, Signer};

use crate::MOST_KIB;
use crate::encoder::Field::{Bytes, Number, Raw};
use crate::encoder::{DATA, Message, SIGNATURE_DATA, chunks, control, data, frame, hello, varint};
use crate::hubs::Counts;
use crate::watch::{fed, watch};
use crate::world::{World, client_hello, file, path, server_hello, tree_of, view};

/// A zstd frame that never ends, written by hand: blocks of one byte that is repeated (RFC 8878, 3.1.1.2).
struct Unfolding {
    begun: bool,
    window: u8,
}

/// Longest block of zstd.
const BLOCK: usize = 128 << 10;

impl Unfolding {
    fn new() -> Self {
        // 8 MiB, the most that is allowed.
        Self {
            begun: false,
            window: 13 << 3,
        }
    }

    /// One chunk that unfolds to `len` times `byte`, in 4 bytes for each 128 KiB.
    fn chunk(&mut self, byte: u8, mut len: usize) -> Vec<u8> {
        let mut payload = Vec::new();
        if !self.begun {
            payload.extend([0x28, 0xb5, 0x2f, 0xfd, 0, self.window]);
            self.begun = true;
        }
        while len > 0 {
            let size = len.min(BLOCK);
            payload.extend(&u32::try_from(size << 3 | 1 << 1).unwrap().to_le_bytes()[..3]);
            payload.push(byte);
            len -= size;
        }
        frame(1, &payload)
    }
}

/// A control message whose fields unfold: what comes before and after a run of one byte.
fn unfolding(zstd: &mut Unfolding, before: &[u8], byte: u8, len: usize, after: &[u8]) -> Vec<u8> {
    let total = u32::try_from(before.len() + len + after.len()).unwrap();
    let head = [&total.to_le_bytes()[..], &[1], before].concat();
    let tail = if after.is_empty() {
        vec![]
    } else {
        frame(0, after)
    };
    [frame(0, &head), zstd.chunk(byte, len), tail].concat()
}

fn start(world: &World) -> Vec<u8> {
    [
        b"RSYN\0\x01".to_vec(),
        hello(&server_hello(world).to_string()),
    ]
    .concat()
}

const MIB: usize = 1 << 20;

/// Views that unfold in the memory of a machine, with the bytes in front of the view.
fn of_views() -> Vec<(&'static str, Vec<u8>)> {
    let begin = || chunks(&control(3, [Number(2)]).frame());
    let long = MIB - 200;
    let many = |make: &dyn Fn(&mut Unfolding, u64) -> Vec<u8>, count: u64| {
        let mut zstd = Unfolding::new();
        let mut bytes = begin();
        for number in 0..count {
            bytes.extend(make(&mut zstd, number));
        }
        bytes
    };
    let text = |len: usize| varint(len as u64);
    // `some link`, whose target is long; the time after it is 0.
    let link = |zstd: &mut Unfolding, number: u64| {
        let name = format!("{number:08}");
        let before = [vec![4, 1, 8], name.into_bytes(), vec![1, 2], text(long)].concat();
        unfolding(zstd, &before, b'x', long, &[0, 0])
    };
    let tombstone = |zstd: &mut Unfolding, number: u64| {
        let name = format!("{number:08}");
        let before = [vec![5, 1, 8], name.into_bytes(), vec![0, 0], text(long)].concat();
        unfolding(zstd, &before, b'm', long, &[0])
    };
    let problem = |zstd: &mut Unfolding, _: u64| {
        unfolding(
            zstd,
            &[vec![6, 1], text(long)].concat(),
            b'p',
            long,
            &[1, 0],
        )
    };
    let detail = |zstd: &mut Unfolding, _: u64| {
        unfolding(
            zstd,
            &[vec![6, 1, 1, b'p', 1], text(long)].concat(),
            b'd',
            long,
            &[],
        )
    };
    // 349,000 times `a`, gone: 3 bytes each.
    let entries = |_: &mut Unfolding, _: u64| {
        let count = 349_000;
        chunks(&frame(
            1,
            &[vec![4], varint(count), [1, b'a', 0].repeat(count as usize)].concat(),
        ))
    };
    let problems = |_: &mut Unfolding, _: u64| {
        let count = 349_000;
        chunks(&frame(
            1,
            &[vec![6], varint(count), [0, 1, 0].repeat(count as usize)].concat(),
        ))
    };
    let remains = |zstd: &mut Unfolding, number: u64| {
        unfolding(
            zstd,
            &[vec![30], varint(31_000)].concat(),
            number as u8,
            31_000 * 33,
            &[],
        )
    };
    let zeros = |zstd: &mut Unfolding, _: u64| zstd.chunk(0, 7 << 30);
    let keep_alives = |_: &mut Unfolding, _: u64| chunks(&control(0, []).frame().repeat(20_000));
    vec![
        ("600 links with targets of 1 MiB", many(&link, 600)),
        (
            "600 tombstones of machines with names of 1 MiB",
            many(&tombstone, 600),
        ),
        ("600 problems at paths of 1 MiB", many(&problem, 600)),
        ("600 problems with words of 1 MiB", many(&detail, 600)),
        ("40 lists of 349,000 entries", many(&entries, 40)),
        ("40 lists of 349,000 problems", many(&problems, 40)),
        ("600 lists of 31,000 remains", many(&remains, 600)),
        ("7 GiB of zeros in 224 KiB", many(&zeros, 1)),
        ("1 million keep-alives", many(&keep_alives, 50)),
        (
            "a claim of 4 million entries",
            [
                begin(),
                chunks(&frame(1, &[vec![4], varint(4_000_000)].concat())),
            ]
            .concat(),
        ),
        (
            "a claim of 2^63 entries",
            [
                begin(),
                chunks(&frame(1, &[vec![4], varint(1 << 63)].concat())),
            ]
            .concat(),
        ),
    ]
}

#[test]
fn views_that_unfold_end_a_pull_before_they_fill_the_memory() {
    let world = World::new(|_| ());
    let old = tree_of(&world.a);
    let counts = Counts::default();
    for (name, bytes) in of_views() {
        let words = [start(&world), bytes].concat();
        let seen = watch(world.with_hub(&["pull", "-y"], &words), &world.scratch());
        println!(
            "{name}: {} bytes, {} KiB, {:?}, {}",
            words.len(),
            seen.peak_kib,
            seen.took,
            seen.stderr.lines().next().unwrap_or_default()
        );
        seen.behaved(name, MOST_KIB);
        assert_ne!(seen.code, 0, "{name}");
        assert!(seen.stderr.contains("error"), "{name}: {}", seen.stderr);
        assert!(tree_of(&world.a) == old, "{name}");
        world.is_whole(name);
        counts.note(name, &seen, false);
    }
    counts.report("bombs to pull");
}

/// Content that unfolds to more than was asked for.
#[test]
fn content_without_end_is_not_stored() {
    let world = World::new(|_| ());
    let old = tree_of(&world.a);
    let tree = world
        .hub_tree()
        .with_changes([(path("n"), Some(file(b"n")))]);
    let frames: Vec<u8> = view(&tree).iter().flat_map(Message::frame).collect();
    let begin = [chunks(&frames), chunks(&control(13, [Number(0)]).frame())].concat();
    let mut zstd = Unfolding::new();
    let mut endless = begin.clone();
    for _ in 0..2000 {
        endless.extend(frame(
            0,
            &[&(256_u32 << 10).to_le_bytes()[..], &[DATA]].concat(),
        ));
        endless.extend(zstd.chunk(b'n', 256 << 10));
    }
    let mut wide = Unfolding {
        begun: false,
        window: 0xff,
    };
    let cases = [
        ("500 MiB for a file of one byte", endless),
        (
            "a window of 2^41 bytes",
            [begin.clone(), wide.chunk(b'n', 100)].concat(),
        ),
        (
            "a window of 16 MiB",
            [
                begin,
                Unfolding {
                    begun: false,
                    window: 14 << 3,
                }
                .chunk(b'n', 100),
            ]
            .concat(),
        ),
    ];
    for (name, bytes) in cases {
        let words = [start(&world), bytes].concat();
        let seen = watch(world.with_hub(&["pull", "-y"], &words), &world.scratch());
        println!(
            "{name}: {} bytes, {} KiB, {:?}",
            words.len(),
            seen.peak_kib,
            seen.took
        );
        seen.behaved(name, MOST_KIB);
        assert_ne!(seen.code, 0, "{name}");
        assert!(tree_of(&world.a) == old, "{name}");
        let partial = world.a.dir(".rsyn/partial");
        let kept: u64 = if partial.0.exists() {
            partial
                .names("")
                .iter()
                .map(|name| partial.read(name).len() as u64)
                .sum()
        } else {
            0
        };
        assert!(kept <= 1, "{name}: kept {kept} bytes");
        world.is_whole(name);
        world.reset();
    }
}

/// What a client may send while the hub still scans, and lists that it unfolds.
fn of_clients(world: &World) -> Vec<(&'static str, Vec<u8>)> {
    let rules = chunks(&control(1, [Bytes(vec![])]).frame());
    let hello = |purpose: &str| hello(&client_hello(world, purpose).to_string());
    let list = |number: u8, item: &[u8], count: u64| {
        chunks(&frame(
            1,
            &[vec![number], varint(count), item.repeat(count as usize)].concat(),
        ))
    };
    let mut zstd = Unfolding::new();
    let long = MIB - 100;
    let mut links = Vec::new();
    for number in 0..600 {
        let name = format!("{number:08}").into_bytes();
        let before = [vec![11, 1, 8], name, vec![0, 1, 2], varint(long as u64)].concat();
        links.extend(unfolding(&mut zstd, &before, b'x', long, &[0, 0, 0]));
    }
    let mut parts = Vec::new();
    let mut zstd = Unfolding::new();
    for _ in 0..600 {
        parts.extend(unfolding(
            &mut zstd,
            &[vec![1], varint(long as u64)].concat(),
            0,
            long,
            &[],
        ));
    }
    let push = || [hello("push"), rules.clone()].concat();
    let pull = || [hello("pull"), rules.clone()].concat();
    vec![
        (
            "40 lists of 200,000 ops",
            [push(), list(11, &[1, b'a', 0, 0, 0], 200_000).repeat(40)].concat(),
        ),
        (
            "40 lists of 200,000 wants",
            [pull(), list(8, &[1, 1, b'a', 0, 1], 200_000).repeat(40)].concat(),
        ),
        (
            "600 ops that make links with targets of 1 MiB",
            [push(), links].concat(),
        ),
        ("600 MiB of rules", [hello("push"), parts].concat()),
        (
            "a claim of 4 million ops",
            [
                push(),
                chunks(&frame(1, &[vec![11], varint(4_000_000)].concat())),
            ]
            .concat(),
        ),
        (
            "a signature of 2^63 bytes",
            [
                pull(),
                chunks(
                    &control(
                        9,
                        [
                            Number(0),
                            Number(1 << 63),
                            Number(16 << 20),
                            Raw(vec![4]),
                            Raw(vec![0; 32]),
                        ],
                    )
                    .frame(),
                ),
            ]
            .concat(),
        ),
    ]
}

#[test]
fn requests_that_unfold_are_refused_by_a_hub_before_they_fill_its_memory() {
    let world = World::new(|_| ());
    let old = world.hub_tree();
    for (name, bytes) in of_clients(&world) {
        let input = world.scratch().join("input");
        let seen = watch(fed(world.serve(&[]), &input, &bytes), &world.scratch());
        println!(
            "{name}: {} bytes, {} KiB, {:?}, {}",
            bytes.len(),
            seen.peak_kib,
            seen.took,
            String::from_utf8_lossy(&seen.stdout).escape_debug()
        );
        seen.behaved(name, MOST_KIB);
        assert!(world.hub_tree() == old, "{name}");
        world.is_whole(name);
    }
}

/// A signature in which all blocks look like what the file consists of, and none is.
fn equal_hashes(block_bytes: u32, blocks: usize) -> (Params, u64, Vec<u8>) {
    let params = Params {
        block_bytes,
        strong_bytes: 5,
        key: [9; 32],
    };
    let (mut signer, mut record) = (Signer::new(&params), Vec::new());
    signer.update(&vec![0; block_bytes as usize], &mut record);
    signer.finish(&mut record);
    // The weak hash is right, the strong one is not.
    let last = record.len() - 1;
    record[last] ^= 1;
    (
        params,
        u64::from(block_bytes) * blocks as u64,
        record.repeat(blocks),
    )
}

#[test]
fn a_million_equal_weak_hashes_cost_little_time() {
    const BYTES: usize = 2 << 20;
    let world = World::new(|a| a.write("big", vec![0; BYTES]));
    let tree = world.hub_tree();
    let new = rsyn::model::Digest::of(&vec![0; BYTES]);
    assert_ne!(tree.get(&path("big")).unwrap().digest(), Some(new));
    for (block_bytes, blocks) in [
        (1, 1_000_000),
        (64, 1_000_000),
        (2048, 1_000_000),
        (16 << 20, 1000),
    ] {
        let (params, basis, records) = equal_hashes(block_bytes, blocks);
        let mut session = view(&tree);
        session.push(control(
            9,
            [
                Number(0),
                Number(basis),
                Number(params.block_bytes.into()),
                Raw(vec![5]),
                Raw(params.key.to_vec()),
            ],
        ));
        session.extend(
            records
                .chunks(200 << 10)
                .map(|part| data(SIGNATURE_DATA, part)),
        );
        session.push(control(10, []));
        let frames: Vec<u8> = session.iter().flat_map(Message::frame).collect();
        let words = [start(&world), chunks(&frames)].concat();
        let name = format!("{blocks} blocks of {block_bytes} bytes");
        let seen = watch(world.with_hub(&["push", "-y"], &words), &world.scratch());
        println!(
            "{name}: {} KiB, {:?}, {}",
            seen.peak_kib,
            seen.took,
            seen.stderr.lines().next().unwrap_or_default()
        );
        seen.behaved(&name, MOST_KIB);
        assert_ne!(seen.code, 0, "{name}");
        world.is_whole(&name);
    }
}

#[test]
fn patterns_that_explode_elsewhere_cost_a_hub_little_time() {
    let world = World::new(|_| ());
    for number in 0..40 {
        world
            .hub()
            .write(format!("{}{number}", "a".repeat(200)), "x");
        world
            .hub()
            .write(format!("{}/x", vec!["a"; 100 + number].join("/")), "x");
    }
    let rule = |pattern: &[u8]| {
        [
            vec![0],
            varint(pattern.len() as u64),
            pattern.to_vec(),
            vec![0, 1],
        ]
        .concat()
    };
    let patterns: [Vec<u8>; 5] = [
        [b"**a".repeat(64), b"b".to_vec()].concat(),
        [b"*a".repeat(64), b"b".to_vec()].concat(),
        [b"/**".repeat(64), b"/b".to_vec()].concat(),
        [b"**/".repeat(64), b"[!a]*[a-z]*b".to_vec()].concat(),
        [b"*".repeat(4000), b"b".to_vec()].concat(),
    ];
    for (number, pattern) in patterns.iter().enumerate() {
        let count = 1000;
        let encoded = [
            vec![1, 1, b'f'],
            varint(count),
            rule(pattern).repeat(count as usize),
        ]
        .concat();
        let parts: Vec<u8> = encoded
            .chunks(200 << 10)
            .flat_map(|part| control(1, [Bytes(part.to_vec())]).frame())
            .collect();
        let frames = [
            parts,
            control(1, [Bytes(vec![])]).frame(),
            control(29, []).frame(),
        ]
        .concat();
        let bytes = [
            hello(&client_hello(&world, "look").to_string()),
            chunks(&frames),
        ]
        .concat();
        let input = world.scratch().join("input");
        let seen = watch(fed(world.serve(&[]), &input, &bytes), &world.scratch());
        println!(
            "1000 patterns of sort {number}: {} bytes, {} KiB, {:?}",
            bytes.len(),
            seen.peak_kib,
            seen.took
        );
        seen.behaved(&format!("patterns of sort {number}"), MOST_KIB);
    }
}
