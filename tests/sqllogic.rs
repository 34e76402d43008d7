//! `sql-tests/*.slt`, each over the wire against a server of its own.
//!
//! `{{dir}}` and `{{warehouse}}` stand for an empty folder of the file's own and for the server's warehouse.

use std::path::Path;

use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use tokio_postgres::SimpleQueryMessage;

use crate::server::Server;

struct Connection(tokio_postgres::Client);

/// tokio-postgres says only `db error`; a failed record must say which.
#[derive(Debug)]
struct Failure(tokio_postgres::Error);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_db_error() {
            Some(e) => {
                write!(f, "{}: {}", e.code().code(), e.message())?;
                e.hint().map_or(Ok(()), |hint| write!(f, " ({hint})"))
            }
            None => self.0.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

#[async_trait::async_trait]
impl AsyncDB for Connection {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let messages = self.0.simple_query(sql).await.map_err(Failure)?;
        let mut columns = None;
        let mut rows = Vec::new();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(description) => columns = Some(description.len()),
                SimpleQueryMessage::Row(row) => {
                    let text = |i| match row.get(i) {
                        None => "NULL".to_owned(),
                        Some("") => "(empty)".to_owned(),
                        Some(text) => text.to_owned(),
                    };
                    rows.push((0..row.len()).map(text).collect());
                }
                SimpleQueryMessage::CommandComplete(count) if columns.is_none() => {
                    return Ok(DBOutput::StatementComplete(count));
                }
                _ => {}
            }
        }
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; columns.unwrap_or(0)], rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "tycho"
    }

    fn error_sql_state(error: &Failure) -> Option<String> {
        error.0.code().map(|code| code.code().to_owned())
    }
}

fn run_file(path: &Path) -> Result<(), String> {
    let server = Server::start();
    let dir = tempfile::tempdir().expect("a folder for the file");
    let script = std::fs::read_to_string(path)
        .expect("the file")
        .replace("{{dir}}", &dir.path().to_string_lossy())
        .replace("{{warehouse}}", &server.warehouse.to_string_lossy());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let url = server.url();
    runtime.block_on(async {
        let mut runner = Runner::new(|| async {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.map_err(Failure)?;
            tokio::spawn(connection);
            Ok(Connection(client))
        });
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        runner.run_script_with_name_async(&script, name.as_str()).await.map_err(|e| e.to_string())
    })
}

/// `TEST_TYCHO_SLT=name` runs only files whose name contains it.
#[test]
fn sql_tests_over_the_wire() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql-tests");
    let wanted = std::env::var("TEST_TYCHO_SLT").unwrap_or_default();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("sql-tests")
        .map(|entry| entry.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "slt") && p.to_string_lossy().contains(&wanted))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no file in sql-tests contains {wanted}");
    let failures: Vec<String> =
        files.iter().filter_map(|f| run_file(f).err().map(|e| format!("{}\n{e}", f.display()))).collect();
    assert!(failures.is_empty(), "{} of {} files fail\n\n{}", failures.len(), files.len(), failures.join("\n\n"));
}
