//! The one place that writes progress for people, on standard error. It must not be used for results.

use std::io::Write as _;

/// Writes one line to standard error.
///
/// It goes around the capture of the test harness on purpose: who runs the tests for the first time must see why
/// nothing happens for minutes. A closed standard error is no reason to fail.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "eve-testbed: {line}");
}
