//! Query bodies, their literals, what is taken off their end, and what `bind` and `conflicts` make of them.

use super::super::bind::bind_query;
use super::super::conflicts::conflicts;
use super::*;

const SPARK: Dialect = Dialect::Spark;
const POSTGRES: Dialect = Dialect::Postgres;

#[test]
fn queries_of_both() {
    check("SELECT 1", "SELECT 1");
    check("(SELECT 1)", "SELECT 1");
    check("TABLE a.t", "SELECT * FROM a.t");
    check("SELECT 1 UNION ALL TABLE t", "SELECT 1 UNION ALL SELECT * FROM t");
    check("VALUES (1), (2)", "VALUES (1), (2)");
    check("WITH x AS (SELECT 1) SELECT * FROM x", "WITH x AS (SELECT 1) SELECT * FROM x");
    check("FROM t SELECT a WHERE b", "SELECT a FROM t WHERE b");
    check("SELECT `a b`, x::int, $1 FROM t", "SELECT `a b`, x::INT, $1 FROM t");
    check(
        "SELECT DISTINCT ON (a) a FROM t FETCH FIRST 2 ROWS ONLY",
        "SELECT DISTINCT ON (a) a FROM t FETCH FIRST 2 ROWS ONLY",
    );
    check("SELECT * FROM t LATERAL VIEW explode(a) e AS x", "SELECT * FROM t LATERAL VIEW explode(a) e AS x");
    check("SELECT a AS \"x y\" FROM t", "SELECT a AS \"x y\" FROM t");
    check("SELECT INTERVAL '1 day', INTERVAL 1 DAY", "SELECT INTERVAL '1 day', INTERVAL 1 DAY");
    check("SELECT 7 DIV 2 + 1", "SELECT 7 DIV 2 + 1");
    check("SELECT 1L, 1.5D, 2BD", "SELECT CAST('1' AS BIGINT), CAST('1.5' AS DOUBLE), CAST('2' AS DECIMAL(1,0))");
    check("SELECT ARRAY(SELECT 1)", "SELECT ARRAY(SELECT 1)");
    check_in(SPARK, "SELECT array(1, 2)", "SELECT array(1, 2)");
    check_in(POSTGRES, "SELECT array(1, 2)", "SELECT \"array\"(1, 2)");
    check("SELECT a OPERATOR(pg_catalog.~) 'x' AND b", "SELECT a OPERATOR(pg_catalog.~) 'x' AND b");
    check("SELECT a=-1", "SELECT a = -1");
    check("SELECT r'a\\d'", "SELECT 'a\\d'");
}

#[test]
fn literals() {
    check_in(
        SPARK,
        r"SELECT 'a\nb', 'it\'s', 'a\\b', 'a''b', '\u0041', '\%'",
        "SELECT 'a\nb', 'it''s', 'a\\b', 'a''b', 'A', '\\%'",
    );
    check_in(POSTGRES, r"SELECT 'a\nb', 'a''b'", r"SELECT 'a\nb', 'a''b'");
    check_in(SPARK, "SELECT 'a' 'b'", "SELECT 'ab'");
    check_in(POSTGRES, "SELECT 'a'\n'b'", "SELECT 'ab'");
    check_in(SPARK, "SELECT \"a\"", "SELECT \"a\"");
    check("SELECT $x$a;b'c$x$", "SELECT $x$a;b'c$x$");
    check("SELECT $$a$b$$", "SELECT $$a$b$$");
}

#[test]
fn distributions() {
    check("SELECT * FROM t DISTRIBUTE BY a, b", "SELECT * FROM t |distribute a,b");
    check("SELECT * FROM t WHERE x SORT BY a DESC, b NULLS LAST", "SELECT * FROM t WHERE x |sort a DESC,b NULLS LAST");
    check("SELECT * FROM t CLUSTER BY a", "SELECT * FROM t |distribute a |sort a");
    check(
        "SELECT a FROM t GROUP BY a HAVING a > 1 DISTRIBUTE BY a",
        "SELECT a FROM t GROUP BY a HAVING a > 1 |distribute a",
    );
    check(
        "SELECT 1 AS a UNION ALL SELECT 2 DISTRIBUTE BY a SORT BY a",
        "SELECT 1 AS a UNION ALL SELECT 2 |distribute a |sort a",
    );
    check(
        "WITH x AS (SELECT 1 AS a) SELECT * FROM x DISTRIBUTE BY a",
        "WITH x AS (SELECT 1 AS a) SELECT * FROM x |distribute a",
    );
    check("(SELECT 1 AS a DISTRIBUTE BY a)", "SELECT 1 AS a |distribute a");
    check("SELECT * FROM t SORT BY a LIMIT 3", "SELECT * FROM t LIMIT 3 |sort a");
    check(
        "SELECT * FROM t DISTRIBUTE BY concat(a, 1), 'sort by x'",
        "SELECT * FROM t |distribute concat(a, 1),'sort by x'",
    );
    fails("SELECT 1 DISTRIBUTE BY", "42601 22 syntax error at end of input; expected an expression");
    fails(
        "SELECT 1 DISTRIBUTE BY a UNION SELECT 2",
        "42601 25 syntax error at or near \"UNION\"; expected the end of the query after DISTRIBUTE BY",
    );
    fails("SELECT 1 DISTRIBUTE BY a CLUSTER BY b", "42601 25 CLUSTER BY cannot follow what was said before");
}

#[test]
fn errors_of_bodies() {
    fails("SELECT * FROM WHERE x", "42601 14 syntax error at or near \"WHERE\"; expected a table");
    fails("SELECT\n  a FROM t\nGROUP a", "42601 18 syntax error at or near \"GROUP\"; expected the end of the query");
    fails("SELECT a, FROM t", "42601 10 syntax error at or near \"FROM\"; expected an expression");
    fails("SELECT (1", "42601 9 syntax error at end of input; expected )");
    fails("SELECT 'abc", "42601 7 unterminated quoted string");
    fails("SELECT /* a", "42601 7 unterminated /* comment");
    fails("SELECT `a", "42601 7 unterminated quoted identifier");
    fails("SELECT $a$ b", "42601 7 unterminated dollar-quoted string");
    fails("SELECT 1 INTO t FROM u", "0A000 9 SELECT INTO is not supported");
    fails("WITH x AS (SELECT 1) DELETE FROM t", "0A000 21 DELETE is not supported");
}

fn bound(text: &str, dialect: Dialect) -> String {
    let Kind::Query(mut q) = parse(text, dialect).unwrap().kind else { panic!("{text}") };
    bind_query(&mut q, dialect);
    query(&q)
}

#[test]
fn meanings() {
    let rows = [
        ("SELECT a / b FROM t", "SELECT CAST((a) AS DOUBLE) / b FROM t", "SELECT a / b FROM t"),
        ("SELECT a / 2.0 FROM t", "SELECT a / 2.0 FROM t", "SELECT a / 2.0 FROM t"),
        (
            "SELECT a FROM t ORDER BY a",
            "SELECT a FROM t ORDER BY a NULLS FIRST",
            "SELECT a FROM t ORDER BY a NULLS LAST",
        ),
        (
            "SELECT a FROM t ORDER BY a DESC",
            "SELECT a FROM t ORDER BY a DESC NULLS LAST",
            "SELECT a FROM t ORDER BY a DESC NULLS FIRST",
        ),
        (
            "SELECT rank() OVER (ORDER BY a) FROM t",
            "SELECT rank() OVER (ORDER BY a NULLS FIRST) FROM t",
            "SELECT rank() OVER (ORDER BY a NULLS LAST) FROM t",
        ),
        ("SELECT \"x\"", "SELECT 'x'", "SELECT \"x\""),
        (
            "SELECT CAST(a AS TIMESTAMP), CAST(a AS FLOAT), CAST(a AS DECIMAL)",
            "SELECT CAST(a AS TIMESTAMP(6) WITH TIME ZONE), CAST(a AS FLOAT), CAST(a AS DECIMAL(10,0))",
            "SELECT CAST(a AS TIMESTAMP(6)), CAST(a AS DOUBLE), CAST(a AS DECIMAL(38,10))",
        ),
        ("SELECT a DIV b", "SELECT CAST((a / b) AS BIGINT)", "SELECT CAST((a / b) AS BIGINT)"),
        ("SELECT a RLIKE 'x'", "SELECT a ~ 'x'", "SELECT a ~ 'x'"),
        ("SELECT 1 FETCH FIRST 3 ROWS ONLY", "SELECT 1 LIMIT 3", "SELECT 1 LIMIT 3"),
        (
            "SELECT * FROM (SELECT a FROM t SORT BY a) x",
            "SELECT * FROM (SELECT a FROM t) x",
            "SELECT * FROM (SELECT a FROM t) x",
        ),
        ("SELECT a FROM t SORT BY a", "SELECT a FROM t |sort a NULLS FIRST", "SELECT a FROM t |sort a NULLS FIRST"),
    ];
    for (text, spark, postgres) in rows {
        assert_eq!(bound(text, SPARK), spark, "spark: {text}");
        assert_eq!(bound(text, POSTGRES), postgres, "postgres: {text}");
    }
    for dialect in BOTH {
        let text = "SELECT a OPERATOR(pg_catalog.~) '^x$' COLLATE pg_catalog.default";
        assert_eq!(bound(text, dialect), "SELECT a ~ '^x$'");
    }
}

fn mixed(text: &str, dialect: Dialect) -> Vec<(&'static str, usize)> {
    conflicts(&parse(text, dialect).unwrap(), dialect).iter().map(|c| (c.row.form, c.position)).collect()
}

#[test]
fn statements_that_mix() {
    type Row<'a> = (Dialect, &'a str, &'a [(&'a str, usize)]);
    let rows: &[Row<'_>] = &[
        (POSTGRES, "INSERT OVERWRITE t SELECT 1/2", &[("a / b", 26)]),
        (POSTGRES, "INSERT OVERWRITE t SELECT 1/2.0", &[]),
        (POSTGRES, "INSERT INTO t SELECT 1/2", &[]),
        (SPARK, "INSERT OVERWRITE t SELECT 1/2", &[]),
        (POSTGRES, "INSERT OVERWRITE t SELECT \"x\", a AS \"y\" FROM u", &[("\"x\"", 26)]),
        (POSTGRES, "INSERT OVERWRITE t SELECT u.\"x\" FROM u", &[]),
        (POSTGRES, "SELECT a / b FROM t DISTRIBUTE BY a", &[("a / b", 7)]),
        (POSTGRES, "SELECT a / b FROM t", &[]),
        (POSTGRES, "INSERT OVERWRITE t SELECT 'a\\nb'", &[("'a\\nb'", 26)]),
        (POSTGRES, "CREATE TABLE t USING parquet AS SELECT CAST(a AS TIMESTAMP) FROM u", &[("TIMESTAMP", 44)]),
        (SPARK, "SELECT DISTINCT ON (a) a, \"x\" FROM t", &[("\"x\"", 26)]),
        (SPARK, "SELECT a ^ 2 FROM t FETCH FIRST ROW ONLY", &[("a ^ b", 7)]),
        (SPARK, "SELECT a ^ 2 FROM t", &[]),
    ];
    for (dialect, text, expected) in rows {
        assert_eq!(mixed(text, *dialect), *expected, "{dialect}: {text}");
    }
    let statement = parse("INSERT OVERWRITE t SELECT 1/2", POSTGRES).unwrap();
    let error = conflicts(&statement, POSTGRES)[0].error();
    assert_eq!(error.sqlstate(), "42P21");
    assert_eq!(
        error.detail.unwrap(),
        "in spark: division of integers gives a double; in postgres: division of integers gives an integer, cut"
    );
}
