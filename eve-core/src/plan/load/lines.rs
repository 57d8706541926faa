//! Lines and columns of a text, without going through it for each: places in a text of one long line are as cheap as others.

/// So many bytes of a text are gone through for a column, at most.
const BLOCK_BYTES: usize = 1024;

#[derive(Debug)]
pub(super) struct Lines {
    /// Where each begins.
    starts: Vec<usize>,
    /// How many characters begin before each block of the text, and in all of it.
    before: Vec<usize>,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let mut before = vec![0];
        let mut total = 0;
        for block in text.as_bytes().chunks(BLOCK_BYTES) {
            total += characters(block);
            before.push(total);
        }
        Self { starts: std::iter::once(0).chain(newlines).collect(), before }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|&start| start <= at)
    }

    /// Where a line begins, from 1.
    pub(super) fn start(&self, line: usize) -> usize {
        self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// The column of a byte in its line, in characters, from 1. Byte order marks before it do not count.
    pub(super) fn column(&self, text: &str, at: usize) -> usize {
        let start = self.start(self.line(at));
        let rest = text.get(start..at).unwrap_or_default();
        let marks = rest.chars().take_while(|c| *c == '\u{feff}').count();
        self.characters_before(text, at) - self.characters_before(text, start) - marks + 1
    }

    fn characters_before(&self, text: &str, at: usize) -> usize {
        let block = at / BLOCK_BYTES;
        let counted = self.before.get(block).copied().unwrap_or_default();
        counted + characters(text.as_bytes().get(block * BLOCK_BYTES..at).unwrap_or_default())
    }
}

/// How many characters begin in these bytes of a text.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| !matches!(byte, 0x80..=0xBF)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_that_counting_from_the_beginning_gives() {
        let long = "äö😀x".repeat(BLOCK_BYTES);
        for text in [
            "",
            "a",
            "\n",
            "\u{feff}a\nbä\n\nc",
            &format!("\u{feff}{long}\n{long}"),
            &"x".repeat(2 * BLOCK_BYTES),
        ] {
            let lines = Lines::of(text);
            for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let before = &text[..at];
                let line = before.rsplit('\n').next().unwrap();
                let column = line.trim_start_matches('\u{feff}').chars().count() + 1;
                let counted = (before.matches('\n').count() + 1, column);
                assert_eq!((lines.line(at), lines.column(text, at)), counted, "{at}");
            }
        }
    }
}
