//! psql itself: simple protocol, backslash commands, errors with their place, NULLs, Ctrl-C.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::server::{Server, run_sql};
use crate::service::wanted;

fn psql(server: &Server, arguments: &[&str]) -> Output {
    Command::new("psql")
        .args(["-X", "-h", "127.0.0.1", "-U", "tycho", "-d", "tycho", "-p", &server.port.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("psql runs")
}

fn text(server: &Server, command: &str) -> String {
    let output = psql(server, &["-c", command]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}\n{errors}");
    assert!(!errors.contains("ERROR"), "{command}\n{errors}");
    String::from_utf8(output.stdout).expect("text")
}

fn lake() -> Server {
    let server = Server::start();
    run_sql(
        &server.warehouse,
        "CREATE DATABASE lake;
         CREATE TABLE lake.flights (id BIGINT NOT NULL, delay INT COMMENT 'minutes', note STRING, price DECIMAL(10,2), dt STRING)
         USING parquet PARTITIONED BY (dt);
         INSERT INTO lake.flights VALUES (1, 5, NULL, 1.50, '2001-01-01'), (2, NULL, '', 2, '2001-01-02');
         CREATE VIEW lake.late AS SELECT id FROM lake.flights WHERE delay > 0;",
    );
    server
}

#[test]
fn backslash_commands() {
    if wanted("psql::backslash_commands", "TEST_TYCHO_PSQL").is_none() {
        return;
    }
    let server = lake();
    let schemas = text(&server, "\\dn");
    assert!(schemas.contains("lake") && schemas.contains("default"), "{schemas}");
    let databases = text(&server, "\\l");
    assert!(databases.contains("tycho") && databases.contains("UTF8"), "{databases}");
    let tables = text(&server, "\\dt lake.*");
    assert!(tables.contains(" lake   | flights | table | tycho"), "{tables}");
    assert!(!tables.contains("late"), "{tables}");
    let relations = text(&server, "\\d lake.*");
    assert!(relations.contains("Table \"lake.flights\"") || relations.contains("flights"), "{relations}");
    let table = text(&server, "\\d lake.flights");
    for expect in ["id", "bigint", "not null", "delay", "integer", "note", "text", "numeric(10,2)", "dt"] {
        assert!(table.contains(expect), "{expect} in {table}");
    }
    let view = text(&server, "\\d lake.late");
    assert!(view.contains("View \"lake.late\""), "{view}");
    for command in ["\\dv lake.*", "\\du", "\\df lake.*", "\\dT", "\\d+ lake.flights", "\\di lake.*", "\\conninfo"] {
        text(&server, command);
    }
    let missing = psql(&server, &["-c", "\\d lake.nothing"]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("Did not find any relation named \"lake.nothing\""));
}

#[test]
fn the_current_schema_is_listed() {
    if wanted("psql::the_current_schema_is_listed", "TEST_TYCHO_PSQL").is_none() {
        return;
    }
    let server = lake();
    let output = psql(&server, &["-c", "SET search_path = lake", "-c", "\\dt"]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("flights"), "{shown}");
}

#[test]
fn values_nulls_and_several_statements() {
    if wanted("psql::values_nulls_and_several_statements", "TEST_TYCHO_PSQL").is_none() {
        return;
    }
    let server = lake();
    let output = psql(
        &server,
        &[
            "-A",
            "-t",
            "-P",
            "null=(null)",
            "-c",
            "SELECT 1 AS a; SELECT id, delay, note, price FROM lake.flights ORDER BY id; SELECT 1.50, true, 1e20::float8, date '2018-03-05', timestamp '2018-03-05 07:00:00.5'",
        ],
    );
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        shown,
        "1\n1|5|(null)|1.50\n2|(null)||2.00\n1.50|t|1e+20|2018-03-05|2018-03-05 07:00:00.5\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn errors_have_sqlstate_and_place() {
    if wanted("psql::errors_have_sqlstate_and_place", "TEST_TYCHO_PSQL").is_none() {
        return;
    }
    let server = lake();
    let rows = [
        ("SELECT nope FROM lake.flights", "42703", "LINE 1: SELECT nope FROM lake.flights\n               ^"),
        ("SELECT * FROM lake.flihgts", "42P01", "LINE 1: SELECT * FROM lake.flihgts\n                      ^"),
        ("SELEKT 1", "42601", "LINE 1: SELEKT 1\n        ^"),
        ("SELECT nofunction(1)", "42883", "LINE 1: SELECT nofunction(1)\n               ^"),
        ("SELECT 1 / 0", "22012", "division by zero"),
        ("SELECT 'x'::int", "22P02", "ERROR"),
    ];
    for (statement, state, expect) in rows {
        let output = psql(&server, &["-v", "VERBOSITY=verbose", "-c", statement]);
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(shown.contains(&format!("ERROR:  {state}:")), "{statement}: {shown}");
        assert!(shown.contains(expect), "{statement}: {shown}");
    }
}

#[test]
fn ctrl_c_cancels() {
    if wanted("psql::ctrl_c_cancels", "TEST_TYCHO_PSQL").is_none() {
        return;
    }
    let server = lake();
    let child = Command::new("psql")
        .args(["-X", "-h", "127.0.0.1", "-U", "tycho", "-d", "tycho", "-p", &server.port.to_string()])
        .args(["-c", "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value < 0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql starts");
    std::thread::sleep(Duration::from_millis(800));
    let asked = Instant::now();
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(interrupted.success());
    let output = child.wait_with_output().expect("psql ends");
    assert!(asked.elapsed() < Duration::from_secs(3), "it took {:?}", asked.elapsed());
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(shown.contains("canceling statement due to user request"), "{shown}");
}
