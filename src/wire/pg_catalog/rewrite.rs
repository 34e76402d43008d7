//! Rewrites a query of the system tables into what DataFusion can plan, keeping its meaning.
//!
//! It works on sqlparser's tree, in passes that each do one thing: names (schemas of tables and functions), subqueries
//! ([`subqueries`]), expressions ([`expressions`]). What stays unplannable is DataFusion's error, never a NULL.

mod build;
mod dead;
mod expressions;
mod names;
mod scope;
mod subqueries;

use datafusion::sql::sqlparser::ast::Query;

use super::functions::Context;
use crate::error::Result;

/// Rewrites in place. Labels of the outermost SELECT list are kept where an expression is replaced.
pub fn rewrite(query: &mut Query, context: &Context) -> Result<()> {
    names::qualify(query);
    names::label(query);
    expressions::show_references(&mut query.body);
    subqueries::rewrite(query);
    expressions::rewrite(query, context)
}
