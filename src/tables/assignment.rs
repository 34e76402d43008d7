//! ANSI store assignment: what a query's columns become when they are written into a table's.
//!
//! Spark's rules (`Cast.canANSIStoreAssign`): between numbers with an error where one overflows (fractions are cut, decimals
//! rounded half up), between dates and timestamps, from every flat type to text, NULL to anything, nested types field by
//! field. Everything else is refused when the statement is planned. One function of our own does it all, since Arrow's casts are
//! looser, print values differently and cannot name the column.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Column as PlanColumn, Result as PlanResult};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use tycho_catalog::Column;

use super::assign_cast::assign;
use crate::error::{Error, Kind, Result};

/// Casts a query's columns to a table's under ANSI store assignment, by position (Spark's rules, OVERWRITE.md section 1). The
/// result has the table's column names and types.
pub fn store_assignment(plan: LogicalPlan, columns: &[Column], table: &str) -> Result<LogicalPlan> {
    let given = plan.schema().fields();
    if given.len() < columns.len() {
        let table_names = columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
        let query_names = given.iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
        return Err(Error::new(
            Kind::Syntax,
            format!(
                "table {table} takes {} columns ({table_names}), but the query gives {} ({query_names})",
                columns.len(),
                given.len()
            ),
        ));
    }
    let mut expressions = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let (qualifier, field) = plan.schema().qualified_field(index);
        if !is_assignable(field.data_type(), &column.data_type) {
            return Err(refused(field, column, table));
        }
        let input = Expr::Column(PlanColumn::new(qualifier.cloned(), field.name()));
        let fits = field.data_type() == &column.data_type && (column.nullable || !field.is_nullable());
        let expression = if fits { input } else { assignment(input, column, table) };
        expressions.push(expression.alias(column.name.as_str()));
    }
    // Columns behind the table's are there to sort by, and pass as they are.
    for index in columns.len()..given.len() {
        let (qualifier, field) = plan.schema().qualified_field(index);
        expressions.push(Expr::Column(PlanColumn::new(qualifier.cloned(), field.name())));
    }
    Ok(LogicalPlanBuilder::from(plan).project(expressions)?.build()?)
}

fn assignment(input: Expr, column: &Column, table: &str) -> Expr {
    let function = StoreAssignment {
        target: column.data_type.clone(),
        nullable: column.nullable,
        place: format!("column `{}` of table {table}", column.name),
        signature: Signature::any(1, Volatility::Immutable),
    };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![input]))
}

fn refused(field: &Field, column: &Column, table: &str) -> Error {
    let (from, to) = (type_name(field.data_type()), type_name(&column.data_type));
    Error::new(
        Kind::DatatypeMismatch,
        format!("cannot write a value of type {from} into column `{}` of table {table}, which is {to}", column.name),
    )
    .with_hint(format!("say what you mean with CAST(… AS {to})"))
}

/// Whether values of one type may be written into a column of the other; whether each fits is seen at run time.
fn is_assignable(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (Null, _) => true,
        (Dictionary(_, values), _) => is_assignable(values, to),
        _ if from == to => true,
        (from, to) if is_number(from) && is_number(to) => true,
        (from, Utf8) => !from.is_nested(),
        (LargeBinary | BinaryView | FixedSizeBinary(_), Binary) => true,
        (Date32 | Date64 | Timestamp(_, _), Date32 | Timestamp(_, _)) => true,
        (List(from) | LargeList(from) | FixedSizeList(from, _) | ListView(from) | LargeListView(from), List(to)) => {
            is_assignable(from.data_type(), to.data_type())
        }
        (Struct(from), Struct(to)) => {
            from.len() == to.len() && from.iter().zip(to).all(|(f, t)| is_assignable(f.data_type(), t.data_type()))
        }
        (Map(from, _), Map(to, _)) => is_assignable(from.data_type(), to.data_type()),
        _ => false,
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating() || data_type.is_decimal()
}

/// A type's name in Spark's spelling, for messages.
pub(super) fn type_name(data_type: &DataType) -> String {
    let fields = |fields: &[FieldRef], colon: &str| {
        let one = |field: &FieldRef| format!("{}{colon} {}", field.name(), type_name(field.data_type()));
        fields.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    match data_type {
        DataType::Null => "VOID".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            format!("UNSIGNED {}", if data_type == &DataType::UInt64 { "BIGINT" } else { "INT" })
        }
        DataType::Float16 | DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("DECIMAL({p}, {s})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "BINARY".to_owned()
        }
        DataType::Date32 | DataType::Date64 => "DATE".to_owned(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP".to_owned(),
        DataType::Timestamp(_, None) => "TIMESTAMP_NTZ".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".to_owned(),
        DataType::Dictionary(_, values) => type_name(values),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("ARRAY<{}>", type_name(item.data_type()))
        }
        DataType::Struct(parts) => format!("STRUCT<{}>", fields(parts, ":")),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(parts) if parts.len() == 2 => {
                format!("MAP<{}, {}>", type_name(parts[0].data_type()), type_name(parts[1].data_type()))
            }
            other => format!("MAP<{}>", type_name(other)),
        },
        other => other.to_string(),
    }
}

/// The cast of one column; its state is plain data.
#[derive(Debug, PartialEq, Eq, Hash)]
struct StoreAssignment {
    target: DataType,
    nullable: bool,
    /// Column and table, for messages.
    place: String,
    signature: Signature,
}

impl ScalarUDFImpl for StoreAssignment {
    fn name(&self) -> &str {
        "store_assignment"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> PlanResult<DataType> {
        Ok(self.target.clone())
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> PlanResult<FieldRef> {
        let nullable = self.nullable && arguments.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.target.clone(), nullable)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let [argument] = arguments.args.as_slice() else {
            return Err(Error::new(Kind::Internal, "store assignment takes one column").into());
        };
        let input: ArrayRef = match argument {
            ColumnarValue::Array(array) => Arc::clone(array),
            ColumnarValue::Scalar(scalar) => scalar.to_array_of_size(1)?,
        };
        let output = assign(&input, &self.target, &self.place)?;
        if !self.nullable && output.null_count() > 0 {
            return Err(
                Error::new(Kind::NotNullViolation, format!("NULL for {}, which is NOT NULL", self.place)).into()
            );
        }
        match argument {
            ColumnarValue::Array(_) => Ok(ColumnarValue::Array(output)),
            ColumnarValue::Scalar(_) => {
                datafusion::common::ScalarValue::try_from_array(&output, 0).map(ColumnarValue::Scalar)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::TimeUnit;
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    use super::*;

    fn column(name: &str, data_type: DataType, nullable: bool) -> Column {
        Column { id: 1, name: name.into(), data_type, sql_type: None, nullable, comment: None, default: None }
    }

    async fn assigned(sql: &str, columns: &[Column]) -> Result<String> {
        let context = SessionContext::new();
        let plan = context.sql(sql).await?.into_unoptimized_plan();
        let plan = store_assignment(plan, columns, "lake.t")?;
        let batches = context.execute_logical_plan(plan).await?.collect().await?;
        for batch in &batches {
            for (field, column) in batch.schema().fields().iter().zip(columns) {
                assert_eq!((field.name(), field.data_type()), (&column.name, &column.data_type), "{sql}");
            }
        }
        let table = pretty_format_batches(&batches)?.to_string();
        let rows: Vec<_> = table.lines().skip(3).filter(|line| line.starts_with('|')).collect();
        Ok(rows.iter().map(|row| row.trim_matches(['|', ' ']).to_owned()).collect::<Vec<_>>().join(";"))
    }

    async fn one(sql: &str, to: DataType) -> Result<String> {
        assigned(&format!("SELECT {sql} AS v"), &[column("c", to, true)]).await
    }

    const INSTANT: fn() -> DataType = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));

    #[tokio::test]
    async fn values_become_what_spark_makes_of_them() {
        let cases: &[(&str, DataType, &str)] = &[
            ("300", DataType::Int16, "300"),
            ("1.9e0", DataType::Int32, "1"),
            ("-1.9e0", DataType::Int32, "-1"),
            ("CAST(1.99 AS DECIMAL(5,2))", DataType::Int32, "1"),
            ("CAST(-1.99 AS DECIMAL(5,2))", DataType::Int32, "-1"),
            ("CAST(1.235 AS DECIMAL(5,3))", DataType::Decimal128(5, 2), "1.24"),
            ("CAST(-1.235 AS DECIMAL(5,3))", DataType::Decimal128(5, 2), "-1.24"),
            ("CAST('1.005' AS DOUBLE)", DataType::Decimal128(5, 2), "1.01"),
            ("CAST('0.1' AS FLOAT)", DataType::Decimal128(20, 17), "0.10000000149011612"),
            ("7", DataType::Decimal128(5, 2), "7.00"),
            ("1e300", DataType::Float32, "inf"),
            ("CAST('1.5' AS DECIMAL(5,2))", DataType::Float64, "1.5"),
            ("1e10", DataType::Utf8, "1.0E10"),
            ("CAST('0.1' AS FLOAT)", DataType::Utf8, "0.1"),
            ("true", DataType::Utf8, "true"),
            ("DATE '2018-03-05'", DataType::Utf8, "2018-03-05"),
            ("TIMESTAMP '2018-03-05 07:08:09.5'", DataType::Utf8, "2018-03-05 07:08:09.5"),
            ("CAST(1.50 AS DECIMAL(5,2))", DataType::Utf8, "1.50"),
            ("arrow_cast('x', 'Utf8View')", DataType::Utf8, "x"),
            ("arrow_cast('x', 'Dictionary(Int32, Utf8)')", DataType::Utf8, "x"),
            ("DATE '2018-03-05'", DataType::Timestamp(TimeUnit::Microsecond, None), "2018-03-05T00:00:00"),
            ("DATE '2018-03-05'", INSTANT(), "2018-03-05T00:00:00Z"),
            ("TIMESTAMP '1969-12-31 23:59:59.9'", DataType::Date32, "1969-12-31"),
            ("TIMESTAMP '1969-12-31 23:59:59.9999995'", INSTANT(), "1969-12-31T23:59:59.999999Z"),
            ("NULL", DataType::Date32, ""),
            ("make_array(1, 2)", DataType::new_list(DataType::Utf8, true), "[1, 2]"),
            (
                "named_struct('x', 1, 'y', 'z')",
                DataType::Struct(
                    vec![Field::new("a", DataType::Utf8, true), Field::new("b", DataType::Utf8, true)].into(),
                ),
                "{a: 1, b: z}",
            ),
        ];
        for (sql, to, expected) in cases {
            let text = one(sql, to.clone()).await.unwrap_or_else(|e| panic!("{sql} to {to}: {e}"));
            assert_eq!(&text, expected, "{sql} to {to}");
        }
    }

    #[tokio::test]
    async fn what_spark_refuses_is_refused_when_planned() {
        for (sql, to) in [
            ("'1'", DataType::Int32),
            ("true", DataType::Int32),
            ("1", DataType::Boolean),
            ("DATE '2018-03-05'", DataType::Int32),
            ("TIMESTAMP '2018-03-05 00:00:00'", DataType::Int64),
            ("1", DataType::Date32),
            ("'2018-03-05'", DataType::Date32),
            ("'x'", DataType::Binary),
            ("make_array(1)", DataType::Utf8),
            ("make_array('x')", DataType::new_list(DataType::Int32, true)),
        ] {
            let error = one(sql, to.clone()).await.expect_err(sql);
            assert_eq!(error.kind, Kind::DatatypeMismatch, "{sql} to {to}: {error}");
            assert!(error.message.contains("column `c` of table lake.t"), "{error}");
        }
        let error = one("'1'", DataType::Int32).await.expect_err("text");
        assert_eq!(error.message, "cannot write a value of type STRING into column `c` of table lake.t, which is INT");
    }

    #[tokio::test]
    async fn what_does_not_fit_fails_at_run_time() {
        for (sql, to) in [
            ("300", DataType::Int8),
            ("1e20", DataType::Int64),
            ("CAST('NaN' AS DOUBLE)", DataType::Int32),
            ("CAST('NaN' AS DOUBLE)", DataType::Decimal128(5, 2)),
            ("1000", DataType::Decimal128(5, 2)),
            ("1e5", DataType::Decimal128(5, 2)),
            ("CAST(999.995 AS DECIMAL(6,3))", DataType::Decimal128(5, 2)),
            ("CAST(3000000000 AS DECIMAL(12,0))", DataType::Int32),
            ("make_array(300)", DataType::new_list(DataType::Int8, true)),
        ] {
            let error = one(sql, to.clone()).await.expect_err(sql);
            assert_eq!(error.kind, Kind::NumericOutOfRange, "{sql} to {to}: {error}");
            assert!(error.message.contains("column `c` of table lake.t"), "{error}");
        }
        let error = one("300", DataType::Int8).await.expect_err("too large");
        assert_eq!(error.message, "the value 300 does not fit column `c` of table lake.t, which is TINYINT");
    }

    #[tokio::test]
    async fn a_null_for_a_column_that_takes_none_is_23502() {
        let columns = [column("c", DataType::Int32, false)];
        let error = assigned("SELECT CAST(NULL AS INT) AS v", &columns).await.expect_err("NULL");
        assert_eq!(error.kind, Kind::NotNullViolation);
        assert_eq!(assigned("SELECT 1 AS v", &columns).await.expect("not NULL"), "1");
    }

    #[tokio::test]
    async fn a_wrong_number_of_columns_names_both_sides() {
        let columns = [column("a", DataType::Int32, true), column("b", DataType::Utf8, true)];
        let error = assigned("SELECT 1 AS x", &columns).await.expect_err("one column");
        assert_eq!(error.message, "table lake.t takes 2 columns (a, b), but the query gives 1 (x)");
    }
}
