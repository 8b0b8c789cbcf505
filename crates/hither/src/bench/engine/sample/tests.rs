//! From samples to numbers.

use super::*;

#[test]
fn rates_count_what_they_say() {
    let sample = Sample {
        latency: Duration::from_secs(3),
        first: Duration::from_secs(1),
        prompt_tokens: 100,
        output_tokens: 41,
        first_cpu_us: Some(500_000),
    };
    let round = Round {
        streams: 1,
        samples: vec![sample; 2],
        took: Duration::from_secs(6),
        cpu_us: Some(3_000_000),
        client_cpu_us: 20,
        memory: Some(7),
    };
    let object = round.json();
    for (path, wanted) in [
        ("/requests_per_s", 1.0 / 3.0),
        ("/latency_us/p50", 3e6),
        ("/cpu_us_per_request", 1.5e6),
        ("/client_cpu_us_per_request", 10.0),
        ("/language/first_token_us/p99", 1e6),
        ("/language/prefill_tokens_per_s/p50", 100.0),
        ("/language/decode_tokens_per_s/p50", 20.0),
        ("/language/output_tokens_per_s", 82.0 / 6.0),
        ("/language/prefill_tokens_per_cpu_s", 200.0),
        ("/language/decode_tokens_per_cpu_s", 40.0),
        ("/language/all_tokens_per_cpu_s", 94.0),
    ] {
        let found = object.pointer(path).and_then(Value::as_f64).unwrap();
        assert!((found - wanted).abs() < 1e-6 * wanted, "{path}: {found}, not {wanted}");
    }
}

#[test]
fn a_tensor_model_has_no_tokens_and_an_unknown_server_no_processor_time() {
    let samples = vec![Sample { latency: Duration::from_micros(1500), ..Sample::default() }];
    let round = Round { streams: 8, samples, took: Duration::from_secs(1), ..Round::default() };
    let object = round.json();
    assert!(object.get("language").is_none() && object["cpu_us_per_request"].is_null(), "{object}");
    assert!(round.text().contains("p50 1.500 ms") && round.text().contains("processor unknown"), "{}", round.text());
}
