//! The demo from an empty folder, twice, and its table against DuckDB's answer from the same files.

use std::process::Command;

use crate::server::{TYCHO, errors, run_sql};
use crate::service::wanted;

#[test]
fn the_demo_equals_an_independent_computation() {
    let dir = tempfile::tempdir().expect("a folder");
    let lake = dir.path().join("tycho-demo");
    let run = || {
        let output = Command::new(TYCHO).args(["demo", "--dir"]).arg(&lake).output().expect("the demo runs");
        assert!(output.status.success(), "{}", errors(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let first = run();
    assert!(first.contains("tycho serve --warehouse"), "{first}");
    let count = run_sql(&lake, "SELECT count(*) AS n, count(DISTINCT dt) AS days FROM lake.flights");
    run();
    assert_eq!(count, run_sql(&lake, "SELECT count(*) AS n, count(DISTINCT dt) AS days FROM lake.flights"));

    let Some(python) = wanted("demo::the_demo_equals_an_independent_computation", "TEST_TYCHO_PYTHON") else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/demo/compare.py");
    let output = Command::new(python).arg(script).arg(&lake).output().expect("python runs");
    assert!(output.status.success(), "{}", errors(&output));
}
