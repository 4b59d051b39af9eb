//! The kinds of FHIR request that faults and statistics tell apart.

use serde::{Deserialize, Serialize};

/// A kind of FHIR request, as named in a fault plan and in the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `GET Patient?…` and `POST Patient/_search`.
    Search,
    /// `GET Patient/{id}`.
    Read,
    /// `PUT`, `PATCH` and `DELETE` of a Patient.
    Write,
    /// `POST` of a Bundle; the entries inside are counted apart.
    Batch,
    /// `GET metadata`.
    Metadata,
    /// Anything else under the base path.
    Other,
    /// The FHIR service's token endpoint.
    Token,
}

impl Operation {
    /// Every kind, in the order of their statistics.
    pub const ALL: [Self; 7] =
        [Self::Search, Self::Read, Self::Write, Self::Batch, Self::Metadata, Self::Other, Self::Token];

    /// The name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Read => "read",
            Self::Write => "write",
            Self::Batch => "batch",
            Self::Metadata => "metadata",
            Self::Other => "other",
            Self::Token => "token",
        }
    }
}
