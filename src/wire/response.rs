//! Errors, notices and transaction status as the messages that carry them.

use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{self, ErrorResponse, NoticeResponse, ReadyForQuery};

use crate::error::Error;
use crate::session::{Notice, Severity, TransactionStatus};
use crate::sql::Statement;

/// Why work on a request ended before its end.
pub(super) enum Failure {
    /// The client is told; the connection goes on, unless the error says that the server stops.
    Statement(Error),
    /// The client can't be told.
    Connection(std::io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Statement(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::Connection(error)
    }
}

/// An error of a statement names a place in the statement's own text; clients count in the whole string they sent.
pub(super) fn placed(mut error: Error, statement: &Statement) -> Error {
    error.position = error.position.map(|position| position + statement.offset);
    error
}

/// `text`: the query string that the error's position counts in.
pub(super) fn error_response(error: &Error, fatal: bool, text: Option<&str>) -> PgWireBackendMessage {
    let severity = if fatal { "FATAL" } else { "ERROR" };
    let position = error.position.zip(text).map(|(position, text)| character_position(text, position).to_string());
    let fields = [
        (b'S', Some(severity)),
        (b'V', Some(severity)),
        (b'C', Some(error.sqlstate())),
        (b'M', Some(error.message.as_str())),
        (b'D', error.detail.as_deref()),
        (b'H', error.hint.as_deref()),
        (b'P', position.as_deref()),
    ];
    PgWireBackendMessage::ErrorResponse(ErrorResponse::new(collect(&fields)))
}

pub(super) fn notice_response(notice: &Notice) -> PgWireBackendMessage {
    let (severity, code) = match notice.severity {
        Severity::Notice => ("NOTICE", "00000"),
        Severity::Warning => ("WARNING", "01000"),
    };
    let fields = [
        (b'S', Some(severity)),
        (b'V', Some(severity)),
        (b'C', Some(code)),
        (b'M', Some(notice.message.as_str())),
        (b'H', notice.hint.as_deref()),
    ];
    PgWireBackendMessage::NoticeResponse(NoticeResponse::new(collect(&fields)))
}

pub(super) fn ready_for_query(status: TransactionStatus) -> PgWireBackendMessage {
    let status = match status {
        TransactionStatus::Idle => response::TransactionStatus::Idle,
        TransactionStatus::InTransaction => response::TransactionStatus::Transaction,
        TransactionStatus::Failed => response::TransactionStatus::Error,
    };
    PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status))
}

/// Fields end with a NUL, so none may be within.
fn collect(fields: &[(u8, Option<&str>)]) -> Vec<(u8, String)> {
    fields.iter().filter_map(|(code, text)| text.map(|text| (*code, text.replace('\0', "")))).collect()
}

/// 1-based number of the character that stands at (or covers) a byte.
fn character_position(text: &str, byte: usize) -> usize {
    text.char_indices().take_while(|(start, character)| start + character.len_utf8() <= byte).count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn positions_count_characters_from_one() {
        assert_eq!(character_position("SELECT 1", 0), 1);
        assert_eq!(character_position("SELECT 'ä', x", 13), 13);
        assert_eq!(character_position("ää", 1), 1);
        assert_eq!(character_position("SELECT", 6), 7);
    }

    #[test]
    fn errors_carry_all_they_know() {
        let error = Error::new(Kind::UndefinedColumn, "column `x` does not exist").with_hint("it has `y`").at(7);
        let PgWireBackendMessage::ErrorResponse(response) = error_response(&error, false, Some("SELECT x")) else {
            panic!("no ErrorResponse")
        };
        let field = |code| response.fields.iter().find(|f| f.0 == code).map(|f| f.1.as_str());
        assert_eq!(field(b'S'), Some("ERROR"));
        assert_eq!(field(b'C'), Some("42703"));
        assert_eq!(field(b'P'), Some("8"));
        assert_eq!(field(b'H'), Some("it has `y`"));
        assert_eq!(field(b'D'), None);
    }
}
