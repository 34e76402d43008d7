//! Runs what clients send over plain facts, through the rewrite and DataFusion.
//!
//! `data/captured/*.sql` is what psql 15, SQLAlchemy 2 and asyncpg sent to a PostgreSQL 15 server.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as PlannerStatement;
use datafusion::sql::sqlparser::ast::{Query, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use tycho_catalog::{Column, Database, TableDefinition, TableKind, ViewDefinition, Writers};

use super::facts::{CatalogFacts, SessionState, SettingFact};
use super::functions::{self, Context};
use super::{concerns, definitions, provider, rewrite};
use crate::error::{Error, Kind, Result};

fn column(id: i32, name: &str, data_type: DataType, nullable: bool) -> Column {
    let comment = (name == "amount").then(|| "in EUR".to_owned());
    let default = (name == "status").then(|| "'new'".to_owned());
    Column { id, name: name.to_owned(), data_type, sql_type: None, nullable, comment, default }
}

fn table(id: i64, database: &str, name: &str, columns: Vec<Column>, view: Option<&str>) -> Arc<TableDefinition> {
    Arc::new(TableDefinition {
        id,
        database: database.to_owned(),
        name: name.to_owned(),
        kind: if view.is_some() { TableKind::View } else { TableKind::Managed },
        provider: if view.is_some() { String::new() } else { "parquet".to_owned() },
        location: None,
        next_column_id: columns.len() as i32 + 1,
        columns,
        partition_columns: 0,
        options: BTreeMap::new(),
        properties: BTreeMap::new(),
        comment: (name == "orders").then(|| "all orders".to_owned()),
        hive_format: false,
        view: view.map(|sql| ViewDefinition { sql: sql.to_owned(), settings: BTreeMap::new() }),
        writers: Writers::Tycho,
    })
}

/// `lake.orders` has OID 16396 and `lake.v_orders` 16408, as in the captured queries.
fn context() -> Arc<Context> {
    let database =
        |name: &str| Database { name: name.to_owned(), comment: None, location: None, properties: BTreeMap::new() };
    let columns = || {
        vec![
            column(1, "id", DataType::Int64, false),
            column(2, "amount", DataType::Decimal128(10, 2), true),
            column(3, "status", DataType::Utf8, true),
            column(4, "tags", DataType::new_list(DataType::Utf8, true), true),
        ]
    };
    let tables = [
        table(12, "lake", "orders", columns(), None),
        table(24, "lake", "v_orders", columns(), Some("SELECT * FROM orders")),
        table(36, "other", "hidden", columns(), None),
    ];
    let setting = |name: &str, value: &str| {
        let fact = SettingFact {
            name: name.to_owned(),
            value: value.to_owned(),
            kind: "string",
            context: "user",
            ..Default::default()
        };
        (name.to_owned(), fact)
    };
    let session = SessionState {
        schema: "lake".to_owned(),
        user: "ada".to_owned(),
        catalog_name: "tycho".to_owned(),
        backend_id: 7,
        settings: BTreeMap::from([
            setting("server_version", "15.12"),
            setting("timezone", "UTC"),
            setting("jit", "off"),
            setting("default_table_access_method", "heap"),
        ]),
    };
    let databases = [database("default"), database("lake"), database("other")];
    Arc::new(Context { facts: Arc::new(CatalogFacts::new(&databases, &tables)), session, commit: 3 })
}

fn planner(context: &Arc<Context>) -> SessionContext {
    let config = SessionConfig::new()
        .with_default_catalog_and_schema("tycho", "lake")
        .set_str("datafusion.sql_parser.dialect", "postgres");
    let planner = SessionContext::new_with_config(config);
    let catalog = planner.catalog("tycho").expect("the default catalog is there");
    for name in definitions::SCHEMAS {
        let schema = MemorySchemaProvider::new();
        for table in definitions::tables().iter().filter(|t| t.schema == *name) {
            let table_provider = provider(table, context).expect("every system table can be built");
            schema.register_table(table.name.to_owned(), table_provider).expect("names are unique");
        }
        catalog.register_schema(name, Arc::new(schema)).expect("the catalog takes schemas");
    }
    for function in functions::bind(context, |_| true) {
        planner.register_udf((*function).clone());
    }
    planner
}

fn parse(sql: &str) -> Option<Box<Query>> {
    match Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?.pop()? {
        Statement::Query(query) => Some(query),
        _ => None,
    }
}

async fn run(context: &Arc<Context>, planner: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    let mut query = parse(sql).ok_or_else(|| Error::new(Kind::Syntax, "not a query"))?;
    if concerns::concerns(&query) {
        rewrite::rewrite(&mut query, context)?;
    }
    let state = planner.state();
    let statement = PlannerStatement::Statement(Box::new(Statement::Query(query)));
    let plan = state.statement_to_plan(statement).await?;
    Ok(planner.execute_logical_plan(plan).await?.collect().await?)
}

/// The rows as text, cells joined by `|`, NULL as `∅`.
async fn rows(sql: &str) -> Result<Vec<String>> {
    let context = context();
    let batches = run(&context, &planner(&context), sql).await?;
    let options = FormatOptions::default().with_null("∅");
    let mut rows = Vec::new();
    for batch in &batches {
        let columns: Vec<ArrayFormatter<'_>> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<_, _>>()?;
        rows.extend(
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|")),
        );
    }
    Ok(rows)
}

async fn check(sql: &str, expected: &[&str]) {
    match rows(sql).await {
        Ok(rows) => assert_eq!(rows, expected, "{sql}"),
        Err(error) => panic!("{error:?}: {sql}"),
    }
}

fn captured(text: &'static str) -> Vec<&'static str> {
    // Strings of several statements are split by the session.
    text.split("-- @query")
        .map(|sql| sql.trim().trim_end_matches(';'))
        .filter(|sql| !sql.is_empty() && !sql.contains(";\n"))
        .collect()
}

async fn failures(text: &'static str) -> Vec<String> {
    let context = context();
    let planner = planner(&context);
    let mut failures = Vec::new();
    for (number, sql) in captured(text).into_iter().enumerate() {
        let Some(query) = parse(sql) else {
            if sql.to_uppercase().starts_with("SELECT") || sql.to_uppercase().starts_with("WITH") {
                failures.push(format!("{number}: does not parse: {sql}"));
            }
            continue;
        };
        if !concerns::concerns(&query) {
            continue;
        }
        if let Err(error) = run(&context, &planner, sql).await {
            failures.push(format!("{number}: {error}\n{}\n", sql.chars().take(400).collect::<String>()));
        }
    }
    failures
}

#[tokio::test]
async fn all_queries_of_psql_run() {
    let failures = failures(include_str!("data/captured/psql.sql")).await;
    assert!(failures.is_empty(), "{} failed\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn all_queries_of_sqlalchemy_run() {
    let failures = failures(include_str!("data/captured/sqlalchemy.sql")).await;
    assert!(failures.is_empty(), "{} failed\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn all_queries_of_asyncpg_run() {
    let failures = failures(include_str!("data/captured/asyncpg.sql")).await;
    assert!(failures.is_empty(), "{} failed\n{}", failures.len(), failures.join("\n"));
}

/// The captured query of psql that starts so.
fn psql(start: &str, number: usize) -> &'static str {
    let all = captured(include_str!("data/captured/psql.sql"));
    all.into_iter().filter(|sql| sql.starts_with(start)).nth(number).expect("psql sent such a query")
}

#[tokio::test]
async fn psql_lists_relations_schemas_and_databases() {
    let list = "SELECT n.nspname as \"Schema\",\n  c.relname as \"Name\"";
    check(psql(list, 0), &["lake|orders|table|ada", "lake|v_orders|view|ada"]).await;
    check(psql(list, 2), &["lake|orders|table|ada"]).await;
    check(psql("SELECT n.nspname AS \"Name\"", 0), &["default|ada", "lake|ada", "other|ada"]).await;
    check(psql("SELECT d.datname", 0), &["tycho|ada|UTF8|C.UTF-8|C.UTF-8|∅|libc|∅"]).await;
}

#[tokio::test]
async fn psql_describes_a_table() {
    check(psql("SELECT c.oid,\n  n.nspname", 0), &["16396|lake|orders"]).await;
    check(
        psql("SELECT a.attname", 0),
        &[
            "id|bigint|∅|true|∅|||p||∅|∅",
            "amount|numeric(10,2)|∅|false|∅|||m||∅|in EUR",
            "status|text|'new'|false|∅|||x||∅|∅",
            "tags|text[]|∅|false|∅|||x||∅|∅",
        ],
    )
    .await;
    check(psql("SELECT c.relchecks", 0), &["0|r|false|false|false|false|false|false|false||0||p|d|heap"]).await;
    check(psql("SELECT pg_catalog.pg_get_viewdef", 0), &[" SELECT * FROM orders;"]).await;
    check(psql("SELECT r.rolname", 0), &["ada|true|true|true|true|true|-1|∅|[]|false|true"]).await;
    check(
        psql("SELECT n.nspname as \"Schema\",\n  p.proname", 1),
        &[
            "pg_catalog|abs|bigint|bigint|func",
            "pg_catalog|abs|double precision|double precision|func",
            "pg_catalog|abs|integer|integer|func",
            "pg_catalog|abs|numeric|numeric|func",
            "pg_catalog|abs|real|real|func",
            "pg_catalog|abs|smallint|smallint|func",
        ],
    )
    .await;
}

#[tokio::test]
async fn references_are_names_and_numbers() {
    check("SELECT 'v_orders'::pg_catalog.regclass::pg_catalog.oid", &["16408"]).await;
    check("SELECT 'orders'::regclass, 'other.hidden'::regclass::oid", &["orders|16420"]).await;
    check(
        "SELECT oid::regclass::text FROM pg_class WHERE oid IN (16396, 16420, 1259) ORDER BY oid",
        &["orders", "other.hidden", "pg_class"],
    )
    .await;
    check("SELECT count(*) FROM pg_attribute WHERE attrelid = 'lake.orders'::regclass AND attnum > 0", &["4"]).await;
    check("SELECT 'int4'::regtype, 1009::regtype::text, '_text'::regtype::oid", &["integer|text[]|1009"]).await;
    let error = rows("SELECT 'nothing'::regclass").await.expect_err("there is no such relation");
    assert_eq!((error.sqlstate(), error.message.as_str()), ("42P01", "relation \"nothing\" does not exist"));
}

#[tokio::test]
async fn scalar_subqueries_give_one_value_or_fail() {
    let one =
        "SELECT (SELECT nspname FROM pg_namespace n WHERE n.oid = c.relnamespace) FROM pg_class c WHERE c.oid = 16396";
    check(one, &["lake"]).await;
    let outer = "SELECT (SELECT nspname FROM pg_namespace n WHERE n.oid = c.relnamespace AND c.relkind = 'v') \
                 FROM pg_class c WHERE c.oid IN (16396, 16408) ORDER BY c.oid";
    check(outer, &["∅", "lake"]).await;
    let many =
        "SELECT (SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid) FROM pg_class c WHERE c.oid = 16396";
    assert_eq!(rows(many).await.expect_err("four columns").kind, Kind::CardinalityViolation);
    let array = "SELECT ARRAY(SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid ORDER BY attnum DESC) \
                 FROM pg_class c WHERE c.oid = 16396";
    check(array, &["[tags, status, amount, id]"]).await;
}

#[tokio::test]
async fn session_functions_answer() {
    check(
        "SELECT current_schema(), current_database(), current_user, pg_catalog.pg_backend_pid()",
        &["lake|tycho|ada|7"],
    )
    .await;
    check(
        "SELECT pg_catalog.current_setting('timezone'), pg_catalog.format('%s %I %L', 1, 'A', 'b''c')",
        &["UTC|1 \"A\" 'b''c'"],
    )
    .await;
    check(
        "SELECT pg_catalog.pg_size_pretty(10239::bigint), pg_catalog.pg_size_pretty(1048576::bigint)",
        &["10239 bytes|1024 kB"],
    )
    .await;
    let version = rows("SELECT pg_catalog.version()").await.expect("version() is there");
    assert!(version[0].starts_with("PostgreSQL 15.12 "), "{version:?}");
}

#[tokio::test]
async fn clients_find_tables_columns_and_types() {
    // LIKE with another escape character.
    check(
        "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg/_' || '%' ESCAPE '/' ORDER BY 1",
        &["default", "information_schema", "lake", "other"],
    )
    .await;
    // SQLAlchemy's table names, and asyncpg's tree of an array type and its element.
    let sqlalchemy = captured(include_str!("data/captured/sqlalchemy.sql"));
    let names = sqlalchemy.iter().find(|sql| sql.contains("ANY (ARRAY['r', 'p']) AND")).expect("it sent such a query");
    check(names, &["orders"]).await;
    let asyncpg = captured(include_str!("data/captured/asyncpg.sql"));
    let tree = asyncpg.iter().find(|sql| sql.contains("'{1016}'")).expect("it sent such a query");
    let types = rows(tree).await.expect("the tree is planned");
    let found: Vec<&str> = types.iter().filter_map(|row| row.split('|').nth(2)).collect();
    assert_eq!(found, ["int8", "_int8"], "{types:?}");
}

#[tokio::test]
async fn information_schema_tells_the_same() {
    check(
        "SELECT table_schema, table_name, table_type FROM information_schema.tables ORDER BY 1, 2",
        &["lake|orders|BASE TABLE", "lake|v_orders|VIEW", "other|hidden|BASE TABLE"],
    )
    .await;
    check(
        "SELECT column_name, data_type, numeric_precision, numeric_scale, is_nullable FROM information_schema.columns \
         WHERE table_name = 'orders' ORDER BY ordinal_position",
        &["id|bigint|64|0|NO", "amount|numeric|10|2|YES", "status|text|∅|∅|YES", "tags|ARRAY|∅|∅|YES"],
    )
    .await;
}

#[tokio::test]
async fn facts_come_from_a_view_and_keep_their_numbers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = tycho_catalog::OpenOptions {
        lease_ms: 60_000,
        retire_after_ms: 60_000,
        warehouse: format!("file://{}/", folder.path().display()),
        create: true,
    };
    let url = format!("sqlite:{}", folder.path().join("catalog.sqlite").display());
    let catalog = tycho_catalog::Catalog::open(&url, options).await.expect("a new catalog opens");
    let mut transaction = catalog.begin(tycho_catalog::Begin::default()).await.expect("a transaction begins");
    let lake = Database { name: "lake".to_owned(), comment: None, location: None, properties: BTreeMap::new() };
    transaction.create_database(lake).await.expect("the name is free");
    let columns = vec![column(1, "id", DataType::Int64, false)];
    let mut definition = (*table(0, "lake", "orders", columns, None)).clone();
    definition.location = Some("warehouse:lake.db/orders/".to_owned());
    let made = transaction.create_table(definition).await.expect("the name is free");
    let facts = CatalogFacts::load(&transaction.view()).await.expect("the view reads");
    let orders = facts.relation_by_name("lake", "orders").expect("it was made");
    assert_eq!(i64::from(orders.oid), 16384 + made.id);
    // FNV-1a of the name: whoever changes it changes what clients have remembered.
    assert_eq!(
        facts.schema_oid("lake"),
        CatalogFacts::new(
            &[Database { name: "lake".to_owned(), comment: None, location: None, properties: BTreeMap::new() }],
            &[]
        )
        .schema_oid("lake")
    );
    assert_eq!(facts.schema_name(orders.schema_oid), Some("lake"));
}

#[test]
fn tables_that_are_taken_for_empty_are() {
    let context = context();
    let source = super::tables::Source { facts: &context.facts, session: &context.session };
    let mut filled = 0;
    for table in definitions::tables() {
        let rows = super::tables::build(table, &source).expect("every system table can be built").num_rows();
        assert!(rows == 0 || !super::tables::is_always_empty(table), "{} has {rows} rows", table.name);
        filled += usize::from(rows > 0);
    }
    assert!(filled > 20, "{filled}");
}
