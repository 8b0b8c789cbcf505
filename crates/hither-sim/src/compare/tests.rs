//! A made mesh beside the bound and the rivals.

use super::*;

fn scenario(name: &str) -> Scenario {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(name);
    Scenario::load(&path).expect("a scenario of the repository")
}

#[test]
fn a_made_mesh_is_compared_with_the_bound_and_with_what_others_do() {
    let comparison = compare(&scenario("mesh.toml"), 1, Some(40), true).unwrap();
    let text = comparison.to_string();
    let lines: Vec<&str> = text.lines().collect();
    // The head, the production mind, the bound, and seven others.
    assert_eq!(lines.len(), 10, "{text}");
    assert!(lines[1].trim_start().starts_with("Hither"), "{text}");
    assert!(lines[2].contains("one queue that knows all"), "{text}");
    assert!(comparison.p99_ratio(&comparison.bound) == 1.0 && comparison.mean_ratio(&comparison.hither) > 1.0);
    // All of them saw the same requests.
    assert!(comparison.rivals.iter().all(|row| row.count <= comparison.bound.count && row.count > 0));
    let page = crate::page::page(&comparison.report, Some(&comparison));
    assert!(page.contains("one queue that knows all"));
}

#[test]
fn a_scenario_of_named_nodes_has_no_trace_to_compare() {
    let error = compare(&scenario("kill.toml"), 1, None, false).unwrap_err().to_string();
    assert!(error.contains("[topology]"), "{error}");
}
