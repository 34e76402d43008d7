//! What a client says when it connects: user, database, options and settings.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::settings::Settings;

/// The one database that PostgreSQL clients see: the catalog.
pub(super) const CATALOG_NAME: &str = "tycho";

/// A start-up packet, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) user: String,
    /// As asked for; without it the catalog is meant.
    pub(super) database: Option<String>,
    /// Settings in the order they take effect: those of `options` first, then those given by name.
    pub(super) settings: Vec<(String, String)>,
    /// Protocol options (`_pq_.…`) that this server does not know.
    pub(super) protocol_options: Vec<String>,
}

impl Parameters {
    pub(super) fn read(packet: &BTreeMap<String, String>) -> Result<Parameters> {
        let text = |name: &str| packet.get(name).filter(|value| !value.is_empty());
        let user = text("user").ok_or_else(|| {
            Error::new(Kind::InvalidAuthorization, "no PostgreSQL user name specified in startup packet")
        })?;
        let mut settings = match text("options") {
            Some(options) => read_options(options)?,
            None => Vec::new(),
        };
        let mut protocol_options = Vec::new();
        for (name, value) in packet {
            match name.as_str() {
                "user" | "database" | "options" => {}
                "replication" if matches!(value.as_str(), "false" | "off" | "no" | "0") => {}
                "replication" => {
                    return Err(Error::new(Kind::FeatureNotSupported, "replication connections are not supported"));
                }
                name if name.starts_with("_pq_.") => protocol_options.push(name.to_owned()),
                name => settings.push((name.to_owned(), value.clone())),
            }
        }
        Ok(Parameters { user: user.clone(), database: text("database").cloned(), settings, protocol_options })
    }

    /// Sets them; the session's RESET returns to what is set here.
    pub(super) fn apply(&self, process: &Settings) -> Result<Settings> {
        let mut settings = process.for_session();
        for (name, value) in &self.settings {
            if name.eq_ignore_ascii_case("client_encoding") {
                settings.set(name, client_encoding(value)?, false)?;
            } else {
                settings.set(name, value, false)?;
            }
        }
        Ok(settings.for_session())
    }
}

/// All text is UTF-8. SQL_ASCII asks for no conversion, which is the same (psql says so under `LANG=C`).
fn client_encoding(asked: &str) -> Result<&'static str> {
    let plain: String = asked.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    match plain.as_str() {
        "utf8" | "unicode" | "sqlascii" | "auto" => Ok("UTF8"),
        _ => Err(Error::new(
            Kind::InvalidParameterValue,
            format!("invalid value for parameter \"client_encoding\": \"{asked}\""),
        )
        .with_hint("the only encoding is UTF8; set PGCLIENTENCODING=UTF8")),
    }
}

/// `-c name=value`, `-cname=value`, `--name=value`, split at white space that no backslash precedes.
fn read_options(options: &str) -> Result<Vec<(String, String)>> {
    let mut words = split_words(options).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let (assignment, long) = if word == "-c" {
            (words.next().unwrap_or_default(), false)
        } else if let Some(rest) = word.strip_prefix("--") {
            (rest.to_owned(), true)
        } else if let Some(rest) = word.strip_prefix("-c") {
            (rest.to_owned(), false)
        } else {
            return Err(Error::new(
                Kind::ProtocolViolation,
                format!("invalid command-line argument in start-up options: {word}"),
            )
            .with_hint("options are written -c name=value or --name=value"));
        };
        let Some((name, value)) = assignment.split_once('=') else {
            return Err(Error::new(Kind::Syntax, format!("start-up option {assignment} requires a value")));
        };
        let name = if long { name.replace('-', "_") } else { name.to_owned() };
        settings.push((name, value.to_owned()));
    }
    Ok(settings)
}

/// PostgreSQL's `pg_split_opts`: a backslash takes the next character as it is.
fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(characters.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn options_are_read_as_postgresql_reads_them() {
        let options = r"-c search_path=a,b  -cDateStyle=ISO\ YMD --statement-timeout=5s -c x=a\\b";
        let read = read_options(options).unwrap();
        let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            read,
            [("search_path", "a,b"), ("DateStyle", "ISO YMD"), ("statement_timeout", "5s"), ("x", r"a\b")]
        );
        assert!(read_options("-d 5").is_err());
        assert!(read_options("-c name").is_err());
    }

    #[test]
    fn a_packet_is_understood() {
        let parameters = Parameters::read(&packet(&[
            ("user", "ann"),
            ("database", "sales"),
            ("options", "-c sql_dialect=spark"),
            ("application_name", "psql"),
            ("_pq_.future", "1"),
        ]))
        .unwrap();
        assert_eq!((parameters.user.as_str(), parameters.database.as_deref()), ("ann", Some("sales")));
        assert_eq!(parameters.settings[0], ("sql_dialect".into(), "spark".into()));
        assert_eq!(parameters.settings[1], ("application_name".into(), "psql".into()));
        assert_eq!(parameters.protocol_options, ["_pq_.future"]);
        assert_eq!(Parameters::read(&packet(&[])).unwrap_err().sqlstate(), "28000");
        let replication = packet(&[("user", "ann"), ("replication", "database")]);
        assert_eq!(Parameters::read(&replication).unwrap_err().sqlstate(), "0A000");
    }

    #[test]
    fn only_utf8_is_spoken() {
        for accepted in ["UTF8", "utf-8", "UNICODE", "SQL_ASCII"] {
            assert_eq!(client_encoding(accepted).unwrap(), "UTF8");
        }
        assert_eq!(client_encoding("LATIN1").unwrap_err().sqlstate(), "22023");
    }
}
