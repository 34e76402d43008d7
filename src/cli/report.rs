//! What a person reads of errors and notices: `ERROR [SQLSTATE]: text`, the place, and what can be done.

use std::fmt::Write;

use crate::error::Error;
use crate::session::{Notice, Severity};
use crate::sql::place::{place, snippet};

/// The text of an error, with a line break at its end. `script`: the text that the error's position counts in.
pub(super) fn error_text(error: &Error, script: &str) -> String {
    let mut out = format!("ERROR [{}]: {}\n", error.sqlstate(), error.message);
    if let Some(position) = error.position.filter(|p| *p <= script.len()) {
        let at = place(script, position);
        let _ = writeln!(out, "line {}, column {}", at.line, at.column);
        let _ = writeln!(out, "{}", snippet(script, position));
    }
    for (label, text) in [("DETAIL", &error.detail), ("HINT", &error.hint)] {
        if let Some(text) = text {
            let _ = writeln!(out, "{label}: {text}");
        }
    }
    out
}

/// The text of a notice or warning, with a line break at its end.
pub(super) fn notice_text(notice: &Notice) -> String {
    let severity = match notice.severity {
        Severity::Notice => "NOTICE",
        Severity::Warning => "WARNING",
    };
    match &notice.hint {
        Some(hint) => format!("{severity}: {}\nHINT: {hint}\n", notice.message),
        None => format!("{severity}: {}\n", notice.message),
    }
}
