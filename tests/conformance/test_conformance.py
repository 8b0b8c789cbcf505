"""A node beside the reference server of the Open Inference Protocol: both are asked the same, and what differs is listed.

differences.toml is the list. What differs and is not on it fails; what is on it and does not differ any more fails, too.
An entry names the protocol, the cases (a star stands for anything), what differs, and why; for a status or a code, also
both values.

What is compared: the status or code of everything; of what succeeded, the whole answer, its elements bit for bit, and the
type and coding it has. Of an error the words are everybody's own; that it has any is checked of the node.
"""

import contextlib
import fnmatch
import gzip
import http.client
import json
import os
import pathlib
import tomllib
import urllib.parse
import zlib

import grpc
import pytest
from google.protobuf import json_format
from tritonclient.grpc import service_pb2_grpc

import grpc_cases
import http_cases
import servers
from tensor_models import node_with_models

LIST = pathlib.Path(__file__).with_name("differences.toml")
DIFFERENCES = tomllib.loads(LIST.read_text())["difference"]
CASES = [("http", *case) for case in http_cases.cases()] + [("grpc", *case) for case in grpc_cases.cases()]


@pytest.fixture(scope="module")
def both():
    """Both servers: where HTTP is, and a gRPC stub."""
    assert servers.VENV.is_dir(), "the reference server is not installed: scripts/conformance/setup"
    with contextlib.ExitStack() as stack:
        triton = stack.enter_context(contextlib.closing(servers.Triton()))
        node = stack.enter_context(node_with_models())

        def reach(url, target):
            channel = stack.enter_context(grpc.insecure_channel(target))
            return urllib.parse.urlsplit(url).netloc, service_pb2_grpc.GRPCInferenceServiceStub(channel)

        yield {
            "triton": reach(triton.url, triton.grpc),
            "hither": reach(node.url, node.url.removeprefix("http://")),
        }


def over_http(netloc, request):
    """What came, by aspect."""
    method, path, headers, body = request
    connection = http.client.HTTPConnection(netloc, timeout=60)
    with contextlib.closing(connection):
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        raw, head = answer.read(), answer.headers
    coding = head.get("Content-Encoding") or ""
    seen = {"status": str(answer.status)}
    if answer.status != 200:
        return seen | {"error": raw}
    raw = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(coding, bytes)(raw)
    length = head.get(http_cases.JSON_LENGTH)
    document = raw if length is None else raw[: int(length)]
    try:
        document = json.loads(document, parse_constant=lambda word: f"not JSON: {word}") if document else ""
    except ValueError:
        document = f"not JSON: {document!r}"
    elements = b"" if length is None else raw[int(length) :]
    kind = (head.get("Content-Type") or "").split(";")[0] if raw else ""
    return seen | {"body": document, "elements": elements, "type": kind, "coding": coding}


def over_grpc(stub, request):
    method, message = request
    try:
        answer = getattr(stub, method)(message, timeout=60)
    except grpc.RpcError as error:
        return {"status": error.code().name, "error": error.details().encode()}
    body = json_format.MessageToDict(answer, preserving_proto_field_name=True)
    # Elements are compared as bytes, wherever they are.
    body.pop("raw_output_contents", None)
    return {"status": "OK", "body": body, "elements": list(getattr(answer, "raw_output_contents", []))}


def ask(both, protocol, request):
    def one(server):
        netloc, stub = both[server]
        return over_http(netloc, request) if protocol == "http" else over_grpc(stub, request)

    return one("triton"), one("hither")


def differing(triton, hither):
    aspects = [aspect for aspect in sorted({*triton, *hither} - {"error"}) if triton.get(aspect) != hither.get(aspect)]
    # What succeeded on one side alone has nothing to compare with.
    return ["status"] if "status" in aspects else aspects


def listed(protocol, name):
    """By what differs: the entries of the list that speak of this case, each with the name or pattern that does."""
    found = {}
    for at, entry in enumerate(DIFFERENCES):
        for pattern in entry["cases"]:
            if entry["protocol"] == protocol and fnmatch.fnmatchcase(name, pattern):
                assert entry["what"] not in found, f"{LIST.name} says twice what differs of {name!r}"
                found[entry["what"]] = (at, pattern)
    return found


def test_each_case_has_a_name_of_its_own():
    names = [(protocol, name) for protocol, name, _ in CASES]
    assert len(set(names)) == len(names)
    assert all(entry["why"].strip() for entry in DIFFERENCES)


USED = set()


@pytest.mark.parametrize("protocol, name, request_", CASES, ids=[f"{protocol}-{name}" for protocol, name, _ in CASES])
def test_a_node_answers_as_the_reference_does_or_as_the_list_says(both, protocol, name, request_):
    triton, hither = ask(both, protocol, request_)
    if "error" in hither:
        if protocol == "http":
            assert json.loads(hither["error"])["error"], hither
        else:
            assert hither["error"], hither
    if os.environ.get("SHOW_DIFFERENCES"):
        for aspect in differing(triton, hither):
            print(f"DIFF {protocol} | {name} | {aspect} | {triton.get(aspect)!r} | {hither.get(aspect)!r} | {triton.get('error')!r} | {hither.get('error')!r}")
    known = listed(protocol, name)
    for aspect in differing(triton, hither):
        assert aspect in known, f"{aspect} differs: the reference {triton}, the node {hither}"
        at, pattern = known.pop(aspect)
        USED.add((at, pattern))
        if aspect == "status":
            entry = DIFFERENCES[at]
            assert (entry["triton"], entry["hither"]) == (triton["status"], hither["status"])
    # A pattern may speak of cases that do not differ, as long as one does.
    stale = [aspect for aspect, (_, pattern) in known.items() if "*" not in pattern]
    assert not stale, f"{LIST.name} lists {stale} of {name!r}, which do not differ any more"


def test_nothing_on_the_list_is_out_of_date(request):
    ran = [item for item in request.session.items if "answers_as_the_reference" in item.name]
    if len(ran) < len(CASES):
        pytest.skip("not all cases ran")
    every = {(at, pattern) for at, entry in enumerate(DIFFERENCES) for pattern in entry["cases"]}
    unused = sorted(pattern for _, pattern in every - USED)
    assert not unused, f"{LIST.name} lists what does not differ any more: {unused}"
