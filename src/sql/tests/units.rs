//! Splitting, places, variables, types, the pragma and the conflict table.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::{DataType, TimeUnit};

use super::super::{dialect, is_complete, next_statement, place, skip_statement, substitute, types};
use super::*;

fn split(text: &str, dialect: Dialect) -> Vec<(String, usize)> {
    let mut offset = 0;
    let mut out = Vec::new();
    while let Some((statement, next)) = next_statement(text, offset, dialect).unwrap() {
        out.push((statement.text, statement.offset));
        offset = next;
    }
    out
}

#[test]
fn scripts() {
    let text = "-- first\nSELECT ';' ; /* a; /* b */ ; */ SELECT 2;;  SELECT $x$;$x$ -- ; end\n";
    let expected = [("SELECT ';'", 9), ("SELECT 2", 41), ("", 50), ("SELECT $x$;$x$", 53)];
    for dialect in BOTH {
        let got = split(text, dialect);
        let got: Vec<_> = got.iter().map(|(t, o)| (t.as_str(), *o)).collect();
        assert_eq!(got, expected);
    }
    assert_eq!(split(r"SELECT 'a\';b'", Dialect::Spark).len(), 1);
    assert_eq!(split(r"SELECT 'a\'; SELECT 'b'", Dialect::Postgres).len(), 2);
    assert_eq!(split(r"SELECT E'a\';b'", Dialect::Postgres).len(), 1);
    assert_eq!(split("SELECT `a;b`", Dialect::Postgres).len(), 1);
    assert!(split("  -- nothing\n /* */ ", Dialect::Spark).is_empty());
}

#[test]
fn places_in_a_script() {
    let text = "SELECT 1;\nSELECT 'é', FROM WHERE;\nSELECT 2";
    let (first, next) = next_statement(text, 0, Dialect::Spark).unwrap().unwrap();
    assert_eq!(first.offset, 0);
    let error = next_statement(text, next, Dialect::Spark).unwrap_err();
    assert_eq!(&text[error.position.unwrap()..][..4], "FROM");
    let next = skip_statement(text, next, Dialect::Spark);
    assert_eq!(next_statement(text, next, Dialect::Spark).unwrap().unwrap().0.text, "SELECT 2");
    assert_eq!(place::place(text, error.position.unwrap()), place::Place { line: 2, column: 13 });
    assert_eq!(place::snippet(text, error.position.unwrap()), "LINE 2: SELECT 'é', FROM WHERE;\n                    ^");
    let long = format!("SELECT {}, x", "a, ".repeat(100));
    let shown = place::snippet(&long, 200);
    assert!(shown.starts_with("LINE 1: ...") && shown.lines().next().unwrap().ends_with("..."), "{shown}");
}

#[test]
fn completeness() {
    assert!(is_complete("SELECT 1;", Dialect::Spark));
    assert!(is_complete("SELECT 1; -- x", Dialect::Spark));
    assert!(is_complete("  ", Dialect::Spark));
    for text in ["SELECT 1", "SELECT ';", "SELECT 1; SELECT", "SELECT /* ;", "SELECT $$;"] {
        assert!(!is_complete(text, Dialect::Postgres), "{text}");
    }
}

#[test]
fn variables() {
    let variables = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
    let get = |text: &str| substitute::substitute(text, &variables).map_err(|e| shown(&e));
    assert_eq!(get("x ${a} '${hivevar:a}' $1 $$").unwrap(), "x 1 '1' $1 $$");
    assert_eq!(get("x ${b}").unwrap_err(), "42704 2 variable `b` has no value");
    assert_eq!(get("${a").unwrap_err(), "42601 0 `${` has no `}`");
}

#[test]
fn type_names() {
    let rows = [
        ("tinyint", "tinyint", "smallint"),
        ("int", "int", "integer"),
        ("int8", "bigint", "bigint"),
        ("float", "float", "double precision"),
        ("real", "float", "real"),
        ("double precision", "double", "double precision"),
        ("decimal", "decimal(10,0)", "numeric(38,10)"),
        ("numeric(12, 3)", "decimal(12,3)", "numeric(12,3)"),
        ("varchar(10)", "string", "text"),
        ("character varying", "string", "text"),
        ("bytea", "binary", "bytea"),
        ("timestamp", "timestamp", "timestamp without time zone"),
        ("timestamp_ntz", "timestamp_ntz", "timestamp without time zone"),
        ("timestamptz", "timestamp", "timestamp with time zone"),
        ("timestamp(3) without time zone", "timestamp_ntz", "timestamp without time zone"),
        ("interval day to second", "interval", "interval"),
        ("array<array<int>>", "array<array<int>>", "integer[]"),
        ("text[]", "array<string>", "text[]"),
        (
            "map<string, struct<`a b`: int, c double>>",
            "map<string,struct<a b:int,c:double>>",
            "map<text,struct<a b:integer,c:double precision>>",
        ),
        ("uuid", "string", "text"),
        ("int /* x */", "int", "integer"),
    ];
    for (text, spark, postgres) in rows {
        for (dialect, expected) in [(Dialect::Spark, spark), (Dialect::Postgres, postgres)] {
            let data_type = types::parse(text, dialect).unwrap_or_else(|e| panic!("{text}: {}", shown(&e)));
            assert_eq!(types::type_name(&data_type, dialect), expected, "{dialect}: {text}");
        }
    }
    let zone = types::parse("timestamp", Dialect::Spark).unwrap();
    assert_eq!(zone, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    let deep = format!("{}int{}", "array<".repeat(5000), ">".repeat(5000));
    assert_eq!(types::parse(&deep, Dialect::Spark).unwrap_err().sqlstate(), "54001");
    assert_eq!(
        shown(&types::parse("int x", Dialect::Spark).unwrap_err()),
        "42601 4 `int x` is not a type: nothing may follow `int`"
    );
    assert_eq!(types::parse("strng", Dialect::Spark).unwrap_err().hint.unwrap(), "did you mean `string`?");
}

#[test]
fn dialects() {
    assert_eq!("Postgres".parse::<Dialect>().unwrap(), Dialect::Postgres);
    assert!("oracle".parse::<Dialect>().is_err());
    assert_eq!(dialect::pragma("-- tycho: dialect=spark\nSELECT 1").unwrap(), Some(Dialect::Spark));
    assert_eq!(dialect::pragma("SELECT 1\n-- tycho: dialect=spark").unwrap(), None);
    assert_eq!(dialect::pragma("-- hello").unwrap(), None);
    assert!(dialect::pragma("-- tycho: dialect=oracle").is_err());
    assert!(dialect::pragma("-- tycho: colour=red").is_err());
    let forms: std::collections::BTreeSet<_> = dialect::CONFLICTS.iter().map(|row| row.form).collect();
    assert_eq!(forms.len(), dialect::CONFLICTS.len(), "a form stands once");
}
