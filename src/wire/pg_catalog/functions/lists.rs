//! Functions over arrays of any type that PostgreSQL's catalog queries need and DataFusion lacks.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::error::{Error, Kind};

pub const NAMES: &[&str] = &["single_value", "array_or_empty", "array_upper", "array_lower"];

/// The functions of these names.
pub fn bind(wanted: &impl Fn(&str) -> bool) -> Vec<Arc<ScalarUDF>> {
    NAMES
        .iter()
        .filter(|name| wanted(name))
        .map(|name| {
            let signature = Signature::variadic_any(Volatility::Immutable);
            Arc::new(ScalarUDF::new_from_impl(ListFunction { name, signature }))
        })
        .collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ListFunction {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for ListFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match (self.name, types.first()) {
            ("single_value", Some(DataType::List(item))) => Ok(item.data_type().clone()),
            ("array_or_empty", Some(list @ DataType::List(_))) => Ok(list.clone()),
            ("array_upper" | "array_lower", Some(DataType::List(_))) => Ok(DataType::Int32),
            ("array_upper" | "array_lower", Some(DataType::Null)) => Ok(DataType::Int32),
            (_, Some(DataType::Null)) => Ok(DataType::Null),
            (name, other) => Err(DataFusionError::Plan(format!("{name} takes an array, not {other:?}"))),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let argument = args.args[0].to_array(if constant { 1 } else { args.number_rows })?;
        let array = match argument.as_list_opt::<i32>() {
            None => Arc::clone(&argument),
            Some(list) => match self.name {
                "single_value" => single_value(list)?,
                "array_or_empty" => Arc::new(array_or_empty(list)),
                "array_upper" => bounds(list, |length| length),
                _ => bounds(list, |_| 1),
            },
        };
        if constant {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// The only element of each list: what a scalar subquery gives, whose rows were collected into the list.
fn single_value(list: &ListArray) -> Result<ArrayRef> {
    let offsets = list.value_offsets();
    let places = (0..list.len())
        .map(|row| match offsets[row + 1] - offsets[row] {
            _ if list.is_null(row) => Ok(None),
            0 => Ok(None),
            1 => Ok(Some(offsets[row])),
            _ => Err(Error::new(
                Kind::CardinalityViolation,
                "more than one row returned by a subquery used as an expression",
            )),
        })
        .collect::<Result<Int32Array, Error>>()?;
    Ok(take(list.values(), &places, None)?)
}

/// Each list, the empty one for NULL: what `ARRAY(SELECT …)` gives without rows.
fn array_or_empty(list: &ListArray) -> ListArray {
    let lengths = (0..list.len()).map(|row| if list.is_null(row) { 0 } else { list.value_length(row) as usize });
    let places: Int32Array = (0..list.len())
        .filter(|row| list.is_valid(*row))
        .flat_map(|row| list.value_offsets()[row]..list.value_offsets()[row + 1])
        .collect();
    let DataType::List(item) = list.data_type() else { return list.clone() };
    let values = take(list.values(), &places, None).expect("offsets of a list lie in its values");
    ListArray::new(Arc::clone(item), OffsetBuffer::from_lengths(lengths), values, None)
}

/// The upper or lower bound of each list; NULL for empty ones, as in PostgreSQL.
fn bounds(list: &ListArray, bound: fn(i32) -> i32) -> ArrayRef {
    let values: Int32Array = (0..list.len())
        .map(|row| (list.is_valid(row) && list.value_length(row) > 0).then(|| bound(list.value_length(row))))
        .collect();
    Arc::new(values)
}
