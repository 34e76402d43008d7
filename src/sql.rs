//! Text to [`Statement`]: our grammar for DDL and INSERT heads on sqlparser's tokenizer, sqlparser for query bodies.
//!
//! A script is split and parsed one statement at a time (`scan`), because a `SET sql_dialect` may change how the rest is
//! read. A statement's text becomes `tokens` with byte positions; `parser` is the cursor over them; `grammar` looks at the
//! first word and hands over to one small file a statement family. Query bodies go to sqlparser through `query`. What the two
//! dialects spell alike and mean differently is one table in `dialect`; `bind` writes a meaning into a tree, and
//! `conflicts` finds what a statement mixes.

pub mod bind;
pub mod conflicts;
pub mod dialect;
pub mod place;
pub mod statement;
pub mod substitute;
pub mod types;

mod alter;
mod create;
mod create_table;
mod explain;
mod geodata;
mod grammar;
mod insert;
mod operators;
mod parser;
mod partition;
mod prepare;
mod properties;
mod query;
mod rewrite;
mod scan;
mod set;
mod show;
#[cfg(test)]
mod tests;
mod tokens;
mod transaction;
mod unsupported;

pub use statement::{Dialect, Statement, StatementKind};

use crate::error::Result;
use parser::Parser;

/// Parses the first statement at or after byte `offset` of `text`; returns it and the offset behind its `;`, or `None` at the
/// end. Later statements are not looked at: they may have to be read under another dialect.
///
/// A `;` with nothing before it is [`StatementKind::Empty`]. Positions in the statement count from `statement.offset`; the
/// position of an error counts from the start of `text`. After an error, [`skip_statement`] says where the next one begins.
pub fn next_statement(text: &str, offset: usize, dialect: Dialect) -> Result<Option<(Statement, usize)>> {
    let Some(slice) = scan::next_slice(text, offset, dialect)? else { return Ok(None) };
    let own = &text[slice.start..slice.end];
    let statement = parse(own, slice.start, dialect).map_err(|mut e| {
        e.position = e.position.map(|p| p + slice.start);
        e
    })?;
    Ok(Some((statement, slice.next)))
}

/// The offset behind the `;` that ends the statement at `offset`: where to go on after one that does not parse. The end of the
/// text if a quote or comment is left open.
pub fn skip_statement(text: &str, offset: usize, dialect: Dialect) -> usize {
    scan::skip(text, offset, dialect)
}

/// Whether an interactive shell may send `text`: it ends with a `;` outside of quotes and comments, or is blank.
pub fn is_complete(text: &str, dialect: Dialect) -> bool {
    scan::is_complete(text, dialect)
}

fn parse(text: &str, offset: usize, dialect: Dialect) -> Result<Statement> {
    let mut parser = Parser::new(text, dialect)?;
    let kind = if parser.at_end() { StatementKind::Empty } else { grammar::statement(&mut parser)? };
    parser.expect_end()?;
    Ok(Statement { kind, text: text.to_owned(), offset, parameters: parser.parameters() })
}
