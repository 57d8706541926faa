//! Says in our words what the YAML parser did not like, where its own words help nobody.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

/// What is wrong with a text.
#[derive(Debug)]
pub(super) struct Explained {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Where it is wrong, in bytes of the text.
    pub(super) at: usize,
}

/// Explains an error that the parser noticed at `at`.
#[expect(clippy::wildcard_enum_match_arm, reason = "the parser's own words serve for all other kinds")]
pub(super) fn explain(error: &ScanError, text: &str, at: usize) -> Explained {
    let line_start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let line = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let tab_indent = line.trim_start_matches(' ').starts_with('\t');
    let kind = error.kind();
    if tab_indent
        || matches!(
            kind,
            ErrorKind::TabNotAllowed
                | ErrorKind::TabInBlockIndentation
                | ErrorKind::TabInIndentation
                | ErrorKind::TabAtBlockScalarStart
        )
    {
        return explained("a tab is used for indentation, which YAML forbids", "indent with spaces", at);
    }
    match kind {
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::DocumentIndicatorInQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent => {
            let at = opening_quote(text, at).unwrap_or(at);
            explained("this quoted text is never closed", "close it with the quote that it begins with", at)
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            let at = text.get(..at).and_then(|before| before.rfind(*open)).unwrap_or(at);
            explained(&format!("this `{open}` is never closed"), closing(*open), at)
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::UnexpectedEofFlowMapping => {
            explained("a `,` or `}` is missing before this", "is a `{` above this never closed?", at)
        }
        ErrorKind::ExpectedFlowSequenceSeparator | ErrorKind::UnexpectedEofFlowSequence => {
            explained("a `,` or `]` is missing before this", "is a `[` above this never closed?", at)
        }
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::InvalidIndentation => {
            explained("this is indented like nothing above it", "indent it like its neighbours", at)
        }
        ErrorKind::UnknownQuotedScalarEscape => explained(
            "this escape does not exist in double quotes",
            "write `\\\\` for a backslash, or use single quotes",
            at,
        ),
        ErrorKind::UnexpectedCharacter { .. } if starts_token(text, at) => {
            explained("a plain text cannot begin with this character", "put the text in quotes", at)
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => explained(
            "a `:` is missing after this key",
            "write `key: value`, with a space after the colon",
            at,
        ),
        ErrorKind::BlockSequenceEntryNotAllowed => explained(
            "a list cannot begin here",
            "begin it on a line of its own, or put the text in quotes",
            at,
        ),
        ErrorKind::RecursionLimitExceeded => Explained { message: "nested too deep".into(), hint: None, at },
        _ if text.get(at..).is_some_and(|rest| rest.starts_with(':')) => {
            explained("there is a second `: ` in this line", "put the text in quotes", at)
        }
        // The parser's own words, without the position that it adds.
        _ => Explained { message: kind.to_string(), hint: None, at },
    }
}

fn explained(message: &str, hint: impl Into<String>, at: usize) -> Explained {
    Explained { message: message.to_owned(), hint: Some(hint.into()), at }
}

fn closing(open: char) -> &'static str {
    if open == '[' { "close it with `]`" } else { "close it with `}`" }
}

fn starts_token(text: &str, at: usize) -> bool {
    text.get(at..).is_some_and(|rest| rest.starts_with(['@', '`', '%', '|', '>']))
}

/// The last quote before `at` that stands where a text may begin.
fn opening_quote(text: &str, at: usize) -> Option<usize> {
    let before = text.get(..at)?;
    let begins = |(at, _): &(usize, char)| {
        let previous = before.get(..*at).and_then(|before| before.chars().next_back());
        previous.is_none_or(|previous| previous.is_whitespace() || "[{,".contains(previous))
    };
    before.char_indices().rev().filter(|(_, c)| matches!(c, '"' | '\'')).find(begins).map(|(at, _)| at)
}
