//! Statements that Spark or PostgreSQL know and this grammar does not, and first words that nobody knows.

use super::parser::Parser;
use crate::error::{Error, Kind};

/// Statements of Spark and PostgreSQL that are not here, with what serves instead, if anything does.
const KNOWN: &[(&str, &str)] = &[
    ("add", ""),
    ("call", ""),
    ("checkpoint", ""),
    ("close", ""),
    ("cluster", ""),
    ("comment", "write COMMENT within CREATE TABLE, or ALTER TABLE … SET TBLPROPERTIES ('comment' = …)"),
    ("copy", "write CREATE EXTERNAL TABLE … USING csv to read files, INSERT OVERWRITE DIRECTORY to write them"),
    ("declare", "read the result as a stream: it is never held as a whole"),
    ("delete", "write INSERT OVERWRITE with the rows that stay"),
    ("do", ""),
    ("export", ""),
    ("fetch", "read the result as a stream: it is never held as a whole"),
    ("grant", ""),
    ("import", ""),
    ("list", ""),
    ("load", "write CREATE EXTERNAL TABLE … LOCATION over the files, then INSERT"),
    ("lock", ""),
    ("map", ""),
    ("merge", "write INSERT OVERWRITE of the joined rows"),
    ("move", ""),
    ("notify", ""),
    ("optimize", ""),
    ("reassign", ""),
    ("reduce", ""),
    ("reindex", ""),
    ("replace", "write DROP TABLE and CREATE TABLE"),
    ("revoke", ""),
    ("security", ""),
    ("unlock", ""),
    ("update", "write INSERT OVERWRITE with the changed rows"),
];

/// First words of the statements that are here.
const FIRST_WORDS: &[&str] = &[
    "select",
    "with",
    "values",
    "table",
    "from",
    "explain",
    "create",
    "drop",
    "alter",
    "insert",
    "msck",
    "repair",
    "truncate",
    "vacuum",
    "use",
    "set",
    "reset",
    "show",
    "describe",
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
    "prepare",
    "execute",
    "deallocate",
    "discard",
    "listen",
    "unlisten",
    "cache",
    "uncache",
    "refresh",
    "analyze",
];

pub(super) fn refuse(p: &Parser<'_>) -> Error {
    let Some(first) = p.word_at(0) else { return p.unexpected("a statement") };
    if let Some((name, instead)) = KNOWN.iter().find(|(name, _)| name.eq_ignore_ascii_case(first)) {
        let error = p.refuse(format!("{} is not supported", name.to_uppercase()));
        return if instead.is_empty() { error } else { error.with_hint(*instead) };
    }
    let error = p.unexpected("a statement");
    match nearest(first, FIRST_WORDS) {
        Some(word) => error.with_hint(format!("did you mean {}?", word.to_uppercase())),
        None => error,
    }
}

/// `CREATE INDEX` and its like: `what` is the statement's name.
pub(super) fn refuse_named(p: &Parser<'_>, what: &str) -> Error {
    Error::new(Kind::FeatureNotSupported, format!("{what} is not supported")).at(p.position())
}

/// The one of `candidates` that `word` is most likely a misspelling of.
pub(super) fn nearest<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    const LONGEST: usize = 40;
    if word.chars().count() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    let allowed = if word.chars().count() <= 4 { 1 } else { 2 };
    candidates
        .iter()
        .map(|c| (distance(&word, c), *c))
        .filter(|(d, _)| *d <= allowed)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Edits between two short words, where swapping neighbours is one (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut table = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in table.iter_mut().enumerate() {
        row[0] = i;
    }
    table[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let changed = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(table[i - 2][j - 2] + 1);
            }
            table[i][j] = best;
        }
    }
    table[a.len()][b.len()]
}
