//! JSON Pointers (RFC 6901): how problems name the field they stand in.

/// Adds a key.
pub(super) fn push(pointer: &mut String, key: &str) {
    pointer.push('/');
    for c in key.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

/// Adds a position in a list, from 0.
pub(super) fn push_index(pointer: &mut String, index: usize) {
    pointer.push('/');
    pointer.push_str(&index.to_string());
}

/// `pointer` with one more key.
pub(super) fn child(pointer: &str, key: &str) -> String {
    let mut child = pointer.to_owned();
    push(&mut child, key);
    child
}

/// The keys and positions of a pointer, unescaped.
pub(super) fn segments(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~"))
}

/// The first `depth` segments of a pointer that has more.
pub(super) fn ancestor(pointer: &str, depth: usize) -> Option<&str> {
    let end = pointer.match_indices('/').nth(depth)?.0;
    pointer.get(..end)
}
