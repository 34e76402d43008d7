//! `CREATE [EXTERNAL] TABLE`, with or without columns, over files that are there or are yet to come, and AS SELECT.

use std::collections::{BTreeMap, HashSet};

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use tycho_catalog::{Column, TableDefinition, TableKind, View, Writers};

use super::{insert, names};
use crate::error::{Error, Kind, Result};
use crate::session::{Outcome, Session, Write};
use crate::sql::Statement;
use crate::sql::statement::{ColumnDefinition, CreateTable, PartitionColumn};
use crate::sql::types;
use crate::tables;

/// Formats of file tables; the word after USING or STORED AS.
pub(crate) const FILE_PROVIDERS: [&str; 5] = ["parquet", "csv", "json", "orc", "avro"];

pub(crate) async fn run(
    session: &mut Session,
    statement: &Statement,
    create: &CreateTable,
    parameters: &[ScalarValue],
) -> Result<Outcome> {
    let (database, table) = names::resolve(session, &create.name)?;
    let position = names::position(&create.name);
    let mut write = session.open_write(statement).await?;
    let result = apply(session, &mut write, statement, create, (&database, &table), parameters).await;
    let result = result.map_err(|e| if e.position.is_none() && e.kind != Kind::Canceled { e.at(position) } else { e });
    let (done, _) = session.close_write(write, result).await?;
    for notice in done.notices {
        session.notice(notice.0, notice.1);
    }
    Ok(match done.rows {
        Some(rows) => Outcome::done(format!("SELECT {rows}")),
        None => Outcome::done("CREATE TABLE"),
    })
}

#[derive(Default)]
struct Done {
    notices: Vec<(String, Option<String>)>,
    /// Rows that AS SELECT wrote.
    rows: Option<u64>,
}

async fn apply(
    session: &mut Session,
    write: &mut Write,
    statement: &Statement,
    create: &CreateTable,
    (database, table): (&str, &str),
    parameters: &[ScalarValue],
) -> Result<Done> {
    let mut done = Done::default();
    let view = write.transaction.view();
    if view.database(database).await?.is_none() {
        return Err(Error::new(Kind::UndefinedDatabase, format!("database {database} does not exist"))
            .with_hint(format!("CREATE DATABASE {database}")));
    }
    if view.table(database, table).await?.is_some() {
        if !create.if_not_exists {
            let message = format!("relation \"{database}.{table}\" already exists");
            return Err(Error::new(Kind::DuplicateTable, message));
        }
        done.notices.push((format!("relation \"{database}.{table}\" already exists, skipping"), None));
        return Ok(done);
    }
    let mut definition = definition(session, &view, create, database, table).await?;
    let root = names::root(session, &definition)?;
    let existing = place_files(session, create, &mut definition, &root).await?;
    if let Some(query) = &create.as_query {
        if existing {
            let message = format!("location {root} is not empty");
            return Err(Error::new(Kind::InvalidTableDefinition, message).with_hint("choose an empty LOCATION"));
        }
        let source = insert::Source::plan(session, &view, query, &statement.text, parameters).await?;
        add_query_columns(&mut definition, create, &source)?;
        let definition = write.transaction.create_table(definition).await?;
        done.rows = Some(insert::append_new(session, write, definition, source).await?);
        return Ok(done);
    }
    if definition.columns.is_empty() {
        let message = format!("table {database}.{table} has no columns");
        let hint = "give a column list, or the LOCATION of files to read it from";
        return Err(Error::new(Kind::InvalidTableDefinition, message).with_hint(hint));
    }
    let definition = write.transaction.create_table(definition).await?;
    if definition.partition_columns > 0 && existing {
        let folders = match tables::partition_folders(&definition, &session.engine.tables).await {
            Ok(folders) => folders,
            // The table can be made all the same; MSCK REPAIR will refuse the folder.
            Err(e) if e.kind == Kind::InvalidText => {
                done.notices.push((e.message, e.hint));
                return Ok(done);
            }
            Err(e) => return Err(e),
        };
        if session.settings().bool("tycho.discover_partitions") {
            write.transaction.register_partitions(definition.id, folders).await?;
        } else if !folders.is_empty() {
            let message = format!("{} partition folders in place are not registered", folders.len());
            done.notices.push((message, Some(format!("MSCK REPAIR TABLE {database}.{table}"))));
        }
    }
    Ok(done)
}

/// The definition as far as the statement's own clauses make it.
async fn definition(
    session: &Session,
    view: &View,
    create: &CreateTable,
    database: &str,
    table: &str,
) -> Result<TableDefinition> {
    let provider = create.provider.clone().unwrap_or_else(|| "parquet".to_owned());
    if !FILE_PROVIDERS.contains(&provider.as_str()) {
        let message = format!("there is no provider {provider}; the providers are {}", FILE_PROVIDERS.join(", "));
        return Err(Error::new(Kind::FeatureNotSupported, message));
    }
    if create.clustered {
        let message = format!("table {database}.{table} cannot be CLUSTERED BY: bucketed files are not written");
        return Err(Error::new(Kind::FeatureNotSupported, message)
            .with_hint("leave the clause out; SORT BY keeps files sorted"));
    }
    let mut options: BTreeMap<String, String> = create.options.iter().cloned().collect();
    let path_option = options.keys().find(|k| k.eq_ignore_ascii_case("path")).cloned();
    let path = path_option.and_then(|key| options.remove(&key));
    let said = match (&create.location, path) {
        (Some(_), Some(_)) => {
            let message = "both LOCATION and the option path are given";
            return Err(Error::new(Kind::InvalidTableDefinition, message));
        }
        (Some(location), None) => Some(location.clone()),
        (None, path) => path,
    };
    if create.external && said.is_none() {
        let message = format!("external table {database}.{table} needs a LOCATION");
        return Err(Error::new(Kind::InvalidTableDefinition, message));
    }
    let (kind, location) = match &said {
        Some(location) => {
            (TableKind::External, tables::absolute_url(location, Some(&session.engine.tables.warehouse))?)
        }
        None => (TableKind::Managed, managed_location(view, database, table).await?),
    };
    tables::Format::new(&provider, &options)?;
    let mut columns: Vec<Column> = create.columns.iter().map(column).collect();
    let partition_columns = partition_columns(create, &mut columns, database, table)?;
    let mut definition = TableDefinition {
        id: 0,
        database: database.to_owned(),
        name: table.to_owned(),
        kind,
        provider,
        location: Some(location),
        columns,
        partition_columns,
        next_column_id: 1,
        options,
        properties: create.properties.iter().cloned().collect(),
        comment: create.comment.clone(),
        hive_format: create.hive_format,
        view: None,
        writers: Writers::Tycho,
    };
    finish_columns(&mut definition)?;
    Ok(definition)
}

async fn managed_location(view: &View, database: &str, table: &str) -> Result<String> {
    let found = view.database(database).await?;
    Ok(match found.and_then(|d| d.location) {
        Some(location) => format!("{}/{table}/", location.trim_end_matches('/')),
        None if database == "default" => format!("warehouse:{table}/"),
        None => format!("warehouse:{database}.db/{table}/"),
    })
}

fn column(definition: &ColumnDefinition) -> Column {
    Column {
        id: 0,
        name: definition.name.value.clone(),
        data_type: definition.data_type.data_type.clone(),
        sql_type: types::declared_text(&definition.data_type),
        nullable: definition.nullable,
        comment: definition.comment.clone(),
        default: definition.default.clone(),
    }
}

/// Moves declared columns that PARTITIONED BY names to the end, and adds those that it declares itself.
fn partition_columns(create: &CreateTable, columns: &mut Vec<Column>, database: &str, table: &str) -> Result<usize> {
    for PartitionColumn { name, data_type, comment } in &create.partitioned_by {
        let declared = columns.iter().position(|c| c.name.eq_ignore_ascii_case(&name.value));
        let column = match (declared, data_type) {
            (Some(at), None) => columns.remove(at),
            (Some(_), Some(_)) => {
                let message = format!("column {} is declared twice: as a column and in PARTITIONED BY", name.value);
                return Err(Error::new(Kind::DuplicateColumn, message).at(name.position));
            }
            (None, Some(sql_type)) => Column {
                id: 0,
                name: name.value.clone(),
                data_type: sql_type.data_type.clone(),
                sql_type: types::declared_text(sql_type),
                nullable: true,
                comment: comment.clone(),
                default: None,
            },
            // Without a column list the types come from the folders, or from the query.
            (None, None) if create.columns.is_empty() => Column {
                id: 0,
                name: name.value.clone(),
                data_type: DataType::Null,
                sql_type: None,
                nullable: true,
                comment: comment.clone(),
                default: None,
            },
            (None, None) => {
                let message = format!("table {database}.{table} has no column {} to partition by", name.value);
                return Err(Error::new(Kind::UndefinedColumn, message).at(name.position));
            }
        };
        columns.push(column);
    }
    Ok(create.partitioned_by.len())
}

/// Checks names and types, and gives every column its id.
fn finish_columns(definition: &mut TableDefinition) -> Result<()> {
    let mut seen = HashSet::new();
    for column in &definition.columns {
        if !seen.insert(column.name.to_lowercase()) {
            let message = format!("column {} is declared twice", column.name);
            return Err(Error::new(Kind::DuplicateColumn, message));
        }
    }
    if definition.partition_columns > 0 && definition.partition_columns == definition.columns.len() {
        let only_partitions = definition.columns.iter().all(|c| c.data_type != DataType::Null);
        if only_partitions {
            let message = format!("table {} has only partition columns", definition.full_name());
            return Err(Error::new(Kind::InvalidTableDefinition, message));
        }
    }
    for column in definition.partition_columns() {
        if column.data_type.is_nested() {
            let message = format!("column {} cannot be a partition column: its type is nested", column.name);
            return Err(Error::new(Kind::InvalidTableDefinition, message));
        }
    }
    for (index, column) in definition.columns.iter_mut().enumerate() {
        column.id = index as i32 + 1;
    }
    definition.next_column_id = definition.columns.len() as i32 + 1;
    Ok(())
}

/// Looks at what lies at the location: columns that were not given are read there, and files in place make the table a
/// shared one. Returns whether files are in place.
async fn place_files(
    session: &Session,
    create: &CreateTable,
    definition: &mut TableDefinition,
    root: &str,
) -> Result<bool> {
    let context = &session.engine.tables;
    let infer = create.columns.is_empty() && create.as_query.is_none();
    if !infer {
        let existing = tables::has_files(root, &definition.options, context).await?;
        if existing && definition.kind == TableKind::Managed {
            let message = format!("the managed table {} would lie over files in {root}", definition.full_name());
            return Err(Error::new(Kind::InvalidTableDefinition, message)
                .with_hint("move them away, or CREATE EXTERNAL TABLE … LOCATION"));
        }
        if existing {
            definition.writers = Writers::Shared;
        }
        return Ok(existing);
    }
    let found = tables::discover(&definition.provider, root, &definition.options, context).await?;
    let named: Vec<Column> = std::mem::take(&mut definition.columns);
    let unnamed = |name: &str, data_type: &DataType| Column {
        id: 0,
        name: name.to_owned(),
        data_type: data_type.clone(),
        sql_type: None,
        nullable: true,
        comment: None,
        default: None,
    };
    definition.columns = found.schema.fields().iter().map(|f| unnamed(f.name(), f.data_type())).collect();
    for (name, data_type) in &found.partition_columns {
        let mut column = unnamed(name, data_type);
        if let Some(said) = named.iter().find(|c| c.name.eq_ignore_ascii_case(name)) {
            column.comment.clone_from(&said.comment);
            if said.data_type != DataType::Null {
                column.data_type = said.data_type.clone();
            }
        }
        definition.columns.push(column);
    }
    for said in &named {
        if !found.partition_columns.iter().any(|(name, _)| name.eq_ignore_ascii_case(&said.name)) {
            let message = format!("the folders under {root} have no partition column {}", said.name);
            return Err(Error::new(Kind::InvalidTableDefinition, message));
        }
    }
    definition.partition_columns = found.partition_columns.len();
    definition.writers = Writers::Shared;
    finish_columns(definition)?;
    Ok(true)
}

/// AS SELECT: the columns are the query's; partition columns are taken out of them.
fn add_query_columns(definition: &mut TableDefinition, create: &CreateTable, source: &insert::Source) -> Result<()> {
    if !create.columns.is_empty() {
        let message = "CREATE TABLE AS takes its columns from the query; leave the column list out";
        return Err(Error::new(Kind::InvalidTableDefinition, message));
    }
    let mut columns: Vec<Column> = source
        .columns()
        .into_iter()
        .map(|(name, data_type)| Column {
            id: 0,
            name,
            data_type,
            sql_type: None,
            nullable: true,
            comment: None,
            default: None,
        })
        .collect();
    for partition in definition.columns.drain(..) {
        let at = columns.iter().position(|c| c.name.eq_ignore_ascii_case(&partition.name)).ok_or_else(|| {
            let message = format!("the query has no column {} to partition by", partition.name);
            Error::new(Kind::UndefinedColumn, message)
        })?;
        let column = columns.remove(at);
        columns.push(column);
    }
    definition.columns = columns;
    finish_columns(definition)
}
