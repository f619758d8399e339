//! The power fails: on an ext4 of its own, in a file, shut down without writing back what it holds in memory. Its
//! journal is replayed for real when it is mounted again.
//!
//! Root and loop devices are needed; without them these tests skip themselves by name.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::judge::{Stage, Verdict, hold};
use crate::limits::Mount;
use crate::scenarios::{Scenario, named};
use crate::strace::{Blow, CHANGING, Point};
use crate::support::Run;
use crate::sweep::{Sum, is_sample, is_wanted, sample, stride};

/// Nothing is written back by itself while a test runs, and no rename is a sync in disguise.
const OPTIONS: &str = "loop,noauto_da_alloc,commit=300";
/// `EXT4_IOC_SHUTDOWN` (also of XFS) with "do not flush the log" (fs/ext4/ext4.h, include/uapi/linux/fs.h).
const CUT: &str =
    "open(D, '<', $ARGV[0]) or die; my $how = pack('I', 2); ioctl(D, 0x8004587d, $how) or die";

/// A disk in a file.
struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// `None`, by name, where there can be none.
    fn make(dir: &Path, test: &str) -> Option<Self> {
        let disk = Self {
            image: dir.join("disk.img"),
            at: dir.join("disk"),
        };
        std::fs::create_dir(&disk.at).unwrap();
        std::fs::File::create(&disk.image)
            .unwrap()
            .set_len(48 << 20)
            .unwrap();
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-F"])
            .arg(&disk.image)
            .output();
        let works = made.is_ok_and(|output| output.status.success()) && disk.try_mount();
        if works && disk.try_cut() {
            drop(Mount(&disk.at));
            assert!(disk.try_mount());
            return Some(disk);
        }
        eprintln!(
            "SKIPPED {test}: no ext4 of its own here (root, loop devices and perl are needed)"
        );
        None
    }

    fn try_mount(&self) -> bool {
        let mount = Command::new("mount")
            .args(["-o", OPTIONS])
            .arg(&self.image)
            .arg(&self.at)
            .output();
        mount.is_ok_and(|output| output.status.success())
    }

    fn try_cut(&self) -> bool {
        let cut = Command::new("perl")
            .args(["-e", CUT])
            .arg(&self.at)
            .output();
        cut.is_ok_and(|output| output.status.success())
    }

    /// The power fails and comes back. Another disk was faster, so the number of this one is a new one.
    fn cut(&self) {
        assert!(self.try_cut());
        assert!(
            Command::new("umount")
                .arg(&self.at)
                .status()
                .unwrap()
                .success()
        );
        let other = Loop::of(&self.image.with_extension("other"));
        assert!(self.try_mount());
        drop(other);
    }

    /// Writes back the metadata of all, and the data of nothing else: one file alone is synced.
    fn write_back_a_little(&self) {
        let file = std::fs::File::create(self.at.join("unrelated")).unwrap();
        file.sync_all().unwrap();
    }

    fn write_back_all(&self) {
        assert!(
            Command::new("sync")
                .arg("-f")
                .arg(&self.at)
                .status()
                .unwrap()
                .success()
        );
    }
}

/// A loop device that is taken, until dropped.
struct Loop(String);

impl Loop {
    fn of(image: &Path) -> Self {
        std::fs::File::create(image)
            .unwrap()
            .set_len(1 << 20)
            .unwrap();
        let set = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(image)
            .output()
            .unwrap();
        assert!(set.status.success(), "{set:?}");
        Self(String::from_utf8(set.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        drop(Command::new("losetup").args(["-d", &self.0]).status());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Mount(&self.at));
    }
}

/// Puts the world back, safely on the disk.
fn reset(stage: &Stage<'_>, disk: &Disk) {
    stage.reset();
    disk.write_back_all();
}

/// How much reached the disk before the power failed, beside what was synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    Nothing,
    Names,
}

fn judge(stage: &Stage<'_>, disk: &Disk, run: &Run, luck: Luck) -> Verdict {
    if luck == Luck::Names {
        disk.write_back_a_little();
    }
    disk.cut();
    stage.recover()?;
    let all_new = stage.old_or_new(run.code == 0)?;
    stage.no_litter()?;
    hold!(run.code != 0 || all_new, "lost after exit 0");
    stage.converges(all_new)
}

fn power_cuts(scenario: &Scenario, disk: &Disk) -> Sum {
    let stage = Stage::in_dir(scenario, Some(&disk.at));
    let points = stage.points(CHANGING);
    let mut sum = Sum::default();
    for (n, point) in sample(&points, stride(), 9).into_iter().enumerate() {
        let luck = if n % 2 == 0 {
            Luck::Nothing
        } else {
            Luck::Names
        };
        sum.add(power_cut(&stage, disk, &point, luck));
    }
    for luck in [Luck::Nothing, Luck::Names] {
        reset(&stage, disk);
        let run = stage.strike(&[]).exits(0);
        let bad = judge(&stage, disk, &run, luck).err();
        let bad = bad.map(|words| format!("  {}, after exit 0, {luck:?}: {words}", scenario.name));
        sum.add(Sum::one(None, bad));
    }
    sum
}

fn power_cut(stage: &Stage<'_>, disk: &Disk, point: &Point, luck: Luck) -> Sum {
    reset(stage, disk);
    let log = stage.world.log(stage.scenario.side);
    let run = stage.strike(&Blow::Kill.options(point, &log));
    let missed = (!crate::strace::has_hit(&log)).then_some(point);
    let bad = judge(stage, disk, &run, luck).err();
    let bad = bad.map(|words| {
        format!(
            "  {}, {point}, {luck:?}, exit {}: {words}",
            stage.scenario.name, run.code
        )
    });
    Sum::one(missed, bad)
}

#[test]
fn a_power_cut_at_any_call_leaves_the_old_or_the_new_trees_and_exit_0_is_for_good() {
    strace_or_skip!();
    let temp = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::make(temp.path(), "a_power_cut_at_any_call") else {
        return;
    };
    let (start, mut sum) = (Instant::now(), Sum::default());
    let all = [
        "pull",
        "push",
        "rollback",
        "first push",
        "restore",
        "pull: 300 files",
    ];
    for name in &all[..if is_sample() { 1 } else { all.len() }] {
        let scenario = named(name);
        if is_wanted(&scenario) {
            sum.add(power_cuts(&scenario, &disk));
        }
    }
    sum.is_good("power cuts", start);
}

#[test]
fn a_power_cut_after_syncs_that_do_nothing_is_seen_to_lose_something() {
    strace_or_skip!();
    let temp = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::make(temp.path(), "a_power_cut_after_syncs_that_do_nothing") else {
        return;
    };
    let scenario = named("pull");
    let stage = Stage::in_dir(&scenario, Some(&disk.at));
    let no_syncs = [
        "-o",
        "/dev/null",
        "-e",
        "trace=fsync,syncfs",
        "-e",
        "inject=fsync,syncfs:retval=0",
    ];
    for luck in [Luck::Nothing, Luck::Names] {
        reset(&stage, &disk);
        let run = stage.strike(&no_syncs.map(str::to_owned)).exits(0);
        assert!(
            judge(&stage, &disk, &run, luck).is_err(),
            "{luck:?}: nothing was lost without syncs"
        );
    }
}
