//! The functions themselves.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Needs::{Catalog, Session, Sizes};
use super::{Body, Context, Declaration, Needs, Returns};
use crate::error::{Error, Kind, Result};
use crate::wire::pg_catalog::definitions::{self, Procedure};
use crate::wire::pg_catalog::facts::ROLE_OID;
use crate::wire::pg_catalog::names::{Reference, quote_identifier};
use crate::wire::pg_catalog::rows::Cell;
use crate::wire::pg_catalog::types;

const fn strict(name: &'static str, needs: Needs, returns: Returns, body: Body) -> Declaration {
    Declaration { name, needs, returns, strict: true, body }
}

const fn nullable(name: &'static str, needs: Needs, returns: Returns, body: Body) -> Declaration {
    Declaration { name, needs, returns, strict: false, body }
}

use Returns::{Bool, Int4, Int8, Ints, Text, Texts, Timestamp};

pub(super) static FUNCTIONS: &[Declaration] = &[
    // The session and the server.
    strict("version", Session, Text, |c, _| Ok(version(c).into())),
    strict("current_schema", Session, Text, |c, _| Ok((&c.session.schema).into())),
    strict("current_schemas", Session, Texts, current_schemas),
    strict("current_database", Session, Text, |c, _| Ok((&c.session.catalog_name).into())),
    strict("current_catalog", Session, Text, |c, _| Ok((&c.session.catalog_name).into())),
    strict("current_user", Session, Text, |c, _| Ok((&c.session.user).into())),
    strict("current_role", Session, Text, |c, _| Ok((&c.session.user).into())),
    strict("session_user", Session, Text, |c, _| Ok((&c.session.user).into())),
    strict("user", Session, Text, |c, _| Ok((&c.session.user).into())),
    strict("pg_backend_pid", Session, Int4, |c, _| Ok(c.session.backend_id.into())),
    strict("pg_is_in_recovery", Session, Bool, |_, _| Ok(false.into())),
    strict("pg_postmaster_start_time", Session, Timestamp, |_, _| Ok(Cell::Int(*STARTED))),
    strict("pg_conf_load_time", Session, Timestamp, |_, _| Ok(Cell::Int(*STARTED))),
    strict("txid_current", Session, Int8, |c, _| Ok(c.commit.into())),
    strict("pg_jit_available", Session, Bool, |_, _| Ok(false.into())),
    strict("pg_my_temp_schema", Session, Int8, |_, _| Ok(0_i64.into())),
    strict("pg_is_other_temp_schema", Session, Bool, |_, _| Ok(false.into())),
    strict("inet_server_addr", Session, Text, |_, _| Ok(Cell::Null)),
    strict("inet_server_port", Session, Int4, |_, _| Ok(Cell::Null)),
    strict("inet_client_addr", Session, Text, |_, _| Ok(Cell::Null)),
    strict("inet_client_port", Session, Int4, |_, _| Ok(Cell::Null)),
    strict("pg_encoding_to_char", Session, Text, |_, a| Ok(encoding_name(a)?.into())),
    strict("pg_char_to_encoding", Session, Int4, |_, a| Ok(encoding_number(&text(a, 0)?).into())),
    strict("getdatabaseencoding", Session, Text, |_, _| Ok("UTF8".into())),
    strict("pg_client_encoding", Session, Text, |_, _| Ok("UTF8".into())),
    strict("current_setting", Session, Text, current_setting),
    strict("set_config", Session, Text, |_, _| {
        Err(Error::new(Kind::FeatureNotSupported, "set_config is not supported in a query").with_hint("use SET"))
    }),
    strict("pg_size_pretty", Session, Text, |_, a| Ok(size_pretty(integer(a, 0)?).into())),
    strict("quote_ident", Session, Text, |_, a| Ok(quote_identifier(&text(a, 0)?).into())),
    strict("quote_literal", Session, Text, |_, a| Ok(quote_literal(&text(a, 0)?).into())),
    nullable("quote_nullable", Session, Text, |_, a| match a.first() {
        None | Some(Cell::Null) => Ok("NULL".into()),
        _ => Ok(quote_literal(&text(a, 0)?).into()),
    }),
    nullable("format", Session, Text, format_text),
    strict("like_pattern", Session, Text, |_, a| Ok(like_pattern(&text(a, 0)?, &text(a, 1)?)?.into())),
    nullable("json_build_object", Session, Text, json_build_object),
    nullable("jsonb_build_object", Session, Text, json_build_object),
    strict("pg_advisory_unlock_all", Session, Text, |_, _| Ok("".into())),
    // Privileges: the only role may do everything.
    strict("has_database_privilege", Session, Bool, |_, _| Ok(true.into())),
    strict("has_schema_privilege", Session, Bool, |_, _| Ok(true.into())),
    strict("has_table_privilege", Session, Bool, |_, _| Ok(true.into())),
    strict("has_any_column_privilege", Session, Bool, |_, _| Ok(true.into())),
    strict("has_column_privilege", Session, Bool, |_, _| Ok(true.into())),
    strict("has_function_privilege", Session, Bool, |_, _| Ok(true.into())),
    strict("has_sequence_privilege", Session, Bool, |_, _| Ok(true.into())),
    strict("has_tablespace_privilege", Session, Bool, |_, _| Ok(true.into())),
    strict("has_type_privilege", Session, Bool, |_, _| Ok(true.into())),
    strict("has_language_privilege", Session, Bool, |_, _| Ok(true.into())),
    strict("has_foreign_data_wrapper_privilege", Session, Bool, |_, _| Ok(true.into())),
    strict("has_server_privilege", Session, Bool, |_, _| Ok(true.into())),
    strict("pg_has_role", Session, Bool, |_, _| Ok(true.into())),
    strict("row_security_active", Session, Bool, |_, _| Ok(false.into())),
    // Names.
    strict("pg_get_userbyid", Session, Text, |c, a| match integer(a, 0)? {
        oid if oid == i64::from(ROLE_OID) => Ok((&c.session.user).into()),
        oid => Ok(format!("unknown (OID={oid})").into()),
    }),
    nullable("format_type", Session, Text, format_type),
    strict("regclass_text", Catalog, Text, |c, a| reference_text(c, a, Reference::Class)),
    strict("regclass_oid", Catalog, Int8, |c, a| reference_oid(c, a, Reference::Class)),
    strict("regtype_text", Session, Text, |c, a| reference_text(c, a, Reference::Type)),
    strict("regtype_oid", Session, Int8, |c, a| reference_oid(c, a, Reference::Type)),
    strict("regproc_text", Session, Text, |c, a| reference_text(c, a, Reference::Procedure)),
    strict("regproc_oid", Session, Int8, |c, a| reference_oid(c, a, Reference::Procedure)),
    strict("regnamespace_text", Catalog, Text, |c, a| reference_text(c, a, Reference::Namespace)),
    strict("regnamespace_oid", Catalog, Int8, |c, a| reference_oid(c, a, Reference::Namespace)),
    strict("regrole_text", Session, Text, |c, a| reference_text(c, a, Reference::Role)),
    strict("regrole_oid", Session, Int8, |c, a| reference_oid(c, a, Reference::Role)),
    strict("regcollation_text", Session, Text, |c, a| reference_text(c, a, Reference::Collation)),
    strict("regcollation_oid", Session, Int8, |c, a| reference_oid(c, a, Reference::Collation)),
    strict("to_regclass", Catalog, Int8, |c, a| Ok(c.names().find(Reference::Class, &text(a, 0)?)?.into())),
    strict("to_regtype", Session, Int8, |c, a| Ok(c.names().find(Reference::Type, &text(a, 0)?)?.into())),
    strict("to_regnamespace", Catalog, Int8, |c, a| Ok(c.names().find(Reference::Namespace, &text(a, 0)?)?.into())),
    // Visibility: what is in pg_catalog and in the current schema is.
    strict("pg_table_is_visible", Catalog, Bool, |c, a| match oid(c, a, 0)? {
        relation if c.names().schema_of(relation).is_none() => Ok(Cell::Null),
        relation => Ok(c.names().is_visible(relation).into()),
    }),
    strict("pg_type_is_visible", Session, Bool, |_, a| Ok(types::by_oid(integer(a, 0)? as u32).map(|_| true).into())),
    strict("pg_function_is_visible", Session, Bool, |_, a| Ok(procedure(integer(a, 0)?).map(|_| true).into())),
    strict("pg_operator_is_visible", Session, Bool, |_, _| Ok(true.into())),
    strict("pg_opclass_is_visible", Session, Bool, |_, _| Ok(true.into())),
    strict("pg_opfamily_is_visible", Session, Bool, |_, _| Ok(true.into())),
    strict("pg_collation_is_visible", Session, Bool, |_, _| Ok(true.into())),
    strict("pg_conversion_is_visible", Session, Bool, |_, _| Ok(true.into())),
    strict("pg_statistics_obj_is_visible", Session, Bool, |_, _| Ok(true.into())),
    strict("pg_ts_config_is_visible", Session, Bool, |_, _| Ok(true.into())),
    strict("pg_ts_dict_is_visible", Session, Bool, |_, _| Ok(true.into())),
    strict("pg_ts_parser_is_visible", Session, Bool, |_, _| Ok(true.into())),
    strict("pg_ts_template_is_visible", Session, Bool, |_, _| Ok(true.into())),
    // Definitions. There are no indexes, constraints, rules, triggers or statistics objects that these could tell of.
    strict("pg_get_expr", Session, Text, |_, a| Ok(text(a, 0)?.into())),
    strict("pg_get_viewdef", Catalog, Text, |c, a| {
        Ok(c.facts.relation(oid(c, a, 0)?).and_then(|r| r.view.as_ref()).map(|sql| format!(" {sql};")).into())
    }),
    strict("pg_get_constraintdef", Session, Text, |_, _| Ok(Cell::Null)),
    strict("pg_get_indexdef", Session, Text, |_, _| Ok(Cell::Null)),
    strict("pg_get_ruledef", Session, Text, |_, _| Ok(Cell::Null)),
    strict("pg_get_triggerdef", Session, Text, |_, _| Ok(Cell::Null)),
    strict("pg_get_partkeydef", Session, Text, |_, _| Ok(Cell::Null)),
    strict("pg_get_partition_constraintdef", Session, Text, |_, _| Ok(Cell::Null)),
    strict("pg_get_statisticsobjdef", Session, Text, |_, _| Ok(Cell::Null)),
    strict("pg_get_statisticsobjdef_columns", Session, Text, |_, _| Ok(Cell::Null)),
    strict("pg_get_serial_sequence", Session, Text, |_, _| Ok(Cell::Null)),
    strict("pg_get_functiondef", Session, Text, |_, _| Ok(Cell::Null)),
    strict("pg_get_function_result", Session, Text, |_, a| Ok(procedure(integer(a, 0)?).map(result_text).into())),
    strict("pg_get_function_arguments", Session, Text, |_, a| Ok(procedure(integer(a, 0)?).map(arguments_text).into())),
    strict("pg_get_function_identity_arguments", Session, Text, |_, a| {
        Ok(procedure(integer(a, 0)?).map(arguments_text).into())
    }),
    strict("pg_tablespace_location", Session, Text, |_, _| Ok("".into())),
    strict("partition_ancestors", Session, Ints, |_, _| Ok(Cell::Ints(Vec::new()))),
    strict("pg_relation_is_publishable", Session, Bool, |_, _| Ok(false.into())),
    strict("pg_relation_is_updatable", Session, Int4, |_, _| Ok(0_i64.into())),
    // Comments.
    strict("obj_description", Catalog, Text, obj_description),
    strict("col_description", Catalog, Text, |c, a| {
        let number = usize::try_from(integer(a, 1)?).unwrap_or(0);
        let relation = c.facts.relation(oid(c, a, 0)?);
        let column = relation.and_then(|r| r.columns.get(number.checked_sub(1)?));
        Ok(column.and_then(|column| column.comment.clone()).into())
    }),
    strict("shobj_description", Session, Text, |_, _| Ok(Cell::Null)),
    // Sizes.
    strict("pg_relation_size", Sizes, Int8, relation_size),
    strict("pg_table_size", Sizes, Int8, relation_size),
    strict("pg_total_relation_size", Sizes, Int8, relation_size),
    strict("pg_indexes_size", Session, Int8, |_, _| Ok(0_i64.into())),
    strict("pg_database_size", Sizes, Int8, |c, _| {
        let bytes: u64 = c.facts.relations.iter().filter_map(|r| r.totals).map(|t| t.bytes).sum();
        Ok(Cell::Int(bytes as i64))
    }),
];

static STARTED: LazyLock<i64> =
    LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_micros() as i64));

fn missing(place: usize) -> Error {
    Error::new(
        Kind::UndefinedFunction,
        format!("argument {} of a system function is missing or of another type", place + 1),
    )
}

fn text(arguments: &[Cell], place: usize) -> Result<String> {
    match arguments.get(place) {
        Some(Cell::Text(text)) => Ok(text.clone()),
        Some(Cell::Int(number)) => Ok(number.to_string()),
        Some(Cell::Float(number)) => Ok(number.to_string()),
        Some(Cell::Bool(value)) => Ok(if *value { "t" } else { "f" }.to_owned()),
        Some(Cell::Texts(texts)) => Ok(format!("{{{}}}", texts.join(","))),
        Some(Cell::Ints(numbers)) => {
            Ok(format!("{{{}}}", numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(",")))
        }
        _ => Err(missing(place)),
    }
}

fn integer(arguments: &[Cell], place: usize) -> Result<i64> {
    match arguments.get(place) {
        Some(Cell::Int(number)) => Ok(*number),
        Some(Cell::Text(text)) => text
            .trim()
            .parse()
            .map_err(|_| Error::new(Kind::InvalidText, format!("invalid input syntax for type integer: \"{text}\""))),
        _ => Err(missing(place)),
    }
}

/// An argument of type regclass: a number, or a name.
fn oid(context: &Context, arguments: &[Cell], place: usize) -> Result<u32> {
    match arguments.get(place) {
        Some(Cell::Text(text)) => context.names().oid(Reference::Class, text),
        _ => integer(arguments, place).map(|number| number as u32),
    }
}

fn reference_text(context: &Context, arguments: &[Cell], reference: Reference) -> Result<Cell> {
    let oid = match arguments.first() {
        Some(Cell::Text(text)) => context.names().oid(reference, text)?,
        _ => integer(arguments, 0)? as u32,
    };
    Ok(context.names().text(reference, oid).into())
}

fn reference_oid(context: &Context, arguments: &[Cell], reference: Reference) -> Result<Cell> {
    match arguments.first() {
        Some(Cell::Text(text)) => Ok(context.names().oid(reference, text)?.into()),
        _ => Ok(integer(arguments, 0)?.into()),
    }
}

/// Clients read the number behind `PostgreSQL` and choose their SQL by it, so it is that of `server_version`.
fn version(context: &Context) -> String {
    let compatible = context.session.settings.get("server_version").map_or("15.0", |s| s.value.as_str());
    format!("PostgreSQL {compatible} (Tycho {})", env!("CARGO_PKG_VERSION"))
}

fn current_schemas(context: &Context, arguments: &[Cell]) -> Result<Cell> {
    let implicit = matches!(arguments.first(), Some(Cell::Bool(true)));
    let system = implicit.then(|| "pg_catalog".to_owned());
    Ok(Cell::Texts(system.into_iter().chain([context.session.schema.clone()]).collect()))
}

fn current_setting(context: &Context, arguments: &[Cell]) -> Result<Cell> {
    let name = text(arguments, 0)?;
    match context.session.settings.get(&name.to_ascii_lowercase()) {
        Some(setting) => Ok((&setting.value).into()),
        None if matches!(arguments.get(1), Some(Cell::Bool(true))) => Ok(Cell::Null),
        None => Err(Error::new(Kind::UndefinedObject, format!("unrecognized configuration parameter \"{name}\""))),
    }
}

fn encoding_name(arguments: &[Cell]) -> Result<&'static str> {
    Ok(match integer(arguments, 0)? {
        0 => "SQL_ASCII",
        6 => "UTF8",
        8 => "LATIN1",
        _ => "",
    })
}

fn encoding_number(name: &str) -> i32 {
    match name.to_ascii_uppercase().replace(['-', '_'], "").as_str() {
        "SQLASCII" => 0,
        "UTF8" | "UNICODE" => 6,
        "LATIN1" | "ISO88591" => 8,
        _ => -1,
    }
}

fn format_type(_: &Context, arguments: &[Cell]) -> Result<Cell> {
    if arguments.first() == Some(&Cell::Null) {
        return Ok(Cell::Null);
    }
    let modifier = match arguments.get(1) {
        None | Some(Cell::Null) => None,
        Some(_) => Some(integer(arguments, 1)? as i32),
    };
    Ok(types::format_type(integer(arguments, 0)? as u32, modifier).into())
}

fn procedure(oid: i64) -> Option<&'static Procedure> {
    definitions::procedures().iter().find(|p| i64::from(p.oid) == oid)
}

fn result_text(procedure: &Procedure) -> String {
    let set = if procedure.returns_set { "SETOF " } else { "" };
    format!("{set}{}", types::format_type(procedure.result, None))
}

fn arguments_text(procedure: &Procedure) -> String {
    procedure.arguments.iter().map(|oid| types::format_type(*oid, None)).collect::<Vec<_>>().join(", ")
}

fn obj_description(context: &Context, arguments: &[Cell]) -> Result<Cell> {
    let object = integer(arguments, 0)? as u32;
    let class = match arguments.get(1) {
        Some(Cell::Text(class)) => Some(class.as_str()),
        _ => None,
    };
    let relation = context.facts.relation(object).filter(|_| class.is_none_or(|c| c == "pg_class"));
    let schema = context.facts.schemas.iter().find(|s| s.oid == object);
    let schema = schema.filter(|_| class.is_none_or(|c| c == "pg_namespace"));
    Ok(relation.and_then(|r| r.comment.clone()).or_else(|| schema.and_then(|s| s.comment.clone())).into())
}

fn relation_size(context: &Context, arguments: &[Cell]) -> Result<Cell> {
    let relation = oid(context, arguments, 0)?;
    if definitions::table_by_oid(relation).is_some() {
        return Ok(0_i64.into());
    }
    Ok(context.facts.relation(relation).map(|r| r.totals.map_or(0, |totals| totals.bytes as i64)).into())
}

/// PostgreSQL's units: each is used up to 10,240 of it, halves round up.
fn size_pretty(bytes: i64) -> String {
    const LIMIT: i64 = 10 * 1024;
    if bytes.abs() < LIMIT {
        return format!("{bytes} bytes");
    }
    // One binary digit more than the unit is kept for rounding.
    let mut rest = bytes >> 9;
    for unit in ["kB", "MB", "GB", "TB"] {
        if rest.abs() < 2 * LIMIT - 1 {
            return format!("{} {unit}", (rest + rest.signum()) / 2);
        }
        rest >>= 10;
    }
    format!("{} PB", (rest + rest.signum()) / 2)
}

fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A pattern of LIKE with another escape character, or with none (`''`), as one with the backslash.
fn like_pattern(pattern: &str, escape: &str) -> Result<String> {
    let mut escapes = escape.chars();
    let escape = escapes.next();
    if escapes.next().is_some() {
        return Err(Error::new(
            Kind::InvalidParameterValue,
            "invalid escape string: it must be empty or one character",
        ));
    }
    let mut result = String::new();
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        let literal = if Some(c) == escape { characters.next() } else { (c == '\\').then_some(c) };
        match literal {
            Some(literal) => result.extend(['\\', literal]),
            None => result.push(c),
        }
    }
    Ok(result)
}

/// PostgreSQL's `format`: `%s`, `%I`, `%L`, `%%` and positions (`%1$s`).
fn format_text(_: &Context, arguments: &[Cell]) -> Result<Cell> {
    let Some(Cell::Text(pattern)) = arguments.first() else { return Ok(Cell::Null) };
    let invalid = |message: String| Error::new(Kind::InvalidParameterValue, message);
    let mut result = String::new();
    let mut next = 1;
    let mut characters = pattern.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '%' {
            result.push(c);
            continue;
        }
        let mut digits = String::new();
        while let Some(digit) = characters.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        if !digits.is_empty() {
            if characters.next() != Some('$') {
                return Err(invalid("format takes no widths".to_owned()));
            }
            next = digits.parse().map_err(|_| invalid(format!("format has no argument {digits}")))?;
        }
        let specifier = characters.next().ok_or_else(|| invalid("unterminated format() type specifier".to_owned()))?;
        if specifier == '%' {
            result.push('%');
            continue;
        }
        let argument = arguments.get(next).ok_or_else(|| invalid("too few arguments for format()".to_owned()))?;
        let value = if *argument == Cell::Null { None } else { Some(text(arguments, next)?) };
        next += 1;
        match (specifier, value) {
            ('s', value) => result.push_str(&value.unwrap_or_default()),
            ('I', Some(value)) => result.push_str(&quote_identifier(&value)),
            ('I', None) => return Err(invalid("null values cannot be formatted as an SQL identifier".to_owned())),
            ('L', value) => result.push_str(&value.map_or("NULL".to_owned(), |v| quote_literal(&v))),
            (other, _) => return Err(invalid(format!("unrecognized format() type specifier \"{other}\""))),
        }
    }
    Ok(result.into())
}

/// `json_build_object(key, value, …)` over scalars, spelled as PostgreSQL spells it.
fn json_build_object(_: &Context, arguments: &[Cell]) -> Result<Cell> {
    if arguments.len() % 2 == 1 {
        return Err(Error::new(Kind::InvalidParameterValue, "argument list must have even number of elements"));
    }
    let json = |cell: &Cell| match cell {
        Cell::Null | Cell::Unset => serde_json::Value::Null,
        Cell::Bool(value) => (*value).into(),
        Cell::Int(value) => (*value).into(),
        Cell::Float(value) => (*value).into(),
        Cell::Text(value) => value.as_str().into(),
        Cell::Ints(values) => values.clone().into(),
        Cell::Texts(values) => values.clone().into(),
    };
    let mut pairs = Vec::new();
    for place in (0..arguments.len()).step_by(2) {
        if arguments[place] == Cell::Null {
            return Err(Error::new(
                Kind::InvalidParameterValue,
                "argument of json_build_object must not be null: a key",
            ));
        }
        let key = serde_json::Value::from(text(arguments, place)?);
        pairs.push(format!("{key} : {}", json(&arguments[place + 1])));
    }
    Ok(format!("{{{}}}", pairs.join(", ")).into())
}
