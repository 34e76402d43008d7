//! psycopg 3: prepared statements, binary results, transactions, errors, a server-side stream.

use std::process::Command;

use crate::server::{Server, run_sql};
use crate::service::wanted;

#[test]
fn psycopg_3() {
    let Some(python) = wanted("psycopg::psycopg_3", "TEST_TYCHO_PYTHON") else { return };
    let server = Server::start();
    run_sql(
        &server.warehouse,
        "CREATE TABLE t (id BIGINT, small SMALLINT, n INT, f DOUBLE, r FLOAT, price DECIMAL(20,4), ok BOOLEAN, name STRING,
           day DATE, at TIMESTAMP, raw BINARY) USING parquet;
         INSERT INTO t VALUES (1, 2S, 3, 1.5D, cast(2.5 as float), 12.3400, true, 'één', DATE '2018-03-05',
           TIMESTAMP '2018-03-05 07:08:09.123456', X'0102ff'), (2, null, null, null, null, null, null, null, null, null, null)",
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/psycopg/psycopg3.py");
    let output = Command::new(python).args([script, &server.port.to_string()]).output().expect("python runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
