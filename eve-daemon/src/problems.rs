//! Problems of a configuration, or of a plan, as text. Those of a configuration are lines as compilers write them:
//! `FILE:LINE:COLUMN: error: … (hint)`.

use std::fmt::Write as _;

use eve_core::failure::Failure;
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

/// All errors of a plan as one failure that will not pass, each with its line and column, as one line for people.
pub fn failure(found: &Diagnostics) -> Failure {
    let errors = || found.list.iter().filter(|problem| problem.severity == Severity::Error);
    let texts: Vec<String> = errors()
        .map(|problem| {
            let place = problem.place.as_ref();
            let place = place.map_or_else(String::new, |at| format!("{}:{}: ", at.line, at.column));
            let hint = problem.hint.as_ref().map_or_else(String::new, |hint| format!(" ({})", shown(hint)));
            format!("{place}{}{hint}", shown(&problem.message))
        })
        .collect();
    let code = match errors().collect::<Vec<_>>().as_slice() {
        [one] => one.code.clone(),
        _ => "plan.problems".into(),
    };
    let more = if found.hidden > 0 { format!("; and {} more", found.hidden) } else { String::new() };
    Failure::permanent(code, format!("{}{more}", texts.join("; ")))
}
