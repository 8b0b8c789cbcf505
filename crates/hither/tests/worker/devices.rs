//! Workers with execution providers that were found on disk.

use std::process::{Command, Stdio};

use hither_engine::work::{InferWork, Piece, Work};
use hither_types::model::Device;
use serde_json::Value;

use crate::made;
use crate::node::{Node, cached, model};
use crate::onnx::{LIBRARY, floats};

fn lines(library: &str, providers: &str) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hither"));
    command.args(["worker", "--devices", "--library", library, "--providers", providers]).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn providers() -> Option<(String, String)> {
    if cfg!(not(target_arch = "x86_64")) {
        eprintln!("skipped: the providers that are fetched are for x86-64");
        return None;
    }
    Some((cached(LIBRARY)?, cached("providers")?))
}

#[test]
fn providers_on_disk_are_registered_and_devices_are_listed_as_data() {
    let Some((library, providers)) = providers() else { return };
    let lines = lines(&library, &providers);
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    assert_eq!(of("unusable"), Vec::<&Value>::new());
    let names: Vec<&str> = of("provider").iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["OpenVINOExecutionProvider", "WebGpuExecutionProvider"]);
    assert!(of("device").iter().any(|line| line["provider"] == "CPUExecutionProvider"), "{lines:?}");
    // What a provider says that it has is what is listed of it; without a device that it knows that is nothing.
    for provider in of("provider") {
        let own = of("device").iter().filter(|line| line["provider"] == provider["name"]).count() as u64;
        assert_eq!(provider["devices"].as_u64(), Some(own));
    }
}

#[test]
fn a_provider_that_cannot_be_used_is_named_with_the_reason_and_the_cpu_answers() {
    let Some(library) = cached(LIBRARY) else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("libonnxruntime_providers_cuda.so"), b"not a library").unwrap();
    let dir = dir.path().to_str().unwrap();
    let lines = lines(&library, dir);
    let broken = lines.iter().find(|line| line["kind"] == "unusable").unwrap();
    assert_eq!(broken["name"], "CUDAExecutionProvider");
    assert!(broken["reason"].as_str().unwrap().contains("libonnxruntime_providers_cuda.so"), "{broken}");
    let path = model("fraud.onnx").display().to_string();
    let mut node = Node::quiet(&[
        "--format",
        "onnx",
        "--model",
        &path,
        "--library",
        &library,
        "--device",
        "gpu",
        "--providers",
        dir,
    ]);
    let loaded = node.ready();
    assert_eq!(loaded.device, Device::Cpu);
    let fallback = loaded.fallback.unwrap();
    assert!(fallback.contains("there is no gpu that ONNX Runtime can use"), "{fallback}");
    assert!(fallback.contains("CUDAExecutionProvider: "), "{fallback}");
}

#[test]
fn with_providers_and_without_the_answers_are_the_same_to_the_bit() {
    let Some((library, providers)) = providers() else { return };
    let path = model("fraud.onnx").display().to_string();
    let base = ["--format", "onnx", "--model", &path, "--library", &library];
    let rows: Vec<f32> = (0..12 * 64).map(|i| (i * 37 % 101) as f32 / 50.0).collect();
    let work = Work::Infer(InferWork { inputs: vec![floats("input", &[64, 12], &rows)], outputs: Vec::new() });
    let ask = |arguments: &[&str]| {
        let mut node = Node::start(&[&base, arguments].concat());
        let loaded = node.ready();
        node.run(1, &work, &[]);
        let (pieces, end) = node.answer();
        end.unwrap();
        (loaded, pieces)
    };
    let (plain, answers) = ask(&["--device", "cpu"]);
    assert_eq!((plain.device, plain.fallback), (Device::Cpu, None));
    assert!(matches!(answers.as_slice(), [Piece::Outputs(tensors)] if tensors.len() == 2));
    let (auto, same) = ask(&["--device", "auto", "--providers", &providers]);
    let (npu, again) = ask(&["--device", "npu", "--providers", &providers]);
    if auto.device == Device::Cpu {
        assert_eq!((auto.fallback, npu.device), (None, Device::Cpu));
        assert!(answers == same && answers == again);
        let reason = npu.fallback.unwrap();
        assert!(reason.starts_with("there is no npu that ONNX Runtime can use"), "{reason}");
        assert!(npu.engine.contains(&reason), "{}", npu.engine);
    }
}

#[test]
fn a_model_that_no_device_can_open_is_refused_with_the_cpu_s_reason() {
    let Some((library, providers)) = providers() else { return };
    let unknown = made::node("NoSuchOperator", &["x"], &["y"], &[]);
    let datatype = hither_types::model::Datatype::Fp32;
    let (x, y) = (made::input("x", datatype, &["n"]), made::output("y", datatype, &["n"]));
    let (_directory, path) = made::file(&made::model(&[unknown, x, y]));
    let mut node =
        Node::quiet(&["--format", "onnx", "--model", &path, "--library", &library, "--providers", &providers]);
    let Some(hither_engine::protocol::Report::LoadFailed(reason)) = node.report() else { panic!("opened") };
    assert!(reason.contains("NoSuchOperator"), "{reason}");
}

#[test]
fn a_provider_that_has_a_device_here_runs_models_in_the_sandbox_and_answers_like_the_cpu() {
    let Some((library, providers)) = providers() else { return };
    let name = "OpenVINOExecutionProvider";
    let lines = lines(&library, &providers);
    if !lines.iter().any(|line| line["kind"] == "device" && line["provider"] == name) {
        eprintln!("skipped: OpenVINO has no device on this machine");
        return;
    }
    let dense = made::model(&[
        made::node("MatMul", &["x", "w"], &["m"], &[]),
        made::node("Softmax", &["m"], &["y"], &[("axis", 1)]),
        made::message(
            5,
            &[
                made::number(1, 3),
                made::number(1, 2),
                made::number(2, 1),
                made::text(8, "w"),
                made::bytes(9, &weights()),
            ],
        ),
        made::input("x", hither_types::model::Datatype::Fp32, &["rows", "3"]),
        made::output("y", hither_types::model::Datatype::Fp32, &["rows", "2"]),
    ]);
    let trees = std::fs::read(model("fraud.onnx")).unwrap();
    for (model, input, columns, whole) in [(dense, "x", 3, true), (trees, "input", 12, false)] {
        let (_directory, path) = made::file(&model);
        let base = ["--format", "onnx", "--model", &path, "--library", &library];
        let mut plain = Node::start(&[&base[..], &["--device", "cpu"]].concat());
        let mut other = Node::quiet(&[&base[..], &["--providers", &providers, "--provider", name]].concat());
        plain.ready();
        let loaded = other.ready();
        eprintln!("{}", loaded.engine);
        // Trees are not its trade: what it cannot run, the CPU does, and that is said.
        assert_eq!(loaded.fallback.is_none(), whole, "{loaded:?}");
        assert!(loaded.engine.contains(name), "{}", loaded.engine);
        for rows in [1, 2, 7] {
            let numbers: Vec<f32> = (0..rows * columns).map(|i| (i * 37 % 101) as f32 / 50.0).collect();
            let work = InferWork { inputs: vec![floats(input, &[rows, columns], &numbers)], outputs: Vec::new() };
            let ask = |node: &mut Node| {
                node.run(rows, &Work::Infer(work.clone()), &[]);
                let (pieces, end) = node.answer();
                end.unwrap();
                let [Piece::Outputs(tensors)] = pieces.as_slice() else { panic!("{pieces:?}") };
                tensors.clone()
            };
            let (wanted, found) = (ask(&mut plain), ask(&mut other));
            for (wanted, found) in wanted.iter().zip(&found) {
                assert_eq!((&wanted.name, &wanted.shape), (&found.name, &found.shape));
                if wanted.datatype == hither_types::model::Datatype::Fp32 {
                    // OpenVINO computes in bfloat16 where the processor has it.
                    let close = numbers_of(wanted).zip(numbers_of(found)).all(|(a, b)| (a - b).abs() < 2e-2);
                    assert!(close, "{rows} rows of {}", wanted.name);
                } else {
                    assert!(wanted.data == found.data, "{rows} rows of {}", wanted.name);
                }
            }
        }
    }
}

fn weights() -> Vec<u8> {
    [0.5_f32, -1.0, 0.25, 2.0, -0.75, 1.5].iter().flat_map(|weight| weight.to_le_bytes()).collect()
}

fn numbers_of(tensor: &hither_engine::work::Tensor) -> impl Iterator<Item = f32> {
    tensor.data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}
