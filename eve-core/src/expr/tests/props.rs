//! What holds for all strings and values.

use proptest::prelude::*;

use super::*;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[$a{}' ]{0,12}".prop_map(Value::from),
        Just(Value::from("${{ inputs.value }}")),
        Just(Value::from("$${{ x }}")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z${]{1,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Values are data: whatever stands in one, it comes out as it went in.
    #[test]
    fn a_value_is_never_parsed_again(value in any_json(), prefix in "[$a{} ]{0,6}") {
        let inputs = json!({ "value": value });
        let names = Names::new().with(Root::Inputs, &inputs);
        let alone = Template::parse("${{ inputs.value }}", &Root::ALL).unwrap();
        prop_assert_eq!(&alone.render(&names, &mut Budget::COMPONENT.clone()).unwrap(), &value);
        if let Value::String(text) = &value {
            let within = format!("{}|${{{{ inputs.value }}}}", escaped(&prefix));
            let within = Template::parse(&within, &Root::ALL).unwrap();
            let want = format!("{prefix}|{text}");
            prop_assert_eq!(within.render(&names, &mut Budget::COMPONENT.clone()).unwrap(), Value::from(want));
        }
    }

    #[test]
    fn an_escaped_text_is_that_text(text in "[$a{} ]{0,24}") {
        let template = Template::parse(&escaped(&text), &[]).unwrap();
        prop_assert!(template.is_text());
        prop_assert!(!has_expression(&escaped(&text)));
        let rendered = template.render(&Names::new(), &mut Budget::COMPONENT.clone()).unwrap();
        prop_assert_eq!(rendered, Value::from(text));
    }

    #[test]
    fn a_string_without_the_opening_is_itself(text in "\\PC{0,40}") {
        prop_assume!(!is_template(&text));
        let rendered = Template::parse(&text, &[]).unwrap().render(&Names::new(), &mut Budget::COMPONENT.clone());
        prop_assert_eq!(rendered.unwrap(), Value::from(text));
    }

    #[test]
    fn whatever_is_written_ends_without_a_panic(text in "[a-z0-9.,'\"\\[\\](){}!&|<>=+*/%?: $-]{0,80}") {
        let _ = value(&text);
        if let Err(error) = rendered(&format!("é${{{{{text}}}}}")) {
            prop_assert!(format!("é${{{{{text}}}}}").get(error.at.clone()).is_some(), "{error:?}");
        }
    }

    #[test]
    fn a_problem_says_nothing_of_a_value(secret in "[A-Z]{8}", which in 0..8_usize) {
        let secrets = json!({ "key": secret });
        let inputs = json!({ "map": {}, "list": [] });
        let names = Names::new().with(Root::Secrets, &secrets).with(Root::Inputs, &inputs);
        let text = [
            "inputs.map[secrets.key]", "secrets.key.x", "secrets.key + 1", "int(secrets.key)", "-secrets.key",
            "{secrets.key: 1}[secrets.key + 'x']", "inputs.list[secrets.key]", "secrets.key < 1",
        ][which];
        let error = Expression::parse(text, &Root::ALL).unwrap().evaluate(&names, &mut Budget::EXPRESSION.clone());
        let shown = format!("{:?}", error.unwrap_err());
        prop_assert!(!shown.contains(&secret), "{shown}");
    }
}
