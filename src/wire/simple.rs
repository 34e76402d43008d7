//! The simple query protocol: one string, any number of statements, each result sent at once.

use std::io;

use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::EmptyQueryResponse;

use super::connection::Connection;
use super::response::{Failure, placed};
use crate::error::Result;
use crate::session::Tag;
use crate::sql::{Statement, StatementKind};

impl Connection {
    /// Runs a string to its end or its first error.
    pub(super) async fn simple_query(&mut self, text: &str) -> io::Result<()> {
        self.extended.forget_unnamed();
        let mut implicit = false;
        let result = self.run_string(text, &mut implicit).await;
        if let Err(Failure::Statement(_)) = &result {
            self.session.fail();
            if implicit && let Err(error) = self.session.end_implicit(false).await {
                tracing::warn!(%error, "rolling back a query string failed");
            }
        }
        self.report(result, Some(text))?;
        self.ready().await
    }

    /// Several statements in one string are one transaction, unless they say BEGIN themselves. `implicit`: whether that
    /// transaction is open.
    async fn run_string(&mut self, text: &str, implicit: &mut bool) -> Result<(), Failure> {
        let Some(mut current) = self.next_statement(text, 0)? else {
            self.outbound.put(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()))?;
            return Ok(());
        };
        // What follows is only looked at here: it is parsed again under the dialect that is in force then.
        let several = !matches!(self.next_statement(text, current.1), Ok(None));
        loop {
            if several {
                self.session.begin_implicit();
                *implicit = true;
            }
            let (tag, rows) = self.run_statement(&current.0).await?;
            let following = self.next_statement(text, current.1);
            if several && matches!(following, Ok(None)) {
                *implicit = false;
                self.end_implicit().await?;
            }
            self.complete(tag, rows)?;
            match following? {
                Some(next) => current = next,
                None => return Ok(()),
            }
        }
    }

    /// The next statement that is not empty.
    pub(super) fn next_statement(&self, text: &str, mut offset: usize) -> Result<Option<(Statement, usize)>> {
        loop {
            match self.session.parse(text, offset)? {
                Some((statement, next)) if matches!(statement.kind, StatementKind::Empty) => offset = next,
                other => return Ok(other),
            }
        }
    }

    /// Runs one statement and sends its rows as text; its tag is still to be sent.
    async fn run_statement(&mut self, statement: &Statement) -> Result<(Tag, u64), Failure> {
        if let Some(tag) = self.forget_statements(&statement.kind) {
            return Ok((tag, 0));
        }
        let watch = self.watch();
        let outcome = watch.run(self.session.run(statement), &mut self.inbound).await;
        let outcome = outcome.map_err(|error| placed(error, statement))?;
        let Some(rows) = outcome.rows else {
            return Ok((outcome.tag, 0));
        };
        let mut source = self.source(rows, &[])?;
        self.outbound.put(source.description())?;
        let sent = self.send_rows(&mut source, None, &watch).await?;
        Ok((outcome.tag, sent.rows))
    }

    /// Commits what `begin_implicit` opened, if the statements have not done so.
    pub(super) async fn end_implicit(&mut self) -> Result<()> {
        let watch = self.watch();
        watch.run(self.session.end_implicit(true), &mut self.inbound).await
    }
}
