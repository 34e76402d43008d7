//! File tables: the read path (`scan`), the write path (`write`), the places files live in (`storage`).

mod arrangement;
mod array_value;
mod assign_cast;
mod assignment;
mod column_mapping;
mod data_file;
mod discover;
mod file_table;
mod formats;
mod hive_path;
mod listing;
mod local_storage;
mod orc;
mod ordering;
mod ownership;
mod parquet_file;
mod place;
mod pruning;
mod scan;
mod statistics;
mod stores;
mod task_files;
mod text_value;
mod writer;

#[cfg(test)]
mod local_storage_tests;
#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod writer_tests;

use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;

pub use assignment::store_assignment;
pub use discover::{Discovered, discover};
pub use file_table::file_table;
pub use formats::Format;
pub use hive_path::{
    DEFAULT_PARTITION, escape, parse_folder, partition_folder, unescape, value_from_text, value_to_text,
};
pub use listing::{list_files, partition_folders};
pub use local_storage::{LocalStorage, file_tag, local_path, local_storage, local_url, staging_area};
pub use ownership::claim_location;
pub use place::{has_files, object_at};
pub use statistics::{file_statistics, scalar_from_value, value_from_scalar};
pub use stores::{absolute_url, object_store_for, resolve};
pub use writer::{WriteRequest, write};

/// What tables need of the engine.
#[derive(Clone)]
pub struct TableContext {
    pub runtime: Arc<RuntimeEnv>,
    /// URL (trailing slash) of the warehouse.
    pub warehouse: String,
}
