use super::*;

/// RFC 4231, section 4.2 has a key of 20 bytes; this is its data under a key of 32, as `openssl dgst -sha256 -mac HMAC` gives it.
#[test]
fn a_reference_is_what_other_programs_make_of_the_same_key_and_body() {
    let made = reference(&[0x0b; 32], b"Hi There");
    assert_eq!(made.to_string(), "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7");
    assert_ne!(made, reference(&[0x0c; 32], b"Hi There"));
    assert_ne!(made, reference(&[0x0b; 32], b"Hi There "));
}
