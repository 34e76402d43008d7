//! A `tycho serve` of the test's own, on a free port over a warehouse of its own, and `tycho sql` beside it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

pub const TYCHO: &str = env!("CARGO_BIN_EXE_tycho");

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    pub port: u16,
    pub warehouse: PathBuf,
    /// Keeps the folder as long as the server.
    _dir: Option<TempDir>,
}

impl Server {
    /// A server over a new, empty warehouse.
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    pub fn start_with(arguments: &[&str]) -> Server {
        // Not a hidden folder: hidden ones are left out of listings.
        let dir = tempfile::Builder::new().prefix("tycho").tempdir().expect("a folder for the warehouse");
        let mut server = Server::over(dir.path(), arguments);
        server._dir = Some(dir);
        server
    }

    /// A server over a warehouse that is there.
    pub fn over(warehouse: &Path, arguments: &[&str]) -> Server {
        let mut child = Command::new(TYCHO)
            .args(["serve", "--listen", "127.0.0.1:0", "--warehouse"])
            .arg(warehouse)
            .args(arguments)
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .expect("tycho serve starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its first line");
        let port = line.trim().rsplit(':').next().and_then(|p| p.parse().ok());
        let port = port.unwrap_or_else(|| panic!("`listening on ADDR:PORT` expected, got {line:?}"));
        Server { child, port, warehouse: warehouse.to_owned(), _dir: None }
    }

    pub fn url(&self) -> String {
        format!("postgres://tycho@127.0.0.1:{}/tycho", self.port)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server is killed");
        self.child.wait().expect("the server has ended");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub async fn connect(&self) -> tokio_postgres::Client {
        let (client, connection) =
            tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await.expect("a connection");
        tokio::spawn(connection);
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `tycho sql` over a warehouse, not yet started.
pub fn sql(warehouse: &Path, statements: &str) -> Command {
    sql_as("csv", warehouse, statements)
}

/// As `sql`, in another output format.
pub fn sql_as(format: &str, warehouse: &Path, statements: &str) -> Command {
    let mut command = Command::new(TYCHO);
    command.args(["sql", "--warehouse"]).arg(warehouse).args(["--output", format, "-c", statements]);
    command.stdin(Stdio::null());
    command
}

/// Runs statements, expects success, and returns what was printed.
pub fn run_sql(warehouse: &Path, statements: &str) -> String {
    let output = sql(warehouse, statements).output().expect("tycho sql runs");
    assert!(output.status.success(), "{statements}\n{}", errors(&output));
    String::from_utf8(output.stdout).expect("text")
}

pub fn errors(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// All files below a folder but the catalog's own, relative to it, sorted.
pub fn files_below(folder: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.retain(|path| !path.starts_with(".tycho/"));
    found.sort();
    found
}
