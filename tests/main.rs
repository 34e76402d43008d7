//! All tests that need a running Tycho or a real service: one binary, a module a client or service.
//!
//! `tests/run` starts the services and sets the variables named in `service`; without them the tests that need one are
//! skipped by name.

mod catalog_postgres;
mod concurrency;
mod crash;
mod demo;
mod formats;
mod manual;
mod psql;
mod psycopg;
mod rooms;
mod s3;
mod server;
mod service;
mod sqllogic;
mod streaming;
