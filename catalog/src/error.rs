//! What can go wrong in the catalog. Callers match on `kind`, never on text.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A database, table, partition, layer … that does not exist.
    NotFound,
    /// One that exists already.
    AlreadyExists,
    /// A database that is not empty, a location in use …
    InUse,
    /// A commit since the base of this transaction collides with it, or another transaction holds an intent there.
    Conflict,
    /// The transaction's owner was declared dead (its lease ran out) and the transaction may no longer decide.
    Fenced,
    /// The location belongs to another catalog.
    NotOwner,
    /// The catalog was written by a newer Tycho, or asks for one.
    Incompatible,
    /// The snapshot's files are gone (older than `tycho.retire_after`).
    SnapshotTooOld,
    /// The same idempotency key was used with another statement.
    IdempotencyMismatch,
    /// The catalog's database cannot be reached.
    Unavailable,
    /// A COMMIT was sent and no answer came: it may have happened.
    OutcomeUnknown,
    /// The storage lost a staged file, or refused.
    Storage,
    /// A request that makes no sense (a savepoint that is not there …).
    Invalid,
    /// A defect, or a catalog that was damaged.
    Internal,
}

/// An error of the catalog.
#[derive(Debug)]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), source: None }
    }

    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}
