//! Files on a disk against what was signed.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{Author, outcome, over, put, resource, statement};
use crate::{Rules, Signed, Unsigned};

const FILES: &[(&str, &str)] = &[("model.onnx", "weights"), ("tokenizer/words.txt", "words")];

fn signed(statement: &Value) -> Signed {
    Author::new().signed(statement).unwrap()
}

/// A folder with those files that are signed, and whatever else is done to it.
fn folder(change: impl FnOnce(&Path)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), FILES);
    change(folder.path());
    folder
}

/// Changes the folder, and wants these words.
fn check(change: impl FnOnce(&Path), words: &str) {
    let folder = folder(change);
    let text = outcome(&signed(&statement(FILES)), folder.path(), &Rules::default());
    assert!(text.contains(words), "{text}\nlacks {words}");
}

/// With the signer's own words about what is left out, and about links.
fn with(serialization: &Value) -> Signed {
    let mut statement = statement(FILES);
    for (key, value) in serialization.as_object().unwrap() {
        statement["predicate"]["serialization"][key] = value.clone();
    }
    signed(&statement)
}

#[test]
fn a_folder_is_as_it_was_signed_or_it_is_refused() {
    check(|_| (), "ok model.onnx tokenizer/words.txt of 2");
    check(|dir| std::fs::create_dir(dir.join("empty")).unwrap(), "ok ");
    check(|dir| put(dir, &[("model.onnx", "weightS")]), "model.onnx is not the file that was signed: its sha256 is");
    check(|dir| put(dir, &[("model.onnx", "weight")]), "is not the file that was signed");
    check(|dir| put(dir, &[("model.onnx", "")]), "is not the file that was signed");
    check(
        |dir| std::fs::remove_file(dir.join("tokenizer/words.txt")).unwrap(),
        "what was signed is not there: \"tokenizer/words.txt\"",
    );
    check(|dir| put(dir, &[("tokenizer/more.txt", "")]), "what is there was not signed: \"tokenizer/more.txt\"");
    check(|dir| put(dir, &[("Model.onnx", "weights")]), "\"Model.onnx\"");
    let many = |dir: &Path| (0..9).for_each(|number| put(dir, &[(&format!("more-{number}"), "")]));
    check(
        many,
        "what is there was not signed: \"more-0\", \"more-1\", \"more-2\", \"more-3\", \"more-4\", \"more-5\", \"more-6\", \"more-7\" and 1 more",
    );
}

#[test]
fn what_is_checked_is_known_by_its_blake3_and_its_path() {
    let folder = folder(|_| ());
    let checked = signed(&statement(FILES)).check(folder.path(), &Rules::default()).unwrap();
    let file = checked.file(&folder.path().join("model.onnx")).unwrap();
    assert_eq!((file.size, file.blake3), (7, *blake3::hash(b"weights").as_bytes()));
    assert!(checked.file(&folder.path().join("other.onnx")).is_none());
}

#[test]
fn a_link_is_not_followed_unless_the_signer_followed_links() {
    let linked = |dir: &Path| {
        std::fs::rename(dir.join("model.onnx"), dir.join("tokenizer/words.txt")).unwrap();
        symlink("tokenizer/words.txt", dir.join("model.onnx")).unwrap();
    };
    check(linked, "model.onnx is a link, and the signature is of a model without links");
    check(|dir| symlink("model.onnx", dir.join("other.onnx")).unwrap(), "other.onnx is a link");
    check(|dir| symlink(".", dir.join("self")).unwrap(), "self is a link");
    check(
        |dir| {
            std::fs::rename(dir.join("tokenizer"), dir.join("elsewhere")).unwrap();
            symlink("elsewhere", dir.join("tokenizer")).unwrap();
        },
        "tokenizer is a link",
    );
}

#[test]
fn a_link_that_the_signer_followed_leads_to_a_file_of_the_model() {
    let files = [("a.onnx", "weights"), ("b.onnx", "weights")];
    let mut both = statement(&files);
    both["predicate"]["serialization"]["allow_symlinks"] = json!(true);
    let signed = signed(&both);
    let outside = tempfile::tempdir().unwrap();
    put(outside.path(), &files);
    let check = |target: &Path, words: &str| {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), &files[..1]);
        symlink(target, folder.path().join("b.onnx")).unwrap();
        let text = outcome(&signed, folder.path(), &Rules::default());
        assert!(text.contains(words), "{text}\nlacks {words}");
    };
    check(Path::new("a.onnx"), "ok a.onnx b.onnx of 2");
    for target in [&outside.path().join("b.onnx"), Path::new("none"), Path::new("."), Path::new("b.onnx")] {
        check(target, "b.onnx is a link that leads to no file of this model");
    }
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let pipe = |path: &Path| {
        std::fs::remove_file(path).ok();
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    };
    check(|dir| pipe(&dir.join("more")), "more is neither a file nor a folder");
    check(|dir| pipe(&dir.join("model.onnx")), "model.onnx is neither a file nor a folder");
    let folder = folder(|dir| pipe(&dir.join("model.onnx")));
    let text = outcome(&signed(&statement(FILES)), &folder.path().join("model.onnx"), &Rules::default());
    assert!(text.contains("neither a file nor a folder"), "{text}");
}

#[test]
fn what_is_left_out_does_not_count_and_what_was_signed_does() {
    let check = |signed: &Signed, rules: &Rules, files: &[(&str, &str)], words: &str| {
        let folder = folder(|dir| put(dir, files));
        let rules = Rules {
            left_out: rules.left_out.iter().map(|path| folder.path().join(path)).collect(),
            unsigned: rules.unsigned,
        };
        let text = outcome(signed, folder.path(), &rules);
        assert!(text.contains(words), "{text}\nlacks {words}");
    };
    let (plain, none) = (signed(&statement(FILES)), Rules::default());
    check(&plain, &none, &[(".git/config", ""), (".gitignore", ""), (".github/a/b", "")], "ok ");
    check(&plain, &none, &[("tokenizer/.git/config", "")], "was not signed: \"tokenizer/.git/config\"");
    check(&plain, &none, &[(".gitmodules", "")], "not signed");
    let left_out = with(&json!({"ignore_paths": ["cache", "tokenizer/a.txt", "/etc", "../b", "*.md", "."]}));
    check(&left_out, &none, &[("cache/a/b", ""), ("tokenizer/a.txt", "")], "ok ");
    check(&left_out, &none, &[("tokenizer/cache/a", "")], "not signed");
    check(&left_out, &none, &[("cache-2", "")], "not signed");
    check(&left_out, &none, &[("README.md", "")], "not signed");
    let ours = Rules { left_out: vec![PathBuf::from("model.sig"), PathBuf::from("notes")], ..Rules::default() };
    check(&plain, &ours, &[("model.sig", "{}"), ("notes/a", "")], "ok ");
    check(&plain, &ours, &[("tokenizer/model.sig", "{}")], "not signed");
    let permitted = Rules { unsigned: Unsigned::Permit, ..Rules::default() };
    check(&plain, &permitted, &[("README.md", ""), ("more/a", "")], "ok model.onnx tokenizer/words.txt of 2");
    // Nobody leaves out what was signed.
    let all = with(&json!({"ignore_paths": ["model.onnx", "tokenizer"]}));
    check(&all, &none, &[("tokenizer/more.txt", "")], "ok model.onnx tokenizer/words.txt of 2");
    check(&all, &none, &[("model.onnx", "others")], "is not the file that was signed");
    let ours = Rules { left_out: vec![PathBuf::from("model.onnx")], unsigned: Unsigned::Permit };
    check(&plain, &ours, &[("model.onnx", "others")], "is not the file that was signed");
}

#[test]
fn one_file_is_known_by_its_name_among_several_and_by_itself_alone() {
    let check = |files: &[(&str, &str)], (name, content): (&str, &str), words: &str| {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), &[(name, content)]);
        let text = outcome(&signed(&statement(files)), &folder.path().join(name), &Rules::default());
        assert!(text.contains(words), "{text}\nlacks {words}");
    };
    check(&[("model.onnx", "weights")], ("model.onnx", "weights"), "ok model.onnx of 1");
    check(&[(".", "weights")], ("fraud.onnx", "weights"), "ok . of 1");
    check(&[("model.onnx", "weights")], ("fraud.onnx", "weights"), "ok model.onnx of 1");
    check(&[(".", "weights")], ("fraud.onnx", "weighty"), "fraud.onnx is not the file that was signed");
    check(FILES, ("model.onnx", "weights"), "ok model.onnx of 2");
    check(FILES, ("words.txt", "words"), "ok tokenizer/words.txt of 2");
    check(FILES, ("model.onnx", "words"), "is not the file that was signed");
    check(FILES, ("fraud.onnx", "weights"), "fraud.onnx is not among what was signed: \"model.onnx\"");
    let twins = &[("a/model.onnx", "one"), ("b/model.onnx", "two")];
    check(twins, ("model.onnx", "two"), "ok b/model.onnx of 2");
    check(twins, ("model.onnx", "three"), "is not the file that was signed");
    let folder = folder(|_| ());
    let text = outcome(&signed(&statement(&[(".", "weights")])), folder.path(), &Rules::default());
    assert!(text.contains("the signature is of one file"), "{text}");
    let text = outcome(&signed(&statement(FILES)), &folder.path().join("none"), &Rules::default());
    assert!(text.contains("none cannot be read"), "{text}");
}

#[test]
fn a_file_that_was_named_by_a_link_of_its_owner_is_followed() {
    let folder = folder(|dir| symlink("model.onnx", dir.join("tokenizer/link.onnx")).unwrap());
    std::fs::rename(folder.path().join("tokenizer/link.onnx"), folder.path().join("link.onnx")).unwrap();
    let signed = signed(&statement(&[(".", "weights")]));
    assert_eq!(outcome(&signed, &folder.path().join("link.onnx"), &Rules::default()), "ok . of 1");
}

#[test]
fn every_hash_of_the_specification_is_counted() {
    use blake2::Digest as _;
    let blake2b = blake2::Blake2b512::digest(b"weights");
    let blake3 = blake3::hash(b"weights");
    for (name, digest) in [("blake2b", blake2b.as_slice()), ("blake3", blake3.as_bytes())] {
        let serialization = json!({"method": "files", "hash_type": name, "allow_symlinks": false});
        let signed = signed(&over(&[resource("model.onnx", name, digest)], &serialization));
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), &[("model.onnx", "weights")]);
        assert_eq!(outcome(&signed, folder.path(), &Rules::default()), "ok model.onnx of 1");
        put(folder.path(), &[("model.onnx", "others")]);
        let text = outcome(&signed, folder.path(), &Rules::default());
        assert!(text.contains(&format!("its {name} is")), "{text}");
    }
}

#[test]
fn shards_are_counted_one_by_one() {
    let content = "0123456789abcdefghij0123";
    let part = |from: usize, to: usize| {
        resource(&format!("model.onnx:{from}:{to}"), "sha256-sharded-10", &Sha256::digest(&content[from..to]))
    };
    let serialization = json!({"method": "shards", "hash_type": "sha256", "shard_size": 10.0, "allow_symlinks": false});
    let signed = signed(&over(&[part(0, 10), part(10, 20), part(20, 24)], &serialization));
    let check = |content: &str, words: &str| {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), &[("model.onnx", content), ("__init__.py", "")]);
        for path in [folder.path(), &folder.path().join("model.onnx")] {
            let text = outcome(&signed, path, &Rules::default());
            assert!(text.contains(words), "{text}\nlacks {words}");
        }
    };
    check(content, "ok model.onnx of 1");
    check(&content.replace('j', "J"), "(part 2)");
    check(&content[..23], "(part 3)");
    check(&content[..20], "part 3 is not there");
    check(&format!("{content}4"), "(part 3)");
    check(&"x".repeat(100_000), "(part 1)");
    check("", "part 1 is not there");
    // A file that has something in it is listed, whatever its shards.
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), &[("model.onnx", content), ("__init__.py", "import")]);
    let text = outcome(&signed, folder.path(), &Rules::default());
    assert!(text.contains("was not signed: \"__init__.py\""), "{text}");
}

#[test]
fn a_file_larger_than_what_is_read_at_once_is_hashed_whole() {
    let content = "0123456789abcdef".repeat(50_000);
    let files = [("model.gguf", content.as_str())];
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), &files);
    let checked = signed(&statement(&files)).check(folder.path(), &Rules::default()).unwrap();
    assert_eq!(
        (checked.files[0].size, checked.files[0].blake3),
        (800_000, *blake3::hash(content.as_bytes()).as_bytes())
    );
}

#[test]
fn a_folder_of_folders_without_end_is_given_up() {
    check(|dir| put(dir, &[(&("a/".repeat(80) + "a"), "")]), "deep in each other");
}
