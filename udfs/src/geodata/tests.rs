//! Tests of `geodata`: where points lie, and that each row is looked up once in every shape of query.

mod points;
mod queries;

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};

use super::layer::Layer;

/// A layer with the text field `field`, holding `name` where `wkt` is.
fn layer(layer: &str, field: &str, rows: &[(&str, &str)]) -> Layer {
    let names: ArrayRef = Arc::new(rows.iter().map(|(name, _)| Some(*name)).collect::<StringArray>());
    let wkt: ArrayRef = Arc::new(rows.iter().map(|(_, wkt)| Some(*wkt)).collect::<StringArray>());
    let fields = RecordBatch::try_from_iter_with_nullable([(field, names, true)]).expect("one column");
    Layer::build(layer, fields, &wkt).expect("good polygons")
}

/// The integers from 0, as a layer's field `id`.
fn ids(rows: usize) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..rows as i32));
    RecordBatch::try_from_iter([("id", ids)]).expect("one column")
}
