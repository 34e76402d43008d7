//! CREATE and DROP GEODATA LAYER.

use super::parser::Parser;
use super::statement::{CreateGeodataLayer, StatementKind};
use super::unsupported;
use crate::error::{Error, Kind, Result};

/// Behind CREATE [OR REPLACE] GEODATA.
pub(super) fn create(p: &mut Parser<'_>, or_replace: bool) -> Result<StatementKind> {
    if p.is("set") {
        return Err(unsupported::refuse_named(p, "CREATE GEODATA SET"));
    }
    p.expect("layer")?;
    let place = p.position();
    let if_not_exists = p.if_not_exists();
    if if_not_exists && or_replace {
        return Err(Error::new(Kind::Syntax, "OR REPLACE and IF NOT EXISTS exclude each other").at(place));
    }
    let name = p.identifier("a layer's name")?;
    let set = if p.accept("in") { Some(p.identifier("a set's name")?) } else { None };
    p.expect("fields")?;
    let fields = p.identifier_list("a field's name")?;
    for (i, field) in fields.iter().enumerate() {
        if fields[..i].iter().any(|f| f.value.eq_ignore_ascii_case(&field.value)) {
            let message = format!("field `{}` is named twice", field.value);
            return Err(Error::new(Kind::DuplicateColumn, message).at(field.position));
        }
    }
    p.expect("geometry")?;
    let geometry = p.identifier("the geometry column")?;
    p.expect("as")?;
    let start = p.position();
    let query = p.query()?;
    let sql = p.taken(start).to_owned();
    Ok(StatementKind::CreateGeodataLayer(Box::new(CreateGeodataLayer {
        name,
        set,
        or_replace,
        if_not_exists,
        fields,
        geometry,
        query,
        sql,
    })))
}

/// Behind DROP GEODATA.
pub(super) fn drop(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("layer")?;
    let if_exists = p.if_exists();
    let name = p.identifier("a layer's name")?;
    let set = if p.accept("in") { Some(p.identifier("a set's name")?) } else { None };
    Ok(StatementKind::DropGeodataLayer { name, set, if_exists })
}

pub(super) fn misplaced(p: &Parser<'_>) -> Result<StatementKind> {
    Err(p.unexpected("a statement").with_hint("geodata is a function: write SELECT geodata(longitude, latitude)"))
}
