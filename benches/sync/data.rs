//! Made-up trees and files: the same from the same seed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// splitmix64: fast, seeded, good enough to be incompressible.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Text that compresses about as source code does: indented lines of words, few of them frequent.
fn source_text(noise: &mut Noise, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 80);
    while out.len() < bytes {
        let depth = noise.below(4) as usize;
        out.extend(std::iter::repeat_n(b' ', depth * 4));
        for _ in 0..2 + noise.below(6) {
            // Small numbers are frequent: the product of two uniform ones.
            let word = noise.below(64) * noise.below(64);
            out.extend_from_slice(format!("name_{word:x}").as_bytes());
            out.push(b" .(,"[noise.below(4) as usize]);
        }
        out.extend_from_slice(b");\n");
    }
    out.truncate(bytes);
    out
}

/// A source tree of `files` files of 12 KB on average in directories of 20.
pub fn sources(src: &Path, files: usize, seed: u64) {
    if src.join("d0").exists() {
        return;
    }
    let mut noise = Noise::new(seed);
    for i in 0..files {
        let dir = src
            .join(format!("d{}", i / 400))
            .join(format!("m{}", i / 20 % 20));
        if i % 20 == 0 {
            std::fs::create_dir_all(&dir).unwrap();
        }
        let bytes = 200 + noise.below(23_600) as usize;
        std::fs::write(dir.join(format!("f{i}.rs")), source_text(&mut noise, bytes)).unwrap();
    }
}

/// The sources of the crates that rsyn is built from, as cargo keeps them; `None` if it keeps none.
pub fn crates() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let mut registries = std::fs::read_dir(home.join("registry/src")).ok()?.flatten();
    registries.next().map(|registry| registry.path())
}

/// Copies those of `crates` that the lock file names.
pub fn copy_crates(crates: &Path, src: &Path) {
    let lock = include_str!("../../Cargo.lock");
    let fields = |package: &str| {
        let field = |key: &str| Some(package.split_once(key)?.1.split('"').next()?.to_owned());
        Some(format!(
            "{}-{}",
            field("name = \"")?,
            field("version = \"")?
        ))
    };
    for name in lock.split("[[package]]").filter_map(fields) {
        if crates.join(&name).is_dir() && !src.join(&name).exists() {
            let copied = Command::new("cp")
                .arg("-a")
                .arg(crates.join(&name))
                .arg(src)
                .status();
            assert!(copied.unwrap().success(), "{name}");
        }
    }
}

/// `files` files of up to 2 KiB in directories of 100.
pub fn small_files(src: &Path, files: usize) {
    let mut noise = Noise::new(2);
    for i in 0..files {
        let dir = src.join(format!("d{}", i / 100));
        if i % 100 == 0 {
            std::fs::create_dir_all(&dir).unwrap();
        }
        let bytes = noise.below(2048) as usize;
        std::fs::write(dir.join(format!("f{i}")), source_text(&mut noise, bytes)).unwrap();
    }
}

/// Inserts a line into every hundredth file.
pub fn edit_one_percent(src: &Path, files: usize, round: usize) {
    for i in (round..files).step_by(100) {
        let path = src
            .join(format!("d{}", i / 400))
            .join(format!("m{}", i / 20 % 20))
            .join(format!("f{i}.rs"));
        let mut content = std::fs::read(&path).unwrap();
        let middle = content.len() / 2;
        content.splice(middle..middle, format!("// edit {round}\n").into_bytes());
        std::fs::write(&path, content).unwrap();
    }
}

/// Appends a line to every hundredth of the small files.
pub fn edit_small_files(src: &Path, files: usize, round: usize) {
    for i in (round % files..files).step_by(100) {
        let path = src.join(format!("d{}", i / 100)).join(format!("f{i}"));
        let mut file = File::options().append(true).open(path).unwrap();
        writeln!(file, "// edit {round}").unwrap();
    }
}

/// An incompressible file.
pub fn random_file(path: &Path, bytes: u64, seed: u64) {
    let mut noise = Noise::new(seed);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    for _ in 0..bytes / 8 {
        file.write_all(&noise.next().to_le_bytes()).unwrap();
    }
    file.flush().unwrap();
}

/// Pages of 4 KiB with rows of text and numbers, as a database has them.
pub fn database(path: &Path, bytes: u64) {
    let mut noise = Noise::new(4);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    for page in 0..bytes / 4096 {
        let mut content = page.to_le_bytes().to_vec();
        while content.len() < 4000 {
            content.extend_from_slice(&noise.next().to_le_bytes());
            content.extend_from_slice(b"row of a table, some text in it; ");
        }
        content.resize(4096, 0);
        file.write_all(&content).unwrap();
    }
    file.flush().unwrap();
}

/// Overwrites `edits` places of `len` bytes each.
pub fn scatter(path: &Path, bytes: u64, edits: usize, len: usize, noise: &mut Noise) {
    let file = File::options().write(true).open(path).unwrap();
    for _ in 0..edits {
        let new: Vec<u8> = (0..len).map(|_| noise.next().to_le_bytes()[0]).collect();
        file.write_all_at(&new, noise.below(bytes - len as u64))
            .unwrap();
    }
}

/// A directory of incompressible files.
pub fn directory(dir: &Path, files: usize, each: u64) {
    std::fs::create_dir_all(dir).unwrap();
    for i in 0..files {
        random_file(&dir.join(format!("f{i}")), each, 9000 + i as u64);
    }
}
