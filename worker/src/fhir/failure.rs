//! Every way a request can fail, sorted by what the caller does about it.

use std::fmt;
use std::time::Duration;

use super::answer::MAX_VALUES;
use super::explanation::Explanation;
use super::transport::{MAX_BODY, TransportError};

/// An underlying error; holds no URL, so no NIK.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a request did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// 429, or 503 with `Retry-After`: not processed, come back later.
    #[error("the FHIR server asks to slow down (status {status})")]
    Throttled {
        /// The status.
        status: u16,
        /// What `Retry-After` asks for, at most 5 minutes.
        retry_after: Option<Duration>,
    },
    /// May pass by itself.
    #[error("{kind}{text:#}")]
    Transient {
        /// Which way.
        kind: Transient,
        /// What the server said about it, if it answered.
        text: Explanation,
        /// What the connection or the parser said.
        #[source]
        cause: Option<Cause>,
    },
    /// 401: the credentials are not accepted (any more).
    #[error("the FHIR server does not accept the credentials (status 401){text:#}")]
    Unauthorized {
        /// Which credentials the request was sent with: a lower number than
        /// [`FhirClient::credential_generation`](super::FhirClient::credential_generation) means that they have
        /// been replaced since.
        generation: u64,
        /// What the server said.
        text: Explanation,
    },
    /// 403: the credentials do not allow this. On a `PATCH` also 405, 415 and 501: the server takes none.
    #[error("the FHIR server does not allow this (status {status}){text:#}")]
    Forbidden {
        /// The status.
        status: u16,
        /// What the server said.
        text: Explanation,
    },
    /// 409 or 412 on a write, or a patch whose `test` failed: the Patient changed since it was read.
    #[error("the Patient changed since it was read (status {status}){text:#}")]
    Conflict {
        /// The status.
        status: u16,
        /// What the server said.
        text: Explanation,
    },
    /// 404 or 410 on a read or a write: the Patient is not there (any more).
    #[error("the Patient is not there any more (status {status})")]
    Gone {
        /// The status.
        status: u16,
    },
    /// The answer to a question is larger than is read, and would be again.
    #[error("{0}")]
    TooLarge(TooLarge),
    /// Anything else the server refuses: sending it again would not help.
    #[error("the FHIR server refuses the request (status {status}){text:#}")]
    Rejected {
        /// The status; 200 where the error was in the body.
        status: u16,
        /// What the server said, or what is wrong with its answer.
        text: Explanation,
    },
}

/// How a failure that may pass came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transient {
    /// No connection: name resolution, TCP, TLS, or a proxy in between. Nothing was sent.
    Unreachable,
    /// No complete answer in time.
    Timeout,
    /// A status that says so: 5xx (503 only without `Retry-After`), 408, 425.
    Server(u16),
    /// The connection broke after the request went out, or the answer cannot be read.
    Broken,
}

/// Which limit an answer is beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// [`MAX_BODY`].
    #[error("the FHIR server's answer is larger than {MAX_BODY} bytes")]
    Bytes,
    /// [`MAX_VALUES`].
    #[error("the FHIR server's answer is made of more than {MAX_VALUES} values")]
    Values,
}

impl fmt::Display for Transient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("the FHIR server cannot be reached"),
            Self::Timeout => f.write_str("the FHIR server did not answer in time"),
            Self::Server(status) => write!(f, "the FHIR server failed (status {status})"),
            Self::Broken => f.write_str("the FHIR server's answer was cut short or cannot be read"),
        }
    }
}

impl Failure {
    /// As a metric's label: why a request that failed so is tried again, if it is.
    pub const fn retry_reason(&self) -> Option<&'static str> {
        match self {
            Self::Throttled { .. } => Some("throttled"),
            Self::Transient { kind, .. } => Some(match kind {
                Transient::Unreachable => "unreachable",
                Transient::Timeout => "timeout",
                Transient::Server(_) => "server_error",
                Transient::Broken => "broken",
            }),
            Self::Unauthorized { .. } => Some("credentials"),
            Self::Conflict { .. } => Some("conflict"),
            Self::Forbidden { .. } | Self::Gone { .. } | Self::TooLarge(_) | Self::Rejected { .. } => None,
        }
    }

    /// In a word, for a row's history: the status, or what came instead of one.
    pub fn answer(&self) -> String {
        match self {
            Self::Throttled { status, .. }
            | Self::Forbidden { status, .. }
            | Self::Conflict { status, .. }
            | Self::Gone { status }
            | Self::Rejected { status, .. }
            | Self::Transient { kind: Transient::Server(status), .. } => status.to_string(),
            Self::Unauthorized { .. } => "401".into(),
            Self::TooLarge(_) => "too_large".into(),
            Self::Transient { kind: Transient::Unreachable, .. } => "unreachable".into(),
            Self::Transient { kind: Transient::Timeout, .. } => "timeout".into(),
            Self::Transient { kind: Transient::Broken, .. } => "broken".into(),
        }
    }

    /// Whether a write that failed so may have been carried out all the same: the Patient must then be read
    /// again before anything else is decided.
    pub fn leaves_write_in_doubt(&self) -> bool {
        matches!(
            self,
            Self::Transient { kind: Transient::Timeout | Transient::Server(_) | Transient::Broken, .. }
        )
    }

    /// Of a request for many rows that failed as a whole: the same for one of them, where it holds for each. The
    /// others say nothing about a row: whatever is wrong with a request for many need not be with one of its own.
    pub fn of_each(&self) -> Option<Self> {
        match self {
            Self::Throttled { status, retry_after } => {
                Some(Self::Throttled { status: *status, retry_after: *retry_after })
            }
            Self::Unauthorized { generation, text } => {
                Some(Self::Unauthorized { generation: *generation, text: text.clone() })
            }
            _ => None,
        }
    }

    /// Whether less would have been taken: 413 (content), 414 (URI) and 431 (header fields too large; RFC 9110,
    /// RFC 6585). Nothing was carried out.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::Rejected { status: 413 | 414 | 431, .. })
    }

    /// Whether the server refuses what was asked, and would again.
    pub(super) fn is_for_the_request(&self) -> bool {
        matches!(self, Self::Rejected { .. } | Self::Forbidden { .. } | Self::Gone { .. } | Self::TooLarge(_))
    }

    /// Whether a patch that failed so may have met another telecom than it was made for. Servers answer a failed
    /// `test` with 400 or 422 as well as with 409 or 412, so only another read tells it from a refusal.
    pub fn may_be_failed_test(&self) -> bool {
        matches!(self, Self::Rejected { status: 400 | 422, .. })
    }

    /// The same failure, now known to be a conflict.
    pub fn as_conflict(self) -> Self {
        match self {
            Self::Rejected { status, text } => Self::Conflict { status, text },
            other => other,
        }
    }

    /// The same failure, of a `PATCH`: a server that takes none is everybody's trouble, not the row's.
    pub(super) fn of_patch(self) -> Self {
        match self {
            Self::Rejected { status: status @ (405 | 415), text }
            | Self::Transient { kind: Transient::Server(status @ 501), text, .. } => {
                Self::Forbidden { status, text }
            }
            other => other,
        }
    }

    /// The same failure, of a write: it may have gone through, however much was said about it.
    pub(super) fn of_write(self) -> Self {
        match self {
            Self::TooLarge(limit) => Self::transient(Transient::Broken, Some(Box::new(limit))),
            other => other,
        }
    }

    pub(super) fn transient(kind: Transient, cause: Option<Cause>) -> Self {
        Self::Transient { kind, text: Explanation::default(), cause }
    }

    /// An answer that is well formed but not what was asked for.
    pub(super) fn unexpected(status: u16, what: &'static str) -> Self {
        Self::Rejected { status, text: Explanation::ours(what) }
    }

    pub(super) fn from_transport(error: TransportError) -> Self {
        match error {
            TransportError::Unreachable(cause) => Self::transient(Transient::Unreachable, Some(cause)),
            TransportError::Timeout => Self::transient(Transient::Timeout, None),
            TransportError::Broken(cause) => Self::transient(Transient::Broken, Some(cause)),
            TransportError::TooLarge => Self::TooLarge(TooLarge::Bytes),
        }
    }
}
