//! The extended query protocol: prepared statements, portals, and the pipeline up to a Sync.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, PortalSuspended,
    TARGET_TYPE_BYTE_STATEMENT,
};
use pgwire::messages::response::EmptyQueryResponse;

use super::channel::Received;
use super::connection::Connection;
use super::decode;
use super::encode::column_types;
use super::response::{Failure, placed};
use super::rows::{RowSource, check_columns};
use super::types::{Format, declared_type, oid_of, row_description};
use crate::error::{Error, Kind, Result};
use crate::session::{Prepared, Tag, TransactionStatus};
use crate::sql::StatementKind;

/// A connection's prepared statements and portals.
#[derive(Default)]
pub(super) struct Extended {
    statements: HashMap<String, Arc<NamedStatement>>,
    portals: HashMap<String, Portal>,
    /// After an error, everything up to the next Sync is passed over.
    pub(super) skipping: bool,
    /// The pipeline since the last Sync runs in a transaction that the Sync ends.
    implicit: bool,
}

/// A message of the pipeline.
pub(super) enum Step {
    Parse(Parse),
    Bind(Bind),
    Describe(Describe),
    Execute(Execute),
    Close(Close),
}

struct NamedStatement {
    /// The query string, for the place of errors.
    text: String,
    /// `None`: the empty query.
    prepared: Option<Arc<Prepared>>,
    /// OIDs of the parameters, as ParameterDescription tells them.
    parameters: Vec<u32>,
}

struct Portal {
    statement: Arc<NamedStatement>,
    values: Vec<ScalarValue>,
    /// Result format codes as they came.
    formats: Vec<i16>,
    state: PortalState,
}

enum PortalState {
    Bound,
    Running {
        source: Box<RowSource>,
        tag: Tag,
    },
    /// The result was sent to its end.
    Finished(Tag),
    /// It ran and had no result: it can't be run again.
    Done,
}

impl Extended {
    /// A simple query does away with the unnamed statement and portal.
    pub(super) fn forget_unnamed(&mut self) {
        self.statements.remove("");
        self.portals.remove("");
    }

    pub(super) fn close_portals(&mut self) {
        self.portals.clear();
    }

    fn statement(&self, name: &str) -> Result<Arc<NamedStatement>> {
        self.statements.get(name).cloned().ok_or_else(|| {
            let text = match name {
                "" => "unnamed prepared statement does not exist".to_owned(),
                name => format!("prepared statement \"{name}\" does not exist"),
            };
            Error::new(Kind::InvalidStatementName, text)
        })
    }
}

fn no_portal(name: &str) -> Error {
    Error::new(Kind::InvalidCursorName, format!("portal \"{name}\" does not exist"))
}

impl Connection {
    /// One message of a pipeline. An error makes all up to the next Sync be passed over.
    pub(super) async fn extended_query(&mut self, message: Step) -> io::Result<()> {
        let mut text = None;
        let result = match message {
            Step::Parse(parse) => {
                let result = self.parse(&parse).await;
                text = Some(parse.query);
                result
            }
            Step::Bind(bind) => self.bind(bind),
            Step::Describe(describe) => self.describe(&describe),
            Step::Execute(execute) => {
                let name = execute.name.as_deref().unwrap_or_default();
                text = self.extended.portals.get(name).map(|portal| portal.statement.text.clone());
                self.execute(&execute).await
            }
            Step::Close(close) => self.close(&close),
        };
        if let Err(Failure::Statement(_)) = &result {
            self.session.fail();
            self.extended.skipping = true;
        }
        self.report(result, text.as_deref())
    }

    /// Ends the pipeline, and the transaction that several Executes in it were.
    pub(super) async fn sync(&mut self) -> io::Result<()> {
        let failed = std::mem::take(&mut self.extended.skipping);
        if std::mem::take(&mut self.extended.implicit) {
            if failed {
                if let Err(error) = self.session.end_implicit(false).await {
                    tracing::warn!(%error, "rolling back a pipeline failed");
                }
            } else {
                let result = self.end_implicit().await.map_err(Failure::from);
                self.report(result, None)?;
            }
        }
        self.ready().await
    }

    async fn parse(&mut self, message: &Parse) -> Result<(), Failure> {
        let name = message.name.clone().unwrap_or_default();
        if !name.is_empty() && self.extended.statements.contains_key(&name) {
            return Err(Error::new(
                Kind::DuplicatePreparedStatement,
                format!("prepared statement \"{name}\" already exists"),
            )
            .into());
        }
        // The unnamed one is replaced even if the new one fails.
        self.extended.statements.remove(&name);
        let statement = self.analyse(message).await?;
        self.extended.statements.insert(name, Arc::new(statement));
        self.outbound.put(PgWireBackendMessage::ParseComplete(ParseComplete::new()))?;
        Ok(())
    }

    async fn analyse(&mut self, message: &Parse) -> Result<NamedStatement> {
        let text = message.query.clone();
        let statement = match self.next_statement(&text, 0)? {
            None => return Ok(NamedStatement { text, prepared: None, parameters: message.type_oids.clone() }),
            Some((statement, next)) => {
                if self.next_statement(&text, next)?.is_some() {
                    return Err(Error::new(Kind::Syntax, "cannot insert multiple commands into a prepared statement"));
                }
                statement
            }
        };
        let declared = message.type_oids.iter().map(|oid| declared_type(*oid)).collect::<Result<Vec<_>>>()?;
        let watch = self.watch();
        let analysis = self.session.prepare(statement.clone(), &declared);
        let prepared = watch.race(analysis, &mut self.inbound).await.and_then(|result| result);
        let prepared = prepared.map_err(|error| placed(error, &statement))?;
        check_columns(prepared.columns.as_ref().map_or(0, |columns| columns.fields().len()))?;
        let parameters = prepared.parameter_types.iter().enumerate().map(|(index, data_type)| {
            match (message.type_oids.get(index), declared.get(index)) {
                (Some(oid), Some(Some(_))) => *oid,
                _ => oid_of(data_type),
            }
        });
        Ok(NamedStatement { text, parameters: parameters.collect(), prepared: Some(prepared) })
    }

    fn bind(&mut self, message: Bind) -> Result<(), Failure> {
        let portal_name = message.portal_name.unwrap_or_default();
        let statement_name = message.statement_name.unwrap_or_default();
        let statement = self.extended.statement(&statement_name)?;
        if !portal_name.is_empty() && self.extended.portals.contains_key(&portal_name) {
            let text = format!("portal \"{portal_name}\" already exists");
            return Err(Error::new(Kind::DuplicateCursor, text).into());
        }
        let (given, needed) = (message.parameters.len(), statement.parameters.len());
        if given != needed {
            let text = format!(
                "bind message supplies {given} parameters, but prepared statement \"{statement_name}\" requires {needed}"
            );
            return Err(Error::new(Kind::ProtocolViolation, text).into());
        }
        let formats = Format::expand(&message.parameter_format_codes, needed, "parameter")?;
        let mut zone = self.zone()?;
        let mut values = Vec::with_capacity(needed);
        if let Some(prepared) = &statement.prepared {
            for (index, bytes) in message.parameters.iter().enumerate() {
                let target = &prepared.parameter_types[index];
                let value =
                    decode::parameter(bytes.as_deref(), formats[index], statement.parameters[index], target, &mut zone);
                values.push(value.map_err(|e| in_parameter(e, index))?);
            }
            if let Some(columns) = &prepared.columns {
                Format::expand(&message.result_column_format_codes, columns.fields().len(), "column")?;
            }
        }
        let formats = message.result_column_format_codes;
        let portal = Portal { statement, values, formats, state: PortalState::Bound };
        self.extended.portals.insert(portal_name, portal);
        self.outbound.put(PgWireBackendMessage::BindComplete(BindComplete::new()))?;
        Ok(())
    }

    fn describe(&mut self, message: &Describe) -> Result<(), Failure> {
        let name = message.name.as_deref().unwrap_or_default();
        let (statement, formats): (_, &[i16]) = if message.target_type == TARGET_TYPE_BYTE_STATEMENT {
            let statement = self.extended.statement(name)?;
            let description = ParameterDescription::new(statement.parameters.clone());
            self.outbound.put(PgWireBackendMessage::ParameterDescription(description))?;
            (statement, &[])
        } else {
            let portal = self.extended.portals.get(name).ok_or_else(|| no_portal(name))?;
            (Arc::clone(&portal.statement), &portal.formats)
        };
        let columns = statement.prepared.as_ref().and_then(|prepared| prepared.columns.as_ref());
        let description = match columns {
            Some(columns) => {
                let formats = Format::expand(formats, columns.fields().len(), "column")?;
                PgWireBackendMessage::RowDescription(row_description(columns, &formats))
            }
            None => PgWireBackendMessage::NoData(NoData::new()),
        };
        self.outbound.put(description)?;
        Ok(())
    }

    fn close(&mut self, message: &Close) -> Result<(), Failure> {
        let name = message.name.as_deref().unwrap_or_default();
        // Closing what does not exist is no error.
        if message.target_type == TARGET_TYPE_BYTE_STATEMENT {
            self.extended.statements.remove(name);
        } else {
            self.extended.portals.remove(name);
        }
        self.outbound.put(PgWireBackendMessage::CloseComplete(CloseComplete::new()))?;
        Ok(())
    }

    async fn execute(&mut self, message: &Execute) -> Result<(), Failure> {
        let name = message.name.as_deref().unwrap_or_default();
        // A portal whose statement fails is gone.
        let mut portal = self.extended.portals.remove(name).ok_or_else(|| no_portal(name))?;
        let Some(prepared) = portal.statement.prepared.clone() else {
            self.outbound.put(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()))?;
            self.extended.portals.insert(name.to_owned(), portal);
            return Ok(());
        };
        if matches!(portal.state, PortalState::Bound) {
            self.join_pipeline().await?;
        }
        self.run_portal(name, &mut portal, &prepared, message.max_rows).await?;
        self.registration.set(None);
        self.extended.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    /// Runs a portal, or goes on with it, up to `max_rows` rows (0: all).
    async fn run_portal(
        &mut self,
        name: &str,
        portal: &mut Portal,
        prepared: &Prepared,
        max_rows: i32,
    ) -> Result<(), Failure> {
        let watch = self.watch();
        if matches!(portal.state, PortalState::Bound) {
            portal.state = PortalState::Done;
            if let Some(tag) = self.forget_statements(&prepared.statement.kind) {
                return Ok(self.complete(tag, 0)?);
            }
            let values = std::mem::take(&mut portal.values);
            let outcome = watch.run(self.session.execute(prepared, values), &mut self.inbound).await;
            let outcome = outcome.map_err(|error| placed(error, &prepared.statement))?;
            let Some(rows) = outcome.rows else {
                return Ok(self.complete(outcome.tag, 0)?);
            };
            if let Some(described) = &prepared.columns
                && column_types(described) != column_types(&rows.schema)
            {
                return Err(Error::new(Kind::FeatureNotSupported, "cached plan must not change result type")
                    .with_hint("a definition changed since the statement was prepared; prepare it again")
                    .into());
            }
            let source = Box::new(self.source(rows, &portal.formats)?);
            portal.state = PortalState::Running { source, tag: outcome.tag };
        }
        match &mut portal.state {
            PortalState::Running { source, tag } => {
                let limit = u64::try_from(max_rows).ok().filter(|limit| *limit > 0);
                let sent = self.send_rows(source, limit, &watch).await?;
                if sent.suspended {
                    self.put_notices()?;
                    self.outbound.put(PgWireBackendMessage::PortalSuspended(PortalSuspended::new()))?;
                } else {
                    let tag = tag.clone();
                    portal.state = PortalState::Finished(tag.clone());
                    self.complete(tag, sent.rows)?;
                }
                Ok(())
            }
            PortalState::Finished(tag) => Ok(self.complete(tag.clone(), 0)?),
            PortalState::Bound | PortalState::Done => {
                Err(Error::new(Kind::InvalidCursorName, format!("portal \"{name}\" cannot be run again")).into())
            }
        }
    }

    /// What runs between two Syncs is one transaction. An Execute that a Sync follows at once is a statement by itself.
    async fn join_pipeline(&mut self) -> Result<(), Failure> {
        if self.session.transaction_status() != TransactionStatus::Idle && !self.extended.implicit {
            return Ok(());
        }
        if !self.extended.implicit {
            let follows = tokio::select! {
                follows = self.inbound.sync_follows() => follows,
                () = self.server.stop.cancelled() => return Err(super::cancel::stopping().into()),
            };
            match follows {
                Ok(Received::Message(false)) => self.extended.implicit = true,
                Ok(Received::Message(true)) => return Ok(()),
                Ok(Received::End) => return Err(Failure::Connection(io::ErrorKind::UnexpectedEof.into())),
                // What follows is malformed: that is said when it is read.
                Err(_) => return Ok(()),
            }
        }
        self.session.begin_implicit();
        Ok(())
    }

    /// DEALLOCATE and DISCARD reach the protocol's prepared statements too, which the session does not know: psycopg gives its
    /// own back that way. `Some`: there is nothing left to run.
    pub(super) fn forget_statements(&mut self, kind: &StatementKind) -> Option<Tag> {
        if self.session.transaction_status() == TransactionStatus::Failed {
            return None;
        }
        match kind {
            StatementKind::Deallocate { name: Some(name) } => {
                self.extended.statements.remove(&name.value).map(|_| Tag::Done("DEALLOCATE".to_owned()))
            }
            StatementKind::Deallocate { name: None } | StatementKind::Discard => {
                self.extended.statements.clear();
                None
            }
            _ => None,
        }
    }
}

fn in_parameter(error: Error, index: usize) -> Error {
    if error.detail.is_some() { error } else { error.with_detail(format!("in parameter ${}", index + 1)) }
}
