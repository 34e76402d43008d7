//! Which column of a Parquet file is which column of the table.
//!
//! Files of ours carry the column ids as Parquet field ids, so that a renamed column keeps its data and a new column of an old
//! name does not inherit it. Foreign files are matched by name, without case, as Spark does.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};
use tycho_catalog::ColumnId;

/// Rewrites what a scan wants of a table's columns into what a file has. Missing columns are NULL, types are cast (an
/// overflow is an error).
#[derive(Debug, Clone)]
pub struct ColumnMapping {
    /// Column ids by name; `None`: by name alone.
    ids: Option<HashMap<String, ColumnId>>,
}

impl ColumnMapping {
    /// For files that this catalog wrote into this table.
    pub fn by_id(columns: &[tycho_catalog::Column]) -> Self {
        ColumnMapping { ids: Some(columns.iter().map(|c| (c.name.clone(), c.id)).collect()) }
    }

    /// For files of others.
    pub fn by_name() -> Self {
        ColumnMapping { ids: None }
    }

    /// The file's schema with the table's names in place of its own. A column that the table does not have gets a name that
    /// no table column has.
    fn renamed(&self, logical: &Schema, physical: &Schema) -> SchemaRef {
        let mut columns: Vec<Option<&FieldRef>> = vec![None; physical.fields().len()];
        for field in logical.fields() {
            let found = match self.ids.as_ref().and_then(|ids| ids.get(field.name())) {
                Some(id) if has_field_ids(physical) => physical.fields().iter().position(|f| field_id(f) == Some(*id)),
                _ => position_by_name(physical, field.name()),
            };
            if let Some(index) = found {
                columns[index].get_or_insert(field);
            }
        }
        let fields: Vec<FieldRef> = physical
            .fields()
            .iter()
            .zip(columns)
            .map(|(field, column)| match column {
                // Where nothing but metadata differs, a cast would do nothing but hide the column from pruning.
                Some(column) if column.data_type() == field.data_type() => FieldRef::clone(column),
                Some(column) => Arc::new(Field::clone(field).with_name(column.name())),
                None => Arc::new(Field::clone(field).with_name(format!("\0{}", field.name()))),
            })
            .collect();
        Arc::new(Schema::new_with_metadata(fields, physical.metadata().clone()))
    }
}

fn has_field_ids(schema: &Schema) -> bool {
    schema.fields().iter().any(|f| field_id(f).is_some())
}

fn field_id(field: &Field) -> Option<ColumnId> {
    field.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse().ok()
}

/// The exact name wins over one that differs in case.
fn position_by_name(schema: &Schema, name: &str) -> Option<usize> {
    let exact = schema.fields().iter().position(|f| f.name() == name);
    exact.or_else(|| schema.fields().iter().position(|f| f.name().eq_ignore_ascii_case(name)))
}

impl PhysicalExprAdapterFactory for ColumnMapping {
    fn create(&self, logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let renamed = self.renamed(&logical, &physical);
        let inner = DefaultPhysicalExprAdapterFactory.create(logical, renamed)?;
        Ok(Arc::new(MappedColumns { inner, physical }))
    }
}

#[derive(Debug)]
struct MappedColumns {
    inner: Arc<dyn PhysicalExprAdapter>,
    physical: SchemaRef,
}

impl PhysicalExprAdapter for MappedColumns {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        // The inner adapter speaks of the file's columns by the table's names; the reader knows the file's names.
        self.inner
            .rewrite(expr)?
            .transform(|e| {
                let Some(column) = e.downcast_ref::<Column>() else { return Ok(Transformed::no(e)) };
                let name = match self.physical.fields().get(column.index()) {
                    Some(field) if field.name() != column.name() => field.name(),
                    _ => return Ok(Transformed::no(e)),
                };
                Ok(Transformed::yes(Arc::new(Column::new(name, column.index())) as Arc<dyn PhysicalExpr>))
            })
            .data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::DataType;
    use datafusion::physical_expr::expressions::Literal;

    fn table_column(id: ColumnId, name: &str) -> tycho_catalog::Column {
        tycho_catalog::Column {
            id,
            name: name.into(),
            data_type: DataType::Int64,
            sql_type: None,
            nullable: true,
            comment: None,
            default: None,
        }
    }

    fn with_id(name: &str, id: i32) -> Field {
        Field::new(name, DataType::Int64, true)
            .with_metadata([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())].into())
    }

    fn rewritten(mapping: &ColumnMapping, logical: &SchemaRef, physical: &SchemaRef, name: &str) -> String {
        let index = logical.index_of(name).unwrap();
        let adapter = mapping.create(logical.clone(), physical.clone()).unwrap();
        let expr = adapter.rewrite(Arc::new(Column::new(name, index))).unwrap();
        if expr.downcast_ref::<Literal>().is_some() { "literal".to_owned() } else { expr.to_string() }
    }

    #[test]
    fn columns_of_our_files_are_found_by_id() {
        let mapping = ColumnMapping::by_id(&[table_column(1, "new_name"), table_column(3, "old_name")]);
        let logical = Arc::new(Schema::new(vec![
            Field::new("new_name", DataType::Int64, true),
            Field::new("old_name", DataType::Int64, true),
        ]));
        // Column 1 was called old_name when the file was written; column 3 is younger than the file.
        let physical = Arc::new(Schema::new(vec![with_id("dropped", 2), with_id("old_name", 1)]));
        assert_eq!(rewritten(&mapping, &logical, &physical, "new_name"), "old_name@1");
        assert_eq!(rewritten(&mapping, &logical, &physical, "old_name"), "literal");
    }

    #[test]
    fn columns_of_foreign_files_are_found_by_name_without_case() {
        let logical = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("Other", DataType::Int64, true),
        ]));
        let physical =
            Arc::new(Schema::new(vec![Field::new("ID", DataType::Int32, true), with_id("id2", 1), with_id("id", 9)]));
        let mapping = ColumnMapping::by_name();
        assert_eq!(rewritten(&mapping, &logical, &physical, "id"), "id@2");
        assert_eq!(rewritten(&mapping, &logical, &physical, "Other"), "literal");
        let upper = Arc::new(Schema::new(vec![Field::new("x", DataType::Int32, true), physical.field(0).clone()]));
        assert_eq!(rewritten(&mapping, &logical, &upper, "id"), "CAST(ID@1 AS Int64)");
    }
}
