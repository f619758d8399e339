//! The exclude file that a new project begins with.

/// The text of `.rsync-exclude.example`, in the language of this module and of rsync.
pub const EXAMPLE: &str = include_str!("../../.rsync-exclude.example");

#[cfg(test)]
mod tests {
    use super::EXAMPLE;
    use crate::filter::{FileStyle, Rules};
    use crate::model::RelPath;

    fn rules() -> Rules {
        let mut rules = Rules::new();
        rules
            .add_file(EXAMPLE.as_bytes(), ".rsync-exclude", FileStyle::EXCLUDE)
            .unwrap();
        rules
    }

    #[test]
    fn the_example_gives_no_warning() {
        assert!(rules().rules().len() > 30);
        assert_eq!(rules().warnings(), []);
    }

    #[test]
    fn the_example_keeps_secrets_and_sources_and_leaves_out_what_each_machine_makes() {
        let rules = rules();
        let included = |path: &str| {
            let path = RelPath::new(path.as_bytes()).unwrap();
            rules.decide(&path, false).included
        };
        for path in [
            ".env",
            "config/.env",
            ".data/x.json",
            "src/build.rs",
            "docs/logs.md",
            "Cargo.lock",
            "id_rsa.pub",
            ".gitignore",
            ".github/workflows/ci.yml",
            "local.toml",
            "rsyn.toml",
            ".rsync-exclude",
            "a.db.md",
            ".amplifier/settings.json",
            "vendor/x.c",
        ] {
            assert!(included(path), "{path}");
        }
        for path in [
            "dist/a.js",
            "x/build/y",
            "output/z",
            "target/debug/rsyn",
            "web/node_modules/x/y.js",
            ".venv/bin/python",
            "venv/lib",
            "a/__pycache__/b.pyc",
            "b.pyo",
            ".cache/x",
            ".ruff_cache/x",
            ".git/config",
            "sub/.git",
            ".ssh/config",
            "home/.ssh/id_rsa",
            "keys/id_ed25519",
            ".DS_Store",
            "a/Thumbs.db",
            "run.log",
            "logs/x",
            "x.db",
            "x.db-wal",
            "y.sqlite",
            "y.sqlite-shm",
            ".amplifier/local/x",
            ".amplifier/transcripts/y",
            ".env.local",
            ".env.test.local",
        ] {
            assert!(!included(path), "{path}");
        }
    }
}
