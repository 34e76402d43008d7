//! Operators, casts and literals of PostgreSQL's catalog queries.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Array, ArrayElemTypeDef, BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Ident, ObjectName, Query, Select, SelectItem, SetExpr, Value, ValueWithSpan, VisitMut, VisitorMut,
};

use super::build;
use super::scope::{Scope, ident_text};
use crate::error::{Error, Result};
use crate::wire::pg_catalog::concerns;
use crate::wire::pg_catalog::definitions;
use crate::wire::pg_catalog::functions::Context;
use crate::wire::pg_catalog::names::Reference;

/// In the outermost SELECT lists a `regclass` is what the client sees: its name. Elsewhere it is the number.
pub fn show_references(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
                if let Some(shown) = shown(expr) {
                    *expr = shown;
                }
            }
        }
        SetExpr::Query(query) => show_references(&mut query.body),
        SetExpr::SetOperation { left, right, .. } => {
            show_references(left);
            show_references(right);
        }
        _ => {}
    }
}

/// The name behind `x::regclass`.
fn shown(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Cast { expr: inner, data_type, .. } => concerns::reference_type(data_type)
            .map(|reference| build::call(reference.text_function(), vec![(**inner).clone()])),
        Expr::Nested(inner) => shown(inner),
        _ => None,
    }
}

pub fn rewrite(query: &mut Query, context: &Context) -> Result<()> {
    match query.visit(&mut Expressions { context }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Expressions<'a> {
    context: &'a Context,
}

impl VisitorMut for Expressions<'_> {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let scope = Scope::of(select);
        let _ = select.visit(&mut ClassOids { scope });
        ControlFlow::Continue(())
    }

    /// Casts, from the outside in: `x::regclass::text` is one thing.
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        loop {
            let replaced = match expr {
                Expr::Cast { expr: inner, data_type, .. } => match self.cast(inner, data_type) {
                    Ok(replaced) => replaced,
                    Err(error) => return ControlFlow::Break(error),
                },
                Expr::Collate { expr: inner, .. } => Some(std::mem::replace(&mut **inner, build::null())),
                Expr::BinaryOp { left, op, right } => {
                    operator(op);
                    show_concatenated(left, op);
                    show_concatenated(right, op);
                    array_comparison(left, op, right);
                    None
                }
                Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                    escape(pattern, escape_char);
                    None
                }
                Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
                    array_literal(right);
                    None
                }
                Expr::Function(function) => {
                    show_formatted(function);
                    set_returning(expr)
                }
                _ => None,
            };
            match replaced {
                Some(replaced) => *expr = replaced,
                None => return ControlFlow::Continue(()),
            }
        }
    }
}

impl Expressions<'_> {
    /// What a cast is replaced by; `None` if it stays (its type may have been respelled).
    fn cast(&self, inner: &mut Expr, data_type: &mut DataType) -> Result<Option<Expr>> {
        if let Some(reference) = concerns::reference_type(data_type) {
            return self.reference(inner, reference).map(Some);
        }
        if let DataType::Array(ArrayElemTypeDef::SquareBracket(item, _)) = data_type {
            **item = plain_type(item);
            let Some(text) = build::literal_text(inner) else { return Ok(None) };
            return Ok(parse_array(text));
        }
        let plain = plain_type(data_type);
        if is_text(&plain)
            && let Some(shown) = shown(inner)
        {
            return Ok(Some(shown));
        }
        *data_type = plain;
        Ok(None)
    }

    /// `x::regclass`: the OID.
    fn reference(&self, inner: &Expr, reference: Reference) -> Result<Expr> {
        if let Some(text) = build::literal_text(inner) {
            return self.context.names().oid(reference, text).map(build::number);
        }
        let inner = match inner {
            // `oid::regclass` of something that is cast to text first, or a number: the function reads both.
            Expr::Nested(nested) => (**nested).clone(),
            other => other.clone(),
        };
        Ok(build::call(reference.oid_function(), vec![inner]))
    }
}

/// `OPERATOR(pg_catalog.~)` as the operator itself.
fn operator(op: &mut BinaryOperator) {
    let BinaryOperator::PGCustomBinaryOperator(words) = op else { return };
    let plain = match words.last().map(String::as_str) {
        Some("~") => BinaryOperator::PGRegexMatch,
        Some("~*") => BinaryOperator::PGRegexIMatch,
        Some("!~") => BinaryOperator::PGRegexNotMatch,
        Some("!~*") => BinaryOperator::PGRegexNotIMatch,
        Some("~~") => BinaryOperator::PGLikeMatch,
        Some("~~*") => BinaryOperator::PGILikeMatch,
        Some("!~~") => BinaryOperator::PGNotLikeMatch,
        Some("!~~*") => BinaryOperator::PGNotILikeMatch,
        Some("=") => BinaryOperator::Eq,
        Some("<>" | "!=") => BinaryOperator::NotEq,
        Some("<") => BinaryOperator::Lt,
        Some("<=") => BinaryOperator::LtEq,
        Some(">") => BinaryOperator::Gt,
        Some(">=") => BinaryOperator::GtEq,
        Some("+") => BinaryOperator::Plus,
        Some("-") => BinaryOperator::Minus,
        Some("*") => BinaryOperator::Multiply,
        Some("/") => BinaryOperator::Divide,
        Some("%") => BinaryOperator::Modulo,
        Some("||") => BinaryOperator::StringConcat,
        _ => return,
    };
    *op = plain;
}

/// `'…' || x::regclass` concatenates the name.
fn show_concatenated(side: &mut Expr, op: &BinaryOperator) {
    if *op == BinaryOperator::StringConcat
        && let Some(shown) = shown(side)
    {
        *side = shown;
    }
}

/// `LIKE pattern ESCAPE '/'`: DataFusion's LIKE knows the backslash alone.
fn escape(pattern: &mut Box<Expr>, escape_char: &mut Option<ValueWithSpan>) {
    let Some(value) = escape_char.take() else { return };
    if let Value::SingleQuotedString(text) = &value.value
        && text != "\\"
    {
        let plain = std::mem::replace(&mut **pattern, build::null());
        **pattern = build::call("like_pattern", vec![plain, Expr::Value(value)]);
    }
}

/// `format('%s', x::regclass)` prints the name.
fn show_formatted(function: &mut Function) {
    let name = concerns::words(&function.name).pop().unwrap_or_default();
    let FunctionArguments::List(list) = &mut function.args else { return };
    if !matches!(name.as_str(), "format" | "concat" | "concat_ws") {
        return;
    }
    for argument in &mut list.args {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument
            && let Some(shown) = shown(expr)
        {
            *expr = shown;
        }
    }
}

/// `array_column = '{…}'`: the literal has the column's type.
fn array_comparison(left: &mut Expr, op: &BinaryOperator, right: &mut Expr) {
    if !matches!(op, BinaryOperator::Eq | BinaryOperator::NotEq) {
        return;
    }
    if is_array_column(left) {
        array_literal(right);
    } else if is_array_column(right) {
        array_literal(left);
    }
}

fn is_array_column(expr: &Expr) -> bool {
    let name = match expr {
        Expr::Identifier(ident) => ident_text(ident),
        Expr::CompoundIdentifier(parts) => parts.last().map(ident_text).unwrap_or_default(),
        _ => return false,
    };
    let mut columns = definitions::tables().iter().flat_map(|table| table.columns.iter().zip(table.arrow.fields()));
    columns.any(|(column, field)| {
        column.name == name && matches!(field.data_type(), datafusion::arrow::datatypes::DataType::List(_))
    })
}

fn is_vector_column(expr: &Expr) -> bool {
    let name = match expr {
        Expr::Identifier(ident) => ident_text(ident),
        Expr::CompoundIdentifier(parts) => parts.last().map(ident_text).unwrap_or_default(),
        _ => return false,
    };
    matches!(definitions::column_type_by_name(&name), Some("int2vector" | "oidvector"))
}

fn array_literal(expr: &mut Expr) {
    if let Some(array) = build::literal_text(expr).and_then(parse_array) {
        *expr = array;
    }
}

/// `{1,2}` or `{a,"b c"}` as an ARRAY expression; `None` for what is no array of one dimension.
fn parse_array(text: &str) -> Option<Expr> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    if inner.contains('{') {
        return None;
    }
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => word.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    if !inner.trim().is_empty() {
        words.push(word);
    }
    let numbers = words.iter().all(|word| word.trim().parse::<i64>().is_ok());
    let items = words.iter().map(|word| if numbers { build::number(word.trim()) } else { build::text(word.trim()) });
    Some(Expr::Array(Array { elem: items.collect(), named: true }))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Text | DataType::Varchar(_) | DataType::CharacterVarying(_))
}

/// A type without its schema, and PostgreSQL's own types as those that store them.
fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Custom(name, modifiers) if modifiers.is_empty() => {
            match concerns::words(name).pop().unwrap_or_default().as_str() {
                "oid" | "xid" | "xid8" | "int8" | "bigint" => DataType::BigInt(None),
                "int4" | "integer" | "int" => DataType::Integer(None),
                "int2" | "smallint" => DataType::SmallInt(None),
                "bool" | "boolean" => DataType::Boolean,
                "float4" | "real" => DataType::Real,
                "float8" => DataType::DoublePrecision,
                "text" | "name" | "char" | "bpchar" | "varchar" | "cstring" | "pg_node_tree" | "json" | "jsonb"
                | "aclitem" | "inet" => DataType::Text,
                "int2vector" => vector(DataType::SmallInt(None)),
                "oidvector" => vector(DataType::BigInt(None)),
                _ => data_type.clone(),
            }
        }
        DataType::JSON | DataType::JSONB => DataType::Text,
        DataType::Array(ArrayElemTypeDef::SquareBracket(item, size)) => {
            DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(plain_type(item)), *size))
        }
        other => other.clone(),
    }
}

fn vector(item: DataType) -> DataType {
    DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(item), None))
}

/// Functions that return sets are arrays here, which `unnest` opens.
fn set_returning(expr: &Expr) -> Option<Expr> {
    let Expr::Function(function) = expr else { return None };
    let name = concerns::words(&function.name).pop()?;
    match name.as_str() {
        "pg_partition_ancestors" => {
            let mut renamed = function.clone();
            renamed.name = ObjectName::from(vec![Ident::new("partition_ancestors")]);
            Some(build::call("unnest", vec![Expr::Function(renamed)]))
        }
        "generate_subscripts" => {
            let FunctionArguments::List(list) = &function.args else { return None };
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(array)) = list.args.first()? else { return None };
            let length = build::cast(build::call("cardinality", vec![array.clone()]), DataType::BigInt(None));
            // int2vector and oidvector count from 0, all other arrays from 1.
            let (first, last) = if is_vector_column(array) {
                let last = Expr::BinaryOp {
                    left: Box::new(length),
                    op: BinaryOperator::Minus,
                    right: Box::new(build::number(1)),
                };
                (0, last)
            } else {
                (1, length)
            };
            Some(build::call("unnest", vec![build::call("generate_series", vec![build::number(first), last])]))
        }
        _ => None,
    }
}

/// Replaces `alias.tableoid` by the OID of the alias's table.
struct ClassOids {
    scope: Scope,
}

impl VisitorMut for ClassOids {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [.., relation, column] = parts.as_slice()
            && ident_text(column) == "tableoid"
            && let Some(table) = self.scope.table(&ident_text(relation))
        {
            *expr = build::number(table.oid);
        }
        ControlFlow::Continue(())
    }
}
