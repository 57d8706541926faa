//! The names of files in the directory: what a file asks for, which request it is. Pure.

use std::sync::Arc;

use eve_core::digest::Digest;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What is escaped in a request that is made of a file name, so that it is printable ASCII and a file name again.
const ESCAPED: AsciiSet = CONTROLS.add(b' ').add(b'%').add(b'/').add(b'@').add(b'#');

/// The most bytes of a name that stand in a request; file systems commonly take 255, and more is added.
const NAME_BYTES_MAX: usize = 160;

/// What the name of an outcome ends with.
pub(super) const OUTCOME: &str = ".outcome.json";

/// What a claimed file is called: its request, and how often it was delivered.
pub(super) fn claimed(request: &str, count: u32) -> String {
    format!("{request}.{count}")
}

/// The request and the count of a claimed file; `None` for a name that was not made here.
pub(super) fn read_claimed(name: &str) -> Option<(Arc<str>, u32)> {
    let (request, count) = name.rsplit_once('.')?;
    let (_, time) = request.rsplit_once('@')?;
    let count = count.parse().ok().filter(|count| *count > 0)?;
    time.bytes().all(|byte| byte.is_ascii_digit()).then(|| (request.into(), count))
}

/// The request that a file of this name makes; no two have the same number.
pub(super) fn request(name: &str, number: u64) -> Arc<str> {
    format!("{}@{number}", within(name)).into()
}

/// Whether a request has the form of those that a directory makes, which are names of files already. Senders choose others, which
/// may be anything.
pub(super) fn is_request(request: &str) -> bool {
    let Some((name, _)) = request.rsplit_once('@') else { return false };
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"/@#".contains(&byte);
    read_claimed(&claimed(request, 1)).is_some() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_plain)
}

/// The request that takes the place of another one: of the same name, with another number.
pub(super) fn renewed(request: &str, number: u64) -> Arc<str> {
    let (name, _) = request.rsplit_once('@').unwrap_or((request, ""));
    format!("{name}@{number}").into()
}

/// The number of the request that a file in one of the folders belongs to.
pub(super) fn number(name: &str) -> Option<u64> {
    let (_, rest) = name.rsplit_once('@')?;
    rest.split('.').next()?.parse().ok()
}

/// Why a file of this name is no plan, if it is none: editors and copying programs leave more than plans.
pub(super) fn why_no_plan(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.').unwrap_or_default();
    let is_known = ["yaml", "yml", "json"].iter().any(|known| ending.eq_ignore_ascii_case(known));
    (!is_known).then_some("its name does not end in `.yaml`, `.yml` or `.json`")
}

/// The name under which the outcome of a request is kept.
pub(super) fn outcome(request: &str) -> String {
    let name = if is_request(request) { request.to_owned() } else { within(request) };
    format!("{name}{OUTCOME}")
}

fn within(name: &str) -> String {
    let escaped = utf8_percent_encode(name, &ESCAPED).to_string();
    if escaped.len() <= NAME_BYTES_MAX {
        return escaped;
    }
    let digest = Digest::of(name.as_bytes()).to_string();
    let kept = NAME_BYTES_MAX - digest.len() - 1;
    // Escaped text is ASCII; an escape that is cut in two is only ugly.
    format!("{}~{digest}", escaped.get(..kept).unwrap_or_default())
}

/// Whether a file of this request asks to stop another one.
pub(super) fn is_stop(request: &str) -> bool {
    request.rsplit_once('@').is_some_and(|(name, _)| name.ends_with(".stop.json"))
}

#[cfg(test)]
mod tests {
    use eve_core::ports::Delivery;

    use super::*;

    #[test]
    fn every_file_name_makes_a_request_that_is_a_file_name() {
        let long = "ä".repeat(120);
        for name in ["shop.yaml", "a b.yaml", "größe.yaml", "a@1.yaml", "a#1%.yaml", &long] {
            let made = request(name, 1_700_000_000_000_000);
            assert!(Delivery::is_request(&made), "{made}");
            assert!(!made.contains('/') && made.len() < 200, "{made}");
            assert_eq!(read_claimed(&claimed(&made, 3)), Some((Arc::clone(&made), 3)));
            assert!(outcome(&made).len() < 255);
        }
        assert_eq!(&*request("shop.yaml", 5), "shop.yaml@5");
        assert_eq!(&*renewed("a%40b.yaml@5", 7), "a%40b.yaml@7");
        assert_ne!(request(&long, 5), request(&format!("{long}x"), 5));
        assert!(is_stop("x.stop.json@5") && !is_stop("x.json@5"));
        assert_eq!(outcome("../../etc/x"), "..%2F..%2Fetc%2Fx.outcome.json");
        assert_eq!(outcome("../../etc/x@5"), "..%2F..%2Fetc%2Fx%405.outcome.json");
        assert!(outcome(&format!("{}@5", "x".repeat(250))).len() < 255);
    }

    #[test]
    fn copies_of_editors_are_no_plans() {
        for name in ["app.yaml", "app.YML", "app.json", "x.stop.json", "a b (1).yaml"] {
            assert_eq!(why_no_plan(name), None, "{name}");
        }
        for name in [
            "app",
            "yaml",
            "app.yaml~",
            "#app.yaml#",
            "app.yaml.swp",
            "app.yaml.bak",
            "app.yaml.orig",
            "4913",
        ] {
            assert!(why_no_plan(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_number_of_a_request_is_read_in_every_folder() {
        for (name, want) in [
            ("a.yaml@5", Some(5)),
            ("a.yaml@5.2", Some(5)),
            ("a@b.yaml@5.outcome.json", Some(5)),
            ("a.yaml", None),
            ("a@x", None),
            ("a@99999999999999999999", None),
        ] {
            assert_eq!(number(name), want, "{name}");
        }
    }

    #[test]
    fn a_name_that_was_not_made_here_is_not_read() {
        for name in ["", "x", "x.1", "x@y.1", "x@5", "x@5.0", "x@5.-1", "x@5.z"] {
            assert_eq!(read_claimed(name), None, "{name}");
        }
    }
}
