//! What is remembered of the components of a run that is over, within a bound, for whoever is told.

use crate::failure::{Failure, shortened};
use crate::few::{MORE_BYTES_MAX, more};
use crate::ports::{ComponentNotice, Notice};

/// The components of a run that are worth a word. Holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Those that failed, then those that had something to say, then those that were never started; each in the order of the
    /// plan. At most [`Notice::COMPONENTS_MAX`], and together at most [`Report::BYTES_MAX`].
    pub components: Vec<ComponentNotice>,
    /// How many more there were.
    pub left_out: u64,
}

impl Report {
    /// The most bytes of all texts together: what is remembered for each of many requests.
    pub const BYTES_MAX: usize = 16 * 1024;

    /// What of these components there is room for: names and failures first, messages as far as they fit.
    pub fn new(components: impl IntoIterator<Item = ComponentNotice>) -> Self {
        let mut report = Self::default();
        let (mut room, mut said) = (Self::BYTES_MAX - Notice::COMPONENTS_MAX * MORE_BYTES_MAX, Vec::new());
        for mut component in components {
            let messages = std::mem::take(&mut component.messages);
            bound(&mut component);
            let bytes = bytes(&component);
            if report.components.len() == Notice::COMPONENTS_MAX || bytes > room {
                report.left_out = report.left_out.saturating_add(1);
                continue;
            }
            room -= bytes;
            report.components.push(component);
            said.push(messages);
        }
        for (component, messages) in report.components.iter_mut().zip(said) {
            say(component, messages, &mut room);
        }
        report
    }

    /// How many bytes its texts have.
    pub fn bytes(&self) -> usize {
        let messages =
            |component: &ComponentNotice| component.messages.iter().map(String::len).sum::<usize>();
        self.components.iter().map(|component| bytes(component) + messages(component)).sum()
    }

    /// Whether there is nothing to tell.
    pub const fn is_empty(&self) -> bool {
        self.components.is_empty() && self.left_out == 0
    }
}

fn bound(component: &mut ComponentNotice) {
    let limit = |text: &mut String, most| *text = shortened(std::mem::take(text), most);
    limit(&mut component.name, Notice::TEXT_BYTES_MAX);
    if let Some(told) = &mut component.failure {
        limit(&mut told.code, Notice::TEXT_BYTES_MAX);
        limit(&mut told.message, Failure::TEXT_BYTES_MAX);
    }
}

/// Of its name and failure.
fn bytes(component: &ComponentNotice) -> usize {
    let failure = component.failure.as_ref().map_or(0, |told| told.code.len() + told.message.len());
    component.name.len() + failure
}

/// Adds as many messages as there is room for, and how many more there were.
fn say(component: &mut ComponentNotice, messages: Vec<String>, room: &mut usize) {
    // Where there are too many, the last one counts the others.
    let most = Notice::MESSAGES_MAX - usize::from(messages.len() > Notice::MESSAGES_MAX);
    let mut left = messages.into_iter().map(|message| shortened(message, Notice::TEXT_BYTES_MAX)).peekable();
    while let Some(message) = left.next_if(|next| next.len() <= *room && component.messages.len() < most) {
        *room -= message.len();
        component.messages.push(message);
    }
    component.messages.extend(more(left.count()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{ComponentEnd, Told};

    fn component(name: &str, state: ComponentEnd, message: &str, messages: Vec<String>) -> ComponentNotice {
        let failure = Told { code: "t".to_owned(), message: message.to_owned() };
        let failure = (state == ComponentEnd::Failed).then_some(failure);
        ComponentNotice { name: name.to_owned(), state, failure, messages }
    }

    #[test]
    fn messages_beyond_the_limit_are_counted() {
        for (number, kept, last) in [(20, 20, "m19"), (21, 20, "and 2 more"), (50, 20, "and 31 more")] {
            let messages = (0..number).map(|at| format!("m{at}")).collect();
            let report = Report::new([component("a", ComponentEnd::Succeeded, "", messages)]);
            let said = &report.components[0].messages;
            assert_eq!((said.len(), &*said[kept - 1]), (kept, last), "{number}");
        }
    }

    #[test]
    fn failures_come_before_messages_where_there_is_no_room_for_both() {
        let chatty = component("chatty", ComponentEnd::Failed, "no", vec!["x".repeat(4_000); 30]);
        let fails = component("fails", ComponentEnd::Failed, &"word ".repeat(1_000), vec!["said".to_owned()]);
        let report = Report::new([chatty, fails]);
        assert_eq!(report.components.len(), 2);
        assert!(report.bytes() <= Report::BYTES_MAX, "{}", report.bytes());
        let told = report.components[1].failure.as_ref().unwrap();
        assert!(told.message.ends_with("word …") && told.message.len() <= Failure::TEXT_BYTES_MAX);
        assert_eq!(report.components[1].messages, ["said"], "a short one still fits");
        assert!(report.components[0].messages.last().unwrap().starts_with("and "), "{report:?}");
    }

    #[test]
    fn components_beyond_the_limit_are_counted() {
        let many = (0..80).map(|_| component("a", ComponentEnd::Failed, "no", Vec::new()));
        let report = Report::new(many);
        assert_eq!((report.components.len(), report.left_out), (Notice::COMPONENTS_MAX, 30));
        let large = (0..20).map(|_| component("a", ComponentEnd::Failed, &"x".repeat(4_000), Vec::new()));
        let report = Report::new(large);
        assert!(report.bytes() <= Report::BYTES_MAX, "{}", report.bytes());
        assert_eq!(report.components.len() + usize::try_from(report.left_out).unwrap(), 20);
    }
}
