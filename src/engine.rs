//! What all sessions share: catalog, storage, runtime, geodata layers, and the traits that outer rooms implement.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateDefaults};
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionConfig;
use tycho_catalog::{Begin, Catalog, Database, ErrorKind, OpenOptions, Storage, TableDefinition, TableKind, View};

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::session::names::FunctionSet;
use crate::settings::Settings;
use crate::tables::{self, TableContext};

pub(crate) mod geodata;

/// What all sessions of a process share.
pub struct Engine {
    pub catalog: Catalog,
    pub runtime: Arc<RuntimeEnv>,
    /// The process's settings; a session starts with them.
    pub settings: Settings,
    /// Where data files are staged, published and deleted.
    pub storage: Arc<dyn Storage>,
    /// What tables need of the engine.
    pub tables: TableContext,
    spark_functions: FunctionSet,
    layers: geodata::LayerCache,
    system: OnceLock<Arc<dyn SystemTables>>,
}

impl Engine {
    /// Opens (and makes, if there is none) the catalog of the warehouse, and finishes what dead processes left there.
    pub async fn open(config: &Config) -> Result<Arc<Engine>> {
        let settings = config.settings.clone();
        let warehouse = config.warehouse.clone();
        let catalog = Catalog::open(
            &config.catalog,
            OpenOptions {
                lease_ms: settings.duration_ms("tycho.lease"),
                retire_after_ms: settings.duration_ms("tycho.retire_after"),
                warehouse: warehouse.clone(),
                create: true,
            },
        )
        .await?;
        let runtime = runtime(&settings)?;
        let engine = Engine {
            catalog,
            storage: tables::local_storage(),
            tables: TableContext { runtime: Arc::clone(&runtime), warehouse },
            runtime,
            settings,
            spark_functions: FunctionSet::spark(),
            layers: geodata::LayerCache::default(),
            system: OnceLock::new(),
        };
        engine.catalog.recover(engine.storage.as_ref()).await?;
        engine.make_default_database().await?;
        Ok(Arc::new(engine))
    }

    /// Every catalog has the database `default`; several processes may find a new one without it at once.
    async fn make_default_database(&self) -> Result<()> {
        let view: View = self.catalog.snapshot().await?.into();
        if view.database("default").await?.is_some() {
            return Ok(());
        }
        let mut transaction = self.catalog.begin(Begin::default()).await?;
        let database =
            Database { name: "default".to_owned(), comment: None, location: None, properties: BTreeMap::new() };
        match transaction.create_database(database).await {
            Ok(()) => match transaction.commit(self.storage.as_ref()).await {
                Err(e) if !matches!(e.kind, ErrorKind::Conflict | ErrorKind::AlreadyExists) => Err(e.into()),
                _ => Ok(()),
            },
            Err(e) if e.kind == ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Plugs in PostgreSQL's system tables; `main` does it once.
    pub fn set_system_tables(&self, system: Arc<dyn SystemTables>) {
        let _ = self.system.set(system);
    }

    pub fn system_tables(&self) -> Option<Arc<dyn SystemTables>> {
        self.system.get().cloned()
    }

    /// The functions that dialect `spark` puts in the place of DataFusion's own.
    pub fn spark_functions(&self) -> &FunctionSet {
        &self.spark_functions
    }

    /// A DataFusion state for a session with these settings.
    pub fn session_state(&self, settings: &Settings) -> SessionState {
        let mut config = SessionConfig::new()
            .with_target_partitions(settings.integer("tycho.target_partitions").max(1) as usize)
            .with_batch_size(settings.integer("tycho.batch_size").max(1) as usize)
            .with_collect_statistics(true)
            .with_parquet_pruning(true)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(false);
        let options = config.options_mut();
        options.execution.time_zone = Some(settings.text("timezone").to_owned());
        options.execution.parquet.pushdown_filters = true;
        options.execution.parquet.reorder_filters = true;
        options.execution.parquet.schema_force_view_types = true;
        options.sql_parser.collect_spans = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.explain.physical_plan_only = true;
        let builder = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(&self.runtime))
            .with_expr_planners(SessionStateDefaults::default_expr_planners())
            .with_scalar_functions(SessionStateDefaults::default_scalar_functions())
            .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
            .with_window_functions(SessionStateDefaults::default_window_functions())
            .with_higher_order_functions(SessionStateDefaults::default_higher_order_functions())
            .with_table_function_list(SessionStateDefaults::default_table_functions());
        geodata::register(builder).build()
    }

    /// The provider of a file table as of a view.
    pub fn table_provider(&self, definition: &Arc<TableDefinition>, view: &View) -> Result<Arc<dyn TableProvider>> {
        match definition.kind {
            TableKind::Managed | TableKind::External => {
                tables::file_table(Arc::clone(definition), view.clone(), self.tables.clone())
            }
            TableKind::Remote | TableKind::View => Err(Error::new(
                Kind::WrongObjectType,
                format!("{} is no file table; its provider is {}", definition.full_name(), definition.provider),
            )),
        }
    }

    /// The function `geodata`, bound to the layers of a view.
    pub async fn geodata(&self, view: &View) -> Result<Arc<ScalarUDF>> {
        self.layers.function(self, view).await
    }
}

/// One memory pool, one scratch folder, no caches that would never expire.
fn runtime(settings: &Settings) -> Result<Arc<RuntimeEnv>> {
    let limit = settings.bytes("tycho.memory_limit") as usize;
    let mut disk = DiskManagerBuilder::default();
    let scratch = settings.text("tycho.scratch");
    if !scratch.is_empty() {
        std::fs::create_dir_all(scratch)?;
        disk.set_mode(DiskManagerMode::Directories(vec![scratch.into()]));
    }
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(limit)))
        .with_disk_manager_builder(disk)
        .with_object_list_cache_limit(0)
        .with_file_statistics_cache_limit(0)
        .build_arc()?;
    Ok(runtime)
}

/// What a session lets the system tables know of itself.
#[derive(Debug, Clone)]
pub struct SessionFacts {
    /// Current database (the first of the search path).
    pub database: String,
    pub user: String,
    /// What PostgreSQL calls the database: the catalog's name, `tycho`.
    pub catalog_name: String,
    /// Number of the backend, as `pg_backend_pid()` says.
    pub backend_id: i32,
    pub settings: Settings,
}

/// System tables that an outer room provides (`pg_catalog`, `information_schema`).
#[async_trait]
pub trait SystemTables: Send + Sync {
    /// Names of the schemas it serves.
    fn schemas(&self) -> &'static [&'static str];
    /// A table of one of them as of `view`, or `None`. Lower-case names.
    async fn table(
        &self,
        schema: &str,
        name: &str,
        view: &View,
        session: &SessionFacts,
    ) -> Result<Option<Arc<dyn TableProvider>>>;
    /// The functions of its own that `query` calls (after `rewrite`), bound to this view and session. Asked for every query;
    /// reads the catalog only for functions that need it. The `pg_catalog.` prefix is taken off by `rewrite`.
    async fn functions(
        &self,
        query: &datafusion::sql::sqlparser::ast::Query,
        view: &View,
        session: &SessionFacts,
    ) -> Result<Vec<Arc<ScalarUDF>>>;
    /// Whether the query names one of its tables (only such queries are rewritten).
    fn concerns(&self, query: &datafusion::sql::sqlparser::ast::Query) -> bool;
    /// Turns what only PostgreSQL's own catalog queries use (`OPERATOR(pg_catalog.~)`, `COLLATE`, `::regclass` …) into what
    /// can be planned.
    async fn rewrite(
        &self,
        query: &mut datafusion::sql::sqlparser::ast::Query,
        view: &View,
        session: &SessionFacts,
    ) -> Result<()>;
}
