//! The one error of the engine: kind, message, place, source. The kind decides the SQLSTATE, here and nowhere else.

use std::fmt;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use tycho_catalog::ErrorKind as CatalogKind;

/// What kind of thing went wrong. Callers match on it, never on the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Syntax,
    UndefinedTable,
    UndefinedColumn,
    AmbiguousColumn,
    UndefinedFunction,
    UndefinedDatabase,
    /// What PostgreSQL clients call a database: the catalog as a whole.
    UndefinedCatalog,
    UndefinedObject,
    UndefinedPartition,
    DuplicateTable,
    DuplicateDatabase,
    DuplicateColumn,
    DuplicateObject,
    DuplicatePreparedStatement,
    DuplicateCursor,
    WrongObjectType,
    InvalidTableDefinition,
    InvalidParameterValue,
    InvalidText,
    InvalidBinary,
    InvalidEncoding,
    DivisionByZero,
    NumericOutOfRange,
    DatetimeOverflow,
    DatatypeMismatch,
    Grouping,
    CardinalityViolation,
    NotNullViolation,
    DialectConflict,
    FeatureNotSupported,
    ActiveTransaction,
    ReadOnlyTransaction,
    NoActiveTransaction,
    InFailedTransaction,
    InvalidSavepoint,
    SerializationFailure,
    InvalidStatementName,
    InvalidCursorName,
    ProtocolViolation,
    InvalidAuthorization,
    TooManyConnections,
    Canceled,
    AdminShutdown,
    InsufficientPrivilege,
    DependentObjects,
    ObjectInUse,
    FileMissing,
    Io,
    SnapshotTooOld,
    OutOfMemory,
    DiskFull,
    TooComplex,
    ConnectionFailure,
    TransactionUnknown,
    Configuration,
    DataCorrupted,
    Internal,
}

impl Kind {
    /// The five characters of SQLSTATE (PostgreSQL 15, appendix A; 42P21 and 72000 as documented in the manual).
    pub fn sqlstate(self) -> &'static str {
        match self {
            Kind::Syntax => "42601",
            Kind::UndefinedTable => "42P01",
            Kind::UndefinedColumn => "42703",
            Kind::AmbiguousColumn => "42702",
            Kind::UndefinedFunction => "42883",
            Kind::UndefinedDatabase => "3F000",
            Kind::UndefinedCatalog => "3D000",
            Kind::UndefinedObject | Kind::UndefinedPartition => "42704",
            Kind::DuplicateTable => "42P07",
            Kind::DuplicateDatabase => "42P06",
            Kind::DuplicateColumn => "42701",
            Kind::DuplicateObject => "42710",
            Kind::DuplicatePreparedStatement => "42P05",
            Kind::DuplicateCursor => "42P03",
            Kind::WrongObjectType => "42809",
            Kind::InvalidTableDefinition => "42P16",
            Kind::InvalidParameterValue => "22023",
            Kind::InvalidText => "22P02",
            Kind::InvalidBinary => "22P03",
            Kind::InvalidEncoding => "22021",
            Kind::DivisionByZero => "22012",
            Kind::NumericOutOfRange => "22003",
            Kind::DatetimeOverflow => "22008",
            Kind::DatatypeMismatch => "42804",
            Kind::Grouping => "42803",
            Kind::CardinalityViolation => "21000",
            Kind::NotNullViolation => "23502",
            Kind::DialectConflict => "42P21",
            Kind::FeatureNotSupported => "0A000",
            Kind::ActiveTransaction => "25001",
            Kind::ReadOnlyTransaction => "25006",
            Kind::NoActiveTransaction => "25P01",
            Kind::InFailedTransaction => "25P02",
            Kind::InvalidSavepoint => "3B001",
            Kind::SerializationFailure => "40001",
            Kind::InvalidStatementName => "26000",
            Kind::InvalidCursorName => "34000",
            Kind::ProtocolViolation => "08P01",
            Kind::InvalidAuthorization => "28000",
            Kind::TooManyConnections => "53300",
            Kind::Canceled => "57014",
            Kind::AdminShutdown => "57P01",
            Kind::InsufficientPrivilege => "42501",
            Kind::DependentObjects => "2BP01",
            Kind::ObjectInUse => "55006",
            Kind::FileMissing => "58P01",
            Kind::Io => "58030",
            Kind::SnapshotTooOld => "72000",
            Kind::OutOfMemory => "53200",
            Kind::DiskFull => "53100",
            Kind::TooComplex => "54001",
            Kind::ConnectionFailure => "08006",
            Kind::TransactionUnknown => "08007",
            Kind::Configuration => "F0000",
            Kind::DataCorrupted => "XX001",
            Kind::Internal => "XX000",
        }
    }
}

/// An error with what a user needs to mend it.
#[derive(Debug)]
pub struct Error {
    pub kind: Kind,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Byte offset into the text of the statement (or of the script) where it went wrong.
    pub position: Option<usize>,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), detail: None, hint: None, position: None, source: None }
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the place, unless a more precise one is known.
    pub fn at(mut self, position: usize) -> Self {
        self.position.get_or_insert(position);
        self
    }

    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub fn sqlstate(&self) -> &'static str {
        self.kind.sqlstate()
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

impl From<tycho_catalog::Error> for Error {
    fn from(e: tycho_catalog::Error) -> Self {
        let kind = match e.kind {
            CatalogKind::NotFound => Kind::UndefinedObject,
            CatalogKind::AlreadyExists => Kind::DuplicateObject,
            CatalogKind::InUse => Kind::DependentObjects,
            CatalogKind::Conflict | CatalogKind::Fenced => Kind::SerializationFailure,
            CatalogKind::NotOwner => Kind::InsufficientPrivilege,
            CatalogKind::Incompatible => Kind::Configuration,
            CatalogKind::SnapshotTooOld => Kind::SnapshotTooOld,
            CatalogKind::IdempotencyMismatch | CatalogKind::Invalid => Kind::InvalidParameterValue,
            CatalogKind::Unavailable => Kind::ConnectionFailure,
            CatalogKind::OutcomeUnknown => Kind::TransactionUnknown,
            CatalogKind::Storage => Kind::Io,
            CatalogKind::Internal => Kind::Internal,
        };
        Error::new(kind, e.message.clone()).with_source(e)
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => Kind::FileMissing,
            std::io::ErrorKind::StorageFull => Kind::DiskFull,
            _ => Kind::Io,
        };
        Error::new(kind, e.to_string()).with_source(e)
    }
}

impl From<object_store::Error> for Error {
    fn from(e: object_store::Error) -> Self {
        let kind = match &e {
            object_store::Error::NotFound { .. } => Kind::FileMissing,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                Kind::InsufficientPrivilege
            }
            _ => Kind::Io,
        };
        Error::new(kind, e.to_string()).with_source(e)
    }
}

impl From<datafusion::arrow::error::ArrowError> for Error {
    fn from(e: datafusion::arrow::error::ArrowError) -> Self {
        DataFusionError::from(e).into()
    }
}

/// Carries an [`Error`] through code that returns DataFusion's.
impl From<Error> for DataFusionError {
    fn from(e: Error) -> Self {
        DataFusionError::External(Box::new(e))
    }
}

impl From<DataFusionError> for Error {
    fn from(e: DataFusionError) -> Self {
        use datafusion::arrow::error::ArrowError;
        match e {
            DataFusionError::External(inner) => match inner.downcast::<Error>() {
                Ok(own) => *own,
                Err(other) => Error::new(Kind::Internal, other.to_string()).with_source(other),
            },
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => (*inner).into(),
            DataFusionError::Shared(inner) => match std::sync::Arc::try_unwrap(inner) {
                Ok(e) => e.into(),
                Err(shared) => from_shared(&shared),
            },
            DataFusionError::Collection(mut all) if !all.is_empty() => all.swap_remove(0).into(),
            DataFusionError::SchemaError(schema, _) => match *schema {
                SchemaError::AmbiguousReference { ref field } => {
                    Error::new(Kind::AmbiguousColumn, format!("column reference `{}` is ambiguous", field.name))
                }
                SchemaError::FieldNotFound { ref field, ref valid_fields } => {
                    let names: Vec<_> = valid_fields.iter().map(|c| c.name.clone()).collect();
                    let error =
                        Error::new(Kind::UndefinedColumn, format!("column `{}` does not exist", field.flat_name()));
                    if names.is_empty() {
                        error
                    } else {
                        error.with_hint(format!("the columns here are {}", names.join(", ")))
                    }
                }
                other => Error::new(Kind::DuplicateColumn, other.to_string()),
            },
            DataFusionError::ArrowError(arrow, _) => {
                let kind = match &*arrow {
                    ArrowError::DivideByZero => Kind::DivisionByZero,
                    ArrowError::ArithmeticOverflow(_) => Kind::NumericOutOfRange,
                    ArrowError::CastError(text) if text.starts_with("Can't cast value") => Kind::NumericOutOfRange,
                    ArrowError::CastError(_) | ArrowError::ParseError(_) => Kind::InvalidText,
                    ArrowError::ExternalError(_) => return external(*arrow),
                    _ => Kind::Internal,
                };
                let message = match kind {
                    Kind::DivisionByZero => "division by zero".to_owned(),
                    _ => arrow.to_string(),
                };
                Error::new(kind, message).with_source(arrow)
            }
            DataFusionError::ParquetError(e) => Error::new(Kind::DataCorrupted, e.to_string()).with_source(e),
            DataFusionError::ObjectStore(e) => (*e).into(),
            DataFusionError::IoError(e) => e.into(),
            DataFusionError::SQL(e, _) => Error::new(Kind::Syntax, e.to_string()),
            DataFusionError::NotImplemented(message) => Error::new(Kind::FeatureNotSupported, message),
            DataFusionError::ResourcesExhausted(message) => Error::new(Kind::OutOfMemory, message),
            DataFusionError::Plan(message) => plan_error(message),
            DataFusionError::Execution(message) => Error::new(execution_kind(&message), message),
            other => Error::new(Kind::Internal, other.strip_backtrace()),
        }
    }
}

fn external(e: datafusion::arrow::error::ArrowError) -> Error {
    match e {
        datafusion::arrow::error::ArrowError::ExternalError(inner) => match inner.downcast::<DataFusionError>() {
            Ok(df) => (*df).into(),
            Err(inner) => match inner.downcast::<Error>() {
                Ok(own) => *own,
                Err(other) => Error::new(Kind::Internal, other.to_string()).with_source(other),
            },
        },
        other => Error::new(Kind::Internal, other.to_string()),
    }
}

/// An error that several streams share cannot be taken apart: kind and text are copied.
fn from_shared(e: &DataFusionError) -> Error {
    match e.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(own) => Error {
                kind: own.kind,
                message: own.message.clone(),
                detail: own.detail.clone(),
                hint: own.hint.clone(),
                position: own.position,
                source: None,
            },
            None => Error::new(Kind::Internal, inner.to_string()),
        },
        DataFusionError::ResourcesExhausted(m) => Error::new(Kind::OutOfMemory, m.clone()),
        DataFusionError::ArrowError(a, _) if matches!(**a, datafusion::arrow::error::ArrowError::DivideByZero) => {
            Error::new(Kind::DivisionByZero, "division by zero")
        }
        root => Error::new(execution_kind(&root.strip_backtrace()), root.strip_backtrace()),
    }
}

/// DataFusion says what is missing only in words; these words are held by tests. Remove when it has kinds.
fn plan_error(message: String) -> Error {
    let kind = if message.starts_with("table '") && message.contains("not found") {
        Kind::UndefinedTable
    } else if message.starts_with("Invalid function '") {
        Kind::UndefinedFunction
    } else if message.contains("must be in GROUP BY") || message.contains("must appear in the GROUP BY") {
        Kind::Grouping
    } else if message.contains("Cannot cast") || message.contains("coerc") || message.contains("type mismatch") {
        Kind::DatatypeMismatch
    } else {
        Kind::Syntax
    };
    Error::new(kind, message)
}

fn execution_kind(message: &str) -> Kind {
    if message.contains("Divide by zero") || message.contains("divide by zero") {
        Kind::DivisionByZero
    } else if message.contains("Overflow") || message.contains("overflow") {
        Kind::NumericOutOfRange
    } else if message.contains("more than one row") {
        Kind::CardinalityViolation
    } else if message.contains("Cast error") || message.contains("Error parsing") {
        Kind::InvalidText
    } else {
        Kind::Internal
    }
}
