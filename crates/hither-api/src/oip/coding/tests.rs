//! What a client says it can read is what it gets, and only where it is worth it.

use std::io::Read;

use http_body_util::BodyExt;
use hyper::HeaderMap;

use super::{Coding, respond};

fn accepted(header: &str) -> Option<Coding> {
    let mut headers = HeaderMap::new();
    headers.insert("accept-encoding", header.parse().unwrap());
    Coding::accepted(&headers)
}

#[test]
fn the_best_of_what_was_named_is_taken() {
    for (header, coding) in [
        ("gzip", Some(Coding::Gzip)),
        ("deflate, gzip", Some(Coding::Deflate)),
        ("gzip, deflate, br, zstd", Some(Coding::Gzip)),
        ("gzip;q=0.5, deflate;q=0.8", Some(Coding::Deflate)),
        ("GZIP ; q=1.0", Some(Coding::Gzip)),
        ("gzip;q=0", None),
        ("gzip;q=nonsense", None),
        ("br, identity, *", None),
        ("", None),
    ] {
        assert_eq!(accepted(header), coding, "{header}");
    }
    assert_eq!(Coding::accepted(&HeaderMap::new()), None);
}

#[tokio::test]
async fn bytes_come_back_as_they_were_and_small_ones_are_left_alone() {
    for length in [0, 1023, 1024, 300_000] {
        let plain: Vec<u8> = (0..length).map(|at: u32| (at / 7) as u8).collect();
        for coding in [None, Some(Coding::Gzip), Some(Coding::Deflate)] {
            let response = respond(coding, "application/json", plain.clone()).await;
            let said = response.headers().get("content-encoding").map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(response.headers()["vary"], "accept-encoding");
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            let mut back = Vec::new();
            match said.as_deref() {
                Some("gzip") => flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut back).unwrap(),
                Some("deflate") => flate2::read::ZlibDecoder::new(&bytes[..]).read_to_end(&mut back).unwrap(),
                Some(other) => panic!("{other}"),
                None => (&bytes[..]).read_to_end(&mut back).unwrap(),
            };
            assert_eq!(said.is_some(), coding.is_some() && length >= 1024, "{length} {coding:?}");
            assert!(said.is_none() || bytes.len() < plain.len() / 2);
            assert_eq!(back, plain);
        }
    }
}
