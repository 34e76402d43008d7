//! The line that shows what a long statement has done so far.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::session::Progress;

/// Statements that end sooner show nothing.
const FIRST_AFTER: Duration = Duration::from_millis(500);
const EVERY: Duration = Duration::from_millis(200);
/// Back to the line's start, and erase it.
const CLEAR: &str = "\r\x1b[K";

/// Draws the line on stderr until it is stopped or dropped, and leaves the line empty.
pub(super) struct ProgressLine {
    task: tokio::task::JoinHandle<()>,
    /// Something stands on the line.
    drawn: Arc<AtomicBool>,
}

impl ProgressLine {
    pub(super) fn start(progress: Arc<Progress>) -> ProgressLine {
        let drawn = Arc::new(AtomicBool::new(false));
        let shown = Arc::clone(&drawn);
        let began = Instant::now();
        let task = tokio::spawn(async move {
            tokio::time::sleep(FIRST_AFTER).await;
            loop {
                let line = line(&progress, began.elapsed());
                shown.store(true, Ordering::Relaxed);
                eprint!("{CLEAR}{line}");
                let _ = std::io::stderr().flush();
                tokio::time::sleep(EVERY).await;
            }
        });
        ProgressLine { task, drawn }
    }

    /// Ends and empties the line, so that something else can be printed.
    pub(super) fn stop(&self) {
        self.task.abort();
        if self.drawn.swap(false, Ordering::Relaxed) {
            eprint!("{CLEAR}");
            let _ = std::io::stderr().flush();
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// `508,204 rows, 12.3 MB in 31 files, 4.2 s`
fn line(progress: &Progress, elapsed: Duration) -> String {
    let rows = progress.rows.load(Ordering::Relaxed);
    let bytes = progress.bytes_written.load(Ordering::Relaxed);
    let files = progress.files_written.load(Ordering::Relaxed);
    let written = match (bytes, files) {
        (0, 0) => String::new(),
        (_, 1) => format!(", {} in 1 file", megabytes(bytes)),
        _ => format!(", {} in {} files", megabytes(bytes), grouped(files)),
    };
    let rows = if rows == 0 && written.is_empty() { "running".to_owned() } else { format!("{} rows", grouped(rows)) };
    format!("{rows}{written}, {:.1} s", elapsed.as_secs_f64())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// 1234567 as 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `Time: 12.3 ms`, and beside it what a person reads more easily once it is long.
pub(super) fn time_text(elapsed: Duration) -> String {
    let milliseconds = elapsed.as_secs_f64() * 1e3;
    let seconds = elapsed.as_secs();
    match seconds {
        0 => format!("Time: {milliseconds:.1} ms"),
        1..60 => format!("Time: {milliseconds:.1} ms ({:.1} s)", elapsed.as_secs_f64()),
        _ => format!("Time: {milliseconds:.1} ms ({} min {} s)", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_only_what_there_is() {
        let progress = Progress::default();
        assert_eq!(line(&progress, Duration::from_millis(640)), "running, 0.6 s");
        progress.rows.store(508_204, Ordering::Relaxed);
        assert_eq!(line(&progress, Duration::from_secs(2)), "508,204 rows, 2.0 s");
        progress.bytes_written.store(12_345_678, Ordering::Relaxed);
        progress.files_written.store(31, Ordering::Relaxed);
        assert_eq!(line(&progress, Duration::from_secs(2)), "508,204 rows, 12.3 MB in 31 files, 2.0 s");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn times_are_in_milliseconds_and_in_words_when_long() {
        assert_eq!(time_text(Duration::from_micros(12_345)), "Time: 12.3 ms");
        assert_eq!(time_text(Duration::from_millis(2_500)), "Time: 2500.0 ms (2.5 s)");
        assert_eq!(time_text(Duration::from_secs(125)), "Time: 125000.0 ms (2 min 5 s)");
    }
}
