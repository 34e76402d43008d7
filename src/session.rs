//! One client's session: settings, current database, transaction, prepared statements, and [`Session::run`].

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use tokio_util::sync::CancellationToken;
use tycho_catalog::View;

use crate::commands;
use crate::engine::{Engine, SessionFacts};
use crate::error::{Error, Kind, Result};
use crate::settings::Settings;
use crate::sql::statement::{Query, Set, Show};
use crate::sql::{self, Statement, StatementKind};

pub(crate) mod block;
pub(crate) mod labels;
pub(crate) mod names;
pub(crate) mod planner;
pub(crate) mod rows;

use block::Block;
pub(crate) use block::Write;
use planner::{Planned, Planner};

/// One client's session. Statements run one at a time; a result stream may outlive the call that made it.
pub struct Session {
    pub(crate) engine: Arc<Engine>,
    pub(crate) state: SessionState,
    pub(crate) facts: SessionFacts,
    pub(crate) prepared: HashMap<String, Arc<Prepared>>,
    pub(crate) block: Option<Block>,
    notices: Vec<Notice>,
    parameter_changes: Vec<(String, String)>,
    cancel: CancellationToken,
    progress: Arc<Progress>,
}

/// A statement that was parsed and analysed: what Describe answers, and what Execute runs again and again.
pub struct Prepared {
    pub statement: Statement,
    /// One a parameter `$1` … in order.
    pub parameter_types: Vec<DataType>,
    /// Columns of the result; `None` for statements without one.
    pub columns: Option<SchemaRef>,
}

/// What a statement gave.
pub struct Outcome {
    pub tag: Tag,
    pub rows: Option<Rows>,
}

/// The command tag. With rows, whoever sends them counts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tag {
    /// `SELECT n`, n being the number of rows sent.
    Select,
    /// Whole as it is: `CREATE TABLE`, `INSERT 0 5`, `SHOW`.
    Done(String),
    /// The empty query.
    Empty,
}

/// A result: labels may repeat.
pub struct Rows {
    pub schema: SchemaRef,
    /// Batches have the schema's types; cancelled by dropping it. Keeps its snapshot's lease.
    pub stream: SendableRecordBatchStream,
}

/// A message that is no error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub severity: Severity,
    pub message: String,
    pub hint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Notice,
    Warning,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}

/// What a session is opened with.
pub struct SessionOptions {
    pub user: String,
    /// Number of the backend (`pg_backend_pid()`).
    pub backend_id: i32,
    /// The engine's settings with what start-up options changed.
    pub settings: Settings,
    /// Current database at first; `default` if none.
    pub database: Option<String>,
}

/// What is done so far of the running statement, for a progress display. All counters only grow within a statement.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows that reached the writer or the client.
    pub rows: std::sync::atomic::AtomicU64,
    pub bytes_written: std::sync::atomic::AtomicU64,
    pub files_written: std::sync::atomic::AtomicU64,
}

impl Outcome {
    pub fn done(tag: impl Into<String>) -> Outcome {
        Outcome { tag: Tag::Done(tag.into()), rows: None }
    }
}

/// Settings that PostgreSQL reports to its clients when they change (ParameterStatus).
const REPORTED: [&str; 8] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "IntervalStyle",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

impl Session {
    pub fn new(engine: Arc<Engine>, options: SessionOptions) -> Session {
        let state = engine.session_state(&options.settings);
        let database = options
            .database
            .unwrap_or_else(|| commands::settings::first_of_search_path(options.settings.text("search_path")));
        Session {
            engine,
            state,
            facts: SessionFacts {
                database,
                user: options.user,
                catalog_name: "tycho".to_owned(),
                backend_id: options.backend_id,
                settings: options.settings,
            },
            prepared: HashMap::new(),
            block: None,
            notices: Vec::new(),
            parameter_changes: Vec::new(),
            cancel: CancellationToken::new(),
            progress: Arc::default(),
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.facts.settings
    }

    /// The current database.
    pub fn database(&self) -> &str {
        &self.facts.database
    }

    /// Cancels the statement that runs next, or now, when triggered: a new token is made at each statement's start.
    /// The counters of `progress` start anew. Cancelling acts up to the decision of a commit (SEALED); later the outcome is returned.
    pub fn arm(&mut self) -> CancellationToken {
        self.progress = Arc::default();
        self.cancel = CancellationToken::new();
        self.cancel.clone()
    }

    /// The next statement of a text under the dialect now in force (see `sql::next_statement`).
    pub fn parse(&self, text: &str, offset: usize) -> Result<Option<(Statement, usize)>> {
        sql::next_statement(text, offset, self.facts.settings.dialect())
    }

    /// Analyses a statement without running it. `declared`: types that the client gave for parameters (may be shorter).
    pub async fn prepare(&mut self, statement: Statement, declared: &[Option<DataType>]) -> Result<Arc<Prepared>> {
        if self.transaction_status() == TransactionStatus::Failed && !ends_block(&statement.kind) {
            return Err(failed_block());
        }
        let prepared = commands::prepare::analyse(self, statement, declared).await;
        if prepared.is_err() {
            self.fail();
        }
        prepared.map(Arc::new)
    }

    /// Runs a statement: the whole engine in one function.
    pub async fn run(&mut self, statement: &Statement) -> Result<Outcome> {
        self.run_with(statement, &[]).await
    }

    /// Runs a prepared statement; it is planned anew, so that changed definitions count.
    pub async fn execute(&mut self, prepared: &Prepared, parameters: Vec<ScalarValue>) -> Result<Outcome> {
        self.run_with(&prepared.statement, &parameters).await
    }

    async fn run_with(&mut self, statement: &Statement, parameters: &[ScalarValue]) -> Result<Outcome> {
        if self.transaction_status() == TransactionStatus::Failed && !ends_block(&statement.kind) {
            return Err(failed_block());
        }
        let outcome = self.dispatch(statement, parameters).await;
        if outcome.is_err() {
            self.fail();
        }
        outcome
    }

    async fn dispatch(&mut self, statement: &Statement, parameters: &[ScalarValue]) -> Result<Outcome> {
        use StatementKind as S;
        self.refuse_mixed_dialects(statement)?;
        match &statement.kind {
            S::Empty => Ok(Outcome { tag: Tag::Empty, rows: None }),
            S::Query(query) => commands::query::run(self, statement, query, parameters).await,
            S::Explain(explain) => commands::explain::run(self, explain, parameters).await,
            S::Insert(insert) => commands::insert::run(self, statement, insert, parameters).await,
            S::CreateDatabase(create) => commands::database::create(self, statement, create).await,
            S::DropDatabase { name, if_exists, cascade } => {
                commands::database::drop(self, statement, name, *if_exists, *cascade).await
            }
            S::CreateTable(create) => commands::create_table::run(self, statement, create, parameters).await,
            S::CreateView(create) => commands::view::create(self, statement, create).await,
            S::DropTable { name, if_exists, .. } => {
                commands::drop_table::run(self, statement, name, *if_exists, false).await
            }
            S::DropView { name, if_exists } => commands::drop_table::run(self, statement, name, *if_exists, true).await,
            S::AlterTable { name, action } => commands::alter_table::run(self, statement, name, action).await,
            S::RepairTable { name, mode } => commands::partitions::repair(self, statement, name, *mode).await,
            S::Truncate { name, partition } => {
                commands::partitions::truncate(self, statement, name, partition.as_ref()).await
            }
            S::Vacuum { name, dry_run } => commands::vacuum::run(self, name.as_ref(), *dry_run).await,
            S::Use { database } => commands::database::use_database(self, database).await,
            S::Set(set) => commands::settings::set(self, set),
            S::Show(show) => commands::show::run(self, show).await,
            S::Describe { name, extended, partition } => {
                commands::describe::run(self, name, *extended, partition.as_ref()).await
            }
            S::CreateGeodataLayer(create) => commands::geodata::create(self, statement, create).await,
            S::DropGeodataLayer { name, set, if_exists } => {
                commands::geodata::drop(self, statement, name, set.as_ref(), *if_exists).await
            }
            S::Begin { read_only } => self.begin_block(*read_only),
            S::Commit => self.commit_block().await,
            S::Rollback => self.rollback_block().await,
            S::Savepoint { name } => self.savepoint(statement, &name.value).await,
            S::ReleaseSavepoint { name } => self.release_savepoint(&name.value),
            S::RollbackTo { name } => self.rollback_to_savepoint(&name.value),
            S::Prepare { name, statement } => commands::prepare::prepare(self, name, statement).await,
            S::Execute { name, arguments } => commands::prepare::execute(self, name, arguments).await,
            S::Deallocate { name } => commands::prepare::deallocate(self, name.as_ref()),
            S::Discard => commands::settings::discard(self).await,
            S::NoEffect { tag, notice } => {
                if let Some(notice) = notice {
                    self.notice(notice.clone(), None);
                }
                Ok(Outcome::done(tag.clone()))
            }
        }
    }

    /// Error 42P21, or a notice, for what is written for one dialect and read under the other (`tycho.dialect_conflict`).
    fn refuse_mixed_dialects(&mut self, statement: &Statement) -> Result<()> {
        let mode = self.settings().text("tycho.dialect_conflict").to_owned();
        if mode == "off" {
            return Ok(());
        }
        let conflicts = sql::conflicts::conflicts(statement, self.settings().dialect());
        let Some(first) = conflicts.first() else { return Ok(()) };
        if mode == "error" || (mode != "notice" && !is_read_only(&statement.kind)) {
            return Err(first.error());
        }
        for conflict in &conflicts {
            let error = conflict.error();
            self.notice(error.message, error.hint);
        }
        Ok(())
    }

    /// What statements read now: the block's snapshot with its own changes, or the current one.
    pub(crate) async fn view(&mut self) -> Result<View> {
        match &mut self.block {
            Some(block) => block.view(&self.engine).await,
            None => Ok(self.engine.catalog.snapshot().await?.into()),
        }
    }

    /// Plans a query in a view, under the session's dialect.
    pub(crate) async fn plan(
        &self,
        query: &Query,
        view: &View,
        text: &str,
        parameters: &[Option<DataType>],
    ) -> Result<Planned> {
        let planner = Planner { engine: &self.engine, state: &self.state, facts: &self.facts, view };
        planner.plan(query, self.facts.settings.dialect(), text, parameters).await
    }

    /// Runs what may be cancelled.
    pub(crate) async fn cancellable<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(canceled()),
            result = work => result,
        }
    }

    pub(crate) fn cancel_token(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// A state whose `now()` is this statement's.
    pub(crate) fn statement_state(&self) -> SessionState {
        let mut state = self.state.clone();
        state.mark_start_execution();
        state
    }

    pub(crate) fn notice(&mut self, message: impl Into<String>, hint: Option<String>) {
        self.notices.push(Notice { severity: Severity::Notice, message: message.into(), hint });
    }

    pub(crate) fn warning(&mut self, message: impl Into<String>) {
        self.notices.push(Notice { severity: Severity::Warning, message: message.into(), hint: None });
    }

    /// Sets one of the session's settings, with what follows from it.
    pub(crate) fn set_setting(&mut self, name: &str, value: &str) -> Result<()> {
        self.facts.settings.set(name, value, false)?;
        self.settings_changed(name);
        Ok(())
    }

    /// Rebuilds what settings decide, and notes what clients want to be told.
    pub(crate) fn settings_changed(&mut self, name: &str) {
        self.state = self.engine.session_state(&self.facts.settings);
        if name.eq_ignore_ascii_case("search_path") {
            self.facts.database = commands::settings::first_of_search_path(self.facts.settings.text("search_path"));
        }
        for reported in REPORTED {
            if (reported.eq_ignore_ascii_case(name) || name.is_empty())
                && let Ok(value) = self.facts.settings.show(reported)
            {
                self.parameter_changes.push((reported.to_owned(), value));
            }
        }
    }

    /// Messages since the last call, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Settings that PostgreSQL reports (ParameterStatus) and that changed since the last call.
    pub fn take_parameter_changes(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.parameter_changes)
    }

    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Rolls back what is open.
    pub async fn close(mut self) {
        if let Err(error) = self.rollback_block().await {
            tracing::warn!("a transaction that was open at the end of a session could not be aborted: {error}");
        }
    }
}

/// What a failed block still takes.
fn ends_block(kind: &StatementKind) -> bool {
    matches!(
        kind,
        StatementKind::Commit | StatementKind::Rollback | StatementKind::RollbackTo { .. } | StatementKind::Empty
    )
}

fn failed_block() -> Error {
    Error::new(
        Kind::InFailedTransaction,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
    .with_hint("ROLLBACK, or ROLLBACK TO a savepoint")
}

pub(crate) fn canceled() -> Error {
    Error::new(Kind::Canceled, "canceling statement due to user request")
}

/// Whether a statement only reads, for READ ONLY blocks.
pub(crate) fn is_read_only(kind: &StatementKind) -> bool {
    use StatementKind as S;
    match kind {
        S::Query(_) | S::Show(_) | S::Describe { .. } | S::Empty | S::Use { .. } | S::NoEffect { .. } => true,
        S::Set(Set::Value { .. } | Set::Default { .. } | Set::ResetAll | Set::Transaction { .. }) => true,
        S::Explain(explain) => !explain.analyze || is_read_only(&explain.statement.kind),
        _ => false,
    }
}

/// Names the kinds of SHOW that need no catalog.
pub(crate) fn shows_settings(show: &Show) -> bool {
    matches!(show, Show::Setting { .. } | Show::AllSettings { .. })
}
