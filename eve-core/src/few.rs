//! The first few of many, and how many more there are: one bound and one wording wherever people are told names. Pure.

use std::fmt::Display;

use crate::failure::shortened;

/// How many are told; the rest is counted.
pub const FEW_MAX: usize = 10;

/// The most bytes of what [`more`] gives, whatever it counts, with a separator of two bytes before it.
pub const MORE_BYTES_MAX: usize = 32;

/// The end of a list that leaves so many out: `and 3 more`. Nothing where it leaves none out.
pub fn more(left_out: usize) -> Option<String> {
    (left_out > 0).then(|| format!("and {left_out} more"))
}

/// The first [`FEW_MAX`] names: `a, b`, or `a, b, and 3 more`. Empty if there is none.
pub fn few(names: impl IntoIterator<Item = impl Display>) -> String {
    told(names, FEW_MAX, usize::MAX)
}

/// The same in at most so many bytes, for what is kept where there is little room. The first name is told in any case,
/// [`shortened`] where it has to be.
pub fn few_within(names: impl IntoIterator<Item = impl Display>, bytes_max: usize) -> String {
    told(names, FEW_MAX, bytes_max)
}

/// The first one alone: `a`, or `a, and 3 more`. For what is told whole elsewhere.
pub fn first(names: impl IntoIterator<Item = impl Display>) -> String {
    told(names, 1, usize::MAX)
}

fn told(names: impl IntoIterator<Item = impl Display>, most: usize, bytes_max: usize) -> String {
    const SEPARATOR: &str = ", ";
    let room = bytes_max.saturating_sub(MORE_BYTES_MAX);
    let mut names = names.into_iter().map(|name| name.to_string()).peekable();
    let mut told = names.next().map(|name| shortened(name, room)).unwrap_or_default();
    let mut left = most.saturating_sub(1);
    while let Some(name) = names.next_if(|name| left > 0 && told.len() + SEPARATOR.len() + name.len() <= room)
    {
        left -= 1;
        told = told + SEPARATOR + &name;
    }
    match more(names.count()) {
        Some(more) => told + SEPARATOR + &more,
        None => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_are_told_and_the_rest_is_counted() {
        for (number, expected) in [
            (0, ""),
            (1, "c0"),
            (2, "c0, c1"),
            (10, "c0, c1, c2, c3, c4, c5, c6, c7, c8, c9"),
            (11, "c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, and 1 more"),
        ] {
            assert_eq!(few((0..number).map(|at| format!("c{at}"))), expected);
        }
        assert_eq!((first(["a"]), first(["a", "b", "c"])), ("a".to_owned(), "a, and 2 more".to_owned()));
    }

    #[test]
    fn what_has_little_room_names_fewer_and_the_first_in_any_case() {
        let long = "x".repeat(100);
        for (names, room, expected) in [
            (vec!["one", "two", "three"], 42, "one, two, and 1 more"),
            (vec!["one", "two", "three"], 47, "one, two, three"),
            (vec![&long], 42, "xxxxxx …"),
            (vec![&long, "two"], 42, "xxxxxx …, and 1 more"),
        ] {
            let told = few_within(&names, room);
            assert_eq!(told, expected);
            assert!(told.len() <= room);
        }
    }

    #[test]
    fn the_largest_number_has_room() {
        assert!(more(usize::MAX).unwrap().len() + 2 <= MORE_BYTES_MAX);
    }
}
