//! The law and the configuration: both parse, the policy passes its own tests, and what leaves for a cloud is read or is
//! said not to be.

use std::path::Path;

use hither_api::endpoint::OnFinding;
use hither_node::config::NodeConfig;
use hither_node::config::endpoint::EndpointConfig;
use hither_node::law::{failing_on_all_days, parse, today};

use super::{Area, Check};

pub(super) fn checks(config: Result<&NodeConfig, String>, data_dir: &Path) -> Vec<Check> {
    let file = data_dir.join("hither.toml");
    let (configuration, path) = match &config {
        Ok(config) if file.exists() => (format!("{} is read", file.display()), config.policy.clone()),
        Ok(config) => ("none: everything is as it comes".to_owned(), config.policy.clone()),
        Err(reason) => {
            let check = Check::fail(Area::Law, "configuration", reason, format!("edit {}", file.display()));
            return vec![check, policy(&data_dir.join("policy.toml"))];
        }
    };
    let mut checks = vec![Check::ok(Area::Law, "configuration", configuration), policy(&path)];
    checks.extend(config.iter().flat_map(|config| config.endpoints.iter().filter_map(filter)));
    checks
}

/// Whether what leaves for a server outside the mesh is read before. To one on this machine nothing leaves.
fn filter(endpoint: &EndpointConfig) -> Option<Check> {
    const NAME: &str = "filter";
    let name = &endpoint.name;
    Some(match &endpoint.filter {
        Some(filter) if filter.kinds.is_empty() => {
            Check::ok(Area::Law, NAME, format!("endpoint {name}: nothing is looked for, and the configuration says so"))
        }
        Some(filter) => {
            let action = match filter.on_finding {
                OnFinding::Mask => "masked",
                OnFinding::Block => "blocked",
            };
            Check::ok(
                Area::Law,
                NAME,
                format!("endpoint {name}: personal data that has a form is {action} before it leaves"),
            )
        }
        None if endpoint.elsewhere.is_none() => return None,
        None => Check::warn(
            Area::Law,
            NAME,
            format!("endpoint {name}: requests leave for it as they are"),
            format!("write [endpoint.{name}.filter] into hither.toml; with kinds = [] if that is meant"),
        ),
    })
}

fn policy(path: &Path) -> Check {
    const NAME: &str = "policy";
    let shown = path.display();
    let fix = format!("hither policy check {shown}");
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Check::ok(Area::Law, NAME, format!("no {shown}: everything stays here"));
        }
        Err(error) => return Check::fail(Area::Law, NAME, format!("{shown} cannot be read: {error}"), fix),
    };
    let policy = match parse(&text, today()) {
        Ok(policy) => policy,
        Err(error) => return Check::fail(Area::Law, NAME, format!("{shown}: {error}"), fix),
    };
    let failing = failing_on_all_days(&text, &policy);
    let count = policy.tests.len();
    match failing.first() {
        Some(first) => {
            let found = format!("{shown}: {} of its own {count} tests fail, the first: {first}", failing.len());
            Check::fail(Area::Law, NAME, found, format!("hither policy test {shown}"))
        }
        None if count == 0 => {
            let found = format!("{shown} is read, and has no tests of its own");
            Check::warn(Area::Law, NAME, found, "add [[test]] cases: a policy that fails its own is not put in force")
        }
        None => Check::ok(Area::Law, NAME, format!("{shown} is read, and its {count} tests hold")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_policy_that_does_not_parse_fails_and_none_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        assert_eq!(policy(&path).state, State::Ok);
        std::fs::write(&path, "version = 1\n").unwrap();
        assert_eq!(policy(&path).state, State::Warn);
        std::fs::write(&path, "version = 1\nnonsense = 2\n").unwrap();
        let check = policy(&path);
        assert_eq!(check.state, State::Fail);
        assert!(check.fix.starts_with("hither policy check"), "{}", check.fix);
    }
}
