//! The section, as an operator writes it.

use super::{Telemetry, TelemetrySection, telemetry};

fn read(text: &str) -> Result<Option<Telemetry>, String> {
    let section: TelemetrySection = toml::from_str(text).map_err(|error| error.to_string())?;
    telemetry(section).map_err(|error| error.to_string())
}

#[test]
fn nothing_is_sent_unless_it_says_where() {
    assert_eq!(read(""), Ok(None));
    let all = Telemetry { otlp: "http://127.0.0.1:4317".to_owned(), share: 1.0 };
    assert_eq!(read("otlp = \"http://127.0.0.1:4317\""), Ok(Some(all.clone())));
    assert_eq!(read("otlp = \"http://127.0.0.1:4317\"\nshare = 0.25"), Ok(Some(Telemetry { share: 0.25, ..all })));
}

#[test]
fn what_is_wrong_is_said() {
    for (text, wanted) in [
        ("share = 0.5", "nothing says where"),
        ("otlp = \"http://c:4317\"\nshare = 1.5", "must be from 0 to 1"),
        ("otlp = \"http://c:4317\"\nshare = nan", "must be from 0 to 1"),
        ("otlp = \"https://c:4317\"", "must begin with http://"),
        ("otlp = \"http://\"", "must begin with http://"),
        ("otpl = \"http://c\"", "unknown field"),
    ] {
        let said = read(text).unwrap_err();
        assert!(said.contains(wanted), "{text}: {said}");
    }
}
