//! Whether a query is about the system tables, and which functions it calls.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, DataType, Expr, ObjectName, Query, TableFactor, Visit, Visitor,
};

use super::definitions;
use super::names::Reference;

/// The words of a name in lower case (quoted ones as they are).
pub fn words(name: &ObjectName) -> Vec<String> {
    name.0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(|ident| if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() })
        .collect()
}

/// Whether a name is that of a system table, with its schema or without.
pub fn is_system_table(name: &ObjectName) -> bool {
    let words = words(name);
    match words.as_slice() {
        [table] => definitions::table("pg_catalog", table).is_some(),
        [schema, _] | [_, schema, _] => definitions::SCHEMAS.contains(&schema.as_str()),
        _ => false,
    }
}

/// The kind of reference that a type is, such as `regclass`.
pub fn reference_type(data_type: &DataType) -> Option<Reference> {
    match data_type {
        DataType::Regclass => Some(Reference::Class),
        DataType::Custom(name, _) => words(name).last().and_then(|word| Reference::from_type_name(word)),
        _ => None,
    }
}

/// Whether a type is one that only PostgreSQL's catalog uses.
fn is_system_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Array(ast::ArrayElemTypeDef::SquareBracket(item, _)) => is_system_type(item),
        DataType::Custom(name, _) => {
            let words = words(name);
            reference_type(data_type).is_some()
                || words.first().is_some_and(|word| word == "pg_catalog")
                || matches!(
                    words.last().map(String::as_str),
                    Some("oid" | "name" | "char" | "xid" | "int2vector" | "oidvector")
                )
        }
        other => reference_type(other).is_some(),
    }
}

/// Whether a query names a system table, or uses what only queries of system tables do.
pub fn concerns(query: &Query) -> bool {
    struct Concern;
    impl Visitor for Concern {
        type Break = ();

        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
            if is_system_table(relation) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            match factor {
                TableFactor::Function { name, .. } if is_prefixed(name) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let found = match expr {
                Expr::Function(function) => is_prefixed(&function.name),
                Expr::Cast { data_type, .. } => is_system_type(data_type),
                Expr::BinaryOp { op, .. } => matches!(op, BinaryOperator::PGCustomBinaryOperator(_)),
                Expr::Collate { collation, .. } => is_prefixed(collation),
                _ => false,
            };
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    query.visit(&mut Concern).is_break()
}

/// Whether a name has the prefix of a system schema.
pub fn is_prefixed(name: &ObjectName) -> bool {
    let words = words(name);
    words.len() > 1 && definitions::SCHEMAS.contains(&words[words.len() - 2].as_str())
}

/// Whether the query writes a relation's or a schema's name as a literal of type `regclass` or `regnamespace`.
pub fn names_relation(query: &Query) -> bool {
    struct Literal;
    impl Visitor for Literal {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let found = match expr {
                Expr::Cast { data_type, .. } => {
                    matches!(reference_type(data_type), Some(Reference::Class | Reference::Namespace))
                }
                _ => false,
            };
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    query.visit(&mut Literal).is_break()
}

/// Lower-case names, without schema, of the functions that a query calls.
pub fn called_functions(query: &Query) -> HashSet<String> {
    struct Calls(HashSet<String>);
    impl Visitor for Calls {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr {
                self.0.extend(words(&function.name).pop());
            }
            ControlFlow::Continue(())
        }
    }
    let mut calls = Calls(HashSet::new());
    let _ = query.visit(&mut calls);
    calls.0
}
