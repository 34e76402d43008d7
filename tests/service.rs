//! Services that `tests/run` starts, and what becomes of a test whose service is not there.

use std::io::Write;

/// The value of a service's variable; without it the test is reported as skipped, by name, and `None` tells it to return.
pub fn wanted(test: &str, variable: &str) -> Option<String> {
    match std::env::var(variable) {
        Ok(value) if !value.is_empty() => Some(value),
        _ => {
            let line = format!("skipped: {test} ({variable} is not set)");
            eprintln!("{line}");
            if let Ok(file) = std::env::var("TEST_TYCHO_SKIPS") {
                let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).expect("the skip list");
                writeln!(file, "{line}").expect("a line in the skip list");
            }
            None
        }
    }
}
