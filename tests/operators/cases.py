"""Writes the operator tests that ONNX publishes as files that need no Python to read.

    cases.py OLD TARGET

OLD is the directory `node` of Debian's libonnx-testdata; the newer set is made by the package `onnx` itself. For each
test, TARGET/SET gets NAME.onnx, NAME.json (what goes in, what must come out, how close) and NAME.bin (the elements).
What cannot be said in the Open Inference Protocol is left out, and counted in TARGET/SET/left-out.json.
"""

import json
import shutil
import struct
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "bfloat16": "BF16",
    "float32": "FP32",
    "float64": "FP64",
}


class LeftOut(Exception):
    """The reason, in a few words."""


def tensor(value, stated):
    """Datatype, shape and bytes of a value whose element type the model states."""
    if value is None:
        raise LeftOut("a value that is absent")
    if isinstance(value, (list, dict, tuple)):
        raise LeftOut("a sequence or a map")
    value = np.asarray(value)
    if value.dtype.kind in "OUS":
        texts = [text if isinstance(text, bytes) else str(text).encode() for text in value.flatten().tolist()]
        return "BYTES", value.shape, b"".join(struct.pack("<I", len(text)) + text for text in texts)
    if stated == TensorProto.BFLOAT16 and value.dtype == np.uint16:
        # The old set has its bits so.
        return "BF16", value.shape, np.ascontiguousarray(value).tobytes()
    datatype = DATATYPES.get(value.dtype.name)
    if datatype is None:
        raise LeftOut(f"elements of type {value.dtype.name}")
    return datatype, value.shape, np.ascontiguousarray(value).tobytes()


def only_tensors(model):
    known = {TensorProto.DataType.Value(name) for name in (
        "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FLOAT16", "BFLOAT16",
        "FLOAT", "DOUBLE", "STRING")}
    for value in [*model.graph.input, *model.graph.output]:
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            raise LeftOut(f"a value of kind {kind}")
        if value.type.tensor_type.elem_type not in known:
            raise LeftOut(f"elements of type {TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()}")


def write(target, name, model, data_sets, rtol, atol):
    only_tensors(model)
    if not model.graph.output:
        raise LeftOut("no output")
    initialized = {initializer.name for initializer in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initialized]
    outputs = list(model.graph.output)
    blob, sets = b"", []
    for given, wanted in data_sets:
        if len(given) != len(inputs):
            raise LeftOut("an input that is absent")
        sides = []
        for stated, values in [(inputs, given), (outputs, wanted)]:
            side = []
            for spec, value in zip(stated, values):
                datatype, shape, data = tensor(value, spec.type.tensor_type.elem_type)
                side.append({"name": spec.name, "datatype": datatype, "shape": list(shape), "bytes": len(data)})
                blob += data
            sides.append(side)
        sets.append({"inputs": sides[0], "outputs": sides[1]})
    operators = sorted({node.op_type for node in model.graph.node})
    (target / f"{name}.onnx").write_bytes(model.SerializeToString())
    (target / f"{name}.bin").write_bytes(blob)
    case = {"operators": operators, "rtol": rtol, "atol": atol, "sets": sets}
    (target / f"{name}.json").write_text(json.dumps(case))


def load(path, value):
    """A value of the old set, by the type that the model states."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise LeftOut(f"a value of kind {kind}")
    return numpy_helper.to_array(onnx.load_tensor(str(path)))


def old(directory):
    for place in sorted(directory.iterdir()):
        def case(place=place):
            model = onnx.load(place / "model.onnx")
            only_tensors(model)
            data_sets = []
            for data in sorted(place.glob("test_data_set_*")):
                sides = []
                for side, values in [("input", model.graph.input), ("output", model.graph.output)]:
                    files = sorted(data.glob(f"{side}_*.pb"), key=lambda path: int(path.stem.split("_")[1]))
                    sides.append([load(path, value) for path, value in zip(files, values)])
                data_sets.append(sides)
            return model, data_sets, 1e-3, 1e-7
        yield place.name, case


def new():
    from onnx.backend.test.case.node import collect_testcases

    for test in collect_testcases(None):
        yield test.name, lambda test=test: (test.model, test.data_sets, test.rtol, test.atol)


def main():
    directory, target = Path(sys.argv[1]), Path(sys.argv[2])
    for called, cases in [("opset17", old(directory)), ("latest", new())]:
        place = target / called
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        left_out, kept = Counter(), 0
        for name, case in cases:
            try:
                write(place, name, *case())
                kept += 1
            except LeftOut as reason:
                left_out[str(reason)] += 1
        (place / "left-out.json").write_text(json.dumps(dict(sorted(left_out.items()))))
        print(f"{called}: {kept} tests, {sum(left_out.values())} left out")


main()
