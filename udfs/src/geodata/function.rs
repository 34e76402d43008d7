//! The SQL function itself: its types, and its evaluation where no rule took the call out of an expression.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, internal_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::layer::{LayerSet, Layers};

/// The function's name in SQL.
pub(crate) const NAME: &str = "geodata";

/// `geodata(lon, lat [, 'set'])` over these layers.
pub fn geodata_function(layers: Arc<dyn Layers>) -> ScalarUDF {
    ScalarUDF::new_from_impl(Geodata { source: Source::Layers(layers), signature: signature() })
}

fn signature() -> Signature {
    Signature::user_defined(Volatility::Immutable)
}

/// Where a call gets its layers: by name as long as it's being planned, then one version.
#[derive(Clone)]
enum Source {
    Layers(Arc<dyn Layers>),
    Bound(Arc<LayerSet>),
}

pub(crate) struct Geodata {
    source: Source,
    signature: Signature,
}

impl Geodata {
    /// The `geodata` behind a function, if it's ours.
    pub(crate) fn of(function: &ScalarUDF) -> Option<&Self> {
        let implementation: &dyn std::any::Any = function.inner().as_ref();
        implementation.downcast_ref()
    }

    /// The version that the call is bound to.
    pub(crate) fn bound_set(&self) -> Option<&Arc<LayerSet>> {
        match &self.source {
            Source::Layers(_) => None,
            Source::Bound(set) => Some(set),
        }
    }

    /// The set as it is now; for a bound function always the same.
    pub(crate) fn set(&self, name: Option<&str>) -> Result<Arc<LayerSet>> {
        match &self.source {
            Source::Layers(layers) => layers.set(name).map_err(|error| plan_datafusion_err!("{error}")),
            Source::Bound(set) => Ok(Arc::clone(set)),
        }
    }

    /// The function that looks into this version only.
    pub(crate) fn bind(set: Arc<LayerSet>) -> ScalarUDF {
        ScalarUDF::new_from_impl(Self { source: Source::Bound(set), signature: signature() })
    }
}

/// The set that a call names in its third argument.
///
/// # Errors
/// When the third argument is not a text literal.
pub(crate) fn set_name(args: &[Expr]) -> Result<Option<&str>> {
    match args.get(2) {
        None => Ok(None),
        Some(Expr::Literal(value, _)) => literal_set_name(Some(value)),
        Some(_) => literal_set_name(None),
    }
}

fn literal_set_name(value: Option<&ScalarValue>) -> Result<Option<&str>> {
    match value.and_then(|value| value.try_as_str().flatten()) {
        Some(name) => Ok(Some(name)),
        None => plan_err!(
            "the third argument of geodata names a geodata set; write it as a literal: geodata(lon, lat, 'us')"
        ),
    }
}

impl ScalarUDFImpl for Geodata {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        internal_err!("the type of geodata depends on its set; return_field_from_args knows it")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let name = match args.scalar_arguments.get(2) {
            None => None,
            Some(value) => literal_set_name(*value)?,
        };
        Ok(Arc::new(Field::new(NAME, self.set(name)?.data_type(), true)))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if !(2..=3).contains(&arg_types.len()) {
            return plan_err!(
                "geodata takes a longitude, a latitude and the name of a set, not {} arguments",
                arg_types.len()
            );
        }
        for (data_type, what) in arg_types.iter().zip(["longitude", "latitude"]) {
            let plain = match data_type {
                DataType::Dictionary(_, values) => values.as_ref(),
                other => other,
            };
            if !(plain.is_numeric() || plain.is_string() || plain.is_null()) {
                return plan_err!(
                    "the {what} given to geodata is {data_type}; it has to be a number, or text that holds one"
                );
            }
        }
        // The name stays the literal it is: a cast around it would hide it from planning.
        Ok([DataType::Float64, DataType::Float64].into_iter().chain(arg_types.get(2).cloned()).collect())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [lon, lat, name @ ..] = args.args.as_slice() else {
            return internal_err!("geodata was called with {} arguments", args.args.len());
        };
        let name = match name.first() {
            None => None,
            Some(ColumnarValue::Scalar(value)) => literal_set_name(Some(value))?,
            Some(ColumnarValue::Array(_)) => literal_set_name(None)?,
        };
        let set = self.set(name)?;
        let constant = matches!((lon, lat), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let (lon, lat) = (coordinates(lon, rows)?, coordinates(lat, rows)?);
        let found = set.lookup(&lon, &lat, &vec![true; set.fields().len()])?;
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?)),
            false => Ok(ColumnarValue::Array(Arc::new(found))),
        }
    }
}

/// `rows` coordinates from what an argument evaluated to.
pub(crate) fn coordinates(value: &ColumnarValue, rows: usize) -> Result<Float64Array> {
    let array = value.to_array(rows)?;
    match array.as_primitive_opt::<Float64Type>() {
        Some(array) => Ok(array.clone()),
        None => internal_err!("a coordinate given to geodata is {}, not Float64", array.data_type()),
    }
}

impl fmt::Debug for Geodata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Geodata").field("bound", &self.bound_set().is_some()).finish_non_exhaustive()
    }
}

impl PartialEq for Geodata {
    fn eq(&self, other: &Self) -> bool {
        match (&self.source, &other.source) {
            (Source::Layers(one), Source::Layers(two)) => Arc::ptr_eq(one, two),
            (Source::Bound(one), Source::Bound(two)) => one == two,
            _ => false,
        }
    }
}

impl Eq for Geodata {}

impl Hash for Geodata {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let address = match &self.source {
            Source::Layers(layers) => Arc::as_ptr(layers).cast::<()>(),
            Source::Bound(set) => Arc::as_ptr(set).cast::<()>(),
        };
        address.hash(state);
    }
}
