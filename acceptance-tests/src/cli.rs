//! `terraform` and `tofu`, and what they say.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::binaries;
use crate::process::Finished;

/// One of the two command lines that a user may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cli {
    /// HashiCorp Terraform.
    Terraform,
    /// OpenTofu.
    Tofu,
}

impl Cli {
    /// Its name, which is its program's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Terraform => "terraform",
            Self::Tofu => "tofu",
        }
    }

    /// The host that a provider without one is taken to come from.
    #[must_use]
    pub const fn registry(self) -> &'static str {
        match self {
            Self::Terraform => "registry.terraform.io",
            Self::Tofu => "registry.opentofu.org",
        }
    }

    /// Where it is.
    ///
    /// # Errors
    /// When it is not to be had.
    pub fn program(self) -> Result<PathBuf> {
        match self {
            Self::Terraform => binaries::terraform(),
            Self::Tofu => binaries::tofu(),
        }
    }
}

/// One run of a CLI, with what its `-json` output said.
#[derive(Debug)]
pub struct Ran {
    /// How it went.
    pub finished: Finished,
    /// What was run, for messages.
    pub what: String,
    events: Vec<Value>,
}

/// A diagnostic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// `error` or `warning`.
    pub severity: String,
    /// Its first line.
    pub summary: String,
    /// The rest.
    pub detail: String,
    /// The resource it is about; empty when it is about none.
    pub address: String,
    /// The first line of configuration that it points at, without indentation; empty when at none.
    pub line: String,
}

impl Ran {
    pub(crate) fn new(finished: Finished, what: String) -> Self {
        let events = finished.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Self { finished, what, events }
    }

    /// The run, which must have ended well.
    ///
    /// # Errors
    /// What it said, when it did not.
    pub fn succeeded(self) -> Result<Self> {
        // 2: a plan with `-detailed-exitcode` that has changes.
        match self.finished.status.code() {
            Some(0 | 2) => Ok(self),
            _ => bail!("{} failed with {}:\n{}", self.what, self.finished.status, self.said()),
        }
    }

    /// The errors of a run that must have failed.
    ///
    /// # Errors
    /// When it ended well, or crashed without saying why.
    pub fn failed(self) -> Result<Vec<Diagnostic>> {
        let errors = self.diagnostics("error");
        if self.finished.status.code() != Some(1) || errors.is_empty() {
            bail!("{} was to fail, and ended with {}:\n{}", self.what, self.finished.status, self.said());
        }
        Ok(errors)
    }

    /// The one error of a run that must have failed.
    ///
    /// # Errors
    /// When it ended well, or said more than one thing.
    pub fn failed_once(self) -> Result<Diagnostic> {
        let what = self.what.clone();
        let mut errors = self.failed()?;
        match errors.pop() {
            Some(only) if errors.is_empty() => Ok(only),
            last => bail!("{what} was to fail with one error, and said {errors:#?} {last:#?}"),
        }
    }

    /// The errors of `validate -json`, whose output is one object.
    ///
    /// # Errors
    /// When it found nothing wrong.
    pub fn validation_errors(self) -> Result<Vec<Diagnostic>> {
        let output: Value = serde_json::from_str(&self.finished.stdout).unwrap_or_default();
        let found = output["diagnostics"].as_array().map(Vec::as_slice).unwrap_or_default();
        let errors: Vec<_> = found.iter().map(Diagnostic::from).filter(|it| it.severity == "error").collect();
        if errors.is_empty() {
            bail!("{} was to find errors, and said:\n{}", self.what, self.said());
        }
        Ok(errors)
    }

    /// Diagnostics of a severity.
    #[must_use]
    pub fn diagnostics(&self, severity: &str) -> Vec<Diagnostic> {
        let all = self.events.iter().filter(|event| event["type"] == "diagnostic");
        all.map(|event| Diagnostic::from(&event["diagnostic"])).filter(|it| it.severity == severity).collect()
    }

    /// What is planned, as `action address`, sorted: `create integraci_tenant.acme`.
    /// A data source that is to be read is not among them.
    #[must_use]
    pub fn planned(&self) -> Vec<String> {
        self.changes("planned_change")
    }

    /// What was found to have changed outside, as `action address`, sorted.
    #[must_use]
    pub fn drifted(&self) -> Vec<String> {
        self.changes("resource_drift")
    }

    fn changes(&self, kind: &str) -> Vec<String> {
        let of_kind = self.events.iter().filter(|event| event["type"] == kind).map(|event| &event["change"]);
        let mut changes: Vec<String> = of_kind
            .map(|change| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                format!("{} {}", text(&change["action"]), text(&change["resource"]["addr"]))
            })
            .filter(|change| !change.starts_with("read ") && !change.starts_with("noop "))
            .collect();
        changes.sort();
        changes
    }

    /// How many changes were applied.
    #[must_use]
    pub fn applied(&self) -> usize {
        self.events.iter().filter(|event| event["type"] == "apply_complete").count()
    }

    /// All that it said, for people.
    #[must_use]
    pub fn said(&self) -> String {
        let diagnostics: Vec<_> = ["error", "warning"].iter().flat_map(|it| self.diagnostics(it)).collect();
        if diagnostics.is_empty() {
            return format!("{}\n{}", self.finished.stdout, self.finished.stderr);
        }
        diagnostics.iter().map(|it| format!("{it:#?}\n")).collect::<String>() + &self.finished.stderr
    }
}

impl From<&Value> for Diagnostic {
    fn from(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            severity: text(&value["severity"]),
            summary: text(&value["summary"]),
            detail: text(&value["detail"]),
            address: text(&value["address"]),
            line: text(&value["snippet"]["code"]).lines().next().unwrap_or_default().trim().to_owned(),
        }
    }
}

impl Diagnostic {
    /// Whether one of these words is in it, whatever the case.
    #[must_use]
    pub fn says(&self, words: &str) -> bool {
        let text = format!("{}\n{}", self.summary, self.detail).replace('\n', " ").to_lowercase();
        text.contains(&words.to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn ran(code: i32, stdout: &str) -> Ran {
        let status = ExitStatus::from_raw(code << 8);
        Ran::new(
            Finished { status, stdout: stdout.to_owned(), stderr: String::new() },
            "terraform plan".to_owned(),
        )
    }

    #[test]
    fn changes_are_read_and_sorted() {
        let ran = ran(
            2,
            r#"{"type":"planned_change","change":{"resource":{"addr":"b.x"},"action":"update"}}
not json
{"type":"planned_change","change":{"resource":{"addr":"a.x"},"action":"create"}}
{"type":"planned_change","change":{"resource":{"addr":"data.a.x"},"action":"read"}}"#,
        );
        assert_eq!(ran.planned(), ["create a.x", "update b.x"]);
        ran.succeeded().unwrap();
    }

    #[test]
    fn an_error_points_at_its_line() {
        let ran = ran(
            1,
            r#"{"type":"diagnostic","diagnostic":{"severity":"error","summary":"No","detail":"Because","address":"a.x","snippet":{"code":"  slug = 1"}}}"#,
        );
        let error = ran.failed_once().unwrap();
        assert_eq!((error.line.as_str(), error.address.as_str()), ("slug = 1", "a.x"));
        assert!(error.says("because"));
    }

    #[test]
    fn a_failure_without_a_word_is_told_as_such() {
        assert!(ran(1, "").failed().is_err());
        assert!(ran(0, "").failed().is_err());
        assert!(ran(1, "").succeeded().is_err());
    }
}
