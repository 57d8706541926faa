//! What differs between two texts, line by line. Pure.

/// How many lines that are the same are shown on each side of one that is not.
const CONTEXT: usize = 2;
/// The most lines that are shown.
const LINES_MAX: usize = 60;
/// The most characters of a line or of a value that are shown.
pub(super) const LINE_CHARS_MAX: usize = 200;
/// How much of what is the same is shown before the first difference of two lines, in characters.
const LEAD_CHARS: usize = 40;
/// The most pairs of lines that are compared; where there would be more, the middle of a text counts as changed.
const PAIRS_MAX: usize = 1_000_000;

/// A line of either text, or of both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Same(String),
    Old(String),
    New(String),
    /// What is left out.
    Note(String),
}

/// The lines that differ, with a few around them.
pub(super) fn changed(old: &str, new: &str) -> Vec<Line> {
    let (old_lines, new_lines) = (split(old), split(new));
    let mut shown = folded(pairs(&old_lines, &new_lines));
    if shown.is_empty() {
        let note = if new.len() > old.len() { "a newline is added" } else { "a newline is removed" };
        return vec![Line::Note(format!("{note} at the end"))];
    }
    let left_out = shown.len().saturating_sub(LINES_MAX);
    if left_out > 0 {
        shown.truncate(LINES_MAX);
        shown.push(Line::Note(format!("… {left_out} more lines of this difference")));
    }
    shown
}

/// Two texts of one line from where they differ, a little earlier; of each no more than is shown of a line.
pub(super) fn windows(old: &str, new: &str) -> (String, String) {
    let same = old.chars().zip(new.chars()).take_while(|(old, new)| old == new).count();
    let fits = |text: &str| text.chars().nth(LINE_CHARS_MAX).is_none();
    let is_seen = same + LEAD_CHARS < LINE_CHARS_MAX || fits(old) && fits(new);
    let skip = if is_seen { 0 } else { same - LEAD_CHARS };
    (window(old, skip), window(new, skip))
}

/// The beginning of a text, as much as is shown of a line.
pub(super) fn clipped(text: &str) -> String {
    window(text, 0)
}

fn window(text: &str, skip: usize) -> String {
    let mut chars = text.chars().skip(skip);
    let kept: String = chars.by_ref().take(LINE_CHARS_MAX).collect();
    let (before, after) = (if skip > 0 { "…" } else { "" }, if chars.next().is_some() { "…" } else { "" });
    format!("{before}{kept}{after}")
}

fn split(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { text.strip_suffix('\n').unwrap_or(text).split('\n').collect() }
}

/// One step of the way from the old text to the new.
enum Pair<'a> {
    Same(&'a str),
    /// Lines of the old text, and those of the new in their place; either may be none.
    Changed(Vec<&'a str>, Vec<&'a str>),
}

fn pairs<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Pair<'a>> {
    let head = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old_rest, new_rest) = (old.get(head..).unwrap_or_default(), new.get(head..).unwrap_or_default());
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(old, new)| old == new).count();
    let middle = |lines: &[&'a str]| lines.iter().copied().take(lines.len() - tail).collect::<Vec<_>>();
    let (old_middle, new_middle) = (middle(old_rest), middle(new_rest));
    let mut pairs: Vec<Pair<'a>> = old.iter().take(head).copied().map(Pair::Same).collect();
    if old_middle.len().saturating_mul(new_middle.len()) > PAIRS_MAX {
        pairs.push(Pair::Changed(old_middle, new_middle));
    } else {
        between(&old_middle, &new_middle, &mut pairs);
    }
    pairs.extend(old_rest.iter().skip(old_rest.len() - tail).copied().map(Pair::Same));
    pairs
}

/// By the longest common subsequence.
fn between<'a>(old: &[&'a str], new: &[&'a str], pairs: &mut Vec<Pair<'a>>) {
    let lengths = lengths(old, new);
    let length = |i: usize, j: usize| lengths.get(i).and_then(|row| row.get(j)).copied().unwrap_or_default();
    let (mut i, mut j) = (0, 0);
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    loop {
        match (old.get(i), new.get(j)) {
            (Some(from), Some(to)) if from == to => {
                if !removed.is_empty() || !added.is_empty() {
                    pairs.push(Pair::Changed(std::mem::take(&mut removed), std::mem::take(&mut added)));
                }
                pairs.push(Pair::Same(from));
                (i, j) = (i + 1, j + 1);
            }
            (Some(from), to) if to.is_none() || length(i + 1, j) >= length(i, j + 1) => {
                removed.push(*from);
                i += 1;
            }
            (_, Some(to)) => {
                added.push(*to);
                j += 1;
            }
            (_, None) => break,
        }
    }
    if !removed.is_empty() || !added.is_empty() {
        pairs.push(Pair::Changed(removed, added));
    }
}

/// How long the longest common subsequence of the rests is, by where they begin.
fn lengths(old: &[&str], new: &[&str]) -> Vec<Vec<u32>> {
    let mut rows = vec![vec![0; new.len() + 1]];
    for from in old.iter().rev() {
        let below = rows.last().map(Vec::as_slice).unwrap_or_default();
        let mut row = vec![0_u32];
        for (to, pair) in new.iter().zip(below.windows(2)).rev() {
            let right = row.last().copied().unwrap_or_default();
            let &[straight, diagonal] = pair else { continue };
            row.push(if from == to { diagonal + 1 } else { straight.max(right) });
        }
        row.reverse();
        rows.push(row);
    }
    rows.reverse();
    rows
}

/// Lines that are the same and far from any difference are left out.
fn folded(pairs: Vec<Pair<'_>>) -> Vec<Line> {
    let is_change = |pair: Option<&Pair<'_>>| matches!(pair, Some(Pair::Changed(..)));
    let near: Vec<bool> = (0..pairs.len())
        .map(|at| (at.saturating_sub(CONTEXT)..=at + CONTEXT).any(|near| is_change(pairs.get(near))))
        .collect();
    let (mut lines, mut hidden) = (Vec::new(), 0_usize);
    if !near.contains(&true) {
        return lines;
    }
    for (pair, near) in pairs.into_iter().zip(near) {
        match pair {
            Pair::Same(_) if !near => hidden += 1,
            Pair::Same(line) => {
                tell_hidden(&mut lines, &mut hidden);
                lines.push(Line::Same(window(line, 0)));
            }
            Pair::Changed(old, new) => {
                tell_hidden(&mut lines, &mut hidden);
                let window_of = |texts: &[&str], others: &[&str]| -> Vec<String> {
                    let pairs = texts.iter().enumerate();
                    pairs.map(|(at, line)| windows(line, others.get(at).unwrap_or(&"")).0).collect()
                };
                lines.extend(window_of(&old, &new).into_iter().map(Line::Old));
                lines.extend(window_of(&new, &old).into_iter().map(Line::New));
            }
        }
    }
    tell_hidden(&mut lines, &mut hidden);
    lines
}

fn tell_hidden(lines: &mut Vec<Line>, hidden: &mut usize) {
    match std::mem::take(hidden) {
        0 => {}
        1 => lines.push(Line::Note("… 1 line is the same".to_owned())),
        count => lines.push(Line::Note(format!("… {count} lines are the same"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(old: &str, new: &str) -> String {
        let line = |line: &Line| match line {
            Line::Same(line) => format!("  {line}\n"),
            Line::Old(line) => format!("- {line}\n"),
            Line::New(line) => format!("+ {line}\n"),
            Line::Note(note) => format!("{note}\n"),
        };
        changed(old, new).iter().map(line).collect()
    }

    #[test]
    fn one_line_of_many_is_shown_with_its_neighbours() {
        let text_with = |word: &str| {
            let lines: Vec<String> =
                (1..=300).map(|at| format!("{at} {}\n", if at == 200 { word } else { "x" })).collect();
            lines.concat()
        };
        let (old, new) = (text_with("old"), text_with("new"));
        let shown = "… 197 lines are the same\n  198 x\n  199 x\n- 200 old\n+ 200 new\n  201 x\n  202 x\n… 98 lines are the same\n";
        assert_eq!(text(&old, &new), shown);
    }

    #[test]
    fn what_is_added_removed_and_moved_is_told() {
        for (old, new, shown) in [
            ("a\nb\n", "a\nx\nb\n", "  a\n+ x\n  b\n"),
            ("a\nx\nb\n", "a\nb\n", "  a\n- x\n  b\n"),
            ("a\nb\nc\n", "b\nc\na\n", "- a\n  b\n  c\n+ a\n"),
            ("", "a\n", "+ a\n"),
            ("a", "a\n", "a newline is added at the end\n"),
        ] {
            assert_eq!(text(old, new), shown, "{old:?} {new:?}");
        }
    }

    #[test]
    fn long_lines_and_many_lines_are_bounded_and_their_difference_is_seen() {
        let long = |end: &str| format!("{}{end}{}", "x".repeat(1000), "y".repeat(1000));
        let (old, new) = windows(&long("old"), &long("new"));
        assert!(old.contains("xold") && new.contains("xnew"), "{old} {new}");
        assert_eq!(old.chars().count(), LINE_CHARS_MAX + 2);
        let many = |word: &str| (0..3000).map(|at| format!("{word} {at}\n")).collect::<Vec<_>>().concat();
        let lines = changed(&many("old"), &many("new"));
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(lines.last(), Some(&Line::Note("… 5940 more lines of this difference".to_owned())));
    }
}
