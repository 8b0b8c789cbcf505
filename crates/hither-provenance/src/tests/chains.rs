//! Chains of certificates, made for the tests.

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, SigningKey as _,
};
use serde_json::{Value, json};

use super::{Author, now, sealed, statement};
use crate::{Authorities, Bundle, Signer, Trust};

const FILES: &[(&str, &str)] = &[("model.onnx", "weights")];

type Authority = CertifiedIssuer<'static, KeyPair>;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2035, 1, 1);
    params
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn signer_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    params
}

fn root(change: impl FnOnce(&mut CertificateParams)) -> Authority {
    let mut params = authority_params("root");
    change(&mut params);
    Authority::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn between(root: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Authority {
    let mut params = authority_params("between");
    change(&mut params);
    Authority::signed_by(params, KeyPair::generate().unwrap(), root).unwrap()
}

/// A bundle signed by a signer whom an authority issued, with these certificates behind the signer's own.
fn bundle(issuer: &Authority, behind: &[&[u8]], change: impl FnOnce(&mut CertificateParams)) -> Value {
    let key = KeyPair::generate().unwrap();
    let mut params = signer_params("signer");
    change(&mut params);
    let certificate = params.signed_by(&key, issuer).unwrap();
    chained(&key, &[&[certificate.der().as_ref()], behind].concat())
}

fn chained(key: &KeyPair, chain: &[&[u8]]) -> Value {
    let certificates: Vec<Value> = chain.iter().map(|der| json!({"rawBytes": BASE64.encode(der)})).collect();
    let material = json!({"x509CertificateChain": {"certificates": certificates}, "tlogEntries": []});
    sealed(&statement(FILES), &material, |message| key.sign(message).unwrap())
}

fn believe(pem: &str) -> Trust {
    Trust::Authorities(Authorities::from_pem(pem.as_bytes()).unwrap())
}

/// What becomes of it, in words.
fn check(bundle: &Value, trust: &Trust, words: &str) {
    let text = match Bundle::parse(bundle.to_string().as_bytes()).unwrap().verify(trust, now()) {
        Ok(signed) => match signed.signer() {
            Signer::Certificate { subject, issuer, .. } => format!("{subject} by {issuer}"),
            Signer::Key { .. } => "a key".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    assert!(text.contains(words), "{text}\nlacks {words}");
}

#[test]
fn a_chain_leads_to_whom_one_believes() {
    let root = root(|_| ());
    let middle = between(&root, |_| ());
    check(&bundle(&root, &[], |_| ()), &believe(&root.pem()), "CN=signer by CN=root");
    let chain = bundle(&middle, &[middle.der()], |_| ());
    check(&chain, &believe(&root.pem()), "CN=signer by CN=between");
    // Whether the root is in the bundle says nothing, and whom one believes may stand between.
    check(&bundle(&middle, &[middle.der(), root.der()], |_| ()), &believe(&root.pem()), "CN=signer by");
    check(&bundle(&middle, &[], |_| ()), &believe(&middle.pem()), "CN=signer by");
}

#[test]
fn a_signer_that_is_believed_by_itself_needs_nobody() {
    let key = KeyPair::generate().unwrap();
    let certificate = signer_params("alone").self_signed(&key).unwrap();
    check(&chained(&key, &[certificate.der()]), &believe(&certificate.pem()), "CN=alone by CN=alone");
    // And issues nothing to others.
    let as_issuer = Authority::self_signed(signer_params("alone"), key).unwrap();
    check(&bundle(&as_issuer, &[], |_| ()), &believe(&as_issuer.pem()), "no authority: its basic constraints lack CA");
}

#[test]
fn a_signer_may_be_an_authority_and_have_the_name_of_its_issuer() {
    let root = root(|_| ());
    let middle = between(&root, |_| ());
    let twin = bundle(&middle, &[middle.der()], |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = authority_params("between").distinguished_name;
    });
    check(&twin, &believe(&root.pem()), "CN=between by CN=between");
}

#[test]
fn nobody_else_is_believed() {
    let (right, wrong) = (root(|_| ()), root(|_| ()));
    let chain = bundle(&right, &[right.der()], |_| ());
    check(&chain, &believe(&wrong.pem()), "was not issued by the CN=root that is known here");
    let other = root(|params| params.distinguished_name.push(DnType::OrganizationName, "other"));
    check(&chain, &believe(&other.pem()), "CN=root, which is not among those that are believed");
    let middle = between(&right, |_| ());
    check(&bundle(&middle, &[], |_| ()), &believe(&right.pem()), "CN=between, which is not among");
    // The key of the certificate, and no other, signs.
    let strange = chained(&KeyPair::generate().unwrap(), &[right.der(), right.der()]);
    check(&strange, &believe(&right.pem()), "its key usage lacks digitalSignature");
    let signer = signer_params("signer").signed_by(&KeyPair::generate().unwrap(), &right).unwrap();
    check(&chained(&KeyPair::generate().unwrap(), &[signer.der()]), &believe(&right.pem()), "does not fit");
}

#[test]
fn all_certificates_are_valid_now() {
    let fine = root(|_| ());
    let old = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2029, 1, 1);
    let young = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(2031, 1, 1);
    check(
        &bundle(&fine, &[], old),
        &believe(&fine.pem()),
        "the certificate of CN=signer expired on Jan  1 00:00:00 2029",
    );
    check(&bundle(&fine, &[], young), &believe(&fine.pem()), "the certificate of CN=signer is valid from Jan  1");
    let middle = between(&fine, old);
    check(&bundle(&middle, &[middle.der()], |_| ()), &believe(&fine.pem()), "the certificate of CN=between expired on");
    let ended = root(old);
    check(&bundle(&ended, &[], |_| ()), &believe(&ended.pem()), "the certificate of CN=root expired on");
    let alone = signer_params("alone");
    let (key, mut params) = (KeyPair::generate().unwrap(), alone);
    old(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    check(&chained(&key, &[certificate.der()]), &believe(&certificate.pem()), "expired on");
}

#[test]
fn a_certificate_is_for_signing_files() {
    let root = root(|_| ());
    let trust = believe(&root.pem());
    let wrong = |change: fn(&mut CertificateParams), words: &str| check(&bundle(&root, &[], change), &trust, words);
    wrong(|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement], "its key usage lacks digitalSignature");
    let server =
        |params: &mut CertificateParams| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    wrong(server, "its extended key usage lacks codeSigning");
    let neither = |params: &mut CertificateParams| {
        params.key_usages.clear();
        params.extended_key_usages.clear();
    };
    wrong(neither, "neither a key usage nor an extended one");
    wrong(|params| params.extended_key_usages.clear(), "CN=signer by");
    wrong(|params| params.key_usages.clear(), "CN=signer by");
}

#[test]
fn who_issues_is_an_authority() {
    let fine = root(|_| ());
    let trust = believe(&fine.pem());
    let wrong = |change: fn(&mut CertificateParams), words: &str| {
        let middle = between(&fine, change);
        check(&bundle(&middle, &[middle.der()], |_| ()), &trust, words);
    };
    wrong(|params| params.is_ca = IsCa::ExplicitNoCa, "CN=between issued a certificate and is no authority");
    wrong(|params| params.is_ca = IsCa::NoCa, "lack CA");
    wrong(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature], "lacks keyCertSign");
    let server =
        |params: &mut CertificateParams| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    wrong(server, "its extended key usage lacks codeSigning");
    wrong(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)), "CN=signer by");
    let short = root(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let middle = between(&short, |_| ());
    check(&bundle(&middle, &[middle.der()], |_| ()), &believe(&short.pem()), "permit fewer certificates below it");
}

#[test]
fn what_is_not_understood_is_refused() {
    let fine = root(|_| ());
    let strange = |is_critical: bool| {
        move |params: &mut CertificateParams| {
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
            extension.set_criticality(is_critical);
            params.custom_extensions.push(extension);
        }
    };
    check(&bundle(&fine, &[], strange(true)), &believe(&fine.pem()), "the extension 1.3.6.1.4.1.99999.1, which is not");
    check(&bundle(&fine, &[], strange(false)), &believe(&fine.pem()), "CN=signer by");
    let narrow = between(&fine, |params| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("example".to_owned())];
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    });
    check(&bundle(&narrow, &[narrow.der()], |_| ()), &believe(&fine.pem()), "the extension 2.5.29.30");
}

#[test]
fn ways_without_end_are_given_up() {
    let fine = root(|params| params.distinguished_name.push(DnType::OrganizationName, "elsewhere"));
    // Fifteen authorities of one name that issued each other: every one is an issuer of every other one.
    let key = KeyPair::generate().unwrap();
    let pem = key.serialize_pem();
    let twins: Vec<Authority> = (0..15)
        .map(|_| Authority::self_signed(authority_params("twin"), KeyPair::from_pem(&pem).unwrap()).unwrap())
        .collect();
    let behind: Vec<&[u8]> = twins.iter().map(|twin| twin.der().as_ref()).collect();
    check(&bundle(&twins[0], &behind, |_| ()), &believe(&fine.pem()), "too many ways");
}

#[test]
fn a_damaged_certificate_is_named() {
    let root = root(|_| ());
    let chain = bundle(&root, &[b"\x30\x03abc"], |_| ());
    check(&chain, &believe(&root.pem()), "certificate 2 of the bundle is damaged");
    let mut cut = bundle(&root, &[], |_| ());
    cut["verificationMaterial"]["x509CertificateChain"]["certificates"][0]["rawBytes"] = json!("MAA=");
    check(&cut, &believe(&root.pem()), "certificate 1 of the bundle is damaged");
    let longer = bundle(&root, &[&[root.der().as_ref(), b"x"].concat()], |_| ());
    check(&longer, &believe(&root.pem()), "something follows it");
    for text in ["", "no PEM", &Author::new().0.public_key_pem()] {
        assert!(Authorities::from_pem(text.as_bytes()).is_err(), "{text}");
    }
    assert!(Authorities::from_pem(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n").is_err());
}

#[test]
fn a_method_is_checked_by_its_own_means() {
    let (root, author) = (root(|_| ()), Author::new());
    check(
        &author.sign(&statement(FILES)),
        &believe(&root.pem()),
        "signed by the method key, and a file of certificates",
    );
    check(&bundle(&root, &[], |_| ()), &author.trust(), "signed by the method certificate, and a key was given");
}

#[test]
fn a_flipped_bit_of_a_certificate_is_not_believed() {
    let root = root(|_| ());
    let trust = believe(&root.pem());
    let fine = bundle(&root, &[], |_| ());
    let place = &fine["verificationMaterial"]["x509CertificateChain"]["certificates"][0]["rawBytes"];
    let der = BASE64.decode(place.as_str().unwrap().as_bytes()).unwrap();
    for place in 0..der.len() {
        let mut altered = der.clone();
        altered[place] ^= 1;
        let mut bundle = fine.clone();
        bundle["verificationMaterial"]["x509CertificateChain"]["certificates"][0]["rawBytes"] =
            json!(BASE64.encode(&altered));
        let bundle = Bundle::parse(bundle.to_string().as_bytes()).unwrap();
        assert!(bundle.verify(&trust, now()).is_err(), "byte {place}");
    }
}
