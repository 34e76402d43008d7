//! The interactive shell: lines until a `;`, history, commands with a backslash, times.

use std::path::PathBuf;
use std::time::Instant;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use tokio::runtime::Runtime;

use super::console::{Console, Statements};
use super::output::Expanded;
use super::progress::time_text;
use super::script::{self, Quiet, ScriptOptions};
use crate::error::{Error, Kind, Result};
use crate::sql::{self, Dialect};

const HISTORY_LINES: usize = 10_000;

const COMMANDS: &str = "\
  \\d [NAME]       tables of the current database, or one table's columns
  \\dt             tables of the current database
  \\l, \\dn         databases
  \\c DATABASE     make another database the current one
  \\i FILE         run a script
  \\timing         print each statement's time, or stop that (on at first)
  \\x [auto|on|off]  a line for each column instead of one for each row
  \\? , \\q         this help; quit (Ctrl-D too)
A statement ends with `;`. Ctrl-C cancels the running statement, or clears the line.
";

/// What a line with a backslash asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Quit,
    Help,
    Timing,
    Expanded(Option<Expanded>),
    File(PathBuf),
    /// SQL that does the same.
    Sql(String),
    Unknown(String),
}

impl Command {
    fn read(line: &str, dialect: Dialect) -> Command {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (name, argument) = line.split_once(char::is_whitespace).map_or((line, ""), |(n, a)| (n, a.trim()));
        match (name, argument) {
            ("\\q" | "\\quit", _) => Command::Quit,
            ("\\?" | "\\h" | "\\help", _) => Command::Help,
            ("\\timing", _) => Command::Timing,
            ("\\x", "") => Command::Expanded(None),
            ("\\x", "on") => Command::Expanded(Some(Expanded::On)),
            ("\\x", "off") => Command::Expanded(Some(Expanded::Off)),
            ("\\x", "auto") => Command::Expanded(Some(Expanded::Auto)),
            ("\\i", file) if !file.is_empty() => Command::File(file.into()),
            ("\\d" | "\\dt", "") => Command::Sql("SHOW TABLES".to_owned()),
            ("\\d" | "\\d+", table) if !table.is_empty() => {
                Command::Sql(format!("DESCRIBE {}{table}", if name == "\\d+" { "EXTENDED " } else { "" }))
            }
            ("\\dt", pattern) => Command::Sql(format!("SHOW TABLES LIKE '{}'", pattern.replace('\'', "''"))),
            ("\\l" | "\\dn", _) => Command::Sql("SHOW DATABASES".to_owned()),
            ("\\c", database) if !database.is_empty() => Command::Sql(format!("USE {}", quoted(database, dialect))),
            _ => Command::Unknown(line.to_owned()),
        }
    }
}

fn quoted(name: &str, dialect: Dialect) -> String {
    let quote = if dialect == Dialect::Spark { "`" } else { "\"" };
    format!("{quote}{}{quote}", name.replace(quote, &quote.repeat(2)))
}

struct Shell<'a, S> {
    runtime: &'a Runtime,
    session: &'a mut S,
    console: &'a mut Console,
    options: ScriptOptions,
    timing: bool,
}

/// Reads and runs statements until the user leaves. Errors: the terminal cannot be read.
pub(super) fn run<S: Statements>(
    runtime: &Runtime,
    session: &mut S,
    console: &mut Console,
    options: ScriptOptions,
) -> Result<()> {
    let config = rustyline::Config::builder().max_history_size(HISTORY_LINES).map_err(terminal)?.build();
    let mut editor = DefaultEditor::with_config(config).map_err(terminal)?;
    let history = history_file();
    if let Some(file) = &history {
        // There is none at first; one that cannot be read is no reason not to work.
        if let Err(error) = editor.load_history(file) {
            tracing::debug!("no history from {}: {error}", file.display());
        }
    }
    eprintln!("tycho {} — \\? for help, \\q to quit", env!("CARGO_PKG_VERSION"));
    let mut shell = Shell { runtime, session, console, options, timing: true };
    let mut pending = String::new();
    loop {
        match editor.readline(if pending.is_empty() { "tycho=> " } else { "tycho-> " }) {
            Ok(line) => {
                if pending.is_empty() && line.trim_start().starts_with('\\') {
                    remember(&mut editor, &line);
                    if !shell.command(&line)? {
                        break;
                    }
                    continue;
                }
                if !pending.is_empty() {
                    pending.push('\n');
                }
                pending.push_str(&line);
                if pending.trim().is_empty() {
                    pending.clear();
                } else if sql::is_complete(&pending, shell.session.settings().dialect()) {
                    remember(&mut editor, &pending);
                    shell.statements(&std::mem::take(&mut pending));
                }
            }
            Err(ReadlineError::Interrupted) => pending.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(terminal(error)),
        }
    }
    if let Some(file) = &history
        && let Err(error) = save_history(&mut editor, file)
    {
        tracing::warn!("cannot keep the history in {}: {error}", file.display());
    }
    Ok(())
}

impl<S: Statements> Shell<'_, S> {
    /// Whether the shell goes on.
    fn command(&mut self, line: &str) -> Result<bool> {
        match Command::read(line, self.session.settings().dialect()) {
            Command::Quit => return Ok(false),
            Command::Help => self.console.write(COMMANDS.as_bytes())?,
            Command::Timing => {
                self.timing = !self.timing;
                self.console.write(format!("Timing is {}.\n", if self.timing { "on" } else { "off" }).as_bytes())?;
            }
            Command::Expanded(asked) => {
                self.console.expanded = asked.unwrap_or(match self.console.expanded {
                    Expanded::On => Expanded::Off,
                    Expanded::Off | Expanded::Auto => Expanded::On,
                });
                let name = match self.console.expanded {
                    Expanded::On => "on",
                    Expanded::Off => "off",
                    Expanded::Auto => "used where rows are wider than the terminal",
                };
                self.console.write(format!("Expanded display is {name}.\n").as_bytes())?;
            }
            Command::File(file) => match std::fs::read_to_string(&file) {
                Ok(text) => self.statements(&text),
                Err(e) => {
                    let error = Error::new(Kind::FileMissing, format!("cannot read {}: {e}", file.display()));
                    self.console.report(&error, "");
                }
            },
            Command::Sql(text) => self.statements(&text),
            Command::Unknown(line) => {
                let error =
                    Error::new(Kind::Syntax, format!("unknown command `{line}`")).with_hint("\\? lists the commands");
                self.console.report(&error, "");
            }
        }
        Ok(true)
    }

    fn statements(&mut self, text: &str) {
        let began = Instant::now();
        self.runtime.block_on(script::run(self.session, self.console, text, &self.options, &mut Quiet));
        if self.timing {
            let _ = self.console.write(format!("{}\n", time_text(began.elapsed())).as_bytes());
        }
    }
}

fn remember(editor: &mut DefaultEditor, text: &str) {
    // It fails for a text that is there already, which is what is wanted.
    let _ = editor.add_history_entry(text);
}

fn terminal(error: ReadlineError) -> Error {
    Error::new(Kind::Io, format!("the terminal cannot be read: {error}")).with_source(error)
}

/// `$XDG_STATE_HOME/tycho/history`, by default below `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    Some(state.join("tycho/history"))
}

fn save_history(editor: &mut DefaultEditor, file: &std::path::Path) -> rustyline::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    editor.save_history(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_short_for_sql() {
        let sql = |text: &str| Command::Sql(text.to_owned());
        for (line, command) in [
            ("\\d", sql("SHOW TABLES")),
            ("\\d lake.flights;", sql("DESCRIBE lake.flights")),
            ("\\d+ lake.flights", sql("DESCRIBE EXTENDED lake.flights")),
            ("\\dt fl*", sql("SHOW TABLES LIKE 'fl*'")),
            ("  \\l ", sql("SHOW DATABASES")),
            ("\\c my`db", sql("USE `my``db`")),
            ("\\q", Command::Quit),
            ("\\x", Command::Expanded(None)),
            ("\\x auto", Command::Expanded(Some(Expanded::Auto))),
            ("\\i a file.sql", Command::File("a file.sql".into())),
            ("\\i", Command::Unknown("\\i".to_owned())),
            ("\\zz 1", Command::Unknown("\\zz 1".to_owned())),
        ] {
            assert_eq!(Command::read(line, Dialect::Spark), command, "{line}");
        }
        assert_eq!(Command::read("\\c a", Dialect::Postgres), sql("USE \"a\""));
    }
}
