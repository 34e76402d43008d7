//! The contract that every store of the catalog keeps: each test runs on SQLite, and on PostgreSQL where
//! `TEST_TYCHO_POSTGRES` names a server (`postgres://…`).

#[macro_use]
mod place;
mod conflicts;
mod definitions;
mod failures;
mod files;
mod leases;
mod memory;
mod outage;
mod scale;
