//! Names and OIDs of relations, types, schemas, functions and roles: what `regclass` and its kin stand for.

use super::definitions;
use super::facts::{CatalogFacts, ROLE_OID, SessionState, system_schema_oid};
use super::types;
use crate::error::{Error, Kind, Result};

/// PostgreSQL's types that are an OID and read and print as a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    Class,
    Type,
    Procedure,
    Namespace,
    Role,
    Collation,
}

impl Reference {
    /// By the type's lower-case name.
    pub fn from_type_name(name: &str) -> Option<Reference> {
        Some(match name {
            "regclass" => Reference::Class,
            "regtype" => Reference::Type,
            "regproc" | "regprocedure" => Reference::Procedure,
            "regnamespace" => Reference::Namespace,
            "regrole" => Reference::Role,
            "regcollation" => Reference::Collation,
            _ => return None,
        })
    }

    /// Name of the function that turns an OID into the name.
    pub fn text_function(self) -> &'static str {
        match self {
            Reference::Class => "regclass_text",
            Reference::Type => "regtype_text",
            Reference::Procedure => "regproc_text",
            Reference::Namespace => "regnamespace_text",
            Reference::Role => "regrole_text",
            Reference::Collation => "regcollation_text",
        }
    }

    /// Name of the function that turns a name (or an OID) into the OID.
    pub fn oid_function(self) -> &'static str {
        match self {
            Reference::Class => "regclass_oid",
            Reference::Type => "regtype_oid",
            Reference::Procedure => "regproc_oid",
            Reference::Namespace => "regnamespace_oid",
            Reference::Role => "regrole_oid",
            Reference::Collation => "regcollation_oid",
        }
    }
}

/// Looks names up as of one view, for one session.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    pub facts: &'a CatalogFacts,
    pub session: &'a SessionState,
}

impl Names<'_> {
    /// The OID behind a name, or behind an OID written as text.
    pub fn oid(&self, reference: Reference, text: &str) -> Result<u32> {
        let text = text.trim();
        if text == "-" {
            return Ok(0);
        }
        if let Ok(oid) = text.parse::<u32>() {
            return Ok(oid);
        }
        self.find(reference, text)?.ok_or_else(|| match reference {
            Reference::Class => Error::new(Kind::UndefinedTable, format!("relation \"{text}\" does not exist")),
            Reference::Type => Error::new(Kind::UndefinedObject, format!("type \"{text}\" does not exist")),
            Reference::Procedure => Error::new(Kind::UndefinedFunction, format!("function \"{text}\" does not exist")),
            Reference::Namespace => Error::new(Kind::UndefinedDatabase, format!("schema \"{text}\" does not exist")),
            Reference::Role => Error::new(Kind::UndefinedObject, format!("role \"{text}\" does not exist")),
            Reference::Collation => Error::new(Kind::UndefinedObject, format!("collation \"{text}\" does not exist")),
        })
    }

    /// The OID of a name, `None` if nothing has it.
    pub fn find(&self, reference: Reference, text: &str) -> Result<Option<u32>> {
        if reference == Reference::Type {
            return Ok(types::parse_type(text));
        }
        let parts = split_name(text)?;
        let last = parts.last().map_or("", String::as_str);
        Ok(match reference {
            Reference::Class => self.find_relation(&parts),
            Reference::Procedure => {
                let name = last.split('(').next().unwrap_or_default();
                definitions::procedures().iter().find(|p| p.name == name).map(|p| p.oid)
            }
            Reference::Namespace => self.facts.schema_oid(last),
            Reference::Role => (last == self.session.user).then_some(ROLE_OID),
            Reference::Collation => match last {
                "default" => Some(100),
                "C" => Some(950),
                "POSIX" => Some(951),
                _ => None,
            },
            Reference::Type => None,
        })
    }

    fn find_relation(&self, parts: &[String]) -> Option<u32> {
        let in_schema = |schema: &str, name: &str| {
            definitions::table(schema, name)
                .map(|t| t.oid)
                .or_else(|| self.facts.relation_by_name(schema, name).map(|r| r.oid))
        };
        match parts {
            [name] => in_schema("pg_catalog", name).or_else(|| in_schema(&self.session.schema, name)),
            [schema, name] => in_schema(schema, name),
            [catalog, schema, name] if *catalog == self.session.catalog_name => in_schema(schema, name),
            _ => None,
        }
    }

    /// The name that an OID prints as; the number itself if nothing has it.
    pub fn text(&self, reference: Reference, oid: u32) -> String {
        if oid == 0 {
            return "-".to_owned();
        }
        let name = match reference {
            Reference::Class => self.relation_text(oid),
            Reference::Type => types::by_oid(oid).map(|_| types::format_type(oid, None)),
            Reference::Procedure => definitions::procedures().iter().find(|p| p.oid == oid).map(|p| p.name.to_owned()),
            Reference::Namespace => self.facts.schema_name(oid).map(quote_identifier),
            Reference::Role => (oid == ROLE_OID).then(|| quote_identifier(&self.session.user)),
            Reference::Collation => match oid {
                100 => Some("\"default\"".to_owned()),
                950 => Some("\"C\"".to_owned()),
                951 => Some("\"POSIX\"".to_owned()),
                _ => None,
            },
        };
        name.unwrap_or_else(|| oid.to_string())
    }

    fn relation_text(&self, oid: u32) -> Option<String> {
        let (schema, name) = match definitions::table_by_oid(oid) {
            Some(table) => (table.schema, table.name),
            None => self.facts.relation(oid).map(|r| (r.schema.as_str(), r.name.as_str()))?,
        };
        let name = quote_identifier(name);
        Some(if self.is_visible(oid) { name } else { format!("{}.{name}", quote_identifier(schema)) })
    }

    /// Whether a relation is found by its bare name; false for an OID that is no relation.
    pub fn is_visible(&self, oid: u32) -> bool {
        match definitions::table_by_oid(oid) {
            Some(table) => table.schema == "pg_catalog" || table.schema == self.session.schema,
            None => self.facts.relation(oid).is_some_and(|r| {
                r.schema == self.session.schema && definitions::table("pg_catalog", &r.name).is_none()
            }),
        }
    }

    /// OID of the schema of a relation.
    pub fn schema_of(&self, oid: u32) -> Option<u32> {
        match definitions::table_by_oid(oid) {
            Some(table) => Some(system_schema_oid(table)),
            None => self.facts.relation(oid).map(|r| r.schema_oid),
        }
    }
}

/// The parts of `schema."Table"`: unquoted ones in lower case.
fn split_name(text: &str) -> Result<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let part = parts.last_mut().expect("starts with one part");
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            _ if quoted => part.push(c),
            _ => part.extend(c.to_lowercase()),
        }
    }
    if quoted || parts.iter().any(String::is_empty) {
        return Err(Error::new(Kind::InvalidParameterValue, format!("invalid name syntax: {text}")));
    }
    Ok(parts)
}

/// An identifier as it must be written: quoted unless it is plain lower case.
pub fn quote_identifier(name: &str) -> String {
    let plain = name.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
