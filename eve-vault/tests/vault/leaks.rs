//! The watch itself: a leak planted in each sink is found, so that a clean watch means something.

use eve_core::failure::Failure;
use eve_core::ports::{BadReference, Resolved};
use eve_core::secret::SecretValue;

use crate::support::{Watch, canary, reference};

#[test]
fn a_leak_in_the_logs_is_found_by_way_of_both_kinds_of_logging() {
    for way in ["tracing", "log"] {
        let secret = canary();
        let watch = Watch::over([secret.clone()]);
        match way {
            "tracing" => tracing::trace!(token = secret.value(), "logged in"),
            _ => log::trace!("response: {}", secret.value()),
        }
        assert_eq!(watch.leaks(), ["the logs"], "{way}");
    }
}

#[test]
fn a_leak_in_a_failure_is_found_in_what_is_shown_and_in_what_is_stored() {
    let secret = canary();
    let message = format!("cannot parse {}", secret.value());
    let failures = [
        Failure::permanent("t", &message),
        Failure::permanent("t", "x").with_note(&message),
        Failure::permanent("t", "x").with_hint(&message),
        Failure::permanent(message.clone(), "x"),
    ];
    for failure in failures {
        let mut watch = Watch::over([secret.clone()]);
        watch.resolved(&Err(vec![BadReference { reference: reference("vault:a/b#c"), failure }]));
        assert_eq!(watch.leaks(), ["a bad reference", "a stored failure"]);
    }
}

#[test]
fn a_leak_in_a_debug_text_is_found_and_a_value_has_none() {
    let secret = canary();
    let mut watch = Watch::over([secret.clone()]);
    watch.debug(&Some(secret.value()));
    assert_eq!(watch.leaks(), ["a Debug text"]);
    let mut watch = Watch::over([secret.clone()]);
    tracing::trace!("something is logged");
    let value = SecretValue::new(secret.value());
    watch.resolved(&Ok(vec![Resolved { value, version: None }]));
    watch.assert_clean();
}

#[test]
fn a_leak_in_the_text_of_a_panic_is_found() {
    let secret = canary();
    let resolved = Resolved { value: secret.secret(), version: None };
    let text = |panic: Box<dyn std::any::Any + Send>| *panic.downcast::<String>().unwrap();
    let masked = std::panic::catch_unwind(|| panic!("{resolved:?}")).unwrap_err();
    let shown = std::panic::catch_unwind(|| panic!("{}", resolved.value.expose())).unwrap_err();
    let mut watch = Watch::over([secret]);
    watch.saw("a panic that masks", text(masked));
    watch.saw("a panic that shows", text(shown));
    assert_eq!(watch.leaks(), ["a panic that shows"]);
}
