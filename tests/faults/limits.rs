//! A disk that is really full, limits of the process that are really tight, and a link that passes single bytes.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::judge::{Stage, Verdict, hold};
use crate::scenarios::named;
use crate::support::{RSYN, Run, Sandbox};
use crate::sweep::{Sum, is_sample, sample, stride};
use crate::world::{Side, finish};

/// A file system of its own over a directory, until dropped.
pub struct Mount<'a>(pub &'a Path);

impl<'a> Mount<'a> {
    /// `None`, by name, where this process may not mount.
    fn tmpfs(at: &'a Path, options: &str, test: &str) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(at)
            .output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(at));
        }
        eprintln!("SKIPPED {test}: this process may not mount (root is needed)");
        None
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        // Nothing holds it any more; `-l` where the kernel is a moment late.
        drop(Command::new("umount").arg("-l").arg(self.0).status());
    }
}

/// What came of a run that may have met a limit.
fn judge(stage: &Stage<'_>, run: &Run) -> Verdict {
    hold!(
        !run.all().contains("panicked"),
        "it panicked: {}",
        run.all()
    );
    hold!(
        run.code == 0 || run.code == -1 || !run.err().trim().is_empty(),
        "no word about it"
    );
    hold!(
        run.code == 0 || names_the_full_disk(run),
        "exit {} without the cause: {}",
        run.code,
        run.all()
    );
    stage.old_or_new(run.code == 0).or_else(|mixed| {
        // Only what could not be taken back for want of room may wait for a recovery, and must say so.
        hold!(run.code != 0, "{mixed} after exit 0");
        Ok(false)
    })?;
    Ok(())
}

/// Whether a run says why there is no room, in time or by the call that failed, and what to do.
fn names_the_full_disk(run: &Run) -> bool {
    let said = run.all();
    let cause = match run.code {
        1 => said.contains("cannot ") && said.contains("No space left on device"),
        4 => said.contains("bytes are needed"),
        _ => false,
    };
    let advice = ["make room", "rsyn recover"];
    cause && advice.iter().any(|words| said.contains(words))
}

/// Fills the disk of `dir` but for so much.
fn fill(dir: &Path, free_pages: u64) {
    let stat = rustix::fs::statvfs(dir).unwrap();
    let bytes = (stat.f_bavail.saturating_sub(free_pages)) * stat.f_frsize;
    std::fs::write(
        dir.join("ballast"),
        vec![1; usize::try_from(bytes).unwrap()],
    )
    .unwrap();
}

fn fill_inodes(dir: &Path, free: u64) {
    let stat = rustix::fs::statvfs(dir).unwrap();
    std::fs::create_dir(dir.join("ballast")).unwrap();
    for n in 0..stat.f_ffree.saturating_sub(free + 1) {
        std::fs::write(dir.join(format!("ballast/{n}")), "").unwrap();
    }
}

/// Runs the scenario in a world on a disk of its own, with so little left; then makes room again.
fn on_a_full_disk(name: &str, test: &str, fill: impl Fn(&Path, u64), most: u64) -> Option<Sum> {
    let scenario = named(name);
    let stage = Stage::new(&scenario);
    let roots = ["a", "hub"].map(|root| stage.world.sandbox.dir(root));
    let full = if scenario.side == Side::Hub {
        &roots[1]
    } else {
        &roots[0]
    };
    let mut sum = Sum::default();
    for free in sample(
        &(0..most).collect::<Vec<_>>(),
        stride().min(usize::try_from(most).unwrap() / 3),
        1,
    ) {
        stage.reset();
        // What stands there moves onto the small disk.
        let aside = stage.world.top().at("aside");
        std::fs::rename(&full.0, &aside).unwrap();
        std::fs::create_dir(&full.0).unwrap();
        let mount = Mount::tmpfs(&full.0, "size=4m,nr_inodes=400", test)?;
        let copied = Command::new("cp")
            .arg("-a")
            .arg(aside.join("."))
            .arg(&full.0)
            .status()
            .unwrap();
        assert!(copied.success());
        std::fs::remove_dir_all(&aside).unwrap();
        std::fs::create_dir(full.at("ballast-room")).unwrap();
        let verdict = one_run(&stage, full, &fill, free);
        let bad = verdict
            .err()
            .map(|words| format!("  {name} with {free} free: {words}"));
        sum.add(Sum::one(None, bad));
        drop(mount);
    }
    Some(sum)
}

fn one_run(
    stage: &Stage<'_>,
    full: &crate::support::Dir,
    fill: &impl Fn(&Path, u64),
    free: u64,
) -> Verdict {
    full.remove("ballast-room");
    // The ballast is no part of the tree: it stands in the state directory, where nothing of rsyn looks at it.
    let room = full.at(".rsyn");
    fill(&room, free);
    let run = stage.strike(&[]);
    judge(stage, &run)?;
    full.remove(".rsyn/ballast");
    stage.recover()?;
    let all_new = stage.old_or_new(run.code == 0)?;
    stage.no_litter()?;
    stage.converges(all_new)
}

#[test]
fn on_a_disk_without_room_all_is_old_or_new_and_goes_on_when_there_is_room() {
    strace_or_skip!();
    let test = "on_a_disk_without_room_all_is_old_or_new_and_goes_on_when_there_is_room";
    let (start, mut sum) = (Instant::now(), Sum::default());
    let all = ["pull", "push", "rollback of the hub", "rollback"];
    for name in &all[..if is_sample() { 3 } else { all.len() }] {
        let Some(blocks) = on_a_full_disk(name, test, fill, 130) else {
            return;
        };
        let Some(inodes) = on_a_full_disk(name, test, fill_inodes, 48) else {
            return;
        };
        sum.add(blocks);
        sum.add(inodes);
    }
    sum.is_good("full disks", start);
}

#[test]
fn a_file_that_is_moved_needs_no_room_for_a_second_one() {
    let test = "a_file_that_is_moved_needs_no_room_for_a_second_one";
    let world = Sandbox::new();
    let (a, hub) = (world.project("a"), world.hub());
    std::fs::create_dir_all(&hub.0).unwrap();
    let Some(_mount) = Mount::tmpfs(&hub.0, "size=4m", test) else {
        return;
    };
    a.write("old/large", vec![7; 3 << 20]);
    a.ok(&["push"]);
    std::fs::rename(a.at("old"), a.at("new")).unwrap();
    a.ok(&["push"]);
    assert_eq!(hub.read("new/large"), a.read("new/large"));
    assert!(!hub.has("old"));
    // A copy has no room, and is refused before it is begun.
    a.write("copy", a.read("new/large"));
    a.rsyn(&["push"]).exits(4).says("bytes are needed");
}

#[test]
fn a_hub_that_runs_full_while_content_comes_says_why_it_goes() {
    let test = "a_hub_that_runs_full_while_content_comes_says_why_it_goes";
    let world = Sandbox::new();
    let (a, hub) = (world.project("a"), world.hub());
    std::fs::create_dir_all(&hub.0).unwrap();
    let Some(_mount) = Mount::tmpfs(&hub.0, "size=100m,nr_inodes=500", test) else {
        return;
    };
    // More than all queues between the two hold, and nothing that compression makes small.
    for n in 0..3000_u32 {
        let mut noise = vec![0; 8000];
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&n.to_le_bytes())
            .finalize_xof()
            .fill(&mut noise);
        a.write(format!("d{}/{n}", n % 40), noise);
    }
    let run = a.rsyn(&["push"]).exits(1).says("No space left on device");
    run.says("nothing was changed").says("make room");
    assert!(!hub.has("d0"));
}

#[test]
fn under_a_limit_of_the_process_all_is_old_or_new() {
    strace_or_skip!();
    let start = Instant::now();
    let scenario = named("pull");
    let stage = Stage::new(&scenario);
    let handles = (8..40).map(|n| format!("--nofile={n}"));
    let sizes = (0..40).map(|n| format!("--fsize={}", n * 6000));
    let memory = (1..30).map(|n| format!("--as={}", n << 23));
    let all: Vec<String> = handles.chain(sizes).chain(memory).collect();
    let mut sum = Sum::default();
    let (mut failed, mut done) = (0, 0);
    for limit in sample(&all, stride().min(9), 2) {
        stage.reset();
        let mut command = Command::new("prlimit");
        let rsyn = stage.world.machine("a").command(scenario.args);
        command
            .arg(&limit)
            .arg(RSYN)
            .args(scenario.args)
            .current_dir(rsyn.get_current_dir().unwrap());
        command.env_clear().envs(
            rsyn.get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
        let run = finish(command, scenario.args);
        *(if run.code == 0 {
            &mut done
        } else {
            &mut failed
        }) += 1;
        let verdict = (|| {
            stage.recover()?;
            let all_new = stage.old_or_new(run.code == 0)?;
            stage.no_litter()?;
            stage.converges(all_new)
        })();
        let bad = verdict
            .err()
            .map(|words| format!("  {limit}, exit {}: {words}; {}", run.code, run.err()));
        sum.add(Sum::one(None, bad));
    }
    assert!(failed >= 3 && done >= 3, "{failed} failed, {done} done");
    sum.is_good("limits", start);
}

/// Passes one byte at a time in both directions.
const BYTE_BY_BYTE: &str = "#!/bin/sh\nfor last; do :; done\ndd bs=1 2>/dev/null | sh -c \"$last\" | dd bs=1 2>/dev/null\n";

#[test]
fn a_link_that_passes_single_bytes_and_interrupted_calls_give_the_same_trees() {
    strace_or_skip!();
    let storm = ["-f", "-o", "/dev/null", "-e", "trace=read,write", "-e"]
        .map(str::to_owned)
        .to_vec();
    // Not the first ones: those are the loader's, which gives up.
    let interrupts = [
        storm,
        vec!["inject=read,write:error=EINTR:when=20+2".to_owned()],
    ]
    .concat();
    for name in ["pull", "push"] {
        let scenario = named(name);
        let stage = Stage::new(&scenario);
        stage.reset();
        stage.strike(&interrupts).exits(0);
        assert_eq!(stage.old_or_new(true), Ok(true), "{name}, interrupted");
        stage.reset();
        stage.world.top().write("link", BYTE_BY_BYTE);
        stage.strike(&[]).exits(0);
        assert_eq!(stage.old_or_new(true), Ok(true), "{name}, byte by byte");
    }
}

#[test]
fn a_hub_that_is_not_there_yet_is_not_begun_without_room_for_it() {
    let test = "a_hub_that_is_not_there_yet_is_not_begun_without_room_for_it";
    let world = Sandbox::new();
    let (a, disk) = (world.project("a"), world.dir("disk"));
    std::fs::create_dir_all(&disk.0).unwrap();
    let Some(_mount) = Mount::tmpfs(&disk.0, "size=2m", test) else {
        return;
    };
    let hub = disk.dir("hub");
    a.write("large", vec![7; 3 << 20]);
    for flags in [&["--dry-run"][..], &[]] {
        let push = [&["push"], flags, &[hub.text_path()]].concat();
        let run = a.rsyn(&push).exits(4);
        run.says("bytes are needed");
        assert!(disk.names("").is_empty(), "{flags:?}");
    }
    a.write("large", vec![7; 1 << 20]);
    a.ok(&["push", hub.text_path()]);
    assert_eq!(hub.read("large"), a.read("large"));
}

/// Content takes whole blocks: nobody can tell beforehand.
#[test]
fn a_hub_that_ran_full_has_room_for_a_smaller_push() {
    let test = "a_hub_that_ran_full_has_room_for_a_smaller_push";
    let world = Sandbox::new();
    let (a, hub) = (world.project("a"), world.hub());
    std::fs::create_dir_all(&hub.0).unwrap();
    let Some(_mount) = Mount::tmpfs(&hub.0, "size=4m", test) else {
        return;
    };
    let large: Vec<u8> = (0..700_000_u32).flat_map(u32::to_le_bytes).collect();
    a.write("large", &large);
    for n in 0..600_u32 {
        a.write(format!("small/{n}"), n.to_le_bytes());
    }
    let run = a.rsyn(&["push"]).exits(1).says("No space left on device");
    run.says("nothing was changed")
        .says("make room")
        .says_no("told to commit");
    for part in ["txn", "partial", "trash"] {
        let part = format!(".rsyn/{part}");
        assert!(!hub.has(&part) || hub.names(&part).is_empty(), "{part}");
    }
    a.remove("small");
    a.write("another", &large[..900_000]);
    a.write("large", &large[1..2_500_000]);
    a.ok(&["push"]);
    assert_eq!(hub.read("large"), a.read("large"));
}
