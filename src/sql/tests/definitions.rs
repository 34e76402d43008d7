//! CREATE, DROP and ALTER.

use super::*;

#[test]
fn databases() {
    check("CREATE DATABASE lake", "create database lake");
    check("create schema if not exists lake", "create database if-not-exists lake");
    check(
        "CREATE NAMESPACE lake LOCATION '/x' COMMENT 'the lake' WITH DBPROPERTIES (a = '1', b.c '2')",
        "create database lake comment=the lake location=/x properties[a=1 b.c=2]",
    );
    fails("CREATE DATABASE", "42601 15 syntax error at end of input; expected a database's name");
    fails("CREATE DATABASE a COMMENT 'x' COMMENT 'y'", "42601 30 COMMENT is given twice");
    fails("CREATE DATABASE a.b", "0A000 18 a database's name has one part");
    check("DROP DATABASE IF EXISTS lake CASCADE", "drop database if-exists lake cascade");
    check("DROP SCHEMA lake RESTRICT", "drop database lake");
    fails("DROP SCHEMA", "42601 11 syntax error at end of input; expected a database's name");
}

#[test]
fn tables() {
    check("CREATE TABLE t (a INT)", "create table t (a INT)");
    check(
        "CREATE EXTERNAL TABLE IF NOT EXISTS lake.flights (id BIGINT NOT NULL COMMENT 'key', `d t` STRING DEFAULT 'x') \
         USING PARQUET PARTITIONED BY (dt STRING, h) LOCATION 's3://b/p'",
        "create external table if-not-exists lake.flights (id BIGINT not null comment=key, d t STRING default='x') \
         using=parquet by(dt STRING, h) location=s3://b/p",
    );
    check(
        "CREATE TABLE t (a array<struct<x:int,y:map<string,int>>>, b decimal(10, 2)) STORED AS ORC TBLPROPERTIES ('a'='b')",
        "create table t (a array<struct<x:int,y:map<string,int>>>, b decimal(10, 2)) stored-as=orc properties[a=b]",
    );
    check(
        "CREATE TABLE t USING org.apache.spark.sql.parquet OPTIONS (path '/x', fs.s3a.path-style=true, \"q k\" \"v\", n=-1)",
        "create table t using=org.apache.spark.sql.parquet options[path=/x fs.s3a.path-style=true q k=v n=-1]",
    );
    check(
        "CREATE TABLE t (a INT) LOCATION '/x' COMMENT 'c' PARTITIONED BY (a) USING csv OPTIONS (header 'true')",
        "create table t (a INT) using=csv by(a) location=/x options[header=true] comment=c",
    );
    check(
        "CREATE TABLE t (a INT, b INT) USING parquet CLUSTERED BY (a, b) SORTED BY (a DESC) INTO 8 BUCKETS",
        "create table t (a INT, b INT) using=parquet clustered",
    );
    check("CREATE TABLE t USING parquet AS SELECT 1 AS a", "create table t using=parquet as SELECT 1 AS a");
    check("CREATE TABLE t AS (SELECT 1 AS a)", "create table t as SELECT 1 AS a");
    check("CREATE TABLE t AS SELECT 1 AS a WITH DATA", "create table t as SELECT 1 AS a");
    check("CREATE TABLE t (a INT DEFAULT 1 + 2 NOT NULL)", "create table t (a INT not null default=1 + 2)");
    check(
        "CREATE TABLE t (a double precision, b timestamp with time zone, c text[])",
        "create table t (a double precision, b timestamp with time zone, c text[])",
    );
}

#[test]
fn tables_that_are_not() {
    fails("CREATE TABLE t (a INT) USING csv USING csv", "42601 33 USING or STORED AS is given twice");
    fails("CREATE TABLE t (a INT) STORED AS orc USING csv", "42601 37 USING or STORED AS is given twice");
    fails("CREATE TABLE t (a INT) LOCATION '/a' LOCATION '/b'", "42601 37 LOCATION is given twice");
    fails("CREATE TABLE t (a INT) USING csv OPTIONS (a '1', A '2')", "42601 49 `A` is given twice");
    fails("CREATE TABLE t (a INT, A STRING)", "42701 23 column `A` is named twice");
    fails("CREATE TABLE t (a INT) PARTITIONED BY (a STRING)", "42701 39 column `a` is named twice");
    fails("CREATE TABLE t (a INT", "42601 21 syntax error at end of input; expected `)`");
    fails("CREATE TABLE t (a)", "42601 17 syntax error at or near \")\"; expected a type");
    fails("CREATE TABLE t (a strin)", "42704 18 type `strin` does not exist");
    fails("CREATE TABLE t (a array<int)", "42601 27 syntax error at or near \")\"; expected `>`");
    fails(
        "CREATE TABLE t (a decimal(40, 2))",
        "22023 18 decimal(40, 2) is out of range: precision 1 to 38, scale 0 to precision",
    );
    fails("CREATE TABLE t (a INT PRIMARY KEY)", "0A000 22 PRIMARY KEY is not supported");
    fails("CREATE TABLE t (a INT, PRIMARY KEY (a))", "0A000 23 PRIMARY KEY is not supported");
    fails("CREATE TABLE t LIKE u", "0A000 15 CREATE TABLE … LIKE is not supported");
    fails("CREATE TEMP TABLE t (a INT)", "0A000 12 CREATE TEMPORARY TABLE is not supported");
    fails("CREATE OR REPLACE TABLE t (a INT)", "0A000 7 CREATE OR REPLACE TABLE is not supported");
    fails(
        "CREATE TABLE t (a INT) USING csv CLUSTERED BY (a) INTO 0 BUCKETS",
        "42601 55 syntax error at or near \"0\"; expected a number of buckets",
    );
    fails("CREATE TABLE a.b.c.d (a INT)", "42601 19 a name has at most three parts: catalog.database.table");
    fails(
        "CREATE TABLE t (a INT) FOO",
        "42601 23 syntax error at or near \"FOO\"; expected USING, STORED AS, OPTIONS, PARTITIONED BY, CLUSTERED BY, \
         COMMENT, LOCATION, TBLPROPERTIES or AS",
    );
    fails("CREATE INDEX i ON t (a)", "0A000 7 CREATE INDEX is not supported");
    fails(
        "CREATE TABLE t (a INT) PARTITIONED BY (days(ts))",
        "0A000 39 partitioning by a transform (`days(…)`) is not supported",
    );
    fails("CREATE TABLE t AS SELECT 1 WITH NO DATA", "0A000 27 WITH NO DATA is not supported");
}

#[test]
fn views() {
    check("CREATE VIEW v AS SELECT 1 AS a", "create view v (): SELECT 1 AS a <SELECT 1 AS a>");
    check(
        "CREATE OR REPLACE TEMP VIEW db.v (a COMMENT 'x', b) COMMENT 'c' AS  SELECT 1, 2 -- end\n",
        "create or-replace temporary view db.v (a,b) comment=c: SELECT 1, 2 <SELECT 1, 2>",
    );
    check(
        "CREATE TEMPORARY VIEW IF NOT EXISTS v AS VALUES (1)",
        "create temporary view if-not-exists v (): VALUES (1) <VALUES (1)>",
    );
    fails("CREATE VIEW v", "42601 13 syntax error at end of input; expected AS");
    fails("CREATE VIEW v (a, A) AS SELECT 1, 2", "42701 18 column `A` is named twice");
    fails(
        "CREATE OR REPLACE VIEW IF NOT EXISTS v AS SELECT 1",
        "42601 36 OR REPLACE and IF NOT EXISTS exclude each other",
    );
    fails("CREATE TEMP VIEW v USING csv", "0A000 19 CREATE VIEW … USING is not supported");
    check("DROP VIEW IF EXISTS a.b", "drop view if-exists a.b");
    check("DROP TABLE t PURGE", "drop table t purge");
    check("DROP TABLE IF EXISTS a.b.c", "drop table if-exists a.b.c");
    fails("DROP TABLE a, b", "0A000 12 DROP TABLE takes one name");
    fails("DROP TABLE t CASCADE", "0A000 13 CASCADE is not supported here");
    fails(
        "DROP TABEL t",
        "42601 5 syntax error at or near \"TABEL\"; expected DATABASE, SCHEMA, NAMESPACE, TABLE, VIEW or GEODATA LAYER",
    );
    fails("DROP ROLE r", "0A000 5 DROP ROLE is not supported");
}

#[test]
fn alterations() {
    check(
        "ALTER TABLE t ADD IF NOT EXISTS PARTITION (dt='x') LOCATION '/p' PARTITION (dt='y')",
        "alter t add if-not-exists (dt=Text(\"x\")) location=/p (dt=Text(\"y\"))",
    );
    check(
        "ALTER TABLE t DROP IF EXISTS PARTITION (dt='x'), PARTITION (dt=DATE '2018-01-01', h=08) PURGE",
        "alter t drop if-exists purge (dt=Text(\"x\")) (dt=Typed(\"DATE\", \"2018-01-01\"),h=Number(\"08\"))",
    );
    check("ALTER TABLE t RECOVER PARTITIONS", "alter t recover");
    check("ALTER TABLE a.t RENAME TO a.u", "alter a.t rename a.u");
    check("ALTER TABLE t SET TBLPROPERTIES ('a' = 'b', c.d = 1)", "alter t set properties[a=b c.d=1]");
    check("ALTER TABLE t UNSET TBLPROPERTIES IF EXISTS ('a', c.d)", "alter t unset if-exists a,c.d");
    check("ALTER TABLE t SET LOCATION '/x'", "alter t location /x");
    check("ALTER TABLE t PARTITION (dt = '1') SET LOCATION '/x'", "alter t location partition(dt=Text(\"1\")) /x");
    check("ALTER TABLE t ADD COLUMNS (a INT COMMENT 'x', b STRING)", "alter t columns (a INT comment=x, b STRING)");
    check("ALTER TABLE t ADD COLUMN a INT", "alter t columns (a INT)");
    fails("ALTER TABLE t ADD PARTITION", "42601 27 syntax error at end of input; expected `(`");
    fails("ALTER TABLE t DROP PARTITION (dt < '1')", "0A000 33 a PARTITION clause compares with `=` only");
    fails("ALTER TABLE t ADD PARTITION (dt='1', DT='2')", "42701 37 partition column `DT` is named twice");
    fails("ALTER TABLE t DROP COLUMN a", "0A000 19 ALTER TABLE … DROP COLUMN is not supported");
    fails("ALTER TABLE t RENAME COLUMN a TO b", "0A000 14 ALTER TABLE … RENAME COLUMN is not supported");
    fails("ALTER TABLE t SET FILEFORMAT orc", "0A000 14 ALTER TABLE … SET FILEFORMAT is not supported");
    fails("ALTER VIEW v AS SELECT 1", "0A000 6 ALTER VIEW is not supported");
    fails(
        "ALTER TABLE t FROB",
        "42601 14 syntax error at or near \"FROB\"; expected ADD, DROP, RENAME TO, RECOVER PARTITIONS, SET, UNSET or PARTITION",
    );
}

#[test]
fn geodata_layers() {
    check(
        "CREATE GEODATA LAYER us_places FIELDS (city, state) GEOMETRY wkt AS SELECT * FROM places",
        "create layer us_places (city,state) wkt: SELECT * FROM places <SELECT * FROM places>",
    );
    check(
        "CREATE OR REPLACE GEODATA LAYER l IN us FIELDS (a) GEOMETRY g AS SELECT 1",
        "create or-replace layer l in=us (a) g: SELECT 1 <SELECT 1>",
    );
    check(
        "CREATE GEODATA LAYER IF NOT EXISTS l FIELDS (a) GEOMETRY g AS VALUES (1)",
        "create layer if-not-exists l (a) g: VALUES (1) <VALUES (1)>",
    );
    fails(
        "CREATE GEODATA LAYER l GEOMETRY g AS SELECT 1",
        "42601 23 syntax error at or near \"GEOMETRY\"; expected FIELDS",
    );
    fails("CREATE GEODATA LAYER l FIELDS (a, A) GEOMETRY g AS SELECT 1", "42701 34 field `A` is named twice");
    check("DROP GEODATA LAYER IF EXISTS l IN us", "drop layer if-exists l in=us");
    fails("DROP GEODATA l", "42601 13 syntax error at or near \"l\"; expected LAYER");
}
