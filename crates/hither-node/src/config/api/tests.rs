//! Who is let in where, as the file says it.

use std::path::Path;

use super::super::{ConfigError, NodeConfig, Overrides};
use super::*;

fn load(text: &str, api: Option<&str>) -> Result<NodeConfig, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hither.toml"), text).unwrap();
    let overrides = Overrides {
        data_dir: Some(Path::new(dir.path()).to_owned()),
        api: api.map(|api| api.parse().unwrap()),
        ..Overrides::default()
    };
    NodeConfig::load(None, overrides)
}

fn check(text: &str, wanted: &str) {
    let said = match load(text, None) {
        Ok(config) => format!("{:?} {} {:?}", config.access.keys, config.access.bound, config.access.hosts),
        Err(ConfigError::Api { source, .. }) => told(&source),
        Err(ConfigError::Malformed { text, .. }) => text.lines().last().unwrap_or_default().to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(said, wanted, "{text}");
}

#[test]
fn who_comes_from_elsewhere_needs_a_key() {
    check("", "Optional 127.0.0.1 []");
    check("[api]\nlisten = \"[::1]:0\"", "Optional ::1 []");
    check("[api]\nkeys = \"required\"", "Required 127.0.0.1 []");
    check("[api]\nkeys = \"required\"\nlisten = \"0.0.0.0:8080\"", "Required 0.0.0.0 []");
    for listen in ["0.0.0.0:8080", "10.0.0.5:8080", "[::]:8080", "[fd00::5]:8080", "[::ffff:127.0.0.1]:8080"] {
        let refused = format!(
            "the API would listen on {listen}, where others than this machine reach it, and callers need no key"
        );
        check(&format!("[api]\nlisten = \"{listen}\""), &refused);
        check(&format!("[api]\nkeys = \"optional\"\nlisten = \"{listen}\""), &refused);
    }
    // The command line opens no door that the file keeps shut.
    assert!(matches!(load("", Some("0.0.0.0:0")), Err(ConfigError::Api { source: ApiError::PublicAddress(_), .. })));
    assert!(load("[api]\nkeys = \"required\"", Some("0.0.0.0:0")).is_ok());
    assert!(load("[api]\nlisten = \"0.0.0.0:80\"", Some("127.0.0.1:0")).is_ok());
}

#[test]
fn tokens_are_believed_of_an_issuer_whose_keys_nobody_can_change_on_the_way() {
    let keys = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let dir = tempfile::tempdir().unwrap();
    let load = |more: &str| {
        std::fs::write(dir.path().join("keys.json"), keys).unwrap();
        std::fs::write(dir.path().join("none.json"), "{}").unwrap();
        std::fs::write(dir.path().join("hither.toml"), format!("[api.oidc]\naudience = \"hither\"\n{more}")).unwrap();
        let overrides = Overrides { data_dir: Some(dir.path().to_owned()), ..Overrides::default() };
        match NodeConfig::load(None, overrides) {
            Ok(config) => {
                let oidc = config.oidc.unwrap();
                let tokens = config.access.tokens.unwrap();
                assert!(Arc::ptr_eq(&oidc.tokens, &tokens));
                format!("{:?} {} {}", oidc.source, tokens.rules().claim, tokens.has_keys())
            }
            Err(ConfigError::Api { source, .. }) => told(&source),
            Err(ConfigError::Malformed { text, .. }) => text.lines().last().unwrap_or_default().to_owned(),
            Err(error) => error.to_string(),
        }
    };
    for (more, wanted) in [
        (
            "issuer = \"https://a.example/x/\"",
            "Discovery(\"https://a.example/x/.well-known/openid-configuration\") sub false",
        ),
        (
            "issuer = \"https://a.example\"\napp_claim = \"azp\"",
            "Discovery(\"https://a.example/.well-known/openid-configuration\") azp false",
        ),
        ("issuer = \"a\"\njwks = \"https://a.example/keys\"", "Url(\"https://a.example/keys\") sub false"),
        ("issuer = \"a\"\njwks = \"http://[::1]:9/keys\"", "Url(\"http://[::1]:9/keys\") sub false"),
        ("issuer = \"\"", "[api.oidc]: issuer is empty"),
        ("issuer = \"a\"\njwks = \"none.json\"", "none.json: it is no JSON of the form that it should have"),
        ("issuer = \"a\"\njwks = \"absent.json\"", "absent.json cannot be read"),
        ("issuer = \"a\"", "issuer is \"a\", and keys are fetched over https:// alone"),
        ("issuer = \"http://a.example\"", "keys are fetched over https:// alone"),
        ("issuer = \"a\"\njwks = \"http://127.0.0.1.evil.example/\"", "keys are fetched over https:// alone"),
        ("issuer = \"a\"\njwks = \"http://localhost@evil.example/\"", "keys are fetched over https:// alone"),
        ("issuer = \"a\"\njwks = \"https://\"", "keys are fetched over https:// alone"),
        ("issuer = \"https://a.example\"\nca_file = \"none.json\"", "there is none in the file"),
        ("jwks = \"keys.json\"", "missing field `issuer`"),
        ("issuer = \"a\"\nsecret = \"b\"", "unknown field `secret`"),
    ] {
        let said = load(more);
        assert!(said.contains(wanted), "{more}: {said}");
    }
    let said = load("issuer = \"a\"\njwks = \"keys.json\"");
    assert!(said.starts_with("File(") && said.ends_with(" sub true"), "{said}");
    // Who believes tokens still lets others in, unless it is told not to.
    let public = "[api]\nlisten = \"0.0.0.0:0\"\n[api.oidc]\nissuer = \"https://a.example\"\naudience = \"h\"";
    assert!(matches!(self::load(public, None), Err(ConfigError::Api { source: ApiError::PublicAddress(_), .. })));
}

#[test]
fn names_are_taken_without_scheme_and_port() {
    check(
        "[api]\nhosts = [\"AI.klinik.example.\", \"10.0.0.5\", \"fd00::5\"]",
        "Optional 127.0.0.1 [\"ai.klinik.example\", \"10.0.0.5\", \"fd00::5\"]",
    );
    for host in ["http://a", "a:80", "", "*", "a/b", "[fd00::5]"] {
        check(
            &format!("[api]\nhosts = [{host:?}]"),
            &format!("hosts has {host:?}, which is not the name of a host; give it without http:// and without a port"),
        );
    }
}

#[test]
fn limits_of_the_nameless_are_read_and_what_is_wrong_is_named() {
    let text = "[api.anonymous]\nclass = \"internal\"\nmodels = [\"fraud\"]\npurposes = [\"triage\"]\nrequests_per_s = 2\n\
                concurrent = 3\ntokens_per_min = 4\n";
    let limits = load(text, None).unwrap().access.anonymous;
    assert_eq!(
        format!("{limits:?}"),
        "Limits { class: Some(Internal), models: [\"fraud\"], purposes: [\"triage\"], requests_per_s: Some(2), \
         concurrent: Some(3), tokens_per_min: Some(4) }"
    );
    assert_eq!(LimitsSection::from(&limits).read().unwrap(), limits);
    check(
        "[api.anonymous]\nclass = \"hidden\"",
        "class is wrong: expected public, internal, personal, special or secret, found \"hidden\"",
    );
    check(
        "[api.anonymous]\nmodels = [\"a b\"]",
        "models is wrong: expected a model name of at most 120 letters, digits and ._-/:, found \"a b\"",
    );
    check("[api.anonymous]\nconcurrent = 0", "invalid value: integer `0`, expected a nonzero u32");
    check("[api]\nkeys = \"never\"", "unknown variant `never`, expected `optional` or `required`");
}
