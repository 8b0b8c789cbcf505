"""Models in several files, as others write them: a GGUF file that is split, an ONNX model with its data beside it."""

import struct

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

# Bytes of a value, by the number of its type.
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
TEXT, LIST = 8, 9


def split(content, places):
    """The parts of a GGUF file, as llama-gguf-split makes them: each with the tensors from one of the places to the next."""
    at = 0

    def number(form):
        nonlocal at
        (found,) = struct.unpack_from("<" + form, content, at)
        at += struct.calcsize("<" + form)
        return found

    def skip(kind):
        nonlocal at
        if kind == TEXT:
            length = number("Q")
            at += length
        elif kind == LIST:
            of, count = number("I"), number("Q")
            if of == TEXT:
                for _ in range(count):
                    skip(TEXT)
            else:
                at += SIZES[of] * count
        else:
            at += SIZES[kind]

    assert (number("4s"), number("I")) == (b"GGUF", 3)
    tensors, keys = number("Q"), number("Q")
    begin = at
    for _ in range(keys):
        skip(TEXT)
        skip(number("I"))
    written = content[begin:at]
    infos = []
    for _ in range(tensors):
        begin = at
        skip(TEXT)
        rank = number("I")
        at += 8 * rank + 4
        infos.append((content[begin:at], number("Q")))
    start = -(-at // 32) * 32
    ends = [offset for _, offset in infos[1:]] + [len(content) - start]
    bounds = [0, *places, tensors]
    parts = []
    for part, (first, last) in enumerate(zip(bounds, bounds[1:])):
        own = [key("split.no", 2, "H", part), key("split.count", 2, "H", len(places) + 1)]
        own.append(key("split.tensors.count", 5, "i", tensors))
        head = struct.pack("<4sIQQ", b"GGUF", 3, last - first, len(own) + (keys if part == 0 else 0))
        head += (written if part == 0 else b"") + b"".join(own)
        base = infos[first][1] if first < tensors else 0
        head += b"".join(info + struct.pack("<Q", offset - base) for info, offset in infos[first:last])
        head += bytes(-len(head) % 32)
        end = ends[last - 1] if last > first else base
        parts.append(head + content[start + base : start + end])
    return parts


def key(name, kind, form, value):
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I" + form, kind, value)


def part_of_one(number, count, tensors):
    """The header of a part, without keys of a model: tensors of single bytes, one after the other."""
    own = [key("split.no", 2, "H", number), key("split.count", 2, "H", count), key("split.tensors.count", 5, "i", count)]
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(own)) + b"".join(own)
    for at, (name, size) in enumerate(tensors):
        offset = sum(-(-size // 32) * 32 for _, size in tensors[:at])
        head += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<IQIQ", 1, size, 24, offset)
    return head + bytes(-len(head) % 32)


def named(base, parts):
    """The parts by the names that they have."""
    return {f"{base}-{at + 1:05}-of-{len(parts):05}.gguf": part for at, part in enumerate(parts)}


def sums(seed=0):
    """An ONNX model with weights, as bytes, and what it answers to a row of ones: a product and a sum, one in a branch."""
    draw = numpy.random.default_rng(seed)
    factor = draw.integers(-9, 9, (4, 300)).astype(numpy.float32)
    inner, outer = (draw.integers(-9, 9, (300,)).astype(numpy.float32) for _ in range(2))
    branch = helper.make_graph(
        [helper.make_node("Add", ["product", "inner"], ["sum"])], "branch", [],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, None)], [numpy_helper.from_array(inner, "inner")],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["product"], ["same"])], "other", [],
        [helper.make_tensor_value_info("same", TensorProto.FLOAT, None)],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(numpy.array(True), "yes")),
            helper.make_node("MatMul", ["x", "factor"], ["product"]),
            helper.make_node("If", ["yes"], ["taken"], then_branch=branch, else_branch=other),
            helper.make_node("Add", ["taken", "outer"], ["y"]),
        ],
        "sums",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 300])],
        [numpy_helper.from_array(factor, "factor"), numpy_helper.from_array(outer, "outer")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True), (factor.sum(0) + inner + outer).tolist()


def loose(content, path, location="weights.bin"):
    """Writes an ONNX model with all its data in one file beside it, by the reference implementation."""
    onnx.save_model(
        onnx.load_from_string(content), path, save_as_external_data=True, location=location, size_threshold=0,
        convert_attribute=True,
    )


def renamed(path, location):
    """Makes a model name another file as that of its data."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
