//! Scripts: split and parsed one statement at a time, under the dialect then in force, and run in order.

use std::collections::BTreeMap;

use super::console::{Console, Statements};
use crate::error::{Error, Result};
use crate::sql::{self, Statement, StatementKind};

/// How a script is run.
#[derive(Debug, Clone, Default)]
pub(super) struct ScriptOptions {
    /// Values for `${name}`.
    pub variables: BTreeMap<String, String>,
    /// Go on after a failed statement.
    pub keep_going: bool,
}

/// What a script's runner does beside running: the demo prints each statement, the shell times it.
pub(super) trait Watcher: Send {
    /// `before`: what stands between the statement and the one before it (comments and blank lines).
    fn before(&mut self, _console: &mut Console, _before: &str, _statement: &Statement) -> Result<()> {
        Ok(())
    }
    fn after(&mut self, _console: &mut Console) {}
}

/// Watches nothing.
pub(super) struct Quiet;
impl Watcher for Quiet {}

/// Runs a whole text. Returns whether every statement succeeded; errors were reported on the console.
pub(super) async fn run<S: Statements>(
    session: &mut S,
    console: &mut Console,
    text: &str,
    options: &ScriptOptions,
    watcher: &mut impl Watcher,
) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = match sql::substitute::substitute(text, &options.variables) {
        Ok(substituted) => substituted,
        Err(error) => {
            console.report(&error, text);
            return false;
        }
    };
    if let Err(error) = obey_pragma(session, &text).await {
        console.report(&error, &text);
        return false;
    }
    let mut succeeded = true;
    let mut offset = 0;
    loop {
        match step(session, console, &text, offset, watcher).await {
            Ok(None) => return succeeded,
            Ok(Some(next)) => offset = next,
            Err((error, next)) => {
                console.report(&error, &text);
                succeeded = false;
                if !options.keep_going {
                    return false;
                }
                offset = next;
            }
        }
    }
}

/// One statement. The offset where the next begins; with an error too, unless nothing can follow.
async fn step<S: Statements>(
    session: &mut S,
    console: &mut Console,
    text: &str,
    offset: usize,
    watcher: &mut impl Watcher,
) -> std::result::Result<Option<usize>, (Error, usize)> {
    let (statement, next) = match session.parse(text, offset) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return Ok(None),
        Err(error) => {
            // A text that the parser cannot leave would be reported for ever.
            let next = sql::skip_statement(text, offset, session.settings().dialect());
            return Err((error, if next > offset { next } else { text.len() }));
        }
    };
    if matches!(statement.kind, StatementKind::Empty) {
        return Ok(Some(next));
    }
    let before = &text[offset..statement.offset];
    let result = match watcher.before(console, before, &statement) {
        Ok(()) => console.execute(session, &statement).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => {
            watcher.after(console);
            Ok(Some(next))
        }
        Err(mut error) => {
            error.position = error.position.map(|p| p + statement.offset);
            Err((error, next))
        }
    }
}

/// The script's first line may say its dialect: it holds as if the script had said SET.
async fn obey_pragma<S: Statements>(session: &mut S, text: &str) -> Result<()> {
    let Some(dialect) = sql::dialect::pragma(text)? else { return Ok(()) };
    if let Some((statement, _)) = session.parse(&format!("SET sql_dialect = {}", dialect.name()), 0)? {
        session.run(&statement).await?;
    }
    Ok(())
}
