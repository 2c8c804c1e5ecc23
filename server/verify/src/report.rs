//! What was found, in words for people: one line a check, the verdict last.

use std::fmt::Write as _;

use integraci_api::attestations::CheckKind;

use crate::attestation::{Attested, Doubt};

/// The report of an attestation that is signed.
#[must_use]
pub fn attestation(attested: &Attested, doubts: &[Doubt]) -> String {
    let Attested { statement, kids } = attested;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "attestation {}", statement.id);
    let _ = writeln!(text, "tenant      {} ({})", statement.slug, statement.tenant_id);
    let _ = writeln!(text, "issued at   {}", statement.issued_at);
    let _ = writeln!(text, "signed by   {}\n", plain(&kids.join(", ")));
    for check in &statement.checks {
        let verdict = if check.passed { "pass" } else { "FAIL" };
        let kind = match check.kind {
            CheckKind::Attempt => "attempt",
            CheckKind::Control => "control",
        };
        let name = plain(&check.check);
        let _ = writeln!(text, "{verdict}  {:<10}  {kind}  {name}", check.system.title());
        for (what, words) in
            [("tried", &check.attempted), ("expected", &check.expected), ("observed", &check.observed)]
        {
            let _ = writeln!(text, "      {what:<8}  {}", plain(words));
        }
    }
    for system in &statement.off {
        let _ = writeln!(text, "off   {}: the platform does not use it; nothing was tried", system.title());
    }
    text.push('\n');
    if doubts.is_empty() {
        let _ = writeln!(text, "Signed, and every check passed.");
    } else {
        let _ = writeln!(text, "Signed, but it does not show that the tenant is isolated:");
        for doubt in doubts {
            let _ = writeln!(text, "  - {}", plain(&doubt.to_string()));
        }
    }
    text
}

/// Text without what would move a terminal's cursor or change its colours.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_written_to_by_what_was_read() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
