//! Which layers are the model, by the types and names that the formats have.

use proptest::prelude::*;

use super::*;

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The names that are chosen of layers, each given as its type and, behind a space, its annotation.
fn model(layers: &[&str]) -> Result<Vec<String>, String> {
    let layer = |text: &&str| {
        let (media, note) = text.split_once(' ').unwrap_or((text, ""));
        let notes = note.split_once('=').map_or_else(String::new, |(key, value)| format!("\"{key}\":\"{value}\""));
        format!(r#"{{"mediaType":"{media}","digest":"{DIGEST}","size":1,"annotations":{{{notes}}}}}"#)
    };
    let layers: Vec<String> = layers.iter().map(layer).collect();
    let Read::Manifest(manifest) = Read::of(format!(r#"{{"layers":[{}]}}"#, layers.join(",")).as_bytes())? else {
        return Err("an index".to_owned());
    };
    let chosen = manifest.model(None, "here").map_err(|error| error.to_string())?;
    Ok(chosen.into_iter().map(|layer| layer.name).collect())
}

#[test]
fn the_model_is_found_in_each_format() {
    let (title, path) = ("org.opencontainers.image.title", "org.cncf.model.filepath");
    for (layers, expected) in [
        (
            vec!["application/vnd.ollama.image.model".to_owned(), "application/vnd.ollama.image.license".to_owned()],
            "model.gguf",
        ),
        (
            vec!["application/vnd.docker.ai.gguf.v3".to_owned(), "application/vnd.docker.ai.license".to_owned()],
            "model.gguf",
        ),
        (
            vec![
                format!("application/vnd.cncf.model.weight.v1.raw {path}=q4/chat.gguf"),
                format!("application/vnd.cncf.model.weight.config.v1.raw {path}=config.json"),
                format!("application/vnd.cncf.model.doc.v1.tar {path}=README.md"),
            ],
            "q4/chat.gguf",
        ),
        (vec!["application/vnd.cncf.model.weight.v1.gguf".to_owned()], "model.gguf"),
        (vec!["application/vnd.cnai.model.weight.v1.raw org.cnai.model.filepath=./m.onnx".to_owned()], "m.onnx"),
        (
            vec![format!("application/vnd.oci.image.layer.v1.tar {title}=m.onnx"), format!("text/plain {title}=NOTES")],
            "m.onnx",
        ),
    ] {
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        assert_eq!(model(&layers).unwrap(), [expected], "{layers:?}");
    }
}

#[test]
fn what_is_no_model_here_is_said_to_be_none() {
    let packed = "its files are in archives";
    for (layers, says) in [
        (&["application/vnd.docker.image.rootfs.diff.tar.gzip"][..], packed),
        (&["application/vnd.oci.image.layer.v1.tar+gzip org.opencontainers.image.title=m.gguf"], packed),
        (&["application/vnd.cncf.model.weight.v1.tar org.cncf.model.filepath=m.gguf"], packed),
        (
            &["application/vnd.cncf.model.weight.v1.raw org.cncf.model.filepath=m.safetensors"],
            "there is no GGUF or ONNX file",
        ),
        (
            &["application/vnd.ollama.image.model", "application/vnd.ollama.image.model"],
            "say which one: \"aaaaaaaaaaaa.gguf\"",
        ),
        (&[], "there is: nothing"),
    ] {
        let error = model(layers).unwrap_err();
        assert!(error.contains(says), "{layers:?}: {error}");
    }
}

#[test]
fn digests_of_other_algorithms_and_old_manifests_are_refused() {
    let text = r#"{"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha512:00","size":1}]}"#;
    let Ok(Read::Manifest(manifest)) = Read::of(text.as_bytes()) else { panic!("no manifest") };
    assert!(manifest.model(None, "here").unwrap_err().to_string().contains("is not one of SHA-256"));
    assert!(Read::of(br#"{"schemaVersion":1,"fsLayers":[]}"#).unwrap_err().contains("an old form"));
    assert!(Read::of(b"<html>").unwrap_err().contains("cannot be read"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn names_of_layers_are_one_component_or_refused(name in "[a-z./\\\\]{1,12}") {
        let layer = format!("application/vnd.ollama.image.model org.opencontainers.image.title={}", name.replace('\\', "\\\\"));
        for chosen in model(&[&layer]).unwrap_or_default() {
            if let Ok(name) = crate::name::FileName::last_of(&chosen) {
                let path = name.in_dir(std::path::Path::new("/into"));
                prop_assert_eq!(path.parent(), Some(std::path::Path::new("/into")));
            }
        }
    }
}
