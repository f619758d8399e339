//! A history: edits and runs in random order, each run judged, and at the end everything comes to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::law::{self, Leg, Options, ancestors, in_scope, is_dir, is_excluded, same, shown};
use crate::random::Random;
use crate::support::tree::Seen;
use crate::support::{Dir, Machine, Run, Tree, assert_same, assert_untouched};
use crate::user::{self, Memory};

/// What happened, to see that the generator is no idler.
#[derive(Debug, Default, Clone, Copy)]
pub struct Figures {
    pub runs: usize,
    pub changes: usize,
    pub deletions: usize,
    pub conflicts: usize,
    pub kept: usize,
    pub stopped: usize,
    pub guarded: usize,
    pub rollbacks: usize,
    pub matched_bytes: u64,
}

impl Figures {
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.changes += other.changes;
        self.deletions += other.deletions;
        self.conflicts += other.conflicts;
        self.kept += other.kept;
        self.stopped += other.stopped;
        self.guarded += other.guarded;
        self.rollbacks += other.rollbacks;
        self.matched_bytes += other.matched_bytes;
    }

    pub fn is_lively(&self) -> bool {
        let counts = [
            self.deletions,
            self.conflicts,
            self.kept,
            self.stopped,
            self.rollbacks,
        ];
        self.changes > self.runs && counts.iter().all(|n| *n > 0) && self.matched_bytes > 0
    }
}

/// A version that the hub lost: when, by which machine (`None`: on the hub itself), where.
struct Burial {
    step: usize,
    by: Option<usize>,
    path: Vec<u8>,
    version: Seen,
}

/// Who syncs, and what both sides held when it last synced each path.
struct Party {
    machine: Machine,
    agreed: Tree,
    looked_at: usize,
    /// Old copies that its runs left in place: what the hub lost of these stays news.
    left: Vec<(Vec<u8>, Seen)>,
}

pub struct History {
    random: Random,
    parties: Vec<Party>,
    hub: Dir,
    memory: Memory,
    burials: Vec<Burial>,
    /// Contents that a run displaced: they stay in a tree or in a snapshot for good.
    displaced: BTreeSet<Vec<u8>>,
    step: usize,
    log: Vec<String>,
    pub figures: Figures,
}

/// A machine may push what it could not before, once another has cleared the way, so that the first needs one
/// sync more.
const ROUNDS: usize = 3;

const EXCLUDES: &str = "*.skip\n";

impl History {
    pub fn new(seed: u64, machines: Vec<Machine>, hub: Dir) -> Self {
        for machine in &machines {
            machine.write(".rsync-exclude", EXCLUDES);
        }
        let party = |machine| Party {
            machine,
            agreed: Tree::new(),
            looked_at: 0,
            left: vec![],
        };
        Self {
            random: Random(seed),
            parties: machines.into_iter().map(party).collect(),
            hub,
            memory: Memory::default(),
            burials: vec![],
            displaced: BTreeSet::new(),
            step: 0,
            log: vec![],
            figures: Figures::default(),
        }
    }

    pub fn story(&self) -> String {
        self.log.join("\n")
    }

    /// A first push, `steps` random steps, and the rest at the end.
    pub fn run(&mut self, steps: usize) {
        for _ in 0..5 {
            self.edit();
        }
        self.judged_run(0, "push", &plain());
        for _ in 0..steps {
            self.step += 1;
            for _ in 0..self.random.below(4) {
                self.edit();
            }
            let who = self.random.below(self.parties.len());
            let verb = *self.random.of(&["pull", "push", "sync"]);
            let options = self.options();
            self.judged_run(who, verb, &options);
        }
        self.settle();
        self.nothing_displaced_is_gone();
    }

    fn edit(&mut self) {
        // The hub has a tree of its own once somebody pushed.
        let places = self.parties.len() + usize::from(self.hub.0.is_dir());
        let at = self.random.below(places);
        let party = self.parties.get(at);
        let tree = party.map_or(self.hub.clone(), |p| (*p.machine).clone());
        let before = tree.tree();
        let Some(words) = user::edit(&tree, &mut self.memory, &mut self.random) else {
            return;
        };
        let name = party
            .map_or("the hub", |p| p.machine.name.as_str())
            .to_owned();
        self.log.push(format!("{:3} {name}: {words}", self.step));
        // What users themselves overwrite or delete is theirs to lose.
        for content in contents(&before).difference(&contents(&tree.tree())) {
            self.displaced.remove(content);
        }
        if at == self.parties.len() {
            self.bury(None, &before);
        }
    }

    fn options(&mut self) -> Options {
        let random = &mut self.random;
        let policies = [
            "default", "default", "local", "remote", "newer", "both", "block",
        ];
        let only = ["d", "e", "a", "b.txt"];
        Options {
            policy: random.of::<&str>(&policies),
            no_delete: random.one_in(6),
            mirror: random.one_in(12),
            only: random.one_in(6).then(|| *random.of(&only)),
            force: false,
        }
    }

    /// One dry run and one real run with the same options, and all that can be said of them.
    fn judged_run(&mut self, who: usize, verb: &'static str, options: &Options) {
        self.step += 1;
        let machine = self.parties[who].machine.clone();
        let hub = self.hub.clone();
        let (here, there) = (machine.tree(), hub.tree());
        let mut args = arguments(verb, options);
        // How content is read and sent makes no difference to what is done.
        for flag in ["--checksum", "--whole-file", "--compress=on"] {
            if self.random.one_in(6) {
                args.push(flag);
            }
        }
        self.log.push(format!(
            "{:3} {}: {}",
            self.step,
            machine.name,
            args.join(" ")
        ));

        let touched = (machine.touch(), hub.touch());
        let dry = machine.rsyn(&[&args[..], &["--dry-run", "--json"]].concat());
        assert_untouched(&touched.0, &machine.touch());
        assert_untouched(&touched.1, &hub.touch());
        let real = machine.rsyn(&[&args[..], &["--json"]].concat());
        self.figures.runs += 1;
        assert_eq!(
            dry.code,
            real.code,
            "the dry run: {}\n{}",
            dry.all(),
            real.all()
        );
        let nowhere = |here: &Tree, there: &Tree| {
            let is_in = |tree: &Tree| tree.keys().any(|p| in_scope(p, options.only));
            !is_in(here) && !is_in(there)
        };
        let (here_now, there_now) = (machine.tree(), hub.tree());
        if real.code == 2 && nowhere(&here, &there) {
            assert_same(&here, &here_now);
            assert_same(&there, &there_now);
            return;
        }
        if !self.succeeded(&real, (&here, &here_now), (&there, &there_now)) {
            return;
        }
        for action in real.actions() {
            self.log.push(format!("        {action}"));
        }
        let (dry, real) = (dry.json(), real.json());
        assert_eq!(
            dry["actions"], real["actions"],
            "a dry run tells what is done"
        );
        assert_eq!(dry["kept"], real["kept"], "a dry run tells what is kept");
        self.count(&real);
        self.judge(who, verb, options, &here, &there);
        if self.random.one_in(2) {
            let again = machine.rsyn(&[&args[..], &["--dry-run", "--json"]].concat());
            match again.code {
                2 if nowhere(&here_now, &there_now) => {}
                _ => assert_eq!(
                    again.exits(0).actions(),
                    [""; 0],
                    "a second run has nothing to do"
                ),
            }
        }
        // The first push brings the project's own settings, which all need from then on.
        if self.step > 1 && self.random.one_in(4) && !real["snapshot"].is_null() {
            match verb {
                "pull" => self.roll_back(who, &["rollback", "-y", "--json"], &machine, &here),
                "push" => {
                    self.roll_back(who, &["rollback", "--remote", "-y", "--json"], &hub, &there);
                }
                _ => {}
            }
        }
    }

    /// Whether the run did its work. One that stopped changed nothing.
    fn succeeded(&mut self, run: &Run, here: (&Tree, &Tree), there: (&Tree, &Tree)) -> bool {
        match run.code {
            0 => return true,
            3 => self.figures.stopped += 1,
            4 => self.figures.guarded += 1,
            _ => panic!("ended with {}: {}", run.code, run.all()),
        }
        assert_same(here.0, here.1);
        assert_same(there.0, there.1);
        false
    }

    fn count(&mut self, json: &Value) {
        let count = |key: &str| usize::try_from(json["summary"][key].as_u64().unwrap()).unwrap();
        self.figures.changes += json["actions"].as_array().unwrap().len();
        self.figures.deletions += count("delete");
        self.figures.conflicts += count("conflicts");
        self.figures.kept += count("kept");
        self.figures.matched_bytes += json["summary"]["matched_bytes"].as_u64().unwrap();
    }

    /// Judges each direction. A sync pulls first, so that between its directions this machine is as afterwards
    /// and the hub as before.
    fn judge(&mut self, who: usize, verb: &str, options: &Options, here: &Tree, there: &Tree) {
        let (machine, hub) = ((*self.parties[who].machine).clone(), self.hub.clone());
        let (here_after, there_after) = (machine.tree(), hub.tree());
        if verb != "push" {
            self.judge_leg(who, true, options, (here, there), &here_after);
            self.keep_displaced(here, &here_after, &machine.0);
            self.agree(who, options, &here_after, there);
        } else {
            assert_same(here, &here_after);
        }
        if verb != "pull" {
            self.judge_leg(
                who,
                false,
                options,
                (&there.clone(), &here_after),
                &there_after,
            );
            self.keep_displaced(there, &there_after, &hub.0);
            self.agree(who, options, &here_after, &there_after);
            self.bury(Some(who), there);
        } else {
            assert_same(there, &there_after);
        }
        let news = self.news_of(who).into_iter();
        let all = news.flat_map(|(path, lost)| lost.into_iter().map(move |v| (path.clone(), v)));
        let party = &mut self.parties[who];
        party.left = all
            .filter(|(path, _)| here_after.contains_key(path) && !party.agreed.contains_key(path))
            .collect();
        party.looked_at = self.step;
    }

    fn judge_leg(
        &self,
        who: usize,
        is_pull: bool,
        options: &Options,
        (ours, theirs): (&Tree, &Tree),
        after: &Tree,
    ) {
        let buried = self.news_of(who);
        let leg = Leg {
            is_pull,
            ours,
            theirs,
            agreed: &self.parties[who].agreed,
            after,
            options,
            buried: &buried,
        };
        if let Some(broken) = leg.broken() {
            panic!(
                "{} broke the law: {broken}",
                if is_pull { "pull" } else { "push" }
            );
        }
    }

    /// What the hub lost by others since this machine last looked.
    fn news_of(&self, who: usize) -> BTreeMap<Vec<u8>, Vec<Seen>> {
        let mut news: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let since = self.parties[who].looked_at;
        for (path, version) in self.parties[who].left.iter().cloned() {
            news.entry(path).or_default().push(version);
        }
        let all = self.burials.iter();
        for burial in all.filter(|b| b.by != Some(who) && b.step >= since) {
            news.entry(burial.path.clone())
                .or_default()
                .push(burial.version.clone());
        }
        news
    }

    /// Notes what the hub no longer has of what it had.
    fn bury(&mut self, by: Option<usize>, before: &Tree) {
        let now = self.hub.tree();
        for (path, version) in before.iter().filter(|(p, _)| !now.contains_key(*p)) {
            self.burials.push(Burial {
                step: self.step,
                by,
                path: path.clone(),
                version: version.clone(),
            });
        }
    }

    fn agree(&mut self, who: usize, options: &Options, here: &Tree, there: &Tree) {
        let agreed = &mut self.parties[who].agreed;
        let known: Vec<_> = agreed.keys().cloned().collect();
        for path in known.iter().chain(here.keys()).chain(there.keys()) {
            let (a, b) = (here.get(path), there.get(path));
            if is_excluded(path) || !in_scope(path, options.only) || !same(a, b) {
                continue;
            }
            match a {
                Some(version) => agreed.insert(path.clone(), version.clone()),
                None => agreed.remove(path),
            };
        }
    }

    /// All contents that were in a tree are there still, or in its snapshots.
    fn keep_displaced(&mut self, before: &Tree, after: &Tree, root: &Path) {
        let now = contents(after);
        let gone: Vec<_> = contents(before).difference(&now).cloned().collect();
        if gone.is_empty() {
            return;
        }
        let kept = files_below(&root.join(".rsyn"));
        for content in gone {
            assert!(
                kept.contains(&content),
                "\"{}\" is neither in the tree nor in a snapshot of {}",
                content[..content.len().min(40)].escape_ascii(),
                root.display()
            );
            self.displaced.insert(content);
        }
    }

    fn roll_back(&mut self, who: usize, args: &[&str], root: &Dir, before: &Tree) {
        let machine = self.parties[who].machine.clone();
        self.log.push(format!(
            "{:3} {}: {}",
            self.step,
            machine.name,
            args.join(" ")
        ));
        let synced = root.tree();
        machine.ok(args);
        assert_same(before, &root.tree());
        self.keep_displaced(&synced, before, &root.0);
        self.figures.rollbacks += 1;
        let is_hub = root.0 == self.hub.0;
        if is_hub {
            self.take_back(who, &synced, before);
        }
        if self.random.one_in(2) {
            machine.ok(args);
            assert_same(&synced, &root.tree());
            if is_hub {
                self.take_back(who, before, &synced);
            }
        }
        if is_hub {
            self.bury(Some(who), &synced);
        }
    }

    /// What a machine took back of its own on the hub, both agree on as it is there now: its files are ahead of it.
    fn take_back(&mut self, who: usize, was: &Tree, now: &Tree) {
        let agreed = &mut self.parties[who].agreed;
        for path in was
            .keys()
            .chain(now.keys())
            .filter(|path| !is_excluded(path))
        {
            if same(was.get(path), now.get(path)) || !same(agreed.get(path), was.get(path)) {
                continue;
            }
            match now.get(path) {
                Some(seen) => agreed.insert(path.clone(), seen.clone()),
                None => agreed.remove(path),
            };
        }
    }

    /// Without edits, syncs bring all together, but for what is reported as kept because a file stands against a
    /// directory, or because a directory holds what is excluded.
    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            for who in 0..self.parties.len() {
                let guarded = self.figures.guarded;
                self.judged_run(who, "sync", &plain());
                if self.figures.guarded > guarded {
                    let force = true;
                    self.judged_run(who, "sync", &Options { force, ..plain() });
                }
            }
        }
        for party in &self.parties {
            let machine = &party.machine;
            let run = machine.ok(&["sync", "--dry-run", "--json"]);
            assert_eq!(run.actions(), [""; 0], "{} is not at rest", machine.name);
            let kept = kept_paths(&run.json());
            let (here, there) = (machine.tree(), self.hub.tree());
            for path in here.keys().chain(there.keys()) {
                let differs = !same(here.get(path), there.get(path));
                let may = is_excluded(path)
                    || kept.iter().any(|k| related(k, path))
                        && (clashes(&here, &there, path) || holds_excluded(&here, &there, path));
                assert!(
                    !differs || may,
                    "\"{}\" of {} and the hub differ: {} | {}; kept: {:?}",
                    path.escape_ascii(),
                    machine.name,
                    shown(here.get(path)),
                    shown(there.get(path)),
                    run.kept()
                );
            }
        }
    }

    /// What any run displaced is in a tree or in a snapshot, however much happened since.
    fn nothing_displaced_is_gone(&self) {
        let roots = self
            .parties
            .iter()
            .map(|p| &p.machine.0)
            .chain([&self.hub.0]);
        let all: BTreeSet<_> = roots.flat_map(|root| files_below(root)).collect();
        for content in &self.displaced {
            let start = content[..content.len().min(40)].escape_ascii();
            assert!(all.contains(content), "\"{start}\" is gone");
        }
    }
}

fn plain() -> Options {
    Options {
        policy: "default",
        no_delete: false,
        mirror: false,
        only: None,
        force: false,
    }
}

fn arguments(verb: &'static str, options: &Options) -> Vec<&'static str> {
    let mut args = vec![verb];
    if options.policy != "default" {
        args.extend(["--on-conflict", options.policy]);
    }
    if options.no_delete {
        args.push("--no-delete");
    }
    if options.mirror {
        args.push("--mirror");
    }
    if options.force {
        args.push("--force");
    }
    if let Some(path) = options.only {
        args.extend(["--only", path]);
    }
    args
}

fn contents(tree: &Tree) -> BTreeSet<Vec<u8>> {
    let files = tree.values().filter_map(|seen| match seen {
        Seen::File(_, _, content) => Some(content.clone()),
        _ => None,
    });
    files.collect()
}

fn files_below(dir: &Path) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_below(&entry.path()));
        } else if kind.is_file() {
            found.insert(fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn kept_paths(json: &Value) -> Vec<Vec<u8>> {
    let path = |kept: &Value| match kept["path_bytes"].as_str() {
        Some(hex) => (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect(),
        None => kept["path"].as_str().unwrap().as_bytes().to_vec(),
    };
    json["kept"].as_array().unwrap().iter().map(path).collect()
}

fn related(a: &[u8], b: &[u8]) -> bool {
    a == b || ancestors(a).any(|up| up == b) || ancestors(b).any(|up| up == a)
}

/// Whether a directory stands against something else, at `path`, above or below it.
fn clashes(here: &Tree, there: &Tree, path: &[u8]) -> bool {
    let clash = |at: &[u8]| match (here.get(at), there.get(at)) {
        (Some(a), Some(b)) => is_dir(Some(a)) != is_dir(Some(b)),
        _ => false,
    };
    ancestors(path).chain([path]).any(clash)
}

fn holds_excluded(here: &Tree, there: &Tree, path: &[u8]) -> bool {
    let below = |tree: &Tree| {
        tree.keys()
            .any(|p| law::is_excluded(p) && ancestors(p).any(|up| up == path))
    };
    below(here) || below(there)
}
