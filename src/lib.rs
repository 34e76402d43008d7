//! Tycho: a SQL query engine with an external-table catalog, served over the PostgreSQL wire protocol.
//!
//! `ARCHITECTURE.md` is the map of this crate's rooms and of what each may know.

pub mod cli;
pub mod commands;
pub mod config;
pub mod engine;
pub mod error;
pub mod session;
pub mod settings;
pub mod sql;
pub mod tables;
pub mod wire;
