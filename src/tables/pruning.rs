//! Which partitions and files a scan can leave out.
//!
//! A filter on partition columns alone is settled here: it becomes a [`Predicate`], by which the catalog leaves out what
//! certainly does not match, and is then evaluated exactly, whatever functions it uses, over the values of the partitions
//! that are left. Filters on data columns leave out files by the column bounds in the catalog.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array};
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, ScalarValue, Statistics};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use tycho_catalog::{Comparison, Partition, Predicate, Value};

use super::statistics::{scalar_from_value, value_from_scalar};
use crate::error::Result;

/// Whether a filter can be settled by looking at partition values alone.
pub fn is_partition_filter(filter: &Expr, partition_schema: &SchemaRef) -> bool {
    let columns = filter.column_refs();
    !columns.is_empty()
        && columns.iter().all(|c| partition_schema.column_with_name(&c.name).is_some())
        && !filter.is_volatile()
        && !contains_subquery(filter)
}

fn contains_subquery(filter: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    filter
        .exists(|e| {
            Ok(matches!(
                e,
                Expr::ScalarSubquery(_)
                    | Expr::Exists(_)
                    | Expr::InSubquery(_)
                    | Expr::OuterReferenceColumn(..)
                    | Expr::Placeholder(_)
            ))
        })
        .unwrap_or(true)
}

/// What the catalog can use of filters on partition columns. Every partition that passes the filters passes the predicate.
pub fn predicate(filters: &[Expr], partition_schema: &SchemaRef) -> Predicate {
    all_of(filters.iter().map(|f| convert(f, partition_schema)).collect())
}

fn all_of(parts: Vec<Predicate>) -> Predicate {
    if parts.contains(&Predicate::Nothing) {
        return Predicate::Nothing;
    }
    let mut parts: Vec<_> = parts.into_iter().filter(|p| *p != Predicate::All).collect();
    match parts.len() {
        0 => Predicate::All,
        1 => parts.remove(0),
        _ => Predicate::And(parts),
    }
}

fn any_of(parts: Vec<Predicate>) -> Predicate {
    if parts.contains(&Predicate::All) {
        return Predicate::All;
    }
    let mut parts: Vec<_> = parts.into_iter().filter(|p| *p != Predicate::Nothing).collect();
    match parts.len() {
        0 => Predicate::Nothing,
        1 => parts.remove(0),
        _ => Predicate::Or(parts),
    }
}

/// `All` for whatever it does not understand.
fn convert(filter: &Expr, schema: &SchemaRef) -> Predicate {
    match filter {
        Expr::Literal(ScalarValue::Boolean(Some(false)) | ScalarValue::Boolean(None), _) => Predicate::Nothing,
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            all_of(vec![convert(left, schema), convert(right, schema)])
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            any_of(vec![convert(left, schema), convert(right, schema)])
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => compare(left, *op, right, schema)
            .or_else(|| compare(right, op.swap()?, left, schema))
            .unwrap_or(Predicate::All),
        Expr::Between(Between { expr, negated: false, low, high }) => all_of(vec![
            compare(expr, Operator::GtEq, low, schema).unwrap_or(Predicate::All),
            compare(expr, Operator::LtEq, high, schema).unwrap_or(Predicate::All),
        ]),
        Expr::InList(list) if !list.negated => in_list(&list.expr, &list.list, schema).unwrap_or(Predicate::All),
        Expr::IsNull(expr) => column(expr, schema).map_or(Predicate::All, |(column, _)| Predicate::IsNull { column }),
        Expr::IsNotNull(expr) => {
            column(expr, schema).map_or(Predicate::All, |(column, _)| Predicate::IsNotNull { column })
        }
        // `flag` and `NOT flag` of a BOOLEAN column.
        Expr::Column(_) => boolean(filter, true, schema),
        Expr::Not(inner) => boolean(inner, false, schema),
        _ => Predicate::All,
    }
}

fn boolean(expr: &Expr, wanted: bool, schema: &SchemaRef) -> Predicate {
    match column(expr, schema) {
        Some((column, DataType::Boolean)) => {
            Predicate::Compare { column, op: Comparison::Eq, value: Value::Boolean(wanted) }
        }
        _ => Predicate::All,
    }
}

fn compare(left: &Expr, op: Operator, right: &Expr, schema: &SchemaRef) -> Option<Predicate> {
    let (column, data_type) = column(left, schema)?;
    let value = literal(right, &data_type)?;
    let op = match op {
        Operator::Eq => Comparison::Eq,
        Operator::NotEq => Comparison::NotEq,
        Operator::Lt => Comparison::Lt,
        Operator::LtEq => Comparison::LtEq,
        Operator::Gt => Comparison::Gt,
        Operator::GtEq => Comparison::GtEq,
        _ => return None,
    };
    Some(Predicate::Compare { column, op, value })
}

fn in_list(expr: &Expr, list: &[Expr], schema: &SchemaRef) -> Option<Predicate> {
    let (column, data_type) = column(expr, schema)?;
    let values = list
        .iter()
        // A NULL in the list makes nothing true.
        .filter(|e| !matches!(e, Expr::Literal(scalar, _) if scalar.is_null()))
        .map(|e| literal(e, &data_type))
        .collect::<Option<Vec<_>>>()?;
    Some(Predicate::In { column, values })
}

fn column(expr: &Expr, schema: &SchemaRef) -> Option<(usize, DataType)> {
    match expr {
        Expr::Column(c) => schema.column_with_name(&c.name).map(|(i, f)| (i, f.data_type().clone())),
        _ => None,
    }
}

/// A literal that compares with a column's values as its own type would; `None` where the catalog's comparison could say
/// something else.
fn literal(expr: &Expr, data_type: &DataType) -> Option<Value> {
    let Expr::Literal(scalar, _) = expr else { return None };
    if scalar.is_null() || matches!(data_type, DataType::Timestamp(TimeUnit::Nanosecond, _)) {
        return None;
    }
    // Floats are left to the evaluation: NaN equals itself in SQL and not in the catalog.
    if matches!(data_type, DataType::Float16 | DataType::Float32 | DataType::Float64) {
        return None;
    }
    let same = match (scalar.data_type(), data_type) {
        (a, b) if a == *b => true,
        (a, b) if text_like(&a) && text_like(b) => true,
        (a, b) if a.is_integer() && b.is_integer() => true,
        _ => false,
    };
    let value = same.then(|| value_from_scalar(scalar))?;
    (!value.is_null()).then_some(value)
}

fn text_like(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Evaluates filters over partition values, exactly: the partitions for which all are true, in the order given.
pub fn matching_partitions(
    partitions: Vec<Partition>,
    filters: &[Expr],
    partition_schema: &SchemaRef,
    state: &dyn Session,
) -> Result<Vec<Partition>> {
    let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(partitions) };
    if partitions.is_empty() {
        return Ok(partitions);
    }
    let df_schema = DFSchema::try_from(partition_schema.clone())?;
    let filter = state.create_physical_expr(filter, &df_schema)?;
    let batch = partition_batch(&partitions, partition_schema)?;
    let kept = filter.evaluate(&batch)?.into_array(batch.num_rows())?;
    let kept = kept.as_boolean();
    Ok(partitions
        .into_iter()
        .enumerate()
        .filter(|(i, _)| kept.is_valid(*i) && kept.value(*i))
        .map(|(_, partition)| partition)
        .collect())
}

/// The values of partitions as a batch: one row a partition, one column a partition column.
pub fn partition_batch(partitions: &[Partition], partition_schema: &SchemaRef) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(partition_schema.fields().len());
    for (index, field) in partition_schema.fields().iter().enumerate() {
        let scalars = partitions
            .iter()
            .map(|p| scalar_from_value(p.values.get(index).unwrap_or(&Value::Null), field.data_type()))
            .collect::<Result<Vec<_>>>()?;
        columns.push(ScalarValue::iter_to_array(scalars)?);
    }
    Ok(RecordBatch::try_new(partition_schema.clone(), columns)?)
}

/// For each file whether it may hold rows for which all filters are true, by its statistics. `schema` is the table's, as in
/// the statistics.
pub fn files_that_may_match(
    statistics: &[Arc<Statistics>],
    filters: &[Expr],
    schema: &SchemaRef,
    state: &dyn Session,
) -> Result<Vec<bool>> {
    let all = || vec![true; statistics.len()];
    let parts = filters.iter().flat_map(|f| split_conjunction(f));
    let Some(filter) = conjunction(parts.filter(|f| !f.is_volatile() && !contains_subquery(f)).cloned()) else {
        return Ok(all());
    };
    let df_schema = DFSchema::try_from(schema.clone())?;
    // A filter that cannot be planned here is one that prunes nothing; whoever evaluates it says what is wrong with it.
    let Ok(filter) = state.create_physical_expr(filter, &df_schema) else { return Ok(all()) };
    let Some(pruning) = PruningPredicateBuilder::new().with_file_schema(schema.clone()).build(filter) else {
        return Ok(all());
    };
    Ok(pruning.prune(&Bounds { statistics, schema })?)
}

/// Bounds of many files, inexact ones too: they still hold every value between them.
struct Bounds<'a> {
    statistics: &'a [Arc<Statistics>],
    schema: &'a SchemaRef,
}

impl Bounds<'_> {
    fn scalars(
        &self,
        column: &Column,
        pick: impl Fn(&datafusion::common::ColumnStatistics) -> Option<ScalarValue>,
    ) -> Option<ArrayRef> {
        let (index, field) = self.schema.column_with_name(&column.name)?;
        let null = ScalarValue::try_from(field.data_type()).ok()?;
        let scalars = self
            .statistics
            .iter()
            .map(|s| s.column_statistics.get(index).and_then(&pick).unwrap_or_else(|| null.clone()));
        ScalarValue::iter_to_array(scalars).ok()
    }
}

impl PruningStatistics for Bounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.scalars(column, |s| s.min_value.get_value().cloned())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.scalars(column, |s| s.max_value.get_value().cloned())
    }

    fn num_containers(&self) -> usize {
        self.statistics.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let (index, _) = self.schema.column_with_name(&column.name)?;
        let counts = self
            .statistics
            .iter()
            .map(|s| s.column_statistics.get(index).and_then(|c| c.null_count.get_value()).map(|count| *count as u64));
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts = self.statistics.iter().map(|s| s.num_rows.get_value().map(|count| *count as u64));
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::common::stats::Precision;
    use datafusion::functions::expr_fn::{length, random};
    use datafusion::logical_expr::{cast, col, lit};
    use datafusion::prelude::SessionContext;

    fn partition_schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("dt", DataType::Utf8View, true),
            Field::new("hour", DataType::Int32, true),
        ]))
    }

    fn partition(dt: Option<&str>, hour: i64) -> Partition {
        let dt_value = dt.map_or(Value::Null, |d| Value::Text(d.to_owned()));
        Partition {
            folder: format!("dt={}/hour={hour}", dt.unwrap_or("__HIVE_DEFAULT_PARTITION__")),
            values: vec![dt_value, Value::Int(hour)],
            location: None,
            version: 1,
            registered: true,
        }
    }

    fn text(value: &str) -> Expr {
        lit(ScalarValue::Utf8(Some(value.to_owned())))
    }

    /// Filter, predicate, and which of (2018-01-01, 0), (2018-01-02, 7), (NULL, 7) are kept.
    fn check(filter: Expr, expect: Predicate, kept: &[usize]) {
        let schema = partition_schema();
        assert!(is_partition_filter(&filter, &schema), "{filter}");
        let filters = [filter];
        assert_eq!(predicate(&filters, &schema), expect, "{}", filters[0]);
        let all = vec![partition(Some("2018-01-01"), 0), partition(Some("2018-01-02"), 7), partition(None, 7)];
        let context = SessionContext::new();
        let found = matching_partitions(all.clone(), &filters, &schema, &context.state()).unwrap();
        let wanted: Vec<_> = kept.iter().map(|i| all[*i].clone()).collect();
        assert_eq!(found, wanted, "{}", filters[0]);
        for partition in &wanted {
            assert!(expect.may_match(&partition.values), "the catalog would lose {}", partition.folder);
        }
    }

    #[test]
    fn partition_filters() {
        use Comparison::*;
        let compare = |column, op, value| Predicate::Compare { column, op, value };
        let day = |d: &str| Value::Text(d.to_owned());
        check(col("dt").eq(text("2018-01-02")), compare(0, Eq, day("2018-01-02")), &[1]);
        check(text("2018-01-02").gt(col("dt")), compare(0, Lt, day("2018-01-02")), &[0]);
        check(col("hour").not_eq(lit(0)), compare(1, NotEq, Value::Int(0)), &[1, 2]);
        check(
            col("dt").gt_eq(text("2018-01-01")).and(col("hour").eq(lit(7))),
            Predicate::And(vec![compare(0, GtEq, day("2018-01-01")), compare(1, Eq, Value::Int(7))]),
            &[1],
        );
        check(
            col("dt").is_null().or(col("hour").eq(lit(0))),
            Predicate::Or(vec![Predicate::IsNull { column: 0 }, compare(1, Eq, Value::Int(0))]),
            &[0, 2],
        );
        check(
            col("dt").in_list(vec![text("2018-01-01"), text("x"), lit(ScalarValue::Utf8(None))], false),
            Predicate::In { column: 0, values: vec![day("2018-01-01"), day("x")] },
            &[0],
        );
        check(
            col("hour").between(lit(1), lit(9)),
            Predicate::And(vec![compare(1, GtEq, Value::Int(1)), compare(1, LtEq, Value::Int(9))]),
            &[1, 2],
        );
        check(col("dt").like(text("%-02")), Predicate::All, &[1]);
        check(cast(col("dt"), DataType::Date32).gt(lit(ScalarValue::Date32(Some(17_532)))), Predicate::All, &[1]);
        check(length(col("dt")).eq(lit(10)).is_not_true(), Predicate::All, &[2]);
        check(col("dt").eq(text("2018-01-01")).or(length(col("dt")).gt(lit(100))), Predicate::All, &[0]);
    }

    #[test]
    fn other_filters_are_no_partition_filters() {
        let schema = partition_schema();
        for filter in
            [col("x").eq(lit(1)), col("dt").eq(col("x")), lit(true), random().gt(cast(col("hour"), DataType::Float64))]
        {
            assert!(!is_partition_filter(&filter, &schema), "{filter}");
        }
    }

    #[test]
    fn files_are_left_out_by_their_bounds() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("s", DataType::Utf8View, true),
        ]));
        let file = |low: i64, high: i64, first: &str, last: &str| {
            let text = |t: &str| Precision::Inexact(ScalarValue::Utf8View(Some(t.to_owned())));
            let mut statistics = Statistics::new_unknown(&schema).with_num_rows(Precision::Exact(10));
            statistics.column_statistics[0].min_value = Precision::Exact(ScalarValue::Int64(Some(low)));
            statistics.column_statistics[0].max_value = Precision::Exact(ScalarValue::Int64(Some(high)));
            statistics.column_statistics[0].null_count = Precision::Exact(0);
            statistics.column_statistics[1].min_value = text(first);
            statistics.column_statistics[1].max_value = text(last);
            Arc::new(statistics)
        };
        let files = [file(0, 9, "a", "f"), file(10, 19, "g", "z"), Arc::new(Statistics::new_unknown(&schema))];
        let context = SessionContext::new();
        let kept = |filter: Expr| files_that_may_match(&files, &[filter], &schema, &context.state()).unwrap();
        assert_eq!(kept(col("a").gt(lit(9i64))), [false, true, true]);
        assert_eq!(kept(col("a").is_null()), [false, false, true]);
        assert_eq!(kept(col("s").eq(lit(ScalarValue::Utf8View(Some("b".into()))))), [true, false, true]);
        assert_eq!(kept(col("a").eq(lit(5i64)).and(random().gt(lit(0.5)))), [true, false, true]);
        assert_eq!(kept(random().gt(lit(0.5))), [true, true, true]);
    }
}
