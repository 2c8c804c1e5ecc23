//! JSON from outside: what is wrong with it is told with its pointer, and its values are never quoted, for
//! any of them may be a secret.

use integraci_api::tenants::pointer_escape;
use integraci_api::{FieldProblem, Problem, ProblemCode};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::error::Error;

/// Why a text is not an object of a type.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It is not JSON.
    Malformed(String),
    /// A part of it is not what it must be.
    Field(FieldProblem),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Malformed(detail) => Problem::new(ProblemCode::MalformedJson, detail).into(),
            Fault::Field(problem) => Self::invalid(vec![problem]),
        }
    }
}

/// The object of a type that a text is.
///
/// # Errors
/// The first thing that is wrong with it.
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Fault> {
    // serde takes a list for an object whose fields come in the order in which they are declared.
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(Fault::Field(FieldProblem::new("", "expected a JSON object")));
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| fault(&error))?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Fault {
    let (line, column) = (error.line(), error.column());
    Fault::Malformed(format!("the body is not JSON: fault at line {line}, column {column}"))
}

fn fault(error: &serde_path_to_error::Error<serde_json::Error>) -> Fault {
    if !error.inner().is_data() {
        return malformed(error.inner());
    }
    let mut pointer = String::new();
    for segment in error.path() {
        match segment {
            Segment::Map { key } => pointer.push_str(&format!("/{}", pointer_escape(key))),
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    let (field, detail) = words(&error.inner().to_string());
    if let Some(field) = field
        && !pointer.ends_with(&format!("/{}", pointer_escape(&field)))
    {
        pointer.push_str(&format!("/{}", pointer_escape(&field)));
    }
    Fault::Field(FieldProblem::new(pointer, detail))
}

/// What serde says of a fault, without the value that it quotes; and the field, where it names one.
fn words(message: &str) -> (Option<String>, String) {
    let message = message.rsplit_once(" at line ").map_or(message, |(text, _)| text);
    let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
    if message.starts_with("unknown field") {
        let known = message.split_once(", ").map_or("it has no fields", |(_, known)| known);
        return (quoted(message), format!("unknown field; {known}"));
    }
    if message.starts_with("missing field") {
        return (quoted(message), "this field is required".to_owned());
    }
    if message.starts_with("duplicate field") {
        return (quoted(message), "this field is there twice".to_owned());
    }
    if message.starts_with("invalid") || message.starts_with("unknown variant") {
        // The value stands before the last ", expected ".
        let expected = message.rsplit_once(", expected ").map_or("something else", |(_, expected)| expected);
        let expected = if expected.starts_with("struct ") { "a JSON object" } else { expected };
        return (None, format!("expected {expected}"));
    }
    // What our own types say of a fault quotes no value.
    (None, message.to_owned())
}

#[cfg(test)]
mod tests {
    use integraci_api::connectors::ConnectorCreate;
    use integraci_api::tenants::TenantCreate;

    use super::*;

    fn refusal<T: DeserializeOwned>(body: &str) -> Problem {
        match parse::<T>(body.as_bytes()).map_err(Error::from) {
            Err(Error::Refused(problem)) => *problem,
            _ => panic!("expected a refusal of {body}"),
        }
    }

    #[test]
    fn faults_are_told_at_their_pointers() {
        for (body, pointer, detail) in [
            (r#"{"slug":1}"#, "/slug", "expected a string"),
            (
                r#"{"slug":"a","colour":1}"#,
                "/colour",
                "unknown field; expected one of `slug`, `name`, `plan`, `owner_email`, `labels`, `delete_protection`",
            ),
            (r#"{"slug":"a","name":"b","plan":"c"}"#, "/owner_email", "this field is required"),
            (r#"{"slug":"a","slug":"b"}"#, "/slug", "this field is there twice"),
            (r#"{"labels":{"a/b":1}}"#, "/labels/a~1b", "expected a string"),
            (r"[]", "", "expected a JSON object"),
            (r#" ["acme", "Acme", "team", "it@acme.example"]"#, "", "expected a JSON object"),
        ] {
            let problem = refusal::<TenantCreate>(body);
            assert_eq!(problem.code, ProblemCode::InvalidRequest, "{body}");
            assert_eq!(
                (problem.errors[0].pointer.as_str(), problem.errors[0].detail.as_str()),
                (pointer, detail)
            );
        }
        assert_eq!(refusal::<TenantCreate>("{").code, ProblemCode::MalformedJson);
        assert_eq!(refusal::<TenantCreate>("").code, ProblemCode::MalformedJson);
    }

    #[test]
    fn no_value_is_quoted() {
        for body in [
            r#"{"name":"n","kind":"webhook","config":{},"secrets":{"hmac_key":91827364}}"#,
            r#"{"name":"n","kind":"webhook","config":{},"secrets":"91827364"}"#,
            r#"{"name":"n","kind":"webhook","config":"91827364, expected","secrets":{}}"#,
            r#"{"name":"n","kind":"webhook","config":{},"secrets":{"hmac_key":["91827364"]}}"#,
        ] {
            let problem = refusal::<ConnectorCreate>(body);
            assert!(!serde_json::to_string(&problem).unwrap().contains("91827364"), "{problem:?}");
        }
    }
}
