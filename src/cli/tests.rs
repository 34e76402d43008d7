use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use clap::CommandFactory;
use datafusion::arrow::array::{ArrayRef, Int64Array};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::console::Statements;
use super::*;
use crate::session::{Notice, Outcome, Progress, Rows, Severity, Tag};
use crate::settings::Settings;
use crate::sql::{self, Statement, StatementKind};

/// A session that records what it is asked: `fail` fails at its second byte, `select` gives a row, all else a tag.
struct Fake {
    settings: Settings,
    ran: Vec<String>,
    notices: Vec<Notice>,
    failed: usize,
}

#[async_trait]
impl Statements for Fake {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Cuts at `;` alone; a text with `syntax` in it does not parse.
    fn parse(&self, text: &str, offset: usize) -> Result<Option<(Statement, usize)>> {
        let rest = &text[offset..];
        if rest.trim().is_empty() {
            return Ok(None);
        }
        let start = offset + rest.len() - rest.trim_start().len();
        let end = text[start..].find(';').map_or(text.len(), |n| start + n);
        let own = &text[start..end];
        if own.contains("syntax") {
            return Err(Error::new(Kind::Syntax, "cannot read this").at(start));
        }
        let kind = if own.is_empty() { StatementKind::Empty } else { StatementKind::Discard };
        let statement = Statement { kind, text: own.to_owned(), offset: start, parameters: 0 };
        Ok(Some((statement, (end + 1).min(text.len()))))
    }

    fn arm(&mut self) -> CancellationToken {
        CancellationToken::new()
    }

    fn progress(&self) -> Arc<Progress> {
        Arc::default()
    }

    async fn run(&mut self, statement: &Statement) -> Result<Outcome> {
        self.ran.push(statement.text.clone());
        match statement.text.as_str() {
            "fail" => {
                Err(Error::new(Kind::DivisionByZero, "division by zero").at(1).with_hint("divide by something else"))
            }
            "select" => {
                let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7]));
                let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
                let schema = batch.schema();
                let stream = futures::stream::iter([Ok(batch)]);
                let stream = Box::pin(RecordBatchStreamAdapter::new(schema.clone(), stream));
                Ok(Outcome { tag: Tag::Select, rows: Some(Rows { schema, stream }) })
            }
            text => Ok(Outcome { tag: Tag::Done(text.to_uppercase()), rows: None }),
        }
    }

    fn fail(&mut self) {
        self.failed += 1;
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

struct Ran {
    succeeded: bool,
    statements: Vec<String>,
    out: String,
    err: String,
}

async fn run_script(text: &str, format: Format, options: ScriptOptions) -> Ran {
    let notices = vec![Notice { severity: Severity::Warning, message: "mind".into(), hint: Some("the gap".into()) }];
    let mut fake = Fake { settings: Settings::new(), ran: Vec::new(), notices, failed: 0 };
    let (out, err) = (Page::default(), Page::default());
    let mut console = Console::over(Box::new(out.clone()), Box::new(err.clone()), format);
    let succeeded = script::run(&mut fake, &mut console, text, &options, &mut Quiet).await;
    Ran { succeeded, statements: fake.ran, out: out.text(), err: err.text() }
}

fn options(variables: &[(&str, &str)], keep_going: bool) -> ScriptOptions {
    let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    ScriptOptions { variables, keep_going }
}

#[tokio::test]
async fn statements_run_in_order_and_print_what_they_give() {
    let ran = run_script("create x;\nselect;\n;", Format::Table, options(&[], false)).await;
    assert!(ran.succeeded);
    assert_eq!(ran.statements, ["create x", "select"]);
    assert_eq!(ran.out, "CREATE X\n n\n---\n 7\n(1 row)\n\n");
    assert_eq!(ran.err, "WARNING: mind\nHINT: the gap\n");
    let ran = run_script("create x; select", Format::Csv, options(&[], false)).await;
    assert_eq!(ran.out, "n\n7\n");
}

#[tokio::test]
async fn the_first_failure_ends_a_script_and_is_placed_in_it() {
    let ran = run_script("one;\n  fail; two", Format::Table, options(&[], false)).await;
    assert!(!ran.succeeded);
    assert_eq!(ran.statements, ["one", "fail"]);
    let error = "ERROR [22012]: division by zero\nline 2, column 4\nLINE 2:   fail; two\n           ^\nHINT: divide by something else\n";
    assert!(ran.err.contains(error), "{}", ran.err);
}

#[tokio::test]
async fn keep_going_runs_the_rest_and_still_fails() {
    let ran = run_script("fail; syntax here; two; syntax", Format::Table, options(&[], true)).await;
    assert!(!ran.succeeded);
    assert_eq!(ran.statements, ["fail", "two"]);
    assert_eq!(ran.err.matches("ERROR [42601]: cannot read this").count(), 2);
}

#[tokio::test]
async fn variables_are_replaced_before_anything_is_read() {
    let ran = run_script("load ${day};", Format::Table, options(&[("day", "2001-01-05")], false)).await;
    assert_eq!(ran.statements, ["load 2001-01-05"]);
    let ran = run_script("one; load ${day};", Format::Table, options(&[], true)).await;
    assert!(!ran.succeeded && ran.statements.is_empty());
    assert!(ran.err.contains("`day`"), "{}", ran.err);
}

#[tokio::test]
async fn the_first_line_says_the_dialect() {
    let ran = run_script("-- tycho: dialect=spark\nselect", Format::Hive, options(&[], false)).await;
    assert_eq!(ran.statements[0], "SET sql_dialect = spark");
    assert!(ran.succeeded);
}

#[tokio::test]
async fn a_parquet_file_holds_one_result() {
    let ran = run_script("select; select", Format::Parquet, options(&[], false)).await;
    assert!(!ran.succeeded);
    assert!(ran.err.contains("holds one result"), "{}", ran.err);
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
    let parse = |line: &str| Cli::try_parse_from(line.split(' '));
    let cli = parse("tycho sql -c one -c two --var a=1 --hivevar b=x=y --warehouse /w --set tycho.lease=5s").unwrap();
    assert_eq!(cli.common.warehouse.as_deref(), Some("/w"));
    assert_eq!(cli.common.set, [("tycho.lease".to_owned(), "5s".to_owned())]);
    let Command::Sql(sql) = cli.command else { panic!("not sql") };
    assert_eq!(sql.commands, ["one", "two"]);
    assert_eq!(sql.variables, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "x=y".to_owned())]);
    assert_eq!(parse("tycho --warehouse /w serve").unwrap().common.warehouse.as_deref(), Some("/w"));
    for wrong in
        ["tycho", "tycho sql --var a", "tycho jobs", "tycho sql --server postgres://x", "tycho sql --output xml"]
    {
        assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong}");
    }
}

/// The demo must read as the grammar reads it, variables replaced, before it is ever run.
#[test]
fn the_demo_parses() {
    let variables = options(&[("data", "/demo/data"), ("lake", "/demo/lake")], false).variables;
    let text = sql::substitute::substitute(demo::SCRIPT, &variables).unwrap();
    assert_eq!(sql::dialect::pragma(&text).unwrap(), Some(Dialect::Spark));
    let (mut offset, mut count) = (0, 0);
    loop {
        match sql::next_statement(&text, offset, Dialect::Spark) {
            Ok(Some((_, next))) => (offset, count) = (next, count + 1),
            Ok(None) => break,
            Err(error) => panic!("{}", report::error_text(&error, &text)),
        }
    }
    assert!(count > 15, "{count}");
}
