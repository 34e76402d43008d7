//! Which order the rows of a scan come in, so that ORDER BY, merge joins and windows need no sort.
//!
//! Every file of ours says what its rows are sorted by. A scan has that order only where each group of files, read one after
//! the other, has it: the files of a group must follow each other without overlap, which column bounds prove.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use tycho_catalog::{DataFile, SortColumn, TableDefinition};

/// The columns that all files are sorted by, in order. Nothing is known of foreign files.
pub(super) fn common_prefix(files: &[DataFile], foreign: usize) -> Vec<SortColumn> {
    let Some((first, rest)) = files.split_first().filter(|_| foreign == 0) else { return vec![] };
    let mut prefix = first.sorted_by.clone();
    for file in rest {
        let same = prefix.iter().zip(&file.sorted_by).take_while(|(a, b)| a == b).count();
        prefix.truncate(same);
    }
    prefix
}

/// The same as an ordering of the table's schema. Columns that are gone end it; partition columns are constant within a file.
pub(super) fn sort_expressions(
    sorted_by: &[SortColumn],
    definition: &TableDefinition,
    schema: &SchemaRef,
) -> Option<LexOrdering> {
    let known = sorted_by.iter().map_while(|sort| {
        let index = definition.columns.iter().position(|c| c.id == sort.column)?;
        let column = Arc::new(Column::new(schema.field(index).name(), index));
        let options = SortOptions { descending: sort.descending, nulls_first: sort.nulls_first };
        Some(PhysicalSortExpr::new(column, options))
    });
    LexOrdering::new(known.collect::<Vec<_>>())
}

/// Groups of files that each come in the order, when read one after the other, no more groups than `target`; `None` where there
/// are none.
pub(super) fn sorted_groups(
    files: &[PartitionedFile],
    ordering: &LexOrdering,
    schema: &SchemaRef,
    target: usize,
) -> Option<Vec<FileGroup>> {
    if files.len() <= target {
        return Some(files.iter().map(|f| FileGroup::new(vec![f.clone()])).collect());
    }
    // Bounds say nothing of where NULLs are, nor of values that were cut: only files without either can be chained.
    let first = ordering.first().expr.downcast_ref::<Column>()?.index();
    let chained = files.iter().all(|f| {
        f.statistics.as_ref().and_then(|s| s.column_statistics.get(first)).is_some_and(|c| {
            c.null_count == Precision::Exact(0)
                && c.min_value.is_exact() == Some(true)
                && c.max_value.is_exact() == Some(true)
        })
    });
    if !chained {
        return None;
    }
    // By the first column alone: where its ranges do not overlap, the others cannot matter.
    let by_first = LexOrdering::new(vec![ordering.first().clone()])?;
    let group = FileGroup::new(files.to_vec());
    let groups =
        FileScanConfig::split_groups_by_statistics_with_target_partitions(schema, &[group], &by_first, target).ok()?;
    (groups.len() <= target).then_some(groups)
}

/// The schema with those sort columns NOT NULL that have no NULL in any file: then it does not matter at which end NULLs would
/// be, and files in Spark's order (NULLS FIRST) serve PostgreSQL's ORDER BY (NULLS LAST).
pub(super) fn without_nulls(schema: &TableSchema, ordering: &LexOrdering, statistics: &Statistics) -> TableSchema {
    let sort_columns: Vec<usize> =
        ordering.iter().filter_map(|sort| sort.expr.downcast_ref::<Column>().map(Column::index)).collect();
    let fields = schema.file_schema().fields().iter().enumerate().map(|(index, field)| {
        let nulls = statistics.column_statistics.get(index).map(|s| s.null_count);
        match sort_columns.contains(&index) && nulls == Some(Precision::Exact(0)) {
            true => Arc::new(Field::clone(field).with_nullable(false)),
            false => field.clone(),
        }
    });
    TableSchema::builder(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
        .with_table_partition_cols(schema.table_partition_cols().clone())
        .build()
}
