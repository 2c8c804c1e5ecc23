//! What a person is told of an error: what was not done, why, and what to do about it; at the
//! attribute that is at fault, where there is one.

use integraci_api::operations::{Operation, OperationKind, OperationState};
use integraci_api::{FieldProblem, ProblemCode};
use tfplugin::{Diagnostic, Diagnostics, Path};

use crate::api::{Api, Certificate, Error};
use crate::pointer;

/// From the parts of a JSON pointer into the request to an attribute.
pub(crate) type Locate<'a> = &'a dyn Fn(&[String]) -> Option<Path>;

/// For requests without a body of their own.
pub(crate) const NOWHERE: Locate<'static> = &|_| None;

/// An error as diagnostics. `doing` is what failed: "Cannot create the tenant".
pub(crate) fn diagnose(api: &Api, doing: &str, error: Error, locate: Locate<'_>) -> Diagnostics {
    match error {
        Error::Problem(problem) => {
            let request = problem.request_id.map(|id| format!("The server logged it as request {id}."));
            // What a program is told to send is no news to a person.
            let detail = (problem.code != ProblemCode::Unauthenticated).then_some(problem.detail);
            let detail = paragraphs([detail, advice(api, problem.code), request]);
            faults(doing, problem.code, detail, problem.errors, locate)
        }
        Error::Operation(operation) => failed(doing, *operation, locate),
        Error::Unfinished(operation) => unfinished(doing, &operation).into(),
        other => {
            Diagnostic::error(format!("{doing}: {}", headline(&other))).detail(remedy(api, &other)).into()
        }
    }
}

/// One diagnostic for every attribute with all its faults, and one for all that has none.
fn faults(
    doing: &str,
    code: ProblemCode,
    detail: String,
    errors: Vec<FieldProblem>,
    locate: Locate<'_>,
) -> Diagnostics {
    let summary = format!("{doing}: {}", lower_first(code.title()));
    let mut places: Vec<(Path, String)> = Vec::new();
    let mut elsewhere = Vec::new();
    for fault in errors {
        match locate(&pointer::parts(&fault.pointer)) {
            Some(path) => {
                // Core shows the lines of an attribute, and not those of one inside it.
                let detail = match path.steps() {
                    [_, _, ..] => format!("{path}: {}", sentence(&fault.detail)),
                    _ => sentence(&fault.detail),
                };
                match places.iter_mut().find(|(known, _)| *known == path) {
                    Some((_, details)) => *details += &format!("\n{detail}"),
                    None => places.push((path, detail)),
                }
            }
            None => elsewhere.push(format!("{}: {}", fault.pointer, sentence(&fault.detail))),
        }
    }
    let told = places.into_iter().map(|(path, detail)| Diagnostic::error(&summary).detail(detail).at(path));
    let mut told: Diagnostics = told.collect();
    if told.is_empty() || !elsewhere.is_empty() {
        let places = (!elsewhere.is_empty()).then(|| elsewhere.join("\n"));
        told.push(Diagnostic::error(summary).detail(paragraphs([Some(detail), places])));
    }
    told
}

/// What to do about a refusal, beyond what the server says.
fn advice(api: &Api, code: ProblemCode) -> Option<String> {
    let endpoint = api.endpoint();
    Some(match code {
        ProblemCode::Unauthenticated => format!(
            "{endpoint} does not accept the token: it may be wrong, expired or revoked, or for another server. Set \
             a valid one as `token` in the block provider \"integraci\", or in INTEGRACI_TOKEN."
        ),
        ProblemCode::Forbidden => {
            "The token needs more scopes, or is bound to another tenant. Use one that may do this.".to_owned()
        }
        ProblemCode::PreconditionFailed => {
            "Someone changed it after this plan was made. Plan again, look at what would be changed now, and apply that."
                .to_owned()
        }
        ProblemCode::Busy => "Apply again when the other operation is done.".to_owned(),
        _ => return None,
    })
}

fn failed(doing: &str, operation: Operation, locate: Locate<'_>) -> Diagnostics {
    let state = match operation.state {
        OperationState::Stuck => format!(
            "Operation {} is stuck: undoing it, or going on with it, keeps failing. The operator of the platform \
             must look at it.",
            operation.id
        ),
        _ if operation.kind == OperationKind::ConnectorUpdate => {
            format!("Operation {} failed, and what was in force before still is.", operation.id)
        }
        _ if operation.kind == OperationKind::ConnectorDelete => {
            format!("Operation {} failed, and the connector is as it was.", operation.id)
        }
        _ => format!("Operation {} failed, and nothing of it is left.", operation.id),
    };
    match operation.error {
        Some(error) => {
            let step = (!error.step.is_empty()).then(|| format!("It failed at the step {}.", error.step));
            let detail = paragraphs([Some(error.detail), step, Some(state)]);
            faults(doing, error.code, detail, error.errors, locate)
        }
        None => Diagnostic::error(doing).detail(state).into(),
    }
}

fn unfinished(doing: &str, operation: &Operation) -> Diagnostic {
    let step = operation.steps.iter().rev().find(|step| step.attempts > 0).map(|step| {
        let error = step.error.as_deref().map(|error| format!(", last error: {error}")).unwrap_or_default();
        format!(
            "Its latest step is {} ({}, attempts: {}{error}).",
            step.name,
            step.state.as_str(),
            step.attempts
        )
    });
    Diagnostic::error(format!("{doing}: it was accepted, and did not finish in time")).detail(paragraphs([
        Some(format!(
            "Operation {} was {} when it was last seen, and IntegraCI goes on with it. Apply again later: it takes \
             up what has become of it. More time can be given under `timeouts`.",
            operation.id,
            operation.state.as_str()
        )),
        step,
    ]))
}

fn headline(error: &Error) -> String {
    match error {
        Error::Foreign { status: 502..=504, .. } => "the server is not available".to_owned(),
        Error::Foreign { .. } => "this is not an IntegraCI server".to_owned(),
        Error::NotUnderstood { .. } => "the server's answer is not understood".to_owned(),
        Error::TooLong { .. } => "the server's answer is too long".to_owned(),
        Error::Unreachable { .. } => "the server cannot be reached".to_owned(),
        Error::Certificate(Certificate::Expired) => "the server's certificate has expired".to_owned(),
        Error::Certificate(Certificate::NotYetValid) => {
            "the server's certificate is not valid yet".to_owned()
        }
        Error::Certificate(_) => "the server's certificate is not trusted".to_owned(),
        Error::Tls { .. } => "no secure connection".to_owned(),
        Error::NoTimeLeft { .. } => "the server asks to wait longer than there is time".to_owned(),
        other => other.to_string(),
    }
}

/// What to do about an error that is not the server's own word.
fn remedy(api: &Api, error: &Error) -> String {
    let endpoint = api.endpoint();
    const SET: &str = "`endpoint` of the provider, or INTEGRACI_ENDPOINT";
    match error {
        Error::Foreign { status: status @ 502..=504, .. } => format!(
            "What stands before {endpoint} answered with HTTP {status}: IntegraCI itself did not answer. Try again \
             when it is back."
        ),
        Error::Foreign { location: Some(location), status, .. } => format!(
            "{endpoint} answered with a redirect (HTTP {status}) to {}. Set {SET}, to the address that IntegraCI \
             itself has.",
            without_query(location)
        ),
        Error::Foreign { status, content, .. } => format!(
            "{endpoint} answered with HTTP {status} and {content}, which IntegraCI never does here. Set {SET}, to the \
             address of the server, without `/v1`."
        ),
        Error::NotUnderstood { what } => format!(
            "{endpoint} answered with a {what} in a form that this version of the provider does not know. Use the \
             version of the provider that goes with the server."
        ),
        Error::TooLong { limit_bytes } => {
            format!("{endpoint} sent more than {limit_bytes} bytes, which IntegraCI never does. Check {SET}.")
        }
        Error::Unreachable { reason } => {
            format!("{endpoint}: {reason}. Check that the server runs and that {SET}, is right{}.", proxies())
        }
        Error::Certificate(fault) => certificate(endpoint, *fault),
        Error::Tls { reason } => format!("{endpoint}: {reason}."),
        Error::Lost => format!(
            "The connection to {endpoint} broke before the answer was there, so it is not known whether it was done. \
             Apply again: it is looked up first."
        ),
        Error::TimedOut { .. } => format!(
            "{endpoint} took longer than request_timeout of the provider (or INTEGRACI_REQUEST_TIMEOUT). It is not \
             known whether it was done. Apply again: it is looked up first."
        ),
        Error::NoTimeLeft { .. } => {
            format!(
                "{endpoint} is busy, or limits how many requests it takes. Try again later, or give more time under `timeouts`."
            )
        }
        Error::Vanished => "Someone else deleted it meanwhile. Apply again to create it.".to_owned(),
        Error::Stopped => "What IntegraCI has accepted goes on there. Apply again to take it up.".to_owned(),
        Error::NoAuthorities => {
            "This machine has no usable certificate authorities. Install them (the package is often called \
             ca-certificates), or set ca_certificate of the provider."
                .to_owned()
        }
        Error::Problem(_) | Error::Operation(_) | Error::Unfinished(_) => error.to_string(),
    }
}

fn certificate(endpoint: &str, fault: Certificate) -> String {
    match fault {
        Certificate::Expired => format!(
            "The certificate of {endpoint} has expired. It must be renewed on the server; if it was, check this \
             machine's clock. ca_certificate does not help here."
        ),
        Certificate::NotYetValid => format!(
            "The certificate of {endpoint} is not valid yet. Check the clocks of this machine and of the server."
        ),
        Certificate::UnknownIssuer => format!(
            "The certificate of {endpoint} comes from an authority that is not trusted here. Where the authority is \
             your own, set ca_certificate of the provider (or INTEGRACI_CA_CERTIFICATE) to its certificate in PEM; \
             where it is set already, it is another one's."
        ),
        Certificate::WrongName => format!(
            "The certificate is not made out for the name in {endpoint}. Use a name that it is made out for; \
             ca_certificate does not help here."
        ),
        Certificate::Revoked => format!("The certificate of {endpoint} was revoked."),
        Certificate::Unusable => format!(
            "The certificate of {endpoint} cannot be used for a server. Where it is its own authority (self-signed), \
             make an authority that signs it, and set ca_certificate to that."
        ),
    }
}

/// A proxy is easily forgotten, and then explains everything.
fn proxies() -> &'static str {
    let set = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    if set.iter().any(|name| std::env::var_os(name).is_some()) {
        "; a proxy is set in the environment, which may be what cannot be reached (NO_PROXY makes exceptions)"
    } else {
        ""
    }
}

/// A redirect's query may carry what nobody should see.
fn without_query(location: &str) -> &str {
    location.split(['?', '#']).next().unwrap_or_default()
}

fn paragraphs<const N: usize>(parts: [Option<String>; N]) -> String {
    let parts: Vec<_> = parts.into_iter().flatten().map(|part| sentence(&part)).collect();
    parts.join("\n\n")
}

/// A text as a sentence: a capital letter, unless it begins with a name, and a full stop.
pub(crate) fn sentence(text: &str) -> String {
    let word = text.split_whitespace().next().unwrap_or_default();
    let mut letters = text.chars();
    let mut out = String::with_capacity(text.len() + 1);
    if word.chars().all(|c| c.is_ascii_lowercase()) {
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
    }
    out.push_str(letters.as_str());
    if !out.is_empty() && !out.ends_with(['.', '!', '?', '\n', '}']) {
        out.push('.');
    }
    out
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| {
        // "If-Match is required" keeps its capital.
        if letters.as_str().starts_with(|c: char| c.is_lowercase() || c == ' ') && !text.starts_with("If-") {
            first.to_ascii_lowercase()
        } else {
            first
        }
    });
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use integraci_api::{Problem, SecretText};

    use super::*;
    use crate::api::{Settings, endpoint_parse};
    use crate::pointer::attribute_or_key;

    fn told(error: Error, expected: &Expect) {
        let diags = diagnose(&test_api(), "Cannot create the tenant", error, &attribute_or_key);
        let texts = diags.iter().map(|diag| {
            let at = diag.path().map(|path| format!(" (at {path})")).unwrap_or_default();
            format!("{}{at}\n{}\n", diag.summary(), diag.detail_text())
        });
        expected.assert_eq(&texts.collect::<Vec<_>>().join("--\n"));
    }

    #[test]
    fn faults_of_a_request_are_told_at_their_attributes() {
        let problem = Problem::new(ProblemCode::InvalidRequest, "two fields are wrong").with_errors(vec![
            FieldProblem::new("/slug", "a slug has 2 to 40 characters"),
            FieldProblem::new("/labels/a~1b", "a label's value has at most 63 characters"),
        ]);
        told(
            Error::Problem(Box::new(problem)),
            &expect![[r#"
                Cannot create the tenant: the request is not valid (at slug)
                A slug has 2 to 40 characters.
                --
                Cannot create the tenant: the request is not valid (at labels["a/b"])
                labels["a/b"]: A label's value has at most 63 characters.
            "#]],
        );
    }

    #[test]
    fn a_token_that_is_not_accepted() {
        let mut problem =
            Problem::new(ProblemCode::Unauthenticated, "the token is unknown, expired or revoked");
        problem.request_id = Some("0192f3".into());
        told(
            Error::Problem(Box::new(problem)),
            &expect![[r#"
                Cannot create the tenant: the token is not accepted
                https://platform.example does not accept the token: it may be wrong, expired or revoked, or for another server. Set a valid one as `token` in the block provider "integraci", or in INTEGRACI_TOKEN.

                The server logged it as request 0192f3.
            "#]],
        );
    }

    #[test]
    fn something_else_than_integraci() {
        told(
            Error::Foreign { status: 404, content: "text/html".into(), location: None },
            &expect![[r#"
                Cannot create the tenant: this is not an IntegraCI server
                https://platform.example answered with HTTP 404 and text/html, which IntegraCI never does here. Set `endpoint` of the provider, or INTEGRACI_ENDPOINT, to the address of the server, without `/v1`.
            "#]],
        );
        told(
            Error::Foreign {
                status: 302,
                content: "text/html".into(),
                location: Some("https://login.example/?state=s3cret".into()),
            },
            &expect![[r#"
                Cannot create the tenant: this is not an IntegraCI server
                https://platform.example answered with a redirect (HTTP 302) to https://login.example/. Set `endpoint` of the provider, or INTEGRACI_ENDPOINT, to the address that IntegraCI itself has.
            "#]],
        );
    }

    #[test]
    fn certificates_say_which_fault_and_what_to_set() {
        told(
            Error::Certificate(Certificate::Expired),
            &expect![[r#"
                Cannot create the tenant: the server's certificate has expired
                The certificate of https://platform.example has expired. It must be renewed on the server; if it was, check this machine's clock. ca_certificate does not help here.
            "#]],
        );
        told(
            Error::Certificate(Certificate::UnknownIssuer),
            &expect![[r#"
                Cannot create the tenant: the server's certificate is not trusted
                The certificate of https://platform.example comes from an authority that is not trusted here. Where the authority is your own, set ca_certificate of the provider (or INTEGRACI_CA_CERTIFICATE) to its certificate in PEM; where it is set already, it is another one's.
            "#]],
        );
    }

    #[test]
    fn every_other_error_says_what_to_do() {
        for error in [
            Error::NotUnderstood { what: "tenant" },
            Error::TooLong { limit_bytes: 1 },
            Error::Tls { reason: "the handshake failed" },
            Error::Lost,
            Error::TimedOut { after: std::time::Duration::from_secs(30) },
            Error::NoTimeLeft { pause: std::time::Duration::from_secs(3600) },
            Error::Vanished,
            Error::Stopped,
            Error::NoAuthorities,
        ] {
            assert!(remedy(&test_api(), &error).ends_with('.'), "{error:?}");
        }
    }

    fn test_api() -> Api {
        let endpoint = endpoint_parse("https://platform.example").unwrap();
        Api::new(Settings::new(endpoint, &SecretText::new("ici_test".into())).unwrap())
    }
}
