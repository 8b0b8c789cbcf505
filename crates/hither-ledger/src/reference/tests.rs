use super::*;

/// As `printf '%s %s' ID SHA256 | openssl dgst -sha256 -mac HMAC -macopt hexkey:…` makes it.
#[test]
fn a_reference_is_what_other_programs_make_of_the_same_key_request_and_body() {
    let (request, body) = (crate::samples::REQUEST, body_digest(b"Hi There"));
    let made = reference(&[0x0b; 32], request, &body);
    assert_eq!(made.to_string(), "0460a7227e114343743c77e275487a4c2307933ab38f5e85529a422e7908f3b3");
    assert_ne!(made, reference(&[0x0c; 32], request, &body));
    assert_ne!(made, reference(&[0x0b; 32], RequestId(request.0 + 1), &body));
    assert_ne!(made, reference(&[0x0b; 32], request, &body_digest(b"Hi There ")));
}
