//! Random trees and rule lists, from a seed, with few names so that rules often match.

use rsyn::filter::Sign;

use crate::oracle::{Paths, split};
use crate::source::{Source, Sources};

/// A SplitMix64 generator (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// True in `percent` of 100 cases.
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// Names that rules say something about: wildcards, signs, blanks, odd bytes.
const NAMES: [&[u8]; 60] = [
    b"a",
    b"b",
    b"c",
    b"aa",
    b"ab",
    b"ba",
    b"abc",
    b"abcabc",
    b"foo",
    b"foobar",
    b"xfoo",
    b"bar",
    b"a.o",
    b"b.o",
    b"a.c",
    b".a",
    b".o",
    b"a.tar.gz",
    b"A",
    b"a-b",
    b"a b",
    b" a",
    b"a ",
    b"#a",
    b";a",
    b"!a",
    b"! a",
    b"!",
    b"- a",
    b"+ a",
    b"-",
    b"+",
    b"-a",
    b"-_a",
    b"+a",
    b"H a",
    b". a",
    b"*",
    b"**",
    b"a*",
    b"?",
    b"[a]",
    b"[",
    b"]",
    b"a]b",
    b"^a",
    b"{a,b}",
    b"~",
    b"\\a",
    b"a\\",
    b"\\*",
    b"a\\b",
    b"\xef\xbb\xbfa",
    b"\xc3\xa9",
    b"e\xcc\x81",
    b"\xe9",
    b"\xff",
    b"a\r",
    b"a\nb",
    b"\t\x01",
];

const DIRS: [&[u8]; 12] = [
    b"a", b"b", b"d", b"ab", b"foo", b"bar", b".a", b"x y", b"*", b"a.o", b"\xe9", b"e",
];

/// A tree of about 250 entries, at most five deep, with some links and empty directories.
pub(crate) fn entries(random: &mut Random) -> Paths {
    let mut paths: Paths = NAMES
        .iter()
        .filter(|n| !DIRS.contains(*n))
        .map(|n| n.to_vec())
        .collect();
    for _ in 0..120 {
        let mut path = Vec::new();
        for _ in 0..1 + random.below(4) {
            path.extend_from_slice(random.pick(&DIRS));
            path.push(b'/');
        }
        paths.insert(path.clone());
        if random.chance(75) {
            path.extend_from_slice(random.pick(&NAMES));
            path.push(b"@/~"[random.below(3)]);
            if path.ends_with(b"~") {
                path.pop();
            }
            paths.insert(path);
        }
    }
    without_clashes(&paths)
}

/// The paths that can stand in one tree: no file where a directory is needed.
fn without_clashes(paths: &Paths) -> Paths {
    let is_needed = |file: &Vec<u8>| {
        let mut dir = file.clone();
        dir.push(b'/');
        paths
            .range(dir.clone()..)
            .next()
            .is_some_and(|path| path.starts_with(&dir))
    };
    paths
        .iter()
        .filter(|path| path.ends_with(b"/") || !is_needed(path))
        .cloned()
        .collect()
}

/// Rules for a tree: mostly one exclude file, sometimes more of them and options.
pub(crate) fn sources(random: &mut Random, tree: &Paths) -> Sources {
    let tree: Vec<&[u8]> = tree.iter().map(Vec::as_slice).collect();
    let from0 = random.chance(8);
    let count = if random.chance(75) {
        1
    } else {
        2 + random.below(2)
    };
    let mut list = Vec::new();
    for _ in 0..count {
        let sign = if random.chance(80) {
            Sign::Exclude
        } else {
            Sign::Include
        };
        list.push(match random.chance(75) {
            true => Source::File(sign, file(random, &tree, from0)),
            false => Source::Option(sign, option(random, &tree)),
        });
    }
    Sources { from0, list }
}

/// An argument cannot hold a NUL.
fn option(random: &mut Random, tree: &[&[u8]]) -> Vec<u8> {
    let mut text = line(random, tree);
    text.retain(|b| *b != 0);
    text
}

fn file(random: &mut Random, tree: &[&[u8]], from0: bool) -> Vec<u8> {
    let mut text = Vec::new();
    if random.chance(2) {
        text.extend_from_slice(b"\xef\xbb\xbf");
    }
    let ends: &[&[u8]] = match (from0, random.chance(20)) {
        (true, _) => &[b"\0"],
        (false, true) => &[b"\r\n", b"\r", b"\n", b"\n\n", b"\0x\n"],
        (false, false) => &[b"\n"],
    };
    for _ in 0..1 + random.below(8) {
        text.extend(line(random, tree));
        text.extend_from_slice(random.pick(ends));
    }
    if random.chance(20) {
        text.pop();
    }
    text
}

/// A line: mostly a rule, sometimes one of the things that only look like one.
fn line(random: &mut Random, tree: &[&[u8]]) -> Vec<u8> {
    let sign: &[u8] = match random.below(100) {
        0..45 => b"",
        45..60 => b"- ",
        60..92 => b"+ ",
        92 => b"#",
        93 => b"; ",
        94 => return b"!".to_vec(),
        95 => return Vec::new(),
        96 => random.pick(&[
            &b" "[..],
            b"\t",
            b"-",
            b"+",
            b"-\t",
            b"+_",
            b"-_",
            b"- - ",
            b"+ + ",
        ]),
        97 => random.pick(&[
            &b"! "[..],
            b"!",
            b"- !",
            b"+  ",
            b"\\",
            b"exclude ",
            b"H ",
            b": ",
        ]),
        98 => random.pick(&[
            &b"-! "[..],
            b"-s ",
            b"-p ",
            b"P ",
            b". ",
            b"- #",
            b"[#]",
            b"\\#",
        ]),
        _ => {
            return random
                .pick(&[
                    &b"+ "[..],
                    b"- ",
                    b"-",
                    b"+",
                    b"!",
                    b"/",
                    b"//",
                    b".",
                    b"/.",
                ])
                .to_vec();
        }
    };
    let mut text = sign.to_vec();
    text.extend(pattern(random, tree));
    if random.chance(2) {
        text.extend_from_slice(random.pick(&[&b" "[..], b"\t", b"\xa0"]));
    }
    text
}

/// One of the words between blanks; two blanks have an empty word between them.
fn word(random: &mut Random, words: &str) -> Vec<u8> {
    let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    random.pick(&words).to_vec()
}

/// A pattern: a path of the tree with some of it made vague, or pieces thrown together.
fn pattern(random: &mut Random, tree: &[&[u8]]) -> Vec<u8> {
    match random.below(100) {
        0..80 => blurred_path(random, tree),
        _ => (0..=random.below(6)).flat_map(|_| piece(random)).collect(),
    }
}

fn blurred_path(random: &mut Random, tree: &[&[u8]]) -> Vec<u8> {
    let mut components: Vec<_> = split(random.pick(tree)).0.split(|b| *b == b'/').collect();
    let skipped = if random.chance(50) {
        0
    } else {
        random.below(components.len())
    };
    components.drain(..skipped);
    let mut text = match skipped {
        0 => word(random, "   / / / **/ ** */ /**/"),
        _ => word(random, "    **/ */ ** /**/ /"),
    };
    for (at, component) in components.iter().enumerate() {
        if at > 0 {
            text.extend(separator(random));
        }
        text.extend(blurred_component(random, component));
    }
    text.extend(word(random, "      / / * /* /** /*** *** /**/"));
    text
}

fn separator(random: &mut Random) -> Vec<u8> {
    match random.below(100) {
        0..80 => b"/".to_vec(),
        80..97 => word(random, "/**/ ** /***/ /*/ *"),
        _ => word(random, r"\/ // /./ [/] ?"),
    }
}

fn blurred_component(random: &mut Random, component: &[u8]) -> Vec<u8> {
    if random.chance(20) {
        return word(random, "* * ** ? ??? *.* ***");
    }
    let percent = if random.chance(50) { 0 } else { 30 };
    component
        .iter()
        .flat_map(|byte| blurred_byte(random, *byte, percent))
        .collect()
}

fn blurred_byte(random: &mut Random, byte: u8, percent: usize) -> Vec<u8> {
    if !random.chance(percent) {
        return vec![byte];
    }
    match random.below(12) {
        0..2 => b"?".to_vec(),
        2..4 => b"*".to_vec(),
        4 => b"**".to_vec(),
        5 => vec![b'\\', byte],
        6 => vec![b'[', byte, b']'],
        7 => vec![b'[', b'\\', byte, b'-', byte.saturating_add(2), b']'],
        8 => vec![b'[', byte.saturating_sub(1), b'-', byte, b']'],
        9 => vec![b'*', byte],
        10 => vec![byte, b'*', byte],
        _ => bracket(random),
    }
}

/// A piece of a pattern that knows nothing of the tree.
fn piece(random: &mut Random) -> Vec<u8> {
    match random.below(100) {
        0..20 => bracket(random),
        20..25 => random
            .pick(&[&b" "[..], b"\xe9", b"\xc3\xa9", b"\xff", b"\t"])
            .to_vec(),
        25..70 => word(random, "a a b c ab foo bar . o d / / / * * * ? ** **"),
        _ => word(
            random,
            r"*** **** **/ /** /*** \ \a \* \[ \/ [a [ ] ./ ../ - ! -b",
        ),
    }
}

/// A bracket, well formed or not.
fn bracket(random: &mut Random) -> Vec<u8> {
    let mut text = word(random, "[ [ [ [! [^ [] [!]");
    for _ in 0..=random.below(3) {
        text.extend(match random.below(100) {
            0..50 => word(
                random,
                r"a b c a-c c-a a- - -b ! ^ ] [ : * ? / \ \a \] \- a-\c",
            ),
            50..75 => word(
                random,
                "[:alpha:] [:alnum:] [:punct:] [:space:] [:upper:] [:cntrl:]",
            ),
            75..85 => word(random, "[:nope:] [:alpha [: [::] [:Alpha:] [-a +-- .-0"),
            _ => random
                .pick(&[&b"\x80-\xff"[..], b"\xe9", b"\xc3\xa9", b" -~", b"\x01-a"])
                .to_vec(),
        });
    }
    if random.chance(92) {
        text.push(b']');
    }
    text
}
