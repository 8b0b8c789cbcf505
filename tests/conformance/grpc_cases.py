"""What is asked over gRPC: a name, the method, and its request."""

import struct

from tritonclient.grpc import service_pb2 as pb

from http_cases import ELEMENTS, FLOATS, text

CONTENTS = {
    "BOOL": "bool_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}


def tensor(datatype, shape, name="INPUT0", **contents):
    made = pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(made.contents, field).extend(values)
    return made


def infer(model, inputs, raw=(), outputs=(), parameters=None, **more):
    request = pb.ModelInferRequest(model_name=model, inputs=inputs, raw_input_contents=raw, **more)
    for name in outputs:
        request.outputs.add(name=name)
    for name, value in (parameters or {}).items():
        request.parameters[name].CopyFrom(value)
    return "ModelInfer", request


def raw(datatype, shape, elements, **more):
    return infer(f"id_{datatype.lower()}", [tensor(datatype, shape)], [elements], **more)


def cases():
    yield "server live", ("ServerLive", pb.ServerLiveRequest())
    yield "server ready", ("ServerReady", pb.ServerReadyRequest())
    yield "server metadata", ("ServerMetadata", pb.ServerMetadataRequest())
    for name, version in [("id_fp32", ""), ("id_fp32", "1"), ("id_fp32", "2"), ("id_fp32", "one"), ("rows", ""), ("simple", ""), ("none", ""), ("", "")]:
        yield f"model ready: {name!r} {version!r}", ("ModelReady", pb.ModelReadyRequest(name=name, version=version))
        yield f"model metadata: {name!r} {version!r}", ("ModelMetadata", pb.ModelMetadataRequest(name=name, version=version))
    yield from datatype_cases()
    yield from request_cases()
    yield from output_cases()
    yield from parameter_cases()
    yield from extension_cases()


def datatype_cases():
    for datatype, (elements, data) in ELEMENTS.items():
        yield f"{datatype}: raw", raw(datatype, [2], data)
        yield f"{datatype}: raw, empty", raw(datatype, [0], b"")
        yield f"{datatype}: raw, short", raw(datatype, [2], data[:-1])
        yield f"{datatype}: raw, long", raw(datatype, [2], data + b"x")
        if elements is not None:
            typed = [value.encode() if isinstance(value, str) else value for value in elements]
            field = CONTENTS[datatype]
            yield f"{datatype}: typed", infer(f"id_{datatype.lower()}", [tensor(datatype, [2], **{field: typed})])
            yield f"{datatype}: typed, short", infer(f"id_{datatype.lower()}", [tensor(datatype, [3], **{field: typed})])
        else:
            yield f"{datatype}: typed", infer(f"id_{datatype.lower()}", [tensor(datatype, [1], fp32_contents=[1.5])])
    for datatype, field, value in [("INT8", "int_contents", 128), ("INT16", "int_contents", -40000), ("UINT8", "uint_contents", 256), ("UINT16", "uint_contents", 70000)]:
        yield f"{datatype}: typed, {value}", infer(f"id_{datatype.lower()}", [tensor(datatype, [1], **{field: [value]})])
    yield "BYTES: NUL and not UTF-8", raw("BYTES", [2], text(b"\x00", b"\xff\xfe"))
    yield "BYTES: length beyond the data", raw("BYTES", [1], b"\xff\x00\x00\x00a")
    yield "FP32: NaN", raw("FP32", [1], struct.pack("<f", float("nan")))
    yield "FP32: other list", infer("id_fp32", [tensor("FP32", [1], int_contents=[1])])
    yield "FP32: two lists", infer("id_fp32", [tensor("FP32", [1], fp32_contents=[1], int_contents=[1])])


def request_cases():
    good = tensor("FP32", [4])
    typed = tensor("FP32", [4], fp32_contents=[1, 2, 3, 4])
    yield "id", infer("id_fp32", [good], [FLOATS], id="my own")
    yield "version", infer("id_fp32", [good], [FLOATS], model_version="1")
    yield "unknown model", infer("none", [good], [FLOATS])
    yield "unknown version", infer("id_fp32", [good], [FLOATS], model_version="2")
    yield "no model", infer("", [good], [FLOATS])
    yield "no input", infer("id_fp32", [])
    yield "no elements", infer("id_fp32", [good])
    yield "typed and raw", infer("id_fp32", [typed], [FLOATS])
    yield "raw for nobody", infer("id_fp32", [good], [FLOATS, FLOATS])
    yield "other name", infer("id_fp32", [tensor("FP32", [4], name="other")], [FLOATS])
    yield "input twice", infer("id_fp32", [good, good], [FLOATS, FLOATS])
    yield "one input too many", infer("id_fp32", [good, tensor("FP32", [4], name="INPUT1")], [FLOATS, FLOATS])
    yield "unknown datatype", infer("id_fp32", [tensor("FLOAT", [4])], [FLOATS])
    yield "other datatype", infer("id_fp32", [tensor("INT32", [4])], [FLOATS])
    yield "shape negative", infer("id_fp32", [tensor("FP32", [-1])], [FLOATS])
    yield "shape of two", infer("id_fp32", [tensor("FP32", [2, 2])], [FLOATS])
    yield "rows: one", infer("rows", [tensor("FP32", [1, 4])], [FLOATS])
    yield "rows: nine", infer("rows", [tensor("FP32", [9, 4])], [FLOATS * 9])
    yield "rows: other width", infer("rows", [tensor("FP32", [1, 5])], [FLOATS + bytes(4)])


def output_cases():
    sixteen = struct.pack("<16i", *range(16))
    both = [tensor("INT32", [1, 16], name=f"INPUT{at}") for at in (0, 1)]
    yield "outputs: all", infer("simple", both, [sixteen] * 2)
    yield "outputs: second alone", infer("simple", both, [sixteen] * 2, ["OUTPUT1"])
    yield "outputs: other order", infer("simple", both, [sixteen] * 2, ["OUTPUT1", "OUTPUT0"])
    yield "outputs: twice", infer("simple", both, [sixteen] * 2, ["OUTPUT0", "OUTPUT0"])
    yield "outputs: unknown", infer("simple", both, [sixteen] * 2, ["none"])
    yield "outputs: one input missing", infer("simple", both[:1], [sixteen])
    for model, shape, elements in [("rows", [2, 4], FLOATS * 2), ("id_fp32", [4], FLOATS)]:
        for count in (1, 2, 99):
            method, request = infer(model, [tensor("FP32", shape)], [elements], ["OUTPUT0"])
            request.outputs[0].parameters["classification"].int64_param = count
            yield f"classes: {model}, {count}", (method, request)


def parameter_cases():
    for name, (key, value) in {
        "a string": ("mine", pb.InferParameter(string_param="a")),
        "a number": ("mine", pb.InferParameter(int64_param=7)),
        "a fraction": ("mine", pb.InferParameter(double_param=0.5)),
        "a truth": ("mine", pb.InferParameter(bool_param=True)),
        "no value": ("mine", pb.InferParameter()),
        "priority": ("priority", pb.InferParameter(uint64_param=1)),
        "priority, signed": ("priority", pb.InferParameter(int64_param=1)),
        "priority a string": ("priority", pb.InferParameter(string_param="1")),
        "timeout": ("timeout", pb.InferParameter(int64_param=60_000_000)),
        "sequence": ("sequence_id", pb.InferParameter(int64_param=3)),
        "no sequence": ("sequence_id", pb.InferParameter(int64_param=0)),
    }.items():
        yield f"parameters: {name}", raw("FP32", [4], FLOATS, parameters={key: value})


def extension_cases():
    yield "index", ("RepositoryIndex", pb.RepositoryIndexRequest())
    yield "index: ready", ("RepositoryIndex", pb.RepositoryIndexRequest(ready=True))
    yield "load", ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="id_uint8"))
    yield "load: unknown model", ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="none"))
    yield "unload: unknown model", ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="none"))
    yield "config: unknown model", ("ModelConfig", pb.ModelConfigRequest(name="none"))
    yield "statistics: unknown model", ("ModelStatistics", pb.ModelStatisticsRequest(name="none"))
    yield "statistics: unknown version", ("ModelStatistics", pb.ModelStatisticsRequest(name="id_fp32", version="2"))
    yield "trace", ("TraceSetting", pb.TraceSettingRequest())
    yield "log", ("LogSettings", pb.LogSettingsRequest())
    yield "system memory: status", ("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest())
    yield "system memory: register", ("SystemSharedMemoryRegister", pb.SystemSharedMemoryRegisterRequest(name="r", key="/none", byte_size=4))
    yield "cuda memory: status", ("CudaSharedMemoryStatus", pb.CudaSharedMemoryStatusRequest())
