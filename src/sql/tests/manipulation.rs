//! INSERT, TRUNCATE, MSCK REPAIR, VACUUM.

use super::*;

#[test]
fn inserts() {
    check("INSERT INTO t SELECT 1", "insert t: SELECT 1");
    check("INSERT INTO TABLE a.t VALUES (1, 'x'), (2, 'y')", "insert a.t: VALUES (1, 'x'), (2, 'y')");
    check("INSERT INTO t (a, b) VALUES (1, 2)", "insert t (a,b): VALUES (1, 2)");
    check("INSERT INTO t TABLE u", "insert t: SELECT * FROM u");
    check("INSERT INTO t BY NAME SELECT 1 AS a", "insert t by-name: SELECT 1 AS a");
    check("INSERT INTO t (SELECT a FROM u)", "insert t: SELECT a FROM u");
    check("INSERT INTO t ((SELECT 1) UNION (SELECT 2))", "insert t: (SELECT 1) UNION (SELECT 2)");
    check(
        "INSERT OVERWRITE TABLE t PARTITION (dt = '2018-03-05', h) IF NOT EXISTS (a, b) SELECT 1, 2",
        "insert overwrite t partition(dt=Text(\"2018-03-05\"),h) if-not-exists (a,b): SELECT 1, 2",
    );
    check("INSERT INTO t (a) PARTITION (dt) SELECT 1, 'x'", "insert t partition(dt) (a): SELECT 1, 'x'");
    check(
        "INSERT OVERWRITE t PARTITION (dt) REPLACE PARTITIONS (dt = '1', h IN (1, 2)) SELECT 1",
        "insert overwrite t partition(dt) replace(dt = '1', h IN (1, 2)): SELECT 1",
    );
    check(
        "INSERT OVERWRITE lake.flights PARTITION (dt) SELECT * FROM (SELECT geodata(a, b) AS g FROM s) x DISTRIBUTE BY dt SORT BY dt, t DESC NULLS LAST",
        "insert overwrite lake.flights partition(dt): SELECT * FROM (SELECT geodata(a, b) AS g FROM s) x |distribute dt |sort dt,t DESC NULLS LAST",
    );
    check("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "insert t: WITH x AS (SELECT 1) SELECT * FROM x");
    check("FROM u INSERT INTO t SELECT a, b WHERE a > 1", "insert t: SELECT a, b FROM u WHERE a > 1");
    check(
        "FROM u INSERT OVERWRITE TABLE t PARTITION (dt) SELECT a, dt WHERE a > 1 DISTRIBUTE BY dt",
        "insert overwrite t partition(dt): SELECT a, dt FROM u WHERE a > 1 |distribute dt",
    );
    check(
        "INSERT OVERWRITE DIRECTORY '/x' USING csv OPTIONS (header true) SELECT 1",
        "insert overwrite directory /x using=csv options[header=true]: SELECT 1",
    );
    check(
        "INSERT OVERWRITE LOCAL DIRECTORY '/x' STORED AS PARQUET SELECT 1",
        "insert overwrite directory /x using=parquet: SELECT 1",
    );
    check(
        "INSERT OVERWRITE DIRECTORY USING json OPTIONS (path '/y') SELECT 1",
        "insert overwrite directory /y using=json: SELECT 1",
    );
    check(
        "INSERT INTO t PARTITION (a = NULL, b = true, c = -1.5, d = \"x\") SELECT 1",
        "insert t partition(a=Null,b=Boolean(true),c=Number(\"-1.5\"),d=Text(\"x\")): SELECT 1",
    );
}

#[test]
fn inserts_that_are_not() {
    fails("INSERT t SELECT 1", "42601 7 syntax error at or near \"t\"; expected INTO or OVERWRITE");
    fails("INSERT INTO SELECT 1", "42601 12 syntax error at or near \"SELECT\"; expected a table's name");
    fails("INSERT INTO t", "42601 13 syntax error at end of input; expected SELECT, VALUES, TABLE, FROM or WITH");
    fails("INSERT INTO t (a, A) SELECT 1, 2", "42701 18 column `A` is named twice");
    fails("INSERT INTO t BY NAME (a) SELECT 1", "42601 22 BY NAME and a list of columns exclude each other");
    fails("INSERT INTO t PARTITION (a) PARTITION (b) SELECT 1", "42601 28 PARTITION is given twice");
    fails(
        "INSERT INTO t REPLACE PARTITIONS (a = 1) SELECT 1",
        "42601 12 REPLACE PARTITIONS belongs to INSERT OVERWRITE",
    );
    fails("INSERT INTO t AS x SELECT 1", "0A000 14 an alias of the table of INSERT is not supported");
    fails("INSERT INTO t SELECT 1 ON CONFLICT DO NOTHING", "0A000 23 ON CONFLICT is not supported");
    fails("INSERT INTO t VALUES (1) RETURNING a", "0A000 25 RETURNING is not supported");
    fails("INSERT INTO t DEFAULT VALUES", "0A000 14 INSERT … DEFAULT VALUES is not supported");
    fails(
        "INSERT INTO t PARTITION (a = b) SELECT 1",
        "42601 29 syntax error at or near \"b\"; expected a literal value",
    );
    fails(
        "FROM u INSERT INTO t SELECT a INSERT INTO v SELECT b",
        "0A000 30 several INSERTs behind one FROM is not supported",
    );
    fails(
        "INSERT INTO DIRECTORY '/x' SELECT 1",
        "42601 12 syntax error at or near \"DIRECTORY\"; expected TABLE or a table's name: INSERT OVERWRITE writes a directory",
    );
    fails("INSERT INTO t SELECT 1 FORM x y", "42601 28 syntax error at or near \"x\"; expected the end of the query");
}

#[test]
fn tending() {
    check("MSCK REPAIR TABLE a.t", "repair a.t Add");
    check("MSCK TABLE t DROP PARTITIONS", "repair t Drop");
    check("REPAIR TABLE t SYNC PARTITIONS", "repair t Sync");
    fails("MSCK REPAIR t", "42601 12 syntax error at or near \"t\"; expected TABLE");
    fails("MSCK REPAIR TABLE t ADD", "42601 23 syntax error at end of input; expected PARTITIONS");
    check("TRUNCATE TABLE t PARTITION (dt = '1')", "truncate t partition(dt=Text(\"1\"))");
    check("TRUNCATE t", "truncate t");
    fails("TRUNCATE a, b", "0A000 10 TRUNCATE takes one table");
    check("VACUUM", "vacuum");
    check("VACUUM DRY RUN", "vacuum dry-run");
    check("VACUUM a.t DRY RUN", "vacuum table=a.t dry-run");
    fails("VACUUM FULL", "0A000 7 VACUUM has no options but DRY RUN");
    check("CACHE TABLE t", "no effect CACHE TABLE (notice)");
    check("CACHE LAZY TABLE t OPTIONS ('storageLevel' 'DISK')", "no effect CACHE TABLE (notice)");
    check("UNCACHE TABLE IF EXISTS t", "no effect UNCACHE TABLE (notice)");
    check("CLEAR CACHE", "no effect CLEAR CACHE (notice)");
    check("REFRESH TABLE a.t", "no effect REFRESH TABLE (notice)");
    check("REFRESH '/path'", "no effect REFRESH TABLE (notice)");
    check("ANALYZE TABLE t PARTITION (dt) COMPUTE STATISTICS FOR COLUMNS a, b", "no effect ANALYZE (notice)");
    check("ANALYZE", "no effect ANALYZE (notice)");
    check("ANALYZE t (a, b)", "no effect ANALYZE (notice)");
    check("LISTEN x", "no effect LISTEN (notice)");
    check("UNLISTEN *", "no effect UNLISTEN");
    fails("CACHE TABLE", "42601 11 syntax error at end of input; expected a table's name");
    fails("CACHE TABLE t AS SELECT 1", "0A000 14 CACHE TABLE … AS is not supported");
}
