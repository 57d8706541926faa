//! Colours, by meaning. Every text is made with them; [`Printer`](super::Printer) takes them out where they are not
//! wanted.

use std::fmt::{self, Display};

use anstyle::{AnsiColor, Style};

/// A text in a style.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Styled<T>(T, Style);

impl<T: Display> Display for Styled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.1.render(), self.0, self.1.render_reset())
    }
}

/// Something failed.
pub(crate) fn error<T: Display>(text: T) -> Styled<T> {
    Styled(text, AnsiColor::Red.on_default().bold())
}

/// Something is as it should be.
pub(crate) fn good<T: Display>(text: T) -> Styled<T> {
    Styled(text, AnsiColor::Green.on_default())
}

/// Something needs attention, or is left out.
pub(crate) fn warning<T: Display>(text: T) -> Styled<T> {
    Styled(text, AnsiColor::Yellow.on_default())
}

/// Advice.
pub(crate) fn hint<T: Display>(text: T) -> Styled<T> {
    Styled(text, AnsiColor::Cyan.on_default())
}

/// Less important than its surroundings.
pub(crate) fn faint<T: Display>(text: T) -> Styled<T> {
    Styled(text, Style::new().dimmed())
}

/// What the line is about.
pub(crate) fn strong<T: Display>(text: T) -> Styled<T> {
    Styled(text, Style::new().bold())
}
