//! Secrets that cannot be had are said all at once, where the plan names them.
#![cfg(feature = "test-util")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use eve_core::failure::Failure;
use eve_core::kind::{Expansion, Kind, Kinds, Scope};
use eve_core::plan::load::{LoadOptions, Loaded, Source, load};
use eve_core::plan::problem::SpecProblem;
use eve_core::ports::{BadReference, MockSecretResolver};
use eve_core::secret::{BadSecret, HashKey, SecretRef, SecretRequest, SecretVersion};
use serde_json::{Value, json};

const PLAN: &str = "\
apiVersion: eve.dev/v1alpha1
kind: Plan
metadata: { name: shop, namespace: shop }
spec:
  secrets:
    db: vault:kv/shop/db#password
    api:   \"vault:kv/shop/api#key\"
    mail: vault:kv/shop/mail#user
    old: vault:kv/shop/db#password@3
  components: [{ name: a, thing: {} }]
";

/// Has any spec, and no parts.
struct Thing;

impl Kind for Thing {
    fn name(&self) -> &'static str {
        "thing"
    }

    fn schema(&self) -> Value {
        json!({ "type": "object" })
    }

    fn check(&self, _: &Value, _: &Scope<'_>) -> Vec<SpecProblem> {
        Vec::new()
    }

    fn expand(&self, _: Value, _: &Scope<'_>) -> Expansion {
        Expansion { parts: Vec::new() }
    }
}

fn loaded() -> Loaded {
    let kinds = Kinds::new().with(Thing);
    load(vec![Source::new("shop/plan.yaml", PLAN)], &LoadOptions::new(&kinds)).unwrap()
}

/// What is bad if whoever resolves secrets says this of each reference.
async fn bad(plan: &Loaded, say: fn(&str) -> Failure) -> Vec<BadSecret> {
    let mut resolver = MockSecretResolver::new();
    resolver.expect_resolve().returning(move |references| {
        let bad = |reference: &SecretRef| BadReference {
            reference: reference.clone(),
            failure: say(&reference.to_string()),
        };
        Err(references.iter().map(bad).collect())
    });
    let key = HashKey::new(&[7; HashKey::BYTES]);
    SecretRequest { declared: plan.secrets(), pinned: None, key: &key }.ask(&resolver).await.unwrap_err()
}

#[tokio::test]
async fn four_references_that_are_wrong_in_four_ways_are_named_at_once_with_their_places() {
    let plan = loaded();
    let bad = bad(&plan, |reference| match reference {
        "vault:kv/shop/db#password" => {
            Failure::permanent("vault.denied", "Vault denies reading `kv/shop/db`")
        }
        "vault:kv/shop/api#key" => {
            Failure::permanent("vault.absent-path", "Vault has nothing at `kv/shop/api`")
        }
        "vault:kv/shop/mail#user" => Failure::permanent("vault.absent-key", "there is no key `user`"),
        _ => Failure::permanent("vault.destroyed-version", "version 3 is destroyed")
            .with_hint("ask for another"),
    })
    .await;
    let said = plan.diagnose_secrets(&bad);
    let shown: Vec<String> = said
        .list
        .iter()
        .map(|one| {
            let place = one.place.as_ref().unwrap();
            format!("{}:{} {}: {}", place.line, place.column, one.code, one.message)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "6:9 vault.denied: secret `db`: Vault denies reading `kv/shop/db`",
            "7:12 vault.absent-path: secret `api`: Vault has nothing at `kv/shop/api`",
            "8:11 vault.absent-key: secret `mail`: there is no key `user`",
            "9:10 vault.destroyed-version: secret `old` in version 3: version 3 is destroyed",
        ]
    );
    assert_eq!(said.list.last().unwrap().hint.as_deref(), Some("ask for another"));
    let whole = said.to_string();
    assert!(whole.contains("shop/plan.yaml:7:12: secret `api`"), "{whole}");
}

#[test]
fn a_pinned_version_is_named() {
    let failure = Failure::permanent("vault.absent-version", "it is gone").with_note("so it is");
    let reference: SecretRef = "vault:kv/shop/db#password".parse().unwrap();
    let reference = reference.at(SecretVersion::new(2).unwrap());
    let said = loaded().diagnose_secrets(&[BadSecret { name: "db".into(), reference, failure }]);
    assert_eq!(said.to_string(), "shop/plan.yaml:6:9: secret `db` in version 2: it is gone");
    assert_eq!(said.list.first().unwrap().notes, ["so it is"]);
}
