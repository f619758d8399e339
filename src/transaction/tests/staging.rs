//! Staged content: verified, sparse, resumable, claimed by the living.

use std::io::Write;

use super::*;
use crate::disk::fault;

const MODE: u16 = 0o640;

fn root() -> (tempfile::TempDir, Root) {
    let temp = tempfile::tempdir().unwrap();
    let root = Root::open(temp.path()).unwrap();
    (temp, root)
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn stage_bytes(staging: &Staging, slot: u32, bytes: &[u8]) -> Result<(), StageError> {
    let mut file = staging.file(slot, Digest::of(bytes), bytes.len() as u64)?;
    file.append(bytes)?;
    file.finish(Mode::from(MODE), mtime_of("x"))
}

fn staged_path(temp: &tempfile::TempDir, staging: &Staging, slot: u32, bytes: &[u8]) -> PathBuf {
    let home = temp.path().join(".rsyn/txn").join(staging.id().as_str());
    home.join(format!("new/{slot}-{}", Digest::of(bytes)))
}

#[test]
fn content_that_is_not_what_the_plan_says_never_becomes_a_staged_object() {
    let (temp, root) = root();
    let staging = Staging::begin(&root).unwrap();
    let mut file = staging.file(7, Digest::of(b"right"), 5).unwrap();
    file.append(b"wrong").unwrap();
    let result = file.finish(Mode::from(MODE), mtime_of("x"));
    assert!(matches!(result, Err(StageError::Integrity { slot: 7, .. })));
    assert!(!staged_path(&temp, &staging, 7, b"right").exists());
    let mut short = staging.file(8, Digest::of(b"right"), 6).unwrap();
    short.append(b"right").unwrap();
    assert!(short.finish(Mode::from(MODE), mtime_of("x")).is_err());
    let mut long = staging.file(9, Digest::of(b"right"), 5).unwrap();
    assert!(matches!(
        long.append(b"rights"),
        Err(StageError::TooLong {
            expected_bytes: 5,
            ..
        })
    ));
    drop(long);
    stage_bytes(&staging, 7, b"right").unwrap();
    assert!(stage_bytes(&staging, 7, b"again").is_err());
}

#[test]
fn content_at_hand_is_staged_if_it_is_what_the_plan_says_and_leaves_nothing_if_not() {
    let (temp, root) = root();
    let staging = Staging::begin(&root).unwrap();
    let stager = staging.stager();
    let content = [&noise(10_000)[..], &[0; 20_000]].concat();
    let node = |bytes: &[u8], size: u64| Node::File {
        size,
        digest: Digest::of(bytes),
        mode: Mode::from(MODE),
        mtime: mtime_of("x"),
    };
    stager.file(0, node(&content, 30_000), &content).unwrap();
    let path = staged_path(&temp, &staging, 0, &content);
    assert_eq!(std::fs::read(&path).unwrap(), content);
    let meta = std::fs::metadata(&path).unwrap();
    assert!(meta.blocks() * 512 < 30_000, "zeros are a hole");
    assert_eq!(meta.mode() & 0o7777, u32::from(MODE));
    assert_eq!(meta.mtime(), mtime_of("x").secs);
    let again = stager.file(0, node(b"a", 1), b"a");
    assert!(matches!(again, Err(StageError::NoObject(0))));

    let others = [("right", 5, "wrong"), ("right", 6, "right")];
    for (expected, size, got) in others {
        let refused = stager.file(1, node(expected.as_bytes(), size), got.as_bytes());
        assert!(matches!(
            refused,
            Err(StageError::Integrity { slot: 1, .. })
        ));
    }
    let long = stager.file(1, node(b"right", 5), b"rights");
    assert!(matches!(long, Err(StageError::TooLong { slot: 1, .. })));
    let failing: fault::Hook = Box::new(|verb, _| match verb {
        "set the time of" => Err(std::io::ErrorKind::Other.into()),
        _ => Ok(()),
    });
    let right = node(b"right", 5);
    let failed = fault::with_hook(failing, || stager.file(1, right.clone(), b"right"));
    assert!(matches!(failed, Err(StageError::Disk(_))));
    let new = path.parent().unwrap();
    assert_eq!(std::fs::read_dir(new).unwrap().count(), 1);
    stager.file(1, right, b"right").unwrap();
}

#[test]
fn a_staged_file_is_private_until_it_is_whole_and_then_has_its_mode_and_mtime() {
    let (temp, root) = root();
    let staging = Staging::begin(&root).unwrap();
    let mut file = staging.file(0, Digest::of(b"text"), 4).unwrap();
    file.append(b"text").unwrap();
    let path = staged_path(&temp, &staging, 0, b"text");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    file.finish(Mode::from(MODE), mtime_of("x")).unwrap();
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!(
        (meta.mode() & 0o7777, meta.mtime()),
        (MODE.into(), mtime_of("x").secs)
    );
    let state = std::fs::metadata(temp.path().join(".rsyn")).unwrap();
    assert_eq!(state.mode() & 0o777, 0o700);
}

#[test]
fn pieces_of_any_size_and_copies_from_a_basis_give_the_same_content() {
    let (temp, root) = root();
    let basis = noise(900_000);
    std::fs::write(temp.path().join("basis"), &basis).unwrap();
    let mut whole = Vec::new();
    let staging = Staging::begin(&root).unwrap();
    // Sizes around the chunk of the writer.
    let sizes = [
        1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145,
    ];
    for (n, size) in sizes.into_iter().enumerate() {
        whole.extend_from_slice(&basis[n..n + size]);
        whole.extend_from_slice(&basis[size..2 * size]);
    }
    let open = std::fs::File::open(temp.path().join("basis")).unwrap();
    let mut file = staging
        .file(0, Digest::of(&whole), whole.len() as u64)
        .unwrap();
    for (n, size) in sizes.into_iter().enumerate() {
        file.write_all(&basis[n..n + size]).unwrap();
        file.copy_from(&open, size as u64, size as u64, |_| ())
            .unwrap();
    }
    assert_eq!(file.position(), whole.len() as u64);
    file.finish(Mode::from(MODE), mtime_of("x")).unwrap();
    assert_eq!(
        std::fs::read(staged_path(&temp, &staging, 0, &whole)).unwrap(),
        whole
    );
    let mut short = staging.file(1, Digest::of(b""), 1_000_000).unwrap();
    assert!(short.copy_from(&open, 899_999, 2, |_| ()).is_err());
    staging
        .duplicate(0, 2, Mode::from(0o600), mtime_of("y"))
        .unwrap();
    let copy = staged_path(&temp, &staging, 2, &whole);
    assert_eq!(std::fs::read(&copy).unwrap(), whole);
    assert_eq!(std::fs::metadata(copy).unwrap().nlink(), 1);
}

#[test]
fn zeros_become_holes_and_the_content_stays_the_same() {
    let (temp, root) = root();
    let staging = Staging::begin(&root).unwrap();
    let mut whole = vec![0; 3_000_000];
    whole[1_500_000] = 1;
    for (slot, piece) in [(0, 3_000_000), (1, 10_000), (2, 70_001), (3, 100)] {
        let mut file = staging
            .file(slot, Digest::of(&whole), whole.len() as u64)
            .unwrap();
        whole
            .chunks(piece)
            .for_each(|piece| file.append(piece).unwrap());
        file.finish(Mode::from(MODE), mtime_of("x")).unwrap();
        let path = staged_path(&temp, &staging, slot, &whole);
        assert_eq!(std::fs::read(&path).unwrap(), whole, "{piece}");
        let allocated = std::fs::metadata(&path).unwrap().blocks() * 512;
        assert!(allocated <= 16 * 1024, "{piece}: {allocated} bytes");
    }
}

#[test]
fn an_interrupted_transfer_goes_on_where_it_stopped() {
    let (temp, root) = root();
    let content = noise(1_000_000);
    let digest = Digest::of(&content);
    let staging = Staging::begin(&root).unwrap();
    let mut file = staging.file(0, digest, 1_000_000).unwrap();
    file.append(&content[..600_000]).unwrap();
    drop((file, staging));
    assert_eq!(
        std::fs::read_dir(temp.path().join(".rsyn/txn"))
            .unwrap()
            .count(),
        0
    );

    let staging = Staging::begin(&root).unwrap();
    assert_eq!(staging.resume_len(digest).unwrap(), Some(600_000));
    let mut file = staging.resume(0, digest, 1_000_000).unwrap().unwrap();
    assert_eq!(file.position(), 600_000);
    assert_eq!(staging.resume_len(digest).unwrap(), None);
    file.append(&content[600_000..]).unwrap();
    file.finish(Mode::from(0o444), mtime_of("x")).unwrap();
    staging.abort().unwrap();

    // Now all of it is there, read-only as it is.
    let staging = Staging::begin(&root).unwrap();
    let file = staging.resume(5, digest, 1_000_000).unwrap().unwrap();
    assert_eq!(file.position(), 1_000_000);
    file.finish(Mode::from(MODE), mtime_of("x")).unwrap();
    assert_eq!(
        std::fs::read(staged_path(&temp, &staging, 5, &content)).unwrap(),
        content
    );
}

#[test]
fn remains_that_do_not_verify_are_dropped() {
    let (temp, root) = root();
    let content = noise(100_000);
    let digest = Digest::of(&content);
    let staging = Staging::begin(&root).unwrap();
    let remains = temp.path().join(".rsyn/partial").join(digest.to_string());
    std::fs::write(&remains, vec![7; 50_000]).unwrap();
    let mut file = staging.resume(0, digest, 100_000).unwrap().unwrap();
    file.append(&content[50_000..]).unwrap();
    let result = file.finish(Mode::from(MODE), mtime_of("x"));
    assert!(matches!(result, Err(StageError::Integrity { .. })));
    assert!(staging.resume(0, digest, 100_000).unwrap().is_none());
    // Nor is a file that is too long, or that has another name somewhere.
    std::fs::write(&remains, vec![7; 100_001]).unwrap();
    assert!(staging.resume(0, digest, 100_000).unwrap().is_none());
    std::fs::write(&remains, &content).unwrap();
    std::fs::hard_link(&remains, temp.path().join("elsewhere")).unwrap();
    assert!(staging.resume(0, digest, 100_000).unwrap().is_none());
    assert_eq!(staging.resume_len(digest).unwrap(), None);
}

#[test]
fn a_copy_that_fails_halfway_leaves_its_slot_to_another_way() {
    let (temp, root) = root();
    let content = noise(600_000);
    let node = Node::File {
        size: content.len() as u64,
        digest: Digest::of(&content),
        mode: Mode::from(MODE),
        mtime: mtime_of("x"),
    };
    let source = temp.path().join("source");
    std::fs::write(&source, &content[..500_000]).unwrap();
    let staging = Staging::begin(&root).unwrap();

    let copied = staging.copy(3, &std::fs::File::open(&source).unwrap(), &node);

    assert!(matches!(copied, Err(StageError::Disk(_))), "{copied:?}");
    stage_bytes(&staging, 3, &content).unwrap();
}

#[test]
fn remains_may_take_half_of_the_room_or_four_gibibytes() {
    let max_bytes = |room: u64| PartialLimits::for_room(room).max_bytes;
    assert_eq!(max_bytes(0), 4 << 30);
    assert_eq!(max_bytes(8 << 30), 4 << 30);
    assert_eq!(max_bytes(1 << 40), 1 << 39);
}

#[test]
fn remains_go_when_they_are_old_or_too_many() {
    let (temp, root) = root();
    let partial = temp.path().join(".rsyn/partial");
    drop(Staging::begin(&root).unwrap());
    for n in 0..4u8 {
        let digest = Digest::of(&[n]);
        std::fs::write(partial.join(digest.to_string()), vec![n; 1000]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let now = std::fs::metadata(&partial).unwrap().ctime();
    let limits = PartialLimits {
        max_age_secs: 100,
        max_bytes: 2500,
    };
    assert_eq!(prune_partial(&root, limits, now).unwrap(), 2000);
    assert!(partial.join(Digest::of(&[3]).to_string()).exists());
    assert!(!partial.join(Digest::of(&[0]).to_string()).exists());
    assert_eq!(prune_partial(&root, limits, now + 200).unwrap(), 2000);
    assert_eq!(std::fs::read_dir(&partial).unwrap().count(), 0);
}

#[test]
fn recovery_takes_away_what_the_dead_left_and_leaves_the_living_alone() {
    let (temp, root) = root();
    let living = Staging::begin(&root).unwrap();
    stage_bytes(&living, 0, b"alive").unwrap();
    let content = noise(10_000);
    let (died, _) = fault::crash_at(40, || {
        let dead = Staging::begin(&root).unwrap();
        stage_bytes(&dead, 0, &content).unwrap();
        let mut half = dead.file(1, Digest::of(b"half of it"), 10).unwrap();
        half.append(b"half").unwrap();
        drop(half);
        // Its process is gone without a word: nothing of it is cleaned up.
        fault::crash_at(0, || drop(dead));
    });
    let () = died;
    assert_eq!(
        std::fs::read_dir(temp.path().join(".rsyn/txn"))
            .unwrap()
            .count(),
        2
    );
    let scene_lock = {
        let state = root.top().open_dir(b".rsyn").unwrap();
        let holder = Holder {
            pid: 1,
            machine: String::new(),
            verb: String::new(),
            since: 0,
        };
        Lock::exclusive(&state, &holder).unwrap()
    };
    let recovery = recover(&root, &scene_lock, &mut |_, _| Ok(())).unwrap();
    assert_eq!(recovery.discarded, 1);
    assert!(recovery.is_nothing());
    assert_eq!(
        living.resume_len(Digest::of(&content)).unwrap(),
        Some(10_000)
    );
    assert_eq!(
        living.resume_len(Digest::of(b"half of it")).unwrap(),
        Some(4)
    );
    stage_bytes(&living, 1, b"still alive").unwrap();
    living.sync().unwrap();
}

#[test]
fn several_threads_can_fill_one_staging() {
    let (temp, root) = root();
    let staging = Staging::begin(&root).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let staging = &staging;
            scope.spawn(move || {
                for n in 0..100 {
                    let slot = thread * 100 + n;
                    stage_bytes(staging, slot, &slot.to_le_bytes()).unwrap();
                }
            });
        }
    });
    staging.sync().unwrap();
    let path = staged_path(&temp, &staging, 399, &399u32.to_le_bytes());
    assert_eq!(std::fs::read(path).unwrap(), 399u32.to_le_bytes());
}

#[test]
fn several_prepared_transactions_are_left_for_a_person_to_look_at() {
    let scene = Scene::new(&tree([("a", F("a", 0o644))]), &tree([("a", F("b", 0o644))]));
    let lock = scene.lock();
    for id in ["0123456789abcdef", "fedcba9876543210"] {
        let home = scene.path(".rsyn/txn").join(id);
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("PREPARED"), "").unwrap();
    }
    std::fs::write(scene.path(".rsyn/txn/not a transaction"), "").unwrap();
    assert_eq!(pending(&scene.root).unwrap(), Some(PendingKind::Undo));
    assert!(matches!(scene.recover(&lock), Err(CommitError::Ambiguous)));
    assert!(matches!(
        scene.run(&lock),
        Err(CommitError::RecoveryPending)
    ));
    assert_eq!(scene.left_in("txn"), 3);
}
