//! The section, as an operator writes it.

use super::{CollectorPlace, Telemetry, TelemetrySection, telemetry};

fn read(text: &str) -> Result<Option<Telemetry>, String> {
    let section: TelemetrySection = toml::from_str(text).map_err(|error| error.to_string())?;
    telemetry(section).map_err(|error| error.to_string())
}

#[test]
fn nothing_is_sent_unless_it_says_where() {
    assert_eq!(read(""), Ok(None));
    let all = Telemetry { otlp: "http://127.0.0.1:4317".to_owned(), share: 1.0, place: CollectorPlace::Here };
    assert_eq!(read("otlp = \"http://127.0.0.1:4317\""), Ok(Some(all.clone())));
    assert_eq!(read("otlp = \"http://127.0.0.1:4317\"\nshare = 0.25"), Ok(Some(Telemetry { share: 0.25, ..all })));
}

#[test]
fn a_collector_has_a_place_as_an_endpoint_has() {
    let place = |text: &str| read(text).unwrap().unwrap().place;
    for here in ["http://localhost:4317", "http://[::1]:4317", "http://127.0.0.2:1"] {
        assert_eq!(place(&format!("otlp = \"{here}\"")), CollectorPlace::Here);
    }
    assert_eq!(place("otlp = \"http://collector.example:4317\""), CollectorPlace::Unknown);
    let said = "jurisdiction = \"US\"\noperator = \"watcher\"";
    // A tunnel may lead elsewhere.
    for address in ["http://127.0.0.1:4317", "http://collector.example:4317"] {
        let CollectorPlace::Elsewhere(found) = place(&format!("otlp = \"{address}\"\n{said}")) else { panic!() };
        assert_eq!((found.jurisdiction.to_string(), found.operator.to_string()), ("US".into(), "watcher".into()));
        assert_eq!(found.control, None);
    }
    let nobody = format!("otlp = \"http://c:1\"\n{said}\ncontrol = []");
    let CollectorPlace::Elsewhere(found) = place(&nobody) else { panic!() };
    assert_eq!(found.control, Some(vec![]));
}

#[test]
fn what_is_wrong_is_said() {
    for (text, wanted) in [
        ("share = 0.5", "nothing says where"),
        ("otlp = \"http://c:4317\"\nshare = 1.5", "must be from 0 to 1"),
        ("otlp = \"http://c:4317\"\nshare = nan", "must be from 0 to 1"),
        ("otlp = \"https://c:4317\"", "must begin with http://"),
        ("otlp = \"http://\"", "must begin with http://"),
        ("jurisdiction = \"US\"", "nothing says where"),
        ("otlp = \"http://c:1\"\njurisdiction = \"US\"", "only a part"),
        ("otlp = \"http://127.0.0.1:1\"\ncontrol = []", "only a part"),
        ("otlp = \"http://c:1\"\njurisdiction = \"us\"\noperator = \"x\"", "[telemetry] jurisdiction is wrong"),
        ("otpl = \"http://c\"", "unknown field"),
    ] {
        let said = read(text).unwrap_err();
        assert!(said.contains(wanted), "{text}: {said}");
    }
}
