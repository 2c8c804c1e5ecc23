//! Errors as RFC 9457 problems with a stable `code`.

use serde::{Deserialize, Serialize};

/// The body of every answer that is not a success (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI that names the kind of problem: `urn:integraci:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words; the same for every problem of a code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time, and what to do.
    pub detail: String,
    /// The stable word that programs compare.
    pub code: ProblemCode,
    /// The fields at fault, where there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// What is in the way, on a conflict: the id of the existing object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing_id: Option<String>,
    /// The id under which the server logged this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldProblem {
    /// JSON pointer (RFC 6901) into the request body; empty for the whole body.
    pub pointer: String,
    /// What is wrong with it and what to do. Never quotes the value.
    pub detail: String,
}

impl FieldProblem {
    /// A fault at a pointer such as `/config/url`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// What kind of problem it is. Codes are never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum ProblemCode {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
            /// A code that this client does not know yet.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl ProblemCode {
            /// Every code a server sends.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Unknown => "unknown" }
            }

            /// The HTTP status it is sent with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* Self::Unknown => 500 }
            }

            /// The title, the same for every problem of the code.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* Self::Unknown => "Unknown problem" }
            }
        }
    };
}

codes! {
    /// The body or a parameter is not what it must be; `errors` names the places.
    InvalidRequest = "invalid_request", 422, "The request is not valid";
    /// The body is not JSON at all.
    MalformedJson = "malformed_json", 400, "The body is not JSON";
    /// No token, or one that is unknown, expired or revoked.
    Unauthenticated = "unauthenticated", 401, "The token is not accepted";
    /// The token may not do this.
    Forbidden = "forbidden", 403, "The token may not do this";
    /// No such thing, or not for this token.
    NotFound = "not_found", 404, "Not found";
    /// The method is not one of this address.
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed";
    /// Another tenant has, or had, this slug.
    SlugTaken = "slug_taken", 409, "The slug is taken";
    /// Another connector of the tenant has this name.
    NameTaken = "name_taken", 409, "The name is taken";
    /// `delete_protection` is on.
    DeleteProtected = "delete_protected", 409, "Deletion is protected";
    /// The thing is being created, changed or deleted by another operation.
    Busy = "busy", 409, "Another operation is under way";
    /// No instance of a system has room for another tenant.
    NoRoom = "no_room", 503, "No room for another tenant";
    /// The tenant is suspended: its tokens are refused, and nothing in it is changed until it is resumed.
    Suspended = "suspended", 403, "The tenant is suspended";
    /// No room left in a quota.
    QuotaExceeded = "quota_exceeded", 409, "The quota is used up";
    /// A limit lower than what is in use.
    QuotaBelowUse = "quota_below_use", 409, "The limit is under what is in use";
    /// `If-Match` does not match.
    PreconditionFailed = "precondition_failed", 412, "It has changed since it was read";
    /// `If-Match` is required here.
    PreconditionRequired = "precondition_required", 428, "If-Match is required";
    /// The key was used for another request.
    IdempotencyKeyReused = "idempotency_key_reused", 422, "The idempotency key was used for another request";
    /// The first request with this key is not answered yet.
    IdempotencyKeyInUse = "idempotency_key_in_use", 409, "The first request with this key is under way";
    /// The body is over the limit.
    BodyTooLarge = "body_too_large", 413, "The body is too large";
    /// Not `application/json`.
    UnsupportedMediaType = "unsupported_media_type", 415, "The content type is not supported";
    /// The far system refused the connector's configuration or secret.
    VerificationFailed = "verification_failed", 422, "The connector could not be verified";
    /// The secret that an operation needs never arrived; send the request again.
    SecretLost = "secret_lost", 409, "The secret was not received";
    /// Too many requests; see `Retry-After`.
    RateLimited = "rate_limited", 429, "Too many requests";
    /// A system that the platform needs does not answer; see `Retry-After`.
    Unavailable = "unavailable", 503, "A system is not available";
    /// The server took too long.
    Timeout = "timeout", 504, "The request took too long";
    /// A fault of the server's own.
    Internal = "internal", 500, "Internal error";
}

impl Problem {
    /// A problem of a code with its detail; status, type and title follow from the code.
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:integraci:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
            errors: Vec::new(),
            existing_id: None,
            request_id: None,
        }
    }

    /// The same with fields at fault.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldProblem>) -> Self {
        self.errors = errors;
        self
    }

    /// The same with one field at fault, whose detail is the problem's own.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        let detail = self.detail.clone();
        self.errors.push(FieldProblem::new(pointer, detail));
        self
    }

    /// The same, naming what is in the way.
    #[must_use]
    pub fn with_existing(mut self, id: &impl ToString) -> Self {
        self.existing_id = Some(id.to_string());
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}

impl std::error::Error for Problem {}
