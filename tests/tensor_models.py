"""Models whose answers are plain to see: what goes in comes out, for every datatype; and a sum."""

import contextlib

import onnx
from onnx import TensorProto, helper

from mesh import EEA, Node, wait_for

# The protocol's words, and ONNX's.
DATATYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


def models():
    """Name, how many rows at most (0: shapes are whole), inputs and outputs (name, datatype, shape)."""
    for datatype in DATATYPES:
        yield f"id_{datatype.lower()}", 0, [("INPUT0", datatype, [-1])], [("OUTPUT0", datatype, [-1])]
    yield "rows", 8, [("INPUT0", "FP32", [4])], [("OUTPUT0", "FP32", [4])]
    two = [(f"{side}{at}", "INT32", [1, 16]) for side in ("INPUT", "OUTPUT") for at in (0, 1)]
    yield "simple", 0, two[:2], two[2:]


def onnx_model(name, rows, inputs, outputs):
    """The file."""

    def spec(value):
        tensor, datatype, shape = value
        shape = ([-1] if rows else []) + shape
        dims = [f"d{at}" if size == -1 else size for at, size in enumerate(shape)]
        return helper.make_tensor_value_info(tensor, DATATYPES[datatype], dims)

    if len(inputs) == 1:
        nodes = [helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])]
    else:
        nodes = [
            helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
            helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"]),
        ]
    graph = helper.make_graph(nodes, name, [spec(value) for value in inputs], [spec(value) for value in outputs])
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8, producer_name="hither-tests")
    onnx.checker.check_model(model)
    return model.SerializeToString()


@contextlib.contextmanager
def node_with_models():
    """A node that has them all open."""
    with contextlib.closing(Node("oip", EEA)) as node:
        node.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        node.up()
        for name, rows, inputs, outputs in models():
            path = node.data / f"{name}.onnx"
            path.write_bytes(onnx_model(name, rows, inputs, outputs))
            node.run("models", "add", path, "--name", name, "--licence", "Apache-2.0")
        for name, *_ in models():
            wait_for(f"{name} is open", lambda: b"KIND_CPU" in node.get(f"/v2/models/{name}/config")[1])
        yield node
