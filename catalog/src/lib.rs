//! What Tycho knows durably: databases, table definitions, partitions, data files, commits, leases and write
//! transactions, in SQLite or PostgreSQL.
//!
//! A statement reads a [`Snapshot`]; a change goes through a [`Transaction`], which ends in one [`Commit`] or none.

mod catalog;
mod changes;
mod conflicts;
mod error;
mod foreign;
mod lease;
mod model;
mod publish;
mod recovery;
mod retire;
mod schema;
mod seal;
mod storage;
mod store;
mod transaction;
mod value;
mod view;

pub use catalog::{Catalog, OpenOptions};
pub use error::{Error, ErrorKind, Result};
pub use model::*;
pub use recovery::Recovered;
pub use storage::{Published, RemovedFile, StagedFile, Storage};
pub use transaction::{Begin, Committed, Overwrite, Transaction};
pub use value::{Comparison, Predicate, Value};
pub use view::{Snapshot, TableTotals, View};
