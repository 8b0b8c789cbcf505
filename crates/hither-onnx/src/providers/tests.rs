//! Files by their names.

use std::path::PathBuf;

use super::{Provider, find};

#[test]
fn providers_are_found_by_their_names_in_a_directory_and_those_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        "libonnxruntime_providers_webgpu.so",
        "libonnxruntime_providers_shared.so",
        "libonnxruntime_providers_openvino_plugin.so.1.8.1",
        "openvino/libonnxruntime_providers_openvino_plugin.so",
        "openvino/libopenvino.so.2641",
        "nvidia/libonnxruntime_providers_nv_tensorrt_rtx.so",
        "deep/deeper/libonnxruntime_providers_qnn.so",
    ];
    for file in files {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    }
    let second = tempfile::tempdir().unwrap();
    std::fs::write(second.path().join("libonnxruntime_providers_webgpu.so"), b"").unwrap();
    let provider = |name, file: &str| Provider { name, path: dir.path().join(file) };
    let found = find(&[PathBuf::from("/nowhere/at/all"), dir.path().to_owned(), second.path().to_owned()]);
    assert_eq!(
        found,
        [
            provider("NvTensorRTRTXExecutionProvider", files[5]),
            provider("OpenVINOExecutionProvider", files[3]),
            provider("WebGpuExecutionProvider", files[0]),
        ]
    );
}
