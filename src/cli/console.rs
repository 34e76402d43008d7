//! One statement at the console: runs it, prints its rows or its tag, its notices, and progress meanwhile.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use async_trait::async_trait;
use clap::ValueEnum;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::output::{self, Expanded, Format, Layout, value::Style};
use super::progress::ProgressLine;
use super::report;
use crate::error::{Error, Kind, Result};
use crate::session::{Notice, Outcome, Progress, Rows, Session, Tag};
use crate::settings::Settings;
use crate::sql::Statement;

/// What the command line needs of a session, so that scripts can be tested without an engine.
#[async_trait]
pub(super) trait Statements: Send {
    fn settings(&self) -> &Settings;
    fn parse(&self, text: &str, offset: usize) -> Result<Option<(Statement, usize)>>;
    fn arm(&mut self) -> CancellationToken;
    fn progress(&self) -> Arc<Progress>;
    async fn run(&mut self, statement: &Statement) -> Result<Outcome>;
    fn fail(&mut self);
    fn take_notices(&mut self) -> Vec<Notice>;
}

#[async_trait]
impl Statements for Session {
    fn settings(&self) -> &Settings {
        Session::settings(self)
    }
    fn parse(&self, text: &str, offset: usize) -> Result<Option<(Statement, usize)>> {
        Session::parse(self, text, offset)
    }
    fn arm(&mut self) -> CancellationToken {
        Session::arm(self)
    }
    fn progress(&self) -> Arc<Progress> {
        Session::progress(self)
    }
    async fn run(&mut self, statement: &Statement) -> Result<Outcome> {
        Session::run(self, statement).await
    }
    fn fail(&mut self) {
        Session::fail(self);
    }
    fn take_notices(&mut self) -> Vec<Notice> {
        Session::take_notices(self)
    }
}

/// When progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ShowProgress {
    /// If stderr is a terminal
    Auto,
    Always,
    Never,
}

/// Where rows and messages go, and how rows look.
pub(super) struct Console {
    pub out: Box<dyn Write + Send>,
    pub err: Box<dyn Write + Send>,
    pub format: Format,
    pub expanded: Expanded,
    /// Rows go to a terminal: its width is asked for each result, since it changes.
    pub out_is_terminal: bool,
    pub progress: bool,
    /// A Parquet file was written: there is no room for a second.
    wrote_file: bool,
}

impl Console {
    /// Rows go to `file` if there is one, else to stdout.
    pub(super) fn new(format: Format, file: Option<&std::path::Path>, progress: ShowProgress) -> Result<Console> {
        let out_is_terminal = file.is_none() && std::io::stdout().is_terminal();
        if format == Format::Parquet && out_is_terminal {
            let message = "a Parquet file is not for the terminal";
            return Err(
                Error::new(Kind::Configuration, message).with_hint("add --to-file FILE, or redirect the output")
            );
        }
        let out: Box<dyn Write + Send> =
            match file {
                None => Box::new(std::io::stdout()),
                Some(file) => Box::new(std::fs::File::create(file).map_err(|e| {
                    Error::new(Kind::Io, format!("cannot write {}: {e}", file.display())).with_source(e)
                })?),
            };
        let progress = match progress {
            ShowProgress::Auto => std::io::stderr().is_terminal(),
            ShowProgress::Always => true,
            ShowProgress::Never => false,
        };
        Ok(Console { progress, out_is_terminal, ..Console::over(out, Box::new(std::io::stderr()), format) })
    }

    /// Over any two writers, without progress.
    pub(super) fn over(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>, format: Format) -> Console {
        Console {
            out,
            err,
            format,
            expanded: Expanded::Auto,
            out_is_terminal: false,
            progress: false,
            wrote_file: false,
        }
    }

    /// Prints an error that happened in `script`.
    pub(super) fn report(&mut self, error: &Error, script: &str) {
        let _ = self.err.write_all(report::error_text(error, script).as_bytes());
    }

    /// Runs one statement and prints all that comes of it but its error. Ctrl-C and SIGTERM cancel it.
    pub(super) async fn execute<S: Statements>(&mut self, session: &mut S, statement: &Statement) -> Result<()> {
        let token = session.arm();
        let _interrupts = Interrupts::cancel(token.clone());
        let progress = self.progress.then(|| ProgressLine::start(session.progress()));
        let outcome = session.run(statement).await;
        let result = match outcome {
            Ok(Outcome { rows: Some(rows), .. }) => {
                let printed = self.print_rows(session.settings(), rows, progress.as_ref(), &token).await;
                if printed.is_err() {
                    session.fail();
                }
                printed
            }
            Ok(Outcome { tag: Tag::Done(tag), .. }) => {
                drop(progress);
                if self.format == Format::Table { self.write(format!("{tag}\n").as_bytes()) } else { Ok(()) }
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        for notice in session.take_notices() {
            let _ = self.err.write_all(report::notice_text(&notice).as_bytes());
        }
        result
    }

    async fn print_rows(
        &mut self,
        settings: &Settings,
        mut rows: Rows,
        progress: Option<&ProgressLine>,
        token: &CancellationToken,
    ) -> Result<()> {
        if self.format == Format::Parquet && std::mem::replace(&mut self.wrote_file, true) {
            let message = "a Parquet file holds one result, and this script has a second";
            return Err(Error::new(Kind::FeatureNotSupported, message).with_hint("write one file a run"));
        }
        let width = if self.out_is_terminal { comfy_table::Table::new().width().map(usize::from) } else { None };
        let values = Style { time_zone: settings.text("TimeZone").to_owned() };
        let layout = Layout { format: self.format, expanded: self.expanded, width, values };
        let mut sink = output::sink(&layout, rows.schema.clone())?;
        let mut bytes = Vec::new();
        let mut count = 0;
        sink.begin(&mut bytes)?;
        loop {
            let batch = tokio::select! {
                batch = rows.stream.next() => batch,
                () = token.cancelled() => {
                    return Err(Error::new(Kind::Canceled, "canceling statement due to user request"));
                }
            };
            match batch {
                Some(batch) => {
                    let batch = batch.map_err(Error::from)?;
                    count += batch.num_rows() as u64;
                    sink.batch(&batch, &mut bytes)?;
                }
                None => break,
            }
            self.drain(&mut bytes, progress)?;
        }
        sink.finish(count, &mut bytes)?;
        if let Some(progress) = progress {
            progress.stop();
        }
        self.drain(&mut bytes, progress)
    }

    fn drain(&mut self, bytes: &mut Vec<u8>, progress: Option<&ProgressLine>) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(progress) = progress.filter(|_| self.out_is_terminal) {
            progress.stop();
        }
        self.write(bytes)?;
        bytes.clear();
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.out.write_all(bytes).and_then(|()| self.out.flush());
        written.map_err(|e| Error::new(Kind::Io, format!("cannot write the output: {e}")).with_source(e))
    }
}

/// Ends the statement of a token at Ctrl-C or SIGTERM, until dropped.
struct Interrupts(tokio::task::JoinHandle<()>);

impl Interrupts {
    fn cancel(token: CancellationToken) -> Interrupts {
        Interrupts(tokio::spawn(async move {
            interrupted().await;
            token.cancel();
        }))
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits for Ctrl-C or SIGTERM. Never, if the system cannot say.
pub(super) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be watched; Ctrl-C ends the process at once");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
