"""What is asked over HTTP: a name, and a request (method, path, headers, body).

Left out is what ends the reference server: a shape of 2^62 elements, and classes of texts. Tests of the crate ask both.
"""

import gzip
import json
import struct
import zlib

JSON_LENGTH = "Inference-Header-Content-Length"


def infer(model, document, headers=None, version=""):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return ("POST", f"/v2/models/{model}{version}/infer", headers or {}, body)


def one(datatype, shape, data, **more):
    return {"inputs": [{"name": "INPUT0", "datatype": datatype, "shape": shape, "data": data}], **more}


def blob(datatype, shape, raw, size=None, length=None, **more):
    """A binary tensor behind its JSON; `size` and `length` lie where they are given."""
    parameters = {"binary_data_size": len(raw) if size is None else size}
    document = {"inputs": [{"name": "INPUT0", "datatype": datatype, "shape": shape, "parameters": parameters}], **more}
    head = json.dumps(document).encode()
    return {JSON_LENGTH: str(len(head) if length is None else length)}, head + raw


def binary(model, *args, **more):
    headers, body = blob(*args, **more)
    return infer(model, body, headers)


def text(*items):
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


FLOATS = struct.pack("<4f", 1, 2.5, -3, 0.4)
IN_BINARY = {"parameters": {"binary_data_output": True}}

# For each datatype: two elements as JSON (none where there is no such form), and as bytes.
ELEMENTS = {
    "BOOL": ([True, False], b"\x01\x00"),
    "UINT8": ([0, 255], b"\x00\xff"),
    "UINT16": ([1, 65535], struct.pack("<2H", 1, 65535)),
    "UINT32": ([1, 2**32 - 1], struct.pack("<2I", 1, 2**32 - 1)),
    "UINT64": ([1, 2**64 - 1], struct.pack("<2Q", 1, 2**64 - 1)),
    "INT8": ([-128, 127], struct.pack("<2b", -128, 127)),
    "INT16": ([-(2**15), 2**15 - 1], struct.pack("<2h", -(2**15), 2**15 - 1)),
    "INT32": ([-(2**31), 2**31 - 1], struct.pack("<2i", -(2**31), 2**31 - 1)),
    "INT64": ([-(2**63), 2**63 - 1], struct.pack("<2q", -(2**63), 2**63 - 1)),
    "FP16": (None, struct.pack("<2e", 1.5, -0.25)),
    "BF16": (None, b"\xc0\x3f\x80\xbe"),
    "FP32": ([0.5, -3.0e10], struct.pack("<2f", 0.5, -3.0e10)),
    "FP64": ([0.1, -2.0e300], struct.pack("<2d", 0.1, -2.0e300)),
    "BYTES": (["", "Grüße"], text(b"", "Grüße".encode())),
}

SUM = [
    {"name": f"INPUT{at}", "datatype": "INT32", "shape": [1, 16], "data": [list(range(at, 16 + at))]} for at in (0, 1)
]


def cases():
    yield "server", ("GET", "/v2", {}, b"")
    yield "server, wrong method", ("POST", "/v2", {}, b"")
    yield "live", ("GET", "/v2/health/live", {}, b"")
    yield "ready", ("GET", "/v2/health/ready", {}, b"")
    yield "no such path", ("GET", "/v2/nothing", {}, b"")
    yield from model_cases()
    yield from datatype_cases()
    yield from json_cases()
    yield from binary_cases()
    yield from output_cases()
    yield from parameter_cases()
    yield from coding_cases()
    yield from extension_cases()


def model_cases():
    for name, path in [("model", "id_fp32"), ("model with rows", "rows"), ("model of two", "simple"), ("unknown model", "none")]:
        yield f"metadata: {name}", ("GET", f"/v2/models/{path}", {}, b"")
        yield f"metadata: {name}, version", ("GET", f"/v2/models/{path}/versions/1", {}, b"")
        yield f"ready: {name}", ("GET", f"/v2/models/{path}/ready", {}, b"")
    yield "metadata: unknown version", ("GET", "/v2/models/id_fp32/versions/2", {}, b"")
    yield "metadata: version that is no number", ("GET", "/v2/models/id_fp32/versions/one", {}, b"")
    yield "ready: unknown version", ("GET", "/v2/models/id_fp32/versions/2/ready", {}, b"")
    yield "infer: wrong method", ("GET", "/v2/models/id_fp32/infer", {}, b"")
    yield "infer: unknown model", infer("none", one("FP32", [1], [1]))
    yield "infer: unknown version", infer("id_fp32", one("FP32", [1], [1]), version="/versions/2")
    yield "infer: version", infer("id_fp32", one("FP32", [1], [1]), version="/versions/1")


def datatype_cases():
    for datatype, (elements, raw) in ELEMENTS.items():
        model = f"id_{datatype.lower()}"
        yield f"{datatype}: JSON to JSON", infer(model, one(datatype, [2], elements or [1.5, -0.25]))
        if elements is not None:
            yield f"{datatype}: JSON to binary", infer(model, one(datatype, [2], elements, **IN_BINARY))
        yield f"{datatype}: binary to JSON", binary(model, datatype, [2], raw)
        yield f"{datatype}: binary to binary", binary(model, datatype, [2], raw, **IN_BINARY)
        yield f"{datatype}: empty, binary", binary(model, datatype, [0], b"", **IN_BINARY)
        yield f"{datatype}: short, binary", binary(model, datatype, [2], raw[:-1])
        if datatype != "BYTES":
            yield f"{datatype}: raw", infer(model, raw, {JSON_LENGTH: "0"})
    for datatype, value in [
        ("INT32", 2**31), ("INT32", -(2**31) - 1), ("INT32", 2**32), ("INT32", 1.0), ("INT32", 1.5), ("INT32", "1"), ("INT32", True),
        ("UINT8", -1), ("UINT8", 256), ("INT64", 2**63), ("UINT64", -1), ("BOOL", 1), ("BOOL", "true"),
        ("FP32", "1"), ("FP32", True), ("FP32", None), ("FP32", 1e39), ("FP32", 7), ("BYTES", 1), ("BYTES", None),
    ]:
        yield f"{datatype}: element {value!r}", infer(f"id_{datatype.lower()}", one(datatype, [1], [value]))
    nan = struct.pack("<f", float("nan"))
    yield "FP32: NaN to JSON", binary("id_fp32", "FP32", [1], nan)
    yield "FP32: NaN to binary", binary("id_fp32", "FP32", [1], nan, **IN_BINARY)
    yield "BYTES: NUL and not UTF-8, binary", binary("id_bytes", "BYTES", [2], text(b"\x00", b"\xff\xfe"), **IN_BINARY)
    yield "BYTES: NUL to JSON", binary("id_bytes", "BYTES", [1], text(b"a\x00b"))
    yield "BYTES: not UTF-8 to JSON", binary("id_bytes", "BYTES", [1], text(b"\xff\xfe"))
    yield "BYTES: length beyond the data", binary("id_bytes", "BYTES", [1], b"\xff\x00\x00\x00a")
    yield "BYTES: fewer than the shape says", binary("id_bytes", "BYTES", [2], text(b"a"))
    yield "BYTES: raw", infer("id_bytes", b"whole", {JSON_LENGTH: "0"})
    yield "BOOL: byte 2, binary", binary("id_bool", "BOOL", [1], b"\x02", **IN_BINARY)


def json_cases():
    good = one("FP32", [4], [1, 2, 3, 4])
    field = good["inputs"][0]

    def without(key):
        return {"inputs": [{name: value for name, value in field.items() if name != key}]}

    for name, document in {
        "empty body": b"",
        "half a body": b'{"inputs":[',
        "a list": b"[]",
        "a number": b"7",
        "no inputs": {},
        "inputs no list": {"inputs": {}},
        "inputs empty": {"inputs": []},
        "input no object": {"inputs": [7]},
        "no name": without("name"),
        "no datatype": without("datatype"),
        "no shape": without("shape"),
        "no data": without("data"),
        "id": {**good, "id": "my own"},
        "id empty": {**good, "id": ""},
        "id with quotes": {**good, "id": 'a "b" \\ é'},
        "id a number": {**good, "id": 7},
        "unknown field": {**good, "nonsense": {"a": [1]}},
        "unknown field of an input": {"inputs": [{**field, "nonsense": 1}]},
        "unknown datatype": one("FLOAT", [4], [1, 2, 3, 4]),
        "other datatype": one("INT32", [4], [1, 2, 3, 4]),
        "other name": {"inputs": [{**field, "name": "other"}]},
        "input twice": {"inputs": [field, field]},
        "one input too many": {"inputs": [field, {**field, "name": "INPUT1"}]},
        "data flat": good,
        "data nested": one("FP32", [4], [[1, 2], [3, 4]]),
        "data ragged": one("FP32", [4], [[1], [2, 3, 4]]),
        "data mixed depth": one("FP32", [4], [1, [2, 3, 4]]),
        "data short": one("FP32", [4], [1, 2, 3]),
        "data long": one("FP32", [4], [1, 2, 3, 4, 5]),
        "data a number": one("FP32", [1], 1),
        "data null": one("FP32", [4], None),
        "data empty": one("FP32", [0], []),
        "shape negative": one("FP32", [-1], [1]),
        "shape of a string": one("FP32", ["4"], [1, 2, 3, 4]),
        "shape no list": one("FP32", 4, [1, 2, 3, 4]),
        "shape of two": one("FP32", [2, 2], [1, 2, 3, 4]),
        "outputs empty": {**good, "outputs": []},
        "outputs unknown": {**good, "outputs": [{"name": "none"}]},
        "outputs without a name": {**good, "outputs": [{}]},
        "outputs no list": {**good, "outputs": {}},
        "data and binary size": {"inputs": [{**field, "parameters": {"binary_data_size": 16}}]},
        "binary size without a header": without("data") | {"inputs": [{**without("data")["inputs"][0], "parameters": {"binary_data_size": 16}}]},
    }.items():
        yield f"JSON: {name}", infer("id_fp32", document)
    for name, shape, data in [("one row", [1, 4], [1, 2, 3, 4]), ("eight rows", [8, 4], list(range(32))), ("nine rows", [9, 4], list(range(36))), ("no row", [0, 4], []), ("other width", [1, 5], [1, 2, 3, 4, 5]), ("no batch", [4], [1, 2, 3, 4])]:
        yield f"rows: {name}", infer("rows", one("FP32", shape, data))
    for name, headers in {
        "no type": {},
        "text": {"Content-Type": "text/plain"},
        "octets": {"Content-Type": "application/octet-stream"},
        "form": {"Content-Type": "application/x-www-form-urlencoded"},
        "accept": {"Content-Type": "application/json", "Accept": "text/html"},
    }.items():
        yield f"types: {name}", infer("id_fp32", good, headers)


def binary_cases():
    yield "binary: size too small", binary("id_fp32", "FP32", [4], FLOATS, size=12)
    yield "binary: size too large", binary("id_fp32", "FP32", [4], FLOATS, size=20)
    yield "binary: size negative", binary("id_fp32", "FP32", [4], FLOATS, size=-1)
    yield "binary: size a string", binary("id_fp32", "FP32", [4], FLOATS, size="16")
    yield "binary: bytes left over", binary("id_fp32", "FP32", [4], FLOATS + b"x", size=16)
    for length in ["-1", "100000", "2147483649", "99999999999999999999"]:
        yield f"binary: header {length}", binary("id_fp32", "FP32", [4], FLOATS, length=length)
    for length in ["abc", "+5"]:
        yield f"binary: header {length}", binary("id_fp32", "FP32", [4], FLOATS, length=length)
    yield "binary: raw of three bytes", infer("id_fp32", b"abc", {JSON_LENGTH: "0"})
    yield "binary: raw for two inputs", infer("simple", bytes(64), {JSON_LENGTH: "0"})
    yield "binary: raw empty", infer("id_fp32", b"", {JSON_LENGTH: "0"})
    yield "binary: raw for rows", infer("rows", FLOATS, {JSON_LENGTH: "0"})


def output_cases():
    both = {"inputs": SUM}
    yield "outputs: all", infer("simple", both)
    yield "outputs: second alone", infer("simple", {**both, "outputs": [{"name": "OUTPUT1"}]})
    yield "outputs: other order", infer("simple", {**both, "outputs": [{"name": "OUTPUT1"}, {"name": "OUTPUT0"}]})
    yield "outputs: twice", infer("simple", {**both, "outputs": [{"name": "OUTPUT0"}, {"name": "OUTPUT0"}]})
    one_binary = [{"name": "OUTPUT0", "parameters": {"binary_data": True}}, {"name": "OUTPUT1"}]
    yield "outputs: one binary", infer("simple", {**both, "outputs": one_binary})
    one_plain = [{"name": "OUTPUT0"}, {"name": "OUTPUT1", "parameters": {"binary_data": False}}]
    yield "outputs: all binary but one", infer("simple", {**both, "outputs": one_plain, **IN_BINARY})
    yield "outputs: binary no truth", infer("simple", {**both, "outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": 1}}]})
    yield "outputs: one input missing", infer("simple", {"inputs": SUM[:1]})
    yield "outputs: inputs in other order", infer("simple", {"inputs": SUM[::-1]})
    for model, shape, data, name in [
        ("rows", [2, 4], [1, 2.5, -3, 0.25, 9, 8, 7, 6], "rows"),
        ("id_fp32", [4], [1, 2.5, -3, 0.25], "one row"),
        ("id_int32", [3], [5, -7, 6], "whole numbers"),
    ]:
        datatype = "INT32" if model == "id_int32" else "FP32"
        for count in (1, 2, 99):
            wanted = [{"name": "OUTPUT0", "parameters": {"classification": count}}]
            yield f"classes: {name}, {count}", infer(model, one(datatype, shape, data, outputs=wanted))
    for count in (0, -1, "2"):
        wanted = [{"name": "OUTPUT0", "parameters": {"classification": count}}]
        yield f"classes: count {count!r}", infer("id_fp32", one("FP32", [2], [1, 2], outputs=wanted))


def parameter_cases():
    for name, value in {
        "a string": {"mine": "a"},
        "a number": {"mine": 7},
        "a fraction": {"mine": 0.5},
        "a truth": {"mine": True},
        "null": {"mine": None},
        "a list": {"mine": [1]},
        "an object": {"mine": {}},
        "priority": {"priority": 1},
        "priority negative": {"priority": -1},
        "priority a string": {"priority": "1"},
        "timeout": {"timeout": 60_000_000},
        "timeout a string": {"timeout": "1"},
        "sequence": {"sequence_id": 3, "sequence_start": True, "sequence_end": True},
        "no sequence": {"sequence_id": 0},
    }.items():
        yield f"parameters: {name}", infer("id_fp32", one("FP32", [1], [1], parameters=value))
    yield "parameters: no object", infer("id_fp32", one("FP32", [1], [1], parameters=7))


def coding_cases():
    plain = json.dumps(one("FP32", [4], [1, 2, 3, 4])).encode()
    yield "coding: gzip", infer("id_fp32", gzip.compress(plain), {"Content-Encoding": "gzip"})
    yield "coding: deflate", infer("id_fp32", zlib.compress(plain), {"Content-Encoding": "deflate"})
    raw = zlib.compressobj(wbits=-15)
    yield "coding: raw deflate", infer("id_fp32", raw.compress(plain) + raw.flush(), {"Content-Encoding": "deflate"})
    yield "coding: identity", infer("id_fp32", plain, {"Content-Encoding": "identity"})
    yield "coding: br", infer("id_fp32", plain, {"Content-Encoding": "br"})
    yield "coding: gzip that is none", infer("id_fp32", plain, {"Content-Encoding": "gzip"})
    headers, body = blob("FP32", [4], FLOATS, **IN_BINARY)
    yield "coding: gzip, binary", infer("id_fp32", gzip.compress(body), {**headers, "Content-Encoding": "gzip"})
    many = one("FP32", [1000], list(range(1000)), **IN_BINARY)
    for accepted in ["gzip", "deflate", "br"]:
        yield f"coding: answer as {accepted}", infer("id_fp32", many, {"Accept-Encoding": accepted})
        yield f"coding: small answer as {accepted}", infer("id_fp32", one("FP32", [1], [1]), {"Accept-Encoding": accepted})


def extension_cases():
    yield "index", ("POST", "/v2/repository/index", {}, b"")
    yield "index: object", ("POST", "/v2/repository/index", {}, b"{}")
    yield "index: ready", ("POST", "/v2/repository/index", {}, b'{"ready":true}')
    yield "index: ready no truth", ("POST", "/v2/repository/index", {}, b'{"ready":1}')
    yield "index: half a body", ("POST", "/v2/repository/index", {}, b"{")
    yield "index: wrong method", ("GET", "/v2/repository/index", {}, b"")
    yield "load", ("POST", "/v2/repository/models/id_int8/load", {}, b"")
    yield "load: unknown model", ("POST", "/v2/repository/models/none/load", {}, b"")
    yield "load: parameters no object", ("POST", "/v2/repository/models/id_int8/load", {}, b'{"parameters":7}')
    yield "unload: unknown model", ("POST", "/v2/repository/models/none/unload", {}, b"")
    yield "config: unknown model", ("GET", "/v2/models/none/config", {}, b"")
    yield "config: unknown version", ("GET", "/v2/models/id_fp32/versions/2/config", {}, b"")
    yield "statistics: unknown model", ("GET", "/v2/models/none/stats", {}, b"")
    yield "statistics: wrong method", ("POST", "/v2/models/id_fp32/stats", {}, b"")
    yield "trace", ("GET", "/v2/trace/setting", {}, b"")
    yield "logging", ("GET", "/v2/logging", {}, b"")
    for kind in ("system", "cuda"):
        yield f"{kind} memory: status", ("GET", f"/v2/{kind}sharedmemory/status", {}, b"")
        yield f"{kind} memory: register", ("POST", f"/v2/{kind}sharedmemory/region/r/register", {}, b'{"key":"/none","offset":0,"byte_size":4}')
        yield f"{kind} memory: unregister", ("POST", f"/v2/{kind}sharedmemory/unregister", {}, b"")
