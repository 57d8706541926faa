//! One leak of each form, planted, and found as that form.

use super::plant::{base64, hex, unicode_escapes};
use super::*;

fn percent(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(*byte).to_string(),
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    };
    bytes.iter().map(one).collect()
}

#[track_caller]
fn found(haystack: impl AsRef<[u8]>, form: Form) {
    let forms = Canary::new(7).scan(haystack.as_ref());
    assert!(forms.contains(&form), "{form:?} is not found; found: {forms:?}");
}

#[test]
fn plain_values_are_found_whole_and_in_pieces() {
    let canary = Canary::new(7);
    found(format!("before {} after", canary.value()), Form::Plain);
    found(&canary.value()[3..11], Form::Plain);
    assert_eq!(canary.scan(&canary.value().as_bytes()[3..10]), [], "seven bytes are no find");
}

#[test]
fn base64_is_found_at_every_alignment_in_both_alphabets() {
    let canary = Canary::new(7);
    for alphabet in [['+', '/'], ['-', '_']] {
        for before in ["", "a", "ab", "abc"] {
            let text = format!("{before}{}xyz", canary.value());
            found(base64(text.as_bytes(), alphabet), Form::Base64);
            let piece = format!("{before}{}", &canary.value()[..12]);
            found(base64(piece.as_bytes(), alphabet), Form::Base64);
        }
    }
    assert_eq!(base64(b"light work.", ['+', '/']), "bGlnaHQgd29yay4=", "the planted text is base64");
}

#[test]
fn base64_of_digits_that_differ_in_every_group_is_found_in_both_alphabets() {
    let canary = Canary::of("~~?".repeat(6));
    for (alphabet, group) in [(['+', '/'], "fn4/"), (['-', '_'], "fn4_")] {
        let text = base64(canary.value().as_bytes(), alphabet);
        assert_eq!(text, group.repeat(6));
        assert_eq!(canary.scan(text.as_bytes()), [Form::Base64]);
    }
}

#[test]
fn base64_broken_into_lines_is_found() {
    let text = base64(Canary::new(7).value().as_bytes(), ['+', '/']);
    let lines: Vec<&str> =
        text.as_bytes().chunks(24).map(|line| std::str::from_utf8(line).unwrap()).collect();
    found(lines.join("\n    "), Form::Base64);
}

#[test]
fn hex_is_found_in_both_cases() {
    found(format!("key={};", hex(Canary::new(7).value().as_bytes())), Form::Hex);
    // Every byte has a letter among its digits.
    let canary = Canary::of("jklmno".repeat(4));
    let text = hex(canary.value().as_bytes());
    for text in [text.clone(), text.to_uppercase()] {
        assert_eq!(canary.scan(text.as_bytes()), [Form::Hex]);
    }
}

#[test]
fn every_escape_is_undone() {
    let escapes = [
        ('\n', "\\n"),
        ('\t', "\\t"),
        ('\r', "\\r"),
        ('\u{8}', "\\b"),
        ('\u{c}', "\\f"),
        ('\0', "\\0"),
        ('"', "\\\""),
        ('\'', "\\'"),
        ('\\', "\\\\"),
        ('/', "\\/"),
        ('ä', "\\u00e4"),
        ('ä', "\\u{e4}"),
    ];
    for (character, escaped) in escapes {
        let canary = Canary::of(format!("{character}x").repeat(12));
        let text = format!("{escaped}x").repeat(12);
        assert_eq!(canary.scan(text.as_bytes()), [Form::JsonEscaped], "{escaped}");
    }
}

#[test]
fn url_encoded_values_are_found() {
    // Nothing of it is eight plain bytes in a row.
    let text =
        Canary::new(7).value().bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02x}"));
    assert_eq!(Canary::new(7).scan(text.as_bytes()), [Form::UrlEncoded]);
    found(percent(Canary::new(7).value().as_bytes()), Form::UrlEncoded);
}

#[test]
fn json_escaped_values_are_found() {
    let canary = Canary::new(7);
    assert_eq!(canary.scan(unicode_escapes(canary.value()).as_bytes()), [Form::JsonEscaped]);
    found(serde_json::to_string(canary.value()).unwrap(), Form::JsonEscaped);
    found(format!("{:?}", canary.value()), Form::JsonEscaped);
    found(canary.value().escape_unicode().to_string(), Form::JsonEscaped);
    let beyond = Canary::of("\u{1f600}\u{1f601}\u{1f602}\u{1f603}");
    assert_eq!(beyond.scan(unicode_escapes(beyond.value()).as_bytes()), [Form::JsonEscaped]);
}

#[test]
fn a_planted_leak_is_found_as_the_form_it_has() {
    for canary in [Canary::new(7), Canary::plain(7)] {
        for form in Form::ALL {
            assert_eq!(canary.scan(canary.leaked(form).as_bytes()), [form], "{form:?}");
        }
    }
}

#[test]
fn forms_within_forms_are_found() {
    let value = Canary::new(7);
    let within = serde_json::to_string(&unicode_escapes(value.value())).unwrap();
    found(&within, Form::JsonEscaped);
    let secret = base64(value.value().as_bytes(), ['+', '/']);
    found(percent(serde_json::to_string(&secret).unwrap().as_bytes()), Form::Base64);
    found(percent(unicode_escapes(value.value()).as_bytes()), Form::JsonEscaped);
}

#[test]
fn bytes_that_are_no_text_are_searched_too() {
    let mut bytes = vec![0xff, 0x00, b'\\', b'u', b'%', b'z'];
    bytes.extend(Canary::new(7).value().bytes());
    bytes.extend([b'%', 0xfe, b'\\']);
    found(&bytes, Form::Plain);
}

#[test]
fn what_is_not_the_canary_is_not_found() {
    let canary = Canary::new(7);
    let other = Canary::new(8);
    for text in [other.value(), Canary::plain(7).value(), include_str!("forms.rs"), ""] {
        for form in [
            text.to_owned(),
            base64(text.as_bytes(), ['+', '/']),
            hex(text.as_bytes()),
            percent(text.as_bytes()),
        ] {
            assert_eq!(canary.scan(form.as_bytes()), []);
        }
    }
}

#[test]
fn a_leak_names_sink_and_form_and_never_the_value() {
    let canaries = [Canary::new(1), Canary::plain(2)];
    let mut scan = CanaryScan::new(canaries.clone());
    scan.sink("clean", "nothing");
    scan.sink("stderr", hex(canaries[1].value().as_bytes()));
    assert_eq!(scan.leaks(), [Leak { sink: "stderr".into(), canary: 1, forms: vec![Form::Hex] }]);
    let panic = std::panic::catch_unwind(|| scan.assert_clean()).unwrap_err();
    let text = panic.downcast::<String>().unwrap();
    assert!(text.contains("canary 1 in stderr: [Hex]"), "{text}");
    let mut told = CanaryScan::new(canaries);
    told.sink("the panic", text.as_bytes());
    told.sink("debug", format!("{scan:?}"));
    told.assert_clean();
}

#[test]
#[should_panic(expected = "needs canaries and sinks")]
fn a_scan_of_nothing_is_no_proof() {
    CanaryScan::new([Canary::new(1)]).assert_clean();
}

#[test]
#[should_panic(expected = "dropped unasked")]
fn a_scan_that_nobody_asks_ends_its_test() {
    let mut scan = CanaryScan::new([Canary::new(1)]);
    scan.sink("stdout", "nothing");
}
