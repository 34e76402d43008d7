//! The command line: `tycho serve`, `tycho sql`, `tycho demo`, `tycho check`.

mod check;
mod console;
mod demo;
mod output;
mod progress;
mod report;
mod script;
mod serve;
mod shell;

#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Flags};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::session::{Session, SessionOptions};
use crate::sql::Dialect;
use crate::wire::pg_catalog::PgCatalog;
use console::{Console, ShowProgress};
use output::Format;
use script::{Quiet, ScriptOptions};

/// Stack of a worker thread: plans are trees that are walked by recursion, and long scripts make deep ones.
const THREAD_STACK_BYTES: usize = 8 << 20;

/// A SQL query engine with an external-table catalog, served over the PostgreSQL wire protocol
#[derive(Debug, Parser)]
#[command(name = "tycho", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Args)]
struct Common {
    /// Configuration file; by default ./tycho.toml, if there is one [env: TYCHO_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder or s3:// URL that holds the tables; by default ./tycho-warehouse [env: TYCHO_WAREHOUSE]
    #[arg(long, global = true, value_name = "DIR_OR_URL")]
    warehouse: Option<String>,
    /// sqlite:PATH or postgres://…; by default in the warehouse folder [env: TYCHO_CATALOG]
    #[arg(long, global = true, value_name = "URL")]
    catalog: Option<String>,
    /// Change a setting, such as tycho.memory_limit=4GB (several times) [env: TYCHO_…]
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a lake from real data, overwrite some of it, and show how to connect
    Demo {
        /// Folder for the lake and its data
        #[arg(long, default_value = "tycho-demo")]
        dir: PathBuf,
    },
    /// Serve PostgreSQL clients until SIGTERM
    Serve {
        /// Address and port; by default 127.0.0.1:5439 [env: TYCHO_LISTEN]
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Option<String>,
    },
    /// Run SQL, from the command line, a file or the keyboard
    Sql(SqlArguments),
    /// Read the configuration, open the catalog, and say what is wrong
    Check,
}

#[derive(Debug, Clone, Args)]
struct SqlArguments {
    /// SQL to run (several times)
    #[arg(short = 'c', long = "command", value_name = "SQL", allow_hyphen_values = true)]
    commands: Vec<String>,
    /// Script to run after what -c gives; - is the standard input (several times)
    #[arg(short, long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Value for ${NAME} in the SQL (several times)
    #[arg(long = "var", visible_alias = "hivevar", value_name = "NAME=VALUE", value_parser = pair)]
    variables: Vec<(String, String)>,
    /// How rows are printed
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    /// Write rows to a file instead of the standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    to_file: Option<PathBuf>,
    /// Go on after a failed statement; the exit code is 1 all the same
    #[arg(long)]
    keep_going: bool,
    /// When to show the progress of a long statement
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    progress: ShowProgress,
    /// Current database at first
    #[arg(long)]
    database: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// Runs the command line and returns the process's exit code: 0, 1 for a failure, 2 for bad usage.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    match run(cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprint!("{}", report::error_text(&error, ""));
            ExitCode::FAILURE
        }
    }
}

/// TYCHO_LOG, else RUST_LOG, says what is logged (`info`, `tycho=debug,warn`); by default warnings.
fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let asked = std::env::var("TYCHO_LOG").or_else(|_| std::env::var("RUST_LOG")).unwrap_or_default();
    let asked = if asked.trim().is_empty() { "warn" } else { asked.as_str() };
    let filter = EnvFilter::try_new(asked).unwrap_or_else(|e| {
        eprintln!("WARNING: the log filter `{asked}` is not understood: {e}");
        EnvFilter::new("warn")
    });
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
}

/// Whether all went well; what did not was printed.
fn run(cli: Cli) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // More than cores: a thread that computes for long must not keep a cancel request or another client waiting.
        .worker_threads(std::thread::available_parallelism().map_or(4, |cores| cores.get() * 2 + 2))
        .thread_stack_size(THREAD_STACK_BYTES)
        .build()
        .map_err(|e| Error::new(Kind::Internal, format!("no threads: {e}")).with_source(e))?;
    let mut flags = Flags {
        config: cli.common.config,
        warehouse: cli.common.warehouse,
        catalog: cli.common.catalog,
        listen: None,
        set: cli.common.set,
    };
    match cli.command {
        Command::Demo { dir } => {
            if flags.warehouse.is_some() {
                return Err(Error::new(
                    Kind::Configuration,
                    "the demo's folder is its warehouse: use --dir, not --warehouse",
                ));
            }
            flags.warehouse = Some(dir.display().to_string());
            run_demo(&runtime, &configuration(&flags, Dialect::Spark)?)
        }
        Command::Serve { listen } => {
            flags.listen = listen;
            let config = configuration(&flags, Dialect::Postgres)?;
            runtime.block_on(serve::run(&config)).map(|()| true)
        }
        Command::Sql(arguments) => run_sql(&runtime, &configuration(&flags, Dialect::Spark)?, arguments),
        Command::Check => {
            let config = configuration(&flags, Dialect::Postgres)?;
            Ok(runtime.block_on(check::run(&config)))
        }
    }
}

fn configuration(flags: &Flags, dialect: Dialect) -> Result<Config> {
    // A variable that is not UTF-8 is none of ours.
    let environment: Vec<(String, String)> =
        std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?))).collect();
    let config = Config::load(flags, &environment, dialect)?;
    for warning in &config.warnings {
        eprintln!("WARNING: {warning}");
    }
    Ok(config)
}

/// The engine with all rooms plugged in.
async fn open(config: &Config) -> Result<Arc<Engine>> {
    let engine = Engine::open(config).await?;
    engine.set_system_tables(Arc::new(PgCatalog::default()));
    Ok(engine)
}

async fn session(config: &Config, database: Option<String>) -> Result<Session> {
    let engine = open(config).await?;
    let user = std::env::var("USER").ok().filter(|u| !u.is_empty()).unwrap_or_else(|| "tycho".to_owned());
    let mut settings = engine.settings.for_session();
    settings.set_fact("session_authorization", &user)?;
    let options = SessionOptions { user, backend_id: std::process::id() as i32, settings, database };
    Ok(Session::new(engine, options))
}

fn run_demo(runtime: &tokio::runtime::Runtime, config: &Config) -> Result<bool> {
    let folder = config.local_warehouse().ok_or_else(|| {
        Error::new(
            Kind::Configuration,
            format!("the demo makes its lake in a local folder, not in {}", config.warehouse),
        )
    })?;
    let mut console = Console::new(Format::Table, None, ShowProgress::Auto)?;
    demo::copy_data(&folder)?;
    let mut session = runtime.block_on(session(config, None))?;
    let succeeded = runtime.block_on(demo::run(&mut session, &mut console, &folder));
    runtime.block_on(session.close());
    Ok(succeeded)
}

fn run_sql(runtime: &tokio::runtime::Runtime, config: &Config, arguments: SqlArguments) -> Result<bool> {
    let mut console = Console::new(arguments.output, arguments.to_file.as_deref(), arguments.progress)?;
    let mut scripts = arguments.commands;
    let from_keyboard = scripts.is_empty() && arguments.files.is_empty() && std::io::stdin().is_terminal();
    let mut files = arguments.files;
    if scripts.is_empty() && files.is_empty() && !from_keyboard {
        files.push("-".into());
    }
    for file in &files {
        scripts.push(read_script(file)?);
    }
    let options =
        ScriptOptions { variables: arguments.variables.into_iter().collect(), keep_going: arguments.keep_going };
    let mut session = runtime.block_on(session(config, arguments.database))?;
    let mut succeeded = true;
    if from_keyboard {
        shell::run(runtime, &mut session, &mut console, options.clone())?;
    }
    for script in &scripts {
        succeeded &= runtime.block_on(script::run(&mut session, &mut console, script, &options, &mut Quiet));
        if !succeeded && !options.keep_going {
            break;
        }
    }
    runtime.block_on(session.close());
    Ok(succeeded)
}

fn read_script(file: &std::path::Path) -> Result<String> {
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text).map(|_| text),
        false => std::fs::read_to_string(file),
    };
    read.map_err(|e| Error::new(Kind::FileMissing, format!("cannot read {}: {e}", file.display())).with_source(e))
}
