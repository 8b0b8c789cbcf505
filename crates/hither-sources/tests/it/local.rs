//! Files and directories of this machine.

use hither_sources::{FetchError, Whose};

use crate::rig::{Rig, sha256};

/// What is chosen of a directory with these files, all of them four bytes: names, or the error.
async fn chosen(files: &[&str], of: &str) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        std::fs::write(dir.path().join(file), b"GGUF").unwrap();
    }
    let mut rig = Rig::new();
    let source = dir.path().join(of).display().to_string();
    let fetched = rig.fetch(&source, None).await.map_err(|error| error.to_string())?;
    assert_eq!((fetched.whose, fetched.revision), (Whose::Theirs, None));
    assert!(rig.names().is_empty(), "nothing is copied");
    let all = std::iter::once(&fetched.model).chain(&fetched.others);
    Ok(all.map(|file| file.path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn a_file_stays_where_it_is_with_what_belongs_to_it() {
    let split = ["b-00001-of-00002.gguf", "b-00002-of-00002.gguf", "other.gguf"];
    for (files, of, expected) in [
        (&["a.gguf", "b.gguf"][..], "b.gguf", &["b.gguf"][..]),
        (&["weights.bin"], "weights.bin", &["weights.bin"]),
        (&[".hidden.gguf"], ".hidden.gguf", &[".hidden.gguf"]),
        (&split, "b-00002-of-00002.gguf", &["b-00001-of-00002.gguf", "b-00002-of-00002.gguf"]),
        // Whether a model has data in other files, and in which, it says itself.
        (&["m.onnx", "m.onnx_data", "m.onnx.data"], "m.onnx", &["m.onnx"]),
    ] {
        assert_eq!(chosen(files, of).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_directory_has_one_model_or_the_error_lists_them() {
    assert_eq!(chosen(&["README.md", "m.onnx", ".m.gguf"], "").await.unwrap(), ["m.onnx"]);
    assert_eq!(chosen(&["chat.gguf", "mmproj-chat.gguf"], "").await.unwrap(), ["chat.gguf"]);
    let several = chosen(&["a.gguf", "b.gguf"], "").await.unwrap_err();
    assert!(several.ends_with("say which one: \"a.gguf\", \"b.gguf\" (type the path of the file)"), "{several}");
    let none = chosen(&["a.safetensors"], "").await.unwrap_err();
    assert!(none.contains("there is no GGUF or ONNX file in it; there is: \"a.safetensors\""), "{none}");
    let part = chosen(&["b-00001-of-00003.gguf", "b-00002-of-00003.gguf"], "").await.unwrap_err();
    assert!(part.contains("the part \"b-00003-of-00003.gguf\" of the split model is missing"), "{part}");
    let absent = chosen(&[], "absent.gguf").await.unwrap_err();
    assert!(absent.contains("a model of the hub is typed hf:ORG/REPO/FILE"), "{absent}");
}

#[tokio::test]
async fn a_checksum_that_is_given_is_compared() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chat.gguf");
    std::fs::write(&path, b"GGUF").unwrap();
    let source = format!("file://{}", path.display());
    let fetched = Rig::new().fetch(&source, Some(sha256(b"GGUF"))).await.unwrap();
    assert_eq!(fetched.model.sha256, Some(sha256(b"GGUF")));
    let error = Rig::new().fetch(&source, Some(sha256(b"other"))).await.unwrap_err();
    assert!(matches!(error, FetchError::Checksum { .. }), "{error}");
}
