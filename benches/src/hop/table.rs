//! All rounds as one table, with a line for each goal. Pure: text in, nothing printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::contender::Contender;
use super::figures::{Goal, median};

/// One figure of all rounds: what it is, and what each contender had in each run.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is measured, with its unit.
    pub what: String,
    /// Digits after the point.
    pub digits: usize,
    /// What eve must reach, if anything.
    pub goal: Option<Goal>,
    /// One value a run, in order: the runs of one number were neighbours.
    pub values: BTreeMap<Contender, Vec<f64>>,
}

impl Row {
    /// A row without values.
    pub fn new(what: impl Into<String>, digits: usize, goal: Option<Goal>) -> Self {
        Self { what: what.into(), digits, goal, values: BTreeMap::new() }
    }

    /// Adds the value of the next run.
    pub fn add(&mut self, contender: Contender, value: f64) {
        self.values.entry(contender).or_default().push(value);
    }

    fn of(&self, contender: Contender) -> &[f64] {
        self.values.get(&contender).map_or(&[], Vec::as_slice)
    }

    /// The median over neighbours of what the goal compares; `None` without a goal or a run.
    pub fn figure(&self) -> Option<f64> {
        let goal = self.goal?;
        let neighbours = self.of(Contender::Eve).iter().zip(self.of(Contender::Hand));
        median(&neighbours.map(|(eve, hand)| goal.compare(*eve, *hand)).collect::<Vec<_>>())
    }

    /// Whether the goal is met; where there is one but no value, it is not.
    pub fn is_met(&self) -> bool {
        self.goal.is_none_or(|goal| self.figure().is_some_and(|figure| goal.is_met(figure)))
    }

    fn cells(&self) -> [String; 7] {
        let digits = self.digits;
        let middle = |contender| {
            median(self.of(contender)).map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let (figure, goal) = match (self.goal, self.figure()) {
            (Some(goal), Some(figure)) => {
                let (shown, limit) = match goal {
                    Goal::MoreAtMost(limit) => (format!("{figure:+.digits$}"), format!("≤ +{limit}")),
                    Goal::TimesAtMost(limit) => (format!("× {figure:.2}"), format!("≤ × {limit}")),
                    Goal::TimesAtLeast(limit) => (format!("× {figure:.2}"), format!("≥ × {limit}")),
                    Goal::Below(limit) => (format!("{figure:.digits$}"), format!("< {limit}")),
                };
                (shown, limit)
            }
            _ => Default::default(),
        };
        let verdict = match (self.goal, self.is_met()) {
            (None, _) => "",
            (Some(_), true) => "met",
            (Some(_), false) => "not met",
        };
        [
            self.what.clone(),
            middle(Contender::Eve),
            middle(Contender::Hand),
            middle(Contender::Kubectl),
            figure,
            goal,
            verdict.to_owned(),
        ]
    }
}

/// The rows as a table of Markdown that is aligned for the terminal as well.
pub fn render(rows: &[Row]) -> String {
    let head = ["medians", "eve", "by hand", "kubectl", "eve, beside it", "goal", ""].map(str::to_owned);
    let lines: Vec<[String; 7]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        text.push('|');
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = if (1..5).contains(&column) {
                write!(text, " {cell:>width$} |")
            } else {
                write!(text, " {cell:<width$} |")
            };
        }
        text.push('\n');
        if number == 0 {
            text.push('|');
            for (column, width) in widths.iter().enumerate() {
                let right = if (1..5).contains(&column) { ":" } else { "-" };
                let _ = write!(text, "{}{right}|", "-".repeat(width + 1));
            }
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(goal: Goal, eve: &[f64], hand: &[f64]) -> Row {
        let mut row = Row::new("hop [ms]", 1, Some(goal));
        for (contender, values) in [(Contender::Eve, eve), (Contender::Hand, hand)] {
            for value in values {
                row.add(contender, *value);
            }
        }
        row
    }

    #[test]
    fn a_goal_is_judged_by_the_median_of_what_neighbours_say() {
        // The machine is slow in the second run, for both.
        let row = row(Goal::TimesAtMost(1.2), &[1.1, 11.0, 1.1], &[1.0, 10.0, 1.0]);
        assert!(row.is_met(), "{:?}", row.figure());
        assert!(!Row { goal: Some(Goal::TimesAtMost(1.05)), ..row }.is_met());
    }

    #[test]
    fn a_goal_without_a_value_is_not_met() {
        assert!(!row(Goal::Below(100.0), &[], &[]).is_met());
        assert!(Row::new("requests", 1, None).is_met());
    }

    #[test]
    fn the_table_says_what_was_reached() {
        let met = row(Goal::MoreAtMost(5.0), &[2.0], &[1.5]);
        let missed = row(Goal::Below(100.0), &[140.0], &[20.0]);
        let text = render(&[met, missed]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "| hop [ms] |   2.0 |     1.5 |       - |           +0.5 | ≤ +5  | met     |");
        assert_eq!(lines[3], "| hop [ms] | 140.0 |    20.0 |       - |          140.0 | < 100 | not met |");
    }
}
