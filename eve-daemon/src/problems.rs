//! Problems of a configuration as lines of text, as compilers write them: `FILE:LINE:COLUMN: error: … (hint)`.

use std::fmt::Write as _;

use eve_core::plan::diagnostic::{Diagnostics, Severity, Source};

/// One line for each problem, with a closing newline.
pub fn render(problems: &Diagnostics) -> String {
    let mut text = String::new();
    for problem in &problems.list {
        if let Some(place) = &problem.place {
            let name = problems.sources.get(place.source).map_or("?", Source::name);
            let _ = write!(text, "{}:{}:{}: ", name.escape_debug(), place.line, place.column);
        }
        let severity = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let _ = write!(text, "{severity}: {}", shown(&problem.message));
        if let Some(hint) = &problem.hint {
            let _ = write!(text, "; {}", shown(hint));
        }
        let _ = writeln!(text, " [{}]", problem.code);
    }
    if problems.hidden > 0 {
        let _ = writeln!(text, "{} further problems are not shown", problems.hidden);
    }
    text
}

/// Without characters that a terminal would act on.
fn shown(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] }).collect()
}
