"""Ways to damage a file: as bytes, and as the structure that it is."""

import copy
import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

INTEGERS = (
    *(0, 1, -1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 127, 128, 255, 256, 1000, 4096, 65535, 65536),
    *(1 << 20, 1 << 22, 1 << 24, (1 << 31) - 1, -(1 << 31), 1 << 31, (1 << 32) - 1, 1 << 32),
    *((1 << 63) - 1, -(1 << 63)),
)
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 3e38, -3e38, 1e300, math.nan, math.inf, -math.inf)
TEXTS = ("", "x", "y", "w", "\n", "\x00", "é", "a" * 300, "../x", "/etc/passwd", "Conv", "Loop")
PATHS = (
    *("../secret.bin", "/etc/passwd", "data.bin", "sub/../../secret.bin", "", ".", "input.onnx"),
    *("data.bin/x", "link.bin", "/dev/zero", "~/x", "\x00"),
)
MAX_BYTES = 1 << 16
DTYPES = (
    "?",
    "b",
    "B",
    "<i2",
    ">i4",
    "<i8",
    ">f8",
    "<f2",
    "<f4",
    "<c8",
    "<U3",
    "S2",
    "V4",
    "M8[s]",
)


def mutated_bytes(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """``data`` after one to four changes that know nothing of what it is."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        if not result:
            break
        start = rng.randrange(len(result))
        length = min(rng.choice((1, 2, 4, 8, 16, 64, 256)), len(result) - start)
        match rng.randrange(10):
            case 0 | 1:
                result[start] ^= 1 << rng.randrange(8)
            case 2:
                result[start] = rng.randrange(256)
            case 3 | 4:
                _overwrite_word(rng, result, start)
            case 5:
                del result[start : start + length]
            case 6:
                result[start:start] = result[start : start + length] * rng.choice((1, 1, 2, 64))
            case 7:
                del result[start:]
            case 8:
                other = rng.choice(others)
                place = rng.randrange(max(1, len(other)))
                result[start : start + length] = other[place : place + length]
            case _:
                result[start : start + length] = rng.randbytes(length)
    return bytes(result[:MAX_BYTES])


def _overwrite_word(rng: Random, data: bytearray, start: int) -> None:
    """Puts a number at an address that is aligned as those of a format are."""
    size, kind = rng.choice(((2, "<H"), (4, "<I"), (4, "<I"), (8, "<Q")))
    start -= start % size
    value = rng.choice((rng.choice(INTEGERS), rng.randrange(300)))
    if start + size <= len(data):
        struct.pack_into(kind, data, start, value & ((1 << (8 * size)) - 1))


# ONNX


def mutated_onnx(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A model after one to four changes of its protocol buffers."""
    model, other = ModelProto.FromString(data), ModelProto.FromString(rng.choice(others))
    for _ in range(rng.choice((1, 1, 2, 4))):
        match rng.randrange(12):
            case 0:
                _make_external(rng, model)
            case 1:
                _nest(rng, model)
            case 2:
                _use_constants(rng, model)
            case 3:
                _rewire(rng, model)
            case _:
                message = rng.choice(list(_messages(model)))
                _mutate_field(rng, message, rng.choice(list(_messages(other))))
    return bytes(model.SerializeToString()[:MAX_BYTES])


def _messages(message: Any) -> Any:
    """``message`` and all messages in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if _is_repeated(field) else [value]:
                yield from _messages(item)


def _is_repeated(field: Any) -> bool:
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == 3


def _mutate_field(rng: Random, message: Any, donor: Any) -> None:
    if donor.DESCRIPTOR.full_name == message.DESCRIPTOR.full_name and rng.random() < 0.3:
        message.CopyFrom(donor)
        return
    present = [field for field, _ in message.ListFields()]
    fields = present if present and rng.random() < 0.8 else list(message.DESCRIPTOR.fields)
    field = rng.choice(fields)
    if rng.random() < 0.1:
        message.ClearField(field.name)
    elif _is_repeated(field):
        _mutate_list(rng, getattr(message, field.name), field)
    elif field.message_type is None:
        value = _scalar(rng, field, getattr(message, field.name))
        if value is not None:
            setattr(message, field.name, value)


def _mutate_list(rng: Random, values: Any, field: Any) -> None:
    if values and rng.random() < 0.3:
        del values[rng.randrange(len(values))]
    elif field.message_type is not None:
        if values:
            values.add().CopyFrom(rng.choice(values))
    elif values and rng.random() < 0.7:
        place = rng.randrange(len(values))
        value = _scalar(rng, field, values[place])
        if value is not None:
            values[place] = value
    else:
        value = _scalar(rng, field, None)
        if value is not None:
            values.extend([value] * rng.choice((1, 1, 2, 40)))


def _scalar(rng: Random, field: Any, old: Any) -> Any:
    """A value of the field's type; None if it does not take the number drawn."""
    if field.cpp_type == field.CPPTYPE_STRING:
        if field.type == field.TYPE_BYTES:
            return mutated_bytes(rng, old or b"\x00" * 8, [old or b"abc"])
        return rng.choice(TEXTS)
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return rng.choice(FLOATS)
    value = rng.choice((rng.choice(INTEGERS), rng.randrange(24)))
    bits = 32 if field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_ENUM) else 63
    unsigned = field.cpp_type in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64)
    if field.cpp_type == field.CPPTYPE_ENUM:
        return rng.choice([item.number for item in field.enum_type.values])
    return None if abs(value) >= 1 << (bits - 1) or (unsigned and value < 0) else value


def _tensors(model: Any) -> list[Any]:
    return [message for message in _messages(model) if isinstance(message, TensorProto)]


def _make_external(rng: Random, model: Any) -> None:
    """Says that a constant, of the graph or of an attribute, is in another file."""
    tensors = _tensors(model)
    if not tensors:
        return
    tensor = rng.choice(tensors)
    if rng.random() < 0.8:
        tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    entries = [("location", rng.choice(PATHS))]
    if rng.random() < 0.5:
        entries.append(("offset", str(rng.choice(INTEGERS))))
    if rng.random() < 0.5:
        entries.append(("length", rng.choice((str(rng.choice(INTEGERS)), "many"))))
    for key, value in entries:
        tensor.external_data.add(key=key, value=value)


def _nest(rng: Random, model: Any) -> None:
    """Puts graphs into graphs."""
    graph = GraphProto(name="inner")
    for _ in range(rng.choice((1, 3, 10, 20))):
        node = NodeProto(op_type=rng.choice(("If", "Loop", "Scan")), output=["o"])
        node.attribute.add(name="body", type=AttributeProto.GRAPH).g.CopyFrom(graph)
        graph = GraphProto(name="inner")
        graph.node.append(node)
    model.graph.node.extend(graph.node)


def _use_constants(rng: Random, model: Any) -> None:
    """Adds a node that only works on constants."""
    names = [tensor.name for tensor in model.graph.initializer] or ["w"]
    kinds = (
        *("ConstantOfShape", "Range", "Expand", "Tile", "MatMul", "Conv", "Resize", "Pad", "Exp"),
        *("Gather", "Concat", "Einsum", "ConvTranspose", "OneHot", "Reshape", "Transpose", "Loop"),
        *("TopK", "NonZero", "Unique", "StringSplit", "RandomNormal", "Sqrt", "Cast", "Det"),
    )
    given = [rng.choice(names) for _ in range(rng.randrange(1, 4))]
    for tensor in model.graph.initializer:
        if rng.random() < 0.5 and tensor.data_type == TensorProto.INT64:
            values = np.array([rng.choice(INTEGERS) for _ in range(rng.randrange(4))], np.int64)
            tensor.CopyFrom(helper.make_tensor(tensor.name, 7, values.shape, values.tolist()))
    node = helper.make_node(rng.choice(kinds), given, [rng.choice((*names, "c"))])
    model.graph.node.insert(0, node)


def _rewire(rng: Random, model: Any) -> None:
    """Another name for an input or output of a node: one that is empty, or used elsewhere."""
    nodes = list(model.graph.node)
    if not nodes:
        return
    names = ["", *(name for node in nodes for name in (*node.input, *node.output))]
    node = rng.choice(nodes)
    places = rng.choice((node.input, node.output))
    if places and rng.random() < 0.7:
        places[rng.randrange(len(places))] = rng.choice(names)
    else:
        places.append(rng.choice(names))


# TFLite


def mutated_tflite(rng: Random, tensors: dict[str, Any], ops: list[Any]) -> tuple[dict, list]:
    """Tensors and operators of a network after one to three changes."""
    tensors, ops = dict(tensors), copy.deepcopy(ops)
    for op in ops:
        for name in (*op.inputs, *op.outputs):
            tensors.setdefault(name, type(tensors["x"])())
    for _ in range(rng.choice((1, 1, 2, 3))):
        if rng.random() < 0.5:
            name = rng.choice(list(tensors))
            tensors[name] = _mutated_tensor(rng, tensors[name])
        else:
            _mutate_ops(rng, ops, list(tensors))
    return tensors, ops


def _mutated_tensor(rng: Random, tensor: Any) -> Any:
    match rng.randrange(7):
        case 0 | 1:
            return replace(tensor, shape=_mutated_shape(rng, tensor.shape))
        case 2:
            kind = rng.choice(("float16", "float32", "int8", "int32", "int64", "uint8", "bool"))
            return replace(tensor, dtype=kind)
        case 3:
            scale = [rng.choice(FLOATS) for _ in range(rng.choice((0, 1, 1, 3)))]
            zeros = [rng.choice(INTEGERS[:-4]) for _ in range(rng.choice((0, 1, 1, 3)))]
            return replace(tensor, scale=scale, zero_point=zeros, axis=rng.choice((0, 1, 3, -1, 9)))
        case 4:
            return replace(tensor, signature=_mutated_shape(rng, tensor.shape))
        case 5 if tensor.data is not None:
            data = np.array(tensor.data)
            if data.size and data.dtype.kind == "f":
                data.flat[rng.randrange(data.size)] = np.float32(rng.choice(FLOATS[:8]))
                data.flat[rng.randrange(data.size)] = rng.choice((np.nan, np.inf, 0, 1))
            elif data.size:
                limits = np.iinfo(data.dtype)
                value = rng.choice((limits.min, limits.max, 0, 1, rng.randrange(9)))
                data.flat[rng.randrange(data.size)] = value
            return replace(tensor, data=data)
        case _:
            return replace(tensor, data=rng.choice((None, np.zeros(0), np.ones(4, np.int32))))


def _mutated_shape(rng: Random, shape: Sequence[int]) -> list[int]:
    dims = list(shape)
    if dims and rng.random() < 0.7:
        dims[rng.randrange(len(dims))] = rng.choice([i for i in INTEGERS if abs(i) < 1 << 31])
    elif dims and rng.random() < 0.5:
        dims.pop(rng.randrange(len(dims)))
    else:
        dims.insert(rng.randrange(len(dims) + 1), rng.choice((1, 1, 2, 0, -1)))
    return dims


def _mutate_ops(rng: Random, ops: list[Any], names: list[str]) -> None:
    op = rng.choice(ops)
    match rng.randrange(7):
        case 0 if op.inputs:
            op.inputs[rng.randrange(len(op.inputs))] = rng.choice(names)
        case 1 if op.outputs:
            op.outputs[rng.randrange(len(op.outputs))] = rng.choice(names)
        case 2:
            rng.choice((op.inputs, op.outputs)).append(rng.choice(names))
        case 3:
            other = rng.choice(ops)
            op.op = rng.choice((other.op, "SOFTMAX", "RESHAPE", "PAD", "MEAN", "WHILE", "own"))
        case 4 if op.options:
            key = rng.choice(list(op.options))
            op.options[key] = rng.choice((*range(-3, 9), 127, (1 << 31) - 1))
        case 5 if len(ops) < 40:
            ops.insert(rng.randrange(len(ops) + 1), copy.deepcopy(op))
        case _:
            if rng.random() < 0.5 and len(ops) > 1:
                # By identity: comparing ops would compare arrays.
                del ops[next(place for place, other in enumerate(ops) if other is op)]
            else:
                op.kind, op.options = "", {}


# JSON values and arrays


def mutated_json(rng: Random, value: Any) -> Any:
    """A JSON value after one to three changes in places anywhere in it."""
    root = [copy.deepcopy(value)]
    for _ in range(rng.choice((1, 1, 2, 3))):
        holder, key = rng.choice(list(_places(root)))
        match rng.randrange(8):
            case 0:
                del holder[key]
                if not root:
                    return None
            case 1 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case 2:
                source, place = rng.choice(list(_places(root)))
                holder[key] = copy.deepcopy(source[place])
            case 3:
                holder[key] = rng.choice((None, True, [], {}, [[]], *TEXTS, *FLOATS))
            case 4 if isinstance(holder, dict):
                holder[rng.choice(TEXTS)] = holder.pop(key)
            case _:
                number = rng.choice((rng.choice(INTEGERS), rng.randrange(-4, 12), 10**30))
                holder[key] = number
    return root[0]


def _places(holder: Any) -> Any:
    """Every (container, key) in a JSON value."""
    keys = range(len(holder)) if isinstance(holder, list) else list(holder)
    for key in keys:
        yield holder, key
        if isinstance(holder[key], list | dict):
            yield from _places(holder[key])


def mutated_arrays(rng: Random, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays with one to three of them changed in values, type or shape."""
    result = dict(arrays)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if not result:
            break
        name = rng.choice(list(result))
        array = np.array(result[name])
        match rng.randrange(8):
            case 0:
                del result[name]
                continue
            case 1:
                result[rng.choice(list(arrays))] = array
                continue
            case 2:
                array = np.zeros(array.shape, rng.choice(DTYPES))
            case 3:
                array = array.reshape(rng.choice(((-1,), (1, -1), (-1, 1), array.shape[::-1])))
            case 4:
                array = array[: rng.randrange(len(array) + 1)] if array.ndim else array
            case 5 if array.dtype.kind == "f" and array.size:
                array.flat[rng.randrange(array.size)] = rng.choice(FLOATS)
            case _:
                if array.size and array.dtype.kind in "iu":
                    limits = np.iinfo(array.dtype)
                    values = (limits.min, limits.max, 0, 1, rng.randrange(-9, 99))
                    place = rng.choice((slice(None), rng.randrange(array.size)))
                    array.flat[place] = np.array(rng.choice(values)).astype(array.dtype)
        result[name] = array
    return result
