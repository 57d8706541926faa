//! What a message of the kubelet, the scheduler or a controller says is missing. Pure.
//!
//! The words are those of Kubernetes 1.33: `configmap "a" not found`, `couldn't find key b in Secret shop/a`.

/// Kinds that others name, as messages write them in lower case.
const KINDS: [(&str, &str); 6] = [
    ("configmap", "ConfigMap"),
    ("secret", "Secret"),
    ("persistentvolumeclaim", "PersistentVolumeClaim"),
    ("serviceaccount", "ServiceAccount"),
    ("priorityclass", "PriorityClass"),
    ("runtimeclass", "RuntimeClass"),
];

/// Kind and name of the first object that the message says is missing, or lacks a key.
pub(crate) fn missing(message: &str) -> Option<(&'static str, &str)> {
    KINDS
        .iter()
        .find_map(|(word, kind)| Some((*kind, absent(message, word).or_else(|| keyless(message, kind))?)))
}

fn absent<'a>(message: &'a str, word: &str) -> Option<&'a str> {
    let quoted = message.split_once(&format!("{word} \""))?.1;
    let (name, rest) = quoted.split_once('"')?;
    (rest.starts_with(" not found") && !name.is_empty()).then_some(name)
}

fn keyless<'a>(message: &'a str, kind: &str) -> Option<&'a str> {
    let of_key = message.split_once("couldn't find key ")?.1;
    let place = of_key.split_once(&format!(" in {kind} "))?.1.split_whitespace().next()?;
    Some(place.rsplit_once('/')?.1).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_read_from_the_message() {
        for (message, expected) in [
            ("CreateContainerConfigError: configmap \"settings\" not found", Some(("ConfigMap", "settings"))),
            ("secret \"db\" not found", Some(("Secret", "db"))),
            ("couldn't find key password in Secret shop/db", Some(("Secret", "db"))),
            ("couldn't find key a in ConfigMap shop/settings", Some(("ConfigMap", "settings"))),
            (
                "0/3 nodes are available: persistentvolumeclaim \"data\" not found. not found",
                Some(("PersistentVolumeClaim", "data")),
            ),
            (
                "error looking up service account shop/web: serviceaccount \"web\" not found",
                Some(("ServiceAccount", "web")),
            ),
            ("configmap \"settings\" is too large", None),
            ("configmap \"\" not found", None),
            ("image \"secret\" not found", None),
            ("", None),
        ] {
            assert_eq!(missing(message), expected, "{message}");
        }
    }
}
