//! What can go wrong between the provider and the server, sorted by what a person must do about it.

use std::time::Duration;

use integraci_api::operations::Operation;
use integraci_api::{Problem, ProblemCode};

/// Why a call did not give what it should.
///
/// None of these quotes a request, an answer's body or a token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused, and said why.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The operation was accepted, and failed or is stuck.
    #[error("operation {} {}", .0.id, .0.state.as_str())]
    Operation(Box<Operation>),
    /// The operation was accepted, and its end was not seen in time.
    #[error("operation {} is still {}", .0.id, .0.state.as_str())]
    Unfinished(Box<Operation>),
    /// Something answered, and it is not IntegraCI.
    #[error("not an answer of IntegraCI: HTTP {status}, {content}")]
    Foreign {
        /// The HTTP status.
        status: u16,
        /// What the answer is, such as `text/html`.
        content: String,
        /// Where it sends us, when it is a redirect.
        location: Option<String>,
    },
    /// IntegraCI answered in a way that this version does not understand.
    #[error("an answer that this version of the provider does not understand ({what})")]
    NotUnderstood {
        /// What was being read.
        what: &'static str,
    },
    /// The answer is longer than any answer should be.
    #[error("an answer of more than {limit_bytes} bytes")]
    TooLong {
        /// The most that is read.
        limit_bytes: usize,
    },
    /// No connection.
    #[error("no connection: {reason}")]
    Unreachable {
        /// Why, in a few words.
        reason: &'static str,
    },
    /// The server's certificate is not accepted.
    #[error("the server's certificate is not accepted: {0:?}")]
    Certificate(Certificate),
    /// TLS did not come about, for another reason than the certificate.
    #[error("no TLS connection: {reason}")]
    Tls {
        /// Why, in a few words.
        reason: &'static str,
    },
    /// The connection broke before the answer was there.
    #[error("the connection broke before the answer was there")]
    Lost,
    /// One request took longer than `request_timeout`.
    #[error("no answer within {}", seconds(*.after))]
    TimedOut {
        /// The timeout.
        after: Duration,
    },
    /// The server asks for a longer pause than there is time left.
    #[error("the server asks to come back in {}", seconds(*.pause))]
    NoTimeLeft {
        /// The pause.
        pause: Duration,
    },
    /// What was just made or changed is not there.
    #[error("it was there a moment ago, and is not any more")]
    Vanished,
    /// Terraform was interrupted.
    #[error("interrupted")]
    Stopped,
    /// The client could not be made, for lack of usable certificate authorities on this machine.
    #[error("no usable certificate authorities on this machine")]
    NoAuthorities,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// Its time is over.
    Expired,
    /// Its time has not come, or this machine's clock is wrong.
    NotYetValid,
    /// Nobody that is trusted here signed it.
    UnknownIssuer,
    /// It is for another name.
    WrongName,
    /// It was revoked.
    Revoked,
    /// Something else.
    Unusable,
}

impl Error {
    /// The code under which the server refused, or the operation failed.
    #[must_use]
    pub fn code(&self) -> Option<ProblemCode> {
        match self {
            Self::Problem(problem) => Some(problem.code),
            Self::Operation(operation) => operation.error.as_ref().map(|error| error.code),
            _ => None,
        }
    }

    /// Whether the server may be away for a moment only: nothing is known of what was asked.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Lost
                | Self::TimedOut { .. }
                | Self::Foreign { status: 502..=504, .. }
        )
    }
}

/// A duration for people.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration.as_secs() >= 120 && duration.as_secs().is_multiple_of(60) {
        format!("{}m", duration.as_secs() / 60)
    } else {
        format!("{}s", duration.as_secs_f64().ceil())
    }
}
