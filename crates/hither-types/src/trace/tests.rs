//! The header, as the specification has it.

use super::TraceParent;

const SAID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_header_reads_and_prints_the_same() {
    let read = TraceParent::parse(SAID).unwrap();
    assert_eq!((read.trace >> 96, read.span, read.sampled), (0x4bf9_2f35, 0x00f0_67aa_0ba9_02b7, true));
    assert_eq!(read.to_string(), SAID);
    assert!(!TraceParent::parse(&SAID.replace("-01", "-00")).unwrap().sampled);
    // A later version may say more at the end.
    assert_eq!(TraceParent::parse(&format!("cc{}-more", &SAID[2..])), Some(read));
}

#[test]
fn what_is_no_header_is_as_if_it_were_absent() {
    for wrong in [
        String::new(),
        SAID[1..].to_owned(),
        format!("{SAID}-more"),
        format!("cc{}more", &SAID[2..]),
        SAID.replace("00-4", "ff-4"),
        SAID.to_uppercase(),
        SAID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        SAID.replace("00f067aa0ba902b7", &"0".repeat(16)),
        SAID.replace("00f067aa0ba902b7", "00f067aa0ba902b"),
        SAID.replace('-', "+"),
        "ö".repeat(40),
    ] {
        assert_eq!(TraceParent::parse(&wrong), None, "{wrong}");
    }
}
