//! Nothing that is typed makes the parser panic, hang or run out of stack.

use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::bind::bind_query;
use super::super::conflicts::conflicts;
use super::super::{is_complete, next_statement, skip_statement};
use super::*;

#[rustfmt::skip]
const SOUP: &[&str] = &[
    "select", "from", "where", "insert", "into", "overwrite", "table", "partition", "(", ")", "(", ")", ",", ";",
    "'", "\"", "`", "'a'", "\"b\"", "`c`", "$$", "$x$", "$1", "/*", "*/", "--", "\n", "\r", " ", "\t", "as",
    "create", "external", "temp", "view", "database", "drop", "alter", "add", "columns", "set", "show", "reset",
    "use", "using", "parquet", "options", "location", "stored", "by", "distribute", "sort", "cluster", "clustered",
    "buckets", "values", "with", "union", "all", "=", "<", ">", ">>", "array", "map", "struct", "<>", ":", "::", ".",
    "..", "1", "1.5", "1L", "1e", "0x", ".5", "-", "+", "*", "/", "%", "^", "|", "||", "&", "!", "~", "@", "#", "?",
    "\\", "{", "}", "[", "]", "é", "日本", "\u{a0}", "\u{0}", "\u{feff}", "😀", "null", "not", "exists", "if",
    "describe", "explain", "analyze", "prepare", "execute", "begin", "commit", "rollback", "to", "savepoint",
    "interval", "date", "timestamp", "cast", "case", "when", "end", "in", "like", "between", "is", "lateral", "join",
    "on", "group", "order", "having", "limit", "fetch", "first", "over", "E'", "r'", "X'", "N'", "U&'", "b'",
    "geodata", "layer", "fields", "geometry", "msck", "repair", "vacuum", "truncate", "replace", "partitions",
    "name", "int", "string", "decimal", "t", "a", "x", "exists(", "array(", "->", "=>", "<=>", "==", "div", "rlike",
    "operator", "collate", "distinct", "recursive", "from t select",
];

fn soup(random: &mut StdRng) -> String {
    let length = random.random_range(1..25);
    let mut text = String::new();
    for _ in 0..length {
        text.push_str(SOUP[random.random_range(0..SOUP.len())]);
        if random.random_bool(0.7) {
            text.push(' ');
        }
    }
    text
}

fn digest(text: &str, dialect: Dialect) {
    let mut offset = 0;
    while offset <= text.len() {
        match next_statement(text, offset, dialect) {
            Ok(None) => break,
            Ok(Some((statement, next))) => {
                assert!(next > offset, "no way forward in {text:?}");
                assert_eq!(&text[statement.offset..][..statement.text.len()], statement.text);
                conflicts(&statement, dialect);
                if let Kind::Query(mut q) = statement.kind {
                    bind_query(&mut q, dialect);
                }
                offset = next;
            }
            Err(e) => {
                assert!(e.position.is_none_or(|p| p <= text.len() && text.is_char_boundary(p)), "{text:?}: {e:?}");
                let next = skip_statement(text, offset, dialect);
                assert!(next > offset || next == text.len(), "no way forward in {text:?}");
                if next == text.len() {
                    break;
                }
                offset = next;
            }
        }
    }
    is_complete(text, dialect);
}

#[test]
fn token_soup() {
    let mut random = StdRng::seed_from_u64(20180305);
    for _ in 0..20_000 {
        let text = soup(&mut random);
        for dialect in BOTH {
            digest(&text, dialect);
        }
    }
}

#[test]
fn depth_is_an_error() {
    let deep = [
        format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("SELECT {}1", "NOT ".repeat(20_000)),
        format!("SELECT {}1", "- ".repeat(20_000)),
        format!("SELECT 1{}", " + 1".repeat(200_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(20_000)),
        format!("SELECT {}", "CASE WHEN ".repeat(20_000)),
        format!("SELECT CAST(a AS {}INT{})", "array<".repeat(20_000), ">".repeat(20_000)),
        format!("CREATE TABLE t (a {}INT{})", "array<".repeat(20_000), ">".repeat(20_000)),
        format!("SELECT {}", "EXISTS (SELECT ".repeat(100)),
        format!("SELECT a{}", "::int".repeat(20_000)),
    ];
    for text in deep {
        for dialect in BOTH {
            let error = next_statement(&text, 0, dialect).map(|_| ()).unwrap_err();
            let state = error.sqlstate();
            assert!(state == "54001" || state == "42601", "{state} for {}", &text[..30]);
        }
    }
    for dialect in BOTH {
        let nested = format!("SELECT {}1{}", "(".repeat(40), ")".repeat(40));
        assert!(next_statement(&nested, 0, dialect).is_ok());
        let list = format!("SELECT * FROM t WHERE a IN ({})", vec!["1"; 50_000].join(", "));
        assert!(next_statement(&list, 0, dialect).is_ok());
        let chain = format!("SELECT 1{}", " + 1".repeat(1_000));
        assert!(next_statement(&chain, 0, dialect).is_ok());
    }
}

/// Under a second in a release build; the bound here leaves room for an unoptimised one.
#[test]
fn a_long_script() {
    let mut script = String::new();
    for i in 0..10_000 {
        match i % 3 {
            0 => writeln!(
                script,
                "INSERT OVERWRITE TABLE db.t PARTITION (dt = '{i}') SELECT a, b + {i} FROM s WHERE c = 'x;y' SORT BY a;"
            ),
            1 => writeln!(
                script,
                "ALTER TABLE db.t ADD IF NOT EXISTS PARTITION (dt = '{i}') LOCATION 's3://bucket/{i}';"
            ),
            _ => writeln!(script, "SELECT count(*), sum(a) FROM db.t{i} GROUP BY b ORDER BY 2 DESC LIMIT 10; -- {i}"),
        }
        .unwrap();
    }
    let start = Instant::now();
    let (mut offset, mut count) = (0, 0);
    while let Some((_, next)) = next_statement(&script, offset, Dialect::Spark).unwrap() {
        offset = next;
        count += 1;
    }
    assert_eq!(count, 10_000);
    println!("10,000 statements in {:?}", start.elapsed());
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}
