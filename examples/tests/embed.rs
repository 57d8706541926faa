//! The examples do what they say.

use std::process::Command;

#[test]
fn embed_runs_five_components_in_order_and_prints_their_events() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "-p", "eve-examples", "--example", "embed"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let baked: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("baking ")).collect();
    let position = |name: &str| baked.iter().position(|line| line.starts_with(name)).unwrap();
    assert_eq!(baked.len(), 5, "{text}");
    assert!(position("dough") < position("base"));
    assert!(position("base").max(position("cream")) < position("layers"));
    assert!(position("layers") < position("icing"));
    assert_eq!(text.lines().filter(|line| line.contains("Ready {")).count(), 5, "{text}");
    assert_eq!(text.lines().last(), Some("Succeeded"));
}

#[test]
fn embed_fits_on_one_screen() {
    assert!(include_str!("../embed.rs").lines().count() < 60);
}
