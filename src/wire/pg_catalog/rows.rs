//! Rows of a system table, given as a few named cells each; the rest are the column's neutral values.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder,
    ListBuilder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use datafusion::arrow::datatypes::DataType;

use super::definitions::{StaticRows, SystemTable};
use crate::error::{Error, Kind, Result};

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Not said: NULL where the column may be, else false, 0, the empty text.
    Unset,
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

macro_rules! cell_from {
    ($($from:ty => $make:expr),* $(,)?) => {
        $(impl From<$from> for Cell { fn from(value: $from) -> Cell { $make(value) } })*
    };
}
cell_from! {
    bool => Cell::Bool,
    i64 => Cell::Int,
    f64 => Cell::Float,
    u32 => |v| Cell::Int(i64::from(v)),
    i32 => |v| Cell::Int(i64::from(v)),
    usize => |v| Cell::Int(v as i64),
    String => Cell::Text,
    &String => |v: &String| Cell::Text(v.clone()),
    &str => |v: &str| Cell::Text(v.to_owned()),
    Vec<String> => Cell::Texts,
    Vec<i64> => Cell::Ints,
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Cell {
        value.map_or(Cell::Null, Into::into)
    }
}

/// Rows of one system table under construction.
pub struct Rows {
    table: &'static SystemTable,
    places: HashMap<&'static str, usize>,
    cells: Vec<Cell>,
}

impl Rows {
    pub fn new(table: &'static SystemTable) -> Rows {
        let places = table.columns.iter().enumerate().map(|(at, column)| (column.name, at)).collect();
        Rows { table, places, cells: Vec::new() }
    }

    /// Adds a row of the cells that are not neutral.
    pub fn push<const N: usize>(&mut self, cells: [(&str, Cell); N]) {
        let start = self.cells.len();
        self.cells.resize(start + self.table.columns.len(), Cell::Unset);
        for (name, cell) in cells {
            // A name that is not there is a slip of this module; the test of every builder finds it.
            debug_assert!(self.places.contains_key(name), "{} has no column {name}", self.table.name);
            if let Some(at) = self.places.get(name) {
                self.cells[start + at] = cell;
            }
        }
    }

    /// Adds unchanging rows, then the cells that all of them get.
    pub fn push_static<const N: usize>(&mut self, rows: &StaticRows, extra: [(&str, Cell); N]) {
        for row in &rows.rows {
            self.push(extra.clone());
            let start = self.cells.len() - self.table.columns.len();
            for (name, text) in rows.columns.iter().zip(row) {
                if let Some(at) = self.places.get(name) {
                    self.cells[start + at] = parse(*text, self.table.arrow.field(*at).data_type());
                }
            }
        }
    }

    /// All rows as one batch of the table's schema.
    pub fn finish(self) -> Result<RecordBatch> {
        let width = self.table.columns.len();
        let count = self.cells.len() / width.max(1);
        let columns = (0..width)
            .map(|at| {
                let cells: Vec<&Cell> = self.cells.iter().skip(at).step_by(width).collect();
                let field = self.table.arrow.field(at);
                array(&cells, field.data_type(), field.is_nullable()).ok_or_else(|| {
                    Error::new(
                        Kind::Internal,
                        format!("a row of {} does not fit column `{}`", self.table.name, field.name()),
                    )
                })
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        debug_assert!(columns.iter().all(|c| c.len() == count));
        Ok(RecordBatch::try_new(Arc::clone(&self.table.arrow), columns)?)
    }
}

fn parse(text: Option<&str>, data_type: &DataType) -> Cell {
    let Some(text) = text else { return Cell::Null };
    match data_type {
        DataType::Boolean => Cell::Bool(text == "t"),
        DataType::Int16 | DataType::Int32 | DataType::Int64 => text.parse().map_or(Cell::Null, Cell::Int),
        DataType::Float32 | DataType::Float64 => text.parse().map_or(Cell::Null, Cell::Float),
        DataType::List(item) if item.data_type().is_integer() => {
            Cell::Ints(text.split_whitespace().filter_map(|word| word.parse().ok()).collect())
        }
        _ => Cell::Text(text.to_owned()),
    }
}

/// Builds one column: `$value` makes the builder's value of a cell, `$neutral` stands for a cell that was not said.
macro_rules! column {
    ($cells:expr, $nullable:expr, $builder:expr, $neutral:expr, $($pattern:pat => $value:expr),+) => {{
        let mut builder = $builder;
        for cell in $cells {
            match cell {
                Cell::Null => builder.append_null(),
                Cell::Unset if $nullable => builder.append_null(),
                Cell::Unset => builder.append_value($neutral),
                $($pattern => builder.append_value($value),)+
                _ => return None,
            }
        }
        Arc::new(builder.finish()) as ArrayRef
    }};
}

macro_rules! list {
    ($cells:expr, $nullable:expr, $items:expr, $variant:path, $convert:expr) => {{
        let mut builder = ListBuilder::new($items);
        for cell in $cells {
            match cell {
                $variant(values) => {
                    builder.append_value(values.iter().map($convert).collect::<Option<Vec<_>>>()?.into_iter().map(Some))
                }
                Cell::Unset if !$nullable => builder.append(true),
                Cell::Null | Cell::Unset => builder.append(false),
                _ => return None,
            }
        }
        Arc::new(builder.finish()) as ArrayRef
    }};
}

/// A nullable array of cells, or `None` if one of them is of another type.
pub fn array_of(cells: &[Cell], data_type: &DataType) -> Option<ArrayRef> {
    array(&cells.iter().collect::<Vec<_>>(), data_type, true)
}

/// An array of cells, or `None` if one of them is of another type.
fn array(cells: &[&Cell], data_type: &DataType, nullable: bool) -> Option<ArrayRef> {
    Some(match data_type {
        DataType::Boolean => column!(cells, nullable, BooleanBuilder::new(), false, Cell::Bool(v) => *v),
        DataType::Int16 => column!(cells, nullable, Int16Builder::new(), 0, Cell::Int(v) => i16::try_from(*v).ok()?),
        DataType::Int32 => column!(cells, nullable, Int32Builder::new(), 0, Cell::Int(v) => i32::try_from(*v).ok()?),
        DataType::Int64 => column!(cells, nullable, Int64Builder::new(), 0, Cell::Int(v) => *v),
        DataType::Float32 => column!(cells, nullable, Float32Builder::new(), 0.0, Cell::Float(v) => *v as f32),
        DataType::Float64 => column!(cells, nullable, Float64Builder::new(), 0.0, Cell::Float(v) => *v),
        DataType::Utf8 => column!(cells, nullable, StringBuilder::new(), "", Cell::Text(v) => v),
        DataType::Binary => column!(cells, nullable, BinaryBuilder::new(), b"", Cell::Text(v) => v.as_bytes()),
        DataType::Timestamp(_, zone) => {
            let builder = TimestampMicrosecondBuilder::new().with_timezone_opt(zone.clone());
            column!(cells, nullable, builder, 0, Cell::Int(v) => *v)
        }
        DataType::List(item) => match item.data_type() {
            DataType::Int16 => list!(cells, nullable, Int16Builder::new(), Cell::Ints, |v| i16::try_from(*v).ok()),
            DataType::Int64 => list!(cells, nullable, Int64Builder::new(), Cell::Ints, |v| Some(*v)),
            DataType::Utf8 => list!(cells, nullable, StringBuilder::new(), Cell::Texts, |v| Some(v.as_str())),
            _ => all_null(cells, data_type)?,
        },
        _ => all_null(cells, data_type)?,
    })
}

/// Types that no row of ours has a value of.
fn all_null(cells: &[&Cell], data_type: &DataType) -> Option<ArrayRef> {
    let empty = cells.iter().all(|cell| matches!(cell, Cell::Null | Cell::Unset));
    empty.then(|| new_null_array(data_type, cells.len()))
}
