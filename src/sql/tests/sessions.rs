//! SET, SHOW, DESCRIBE, transactions, prepared statements, EXPLAIN.

use super::*;

#[test]
fn settings() {
    check("SET a = b", "set a=b");
    check("SET spark.sql.shuffle.partitions=200", "set spark.sql.shuffle.partitions=200");
    check("SET a TO 'x y'", "set a=x y");
    check("SET SESSION a = 1", "set a=1");
    check("SET LOCAL a = -1.5", "set local a=-1.5");
    check("SET search_path = a, \"B\", 'c'", "set search_path=a, B, c");
    check("SET a TO DEFAULT", "default a");
    check("SET a = /x/y z", "set a=/x/y z");
    check("SET a =", "set a=");
    check("SET TIME ZONE 'Europe/Zurich'", "set timezone=Europe/Zurich");
    check("SET TIME ZONE LOCAL", "default timezone");
    check("SET TIME ZONE -8", "set timezone=-08:00");
    check("SET TIME ZONE INTERVAL '+02:00' HOUR TO MINUTE", "set timezone=+02:00");
    check("SET NAMES 'utf8'", "set client_encoding=utf8");
    check("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "transaction read-only");
    check("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE", "transaction");
    check("SET SESSION AUTHORIZATION DEFAULT", "default session_authorization");
    check("SET", "show settings");
    check("SET -v", "show settings verbose");
    check("SET spark.sql.ansi.enabled", "show setting spark.sql.ansi.enabled");
    check("SET application_name = 'psql'", "set application_name=psql");
    fails("SET = 1", "42601 4 syntax error at or near \"=\"; expected a key");
    fails("SET a 1", "42601 6 syntax error at or near \"1\"; expected `=` or TO");
    fails("SET TIME ZONE 99", "22023 14 time zone offset 99 is out of range");
    fails(
        "SET TRANSACTION FOO",
        "42601 16 syntax error at or near \"FOO\"; expected ISOLATION LEVEL, READ ONLY, READ WRITE or DEFERRABLE",
    );
    check("RESET a.b", "default a.b");
    check("RESET ALL", "reset all");
    check("RESET", "reset all");
    check("USE lake", "use lake");
    check("USE SCHEMA lake", "use lake");
    fails("USE", "42601 3 syntax error at end of input; expected a database's name");
}

#[test]
fn shows() {
    check("SHOW TABLES", "show tables");
    check("SHOW TABLES IN db LIKE 'a*'", "show tables in=db like=a*");
    check("SHOW TABLES FROM db 'a*'", "show tables in=db like=a*");
    check("SHOW VIEWS", "show views");
    check("SHOW DATABASES LIKE 'x'", "show databases like=x");
    check("SHOW SCHEMAS", "show databases");
    check("SHOW PARTITIONS db.t PARTITION (dt = '1')", "show partitions db.t partition(dt=Text(\"1\"))");
    check("SHOW COLUMNS IN t FROM db", "show columns db.t");
    check("SHOW CREATE TABLE t", "show create t");
    check("SHOW TBLPROPERTIES t ('a.b')", "show properties t key=a.b");
    check("SHOW FUNCTIONS LIKE 'x'", "show functions like=x");
    check("SHOW GEODATA LAYERS", "show layers");
    check("SHOW search_path", "show setting search_path");
    check("SHOW tycho.history", "show setting tycho.history");
    check("SHOW TIME ZONE", "show setting timezone");
    check("SHOW TRANSACTION ISOLATION LEVEL", "show setting transaction_isolation");
    check("SHOW ALL", "show settings");
    fails("SHOW TABLE x", "42601 11 syntax error at or near \"x\"; expected the end of the statement");
    fails("SHOW PARTITIONS", "42601 15 syntax error at end of input; expected a table's name");
    fails("SHOW COLUMNS t", "42601 13 syntax error at or near \"t\"; expected IN or FROM and a table's name");
    fails("SHOW TABLES extra", "42601 12 syntax error at or near \"extra\"; expected the end of the statement");
    check("DESCRIBE t", "describe t");
    check("DESC TABLE EXTENDED a.t", "describe extended a.t");
    check("DESCRIBE FORMATTED t PARTITION (dt = '1')", "describe extended t partition(dt=Text(\"1\"))");
    check("DESCRIBE extended", "describe extended");
    fails("DESCRIBE t a", "0A000 11 DESCRIBE of a column is not supported");
    fails("DESCRIBE", "42601 8 syntax error at end of input; expected a table's name");
    fails("DESC DATABASE x", "0A000 5 DESCRIBE DATABASE is not supported");
}

#[test]
fn transactions() {
    check("BEGIN", "begin");
    check("BEGIN TRANSACTION READ ONLY", "begin read-only");
    check("START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE", "begin");
    for text in ["COMMIT", "END", "COMMIT WORK", "END TRANSACTION", "COMMIT AND NO CHAIN"] {
        check(text, "commit");
    }
    for text in ["ROLLBACK", "ABORT", "ROLLBACK TRANSACTION"] {
        check(text, "rollback");
    }
    check("SAVEPOINT a", "savepoint a");
    check("RELEASE SAVEPOINT a", "release a");
    check("RELEASE a", "release a");
    check("ROLLBACK TO SAVEPOINT a", "rollback to a");
    check("ROLLBACK WORK TO a", "rollback to a");
    fails("COMMIT PREPARED 'x'", "0A000 7 COMMIT PREPARED is not supported");
    fails("ROLLBACK AND CHAIN", "0A000 9 AND CHAIN is not supported");
    fails(
        "BEGIN FOO",
        "42601 6 syntax error at or near \"FOO\"; expected ISOLATION LEVEL, READ ONLY, READ WRITE or DEFERRABLE",
    );
    fails("SAVEPOINT", "42601 9 syntax error at end of input; expected a savepoint's name");
    fails("START", "42601 5 syntax error at end of input; expected TRANSACTION");
}

#[test]
fn prepared_statements() {
    check("PREPARE p AS SELECT $2 + $1", "prepare p $2 SELECT $2 + $1");
    check("PREPARE p (int, text[]) AS INSERT INTO t VALUES ($1)", "prepare p $1 insert t: VALUES ($1)");
    check("EXECUTE p (1, 'x')", "execute p(1,'x')");
    check("EXECUTE p", "execute p()");
    check("DEALLOCATE PREPARE p", "deallocate name=p");
    check("DEALLOCATE ALL", "deallocate");
    check("DISCARD ALL", "discard");
    check("DISCARD PLANS", "no effect DISCARD PLANS");
    fails("PREPARE p SELECT 1", "42601 10 syntax error at or near \"SELECT\"; expected AS");
    fails(
        "PREPARE p AS PREPARE q AS SELECT 1",
        "42601 13 syntax error at or near \"PREPARE\"; expected a statement to prepare",
    );
    fails("EXECUTE", "42601 7 syntax error at end of input; expected a statement's name");
    fails("EXECUTE p (1", "42601 12 syntax error at end of input; expected `)`");
    fails("DISCARD x", "42601 8 syntax error at or near \"x\"; expected ALL, PLANS, SEQUENCES or TEMPORARY");
}

#[test]
fn explains() {
    check("EXPLAIN SELECT 1", "explain: SELECT 1");
    check("EXPLAIN ANALYZE VERBOSE SELECT 1", "explain analyze verbose: SELECT 1");
    check("EXPLAIN EXTENDED SELECT 1", "explain verbose: SELECT 1");
    check("EXPLAIN (ANALYZE, VERBOSE off, FORMAT json) SELECT 1", "explain analyze format=json: SELECT 1");
    check("EXPLAIN (SELECT 1)", "explain: SELECT 1");
    check("EXPLAIN INSERT OVERWRITE t SELECT 1", "explain: insert overwrite t: SELECT 1");
    fails("EXPLAIN", "42601 7 syntax error at end of input; expected a statement to explain");
    fails("EXPLAIN EXPLAIN SELECT 1", "42601 8 syntax error at or near \"EXPLAIN\"; expected a statement to explain");
    fails("EXPLAIN (FOO) SELECT 1", "42601 9 EXPLAIN has no option `FOO`; it has analyze, verbose and format");
    let Kind::Explain(explain) = parse("EXPLAIN  SELECT 1 ", Dialect::Spark).unwrap().kind else { panic!() };
    assert_eq!((explain.statement.text.as_str(), explain.statement.offset), ("SELECT 1", 9));
}

#[test]
fn what_is_not_here() {
    fails("COPY t FROM STDIN", "0A000 0 COPY is not supported");
    fails("DECLARE c CURSOR FOR SELECT 1", "0A000 0 DECLARE is not supported");
    fails("FETCH 1 FROM c", "0A000 0 FETCH is not supported");
    fails("GRANT SELECT ON t TO u", "0A000 0 GRANT is not supported");
    fails("UPDATE t SET a = 1", "0A000 0 UPDATE is not supported");
    fails("DELETE FROM t", "0A000 0 DELETE is not supported");
    fails("SELCT 1", "42601 0 syntax error at or near \"SELCT\"; expected a statement");
    let hint = next_statement("SELCT 1", 0, Dialect::Spark).unwrap_err().hint;
    assert_eq!(hint.as_deref(), Some("did you mean SELECT?"));
    fails("42", "42601 0 syntax error at or near \"42\"; expected a statement");
}
