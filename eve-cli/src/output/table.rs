//! Columns as wide as they must be. Pure.

use super::text::{clean, width};

/// The rows, made harmless, in aligned columns; the first row is the head. Without a line break at its end.
pub(crate) fn table(mut rows: Vec<Vec<String>>) -> String {
    for cell in rows.iter_mut().flatten() {
        *cell = clean(cell).into_owned();
    }
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells =
            cells.map(|(cell, wide)| format!("{cell}{:pad$}", "", pad = wide.saturating_sub(width(cell))));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
