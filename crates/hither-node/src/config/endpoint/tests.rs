//! What may be said of a server outside the mesh.

use std::path::Path;

use hither_api::endpoint::{Filter, OnFinding, OnUnreadable, Protocol};
use hither_filter::Kinds;
use hither_types::filter::DataKind;

use super::{EndpointConfig, EndpointSections, endpoints};

fn read(text: &str, dir: &Path) -> Result<Vec<EndpointConfig>, String> {
    let sections: std::collections::BTreeMap<String, EndpointSections> =
        toml::from_str(text).map_err(|error| error.to_string())?;
    let sections = sections.into_values().next().unwrap_or_default();
    endpoints(sections, dir).map_err(|error| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })
}

#[track_caller]
fn refused(text: &str, part: &str) {
    let error = read(text, Path::new("/nowhere")).expect_err(text);
    assert!(error.contains(part), "{error}");
}

#[test]
fn a_server_on_this_machine_needs_an_address_and_models() {
    let text = "[endpoint.lab]\nurl = \"http://127.0.0.1:9000/v1/\"\nmodels = [\"assistant\"]";
    let found = read(text, Path::new("/nowhere")).unwrap();
    assert_eq!(found[0].address.base, "http://127.0.0.1:9000");
    assert_eq!(found[0].address.probe, "/v1/models");
    assert!(found[0].elsewhere.is_none());
    assert_eq!(found[0].at_once, 64);
}

#[test]
fn one_elsewhere_says_where_it_stands_and_who_runs_it() {
    let known = "[endpoint.cloud]\nurl = \"https://models.example/openai\"\nmodels = { assistant = \"big-1\" }\n\
                 jurisdiction = \"US\"\noperator = \"example\"\ncontrol = [\"US\"]";
    let found = read(known, Path::new("/nowhere")).unwrap();
    let elsewhere = found[0].elsewhere.as_ref().unwrap();
    assert_eq!((elsewhere.jurisdiction.to_string(), elsewhere.operator.to_string()), ("US".into(), "example".into()));
    assert_eq!(found[0].models.values().collect::<Vec<_>>(), ["big-1"]);
    refused("[endpoint.c]\nurl = \"https://m.example\"\nmodels = [\"a\"]", "is not on this machine");
    refused(
        "[endpoint.c]\nurl = \"https://m.example\"\nmodels = [\"a\"]\njurisdiction = \"US\"",
        "is not on this machine",
    );
    // A tunnel ends on this machine, and begins elsewhere: whoever says where is believed.
    let tunnel =
        "[endpoint.t]\nurl = \"http://localhost:1\"\nmodels = [\"a\"]\njurisdiction = \"US\"\noperator = \"x\"";
    assert!(read(tunnel, Path::new("/nowhere")).unwrap()[0].elsewhere.is_some());
}

#[test]
fn a_server_may_speak_the_inference_protocol_but_no_name_both() {
    let lab = "[endpoint.lab]\nurl = \"http://127.0.0.1:9000/v2\"\nprotocol = \"oip\"\nmodels = [\"fraud\"]\n";
    let found = read(lab, Path::new("/nowhere")).unwrap();
    assert_eq!(
        (found[0].address.base.as_str(), found[0].address.protocol),
        ("http://127.0.0.1:9000", Protocol::Inference)
    );
    assert_eq!(found[0].address.probe, "/v2/health/live");
    let other = "[endpoint.more]\nurl = \"http://127.0.0.1:9001\"\nmodels = [\"fraud\"]\n";
    refused(&format!("{lab}{other}"), "model fraud is in endpoints of both protocols");
    refused(&lab.replace("oip", "grpc"), "expected `openai` or `oip`");
}

#[test]
fn keys_may_be_pinned_one_or_several() {
    let pin = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let cloud = "[endpoint.c]\nurl = \"https://127.0.0.1\"\nmodels = [\"a\"]\n";
    let pins = |text: &str| {
        let found = read(&format!("{cloud}{text}"), Path::new("/nowhere")).unwrap();
        found[0].address.pins.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(pins(""), [""; 0]);
    assert_eq!(pins(&format!("pin = \"{pin}\"")), [pin]);
    assert_eq!(pins(&format!("pin = [\"{pin}\", \"{pin}\"]")), [pin, pin]);
    refused(&format!("{cloud}pin = \"sha256/abc\""), "\"sha256/abc\" is no pin such as sha256/ and 44 letters");
    refused(&format!("{}pin = \"{pin}\"", cloud.replace("https", "http")), "use https://");
}

#[test]
fn one_may_train_models_by_names_of_its_own_and_do_nothing_else() {
    let head = "[endpoint.cloud]\nurl = \"https://m.example\"\njurisdiction = \"US\"\noperator = \"x\"\n";
    let read = |words: &str| read(&format!("{head}{words}"), Path::new("/nowhere")).unwrap().remove(0);
    let same = read("trains = [\"assistant\"]");
    assert!(same.models.is_empty());
    assert_eq!(same.trains.values().collect::<Vec<_>>(), ["assistant"]);
    let each = read("models = [\"assistant\"]\ntrains = { assistant = \"big-1-ft-base\" }");
    assert_eq!(each.trains.values().collect::<Vec<_>>(), ["big-1-ft-base"]);
    assert!(read("models = [\"assistant\"]").trains.is_empty(), "nobody trains who is not said to");
    refused(&format!("{head}trains = [\"no name\"]"), "trains is wrong");
}

#[test]
fn what_cannot_be_used_is_told_with_what_to_write() {
    let clear = "[endpoint.c]\nurl = \"http://10.0.0.1\"\nmodels = [\"a\"]\njurisdiction = \"DE\"\noperator = \"x\"";
    refused(clear, "plain_http = true");
    assert!(read(&format!("{clear}\nplain_http = true"), Path::new("/nowhere")).is_ok());
    refused("[endpoint.c]\nurl = \"ftp://x\"\nmodels = [\"a\"]", "must be an address");
    refused("[endpoint.c]\nurl = \"http://user:secret@localhost\"\nmodels = [\"a\"]", "must be an address");
    refused("[endpoint.c]\nurl = \"http://localhost\"\nmodels = []", "names no model");
    refused("[endpoint.c]\nurl = \"http://localhost\"\nmodels = [\"a\"]\nat_once = 0", "never be asked");
    refused("[endpoint.c]\nurl = \"http://localhost\"\nmodels = [\"a\"]\nprobe = \"health\"", "such as /health");
    refused("[endpoint.c]\nurl = \"http://localhost\"\nmodels = [\"a\"]\nkey_file = \"k\"", "cannot read /nowhere/k");
    refused("[endpoint.c]\nurl = \"http://localhost\"\nmodels = [\"a\"]\nkey = \"k\"", "unknown field `key`");
}

#[test]
fn a_key_is_read_from_its_file_and_shown_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("lab.key"), "sk-very-secret\n").unwrap();
    let text = "[endpoint.lab]\nurl = \"http://localhost:9000\"\nmodels = [\"a\"]\nkey_file = \"lab.key\"";
    let found = read(text, dir.path()).unwrap();
    assert_eq!(found[0].address.key.as_deref(), Some("sk-very-secret"));
    assert!(!format!("{found:?}").contains("secret"));
}

const ELSEWHERE: &str =
    "[endpoint.c]\nurl = \"https://m.example\"\nmodels = [\"a\"]\njurisdiction = \"US\"\noperator = \"x\"\n";

#[track_caller]
fn filtered(section: &str) -> Option<Filter> {
    read(&format!("{ELSEWHERE}{section}"), Path::new("/nowhere")).unwrap()[0].filter
}

#[test]
fn a_filter_masks_all_that_it_knows_unless_told_otherwise() {
    assert!(filtered("").is_none(), "nobody is filtered who is not told to be");
    let filter = filtered("[endpoint.c.filter]").unwrap();
    assert_eq!(filter.kinds, Kinds::all());
    assert_eq!((filter.on_finding, filter.on_unreadable), (OnFinding::Mask, OnUnreadable::Block));
    let words = "[endpoint.c.filter]\nkinds = [\"email\", \"national-id\"]\naction = \"block\"\nunreadable = \"pass\"";
    let filter = filtered(words).unwrap();
    assert!(filter.kinds.has(DataKind::Email) && filter.kinds.has(DataKind::FrNir));
    assert!(!filter.kinds.has(DataKind::Phone));
    assert_eq!((filter.on_finding, filter.on_unreadable), (OnFinding::Block, OnUnreadable::Pass));
    let nothing = filtered("[endpoint.c.filter]\nkinds = []").unwrap();
    assert!(nothing.kinds.is_empty() && nothing.on_unreadable == OnUnreadable::Pass);
}

#[test]
fn a_wrong_word_of_a_filter_is_told_with_its_place_and_the_right_one() {
    let wrong = |section: &str, part: &str| refused(&format!("{ELSEWHERE}{section}"), part);
    wrong("[endpoint.c.filter]\nkinds = [\"emial\"]", "did you mean \"email\"?");
    wrong("[endpoint.c.filter]\nkinds = [\"emial\"]", "line 7");
    wrong("[endpoint.c.filter]\nkinds = [\"name\"]", "\"name\" is no kind that the filter knows");
    wrong("[endpoint.c.filter]\nkinds = [\"name\"]", "there are email, phone");
    wrong("[endpoint.c.filter]\naction = \"redact\"", "expected `mask` or `block`");
    wrong("[endpoint.c.filter]\nunreadable = \"mask\"", "expected `block` or `pass`");
    wrong("[endpoint.c.filter]\nkind = []", "unknown field `kind`");
}
