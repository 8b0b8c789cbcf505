//! The form of bundles and of what is signed.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SigningKey as _};
use serde_json::{Value, json};

use super::{Author, over, sealed, statement, verified};
use crate::{Bundle, KeyError, Method, PublicKey, Signer, Trust};

const FILES: &[(&str, &str)] = &[("model.onnx", "weights"), ("tokenizer/words.txt", "words")];

/// Changes a bundle, and wants it refused with these words before anybody is asked who signed.
fn malformed(change: impl FnOnce(&mut Value), words: &str) {
    let mut bundle = Author::new().sign(&statement(FILES));
    change(&mut bundle);
    let error = Bundle::parse(bundle.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains(words), "{error}\nlacks {words}");
}

/// Changes a statement, has it signed again, and wants it refused with these words.
fn senseless(change: impl FnOnce(&mut Value), words: &str) {
    let mut statement = statement(FILES);
    change(&mut statement);
    let error = Author::new().signed(&statement).unwrap_err().to_string();
    assert!(error.contains(words), "{error}\nlacks {words}");
}

/// A list with the names of these resources, all else right.
fn named(names: &[&str]) -> Value {
    statement(&names.iter().map(|name| (*name, "content")).collect::<Vec<_>>())
}

#[test]
fn a_signature_tells_who_signed_and_what() {
    let author = Author::new();
    let signed = author.signed(&statement(FILES)).unwrap();
    assert_eq!(signed.signer(), &Signer::Key { fingerprint: author.key().fingerprint() });
    assert_eq!((signed.model(), signed.file_count(), signed.digest().len()), ("model", 2, 64));
}

#[test]
fn keys_of_all_three_curves_sign() {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let bundle = sealed(&statement(FILES), &json!({"publicKey": {"hint": ""}, "tlogEntries": []}), |_| vec![1]);
    let public = PublicKey::from_pem(key.public_key_pem().as_bytes()).unwrap();
    assert!(verified(&bundle, &Trust::Key(public.clone())).is_err());
    let material = json!({"publicKey": {"rawBytes": "AAAA", "keyDetails": "PKIX_ECDSA_P384_SHA_384"}});
    let bundle = sealed(&statement(FILES), &material, |message| key.sign(message).unwrap());
    assert!(verified(&bundle, &Trust::Key(public)).is_ok());

    let key = p521::ecdsa::SigningKey::from_slice(&[7; 66].map(|byte: u8| byte % 2)).unwrap();
    let public = PublicKey::from_pem(p521_pem(&key).as_bytes()).unwrap();
    let material = json!({"publicKey": {"hint": public.fingerprint()}});
    let sign = |message: &[u8]| {
        use p521::ecdsa::signature::Signer as _;
        let signature: p521::ecdsa::Signature = key.sign(message);
        signature.to_der().as_bytes().to_vec()
    };
    let bundle = sealed(&statement(FILES), &material, sign);
    assert!(verified(&bundle, &Trust::Key(public.clone())).is_ok());
    let mut altered = bundle.clone();
    altered["dsseEnvelope"]["payload"] = json!(BASE64.encode(b"{}"));
    assert!(verified(&altered, &Trust::Key(public)).is_err());
}

fn p521_pem(key: &p521::ecdsa::SigningKey) -> String {
    let head = [
        0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
        0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
    ];
    let der = [&head[..], key.verifying_key().to_sec1_point(false).as_bytes()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64.encode(&der))
}

#[test]
fn what_is_no_one_public_key_of_a_known_curve_is_no_key() {
    let check =
        |pem: &str, expected: &KeyError| assert_eq!(PublicKey::from_pem(pem.as_bytes()).as_ref(), Err(expected));
    let (one, other) = (Author::new(), Author::new());
    check("", &KeyError::Absent);
    check("ssh-ed25519 AAAA", &KeyError::Absent);
    check(&one.0.serialize_pem(), &KeyError::Private);
    check(&(one.0.public_key_pem() + &other.0.public_key_pem()), &KeyError::Several(2));
    check(&KeyPair::generate_for(&PKCS_ED25519).unwrap().public_key_pem(), &KeyError::Curve);
    let certificate = rcgen::generate_simple_self_signed(vec!["here".to_owned()]).unwrap().cert.pem();
    check(&certificate, &KeyError::Certificate);
    check(&"x".repeat((1 << 20) + 1), &KeyError::TooLarge((1 << 20) + 1));
    assert!(matches!(
        PublicKey::from_pem(b"-----BEGIN PUBLIC KEY-----\nMFk=\n-----END PUBLIC KEY-----\n"),
        Err(KeyError::Damaged(_))
    ));
}

#[test]
fn a_bundle_of_another_form_is_refused() {
    malformed(
        |bundle| bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.1"),
        "version=0.1",
    );
    malformed(|bundle| *bundle = json!({}), "missing field `mediaType`");
    malformed(|bundle| *bundle = json!([]), "no bundle of Sigstore's form");
    malformed(|bundle| drop(bundle.as_object_mut().unwrap().remove("dsseEnvelope")), "missing field `dsseEnvelope`");
    malformed(|bundle| bundle["messageSignature"] = json!({}), "unknown field `messageSignature`");
    malformed(|bundle| bundle["dsseEnvelope"]["signatures"] = json!([]), "0 signatures");
    let twice = |bundle: &mut Value| {
        let one = bundle["dsseEnvelope"]["signatures"][0].clone();
        bundle["dsseEnvelope"]["signatures"] = json!([one, one]);
    };
    malformed(twice, "2 signatures");
    malformed(|bundle| bundle["dsseEnvelope"]["payloadType"] = json!("application/json"), "holds \"application/json\"");
    malformed(|bundle| bundle["dsseEnvelope"]["payload"] = json!("a b"), "payload is not Base64");
    malformed(|bundle| bundle["dsseEnvelope"]["payload"] = json!(""), "payload is not Base64");
    malformed(|bundle| bundle["dsseEnvelope"]["signatures"][0]["sig"] = json!("#"), "signature is not Base64");
    malformed(|bundle| bundle["verificationMaterial"] = json!({}), "0 signers");
    malformed(|bundle| bundle["verificationMaterial"]["publicKey"] = json!({}), "neither a hint");
    let both = |bundle: &mut Value| bundle["verificationMaterial"]["certificate"] = json!({"rawBytes": "AAAA"});
    malformed(both, "2 signers");
    malformed(
        |bundle| bundle["verificationMaterial"] = json!({"x509CertificateChain": {"certificates": []}}),
        "0 cert",
    );
    let unlogged = json!({"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []});
    malformed(|bundle| bundle["verificationMaterial"] = unlogged, "no entry of its log");
    let many = json!({"x509CertificateChain": {"certificates": vec![json!({"rawBytes": "AAAA"}); 17]}});
    malformed(|bundle| bundle["verificationMaterial"] = many, "17 certificates");
}

#[test]
fn a_bundle_that_is_too_large_or_too_deep_is_refused() {
    let error = Bundle::parse(&vec![b' '; (16 << 20) + 1]).unwrap_err().to_string();
    assert!(error.contains("more than 16777216 bytes"), "{error}");
    let deep = format!("{{\"mediaType\":\"\",\"verificationMaterial\":{{\"x\":{}", "[".repeat(1 << 20));
    let error = Bundle::parse(deep.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("EOF while parsing"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.sig");
    std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(Bundle::read(&path).unwrap_err().to_string().contains("more than"));
    assert!(Bundle::read(&folder.path().join("none")).unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn both_alphabets_and_every_keyid_are_read() {
    let author = Author::new();
    let mut bundle = author.sign(&statement(FILES));
    let text = bundle["dsseEnvelope"]["payload"].as_str().unwrap().to_owned();
    bundle["dsseEnvelope"]["payload"] = json!(BASE64URL_NOPAD.encode(&BASE64.decode(text.as_bytes()).unwrap()));
    bundle["dsseEnvelope"]["signatures"][0]["keyid"] = Value::Null;
    bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.3");
    assert!(verified(&bundle, &author.trust()).is_ok());
    bundle["dsseEnvelope"]["signatures"][0].as_object_mut().unwrap().remove("keyid");
    assert!(verified(&bundle, &author.trust()).is_ok());
}

#[test]
fn only_the_key_that_signed_will_do() {
    let (author, other) = (Author::new(), Author::new());
    let mut bundle = author.sign(&statement(FILES));
    let error = verified(&bundle, &other.trust()).unwrap_err().to_string();
    assert!(error.contains("signed with another key: its hint is") && error.contains(&other.key().hint()), "{error}");
    bundle["verificationMaterial"]["publicKey"] = json!({"hint": null, "rawBytes": "AAAA"});
    let error = verified(&bundle, &other.trust()).unwrap_err().to_string();
    assert!(error.contains("made with another key, or the bundle was altered"), "{error}");
    assert!(verified(&bundle, &author.trust()).is_ok());
}

#[test]
fn what_sigstore_alone_can_tell_is_named_and_not_believed() {
    let author = Author::new();
    let mut bundle = author.sign(&statement(FILES));
    bundle["verificationMaterial"] = json!({"certificate": {"rawBytes": "AAAA"}, "tlogEntries": [{"logIndex": "1"}]});
    assert_eq!(Bundle::parse(bundle.to_string().as_bytes()).unwrap().method(), Method::Sigstore);
    let error = verified(&bundle, &author.trust()).unwrap_err().to_string();
    assert!(error.contains("present and not checked offline"), "{error}");
}

#[test]
fn a_statement_about_something_else_is_refused() {
    senseless(|it| it["_type"] = json!("https://in-toto.io/Statement/v0.1"), "Statement/v0.1");
    senseless(|it| it["predicateType"] = json!("https://slsa.dev/provenance/v1"), "slsa.dev/provenance");
    senseless(|it| it["predicateType"] = json!("https://model_signing/Digests/v0.1"), "signed anew");
    senseless(|it| drop(it.as_object_mut().unwrap().remove("predicate")), "missing field `predicate`");
    senseless(|it| it["subject"] = json!([]), "about 0 models");
    senseless(|it| it["subject"] = json!([it["subject"][0], it["subject"][0]]), "about 2 models");
    senseless(|it| it["subject"][0]["name"] = json!(""), "no name");
    senseless(|it| it["predicate"]["resources"] = json!([]), "lists 0 files");
    senseless(|it| it["predicate"]["serialization"]["hash_type"] = json!("md5"), "\"md5\"");
    senseless(|it| it["predicate"]["serialization"]["method"] = json!("tensors"), "\"tensors\"");
    senseless(|it| it["predicate"]["serialization"]["shard_size"] = json!(5), "shard_size");
    senseless(|it| it["predicate"]["serialization"]["salt"] = json!("x"), "unknown field `salt`");
    senseless(|it| it["predicate"]["resources"][0]["algorithm"] = json!("blake3"), "with \"blake3\"");
    senseless(|it| it["predicate"]["serialization"]["ignore_paths"] = json!(vec!["x"; 10_001]), "10001 paths");
}

#[test]
fn a_list_that_does_not_have_its_root_digest_is_refused() {
    senseless(|it| it["subject"][0]["digest"]["sha256"] = json!("00".repeat(32)), "root digest is 0000");
    senseless(|it| it["subject"][0]["digest"] = json!({"sha512": "00"}), "root digest is not given");
    senseless(|it| it["predicate"]["resources"][0]["digest"] = json!("00".repeat(32)), "root digest");
    senseless(|it| drop(it["predicate"]["resources"].as_array_mut().unwrap().pop()), "root digest");
    senseless(|it| it["predicate"]["resources"].as_array_mut().unwrap().reverse(), "root digest");
}

#[test]
fn a_digest_is_of_the_size_of_its_hash() {
    let serialization = json!({"method": "files", "hash_type": "sha256", "allow_symlinks": false});
    for digest in ["", "00", "AB", &"0g".repeat(32), &"00".repeat(31)] {
        let resource = json!({"name": "model.onnx", "algorithm": "sha256", "digest": digest});
        let error = Author::new().signed(&over(&[resource], &serialization)).unwrap_err().to_string();
        assert!(error.contains("digest of \"model.onnx\" is not one of its hash"), "{digest}: {error}");
    }
}

#[test]
fn names_that_lead_out_of_the_model_are_refused() {
    for name in ["", "/etc/passwd", "../model.onnx", "a/../b", "a/..", "./a", "a//b", "a/", "a/./b", "..", "a\0b"] {
        senseless(|it| *it = named(&[name]), "is no path within a model");
    }
    senseless(|it| *it = named(&[&"a".repeat(4097)]), "is no path within a model");
    senseless(|it| *it = named(&["model.onnx", "model.onnx"]), "there twice");
    senseless(|it| *it = named(&["model", "model/a"]), "a file and a folder");
    senseless(|it| *it = named(&[".", "model.onnx"]), "a file and a folder");
}

#[test]
fn shards_that_do_not_join_are_refused() {
    let serialization = json!({"method": "shards", "hash_type": "sha256", "shard_size": 10, "allow_symlinks": false});
    let check = |names: &[&str], words: &str| {
        let resources: Vec<Value> = names.iter().map(|name| super::resource(name, "sha256", &[0; 32])).collect();
        let signed = Author::new().signed(&over(&resources, &serialization));
        let text = signed.map_or_else(|error| error.to_string(), |signed| format!("{} files", signed.file_count()));
        assert!(text.contains(words), "{names:?}: {text}");
    };
    check(&["a:0:10", "a:10:13", "b:c:0:4"], "2 files");
    check(&["a:0:10", "a:0:10"], "there twice");
    for names in [
        &["a"][..],
        &["a:0"],
        &["a:0:x"],
        &["a:00:10"],
        &["a:+0:10"],
        &["a:0:11"],
        &["a:0:0"],
        &["a:5:1"],
        &["a:1:10"],
        &["a:0:9", "a:9:12"],
        &["a:0:10", "a:11:13"],
    ] {
        check(names, "leave gaps");
    }
    check(&["../a:0:10"], "no path within a model");
    for size in [json!(0), json!(-1), json!(0.5), json!(1e300), json!(1e19), json!(null)] {
        let wrong = json!({"method": "shards", "hash_type": "sha256", "shard_size": size, "allow_symlinks": false});
        let signed = Author::new().signed(&over(&[super::resource("a:0:10", "sha256", &[0; 32])], &wrong));
        assert!(signed.unwrap_err().to_string().contains("shard_size does not go"), "{size}");
    }
    senseless(|it| it["predicate"]["serialization"]["method"] = json!("shards"), "shard_size");
}
