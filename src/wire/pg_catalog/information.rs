//! The rows of `information_schema`: the same facts in the words of the SQL standard.

use super::facts::{ColumnFact, RelationFact};
use super::rows::{Cell, Rows};
use super::tables::Source;
use super::types;

/// The tables that can have rows.
pub const FILLED: &[&str] = &[
    "schemata",
    "tables",
    "columns",
    "views",
    "information_schema_catalog_name",
    "enabled_roles",
    "applicable_roles",
    "table_privileges",
    "character_sets",
];

/// Adds the rows of a table of `information_schema`.
pub fn fill(name: &str, rows: &mut Rows, source: &Source<'_>) {
    let catalog = || Cell::from(&source.session.catalog_name);
    let user = || Cell::from(&source.session.user);
    match name {
        "schemata" => schemata(rows, source),
        "tables" => source.facts.relations.iter().for_each(|relation| {
            rows.push([
                ("table_catalog", catalog()),
                ("table_schema", (&relation.schema).into()),
                ("table_name", (&relation.name).into()),
                ("table_type", if relation.kind == "v" { "VIEW" } else { "BASE TABLE" }.into()),
                ("is_insertable_into", if relation.kind == "v" { "NO" } else { "YES" }.into()),
                ("is_typed", "NO".into()),
            ]);
        }),
        "columns" => source.facts.relations.iter().for_each(|relation| {
            for (at, fact) in relation.columns.iter().enumerate() {
                column(rows, source, relation, at + 1, fact);
            }
        }),
        "views" => source.facts.relations.iter().filter(|r| r.kind == "v").for_each(|relation| {
            rows.push([
                ("table_catalog", catalog()),
                ("table_schema", (&relation.schema).into()),
                ("table_name", (&relation.name).into()),
                ("view_definition", relation.view.clone().into()),
                ("check_option", "NONE".into()),
                ("is_updatable", "NO".into()),
                ("is_insertable_into", "NO".into()),
                ("is_trigger_updatable", "NO".into()),
                ("is_trigger_deletable", "NO".into()),
                ("is_trigger_insertable_into", "NO".into()),
            ]);
        }),
        "information_schema_catalog_name" => rows.push([("catalog_name", catalog())]),
        "enabled_roles" => rows.push([("role_name", user())]),
        "applicable_roles" => {}
        "table_privileges" => source.facts.relations.iter().for_each(|relation| {
            for privilege in ["INSERT", "SELECT", "TRUNCATE"] {
                rows.push([
                    ("grantor", user()),
                    ("grantee", user()),
                    ("table_catalog", catalog()),
                    ("table_schema", (&relation.schema).into()),
                    ("table_name", (&relation.name).into()),
                    ("privilege_type", privilege.into()),
                    ("is_grantable", "YES".into()),
                    ("with_hierarchy", if privilege == "SELECT" { "YES" } else { "NO" }.into()),
                ]);
            }
        }),
        "character_sets" => rows.push([
            ("character_set_name", "UTF8".into()),
            ("character_repertoire", "UCS".into()),
            ("form_of_use", "UTF8".into()),
            ("default_collate_catalog", catalog()),
        ]),
        _ => {}
    }
}

fn schemata(rows: &mut Rows, source: &Source<'_>) {
    let own = source.facts.schemas.iter().map(|s| s.name.as_str());
    for name in super::definitions::SCHEMAS.iter().copied().chain(own) {
        rows.push([
            ("catalog_name", (&source.session.catalog_name).into()),
            ("schema_name", name.into()),
            ("schema_owner", (&source.session.user).into()),
        ]);
    }
}

fn column(rows: &mut Rows, source: &Source<'_>, relation: &RelationFact, number: usize, fact: &ColumnFact) {
    let catalog = || Cell::from(&source.session.catalog_name);
    let found = types::by_oid(fact.type_oid);
    let is_array = found.is_some_and(|t| t.element != 0 && t.length == -1);
    let length = matches!(fact.type_oid, types::VARCHAR | types::BPCHAR).then(|| i64::from(fact.type_modifier - 4));
    // (precision, radix, scale) of numbers.
    let numeric: Option<(i64, i64, Option<i64>)> = match fact.type_oid {
        types::INT2 => Some((16, 2, Some(0))),
        types::INT4 => Some((32, 2, Some(0))),
        types::INT8 => Some((64, 2, Some(0))),
        types::FLOAT4 => Some((24, 2, None)),
        types::FLOAT8 => Some((53, 2, None)),
        types::NUMERIC if fact.type_modifier >= 4 => {
            let packed = i64::from(fact.type_modifier - 4);
            Some((packed >> 16, 10, Some(((packed & 0x7ff) ^ 1024) - 1024)))
        }
        _ => None,
    };
    let datetime = match fact.type_oid {
        types::DATE => Some(0_i64),
        types::TIME | types::TIMESTAMP | types::TIMESTAMPTZ | types::INTERVAL => Some(6),
        _ => None,
    };
    rows.push([
        ("table_catalog", catalog()),
        ("table_schema", (&relation.schema).into()),
        ("table_name", (&relation.name).into()),
        ("column_name", (&fact.name).into()),
        ("ordinal_position", number.into()),
        ("column_default", fact.default.clone().into()),
        ("is_nullable", if fact.not_null { "NO" } else { "YES" }.into()),
        ("data_type", if is_array { "ARRAY".into() } else { types::format_type(fact.type_oid, None).into() }),
        ("character_maximum_length", length.into()),
        ("character_octet_length", length.map(|l| l * 4).or((fact.type_oid == types::TEXT).then_some(1 << 30)).into()),
        ("numeric_precision", numeric.map(|n| n.0).into()),
        ("numeric_precision_radix", numeric.map(|n| n.1).into()),
        ("numeric_scale", numeric.and_then(|n| n.2).into()),
        ("datetime_precision", datetime.into()),
        ("udt_catalog", catalog()),
        ("udt_schema", "pg_catalog".into()),
        ("udt_name", found.map(|t| t.name).into()),
        ("dtd_identifier", number.to_string().into()),
        ("is_self_referencing", "NO".into()),
        ("is_identity", "NO".into()),
        ("identity_cycle", "NO".into()),
        ("is_generated", "NEVER".into()),
        ("is_updatable", if relation.kind == "v" { "NO" } else { "YES" }.into()),
    ]);
}
