//! Layers and sets of layers: the polygons `geodata` looks into, and the fields it answers with.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, RecordBatch, StructArray, UInt32Array, new_null_array,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, plan_err};
use geo::Coord;

use super::shapes::{NO_ROW, Shapes, polygons_from_wkt};

/// Where `geodata` finds its layers.
///
/// [`Layers::set`] is asked while a statement is planned, and the answer is kept in the plan: a statement looks into one
/// version of a set from beginning to end. The function's type is asked for a few times before, so that an
/// implementation which answers from the statement's own snapshot of the catalog leaves no moment at which a replaced
/// set could show with two types.
pub trait Layers: Send + Sync {
    /// The set of this name, or the default set for `None`.
    ///
    /// # Errors
    /// What is missing and the statement to type (`CREATE GEODATA LAYER …`), lower case without full stop.
    fn set(&self, name: Option<&str>) -> Result<Arc<LayerSet>, String>;
}

/// Rows with polygons; one version of a geodata layer.
#[derive(Debug)]
pub struct Layer {
    name: String,
    rows: RecordBatch,
    shapes: Shapes,
}

impl Layer {
    /// Builds a layer from the columns of its fields and its polygons, row by row.
    ///
    /// `geometry` holds WKT: POLYGON, MULTIPOLYGON, a GEOMETRYCOLLECTION of those, or EMPTY; longitude first, in degrees.
    /// A row with NULL is never found. Polygons that cross themselves are not repaired: what is inside follows the even-odd
    /// rule.
    ///
    /// # Errors
    /// When the lengths differ, when `geometry` is not text, or when a row's geometry cannot be read or is not made of
    /// polygons; the row is named by its number and the values of its fields.
    pub fn build(name: impl Into<String>, fields: RecordBatch, geometry: &ArrayRef) -> Result<Self> {
        let name = name.into();
        if fields.num_rows() != geometry.len() {
            return plan_err!(
                "geodata layer {name} has {} rows of fields and {} geometries",
                fields.num_rows(),
                geometry.len()
            );
        }
        if geometry.len() >= NO_ROW as usize {
            return plan_err!("geodata layer {name} has {} rows, more than {}", geometry.len(), NO_ROW - 1);
        }
        let text = match geometry.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                cast(geometry, &DataType::Utf8View)?
            }
            DataType::Dictionary(_, values) if values.is_string() => cast(geometry, &DataType::Utf8View)?,
            other => return plan_err!("the geometry of geodata layer {name} is {other}; it has to be WKT text"),
        };
        let polygons = text
            .as_string_view()
            .iter()
            .enumerate()
            .map(|(row, text)| match text {
                None => Ok(Vec::new()),
                Some(text) => polygons_from_wkt(text).map_err(|error| row_error(&name, &fields, row, &error)),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { name, rows: fields, shapes: Shapes::new(&polygons) })
    }

    /// The layer's name, as in `CREATE GEODATA LAYER name`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fields as the layer was built with.
    pub fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

fn row_error(layer: &str, fields: &RecordBatch, row: usize, error: &str) -> DataFusionError {
    const NAMED_FIELDS: usize = 3;
    let options = FormatOptions::default().with_null("NULL");
    let schema = fields.schema();
    let values: Vec<String> = fields
        .columns()
        .iter()
        .zip(schema.fields())
        .take(NAMED_FIELDS)
        .filter_map(|(column, field)| {
            let formatter = ArrayFormatter::try_new(column, &options).ok()?;
            Some(format!("{} = {}", field.name(), formatter.value(row)))
        })
        .collect();
    exec_datafusion_err!("the geometry in row {} of geodata layer {layer} ({}) {error}", row + 1, values.join(", "))
}

/// Where a field of the set's struct comes from.
#[derive(Debug)]
struct Origin {
    layer: usize,
    column: usize,
}

/// One version of a set: layers looked up together, and the struct of their fields.
///
/// Equality is identity: two sets are equal if they're the same version in memory.
#[derive(Debug)]
pub struct LayerSet {
    layers: Vec<Layer>,
    fields: Fields,
    origins: Vec<Origin>,
    rows_looked_up: AtomicU64,
}

impl LayerSet {
    /// A set of these layers; its struct has the fields of the layers in their order, each nullable.
    ///
    /// # Errors
    /// When two layers offer a field of the same name (compared without case), or no layer offers any.
    pub fn new(layers: Vec<Layer>) -> Result<Self> {
        let mut offered: HashMap<String, usize> = HashMap::new();
        let mut fields = Vec::new();
        let mut origins = Vec::new();
        for (layer, built) in layers.iter().enumerate() {
            for (column, field) in built.rows.schema().fields().iter().enumerate() {
                if let Some(other) = offered.insert(field.name().to_lowercase(), layer) {
                    return plan_err!(
                        "geodata layers {} and {} both offer the field {}; leave it out of one of them, or rename it",
                        layers[other].name,
                        built.name,
                        field.name()
                    );
                }
                fields.push(Field::new(field.name(), field.data_type().clone(), true));
                origins.push(Origin { layer, column });
            }
        }
        if fields.is_empty() {
            return plan_err!("a geodata set needs a layer with at least one field");
        }
        Ok(Self { layers, fields: fields.into(), origins, rows_looked_up: AtomicU64::new(0) })
    }

    /// The layers, in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The fields of the struct.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The type of [`LayerSet::lookup`]'s answer.
    pub fn data_type(&self) -> DataType {
        DataType::Struct(self.fields.clone())
    }

    /// How many points this set was asked for since it was built.
    pub fn rows_looked_up(&self) -> u64 {
        self.rows_looked_up.load(Ordering::Relaxed)
    }

    /// The fields of the polygons that contain each point, one row a point.
    ///
    /// `lon` and `lat` are degrees and of equal length. Of each layer the polygon of the smallest area counts (in square
    /// degrees, whole rows compared), then the first row; borders belong to polygons. Longitudes outside ±180 are wrapped.
    /// The struct is NULL where no layer contains the point, and where a coordinate is NULL, NaN or infinite or the latitude
    /// is outside ±90. `wanted` says which fields are needed, in the order of [`LayerSet::fields`]: the others are NULL, and
    /// layers without a wanted field are not looked into.
    ///
    /// # Errors
    /// When the lengths of `lon` and `lat`, or of `wanted` and the fields, differ.
    pub fn lookup(&self, lon: &Float64Array, lat: &Float64Array, wanted: &[bool]) -> Result<StructArray> {
        if lon.len() != lat.len() || wanted.len() != self.fields.len() {
            return plan_err!(
                "geodata looks up {} longitudes with {} latitudes, and {} of {} fields",
                lon.len(),
                lat.len(),
                wanted.len(),
                self.fields.len()
            );
        }
        self.rows_looked_up.fetch_add(lon.len() as u64, Ordering::Relaxed);
        let layer_wanted: Vec<bool> = (0..self.layers.len())
            .map(|layer| self.origins.iter().zip(wanted).any(|(origin, wanted)| *wanted && origin.layer == layer))
            .collect();
        let found = self.find(lon, lat, &layer_wanted);
        let indices: Vec<UInt32Array> = found
            .iter()
            .map(|rows| rows.iter().map(|row| (*row != NO_ROW).then_some(*row)).collect::<UInt32Array>())
            .collect();
        let columns = self
            .origins
            .iter()
            .zip(self.fields.iter())
            .zip(wanted)
            .map(|((origin, field), wanted)| match wanted {
                true => Ok(take(self.layers[origin.layer].rows.column(origin.column), &indices[origin.layer], None)?),
                false => Ok(new_null_array(field.data_type(), lon.len())),
            })
            .collect::<Result<Vec<_>>>()?;
        let anywhere: NullBuffer = (0..lon.len()).map(|point| found.iter().any(|rows| rows[point] != NO_ROW)).collect();
        Ok(StructArray::try_new_with_length(self.fields.clone(), columns, Some(anywhere), lon.len())?)
    }

    /// For each layer the row found for each point; layers that aren't wanted find nothing.
    fn find(&self, lon: &Float64Array, lat: &Float64Array, layer_wanted: &[bool]) -> Vec<Vec<u32>> {
        let mut found = vec![vec![NO_ROW; lon.len()]; self.layers.len()];
        for ((layer, rows), _) in self.layers.iter().zip(&mut found).zip(layer_wanted).filter(|(_, wanted)| **wanted) {
            // Events often come in runs from one place: an airport, a store, a home.
            let mut last = (None, NO_ROW);
            for (index, row) in rows.iter_mut().enumerate() {
                if lon.is_null(index) || lat.is_null(index) {
                    continue;
                }
                let Some(point) = point_on_earth(lon.value(index), lat.value(index)) else { continue };
                if last.0 != Some(point) {
                    last = (Some(point), layer.shapes.find(point));
                }
                *row = last.1;
            }
        }
        found
    }
}

impl PartialEq for LayerSet {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for LayerSet {}

/// The point with its longitude wrapped to ±180; `None` for what is no place on Earth.
fn point_on_earth(lon: f64, lat: f64) -> Option<Coord<f64>> {
    if !lon.is_finite() || !(-90.0..=90.0).contains(&lat) {
        return None;
    }
    let x = if (-180.0..=180.0).contains(&lon) { lon } else { (lon + 180.0).rem_euclid(360.0) - 180.0 };
    Some(Coord { x, y: lat })
}
