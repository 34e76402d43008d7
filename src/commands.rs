//! One file a statement family; each applies what `sql` parsed.

pub mod alter_table;
pub mod create_table;
pub mod database;
pub mod describe;
pub mod drop_table;
pub mod explain;
pub mod geodata;
pub mod insert;
pub mod names;
pub mod partition_clause;
pub mod partitions;
pub mod prepare;
pub mod query;
pub mod redact;
pub mod settings;
pub mod show;
pub mod system;
pub mod vacuum;
pub mod view;
