//! Which names are allowed, and which known name somebody may have meant.

/// The longest name that a did-you-mean is computed for, in bytes: the distance costs the product of both lengths.
const CLOSEST_BYTES_MAX: usize = 64;

/// The known name most like `wanted`, if one is like enough: at most a third of its letters differ.
///
/// Ties go to the first. Cost: the sum of the lengths of `known`, times the length of `wanted`.
pub fn closest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wanted.is_empty() || wanted.len() > CLOSEST_BYTES_MAX {
        return None;
    }
    let limit = (wanted.chars().count() / 3).max(1);
    let wanted = wanted.to_lowercase();
    let letters = wanted.chars().count();
    let candidates = known.into_iter().filter(|name| name.len() <= CLOSEST_BYTES_MAX);
    let lowered = candidates.map(|name| (name.to_lowercase(), name));
    // Nothing is nearer than by how much it is longer or shorter.
    let near = lowered.filter(|(lowered, _)| lowered.chars().count().abs_diff(letters) <= limit);
    let scored = near.map(|(lowered, name)| (distance(&wanted, &lowered), name));
    scored.filter(|&(score, _)| score <= limit).min_by_key(|&(score, _)| score).map(|(_, name)| name)
}

/// Letters to insert, delete, replace or swap with their neighbour (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let replace = at(&above, j) + usize::from(a != b);
            let mut best = replace.min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && left.get(i - 1) == Some(b) && right.get(j - 1) == Some(a);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(left.len())
}

/// Why this is no name of a component, if it is none: segments of printable ASCII joined by `/`.
pub(super) fn invalid(name: &str, bytes_max: usize) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > bytes_max {
        return Some("it is too long");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/".contains(&byte);
    if !name.bytes().all(plain) {
        return Some("only letters, digits and `-._:/` are allowed");
    }
    name.split('/').any(str::is_empty).then_some("it has an empty part between slashes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closest_offers_what_a_typo_was_meant_to_be() {
        let known = ["dependsOn", "timeout", "labels"];
        for (wanted, meant) in [
            ("dependson", Some("dependsOn")),
            ("dependOn", Some("dependsOn")),
            ("timeuot", Some("timeout")),
            ("label", Some("labels")),
            ("replicas", None),
            ("", None),
        ] {
            assert_eq!(closest(wanted, known), meant, "{wanted}");
        }
    }

    #[test]
    fn names_are_segments_of_printable_ascii() {
        for (name, ok) in [
            ("web", true),
            ("web/deployment/frontend", true),
            ("clusterrole/system:node", true),
            ("", false),
            ("a//b", false),
            ("a b", false),
            ("ä", false),
            ("/a", false),
        ] {
            assert_eq!(invalid(name, 64).is_none(), ok, "{name}");
        }
        assert!(invalid(&"a".repeat(65), 64).is_some());
    }
}
