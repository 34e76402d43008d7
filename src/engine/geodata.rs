//! Geodata layers as the engine keeps them: one loaded set a version, shared by all sessions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::Schema;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::ScalarUDF;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use object_store::ObjectStoreExt;
use parking_lot::Mutex;
use tycho_catalog::{GeodataLayer, View};
use tycho_udfs::geodata::{self, Layer, LayerSet, Layers};

use super::Engine;
use crate::error::{Error, Kind, Result};
use crate::tables;

/// The set of layers that name none.
pub(crate) const DEFAULT_SET: &str = "default";
/// The column of a layer's data file that holds its polygons as WKT.
pub(crate) const GEOMETRY_COLUMN: &str = "geometry";

/// The set that was loaded last under each name, with the data files it was made of.
#[derive(Default)]
pub(super) struct LayerCache {
    sets: Mutex<HashMap<String, Loaded>>,
}

/// Data files, and the set made of them.
type Loaded = (Vec<String>, Arc<LayerSet>);

/// The sets of one view, loaded.
struct ViewLayers {
    sets: BTreeMap<String, Arc<LayerSet>>,
}

impl Layers for ViewLayers {
    fn set(&self, name: Option<&str>) -> Result<Arc<LayerSet>, String> {
        let wanted = name.unwrap_or(DEFAULT_SET).to_lowercase();
        self.sets.get(&wanted).cloned().ok_or_else(|| {
            let place = name.map_or_else(String::new, |set| format!(" IN {set}"));
            let what = name.map_or_else(|| "no geodata layer".to_owned(), |set| format!("no geodata set {set}"));
            format!("there is {what}; CREATE GEODATA LAYER name{place} FIELDS (…) GEOMETRY wkt AS SELECT …")
        })
    }
}

/// Adds `geodata`'s rules and its planner to a session's state; the function itself is bound to each statement's view.
pub(super) fn register(builder: SessionStateBuilder) -> SessionStateBuilder {
    geodata::register(builder, Arc::new(ViewLayers { sets: BTreeMap::new() }))
}

impl LayerCache {
    pub(super) async fn function(&self, engine: &Engine, view: &View) -> Result<Arc<ScalarUDF>> {
        let mut by_set: BTreeMap<String, Vec<GeodataLayer>> = BTreeMap::new();
        for layer in view.geodata_layers().await? {
            by_set.entry(layer.set.clone()).or_default().push(layer);
        }
        let mut sets = BTreeMap::new();
        for (name, layers) in by_set {
            let set = self.load(engine, &name, layers).await?;
            sets.insert(name, set);
        }
        Ok(Arc::new(geodata::geodata_function(Arc::new(ViewLayers { sets }))))
    }

    async fn load(&self, engine: &Engine, name: &str, layers: Vec<GeodataLayer>) -> Result<Arc<LayerSet>> {
        let key: Vec<String> = layers.iter().map(|l| l.data.clone()).collect();
        if let Some((loaded, set)) = self.sets.lock().get(name)
            && *loaded == key
        {
            return Ok(Arc::clone(set));
        }
        let mut parts = Vec::with_capacity(layers.len());
        for layer in layers {
            let batch = read(engine, &layer).await?;
            parts.push((layer.name, batch));
        }
        let set = build(parts).await?;
        self.sets.lock().insert(name.to_owned(), (key, Arc::clone(&set)));
        Ok(set)
    }
}

/// Builds a set from its layers' rows: the fields, and the polygons in the column `geometry`. Takes processor time, hence
/// a thread of its own.
pub(crate) async fn build(parts: Vec<(String, RecordBatch)>) -> Result<Arc<LayerSet>> {
    let work = move || -> Result<Arc<LayerSet>> {
        let layers = parts
            .into_iter()
            .map(|(name, batch)| {
                let (fields, geometry) = split(&batch)?;
                Layer::build(name, fields, &geometry).map_err(of_layer)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(LayerSet::new(layers).map_err(of_layer)?))
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::new(Kind::Internal, "building a geodata layer stopped").with_source(e))?
}

fn of_layer(e: datafusion::error::DataFusionError) -> Error {
    Error::new(
        Kind::InvalidParameterValue,
        e.strip_backtrace().trim_start_matches("Error during planning: ").to_owned(),
    )
}

fn split(batch: &RecordBatch) -> Result<(RecordBatch, ArrayRef)> {
    let at = batch.schema().index_of(GEOMETRY_COLUMN)?;
    let fields: Vec<usize> = (0..batch.num_columns()).filter(|i| *i != at).collect();
    Ok((batch.project(&fields)?, Arc::clone(batch.column(at))))
}

async fn read(engine: &Engine, layer: &GeodataLayer) -> Result<RecordBatch> {
    let url = engine.catalog.resolve(&layer.data);
    let (store, path) = tables::object_at(&url, &Default::default(), &engine.tables)?;
    let bytes = store.get(&path).await?.bytes().await?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .and_then(|builder| builder.build())
        .map_err(|e| Error::new(Kind::DataCorrupted, format!("geodata layer {}: {e}", layer.name)).with_source(e))?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), |b| b.schema());
    Ok(concat_batches(&schema, &batches)?)
}
