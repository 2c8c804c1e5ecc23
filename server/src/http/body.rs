//! JSON bodies: what is wrong with one is told with its pointer, and its values are never quoted,
//! for any of them may be a secret.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use integraci_api::tenants::pointer_escape;
use integraci_api::{FieldProblem, Problem, ProblemCode};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::error::Error;

/// A JSON body of a type.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !content_type.is_some_and(is_json) {
            let detail = "send the body as `Content-Type: application/json`";
            return Err(Problem::new(ProblemCode::UnsupportedMediaType, detail).into());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
                Error::from(
                    Problem::new(ProblemCode::BodyTooLarge, "the body is larger than the server takes")
                        .at(""),
                )
            } else {
                Problem::new(ProblemCode::MalformedJson, "the body ended before it was whole").into()
            }
        })?;
        parse(&bytes).map(Self)
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence.eq_ignore_ascii_case("application/merge-patch+json")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    // serde takes a list for an object whose fields come in the order in which they are declared.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(Error::invalid(vec![FieldProblem::new("", "expected a JSON object")]));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| fault(&error))?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Error {
    let detail = format!("the body is not JSON: fault at line {}, column {}", error.line(), error.column());
    Problem::new(ProblemCode::MalformedJson, detail).into()
}

fn fault(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
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
    Error::invalid(vec![FieldProblem::new(pointer, detail)])
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
        match parse::<T>(body.as_bytes()) {
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
