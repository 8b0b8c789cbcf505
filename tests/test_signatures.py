"""Models that their publishers signed, with the reference implementation of OpenSSF Model Signing: checked without a node, and
before a node takes them."""

import contextlib
import datetime
import hashlib
import json
import shutil
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from model_signing import hashing, signing

import several_files
from mesh import EEA, HITHER, LANGUAGE_MODEL, ROOT, Node

CURVES = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}


def key(folder, name, curve="p256"):
    """A key as two files, NAME.key and NAME.pub."""
    made = ec.generate_private_key(CURVES[curve]())
    (folder / f"{name}.key").write_bytes(made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))
    (folder / f"{name}.pub").write_bytes(made.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ))
    return made


def certificate(folder, name, public, signer=None, days=1, usage=ExtendedKeyUsageOID.CODE_SIGNING):
    """A certificate as a file, NAME.pem: of an authority without a signer, of somebody who signs files with one."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signing_key = signer or (subject, public)
    now = datetime.datetime.now(datetime.timezone.utc)
    may = dict.fromkeys(
        ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"], False,
    )
    may["digital_signature" if signer else "key_cert_sign"] = True
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2)).not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**may), critical=True)
    )
    if signer:
        made = made.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    (folder / f"{name}.pem").write_bytes(made.sign(signing_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return subject, signing_key


@pytest.fixture
def place(tmp_path):
    """A folder with a publisher's key, and a model of several files beside it."""
    key(tmp_path, "publisher")
    model = tmp_path / "fraud"
    (model / "more").mkdir(parents=True)
    shutil.copy(ROOT / "models/fraud.onnx", model / "fraud.onnx")
    (model / "more" / "words.txt").write_text("words\n")
    (model / "empty").touch()
    return tmp_path


def sign(place, model="fraud", bundle="model.sig", name="publisher", how=None):
    signer = signing.Config().use_elliptic_key_signer(private_key=place / f"{name}.key")
    signer.set_hashing_config(how or hashing.Config()).sign(place / model, place / bundle)


def sign_by_certificate(place, name="signer"):
    signing.Config().use_certificate_signer(
        private_key=place / "publisher.key", signing_certificate=place / f"{name}.pem",
        certificate_chain=[place / "authority.pem"],
    ).sign(place / "fraud", place / "model.sig")


def check(place, *words, path="fraud", bundle="model.sig", whom=("--key", "publisher.pub")):
    """`hither models signature`; gives how it ended, and what it says."""
    line = [HITHER, "--json", "models", "signature", path, "--signature", bundle, *whom, *words]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, cwd=place)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def refused(place, code, text, **asked):
    exit_code, said = check(place, **asked)
    assert (exit_code, said["error"]["code"]) == (2 if code == "E0147" else 1, code), said
    assert text in said["error"]["message"], said


@pytest.mark.parametrize("curve", CURVES)
def test_a_directory_is_what_its_publisher_signed(place, curve):
    key(place, "publisher", curve)
    sign(place)
    code, said = check(place)
    assert code == 0 and said["model"] == "fraud" and said["signer"]["method"] == "key", said
    assert [file["name"] for file in said["files"]] == ["empty", "fraud.onnx", "more/words.txt"]
    assert said["not_looked_at"] == 0


def test_hashes_and_shards_of_every_kind(place):
    kinds = [hashing.Config().use_file_serialization(hashing_algorithm=name) for name in ["sha256", "blake2", "blake3"]]
    kinds += [hashing.Config().use_shard_serialization(hashing_algorithm=name, shard_size=4096) for name in ["sha256", "blake2"]]
    for how in kinds:
        sign(place, how=how)
        assert check(place)[0] == 0
        code, said = check(place, path="fraud/fraud.onnx")
        assert (code, said["not_looked_at"] > 0) == (0, True), said


def test_one_file_by_itself(place):
    sign(place, model="fraud/fraud.onnx")
    shutil.copy(place / "fraud/fraud.onnx", place / "other.onnx")
    assert check(place, path="other.onnx")[0] == 0
    refused(place, "E0149", "is not the file that was signed", path="fraud/more/words.txt")
    refused(place, "E0149", "the signature is of one file", path="fraud")


def test_what_is_not_as_signed_is_refused_and_said(place):
    sign(place)
    model = place / "fraud"
    (model / "extra.bin").touch()
    refused(place, "E0149", 'what is there was not signed: "extra.bin"')
    assert check(place, "--ignore-paths", "fraud/extra.bin")[0] == check(place, "--ignore-unsigned-files")[0] == 0
    (model / "extra.bin").unlink()
    (model / "link").symlink_to("empty")
    refused(place, "E0149", "is a link")
    (model / "link").unlink()
    content = (model / "fraud.onnx").read_bytes()
    for altered in [content[:-1], content + b"\0", content[:-1] + bytes([content[-1] ^ 1]), b""]:
        (model / "fraud.onnx").write_bytes(altered)
        refused(place, "E0149", "is not the file that was signed")
    (model / "fraud.onnx").unlink()
    refused(place, "E0149", 'what was signed is not there: "fraud.onnx"')


def test_who_did_not_sign_is_not_believed(place):
    sign(place)
    key(place, "other")
    refused(place, "E0148", "signed with another key", whom=("--key", "other.pub"))
    refused(place, "E0147", "it is a private key", whom=("--key", "publisher.key"))
    refused(place, "E0147", "cannot be read", bundle="nothing.sig")
    code, said = check(place, whom=())
    assert code == 2 and "--key" in said, said
    bundle = json.loads((place / "model.sig").read_text())
    bundle["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": [{"logIndex": "1"}]}
    (place / "model.sig").write_text(json.dumps(bundle))
    refused(place, "E0148", "present and not checked offline")
    (place / "model.sig").write_text("{}")
    refused(place, "E0147", "missing field")


def test_a_chain_of_certificates(place):
    public = serialization.load_pem_private_key((place / "publisher.key").read_bytes(), None)
    authority = certificate(place, "authority", key(place, "root"))
    whom = ("--certificates", "authority.pem")
    certificate(place, "signer", public, authority)
    sign_by_certificate(place)
    code, said = check(place, whom=whom)
    assert (code, said["signer"]["subject"], said["signer"]["issuer"]) == (0, "CN=signer", "CN=authority"), said
    refused(place, "E0148", "signed by the method certificate")
    certificate(place, "elsewhere", key(place, "elsewhere"))
    refused(place, "E0148", "not among those that are believed", whom=("--certificates", "elsewhere.pem"))
    certificate(place, "old", public, authority, days=-1)
    sign_by_certificate(place, "old")
    refused(place, "E0148", "the certificate of CN=old expired on", whom=whom)
    certificate(place, "server", public, authority, usage=ExtendedKeyUsageOID.SERVER_AUTH)
    sign_by_certificate(place, "server")
    refused(place, "E0148", "is not for signing files", whom=whom)


@pytest.fixture
def node():
    with contextlib.closing(Node("munich", EEA)) as node:
        node.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        yield node.up()


def test_a_node_takes_what_was_signed_and_nothing_else(place, node):
    sign(place)
    key(place, "other")
    by = ["--signature", place / "model.sig", "--key", place / "publisher.pub"]
    model = place / "fraud/fraud.onnx"
    content = model.read_bytes()
    model.write_bytes(content + b"\0")
    for source in [model, place / "fraud"]:
        done = node.run("models", "add", source, *by, check=False)
        assert (done.returncode, "error[E0149]" in done.stderr) == (1, True), done.stderr
    model.write_bytes(content)
    done = node.run("models", "add", model, *by[:3], place / "other.pub", check=False)
    assert (done.returncode, "error[E0148]" in done.stderr) == (1, True), done.stderr
    assert node.view()["models"] == []
    added = node.json("models", "add", model, *by, "--name", "one")
    assert (added["name"], added["signer"]["method"]) == ("one", "key")
    added = node.json("models", "add", place / "fraud", *by, "--name", "one")
    assert added["signer"]["fingerprint"], added


def test_of_a_model_in_several_files_every_one_has_to_be_signed(place, node):
    by = ["--signature", place / "model.sig", "--key", place / "publisher.pub"]
    whole = LANGUAGE_MODEL.read_bytes()
    chat, sums = place / "chat", place / "sums"
    chat.mkdir()
    sums.mkdir()
    parts = several_files.named("chat", several_files.split(whole, [100]))
    for name, part in parts.items():
        (chat / name).write_bytes(part)
    first, second = (chat / name for name in sorted(parts))
    sign(place, "chat")
    # The node takes what was made of the files that were checked (it would say E0450), and the mesh hears who signed them.
    for source in [chat, second]:
        added = node.json("models", "add", source, *by, "--name", "chat")
        assert (added["joined"], added["signed_by"]) == (sorted(parts), f"key sha256:{added['signer']['fingerprint']}")
        assert node.json("models", "show", added["name"])["sha256"] == hashlib.sha256(whole).hexdigest()
    second.write_bytes(parts[second.name][:-1] + b"\1")
    for source in [chat, first]:
        done = node.run("models", "add", source, *by, check=False)
        assert (done.returncode, "error[E0149]" in done.stderr, second.name in done.stderr) == (1, True, True), done.stderr
    content, _ = several_files.sums()
    several_files.loose(content, sums / "sums.onnx", "w.bin")
    sign(place, "sums")
    assert node.json("models", "add", sums, *by)["joined"] == ["sums.onnx", "w.bin"]
    # A file of which nobody signed anything is not taken in, even if it may lie there.
    several_files.loose(content, sums / "sums.onnx", "v.bin")
    (sums / "w.bin").unlink()
    (sums / "v.bin").rename(place / "v.bin")
    sign(place, "sums")
    (place / "v.bin").rename(sums / "v.bin")
    done = node.run("models", "add", sums, *by, "--ignore-unsigned-files", check=False)
    assert (done.returncode, "v.bin is not as signed: the signature leaves it out" in done.stderr) == (1, True), done.stderr
    assert not [path for path in (node.data / "incoming").rglob("*") if path.is_file()]


def test_the_catalog_says_who_signed_a_model(place, node):
    sign(place)
    added = node.json("models", "add", place / "fraud", "--signature", place / "model.sig", "--key", place / "publisher.pub")
    by = f"key sha256:{added['signer']['fingerprint']}"
    assert added["signed_by"] == by
    assert [model["signed_by"] for model in node.json("models", "ls")] == [by]
    assert by in node.run("models", "show", "fraud").stdout
    # Another signature over the same file is another entry of it.
    public = serialization.load_pem_private_key((place / "publisher.key").read_bytes(), None)
    certificate(place, "signer", public, certificate(place, "authority", key(place, "root")))
    sign_by_certificate(place)
    whom = ["--signature", place / "model.sig", "--certificates", place / "authority.pem"]
    added = node.json("models", "add", place / "fraud", *whom)
    assert added["signed_by"] == f"certificate sha256:{added['signer']['fingerprint']} CN=signer"
    assert added["revision"] == 1
