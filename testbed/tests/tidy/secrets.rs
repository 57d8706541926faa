//! Which tests are given a secret, and which of them look for it in what comes out. Functions are told apart by their
//! indentation, as rustfmt writes it; what a test calls by name counts as its own. Tests within a file of code are left out:
//! they compare what one function returns. Pure; start at [`unscanned`].

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What shows that a test gives a value to code that must not let it out.
const SECRETS: [&str; 13] = [
    "Canary::",
    "SecretValue::new(",
    ".secret()",
    "stringData",
    "hunter2",
    "whsec_",
    "account_token(",
    "client_token",
    "secret_id",
    "secret_access_key",
    "SecretAccessKey",
    "SECRET_ACCESS_KEY",
    "KvVersion::",
];

/// What shows that a test looks for such values in all that comes out. A `CanaryScan` ends its test when nobody asks it, and
/// a desk that was given a secret looks for it when it is dropped.
const SCANS: [&str; 6] =
    ["CanaryScan::new(", ".scan(", "assert_clean(", "unseen(", "desk.give", "Lookout::over("];

/// A source file of tests.
pub(crate) struct Source {
    /// Its path in the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A function or a constant with all that belongs to it.
#[derive(Debug)]
struct Item {
    path: String,
    name: String,
    /// The type whose method it is.
    owner: Option<String>,
    is_test: bool,
    is_function: bool,
    /// Whether other files of its program can name it.
    is_shared: bool,
    text: String,
    /// The text without quotations.
    calls: String,
    program: String,
    takes_in: Rc<BTreeSet<String>>,
}

/// The tests, as `PATH::NAME`, that are given a secret and do not look for it, by themselves or in what they call; each with
/// what gives it to them.
pub(crate) fn unscanned(sources: &[Source]) -> BTreeMap<String, String> {
    let mut taken: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        taken.entry(program(&source.path)).or_default().extend(takes_in(source));
    }
    let taken = taken.into_iter().map(|(name, others)| (name, Rc::new(others))).collect();
    let items: Vec<Item> = sources.iter().flat_map(|source| items(source, &taken)).collect();
    let mut by_name: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
    for item in &items {
        by_name.entry(&item.name).or_default().push(item);
    }
    let mut found = BTreeMap::new();
    for test in items.iter().filter(|item| item.is_test) {
        let parts = reached(test, &by_name);
        let having =
            |marks: &[&str]| parts.iter().find(|item| marks.iter().any(|mark| item.text.contains(mark)));
        if let (Some(giver), None) = (having(&SECRETS), having(&SCANS)) {
            found.insert(format!("{}::{}", test.path, test.name), format!("{}::{}", giver.path, giver.name));
        }
    }
    found
}

/// A test and what it calls, however far away.
fn reached<'a>(test: &'a Item, by_name: &BTreeMap<&str, Vec<&'a Item>>) -> Vec<&'a Item> {
    let mut found = vec![test];
    let mut next = 0;
    while let Some(item) = found.get(next).copied() {
        next += 1;
        for (before, word, after) in words(&item.calls) {
            let named = by_name.get(word).into_iter().flatten();
            let named = named.filter(|other| is_named(before, other, after));
            let nearest = named.clone().map(|other| distance(item, other)).min();
            for other in named.filter(|other| Some(distance(item, other)) == nearest) {
                let is_known = found.iter().any(|known| std::ptr::eq(*known, *other));
                if nearest < Some(u8::MAX) && !other.is_test && !is_known {
                    found.push(other);
                }
            }
        }
    }
    found
}

/// The words of a text, each with what stands before and after it.
fn words(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let is_part = |sign: char| sign.is_alphanumeric() || sign == '_';
    let begins = text.match_indices(is_part).map(|(place, _)| place);
    let begins =
        begins.filter(move |place| !text.get(..*place).is_some_and(|before| before.ends_with(is_part)));
    begins.filter_map(move |place| {
        let (before, from) = (text.get(..place)?, text.get(place..)?);
        let word = from.split(|sign| !is_part(sign)).next()?;
        Some((before, word, from.get(word.len()..)?))
    })
}

/// Whether this item is meant by its name between two such texts.
fn is_named(before: &str, item: &Item, after: &str) -> bool {
    // It is called, or given to somebody who calls it; a variable may have the same name.
    let is_given = ["map(", "for_each(", "filter(", "then("].iter().any(|call| before.ends_with(call));
    let is_called = after.starts_with('(') || before.ends_with("::") || (is_given && after.starts_with(')'));
    let Some(owner) = &item.owner else { return !before.ends_with('.') && (is_called || !item.is_function) };
    // A method of a value, or of a type by its name.
    let of_type = before.strip_suffix("::");
    let is_of_type =
        of_type.is_some_and(|before| before.ends_with("Self") || before.ends_with(owner.as_str()));
    is_called && (before.ends_with('.') || is_of_type)
}

/// How far one item is from another to which a name may lead: in its file, in its program, in a file that its program takes in.
fn distance(from: &Item, to: &Item) -> u8 {
    match () {
        () if from.path == to.path => 0,
        () if !to.is_shared => u8::MAX,
        () if from.program == to.program => 1,
        () if from.takes_in.contains(&to.program) => 2,
        () => u8::MAX,
    }
}

/// What a file belongs to: `CRATE/tests/NAME` with all below it.
fn program(path: &str) -> String {
    let Some((name, rest)) = path.split_once("/tests/") else { return path.to_owned() };
    let first = rest.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    format!("{name}/tests/{first}")
}

/// The programs whose files those of this one take in: `mod common;`, or `#[path = "../NAME/…"]`.
fn takes_in(source: &Source) -> Vec<String> {
    let Some((name, _)) = source.path.split_once("/tests/") else { return Vec::new() };
    let named = |line: &str| {
        let module = line.trim().strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
        let path = line
            .trim()
            .strip_prefix("#[path = \"")
            .and_then(|rest| rest.trim_start_matches("../").split('/').next());
        module.or(path).map(|part| format!("{name}/tests/{part}"))
    };
    source.text.lines().filter_map(named).collect()
}

/// A text without what stands in quotes: words there call nothing.
fn without_quotations(text: &str) -> String {
    let mut found = String::new();
    let mut rest = text;
    while let Some((before, quoted)) = rest.split_once('"') {
        found.push_str(before);
        let hashes = before.len() - before.trim_end_matches('#').len();
        let is_raw = before.trim_end_matches('#').ends_with('r');
        if before.ends_with('\'') && quoted.starts_with('\'') {
            rest = quoted;
            continue;
        }
        let close = "\"".to_owned() + &"#".repeat(if is_raw { hashes } else { 0 });
        let mut from = 0;
        rest = loop {
            let Some(place) = quoted.get(from..).and_then(|quoted| quoted.find(&close)) else { return found };
            let end = from + place;
            let slashes = quoted.get(..end).map_or(0, |text| text.len() - text.trim_end_matches('\\').len());
            if is_raw || slashes % 2 == 0 {
                break quoted.get(end + close.len()..).unwrap_or_default();
            }
            from = end + 1;
        };
    }
    found + rest
}

/// The functions and constants of a file of tests.
fn items(source: &Source, taken: &BTreeMap<String, Rc<BTreeSet<String>>>) -> Vec<Item> {
    if !(source.path.contains("/tests/") || source.path.ends_with("/tests.rs")) {
        return Vec::new();
    }
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    let (mut owner, mut is_of_trait) = (None, false);
    for (number, line) in lines.iter().enumerate() {
        if line.starts_with("impl") {
            owner = Some(type_of(line));
            is_of_trait = line.contains(" for ");
        } else if *line == "}" {
            (owner, is_of_trait) = (None, false);
        }
        let indent = line.len() - line.trim_start().len();
        let Some((name, is_function)) = item_name(line) else { continue };
        let end = " ".repeat(indent) + "}";
        let is_last = |line: &&str| {
            if is_function { **line == end || ends_at_once(line, indent) } else { line.ends_with(';') }
        };
        let length = lines.iter().skip(number).position(is_last).unwrap_or_default();
        let text = lines.get(number..=number + length).unwrap_or_default().join("\n");
        let attributes = lines.get(..number).unwrap_or_default().iter().rev();
        let is_test = attributes
            .take_while(|line| line.trim_start().starts_with("#[") || line.trim_start().starts_with("//"))
            .any(|line| line.contains("#[test]") || line.contains("#[tokio::test"));
        let program = program(&source.path);
        let is_root = source.path.ends_with("/main.rs") || source.path == format!("{program}.rs");
        found.push(Item {
            path: source.path.clone(),
            name,
            owner: owner.clone(),
            is_test,
            is_function,
            is_shared: is_root || is_of_trait || line.trim_start().starts_with("pub"),
            calls: without_quotations(&text),
            text,
            takes_in: taken.get(&program).cloned().unwrap_or_default(),
            program,
        });
    }
    found
}

/// Whether a function stands on this line whole.
fn ends_at_once(line: &str, indent: usize) -> bool {
    let is_its_first = line.len() - line.trim_start().len() == indent && item_name(line).is_some();
    is_its_first && (line.ends_with('}') || line.ends_with(';'))
}

/// The name of the function or constant that begins on this line, and whether it is a function.
fn item_name(line: &str) -> Option<(String, bool)> {
    let mut words = line.split_whitespace();
    let kind = words.find(|word| !(word.starts_with("pub") || ["async", "const"].contains(word)))?;
    let is_constant =
        line.trim_start().trim_start_matches("pub(crate) ").starts_with("const ") && kind.ends_with(':');
    let (name, is_function) = match kind {
        "fn" => (words.next()?, true),
        "static" => (words.next()?, false),
        name if is_constant => (name, false),
        _ => return None,
    };
    // A test that a macro makes is named by a variable.
    let is_part = |sign: &char| sign.is_alphanumeric() || ['_', '$'].contains(sign);
    let name: String = name.chars().take_while(is_part).collect();
    (!name.is_empty()).then_some((name, is_function))
}

/// The type of the first line of an `impl`.
fn type_of(line: &str) -> String {
    let head = line.split(" for ").last().unwrap_or_default();
    let head = head.trim_start_matches("impl").trim_start();
    head.chars().take_while(|sign| sign.is_alphanumeric() || *sign == '_').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tests of one file, named shortly, that are found in it.
    fn found(text: &str) -> Vec<String> {
        let sources = [Source { path: "eve-x/tests/world/main.rs".into(), text: text.into() }];
        unscanned(&sources).into_keys().map(|name| name.rsplit("::").next().unwrap().to_owned()).collect()
    }

    const SCANNED: &str =
        "#[test]\nfn scanned() {\n    let _ = SecretValue::new(\"x\");\n    assert_clean(\"y\");\n}\n";

    #[test]
    fn a_test_with_a_secret_that_does_not_scan_is_found_beside_one_that_does() {
        let text = "#[tokio::test]\nasync fn planted() {\n    write(desk.path(\"key\"), \"whsec_x\");\n}\n";
        assert_eq!(found(&(SCANNED.to_owned() + "\n" + text)), ["planted"]);
        assert_eq!(found(SCANNED), [""; 0]);
    }

    #[test]
    fn a_secret_of_a_helper_a_method_or_a_constant_is_the_test_s_own() {
        for (helper, call) in [
            ("fn help() {\n    let _ = SecretValue::new(\"x\");\n}\n", "help()"),
            ("fn help() {\n    deeper();\n}\n\nfn deeper() {\n    let _ = \"hunter2\";\n}\n", "help()"),
            ("impl Desk {\n    fn help(&self) {\n        let _ = \"hunter2\";\n    }\n}\n", "desk.help()"),
            (
                "impl Desk {\n    pub(crate) fn new() {\n        let _ = \"hunter2\";\n    }\n}\n",
                "Desk::new()",
            ),
            ("fn help() {\n    let _ = \"hunter2\";\n}\n", "[self::help]"),
            ("const HELP: &str = \"hunter2\";\n", "say(HELP)"),
            ("static HELP: [&str; 1] =\n    [\"hunter2\"];\n", "say(HELP)"),
        ] {
            let test = format!("{helper}\n#[test]\nfn planted() {{\n    {call};\n}}\n");
            assert_eq!(found(&test), ["planted"], "{test}");
            let other = format!("{helper}\n#[test]\nfn planted() {{\n    Other::new().helps();\n}}\n");
            assert_eq!(found(&other), [""; 0], "{other}");
        }
    }

    #[test]
    fn a_scan_of_a_helper_of_the_program_counts_and_one_of_another_program_does_not() {
        let test = "mod common;\n\n#[path = \"../other/desk.rs\"]\nmod desk;\n\n#[test]\nfn planted() {\n    check(\"hunter2\");\n}\n";
        let helper = "pub(crate) fn check(value: &str) {\n    assert_clean(value);\n}\n";
        for (path, count) in [
            ("eve-x/tests/world/desk.rs", 0),
            ("eve-x/tests/common/mod.rs", 0),
            ("eve-x/tests/other/desk.rs", 0),
            ("eve-x/tests/another/desk.rs", 1),
            ("eve-x/tests/world.rs", 0),
            ("eve-y/tests/world/desk.rs", 1),
            ("eve-x/tests/world/private.rs", 1),
        ] {
            let helper = if path.ends_with("private.rs") {
                helper.replace("pub(crate) ", "")
            } else {
                helper.to_owned()
            };
            let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
            let sources = [source("eve-x/tests/world/main.rs", test), source(path, &helper)];
            assert_eq!(unscanned(&sources).len(), count, "{path}");
        }
    }

    #[test]
    fn a_test_that_a_macro_makes_is_found() {
        let test = "macro_rules! rows {\n    () => {\n        #[test]\n        fn $name() {\n            check(\"hunter2\");\n        }\n    };\n}\n";
        assert_eq!(found(test), ["$name"]);
    }

    #[test]
    fn what_stands_in_quotes_calls_nothing() {
        for (text, want) in [
            (r#"a("b c", d)"#, "a(, d)"),
            (r#"a("b \" c()", d)"#, "a(, d)"),
            (r#"a("b\\", c())"#, "a(, c())"),
            ("a(r#\"b \" c()\"#, d)", "a(r#, d)"),
            ("a('\"', c())", "a('', c())"),
        ] {
            assert_eq!(without_quotations(text), want, "{text}");
        }
    }
}
