//! What a server of the inference protocol is sent, and what is understood of its answers.

use hither_engine::work::GenerateWork;

use super::*;
use crate::endpoint::tests::server_of;

fn tensor(name: &str, datatype: Datatype, shape: &[u64], data: &[u8]) -> Tensor {
    Tensor { name: name.to_owned(), datatype, shape: shape.to_vec(), data: data.to_vec() }
}

fn numbers(values: &[f32]) -> Tensor {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor("x", Datatype::Fp32, &[values.len() as u64], &data)
}

fn text() -> Tensor {
    tensor("s", Datatype::Bytes, &[1, 2], b"\x02\0\0\0hi\x01\0\0\0\"")
}

fn infer(inputs: Vec<Tensor>, outputs: &[&str]) -> Work {
    Work::Infer(InferWork { inputs, outputs: outputs.iter().map(|name| (*name).to_owned()).collect() })
}

/// The JSON of a request, and what is behind it.
fn sent(work: &Work, binary: bool) -> (String, Vec<u8>) {
    let asked = render("fraud", work, binary).unwrap();
    let (json, behind) = asked.body.split_at(asked.json_length.unwrap_or(asked.body.len()));
    (String::from_utf8(json.to_vec()).unwrap(), behind.to_vec())
}

#[test]
fn tensors_are_json_where_the_server_says_nothing_of_binary_ones() {
    let (json, behind) = sent(&infer(vec![numbers(&[0.5, -1.0]), text()], &["y"]), false);
    assert_eq!(
        json,
        r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[0.5,-1.0]},{"name":"s","datatype":"BYTES","shape":[1,2],"data":["hi","\""]}],"outputs":[{"name":"y","parameters":{"binary_data":false}}]}"#
    );
    assert!(behind.is_empty());
    assert!(!sent(&infer(vec![], &[]), false).0.contains("outputs"), "all are wanted");
}

#[test]
fn what_json_has_no_form_for_goes_behind_it() {
    let half = tensor("h", Datatype::Fp16, &[1], &[0, 60]);
    let raw = tensor("b", Datatype::Bytes, &[1], b"\x01\0\0\0\xff");
    for odd in [half, raw, numbers(&[f32::NAN])] {
        let (json, behind) = sent(&infer(vec![numbers(&[0.5]), odd.clone()], &[]), false);
        assert!(json.contains(r#""data":[0.5]}"#), "{json}");
        let size = format!(r#""shape":[1],"parameters":{{"binary_data_size":{}}}}}"#, odd.data.len());
        assert!(json.contains(&size), "{json}");
        assert_eq!(behind, odd.data);
    }
}

#[test]
fn a_server_that_says_so_is_sent_binary_tensors_and_asked_for_them() {
    let (json, behind) = sent(&infer(vec![numbers(&[0.5]), text()], &[]), true);
    assert!(json.starts_with(r#"{"parameters":{"binary_data_output":true},"inputs":[{"name":"x""#), "{json}");
    assert!(!json.contains("\"data\""), "{json}");
    assert_eq!(behind, [numbers(&[0.5]).data, text().data].concat());
    let empty = infer(vec![numbers(&[])], &[]);
    let asked = render("fraud", &empty, true).unwrap();
    assert_eq!(asked.json_length, Some(asked.body.len()), "nothing is behind it, and that is said");
    let (json, _) = sent(&infer(vec![], &["y"]), true);
    assert!(json.contains(r#""outputs":[{"name":"y","parameters":{"binary_data":true}}]"#), "{json}");
}

#[test]
fn a_name_is_a_part_of_a_path_and_nothing_else() {
    for (name, expected) in [
        ("fraud", "/v2/models/fraud"),
        ("fraud/versions/2", "/v2/models/fraud/versions/2"),
        ("fraud:2", "/v2/models/fraud:2"),
        ("../x?y=ü", "/v2/models/..%2Fx%3Fy%3D%C3%BC"),
        ("a/b/versions/../c", "/v2/models/a%2Fb/versions/..%2Fc"),
    ] {
        assert_eq!(path(name), expected);
    }
}

#[test]
fn what_is_no_tensor_cannot_be_asked() {
    let prompt = hither_engine::work::Prompt::Text("hi".to_owned());
    let refused = render("fraud", &Work::Generate(GenerateWork::new(prompt)), false);
    assert!(matches!(refused, Err(EndpointError::Cannot(_))));
}

#[test]
fn answers_are_read_in_both_forms() {
    let json = br#"{"model_name":"fraud","outputs":[{"name":"y","datatype":"INT64","shape":[2],"data":[1,-1]}]}"#;
    let expected = [1i64, -1].iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    assert_eq!(read(json, None), Ok(Piece::Outputs(vec![tensor("y", Datatype::Int64, &[2], &expected)])));
    let head = br#"{"outputs":[{"name":"y","datatype":"FP16","shape":[1],"parameters":{"binary_data_size":2}}]}"#;
    let body = [&head[..], &[0, 60]].concat();
    assert_eq!(read(&body, Some(head.len())), Ok(Piece::Outputs(vec![tensor("y", Datatype::Fp16, &[1], &[0, 60])])));
}

#[test]
fn an_answer_that_is_not_what_it_says_is_none_and_is_not_repeated() {
    let binary = |shape: &str, size: usize| {
        let parameters = format!(r#""parameters":{{"binary_data_size":{size}}}"#);
        format!(r#"{{"outputs":[{{"name":"y","datatype":"FP32","shape":{shape},{parameters}}}]}}"#)
    };
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let cases = [
        ("nonsense".to_owned(), None),
        ("{}".to_owned(), None),
        (deep, None),
        (r#"{"outputs":[{"name":"y","datatype":"SECRET","shape":[1],"data":[1]}]}"#.to_owned(), None),
        (r#"{"outputs":[{"name":"y","datatype":"INT8","shape":[1],"data":[777]}]}"#.to_owned(), None),
        (r#"{"outputs":[{"name":"y","datatype":"INT8","shape":[2],"data":[7]}]}"#.to_owned(), None),
        (binary("[1]", 4), None),
        (format!("{}four", binary("[2]", 4)), Some(binary("[2]", 4).len())),
        (format!("{}four", binary("[18446744073709551615,2]", 4)), Some(binary("[18446744073709551615,2]", 4).len())),
        (format!("{}four", binary("[1]", 5)), Some(binary("[1]", 5).len())),
        (format!("{}fours", binary("[1]", 4)), Some(binary("[1]", 4).len())),
        (binary("[0]", 0), Some(9_999)),
    ];
    for (body, length) in cases {
        match read(body.as_bytes(), length) {
            Err(EndpointError::Failed(text)) => {
                let clean = !["777", "SECRET", "nonsense", "four"].iter().any(|part| text.contains(part));
                assert!(clean && text.contains("inference protocol"), "{text}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_model_says_what_it_takes_and_the_server_whether_tensors_may_be_binary() {
    let says = |extensions: &str| {
        let server = format!(r#"{{"name":"triton","version":"2","extensions":{extensions}}}"#);
        let model = r#"{"name":"fraud","inputs":[{"name":"x","datatype":"FP32","shape":[-1,3]}],"outputs":[]}"#;
        vec![server, model.to_owned()]
    };
    for (extensions, binary) in [(r#"["classification","binary_tensor_data"]"#, true), ("[]", false)] {
        let (endpoint, asked) = server_of(Protocol::Inference, says(extensions)).await;
        let io = endpoint.describe("fraud", Duration::from_secs(20)).await.unwrap();
        let input = TensorSpec { name: "x".into(), datatype: Datatype::Fp32, shape: vec![None, Some(3)] };
        assert_eq!(io, Some(ModelIo::Tensors { inputs: vec![input], outputs: Vec::new() }));
        assert_eq!(endpoint.binary.load(Ordering::Relaxed), binary, "{extensions}");
        let asked = asked.await.unwrap();
        assert!(asked[0].starts_with("GET /v2 ") && asked[1].starts_with("GET /v2/models/fraud "), "{asked:?}");
    }
    let odd = r#"{"inputs":[{"name":"x","datatype":"FP4","shape":[1]}],"outputs":[]}"#;
    let (endpoint, _) = server_of(Protocol::Inference, vec!["{}".to_owned(), odd.to_owned()]).await;
    assert_eq!(endpoint.describe("fraud", Duration::from_secs(20)).await, Ok(None), "of a type that nobody here has");
}

#[tokio::test]
async fn errors_are_in_the_protocols_own_form_and_known_by_their_kind() {
    let (endpoint, asked) = server_of(Protocol::Inference, vec![r#"{"outputs":[]}"#.to_owned()]).await;
    let cleared = crate::endpoint::Cleared::new(infer(vec![numbers(&[1.0])], &[]), None).unwrap();
    let mut answer = endpoint.ask("fraud", &cleared, true, None).await.unwrap();
    assert_eq!(answer.next().await, Ok(Some(Piece::Outputs(Vec::new()))));
    assert_eq!(answer.next().await, Ok(None));
    assert!(asked.await.unwrap()[0].starts_with("POST /v2/models/fraud/infer "));
    assert_eq!(crate::endpoint::answer::error_text(br#"{"error":"no such input"}"#), "no such input");
}
