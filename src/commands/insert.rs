//! INSERT INTO and INSERT OVERWRITE: the query becomes rows of the table, the rows become files, the files one commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column as PlanColumn, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion::sql::sqlparser::ast::{self, OrderByExpr, SelectItem, SetExpr};
use tycho_catalog::{ForeignFile, NewFile, NewPartition, Overwrite, Predicate, TableDefinition, Value, View, Writers};

use super::names;
use super::partition_clause::{self, Statics};
use super::query::bind;
use crate::error::{Error, Kind, Result};
use crate::session::planner::{Read, locate};
use crate::session::{Outcome, Session, Write};
use crate::sql::Statement;
use crate::sql::statement::{Insert, InsertTarget, Query};
use crate::tables::{self, WriteRequest};

/// The rows that an INSERT or a CREATE TABLE AS takes.
pub(crate) struct Source {
    plan: LogicalPlan,
    /// One a column that the user wrote; hidden sort columns come after them.
    labels: Vec<String>,
    reads: Vec<Read>,
    sort_by: Vec<SortKey>,
    text: String,
}

/// One term of SORT BY: a column of the plan, by position.
#[derive(Clone, Copy)]
struct SortKey {
    column: usize,
    descending: bool,
    nulls_first: bool,
}

impl Source {
    /// Plans the query; terms of SORT BY that its SELECT list lacks are added as hidden columns.
    pub(crate) async fn plan(
        session: &Session,
        view: &View,
        query: &Query,
        text: &str,
        parameters: &[ScalarValue],
    ) -> Result<Source> {
        let types: Vec<_> = parameters.iter().map(|p| Some(p.data_type())).collect();
        let bare = Query { body: query.body.clone(), distribution: Default::default() };
        let planned = session.cancellable(session.plan(&bare, view, text, &types)).await?;
        let terms = &query.distribution.sort_by;
        let visible: Vec<Option<usize>> = terms.iter().map(|t| position_of(&t.expr, &planned.labels)).collect();
        let mut sort_by: Vec<SortKey> =
            terms.iter().zip(&visible).map(|(term, at)| sort_key(term, at.unwrap_or(usize::MAX))).collect();
        let mut plan = planned.plan;
        let labels = planned.labels;
        if visible.iter().any(Option::is_none) {
            let hidden: Vec<&OrderByExpr> =
                terms.iter().zip(&visible).filter(|(_, at)| at.is_none()).map(|(term, _)| term).collect();
            let with_hidden = Query { body: add_hidden(&bare.body, &hidden)?, distribution: Default::default() };
            plan = session.cancellable(session.plan(&with_hidden, view, text, &types)).await?.plan;
            let hidden_keys = sort_by.iter_mut().filter(|key| key.column == usize::MAX);
            for (column, key) in (labels.len()..).zip(hidden_keys) {
                key.column = column;
            }
        }
        Ok(Source { plan: bind(plan, parameters)?, labels, reads: planned.reads, sort_by, text: text.to_owned() })
    }

    /// Names and types of the columns that the user wrote.
    pub(crate) fn columns(&self) -> Vec<(String, DataType)> {
        let fields = self.plan.schema().fields();
        self.labels.iter().zip(fields.iter()).map(|(label, f)| (label.clone(), stored_type(f.data_type()))).collect()
    }
}

/// Types that a table keeps: views and dictionaries of strings are strings, an untyped NULL is one too.
fn stored_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => stored_type(value),
        other => other.clone(),
    }
}

fn sort_key(term: &OrderByExpr, column: usize) -> SortKey {
    let descending = term.options.asc == Some(false);
    // SORT BY is Spark's: NULLs come first when ascending, last when descending.
    SortKey { column, descending, nulls_first: term.options.nulls_first.unwrap_or(!descending) }
}

/// The column of the SELECT list that a term of SORT BY names.
fn position_of(expr: &ast::Expr, labels: &[String]) -> Option<usize> {
    let name = match expr {
        ast::Expr::Identifier(ident) => &ident.value,
        ast::Expr::CompoundIdentifier(parts) => &parts.last()?.value,
        _ => return None,
    };
    labels.iter().position(|label| label.eq_ignore_ascii_case(name))
}

fn add_hidden(body: &ast::Query, hidden: &[&OrderByExpr]) -> Result<Box<ast::Query>> {
    let mut body = body.clone();
    let SetExpr::Select(select) = body.body.as_mut() else {
        let message = format!("SORT BY {} names no column of the query", hidden[0].expr);
        return Err(Error::new(Kind::UndefinedColumn, message));
    };
    for (index, term) in hidden.iter().enumerate() {
        let alias = ast::Ident::with_quote('"', format!("\u{1}sort{index}"));
        select.projection.push(SelectItem::ExprWithAlias { expr: term.expr.clone(), alias });
    }
    Ok(Box::new(body))
}

pub(crate) async fn run(
    session: &mut Session,
    statement: &Statement,
    insert: &Insert,
    parameters: &[ScalarValue],
) -> Result<Outcome> {
    let InsertTarget::Table(name) = &insert.table else {
        let message = "INSERT OVERWRITE DIRECTORY is not offered; CREATE EXTERNAL TABLE … LOCATION and INSERT INTO it";
        return Err(Error::new(Kind::FeatureNotSupported, message));
    };
    if insert.replace_partitions.is_some() {
        let message = "REPLACE PARTITIONS is not offered; name the partitions in the PARTITION clause";
        return Err(Error::new(Kind::FeatureNotSupported, message));
    }
    let mut write = session.open_write(statement).await?;
    let result = async {
        let view = write.transaction.view();
        let table = names::find_file_table(session, &view, name).await?;
        let statics = match &insert.partition {
            Some(spec) => partition_clause::for_insert(&table, spec)?,
            None => vec![None; table.partition_columns],
        };
        if insert.if_not_exists && exists_already(&view, &table, &statics, insert).await? {
            return Ok((0, None));
        }
        let source = Source::plan(session, &view, &insert.source, &statement.text, parameters).await?;
        let columns = Mapping::of(&table, insert, &statics, &source)?;
        if insert.overwrite {
            overwrite(session, &mut write, table, &statics, source, columns).await
        } else {
            let rows = append(session, &mut write, table, source, columns).await?;
            Ok((rows, None))
        }
    }
    .await;
    let ((rows, notice), _) = session.close_write(write, result).await?;
    if let Some((message, hint)) = notice {
        session.notice(message, Some(hint));
    }
    Ok(Outcome::done(format!("INSERT 0 {rows}")))
}

async fn exists_already(view: &View, table: &TableDefinition, statics: &Statics, insert: &Insert) -> Result<bool> {
    if statics.is_empty() || statics.iter().any(Option::is_none) {
        let position = insert.partition.as_ref().map_or(0, |p| p.position);
        let message = "IF NOT EXISTS needs a value for every partition column";
        return Err(Error::new(Kind::InvalidTableDefinition, message).at(position));
    }
    let found = view.partitions(table.id, &partition_clause::predicate(statics)).await?;
    Ok(found.iter().any(|p| p.registered))
}

/// Where each column of the table takes its value from, in table order.
struct Mapping(Vec<From>);

enum From {
    /// A column of the query, by position.
    Query(usize),
    Value(ScalarValue),
}

impl Mapping {
    fn of(table: &TableDefinition, insert: &Insert, statics: &Statics, source: &Source) -> Result<Mapping> {
        let data_columns = table.data_columns().len();
        let static_value = |index: usize| index.checked_sub(data_columns).and_then(|i| statics[i].as_ref());
        let mut mapping = Vec::with_capacity(table.columns.len());
        let given = given_columns(table, insert, source, &static_value)?;
        for (index, column) in table.columns.iter().enumerate() {
            mapping.push(match (static_value(index), given.get(&index)) {
                (Some(value), _) => From::Value(tables::scalar_from_value(value, &column.data_type)?),
                (None, Some(&at)) => From::Query(at),
                (None, None) => From::Value(default_value(table, column)?),
            });
        }
        Ok(Mapping(mapping))
    }

    /// Every column of the table from the column of the query in the same place.
    fn by_name(table: &TableDefinition, source: &Source) -> Result<Mapping> {
        let from = |name: &str| source.labels.iter().position(|l| l.eq_ignore_ascii_case(name));
        let positions = table.columns.iter().map(|c| {
            from(&c.name).map(From::Query).ok_or_else(|| Error::new(Kind::Internal, format!("lost column {}", c.name)))
        });
        Ok(Mapping(positions.collect::<Result<_>>()?))
    }
}

/// For each column of the table that the query gives: the position in the query.
fn given_columns<'v>(
    table: &TableDefinition,
    insert: &Insert,
    source: &Source,
    static_value: &impl Fn(usize) -> Option<&'v Value>,
) -> Result<HashMap<usize, usize>> {
    let index_of = |name: &str| table.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name));
    let mut given = HashMap::new();
    let count = source.labels.len();
    if insert.by_name || !insert.columns.is_empty() {
        let names: Vec<(String, usize)> = if insert.by_name {
            source.labels.iter().map(|l| (l.clone(), 0)).collect()
        } else {
            insert.columns.iter().map(|c| (c.value.clone(), c.position)).collect()
        };
        if names.len() != count {
            let message = format!("the column list names {} columns, the query gives {count}", names.len());
            return Err(Error::new(Kind::Syntax, message));
        }
        for (at, (name, position)) in names.iter().enumerate() {
            let index = index_of(name).ok_or_else(|| {
                let message = format!("table {} has no column {name}", table.full_name());
                Error::new(Kind::UndefinedColumn, message).at(*position)
            })?;
            if static_value(index).is_some() {
                let message = format!("column {name} has its value in the PARTITION clause already");
                return Err(Error::new(Kind::DuplicateColumn, message).at(*position));
            }
            if given.insert(index, at).is_some() {
                return Err(Error::new(Kind::DuplicateColumn, format!("column {name} is given twice")).at(*position));
            }
        }
        return Ok(given);
    }
    let wanted: Vec<usize> = (0..table.columns.len()).filter(|i| static_value(*i).is_none()).collect();
    if wanted.len() != count {
        let names: Vec<&str> = wanted.iter().map(|i| table.columns[*i].name.as_str()).collect();
        let message = format!(
            "table {} takes {} columns here ({}), the query gives {count}",
            table.full_name(),
            wanted.len(),
            names.join(", ")
        );
        return Err(Error::new(Kind::Syntax, message));
    }
    given.extend(wanted.into_iter().enumerate().map(|(at, index)| (index, at)));
    Ok(given)
}

/// What a column gets that the statement leaves out.
fn default_value(table: &TableDefinition, column: &tycho_catalog::Column) -> Result<ScalarValue> {
    if let Some(text) = &column.default {
        let trimmed = text.trim().trim_matches('\'');
        let value = tables::value_from_text(trimmed, &column.data_type).ok_or_else(|| {
            let message = format!("the default of column {} ({text}) is no literal of its type", column.name);
            Error::new(Kind::FeatureNotSupported, message).with_hint("give the column a value in the INSERT")
        })?;
        return tables::scalar_from_value(&value, &column.data_type);
    }
    if !column.nullable {
        let message =
            format!("column {} of {} must not be NULL and the INSERT leaves it out", column.name, table.full_name());
        return Err(Error::new(Kind::NotNullViolation, message));
    }
    Ok(ScalarValue::try_from(&column.data_type)?)
}

/// Appends the rows of CREATE TABLE AS; returns how many.
pub(crate) async fn append_new(
    session: &Session,
    write: &mut Write,
    table: Arc<TableDefinition>,
    source: Source,
) -> Result<u64> {
    let columns = Mapping::by_name(&table, &source)?;
    append(session, write, table, source, columns).await
}

async fn append(
    session: &Session,
    write: &mut Write,
    table: Arc<TableDefinition>,
    source: Source,
    columns: Mapping,
) -> Result<u64> {
    let files = write_files(session, write, &table, source, columns).await?;
    let rows = files.iter().map(|f| f.rows).sum();
    write.transaction.append(table.id, files).await?;
    Ok(rows)
}

type OverwriteNotice = Option<(String, String)>;

async fn overwrite(
    session: &Session,
    write: &mut Write,
    table: Arc<TableDefinition>,
    statics: &Statics,
    source: Source,
    columns: Mapping,
) -> Result<(u64, OverwriteNotice)> {
    let view = write.transaction.view();
    let prefix = partition_clause::predicate(statics);
    let foreign = foreign_files(session, &table, &view, &prefix).await?;
    let fully_static = statics.iter().all(Option::is_some);
    let replaces_prefix = fully_static || is_static_mode(session, &table);
    let files = write_files(session, write, &table, source, columns).await?;
    let rows = files.iter().map(|f| f.rows).sum();
    let written: HashSet<&str> = files.iter().map(|f| f.partition.folder.as_str()).collect();
    let untouched = if fully_static {
        0
    } else {
        let under_prefix = view.partitions(table.id, &prefix).await?;
        under_prefix.iter().filter(|p| p.registered && !written.contains(p.folder.as_str())).count()
    };
    let notice = overwrite_notice(&table, untouched, replaces_prefix);
    let foreign = foreign.into_iter().filter(|f| replaces_prefix || written.contains(f.partition.as_str())).collect();
    let register = (fully_static && table.partition_columns > 0).then(|| {
        let values: Vec<Value> = statics.iter().flatten().cloned().collect();
        NewPartition { folder: tables::partition_folder(table.partition_columns(), &values), values, location: None }
    });
    let scope = if replaces_prefix { prefix } else { Predicate::Nothing };
    let overwrite = Overwrite { table: table.id, scope, drop_empty: !fully_static, register, files, foreign };
    write.transaction.overwrite(overwrite).await?;
    Ok((rows, notice))
}

/// Where the two overwrite modes would differ, the user is told how many partitions that concerns.
fn overwrite_notice(table: &TableDefinition, untouched: usize, replaces_prefix: bool) -> OverwriteNotice {
    if untouched == 0 {
        return None;
    }
    let name = table.full_name();
    Some(if replaces_prefix {
        (
            format!(
                "static overwrite mode drops {untouched} partitions of {name} that received no row; the table keeps no history"
            ),
            "SET spark.sql.sources.partitionOverwriteMode = dynamic replaces only partitions that receive rows"
                .to_owned(),
        )
    } else {
        (
            format!("{untouched} partitions of {name} received no row and stay as they are"),
            "SET spark.sql.sources.partitionOverwriteMode = static would drop them".to_owned(),
        )
    })
}

/// Hive tables are always dynamic; a table's own option or property goes before the session's setting.
fn is_static_mode(session: &Session, table: &TableDefinition) -> bool {
    if table.hive_format {
        return false;
    }
    let own = |map: &std::collections::BTreeMap<String, String>| {
        map.iter()
            .find(|(key, _)| {
                key.eq_ignore_ascii_case("partitionOverwriteMode")
                    || key.eq_ignore_ascii_case("spark.sql.sources.partitionOverwriteMode")
            })
            .map(|(_, value)| value.clone())
    };
    let mode = own(&table.options)
        .or_else(|| own(&table.properties))
        .unwrap_or_else(|| session.settings().text("spark.sql.sources.partitionOverwriteMode").to_owned());
    mode.eq_ignore_ascii_case("static")
}

/// Foreign files in what an overwrite may replace, listed before any source is read; none for tables that only Tycho writes.
pub(crate) async fn foreign_files(
    session: &Session,
    table: &TableDefinition,
    view: &View,
    scope: &Predicate,
) -> Result<Vec<ForeignFile>> {
    if table.writers != Writers::Shared {
        return Ok(Vec::new());
    }
    let listed = tables::list_files(table, view, scope, &session.engine.tables).await?;
    Ok(view.foreign(table.id, listed).await?)
}

/// Runs the query into staged files.
async fn write_files(
    session: &Session,
    write: &mut Write,
    table: &Arc<TableDefinition>,
    source: Source,
    columns: Mapping,
) -> Result<Vec<NewFile>> {
    for read in &source.reads {
        write.transaction.note_read(read.table, read.predicate.clone(), read.foreign);
    }
    let (plan, sort_by) = table_rows(table, &source, columns)?;
    let root = names::root(session, table)?;
    let catalog = &session.engine.catalog;
    let staging = tables::staging_area(&root, write.transaction.id());
    tables::claim_location(&root, catalog.id(), &session.engine.tables).await?;
    write.transaction.record_staging(std::slice::from_ref(&staging)).await?;
    let mut partition_locations = HashMap::new();
    if table.partition_columns > 0 {
        for partition in write.transaction.view().partitions(table.id, &Predicate::All).await? {
            if let Some(location) = partition.location {
                partition_locations.insert(partition.folder, location);
            }
        }
    }
    let request = WriteRequest {
        definition: Arc::clone(table),
        root,
        transaction: write.transaction.id(),
        catalog_id: catalog.id().to_owned(),
        incarnation: catalog.incarnation(),
        staging,
        sort_by,
        target_file_bytes: session.settings().bytes("tycho.target_file_size"),
        partition_locations,
        progress: session.progress(),
    };
    let state = session.statement_state();
    let text = source.text.clone();
    let run = async {
        let physical = state.create_physical_plan(&plan).await.map_err(|e| locate(e, &text))?;
        tables::write(physical, request, state.task_ctx()).await
    };
    session.cancellable(run).await
}

/// Column, descending, NULLs first: as `WriteRequest::sort_by`.
type SortColumns = Vec<(usize, bool, bool)>;

/// The query's rows as rows of the table: columns in table order and of the table's types, hidden sort columns behind them.
fn table_rows(table: &TableDefinition, source: &Source, columns: Mapping) -> Result<(LogicalPlan, SortColumns)> {
    let source_columns: Vec<PlanColumn> = source.plan.schema().columns();
    let mut expressions: Vec<Expr> = Vec::with_capacity(table.columns.len());
    let mut place = HashMap::new();
    for (index, (from, column)) in columns.0.into_iter().zip(&table.columns).enumerate() {
        let expression = match from {
            From::Query(at) => {
                place.entry(at).or_insert(index);
                col(source_columns[at].clone())
            }
            From::Value(value) => lit(value),
        };
        expressions.push(expression.alias(column.name.clone()));
    }
    let mut sort_by = Vec::new();
    for key in &source.sort_by {
        let at = match place.get(&key.column) {
            Some(at) => *at,
            None => {
                let at = expressions.len();
                expressions.push(col(source_columns[key.column].clone()).alias(format!("\u{1}sort{at}")));
                place.insert(key.column, at);
                at
            }
        };
        sort_by.push((at, key.descending, key.nulls_first));
    }
    let plan = LogicalPlanBuilder::from(source.plan.clone()).project(expressions)?.build()?;
    Ok((tables::store_assignment(plan, &table.columns, &table.full_name())?, sort_by))
}
