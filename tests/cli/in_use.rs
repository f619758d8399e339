//! A file that a program has open for writing or mapped, or a database that one has open, stays where it is; the rest goes
//! on, and the next run goes on with it.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

use crate::support::{Dir, Machine, Sandbox, noise};

/// Long ago.
const THEN: u64 = 1_600_000_000_123_456_789;

/// A program that uses a file, until it is dropped.
struct Program(Child);

impl Program {
    /// Runs `command` and waits until it has said a byte.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut said)
            .unwrap();
        Self(child)
    }

    /// A shell that has a file open, as `mode` (`>>`, `<`, `<>`) says.
    fn has_open(dir: &Dir, mode: &str, path: &str) -> Self {
        let script = format!(
            "exec 7{mode}'{}'; echo; exec sleep 60",
            dir.at(path).display()
        );
        Self::start(Command::new("sh").args(["-c", &script]))
    }

    /// Python, which runs `script` in `dir` and then waits; `None` where there is no Python.
    #[expect(clippy::print_stderr, reason = "a test that could not run is named")]
    fn python(dir: &Dir, script: &str) -> Option<Self> {
        if Command::new("python3").arg("-V").output().is_err() {
            eprintln!("SKIPPED in_use: no python3");
            return None;
        }
        let script = format!("{script}\nprint(flush=True)\nimport time\ntime.sleep(60)\n");
        let mut command = Command::new("python3");
        command.args(["-c", &script]).current_dir(&dir.0);
        Some(Self::start(&mut command))
    }

    fn pid(&self) -> String {
        format!("(pid {})", self.0.id())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Two machines in step: `a.log`, `d/in` and `beside` are there.
fn in_step() -> (Sandbox, Machine, Machine) {
    let world = Sandbox::new();
    let a = world.project("a");
    for path in ["a.log", "d/in", "beside"] {
        a.write(path, "old\n");
    }
    a.ok(&["push"]);
    let b = world.clone_of_hub("b");
    (world, a, b)
}

#[test]
fn a_file_that_is_open_for_writing_is_not_replaced_and_comes_with_the_next_run() {
    let (_world, a, b) = in_step();
    a.write("a.log", "new\n");
    a.write("beside", "new too\n");
    a.ok(&["push"]);
    let program = Program::has_open(&b, ">>", "a.log");

    for args in [&["pull", "-n", "--json"][..], &["pull", "--json"]] {
        let run = b.ok(args).says(&program.pid());
        assert_eq!(run.actions(), ["update beside"]);
        assert_eq!(run.kept(), ["in_use a.log"]);
        assert_eq!(run.of("a.log")["program"]["pid"], program.0.id());
    }
    b.ok(&["status"]).says(&program.pid());
    assert_eq!(b.text("a.log"), "old\n");
    assert_eq!(b.text("beside"), "new too\n");

    drop(program);
    b.ok(&["pull"]).says_no("stays as it is");
    assert_eq!(b.text("a.log"), "new\n");
}

#[test]
fn a_file_that_is_open_on_the_hub_is_not_replaced_by_a_push() {
    let (world, a, _b) = in_step();
    a.write("a.log", "new\n");
    a.write("beside", "new too\n");
    a.remove("d/in");
    let programs = ["a.log", "d/in"].map(|path| Program::has_open(&world.hub(), "<>", path));

    let run = a.ok(&["push", "--json"]).says(&programs[0].pid());
    assert_eq!(run.actions(), ["update beside"]);
    assert_eq!(run.kept(), ["in_use a.log", "in_use d/in"]);
    assert_eq!(world.hub().text("a.log"), "old\n");
    assert_eq!(world.hub().text("d/in"), "old\n");

    drop(programs);
    a.ok(&["push"]);
    assert_eq!(world.hub().text("a.log"), "new\n");
    assert!(!world.hub().has("d/in"));
}

#[test]
fn a_directory_with_a_file_in_use_inside_neither_goes_nor_makes_room() {
    for replaced in [false, true] {
        let (_world, a, b) = in_step();
        a.remove("d");
        if replaced {
            a.write("d", "a file by now");
        }
        a.ok(&["push"]);
        let program = Program::has_open(&b, ">>", "d/in");
        b.ok(&["pull"]).says(&program.pid());
        assert_eq!(b.text("d/in"), "old\n");

        drop(program);
        b.ok(&["pull"]);
        assert_eq!(b.at("d").is_file(), replaced);
        assert!(replaced || !b.has("d"));
    }
}

#[test]
fn a_file_in_use_does_not_make_room_for_a_directory() {
    let (_world, a, b) = in_step();
    a.remove("a.log");
    a.write("a.log/inside", "new");
    a.ok(&["push"]);
    let program = Program::has_open(&b, ">>", "a.log");
    b.ok(&["pull"]).says(&program.pid());
    assert_eq!(b.text("a.log"), "old\n");
    drop(program);
    b.ok(&["pull"]);
    assert_eq!(b.text("a.log/inside"), "new");
}

#[test]
fn one_that_is_open_for_reading_alone_or_was_deleted_is_in_nobodys_way() {
    let (_world, a, b) = in_step();
    a.write("a.log", "new\n");
    a.write("beside", "new too\n");
    a.ok(&["push"]);
    let _reads = Program::has_open(&b, "<", "a.log");
    let _deleted = Program::has_open(&b, ">>", "beside");
    b.remove("beside");
    b.write("beside", "old\n");
    let run = b.ok(&["pull", "--json"]);
    assert_eq!(run.actions(), ["update a.log", "update beside"]);
    assert_eq!(run.kept(), Vec::<String>::new());
}

#[test]
fn another_name_of_a_file_in_use_and_a_new_name_of_it_count() {
    let (_world, a, b) = in_step();
    a.write("a.log", "new\n");
    a.write("beside", "new too\n");
    a.ok(&["push"]);
    std::fs::hard_link(b.at("a.log"), b.at("../outside")).unwrap();
    let _by_link = Program::has_open(&b.dir(".."), ">>", "outside");
    let _renamed = Program::has_open(&b, ">>", "beside");
    std::fs::rename(b.at("beside"), b.at("moved")).unwrap();
    std::fs::rename(b.at("moved"), b.at("beside")).unwrap();
    let run = b.ok(&["pull", "--json"]);
    assert_eq!(run.actions(), Vec::<String>::new());
    assert_eq!(run.kept(), ["in_use a.log", "in_use beside"]);
}

#[test]
fn a_file_in_use_that_was_renamed_elsewhere_stays_and_its_new_name_comes() {
    let (_world, a, b) = in_step();
    std::fs::rename(a.at("a.log"), a.at("b.log")).unwrap();
    a.ok(&["push"]);
    let program = Program::has_open(&b, ">>", "a.log");
    let run = b.ok(&["pull", "--json"]).says(&program.pid());
    assert_eq!(run.actions(), ["create b.log"]);
    b.append("a.log", "more");
    assert_eq!(b.text("a.log"), "old\nmore");
    assert_eq!(b.text("b.log"), "old\n", "not the same file");
}

#[test]
fn a_mapping_without_a_descriptor_counts() {
    let (_world, a, b) = in_step();
    a.write("a.log", "new\n");
    a.ok(&["push"]);
    let script = "import mmap, os\nf = os.open('a.log', os.O_RDWR)\nm = mmap.mmap(f, 4)\nos.close(f)\n\
        [os.close(int(n)) for n in os.listdir('/proc/self/fd') if int(n) > 2 and os.path.exists('/proc/self/fd/' + n)]";
    let Some(program) = Program::python(&b, script) else {
        return;
    };
    b.ok(&["pull"]).says(&program.pid());
    assert_eq!(b.text("a.log"), "old\n");
}

#[test]
fn a_rollback_leaves_what_is_in_use_and_undoes_the_rest() {
    let (_world, a, b) = in_step();
    a.write("a.log", "new\n");
    a.write("beside", "new too\n");
    a.write("created", "new");
    a.ok(&["push"]);
    b.ok(&["pull"]);
    let programs = ["a.log", "created"].map(|path| Program::has_open(&b, ">>", path));

    b.ok(&["rollback", "-y"])
        .says(&programs[0].pid())
        .says(&programs[1].pid());
    assert_eq!(b.text("a.log"), "new\n");
    assert_eq!(b.text("created"), "new");
    assert_eq!(b.text("beside"), "old\n");
    let names = b.names("");
    let old = names
        .iter()
        .find(|name| name.starts_with("a.log.rsyn-old-"));
    assert_eq!(b.text(old.expect("the old version is kept")), "old\n");
}

#[test]
fn a_rollback_on_the_hub_leaves_what_is_in_use_there() {
    let (world, a, _b) = in_step();
    a.write("a.log", "new\n");
    a.write("beside", "new too\n");
    a.ok(&["push"]);
    let program = Program::has_open(&world.hub(), ">>", "a.log");
    a.ok(&["rollback", "--remote", "-y"]).says(&program.pid());
    assert_eq!(world.hub().text("a.log"), "new\n");
    assert_eq!(world.hub().text("beside"), "old\n");
}

#[test]
fn a_rollback_of_a_move_leaves_the_moved_file_to_its_program() {
    let (_world, a, b) = in_step();
    a.write("old.log", noise(50_000, 7));
    a.set_mtime("old.log", THEN);
    a.ok(&["push"]);
    b.ok(&["pull"]);
    let ino = |path: &str| std::fs::metadata(b.at(path)).unwrap().ino();
    let old = ino("old.log");
    std::fs::rename(a.at("old.log"), a.at("new.log")).unwrap();
    a.ok(&["push"]);
    b.ok(&["pull"]);
    assert_eq!(ino("new.log"), old, "it was moved");
    let program = Program::has_open(&b, ">>", "new.log");
    b.ok(&["rollback", "-y"]).says(&program.pid());
    assert_eq!(ino("new.log"), old);
    assert!(!b.has("old.log"));
}

#[test]
fn a_restore_does_not_replace_what_is_in_use() {
    let (_world, a, b) = in_step();
    a.write("a.log", "new\n");
    a.ok(&["push"]);
    b.ok(&["pull"]);
    let program = Program::has_open(&b, ">>", "a.log");
    b.rsyn(&["restore", "a.log"]).exits(7).says(&program.pid());
    assert_eq!(b.text("a.log"), "new\n");
    drop(program);
    b.ok(&["restore", "a.log"]);
    assert_eq!(b.text("a.log"), "old\n");
}

#[test]
fn what_a_program_changes_behind_its_stat_is_no_damage_as_long_as_it_is_at_work() {
    let (world, a, _b) = in_step();
    a.write("a.log", "new\n");
    a.set_mtime("a.log", THEN);
    a.ok(&["push"]);
    let change = || {
        a.write("a.log", "wen\n");
        a.set_mtime("a.log", THEN);
    };
    change();
    let program = Program::has_open(&a, ">>", "a.log");
    a.ok(&["verify"]).says(&program.pid()).says_no("ALTERED");
    a.ok(&["verify", "--repair"]).says(&program.pid());
    assert_eq!(a.text("a.log"), "wen\n");
    a.ok(&["push"]);
    assert_eq!(world.hub().text("a.log"), "wen\n");

    drop(program);
    a.write("a.log", "old\n");
    a.set_mtime("a.log", THEN);
    a.rsyn(&["verify"]).exits(6).says("ALTERED").says("touch");
    let run = a
        .ok(&["verify", "--repair"])
        .says("undo the repair with `rsyn rollback ");
    assert_eq!(a.text("a.log"), "wen\n");
    let out = run.out();
    let id = out.split('`').nth(1).unwrap().rsplit(' ').next().unwrap();
    a.ok(&["rollback", "-y", id]);
    assert_eq!(a.text("a.log"), "old\n");
}

/// A database in WAL mode that a program has open.
fn with_database(dir: &Dir) -> Option<Program> {
    let script = "import sqlite3\nc = sqlite3.connect('survey')\nc.execute('pragma journal_mode=wal')\n\
        c.execute('create table if not exists t(x)')\nc.execute('insert into t values (1)')\nc.commit()";
    Program::python(dir, script)
}

fn rows(dir: &Dir) -> String {
    let script = "import sqlite3\nc = sqlite3.connect('survey')\nprint(c.execute('select count(*) from t').fetchone()[0])";
    let mut python = Command::new("python3");
    let run = python
        .args(["-c", script])
        .current_dir(&dir.0)
        .output()
        .unwrap();
    String::from_utf8(run.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_database_in_use_is_named_where_it_is_carried_and_not_replaced_with_any_of_its_files() {
    let (world, a, b) = in_step();
    let Some(program) = with_database(&a) else {
        return;
    };
    let words = format!(
        "the database \"survey\" here is open in python3 {}",
        program.pid()
    );
    a.ok(&["status"]).says(&words);
    a.rsyn(&["setup"])
        .says(&format!("\"survey\", open in python3 {}", program.pid()));
    a.ok(&["push", "-n"]).says(&words);
    a.ok(&["push"]).says(&words);
    drop(program);
    assert_eq!(
        rows(&a),
        "1",
        "closed by its program, it has no files beside it"
    );
    a.ok(&["push"]).says_no("database");
    b.ok(&["pull"]);

    let there = with_database(&b).unwrap();
    let on_hub = with_database(&world.hub()).unwrap();
    assert_eq!(rows(&b), "2");
    // Another version, with a log beside it.
    let _here = with_database(&a).unwrap();
    let run = a.ok(&["push", "--json"]).says(&on_hub.pid());
    assert_eq!(run.actions(), Vec::<String>::new());
    drop(on_hub);
    assert_eq!(rows(&world.hub()), "2");
    a.ok(&["push"]);

    let run = b.ok(&["pull", "--json"]).says(&there.pid());
    assert_eq!(run.actions(), Vec::<String>::new());
    assert_eq!(rows(&b), "2");
}

#[test]
fn a_database_with_a_log_that_is_left_out_is_named() {
    let (world, a, _b) = in_step();
    a.write(".rsync-exclude", "*-wal\n*-shm\n");
    let Some(program) = with_database(&a) else {
        return;
    };
    // Killed, it leaves its log.
    drop(program);
    assert!(a.has("survey-wal"));
    for args in [&["push", "-n"][..], &["push"]] {
        a.ok(args)
            .says("the database \"survey\" here has changes in a log or journal beside it");
    }
    let c = world.machine("c");
    std::fs::rename(a.at("survey-wal"), world.hub().at("survey-wal")).unwrap();
    c.run_in(&world.dir("").0, &["clone", world.hub().text_path(), "c"])
        .exits(0)
        .says("the database \"survey\" on the hub has changes in a log or journal beside it");
}
