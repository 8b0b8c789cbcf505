//! Frames survive any cut, and a promise of much memory is not believed.

use bytes::BytesMut;

use super::{FramingError, frame, split};

#[test]
fn frames_survive_every_cut() {
    let bytes = ["", "one", "three"].map(|body| frame(body, 9).expect("small").0.concat()).concat();
    for cut in 0..=bytes.len() {
        let mut buffer = BytesMut::new();
        let mut seen = Vec::new();
        for part in [&bytes[..cut], &bytes[cut..]] {
            buffer.extend_from_slice(part);
            while let Some(frame) = split(&mut buffer, 9).expect("whole frames") {
                seen.push(frame);
            }
        }
        assert_eq!(seen, [&b""[..], b"one", b"three"], "cut at {cut}");
    }
}

#[test]
fn an_oversized_header_is_refused_before_its_body() {
    let mut buffer = BytesMut::from(&u32::MAX.to_le_bytes()[..]);
    assert!(matches!(split(&mut buffer, 1024), Err(FramingError::TooLarge { limit: 1024, .. })));
    assert!(frame(vec![0; 10], 9).is_none());
}
