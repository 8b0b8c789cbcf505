//! Bodies: decompressed, bounded, never deeper than a parser can stand.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use hither_engine::work::{FinishReason, Piece, Tensor};
use hither_types::model::Datatype;

use super::check_depth;
use crate::limits::BODY_BYTES;
use crate::tests::fake::{done, end, routed, tokens};
use crate::tests::lab::Lab;

fn lab() -> Lab {
    Lab::new(|submission| match submission.envelope.model.as_str() {
        "fraud" => {
            let tensor =
                Tensor { name: "label".to_owned(), datatype: Datatype::Int64, shape: vec![0], data: Vec::new() };
            Ok(vec![routed(), Answer::Piece(Piece::Outputs(vec![tensor])), done()])
        }
        _ => Ok(vec![routed(), tokens(0, &[1], "a"), end(FinishReason::Stop, ""), done()]),
    })
}

use crate::door::Answer;

const GOOD: &[u8] = br#"{"inputs":[{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}]}"#;
const PATH: &str = "POST /v2/models/fraud/infer";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn gzip_and_deflate_are_read_and_others_refused() {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(GOOD).unwrap();
    let zlib = zlib.finish().unwrap();
    for (coding, body, status) in [
        ("identity", GOOD.to_vec(), 200),
        ("gzip", gzip(GOOD), 200),
        ("deflate", zlib, 200),
        ("gzip", GOOD.to_vec(), 400),
        ("gzip", gzip(GOOD)[..20].to_vec(), 400),
        ("deflate", gzip(GOOD), 400),
        ("br", GOOD.to_vec(), 415),
        ("gzip, gzip", gzip(&gzip(GOOD)), 415),
    ] {
        let came = lab().send(&format!("{PATH}\ncontent-encoding: {coding}"), body).await;
        assert_eq!(came.status, status, "{coding}: {}", came.text());
        let accepts = if status == 415 { "gzip, deflate" } else { "-" };
        assert_eq!(came.header("accept-encoding"), accepts);
    }
}

#[tokio::test]
async fn too_large_is_413_announced_or_not_and_after_decompression() {
    let announced = lab().send(&format!("{PATH}\ncontent-length: {}", BODY_BYTES + 1), "").await;
    assert_eq!((announced.status, announced.json()["code"].as_str()), (413, Some("E0606")));
    let bomb = lab().send(&format!("{PATH}\ncontent-encoding: gzip"), gzip(&vec![b' '; BODY_BYTES + 1])).await;
    assert_eq!(bomb.status, 413);
    let long = lab().send("POST /v1/chat/completions", vec![b' '; BODY_BYTES + 1]).await;
    assert_eq!((long.status, long.json()["error"]["code"].as_str()), (413, Some("E0606")));
}

#[tokio::test]
async fn memory_for_bodies_is_lent_and_given_back() {
    let bodies = super::Bodies::new();
    let mut headers = hyper::HeaderMap::new();
    headers.insert("content-length", BODY_BYTES.into());
    let mut held = Vec::new();
    for _ in 0..crate::limits::BODIES_BYTES / BODY_BYTES {
        held.push(bodies.read(&headers, "".into()).await.ok().unwrap());
    }
    assert_eq!(bodies.read(&headers, "".into()).await.err().map(|problem| problem.status), Some(429));
    held.clear();
    assert!(bodies.read(&headers, "".into()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let endless =
        axum::body::Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let came = lab().send(PATH, endless).await;
    assert_eq!((came.status, came.json()["code"].as_str()), (408, Some("E0609")));
}

#[tokio::test]
async fn deep_json_is_refused_wherever_it_hides() {
    let deep = format!("{}{}", "[".repeat(250_000), "]".repeat(250_000));
    for (path, body) in [
        ("/v2/models/fraud/infer", deep.clone()),
        ("/v2/models/fraud/infer", format!(r#"{{"inputs":[],"parameters":{deep}}}"#)),
        ("/v2/models/fraud/infer", format!(r#"{{"inputs":[],"unknown":{deep}}}"#)),
        ("/v1/chat/completions", format!(r#"{{"model":"smollm2-135m","unknown":{deep}}}"#)),
    ] {
        let came = lab().send(&format!("POST {path}"), body).await;
        assert_eq!(came.status, 400);
        assert!(came.text().contains("nests deeper than 100 levels"), "{}", came.text());
    }
}

#[test]
fn brackets_in_strings_do_not_nest() {
    let text = format!(r#"["{}\"{}","\\",["#, "[".repeat(200), "{".repeat(200));
    assert!(check_depth(text.as_bytes()).is_ok());
    assert!(check_depth("[".repeat(100).as_bytes()).is_ok());
    assert!(check_depth("[".repeat(101).as_bytes()).is_err());
    assert!(check_depth(b"\"\\").is_ok());
}

#[tokio::test]
async fn a_compressed_body_counts_as_what_it_is_when_it_is_open() {
    let bodies = super::Bodies::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &vec![0; 32 << 20]).unwrap();
    let packed = encoder.finish().unwrap();
    let mut headers = hyper::HeaderMap::new();
    headers.insert("content-encoding", "gzip".parse().unwrap());
    headers.insert("content-length", packed.len().into());
    let mut held = Vec::new();
    while let Ok(body) = bodies.read(&headers, packed.clone().into()).await {
        held.push(body);
    }
    // Each takes its size and a little for what came.
    assert_eq!(held.len(), crate::limits::BODIES_BYTES / (32 << 20) - 1);
}
