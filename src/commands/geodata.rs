//! CREATE GEODATA LAYER and DROP GEODATA LAYER.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_plan::collect;
use object_store::ObjectStoreExt;
use tycho_catalog::GeodataLayer;

use crate::engine::geodata::{DEFAULT_SET, GEOMETRY_COLUMN, build};
use crate::error::{Error, Kind, Result};
use crate::session::planner::{locate, remembered_settings};
use crate::session::{Outcome, Session, Write};
use crate::sql::Statement;
use crate::sql::statement::{CreateGeodataLayer, Identifier};
use crate::tables;

pub(crate) async fn create(
    session: &mut Session,
    statement: &Statement,
    create: &CreateGeodataLayer,
) -> Result<Outcome> {
    let set = create.set.as_ref().map_or_else(|| DEFAULT_SET.to_owned(), |s| s.value.to_lowercase());
    let name = create.name.value.to_lowercase();
    let mut write = session.open_write(statement).await?;
    let result = async {
        let layers = write.transaction.view().geodata_layers().await?;
        if layers.iter().any(|l| l.set == set && l.name == name) {
            if create.if_not_exists {
                return Ok(true);
            }
            if !create.or_replace {
                let message = format!("geodata layer {name} already exists in set {set}");
                return Err(Error::new(Kind::DuplicateObject, message)
                    .at(create.name.position)
                    .with_hint("CREATE OR REPLACE GEODATA LAYER"));
            }
        }
        let others: Vec<GeodataLayer> = layers.into_iter().filter(|l| l.set == set && l.name != name).collect();
        refuse_repeated_fields(create, &others)?;
        let batch = rows(session, &mut write, statement, create).await?;
        build(vec![(name.clone(), batch.clone())]).await?;
        let data = store(session, &write, &set, &name, &batch).await?;
        let schema = batch.schema();
        let fields = schema.fields().iter().filter(|f| f.name() != GEOMETRY_COLUMN);
        let layer = GeodataLayer {
            set: set.clone(),
            name: name.clone(),
            fields: fields.map(|f| (f.name().clone(), f.data_type().clone())).collect(),
            geometry: create.geometry.value.clone(),
            sql: create.sql.clone(),
            settings: remembered_settings(&session.facts, session.settings().dialect()),
            data,
        };
        write.transaction.put_geodata_layer(layer).await?;
        Ok(false)
    }
    .await;
    let (existed, _) = session.close_write(write, result).await?;
    if existed {
        session.notice(format!("geodata layer {name} already exists, skipping"), None);
    }
    Ok(Outcome::done("CREATE GEODATA LAYER"))
}

fn refuse_repeated_fields(create: &CreateGeodataLayer, others: &[GeodataLayer]) -> Result<()> {
    for field in &create.fields {
        for other in others {
            if other.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(&field.value)) {
                let message =
                    format!("geodata layer {} of the same set offers the field {} already", other.name, field.value);
                return Err(Error::new(Kind::DuplicateColumn, message)
                    .at(field.position)
                    .with_hint("leave it out, or name it otherwise with AS in the SELECT"));
            }
        }
    }
    Ok(())
}

/// The layer's rows: its fields under the names given, and the geometry as text under `geometry`.
async fn rows(
    session: &Session,
    write: &mut Write,
    statement: &Statement,
    create: &CreateGeodataLayer,
) -> Result<RecordBatch> {
    let view = write.transaction.view();
    let planned = session.cancellable(session.plan(&create.query, &view, &statement.text, &[])).await?;
    for read in &planned.reads {
        write.transaction.note_read(read.table, read.predicate.clone(), read.foreign);
    }
    let state = session.statement_state();
    let run = async {
        let physical = state.create_physical_plan(&planned.plan).await.map_err(|e| locate(e, &statement.text))?;
        let schema = physical.schema();
        let batches = collect(physical, state.task_ctx()).await?;
        Ok(concat_batches(&schema, &batches)?)
    };
    let batch: RecordBatch = session.cancellable(run).await?;
    let column = |wanted: &Identifier| -> Result<ArrayRef> {
        let at = planned.labels.iter().position(|l| l.eq_ignore_ascii_case(&wanted.value)).ok_or_else(|| {
            let message = format!("the SELECT has no column {}; it has {}", wanted.value, planned.labels.join(", "));
            Error::new(Kind::UndefinedColumn, message).at(wanted.position)
        })?;
        Ok(Arc::clone(batch.column(at)))
    };
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for wanted in &create.fields {
        if wanted.value.eq_ignore_ascii_case(GEOMETRY_COLUMN) {
            let message = format!("a field of a geodata layer cannot be called {GEOMETRY_COLUMN}");
            return Err(Error::new(Kind::InvalidParameterValue, message).at(wanted.position));
        }
        let array = column(wanted)?;
        let array = if array.data_type() == &DataType::Utf8View { cast(&array, &DataType::Utf8)? } else { array };
        fields.push(Field::new(wanted.value.to_lowercase(), array.data_type().clone(), true));
        arrays.push(array);
    }
    let geometry = cast(&column(&create.geometry)?, &DataType::Utf8).map_err(|_| {
        let message = format!("column {} holds no WKT text", create.geometry.value);
        Error::new(Kind::DatatypeMismatch, message).at(create.geometry.position)
    })?;
    fields.push(Field::new(GEOMETRY_COLUMN, DataType::Utf8, true));
    arrays.push(geometry);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// Keeps the rows with the warehouse, under a name that no other transaction uses.
async fn store(session: &Session, write: &Write, set: &str, name: &str, batch: &RecordBatch) -> Result<String> {
    let data = format!("warehouse:.tycho/geodata/{set}/{name}-{}.parquet", write.transaction.id());
    let url = session.engine.catalog.resolve(&data);
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).map_err(of_parquet)?;
    writer.write(batch).map_err(of_parquet)?;
    writer.close().map_err(of_parquet)?;
    let (store, path) = tables::object_at(&url, &Default::default(), &session.engine.tables)?;
    store.put(&path, bytes.into()).await?;
    Ok(data)
}

fn of_parquet(e: datafusion::parquet::errors::ParquetError) -> Error {
    Error::new(Kind::Io, e.to_string()).with_source(e)
}

pub(crate) async fn drop(
    session: &mut Session,
    statement: &Statement,
    name: &Identifier,
    set: Option<&Identifier>,
    if_exists: bool,
) -> Result<Outcome> {
    let set = set.map_or_else(|| DEFAULT_SET.to_owned(), |s| s.value.to_lowercase());
    let layer = name.value.to_lowercase();
    let mut write = session.open_write(statement).await?;
    let result = async {
        let layers = write.transaction.view().geodata_layers().await?;
        if !layers.iter().any(|l| l.set == set && l.name == layer) {
            if if_exists {
                return Ok(true);
            }
            let message = format!("geodata layer {layer} does not exist in set {set}");
            return Err(Error::new(Kind::UndefinedObject, message).at(name.position).with_hint("SHOW GEODATA LAYERS"));
        }
        write.transaction.drop_geodata_layer(&set, &layer).await?;
        Ok(false)
    }
    .await;
    let (missing, _) = session.close_write(write, result).await?;
    if missing {
        session.notice(format!("geodata layer {layer} does not exist, skipping"), None);
    }
    Ok(Outcome::done("DROP GEODATA LAYER"))
}
