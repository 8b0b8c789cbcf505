//! What the file says of relays.

use super::*;

#[test]
fn a_relay_is_named_as_its_node_prints_it_and_anything_else_is_refused_with_the_form() {
    let key = "1f".repeat(32);
    let texts = [format!("{key}@203.0.113.7:7844"), format!("{key}@[2001:db8::7]:443")];
    let read = named(&texts).unwrap();
    assert_eq!(read.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
    for wrong in ["203.0.113.7:7844", "relay.example:443", "abc@203.0.113.7:7844", &format!("{key}@relay.example:443")]
    {
        let error = named(&[wrong.to_owned()]).unwrap_err();
        assert!(error.contains("KEY@IP:PORT") && error.contains("[mesh] relays"), "{error}");
    }
    assert!(named(&vec![texts[0].clone(); RELAYS_NAMED_MAX + 1]).is_err());
}
