//! What a run of the program left: exit code, output, and the JSON of the contract.

use serde_json::Value;

/// A run that is over.
#[derive(Debug)]
pub struct Run {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// The command line, for messages.
    pub line: String,
}

impl Run {
    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Both outputs.
    pub fn all(&self) -> String {
        self.out() + &self.err()
    }

    fn shown(&self) -> String {
        format!(
            "rsyn {} ended with {}\n--- stdout\n{}--- stderr\n{}",
            self.line,
            self.code,
            self.out(),
            self.err()
        )
    }

    /// Passes the run on if it ended with `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == code, "not {code}: {}", self.shown());
        self
    }

    /// Passes the run on if its output says `words`.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.all().contains(words), "no `{words}`: {}", self.shown());
        self
    }

    /// Passes the run on if its output does not say `words`.
    #[track_caller]
    pub fn says_no(self, words: &str) -> Self {
        assert!(!self.all().contains(words), "`{words}`: {}", self.shown());
        self
    }

    /// The one JSON object on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.shown()))
    }

    /// The `result` of the contract.
    #[track_caller]
    pub fn result(&self) -> String {
        self.json()["result"].as_str().unwrap().to_owned()
    }

    /// The actions, as `update src/a.rs`.
    #[track_caller]
    pub fn actions(&self) -> Vec<String> {
        lines(&self.json()["actions"], |a| {
            format!("{} {}", word(a, "action"), word(a, "path"))
        })
    }

    /// The kept paths, as `ahead notes.txt`.
    #[track_caller]
    pub fn kept(&self) -> Vec<String> {
        lines(&self.json()["kept"], |k| {
            format!("{} {}", word(k, "reason"), word(k, "path"))
        })
    }

    /// The first action or kept path of this name.
    #[track_caller]
    pub fn of(&self, path: &str) -> Value {
        let json = self.json();
        let all = ["actions", "kept"]
            .into_iter()
            .flat_map(|key| json[key].as_array().unwrap());
        let found = all.into_iter().find(|entry| entry["path"] == path);
        found
            .unwrap_or_else(|| panic!("{path} is not in {}", self.shown()))
            .clone()
    }
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn lines(array: &Value, line: impl Fn(&Value) -> String) -> Vec<String> {
    array.as_array().unwrap().iter().map(line).collect()
}
