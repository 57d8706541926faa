//! Problems of a configuration, or of a plan, as text. Those of a configuration are lines as compilers write them:
//! `FILE:LINE:COLUMN: error: … (hint)`.

use std::fmt::Write as _;

use eve_core::failure::{Failure, shortened};
use eve_core::few::{MORE_BYTES_MAX, more};
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
    for line in problems.unlisted() {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Without characters that a terminal would act on.
fn shown(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] }).collect()
}

/// All errors of a plan as one failure that will not pass, each with its line and column, as one line for people: as many as
/// fit, each whole, and how many more there are. Those that do not fit are logged.
pub fn failure(found: &Diagnostics) -> Failure {
    let errors = || found.list.iter().filter(|problem| problem.severity == Severity::Error);
    let mut texts = errors()
        .map(|problem| {
            let place = problem.place.as_ref();
            let place = place.map_or_else(String::new, |at| format!("{}:{}: ", at.line, at.column));
            let hint = problem.hint.as_ref().map_or_else(String::new, |hint| format!(" ({})", shown(hint)));
            format!("{place}{}{hint}", shown(&problem.message))
        })
        .peekable();
    let code = match errors().collect::<Vec<_>>().as_slice() {
        [one] => one.code.clone(),
        _ => "plan.problems".into(),
    };
    let room = Failure::MESSAGE_BYTES_MAX - MORE_BYTES_MAX;
    let mut told = shortened(texts.next().unwrap_or_default(), room);
    while let Some(text) = texts.next_if(|text| told.len() + "; ".len() + text.len() <= room) {
        told.push_str("; ");
        told.push_str(&text);
    }
    let left: Vec<String> = texts.collect();
    if !left.is_empty() {
        let problems = left.join("; ");
        tracing::warn!(problems, "a plan has more problems than its outcome can tell");
    }
    if let Some(more) = more(left.len().saturating_add(found.hidden)) {
        let _ = write!(told, "; {more}");
    }
    Failure::permanent(code, told)
}

#[cfg(test)]
mod tests {
    use eve_core::plan::diagnostic::Diagnostic;
    use eve_core::scheduler::Reason;

    use super::*;

    fn found(number: usize, message: &str) -> Diagnostics {
        let problem = |at: usize| Diagnostic::error("secret.denied", format!("secret `s{at}`: {message}"));
        Diagnostics { list: (0..number).map(problem).collect(), ..Diagnostics::default() }
    }

    #[test]
    fn sixteen_bad_references_are_all_told() {
        let why = "Vault denies kv/data/team/shop/database; look at the policy of the role, or at the path";
        let failure = failure(&found(16, &format!("{why} {why}")));
        let told = Reason::of(&failure).message;
        assert_eq!(told.matches("secret `s").count(), 16, "{told}");
        assert!(!told.contains("more"), "{told}");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_no_problem_is_told_by_half() {
        let mut many = found(300, "nobody has it, wherever one looks");
        many.hidden = 7;
        let told = Reason::of(&failure(&many)).message;
        let (problems, more) = told.rsplit_once("; and ").unwrap();
        let problems: Vec<&str> = problems.split("; ").collect();
        assert!(problems.len() > 100, "{}", problems.len());
        for (at, problem) in problems.iter().enumerate() {
            assert_eq!(*problem, format!("secret `s{at}`: nobody has it, wherever one looks"));
        }
        assert_eq!(more, format!("{} more", 307 - problems.len()));
        assert!(told.len() <= Reason::TEXT_BYTES_MAX, "{}", told.len());
    }

    #[test]
    fn one_problem_that_is_too_long_is_cut_between_words_and_says_so() {
        let told = Reason::of(&failure(&found(2, &"pässword ".repeat(2_000)))).message;
        assert!(told.ends_with(" pässword …; and 1 more"), "{}", &told[told.len() - 40..]);
        assert!(told.len() <= Reason::TEXT_BYTES_MAX, "{}", told.len());
    }
}
