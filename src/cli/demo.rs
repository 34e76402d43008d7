//! `tycho demo`: copies the demo's data into a folder, and runs `demo/demo.sql` there as a user would.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Instant;

use super::console::{Console, Statements};
use super::progress::time_text;
use super::script::{self, ScriptOptions, Watcher};
use crate::error::{Error, Kind, Result};
use crate::sql::Statement;

/// The script, as it is printed and run.
pub(super) const SCRIPT: &str = include_str!("../../demo/demo.sql");

/// Below the demo's folder: path and content.
const FILES: &[(&str, &[u8])] = &[
    ("data/flights/2001-01.parquet", include_bytes!("../../demo/data/flights/2001-01.parquet")),
    ("data/late/2001-02-03.parquet", include_bytes!("../../demo/data/late/2001-02-03.parquet")),
    ("data/airports/airports.csv", include_bytes!("../../demo/data/airports/airports.csv")),
    ("data/states/us_state.parquet", include_bytes!("../../demo/data/states/us_state.parquet")),
    ("data/places/us_place.parquet", include_bytes!("../../demo/data/places/us_place.parquet")),
    ("data/LICENCES.txt", include_bytes!("../../demo/data/LICENCES.txt")),
];

/// Writes the data files that are not there yet, or not whole.
pub(super) fn copy_data(folder: &Path) -> Result<()> {
    for (name, content) in FILES {
        let path = folder.join(name);
        if std::fs::metadata(&path).is_ok_and(|m| m.len() == content.len() as u64) {
            continue;
        }
        let write = || -> std::io::Result<()> {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(&path, content)
        };
        write().map_err(|e| Error::new(Kind::Io, format!("cannot write {}: {e}", path.display())).with_source(e))?;
    }
    Ok(())
}

/// Runs the script in `folder` (absolute), printing as it goes. Returns whether all of it succeeded.
pub(super) async fn run<S: Statements>(session: &mut S, console: &mut Console, folder: &Path) -> bool {
    // As it stands within quotes in Spark's SQL.
    let shown = folder.to_string_lossy().trim_end_matches('/').replace('\\', "\\\\").replace('\'', "\\'");
    let variables = [("data", format!("{shown}/data")), ("lake", format!("{shown}/lake"))];
    let options = ScriptOptions {
        variables: variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        keep_going: false,
    };
    let mut story =
        Story { colours: console.out_is_terminal && std::io::stdout().is_terminal(), began: Instant::now() };
    if !script::run(session, console, SCRIPT, &options, &mut story).await {
        return false;
    }
    console.write(farewell(folder).as_bytes()).is_ok()
}

/// What to type next. The folder is said as it looks from where the user stands.
fn farewell(folder: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let near = folder.strip_prefix(&here).unwrap_or(folder).display().to_string();
    let near = if near.contains(char::is_whitespace) { format!("'{near}'") } else { near };
    format!(
        "The lake is in {near}: plain Parquet files under {near}/lake/flights, one folder a day.\n\
         Ask it more:\n\n    \
         tycho sql --warehouse {near}\n\n\
         or serve it to psql and every other PostgreSQL client:\n\n    \
         tycho serve --warehouse {near}\n    \
         psql -h 127.0.0.1 -p 5439 -c 'SELECT * FROM lake.flights LIMIT 10'\n\n"
    )
}

/// Prints headings, comments and statements before their results, and times after.
struct Story {
    colours: bool,
    began: Instant,
}

impl Story {
    fn painted(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Watcher for Story {
    fn before(&mut self, console: &mut Console, before: &str, statement: &Statement) -> Result<()> {
        let mut out = String::new();
        let comments = before.lines().chain(statement.text.lines().take_while(|l| is_comment(l)));
        for comment in comments.filter_map(|l| l.trim().strip_prefix("--")).map(str::trim) {
            match comment.strip_prefix('#') {
                Some(heading) => {
                    out.push_str(&self.painted("1;36", &format!("\n━━ {} ━━", heading.trim())));
                    out.push_str("\n\n");
                }
                None if comment.starts_with("tycho:") => {}
                None => {
                    out.push_str(comment);
                    out.push('\n');
                }
            }
        }
        for (number, line) in statement.text.trim().lines().skip_while(|l| is_comment(l)).enumerate() {
            let prompt = if number == 0 { "tycho=> " } else { "tycho-> " };
            out.push_str(&self.painted("2", prompt));
            out.push_str(&self.painted("32", line));
            out.push('\n');
        }
        console.write(out.as_bytes())?;
        self.began = Instant::now();
        Ok(())
    }

    fn after(&mut self, console: &mut Console) {
        let time = self.painted("2", &time_text(self.began.elapsed()));
        let _ = writeln!(console.out, "{time}\n");
    }
}

fn is_comment(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_copied_once_and_again_when_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        copy_data(folder.path()).unwrap();
        let airports = folder.path().join("data/airports/airports.csv");
        let before = std::fs::metadata(&airports).unwrap().modified().unwrap();
        let late = folder.path().join("data/late/2001-02-03.parquet");
        std::fs::write(&late, b"PAR1").unwrap();
        copy_data(folder.path()).unwrap();
        assert_eq!(std::fs::metadata(&airports).unwrap().modified().unwrap(), before);
        assert_eq!(std::fs::metadata(&late).unwrap().len(), FILES[1].1.len() as u64);
    }

    #[test]
    fn the_farewell_quotes_folders_with_spaces() {
        assert!(farewell(Path::new("/srv/tycho-demo")).contains("tycho serve --warehouse /srv/tycho-demo\n"));
        assert!(farewell(Path::new("/srv/a b")).contains("--warehouse '/srv/a b'\n"));
    }
}
