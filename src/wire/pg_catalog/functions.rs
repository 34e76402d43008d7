//! PostgreSQL's system functions as scalar functions of DataFusion, bound to one view and session.
//!
//! They answer from facts that were loaded before planning and do no I/O. Each is a row of [`FUNCTIONS`]: a name, the type
//! of its result, what it must know, and a body over plain cells.

mod bodies;
mod lists;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Int64Type, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::facts::{CatalogFacts, SessionState};
use super::names::Names;
use super::rows::{self, Cell};
use crate::error::Result;

/// What a function must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// Nothing, or the session.
    Session,
    /// The catalog's definitions.
    Catalog,
    /// Rows and bytes of tables too.
    Sizes,
}

/// What the functions of one statement answer from.
#[derive(Debug, Default)]
pub struct Context {
    pub facts: Arc<CatalogFacts>,
    pub session: SessionState,
    /// The commit that the statement reads.
    pub commit: i64,
}

impl Context {
    pub fn names(&self) -> Names<'_> {
        Names { facts: &self.facts, session: &self.session }
    }
}

/// The type of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Returns {
    Bool,
    Int4,
    Int8,
    Text,
    Texts,
    Ints,
    Timestamp,
}

impl Returns {
    fn data_type(self) -> DataType {
        let list = |item| DataType::List(Arc::new(Field::new_list_field(item, true)));
        match self {
            Returns::Bool => DataType::Boolean,
            Returns::Int4 => DataType::Int32,
            Returns::Int8 => DataType::Int64,
            Returns::Text => DataType::Utf8,
            Returns::Texts => list(DataType::Utf8),
            Returns::Ints => list(DataType::Int64),
            Returns::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

type Body = fn(&Context, &[Cell]) -> Result<Cell>;

/// One function.
struct Declaration {
    name: &'static str,
    needs: Needs,
    returns: Returns,
    /// NULL for any argument gives NULL, and the body is not asked.
    strict: bool,
    body: Body,
}

/// What the functions that a query may call need together; `None` if the name is none of ours.
pub fn needs(name: &str) -> Option<Needs> {
    if lists::NAMES.contains(&name) {
        return Some(Needs::Session);
    }
    bodies::FUNCTIONS.iter().find(|f| f.name == name).map(|f| f.needs)
}

/// The functions of these names, bound to a context.
pub fn bind(context: &Arc<Context>, wanted: impl Fn(&str) -> bool) -> Vec<Arc<ScalarUDF>> {
    let bound = bodies::FUNCTIONS.iter().filter(|f| wanted(f.name)).map(|declaration| {
        let signature = Signature::one_of(vec![TypeSignature::VariadicAny, TypeSignature::Nullary], Volatility::Stable);
        Arc::new(ScalarUDF::new_from_impl(CatalogFunction { declaration, signature, context: Arc::clone(context) }))
    });
    bound.chain(lists::bind(&wanted)).collect()
}

/// A declared function with what it answers from.
struct CatalogFunction {
    declaration: &'static Declaration,
    signature: Signature,
    context: Arc<Context>,
}

impl std::fmt::Debug for CatalogFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CatalogFunction").field("name", &self.declaration.name).finish_non_exhaustive()
    }
}

impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        self.declaration.name == other.declaration.name && Arc::ptr_eq(&self.context, &other.context)
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.declaration.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        self.declaration.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(self.declaration.returns.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let count = if constant { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|a| readable(&a.to_array(count)?)).collect::<PlanResult<Vec<ArrayRef>>>()?;
        let mut results = Vec::with_capacity(count);
        for row in 0..count {
            let cells = columns.iter().map(|c| cell(c, row)).collect::<PlanResult<Vec<Cell>>>()?;
            let null = self.declaration.strict && cells.contains(&Cell::Null);
            results.push(if null { Cell::Null } else { (self.declaration.body)(&self.context, &cells)? });
        }
        let array = rows::array_of(&results, &self.declaration.returns.data_type()).ok_or_else(|| {
            DataFusionError::Internal(format!("{} gave a value of another type", self.declaration.name))
        })?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// An argument in one of the few types that [`cell`] reads.
fn readable(array: &ArrayRef) -> PlanResult<ArrayRef> {
    let target = match array.data_type() {
        DataType::Null | DataType::Boolean | DataType::Int64 | DataType::Float64 | DataType::Utf8 => {
            return Ok(Arc::clone(array));
        }
        integer if integer.is_integer() => DataType::Int64,
        float if float.is_floating() => DataType::Float64,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let item = if item.data_type().is_integer() { DataType::Int64 } else { DataType::Utf8 };
            DataType::List(Arc::new(Field::new_list_field(item, true)))
        }
        _ => DataType::Utf8,
    };
    Ok(cast(array, &target)?)
}

fn cell(array: &ArrayRef, row: usize) -> PlanResult<Cell> {
    if array.is_null(row) || array.data_type() == &DataType::Null {
        return Ok(Cell::Null);
    }
    Ok(match array.data_type() {
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Cell::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::List(item) => {
            let values = array.as_list::<i32>().value(row);
            match item.data_type() {
                DataType::Int64 => Cell::Ints(values.as_primitive::<Int64Type>().iter().flatten().collect()),
                _ => Cell::Texts(values.as_string::<i32>().iter().flatten().map(str::to_owned).collect()),
            }
        }
        other => return Err(DataFusionError::Internal(format!("system functions take no {other}"))),
    })
}
