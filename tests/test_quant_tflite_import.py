"""Importing TFLite models: reference networks, every op, and every kind of bad input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tflite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tflite.utils import BUILTIN_OPCODE2NAME

from shiftwork.errors import ModelError
from shiftwork.quant import float_executor
from shiftwork.quant.graph import Add, Affine, AveragePool, Clip, Conv, Graph, Grid
from shiftwork.quant.passes import simplify
from shiftwork.quant.tflite_import import load

SAME, VALID = tflite.Padding.SAME, tflite.Padding.VALID
NONE, RELU = tflite.ActivationFunctionType.NONE, tflite.ActivationFunctionType.RELU
OPCODES = {name: code for code, name in BUILTIN_OPCODE2NAME.items()}
TYPES = {
    "float16": tflite.TensorType.FLOAT16,
    "float32": tflite.TensorType.FLOAT32,
    "int8": tflite.TensorType.INT8,
    "int32": tflite.TensorType.INT32,
    "int64": tflite.TensorType.INT64,
    "uint8": tflite.TensorType.UINT8,
    "bool": tflite.TensorType.BOOL,
}
Serializer = Callable[[flatbuffers.Builder], int]


# Writing small files


@dataclass
class Tensor:
    """A tensor; a constant if it has data."""

    shape: Sequence[int] = ()
    dtype: str = "float32"
    data: NDArray | None = None
    scale: Sequence[float] = ()
    zero_point: Sequence[int] = ()
    axis: int = 0
    signature: Sequence[int] | None = None


@dataclass
class Op:
    """An operator; ``options`` are those of the schema's class ``kind``."""

    op: str
    inputs: list[str]
    outputs: list[str]
    kind: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def constant(data: Any, dtype: str = "float32", **quantization: Any) -> Tensor:
    """A tensor with data."""
    array = np.asarray(data, dtype)
    return Tensor(array.shape, dtype, array, **quantization)


def random(*shape: int) -> Tensor:
    """A constant of normal numbers."""
    return constant(np.random.default_rng([7, *shape]).normal(size=shape))


def quantized(*shape: int, scale: Sequence[float], axis: int = 0) -> Tensor:
    """A constant of random int8 numbers."""
    data = np.random.default_rng([8, *shape]).integers(-127, 128, shape)
    return constant(data, "int8", scale=scale, zero_point=[0] * len(scale), axis=axis)


def table(builder: flatbuffers.Builder, kind: str, **fields: Any) -> int:
    """Writes a table of the schema; arrays, texts and tables in functions come first."""
    written = {}
    for name, value in fields.items():
        if callable(value):
            value = value(builder)
        elif isinstance(value, str):
            value = builder.CreateString(value)
        elif isinstance(value, np.ndarray):
            value = builder.CreateNumpyVector(value)
        elif isinstance(value, list):
            value = offsets(builder, value)
        written[name] = value
    getattr(tflite, f"{kind}Start")(builder)
    for name, value in written.items():
        getattr(tflite, f"{kind}Add{name}")(builder, value)
    return getattr(tflite, f"{kind}End")(builder)


def offsets(builder: flatbuffers.Builder, items: list[Serializer]) -> int:
    """Writes a vector of tables."""
    places = [item(builder) for item in items]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return builder.EndVector()


def lazily(kind: str, **fields: Any) -> Serializer:
    """A table that is written when its turn comes."""
    return lambda builder: table(builder, kind, **fields)


def aligned(array: NDArray) -> Serializer:
    """A vector of bytes at a multiple of 16."""

    def write(builder: flatbuffers.Builder) -> int:
        raw = array.tobytes()
        builder.StartVector(1, len(raw), 16)
        for byte in reversed(raw):
            builder.PrependByte(byte)
        return builder.EndVector()

    return write


def quantization(tensor: Tensor) -> Serializer:
    """The table of scales and zero points."""
    fields: dict[str, Any] = {"QuantizedDimension": tensor.axis}
    if len(tensor.scale):
        fields["Scale"] = np.asarray(tensor.scale, np.float32)
    if len(tensor.zero_point):
        fields["ZeroPoint"] = np.asarray(tensor.zero_point, np.int64)
    return lazily("QuantizationParameters", **fields)


def model_bytes(
    tensors: dict[str, Tensor],
    ops: Sequence[Op],
    *,
    inputs: Sequence[str] = ("x",),
    outputs: Sequence[str] = ("y",),
    version: int = 3,
    subgraphs: int = 1,
) -> bytes:
    """A TFLite file; tensors that are not listed are computed float tensors."""
    tensors = dict(tensors)
    for op in ops:
        for name in (*op.inputs, *op.outputs):
            tensors.setdefault(name, Tensor())
    tensors.pop("", None)
    names = list(tensors)
    buffers = [lazily("Buffer")]
    parts = []
    for name, tensor in tensors.items():
        fields: dict[str, Any] = {"Type": TYPES[tensor.dtype], "Name": name}
        fields["Shape"] = np.asarray(tensor.shape, np.int32)
        fields["Quantization"] = quantization(tensor)
        if tensor.signature is not None:
            fields["ShapeSignature"] = np.asarray(tensor.signature, np.int32)
        if tensor.data is not None:
            fields["Buffer"] = len(buffers)
            buffers.append(lazily("Buffer", Data=aligned(tensor.data)))
        parts.append(lazily("Tensor", **fields))

    def indices(of: Sequence[str]) -> NDArray[np.int32]:
        return np.array([names.index(name) if name else -1 for name in of], np.int32)

    operators, codes = [], []
    for place, op in enumerate(ops):
        fields = {"OpcodeIndex": place, "Inputs": indices(op.inputs)}
        fields["Outputs"] = indices(op.outputs)
        if op.kind:
            fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, op.kind)
            fields["BuiltinOptions"] = lazily(op.kind, **op.options)
        operators.append(lazily("Operator", **fields))
        code = OPCODES.get(op.op, OPCODES["CUSTOM"])
        fields = {"DeprecatedBuiltinCode": min(code, 127), "BuiltinCode": code, "Version": 1}
        if op.op not in OPCODES:
            fields["CustomCode"] = op.op
        codes.append(lazily("OperatorCode", **fields))
    graph = lazily(
        "SubGraph",
        Tensors=parts,
        Inputs=indices(inputs),
        Outputs=indices(outputs),
        Operators=operators,
    )
    builder = flatbuffers.Builder()
    root = table(
        builder,
        "Model",
        Version=version,
        Subgraphs=[graph] * subgraphs,
        OperatorCodes=codes,
        Buffers=buffers,
        Description="written by a test",
    )
    builder.Finish(root, b"TFL3")
    return bytes(builder.Output())


TfliteWriter = Callable[..., Path]


@pytest.fixture
def write_tflite(tmp_path: Path) -> TfliteWriter:
    """A function that writes a model like :func:`model_bytes` and returns its path."""

    def write(tensors: dict[str, Tensor], ops: Sequence[Op], **changes: Any) -> Path:
        path = tmp_path / "model.tflite"
        path.write_bytes(model_bytes(tensors, ops, **changes))
        return path

    return write


# Running


def interpreter(path: Path) -> Any:
    """LiteRT's interpreter with its reference kernels, which keeps all tensors."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    result = litert.Interpreter(
        str(path),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    result.allocate_tensors()
    return result


def in_real_units(array: NDArray, details: dict[str, Any]) -> NDArray:
    """What the stored numbers of a tensor stand for."""
    scale, zero_point = details["quantization"]
    return (array.astype(np.float64) - zero_point) * scale if scale else array


def litert_tensors(path: Path, samples: NDArray, names: Sequence[str]) -> dict[str, NDArray]:
    """LiteRT's tensors of the given names, in real units; ``samples`` are as they are stored."""
    runtime = interpreter(path)
    source = runtime.get_input_details()[0]
    wanted = {
        name: [d for d in runtime.get_tensor_details() if d["name"].split(";")[0] == name][-1]
        for name in names
    }
    collected: dict[str, list[NDArray]] = {name: [] for name in names}
    for sample in samples:
        runtime.set_tensor(source["index"], sample.reshape(source["shape"]))
        runtime.invoke()
        for name, details in wanted.items():
            collected[name].append(in_real_units(runtime.get_tensor(details["index"]), details))
    return {name: np.concatenate(rows) for name, rows in collected.items()}


def outputs(graph: Graph, x: NDArray) -> NDArray:
    """The network's output in the source model's layout."""
    samples = graph.input_layout.to_nhwc(x, graph.shapes[graph.input])
    return graph.output_layout.from_nhwc(float_executor.run(graph, samples))


def assert_close(actual: NDArray, expected: NDArray, tolerance: float) -> None:
    """Equal within ``tolerance`` of the largest magnitude."""
    expected = expected.reshape(actual.shape)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * abs(expected).max())


def rounded(x: NDArray, grid: Grid) -> NDArray[np.float32]:
    """``x`` on the grid."""
    stored = np.clip(np.rint(x / grid.scale) + grid.zero_point, grid.lo, grid.hi)
    return ((stored - grid.zero_point) * grid.scale).astype(np.float32)


def kinds(graph: Graph) -> list[type]:
    """The kinds of the graph's nodes in order."""
    return [type(node) for node in graph.nodes]


# Reference networks

KWS, AD = "data/kws/kws_dev.npz", "data/mlperf_tiny_golden/ad6.npz"
VWW, IC = "data/mlperf_tiny_golden/vww4.npz", "data/mlperf_tiny_golden/imgc10.npz"
FLOATS = {
    "mlperf_tiny/pretrainedResnet.tflite": (IC, lambda x: x[:4] + np.float32(128)),
    "mlperf_tiny/vww_96_float.tflite": (VWW, lambda x: (x[:2] + np.float32(128)) / 255),
    "mlperf_tiny/ad01_fp32.tflite": (
        AD,
        lambda x: (x[:, :5].reshape(6, 640) - np.float32(89)) * np.float32(0.39101523),
    ),
}
QUANTIZED = {
    "mlperf_tiny/kws_ref_model.tflite": ("data/mlperf_tiny_golden/kws12.npz", 12),
    "mlperf_tiny/pretrainedResnet_quant.tflite": (IC, 4),
    "mlperf_tiny/vww_96_int8.tflite": (VWW, 2),
    "mlperf_tiny/ad01_int8.tflite": (AD, 6),
    "tflite_micro/hello_world_int8.tflite": (None, 6),
    "tflite_micro/micro_speech_quantized.tflite": (None, 4),
}


@pytest.mark.parametrize("name", FLOATS)
def test_float_networks_agree_with_litert(name: str, shared: Path) -> None:
    path, (data, prepare) = shared / "models" / name, FLOATS[name]
    x = prepare(np.load(shared / data)["x"]).astype(np.float32)
    graph = load(path)
    expected = litert_tensors(path, x, [graph.output])[graph.output]
    assert_close(outputs(graph, x), expected, 1e-5)
    assert_close(outputs(simplify(graph), x), expected, 1e-5)


def test_hello_world_agrees_with_litert(shared: Path) -> None:
    path = shared / "models/tflite_micro/hello_world_float.tflite"
    x = np.linspace(0, 6, 20, dtype=np.float32)[:, None]
    graph = load(path)
    assert_close(outputs(graph, x), litert_tensors(path, x, [graph.output])[graph.output], 1e-5)


def test_hybrid_weights_are_the_numbers_that_they_stand_for(shared: Path) -> None:
    """LiteRT rounds this model's activations too, so that its results are close only."""
    graph = load(shared / "models/mlperf_tiny/kws_ref_model_float32.tflite")
    data = np.load(shared / KWS)
    logits = outputs(graph, data["x"][:100])
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    expected = data["float_out"][:100]
    assert (probabilities.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.97
    assert abs(probabilities - expected).mean() < 0.005
    first = graph.nodes[0]
    assert isinstance(first, Conv)
    steps = first.weights / np.diff(np.unique(first.weights)).min()
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert abs(steps).max() == pytest.approx(127, rel=1e-4)


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized_networks_agree_with_litert_layer_by_layer(name: str, shared: Path) -> None:
    """Each layer, on the inputs that LiteRT gives it, makes LiteRT's numbers."""
    path, (data, count) = shared / "models" / name, QUANTIZED[name]
    graph = load(path)
    shape = graph.input_layout.shape
    if data is None:
        x = np.random.default_rng(3).integers(-128, 128, (count, *shape)).astype(np.int8)
    else:
        stored = np.load(shared / data)["x"]
        x = stored[:count] if stored[0].shape == shape else stored[:count, :5].reshape(count, -1)
    reference = litert_tensors(path, x, list(graph.grids))
    values = {
        value: array.reshape(count, *graph.shapes[value]).astype(np.float32)
        for value, array in reference.items()
    }
    checked = 0
    for node in graph.nodes:
        result = float_executor.execute(node, *(values[source] for source in node.inputs))
        result = result.reshape(count, *graph.shapes[node.output])
        if node.output in graph.grids:
            grid = graph.grids[node.output]
            steps = abs(rounded(result, grid) - values[node.output]) / grid.scale
            assert steps.max() < 1.01, node.name
            assert (steps > 0.5).mean() < 0.02, node.name
            checked += 1
        else:
            values[node.output] = result
    assert checked == sum(not isinstance(node, Clip) for node in graph.nodes) - sum(
        "_as_" in node.name for node in graph.nodes
    )


def test_quantized_networks_are_close_to_the_float_ones(shared: Path) -> None:
    models = shared / "models/mlperf_tiny"
    x = np.load(shared / IC)["x"] + np.float32(128)
    expected = outputs(load(models / "pretrainedResnet.tflite"), x)
    actual = outputs(load(models / "pretrainedResnet_quant.tflite"), x)
    noise = ((actual - expected) ** 2).mean() / (expected**2).mean()
    assert 10 * np.log10(1 / noise) > 25


def test_structure_of_the_reference_networks(shared: Path) -> None:
    models = shared / "models/mlperf_tiny"
    resnet = load(models / "pretrainedResnet_quant.tflite")
    assert kinds(resnet).count(Add) == 3
    assert kinds(resnet).count(Conv) == 10
    assert resnet.macs == 12_501_632
    assert resnet.dropped == ("SOFTMAX",)
    assert resnet.grids[resnet.input] == Grid(scale=1.0, zero_point=-128, lo=-128, hi=127)
    assert resnet.input_layout.shape == (32, 32, 3)
    assert resnet.output_layout.shape == (10,)
    assert resnet.source["format"] == "TFLite"

    vww = load(models / "vww_96_float.tflite")
    depthwise = [node for node in vww.nodes if isinstance(node, Conv) and node.groups > 1]
    assert [node.groups for node in depthwise][:3] == [8, 16, 32]
    assert depthwise[1].padding == (0, 0, 1, 1)
    assert vww.macs == 7_489_664
    assert not vww.grids


# Every op

X = {"x": Tensor((1, 6, 5, 4))}
VECTOR = {"x": Tensor((1, 12))}
CONV = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1, "Padding": VALID}


def conv(source: str = "x", target: str = "y", weights: str = "w", **options: Any) -> Op:
    """A convolution with the bias ``b``."""
    return Op("CONV_2D", [source, weights, "b"], [target], "Conv2DOptions", {**CONV, **options})


def depthwise(source: str = "x", target: str = "y", **options: Any) -> Op:
    """A depthwise convolution with the weights ``d`` and the bias ``e``."""
    kind = "DepthwiseConv2DOptions"
    return Op("DEPTHWISE_CONV_2D", [source, "d", "e"], [target], kind, {**CONV, **options})


def dense(source: str = "x", target: str = "y", **options: Any) -> Op:
    """A dense layer with the weights ``f`` and the bias ``b``."""
    return Op("FULLY_CONNECTED", [source, "f", "b"], [target], "FullyConnectedOptions", options)


def pool(op: str, source: str = "x", target: str = "y", **options: Any) -> Op:
    """A pooling layer."""
    defaults = {"FilterHeight": 3, "FilterWidth": 2, "StrideH": 2, "StrideW": 1, "Padding": VALID}
    return Op(op, [source], [target], "Pool2DOptions", {**defaults, **options})


def binary(op: str, first: str, second: str, target: str = "y", **options: Any) -> Op:
    """An elementwise op of two tensors."""
    return Op(op, [first, second], [target], f"{op.capitalize()}Options", options)


def mean(source: str = "x", target: str = "y", *, keep: bool = False) -> Op:
    """A mean over the axes ``a``."""
    return Op("MEAN", [source, "a"], [target], "ReducerOptions", {"KeepDims": keep})


def reshape(source: str, target: str, shape: str) -> Op:
    """A reshape to a constant shape."""
    return Op("RESHAPE", [source, shape], [target], "ReshapeOptions")


def ints(*values: Any) -> Tensor:
    """A constant of integers."""
    return constant(values, "int32")


WB = {"w": random(3, 3, 3, 4), "b": random(3)}
CASES: dict[str, tuple[dict[str, Tensor], list[Op]]] = {
    "conv": ({**X, **WB}, [conv()]),
    "conv_same": ({**X, **WB}, [conv(Padding=SAME)]),
    "conv_same_stride": ({**X, **WB}, [conv(Padding=SAME, StrideH=2, StrideW=3)]),
    "conv_same_even": (
        {**X, "w": random(3, 4, 2, 4), "b": random(3)},
        [conv(Padding=SAME, StrideH=2, StrideW=1)],
    ),
    "conv_same_gaps": (
        {**X, "w": random(3, 1, 1, 4), "b": random(3)},
        [conv(Padding=SAME, StrideH=4, StrideW=3)],
    ),
    "conv_dilation": ({**X, **WB}, [conv(DilationHFactor=2, DilationWFactor=2)]),
    "conv_dilation_same": ({**X, **WB}, [conv(DilationHFactor=2, Padding=SAME)]),
    "conv_relu": ({**X, **WB}, [conv(FusedActivationFunction=1)]),
    "conv_relu_n1": ({**X, **WB}, [conv(FusedActivationFunction=2)]),
    "conv_relu6": ({**X, **WB}, [conv(FusedActivationFunction=3)]),
    "conv_half": (
        {**X, "h": constant(random(3, 3, 3, 4).data, "float16"), "b": random(3)},
        [Op("DEQUANTIZE", ["h"], ["w"], "DequantizeOptions"), conv()],
    ),
    "depthwise": ({**X, "d": random(1, 3, 3, 4), "e": random(4)}, [depthwise(DepthMultiplier=1)]),
    "depthwise_same": (
        {**X, "d": random(1, 3, 3, 4), "e": random(4)},
        [depthwise(DepthMultiplier=1, StrideH=2, StrideW=2, Padding=SAME)],
    ),
    "depthwise_multiplier": (
        {**X, "d": random(1, 3, 2, 12), "e": random(12)},
        [depthwise(DepthMultiplier=3)],
    ),
    "depthwise_one_channel": (
        {"x": Tensor((1, 6, 5, 1)), "d": random(1, 3, 2, 5), "e": random(5)},
        [depthwise(DepthMultiplier=5)],
    ),
    "dense": ({**VECTOR, "f": random(3, 12), "b": random(3)}, [dense()]),
    "dense_relu": (
        {**VECTOR, "f": random(3, 12), "b": random(3)},
        [dense(FusedActivationFunction=RELU)],
    ),
    "dense_of_a_map": ({**X, "f": random(3, 120), "b": random(3)}, [dense()]),
    "dense_keeps_dims": (
        {"x": Tensor((1, 5, 4)), "f": random(3, 4), "b": random(3)},
        [dense(KeepNumDims=True)],
    ),
    "max_pool": (X, [pool("MAX_POOL_2D")]),
    "max_pool_same": (X, [pool("MAX_POOL_2D", Padding=SAME, FusedActivationFunction=RELU)]),
    "average_pool": (X, [pool("AVERAGE_POOL_2D")]),
    "average_pool_same": (X, [pool("AVERAGE_POOL_2D", Padding=SAME)]),
    "logistic_inside": ({**X, **WB}, [Op("LOGISTIC", ["x"], ["s"]), conv("s")]),
    "swish": ({**X, **WB}, [Op("LOGISTIC", ["x"], ["s"]), binary("MUL", "s", "x", "m"), conv("m")]),
    "tanh": (X, [Op("TANH", ["x"], ["y"])]),
    "exp": (X, [Op("EXP", ["x"], ["y"], "ExpOptions")]),
    "abs": (X, [Op("ABS", ["x"], ["y"], "AbsOptions")]),
    "hard_swish": (X, [Op("HARD_SWISH", ["x"], ["y"], "HardSwishOptions")]),
    "leaky_relu": (X, [Op("LEAKY_RELU", ["x"], ["y"], "LeakyReluOptions", {"Alpha": 0.125})]),
    "gelu": (X, [Op("GELU", ["x"], ["y"], "GeluOptions", {"Approximate": False})]),
    "gelu_tanh": (X, [Op("GELU", ["x"], ["y"], "GeluOptions", {"Approximate": True})]),
    "mean": ({**X, "a": ints(1, 2)}, [mean()]),
    "mean_keeps_dims": ({**X, "a": ints(-2, -3)}, [mean(keep=True)]),
    "mean_of_rows": ({**X, "a": ints(1)}, [mean()]),
    "residual": (
        {**X, "w": random(4, 3, 3, 4), "b": random(4), "d": random(1, 3, 3, 4), "e": random(4)},
        [
            conv("x", "c", Padding=SAME),
            binary("ADD", "c", "x", "s", FusedActivationFunction=RELU),
            depthwise("s", "d1", Padding=SAME),
            binary("ADD", "s", "d1", "y"),
        ],
    ),
    "residual_of_reshaped": (
        {**X, "p": ints(1, 2, 15, 4), "q": ints(1, 6, 5, 4)},
        [
            Op("RELU", ["x"], ["r"]),
            reshape("r", "r1", "p"),
            reshape("x", "x1", "p"),
            binary("ADD", "r1", "x1", "s"),
            reshape("s", "y", "q"),
        ],
    ),
    "add_constant": ({**X, "c": random(4)}, [binary("ADD", "x", "c")]),
    "add_constant_first": (
        {**X, "c": random(1, 1, 1, 4)},
        [binary("ADD", "c", "x", FusedActivationFunction=RELU)],
    ),
    "add_scalar": ({**X, "c": constant(0.5)}, [binary("ADD", "x", "c")]),
    "sub_constant": ({**X, "c": random(4)}, [binary("SUB", "x", "c")]),
    "sub_from_constant": ({**X, "c": random(4)}, [binary("SUB", "c", "x")]),
    "mul_constant": ({**X, "c": random(4)}, [binary("MUL", "x", "c")]),
    "mul_pixels_before_dense": (
        {**X, "c": random(1, 6, 5, 4), "f": random(3, 120), "b": random(3)},
        [binary("MUL", "x", "c", "m"), dense("m")],
    ),
    "div_constant": ({**X, "c": constant([0.5, -2, 3, 4])}, [binary("DIV", "x", "c")]),
    "relu": (X, [Op("RELU", ["x"], ["y"])]),
    "relu6": (X, [Op("RELU6", ["x"], ["y"])]),
    "relu_n1_to_1": (X, [Op("RELU_N1_TO_1", ["x"], ["y"])]),
    "pad_before_conv": (
        {**X, **WB, "p": ints([0, 0], [1, 2], [0, 3], [0, 0])},
        [Op("PAD", ["x", "p"], ["a"], "PadOptions"), conv("a", Padding=SAME, StrideH=2)],
    ),
    "pad_before_depthwise": (
        {**X, "d": random(1, 3, 3, 4), "e": random(4), "p": ints([0, 0], [0, 1], [0, 1], [0, 0])},
        [Op("PAD", ["x", "p"], ["a"], "PadOptions"), depthwise("a", StrideH=2, StrideW=2)],
    ),
    "pad_before_mean": (
        {**X, "p": ints([0, 0], [1, 1], [1, 1], [0, 0])},
        [Op("PAD", ["x", "p"], ["a"], "PadOptions"), pool("AVERAGE_POOL_2D", "a")],
    ),
    "pad_before_maximum": (
        {**X, "p": ints([0, 0], [1, 1], [1, 1], [0, 0]), "v": constant(0.0)},
        [
            Op("RELU", ["x"], ["r"]),
            Op("PADV2", ["r", "p", "v"], ["a"], "PadV2Options"),
            pool("MAX_POOL_2D", "a"),
        ],
    ),
    "reshape_flatten": (
        {**X, "p": ints(-1, 120), "f": random(3, 120), "b": random(3)},
        [reshape("x", "r", "p"), dense("r")],
    ),
    "reshape_attribute": (
        VECTOR,
        [
            Op("RELU", ["x"], ["r"]),
            Op(
                "RESHAPE",
                ["r"],
                ["y"],
                "ReshapeOptions",
                {"NewShape": np.array([1, 3, 4], np.int32)},
            ),
        ],
    ),
    "reshape_to_image": (
        {**VECTOR, "p": ints(1, 3, 4, 1), "w": random(2, 2, 2, 1), "b": random(2)},
        [reshape("x", "r", "p"), conv("r")],
    ),
    "reshape_of_a_computed_shape": (
        {
            **X,
            "zero": ints(0),
            "one": ints(1),
            "rest": constant(16, "int32"),
            "s": Tensor((), "int32"),
            "n": Tensor((), "int32"),
            "p": Tensor((), "int32"),
            "f": random(3, 16),
            "b": random(3),
        },
        [
            pool("MAX_POOL_2D", "x", "m", StrideH=3, StrideW=2),
            Op("SHAPE", ["m"], ["s"], "ShapeOptions", {"OutType": tflite.TensorType.INT32}),
            Op(
                "STRIDED_SLICE",
                ["s", "zero", "one", "one"],
                ["n"],
                "StridedSliceOptions",
                {"ShrinkAxisMask": 1},
            ),
            Op("PACK", ["n", "rest"], ["p"], "PackOptions", {"ValuesCount": 2, "Axis": 0}),
            reshape("m", "r", "p"),
            dense("r"),
        ],
    ),
    "squeeze": (
        {**X, "a": ints(1, 2), "f": random(3, 4), "b": random(3)},
        [
            mean("x", "m", keep=True),
            Op(
                "SQUEEZE",
                ["m"],
                ["s"],
                "SqueezeOptions",
                {"SqueezeDims": np.array([1, -2], np.int32)},
            ),
            dense("s"),
        ],
    ),
    "squeeze_and_expand": (
        {"x": Tensor((1, 6, 5)), "e": ints(-1), "w": random(2, 2, 2, 1), "b": random(2)},
        [Op("EXPAND_DIMS", ["x", "e"], ["i"], "ExpandDimsOptions"), conv("i")],
    ),
    "small_cnn": (
        {
            **X,
            **WB,
            "mean": random(4),
            "p": ints([0, 0], [1, 1], [1, 1], [0, 0]),
            "gamma": random(3),
            "d": random(1, 2, 2, 6),
            "e": random(6),
            "f": random(5, 54),
        },
        [
            binary("SUB", "x", "mean", "n"),
            Op("PAD", ["n", "p"], ["a"], "PadOptions"),
            conv("a", "c"),
            binary("MUL", "c", "gamma", "g"),
            binary("ADD", "g", "b", "h", FusedActivationFunction=RELU),
            depthwise("h", "i", DepthMultiplier=2, StrideH=2, StrideW=2, Padding=SAME),
            Op("FULLY_CONNECTED", ["i", "f", ""], ["y"], "FullyConnectedOptions"),
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_op_agrees_with_litert(name: str, write_tflite: TfliteWriter) -> None:
    path = write_tflite(*CASES[name])
    shape = CASES[name][0]["x"].shape
    x = np.random.default_rng(2).normal(size=(3, *shape[1:])).astype(np.float32)
    graph = load(path)
    expected = litert_tensors(path, x, ["y"])["y"]
    actual = outputs(graph, x)
    assert actual.shape == expected.shape
    assert_close(actual, expected, 1e-5)
    assert_close(outputs(simplify(graph), x), expected, 1e-5)


def test_elu(write_tflite: TfliteWriter) -> None:
    """LiteRT's package has no kernel for it."""
    graph = load(write_tflite(X, [Op("ELU", ["x"], ["y"])]))
    x = np.random.default_rng(2).normal(size=(3, 6, 5, 4)).astype(np.float32)
    assert_close(outputs(graph, x), np.where(x > 0, x, np.expm1(x)), 1e-6)


def test_grouped_convolution(write_tflite: TfliteWriter) -> None:
    layer = load(write_tflite({**X, "w": random(6, 3, 3, 2), "b": random(6)}, [conv()])).nodes[0]
    assert isinstance(layer, Conv)
    assert (layer.groups, layer.weights.shape) == (2, (6, 3, 3, 2))


def test_a_sum_of_two_maps_is_no_affine_node(write_tflite: TfliteWriter) -> None:
    assert kinds(load(write_tflite(*CASES["residual"]))) == [Conv, Add, Clip, Conv, Add]
    assert kinds(load(write_tflite(*CASES["add_constant"]))) == [Affine]


def test_border_of_an_average_does_not_count(write_tflite: TfliteWriter) -> None:
    for name, counts in (("average_pool_same", False), ("pad_before_mean", True)):
        layer = load(write_tflite(*CASES[name])).nodes[0]
        assert isinstance(layer, AveragePool)
        assert layer.count_include_pad == counts


@pytest.mark.parametrize("batch", [1, 4])
def test_batch_may_be_open_or_fixed(batch: int, write_tflite: TfliteWriter) -> None:
    signature = [-1, 6, 5, 4] if batch == 1 else None
    tensors = {"x": Tensor((batch, 6, 5, 4), signature=signature), **WB}
    tensors |= {"p": ints(batch, 36), "f": random(2, 36)}
    ops = [conv("x", "c"), reshape("c", "r", "p"), dense("r"), dense("r", "y2")]
    ops[2] = Op("FULLY_CONNECTED", ["r", "f"], ["y"], "FullyConnectedOptions")
    graph = load(write_tflite(tensors, ops[:3]))
    assert graph.input_layout.shape == (6, 5, 4)
    assert graph.output_layout.shape == (2,)


@pytest.mark.parametrize("tail", ["SOFTMAX", "LOGISTIC", "LOG_SOFTMAX"])
def test_ops_for_the_host_are_dropped_and_recorded(tail: str, write_tflite: TfliteWriter) -> None:
    options = {"SOFTMAX": "SoftmaxOptions", "LOG_SOFTMAX": "LogSoftmaxOptions"}
    ops = [dense("x", "a"), Op(tail, ["a"], ["y"], options.get(tail, ""))]
    graph = load(write_tflite({**VECTOR, "f": random(3, 12), "b": random(3)}, ops))
    assert graph.dropped == (tail,)
    assert graph.output == "a"


def test_names_are_unique_short_and_never_empty(write_tflite: TfliteWriter) -> None:
    tensors = {**X, "w;of a layer": random(4, 1, 1, 4), "b": random(4)}
    ops = [
        conv("x", "w;first", "w;of a layer"),
        conv("w;first", "", "w;of a layer"),
    ]
    ops[1].outputs = [";"]
    graph = load(write_tflite(tensors, ops, outputs=(";",)))
    assert [node.name for node in graph.nodes] == ["w", "tensor_4"]


# Quantized models

STEP = {"scale": [0.5], "zero_point": [3]}


def quantized_model() -> tuple[dict[str, Tensor], list[Op]]:
    """A float input that is quantized, two layers, and a float output."""
    tensors = {
        **X,
        "q": Tensor((1, 6, 5, 4), "int8", **STEP),
        "w": quantized(3, 3, 3, 4, scale=[0.01, 0.02, 0.005]),
        "b": constant([300, -200, 90], "int32", scale=[0.005, 0.01, 0.0025], zero_point=[0] * 3),
        "c": Tensor((), "int8", scale=[0.25], zero_point=[-128]),
        "d": quantized(1, 2, 2, 3, scale=[0.01, 0.02, 0.03], axis=3),
        "e": constant([10, 20, 30], "int32", scale=[0.0025, 0.005, 0.0075], zero_point=[0] * 3),
        "g": Tensor((), "int8", scale=[0.125], zero_point=[5]),
    }
    ops = [
        Op("QUANTIZE", ["x"], ["q"], "QuantizeOptions"),
        conv("q", "c", FusedActivationFunction=RELU),
        depthwise("c", "g", DepthMultiplier=1),
        Op("DEQUANTIZE", ["g"], ["y"], "DequantizeOptions"),
    ]
    return tensors, ops


def test_quantized_weights_biases_and_grids(write_tflite: TfliteWriter) -> None:
    tensors, ops = quantized_model()
    graph = load(write_tflite(tensors, ops))
    assert kinds(graph) == [Conv, Clip, Conv]
    first, clip, second = graph.nodes
    assert isinstance(first, Conv) and isinstance(clip, Clip) and isinstance(second, Conv)
    scale = np.float32([0.01, 0.02, 0.005]).astype(np.float64)
    stored = tensors["w"].data
    assert stored is not None
    np.testing.assert_allclose(first.weights, stored * scale[:, None, None, None], rtol=1e-6)
    np.testing.assert_allclose(first.bias, [1.5, -2.0, 0.225], rtol=1e-6)
    stored = tensors["d"].data
    assert stored is not None
    scale = np.float32([0.01, 0.02, 0.03]).astype(np.float64)
    np.testing.assert_allclose(
        second.weights[..., 0], (stored[0] * scale).transpose(2, 0, 1), rtol=1e-6
    )
    assert (clip.lo, clip.hi) == (0, np.inf)
    assert graph.grids == {
        "x": Grid(scale=0.5, zero_point=3, lo=-128, hi=127),
        "c": Grid(scale=0.25, zero_point=-128, lo=-128, hi=127),
        "g": Grid(scale=0.125, zero_point=5, lo=-128, hi=127),
    }


def test_asymmetric_weights(write_tflite: TfliteWriter) -> None:
    weights = constant([[0, 128, 255]], "uint8", scale=[0.5], zero_point=[128])
    ops = [Op("FULLY_CONNECTED", ["x", "f"], ["y"], "FullyConnectedOptions")]
    layer = load(write_tflite({"x": Tensor((1, 3)), "f": weights}, ops)).nodes[0]
    assert isinstance(layer, Conv)
    assert layer.weights.ravel().tolist() == [-64, 0, 63.5]


def test_values_rounded_twice_have_the_first_grid(write_tflite: TfliteWriter) -> None:
    tensors, ops = quantized_model()
    tensors["r"] = Tensor((), "int8", scale=[2.0], zero_point=[0])
    ops[1:1] = [Op("QUANTIZE", ["q"], ["r"], "QuantizeOptions")]
    ops[2].inputs[0] = "r"
    assert load(write_tflite(tensors, ops)).grids["x"].scale == 0.5


# Models that are not supported

P0 = {"p": ints([0, 0], [1, 1], [1, 1], [0, 0])}
PAD = Op("PAD", ["x", "p"], ["a"], "PadOptions")
UNSUPPORTED: dict[str, tuple[dict[str, Tensor], list[Op], str]] = {
    "unknown_op": (
        X,
        [Op("FLOOR", ["x"], ["y"])],
        r"node 'y' \(FLOOR\) is not supported; supported ops are ABS, ADD, ARG_MAX, AVERAGE_POOL",
    ),
    "custom_op": (X, [Op("Magic", ["x"], ["y"])], r"node 'y' \(custom op Magic\) is not supported"),
    "softmax_inside": (
        VECTOR,
        [Op("SOFTMAX", ["x"], ["s"], "SoftmaxOptions"), Op("RELU", ["s"], ["y"])],
        r"node 's' \(SOFTMAX\) is supported only at the end of the network",
    ),
    "activation": (
        {**X, **WB},
        [conv(FusedActivationFunction=4)],
        r"has the fused activation TANH; supported are NONE, RELU, RELU_N1_TO_1, RELU6",
    ),
    "conv_channels": (
        {**X, "w": random(3, 3, 3, 3), "b": random(3)},
        [conv()],
        r"has weights of shape \[3, 3, 3, 3\], but its input has 4 channels",
    ),
    "conv_rank": (
        {**X, "w": random(3, 4), "b": random(3)},
        [conv()],
        r"has weights of shape \[3, 4\]; they must have four dimensions",
    ),
    "conv_input_rank": (
        {"x": Tensor((1, 5, 4)), **WB},
        [conv()],
        r"reads a tensor of shape \[1, 5, 4\]; only feature maps of four dimensions",
    ),
    "conv_window": (
        {**X, "w": random(3, 7, 3, 4), "b": random(3)},
        [conv()],
        "has a window of 7 elements along axis 1, larger than its padded input of 6",
    ),
    "conv_stride": ({**X, **WB}, [conv(StrideW=0)], r"has strides \[1, 0\]; both must be positive"),
    "conv_padding": ({**X, **WB}, [conv(Padding=2)], "has the padding 2; supported are SAME and"),
    "conv_bias": ({**X, **WB, "b": random(4)}, [conv()], r"has a bias of shape \[4\], not \[3\]"),
    "depthwise_channels": (
        {**X, "d": random(1, 3, 3, 6), "e": random(6)},
        [depthwise()],
        r"has weights of shape \[1, 3, 3, 6\], but its input has 4 channels; depthwise weights are",
    ),
    "computed_weights": (
        VECTOR,
        [
            Op("RELU", ["x"], ["f"]),
            Op("FULLY_CONNECTED", ["x", "f"], ["y"], "FullyConnectedOptions"),
        ],
        "needs a constant as its weights, but 'f' is computed",
    ),
    "no_weights": (
        VECTOR,
        [Op("FULLY_CONNECTED", ["x"], ["y"], "FullyConnectedOptions")],
        "lacks its weights",
    ),
    "wrong_options": (
        {**X, **WB},
        [Op("CONV_2D", ["x", "w", "b"], ["y"], "Pool2DOptions")],
        r"node 'y' \(CONV_2D\) lacks its Conv2DOptions: the file is damaged",
    ),
    "dense_features": (
        {**VECTOR, "f": random(3, 5), "b": random(3)},
        [dense()],
        r"has weights for 5 features, which do not divide its input of shape \[1, 12\]",
    ),
    "dense_shuffled": (
        {**VECTOR, "f": random(3, 12), "b": random(3)},
        [dense(WeightsFormat=1)],
        "has shuffled weights",
    ),
    "add_shapes": (
        {**X, "a": ints(1, 2)},
        [mean("x", "m", keep=True), binary("ADD", "x", "m")],
        r"adds tensors of the shapes \[1, 6, 5, 4\] and \[1, 1, 1, 4\]; two feature maps must",
    ),
    "multiplied_maps": (
        X,
        [
            pool("MAX_POOL_2D", "x", "m", Padding=SAME, StrideH=1, StrideW=1),
            binary("MUL", "m", "x"),
        ],
        r"node 'y' \(MUL\) multiplies two feature maps; one of them must be a constant",
    ),
    "constant_does_not_fit": (
        {**X, "c": random(3)},
        [binary("ADD", "x", "c")],
        r"has a constant of shape \[3\], which does not fit 'x' of shape \[1, 6, 5, 4\]",
    ),
    "constant_enlarges": (
        {"x": Tensor((1, 1, 1, 4)), "c": random(1, 2, 1, 4)},
        [binary("ADD", "x", "c")],
        r"has a constant of shape \[1, 2, 1, 4\], which does not fit 'x'",
    ),
    "constant_of_a_batch": (
        {"x": Tensor((2, 3)), "c": random(2, 3)},
        [binary("ADD", "x", "c")],
        "has a constant that varies along the batch",
    ),
    "divided_constant": (
        {**X, "c": random(4)},
        [binary("DIV", "c", "x")],
        "divides a constant by a feature map",
    ),
    "float_axes": (
        {**X, "a": constant([1.0, 2.0])},
        [mean()],
        "has float32 numbers as its axes; they must be integers",
    ),
    "mean_axes": (
        {**X, "a": ints(3)},
        [mean()],
        r"has the axes \[3\]; a mean is supported over the axes of height and width, 1 and 2",
    ),
    "pad_then_relu": (
        {**X, **P0},
        [PAD, Op("RELU", ["a"], ["y"])],
        "reads 'x' after a PAD; padding is supported only right before a convolution or pooling",
    ),
    "pad_at_the_end": (
        {**X, **P0},
        [Op("RELU", ["x"], ["r"]), Op("PAD", ["r", "p"], ["y"], "PadOptions")],
        "the output 'y' is that of a PAD; leave it to the host",
    ),
    "pad_channels": (
        {**X, **WB, "p": ints([0, 0], [1, 1], [1, 1], [0, 1])},
        [PAD, conv("a")],
        "only height and width, the axes 1 and 2 of four, can be padded",
    ),
    "pad_crops": (
        {**X, **WB, "p": ints([0, 0], [1, -1], [1, 1], [0, 0])},
        [PAD, conv("a")],
        "two numbers of 0 or more are needed for each axis",
    ),
    "pad_value": (
        {**X, **WB, **P0, "v": constant(1.0)},
        [Op("PADV2", ["x", "p", "v"], ["a"], "PadV2Options"), conv("a")],
        "pads with another number than 0; only zeros are supported",
    ),
    "pad_then_maximum": (
        {**X, **P0},
        [PAD, pool("MAX_POOL_2D", "a")],
        "takes the maximum over a PAD, whose zeros may win over negative elements; put a RELU",
    ),
    "pad_then_small_maximum": (
        {**X, "p": ints([0, 0], [1, 1], [2, 1], [0, 0])},
        [
            Op("RELU", ["x"], ["r"]),
            Op("PAD", ["r", "p"], ["a"], "PadOptions"),
            pool("MAX_POOL_2D", "a"),
        ],
        r"takes the maximum over a border of \[1, 2, 1, 1\]; it must be smaller than its window",
    ),
    "pad_then_same_mean": (
        {**X, **P0},
        [PAD, pool("AVERAGE_POOL_2D", "a", Padding=SAME, StrideW=2)],
        "averages with SAME padding, which does not count, over the result of a PAD, which does",
    ),
    "reshape_size": (
        {**X, "p": ints(1, 7, -1)},
        [Op("RELU", ["x"], ["r"]), reshape("r", "y", "p")],
        r"cannot reshape \[1, 6, 5, 4\] to \[1, 7, -1\]",
    ),
    "reshape_batch": (
        {"x": Tensor((4, 6)), "p": ints(1, 24)},
        [Op("RELU", ["x"], ["r"]), reshape("r", "y", "p")],
        r"makes the shape \[1, 24\]; the first axis must stay the batch of 4",
    ),
    "squeeze_axis": (
        X,
        [
            Op("RELU", ["x"], ["r"]),
            Op("SQUEEZE", ["r"], ["y"], "SqueezeOptions", {"SqueezeDims": np.array([1], np.int32)}),
        ],
        r"cannot leave out the axes \[1\] of the shape \[1, 6, 5, 4\]",
    ),
    "integer_without_scale": (
        {**VECTOR, "f": constant(np.ones((3, 12)), "int8"), "b": random(3)},
        [dense()],
        "tensor 'f' of type INT8 has no scale",
    ),
    "scales_per_slice": (
        {**VECTOR, "f": quantized(3, 12, scale=[1.0, 2.0]), "b": random(3)},
        [dense()],
        r"tensor 'f' of shape \[3, 12\] has 2 scales along axis 0; that must be one for each slice",
    ),
    "type": (
        {**VECTOR, "f": Tensor((3, 12), "bool", np.ones((3, 12), np.bool_)), "b": random(3)},
        [dense()],
        "tensor 'f' is of the type BOOL; supported are FLOAT16, FLOAT32",
    ),
    "data_too_short": (
        {**VECTOR, "f": Tensor((3, 12), "float32", np.ones(35, np.float32)), "b": random(3)},
        [dense()],
        r"tensor 'f' of shape \[3, 12\] and type FLOAT32 needs 144 bytes, but the file holds 140",
    ),
    "map_with_scales": (
        {"x": Tensor((1, 3), "int8", scale=[1.0, 2.0, 3.0])},
        [Op("RELU", ["x"], ["y"])],
        r"tensor 'x' has the scales \[1.0, 2.0, 3.0\]; a feature map needs one positive scale",
    ),
    "map_with_zero_scale": (
        {"x": Tensor((1, 3), "int8", scale=[0.0])},
        [Op("RELU", ["x"], ["y"])],
        r"tensor 'x' has the scales \[0.0\]; a feature map needs one positive scale",
    ),
    "zero_point": (
        {"x": Tensor((1, 3), "int8", scale=[1.0], zero_point=[200])},
        [Op("RELU", ["x"], ["y"])],
        "tensor 'x' has the zero point 200; it must be within -128 and 127, the range of INT8",
    ),
    "nan_weights": (
        {**VECTOR, "f": constant(np.full((3, 12), np.nan)), "b": random(3)},
        [dense()],
        "node 'y': weights must be finite, but 36 of 36 are NaN or infinite",
    ),
    "huge_input": (
        {"x": Tensor((1, 1 << 20, 1 << 10, 4))},
        [Op("RELU", ["x"], ["y"])],
        r"the input 'x' has the shape .* 4194304 elements at most",
    ),
    "huge_padding": (
        {**X, **WB, "p": ints([0, 0], [1 << 30, 0], [1, 1], [0, 0])},
        [PAD, conv("a")],
        "4194304 elements at most",
    ),
    "huge_dilation": (
        {**X, **WB},
        [conv(DilationHFactor=1 << 30, Padding=SAME)],
        "pads its input; it then has the shape .* 4194304 elements at most",
    ),
    "dynamic_height": (
        {"x": Tensor((1, 1, 5, 4), signature=[-1, -1, 5, 4]), **WB},
        [conv()],
        r"the input 'x' has the dynamic axes \[0, 1\]; only the first, the batch, may be dynamic",
    ),
    "no_batch": ({"x": Tensor((5,))}, [Op("RELU", ["x"], ["y"])], "has 1 dimensions; at least two"),
    "empty_input": (
        {"x": Tensor((1, 0, 3))},
        [Op("RELU", ["x"], ["y"])],
        r"the input 'x' has the shape \[1, 0, 3\]; its dimensions must be positive",
    ),
    "no_layer": (
        {**X, "p": ints(1, 120)},
        [reshape("x", "y", "p")],
        "the model holds no layer between its input 'x' and its output 'y'",
    ),
    "constant_output": (
        {**X, "c": random(3)},
        [Op("RELU", ["x"], ["r"]), Op("DEQUANTIZE", ["c"], ["y"], "DequantizeOptions")],
        "holds no layer between its input 'x' and its output 'y'",
    ),
    "undefined_tensor": (
        X,
        [Op("RELU", ["missing"], ["y"])],
        "reads 'missing', which does not depend on the network's input",
    ),
    "no_operators": (X, [], "holds a graph without operators"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_models_are_explained(name: str, write_tflite: TfliteWriter) -> None:
    tensors, ops, text = UNSUPPORTED[name]
    path = write_tflite(tensors if ops else {**tensors, "y": Tensor()}, ops)
    with pytest.raises(ModelError, match=text) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_models_of_another_form(write_tflite: TfliteWriter) -> None:
    relu = [Op("RELU", ["x"], ["y"])]
    for changes, text in (
        ({"version": 2}, "has the schema version 2; only 3 is supported"),
        ({"subgraphs": 2}, "has 2 subgraphs; exactly one is supported"),
        ({"inputs": ["x", "u"]}, "has 2 inputs; exactly one is supported"),
        ({"outputs": []}, "has 0 outputs; exactly one is supported"),
    ):
        with pytest.raises(ModelError, match=text):
            load(write_tflite({**X, "u": Tensor((1, 2))}, relu, **changes))


# Files that are no models


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent.tflite: no such file"):
        load(tmp_path / "absent.tflite")
    with pytest.raises(ModelError, match="is a directory; a TFLite file is needed"):
        load(tmp_path)
    with pytest.raises(ModelError, match="cannot read"):
        load("impossible\0name")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is not a TFLite file, or is damaged: it does not have the identifier TFL3"),
        (b"this is a text, not a network\n" * 20, "is not a TFLite file, or is damaged"),
        (b"\x1c\0\0\0TFL3", "is truncated or damaged"),
        (b"\x1c\0\0\0TFL3" + bytes(100), "schema version 0|is truncated or damaged"),
        (b"\xff\xff\xff\xffTFL3" + bytes(range(256)), "is truncated or damaged"),
    ],
)
def test_files_that_are_not_tflite(content: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / "file.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=text):
        load(path)


def test_truncated_files(write_tflite: TfliteWriter) -> None:
    path = write_tflite(*CASES["small_cnn"])
    whole = path.read_bytes()
    for length in (*range(0, 200, 7), *range(200, len(whole) - 8, 331)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            load(path)


@settings(
    max_examples=300,
    deadline=2000,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damaged_files_give_a_graph_or_a_model_error(data: st.DataObject, tmp_path: Path) -> None:
    tensors, ops = quantized_model() if data.draw(st.booleans()) else CASES["small_cnn"]
    content = bytearray(model_bytes(tensors, ops))
    places = st.integers(0, len(content) - 1)
    values = st.sampled_from((0, 1, 2, 4, 127, 128, 255)) | st.integers(0, 255)
    for place, value in data.draw(st.lists(st.tuples(places, values), min_size=1, max_size=8)):
        content[place] = value
    start, end = sorted((data.draw(places), data.draw(places)))
    match data.draw(st.sampled_from(("keep", "keep", "truncate", "cut", "repeat"))):
        case "truncate":
            del content[end:]
        case "cut":
            del content[start : min(end, start + 16)]
        case "repeat":
            content[end:end] = content[start:end]
    path = tmp_path / "damaged.tflite"
    path.write_bytes(content)
    try:
        graph = load(path)
    except ModelError as error:
        assert "\n" not in str(error)
    else:
        graph.verify()
