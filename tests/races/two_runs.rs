//! Two runs in one root, and a look while a run is at work.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Machine, Sandbox, assert_same};
use crate::times;

/// A machine whose hub has news.
fn with_news(world: &Sandbox, a: &Machine, round: usize) {
    for number in 0..120 {
        world.hub().write(
            format!("d{}/{number}", number % 5),
            format!("{round} {number}"),
        );
    }
    a.write("own", format!("{round}"));
}

#[test]
fn of_two_runs_in_one_root_one_is_told_to_wait_and_both_can_look() {
    let world = Sandbox::new();
    let a = world.project("a");
    a.write("f", "1");
    a.ok(&["push"]);
    let (mut both, mut refused, mut looks, mut busy_looks) = (0, 0, 0, 0);
    let mut slowest = Duration::ZERO;
    for round in 0..times(10) {
        with_news(&world, &a, round);
        let start = |verb: &str| {
            let mut command = a.command(&[verb, "-y", "--force"]);
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let runs = [start("sync"), start("pull")];
        let over = AtomicBool::new(false);
        let outcomes = std::thread::scope(|scope| {
            let looker = scope.spawn(|| {
                let mut seen = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let begin = Instant::now();
                    let run = a.rsyn(&["status"]);
                    seen.push((run, begin.elapsed()));
                }
                seen
            });
            let outcomes = runs.map(|child| child.wait_with_output().unwrap());
            over.store(true, Ordering::Relaxed);
            for (run, took) in looker.join().unwrap() {
                assert!(matches!(run.code, 0 | 7), "status: {}", run.all());
                assert!(took < Duration::from_secs(10), "status took {took:?}");
                looks += 1;
                busy_looks += usize::from(run.code == 7);
                slowest = slowest.max(took);
            }
            outcomes
        });
        let codes = outcomes
            .each_ref()
            .map(|output| output.status.code().unwrap_or(-1));
        for (output, code) in outcomes.iter().zip(codes) {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(matches!(code, 0 | 7), "{code}: {said}");
            assert!(code != 7 || !said.is_empty());
        }
        assert!(codes.contains(&0), "neither run was carried out: {codes:?}");
        both += usize::from(codes == [0, 0]);
        refused += usize::from(codes.contains(&7));
        a.ok(&["sync", "-y"]);
        assert_same(&a.tree(), &world.hub().tree());
    }
    println!(
        "{} rounds: in {refused} one run was told to wait, in {both} both were carried out one after the other; {looks} \
         looks meanwhile ({busy_looks} told to wait), the slowest took {slowest:?}",
        times(10)
    );
    assert!(refused > 0, "the runs never met");
}
