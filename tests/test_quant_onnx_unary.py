"""ONNX's functions of one variable: against onnxruntime, and from the file to the hardware."""

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from shiftwork.boards.accelerator import Accelerator
from shiftwork.errors import ModelError
from shiftwork.hw.config import ArrayShape
from shiftwork.quant import float_executor
from shiftwork.quant.importer import load
from shiftwork.quant.onnx_unary import FUNCTIONS
from shiftwork.quant.quantizer import QuantizerOptions, quantize
from shiftwork.sim.evaluation import evaluate
from shiftwork.sim.executor import simulate
from shiftwork.sim.layer_errors import layer_errors
from shiftwork.sim.network_case import Case, amaranth_difference

op = helper.make_node
OPSETS = {"Gelu": 20, "HardSwish": 14, "Mish": 18}
"""The opset that an op first belongs to, if not to 13."""
ATTRIBUTES = {
    "Celu": {"alpha": 1.5},
    "Elu": {"alpha": 0.75},
    "HardSigmoid": {"alpha": 0.25, "beta": 0.4},
    "LeakyRelu": {"alpha": 0.125},
    "Selu": {"alpha": 1.5, "gamma": 1.25},
}
PRODUCTS = {
    "swish": [op("Sigmoid", ["c"], ["s"]), op("Mul", ["c", "s"], ["a"])],
    "swish, turned": [op("Sigmoid", ["c"], ["s"]), op("Mul", ["s", "c"], ["a"])],
    "hard swish": [op("HardSigmoid", ["c"], ["s"], alpha=1 / 6), op("Mul", ["c", "s"], ["a"])],
    "mish": [
        op("Softplus", ["c"], ["p"]),
        op("Tanh", ["p"], ["t"]),
        op("Mul", ["c", "t"], ["a"]),
    ],
    "gelu": [
        op("Div", ["c", "root"], ["d"]),
        op("Erf", ["d"], ["e"]),
        op("Add", ["e", "one"], ["f"]),
        op("Mul", ["c", "f"], ["g"]),
        op("Mul", ["g", "half"], ["a"]),
    ],
    "square": [op("Mul", ["c", "c"], ["a"])],
}
CONSTANTS = {
    "w": (4, 2, 3, 3),
    "b": (4,),
    "v": (3, 4, 3, 3),
    "root": np.float32(1.4142135),
    "one": np.float32(1.0),
    "half": np.float32(0.5),
}


def network(*nodes):
    """A convolution, what is given from ``c`` to ``a``, another convolution."""
    return [op("Conv", ["x", "w", "b"], ["c"], name="c"), *nodes, op("Conv", ["a", "v"], ["y"])]


def samples(count, seed=2):
    return np.random.default_rng(seed).normal(size=(count, 2, 7, 6)).astype(np.float32)


def check_floats(path):
    graph, x = load(path), samples(4)
    expected = onnxruntime.InferenceSession(path).run(None, {"x": x})[0]
    inside = graph.input_layout.to_nhwc(x, graph.shapes[graph.input])
    found = graph.output_layout.from_nhwc(float_executor.run(graph, inside))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    return graph


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_every_function_agrees_with_onnxruntime(kind, write_onnx):
    nodes = network(op(kind, ["c"], ["a"], **ATTRIBUTES.get(kind, {})))
    check_floats(write_onnx(nodes, ("N", 2, 7, 6), CONSTANTS, opset=OPSETS.get(kind, 13)))


def test_the_approximation_of_gelu(write_onnx):
    nodes = network(op("Gelu", ["c"], ["a"], approximate="tanh"))
    check_floats(write_onnx(nodes, ("N", 2, 7, 6), CONSTANTS, opset=20))


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_with_a_function_of_a_value_are_one(name, write_onnx):
    graph = check_floats(write_onnx(network(*PRODUCTS[name]), ("N", 2, 7, 6), CONSTANTS))
    program = quantize(graph, samples(40))
    assert [type(op).__name__ for op in program.ops] == ["Conv", "Conv"]
    assert len(program.tables) == 1
    assert evaluate(graph, program, samples(40, seed=3)).sqnr_db > 24


def test_a_sigmoid_at_the_end_is_left_to_the_host(write_onnx):
    nodes = [op("Conv", ["x", "w", "b"], ["c"]), op("Sigmoid", ["c"], ["y"])]
    graph = load(write_onnx(nodes, ("N", 2, 7, 6), CONSTANTS))
    assert graph.dropped == ("Sigmoid",)
    assert not quantize(graph, samples(10)).tables


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        (
            [op("Celu", ["x"], ["y"], name="act", alpha=-1.0)],
            r"node 'act' \(Celu\) has the alpha -1; it must be positive",
        ),
        (
            [op("Elu", ["x"], ["y"], name="act", alpha=float("nan"))],
            r"node 'act' \(Elu\) has the alpha nan; it must be a finite number",
        ),
        (
            [op("Gelu", ["x"], ["y"], name="act", approximate="some")],
            r"node 'act' \(Gelu\) has the approximation 'some'; supported are none and tanh",
        ),
        (
            [
                op("MaxPool", ["x"], ["p"], kernel_shape=[1, 1]),
                op("Mul", ["x", "p"], ["y"], name="m"),
            ],
            r"node 'm' \(Mul\) multiplies two feature maps; only constants can be multiplied with",
        ),
    ],
)
def test_what_is_not_supported(nodes, text, write_onnx):
    with pytest.raises(ModelError, match=text):
        load(write_onnx(nodes, ("N", 2, 7, 6), opset=20))


def mixed(write_onnx):
    """All places where a function may stand: convolution, maximum, sum, average, dense layer."""
    nodes = [
        op("Conv", ["x", "w", "b"], ["c"], name="c", pads=[1, 1, 1, 1]),
        op("Sigmoid", ["c"], ["s"]),
        op("Mul", ["c", "s"], ["silu"], name="silu"),
        op("Conv", ["silu", "u"], ["d"], name="d", group=4, pads=[1, 1, 1, 1]),
        op("Add", ["d", "silu"], ["sum"], name="sum"),
        op("Tanh", ["sum"], ["t"], name="t"),
        op("MaxPool", ["t"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        op("Softplus", ["m"], ["p"], name="p"),
        op("AveragePool", ["p"], ["q"], kernel_shape=[3, 1]),
        op("Sigmoid", ["q"], ["r"], name="r"),
        op("Flatten", ["r"], ["f"]),
        op("Gemm", ["f", "g", "h"], ["e"], name="e"),
        op("Elu", ["e"], ["l"], name="l"),
        op("Gemm", ["l", "k"], ["y"], name="last"),
    ]
    constants = CONSTANTS | {"u": (4, 1, 3, 3), "g": (12, 6), "h": (6,), "k": (6, 5)}
    return load(write_onnx(nodes, ("N", 2, 7, 6), constants))


@pytest.mark.parametrize(
    "shape",
    [ArrayShape(rows=2, columns=4, lanes=2), ArrayShape(rows=1, columns=3, single_port=True)],
    ids=["two ports", "one port"],
)
def test_a_network_from_the_file_to_the_hardware(shape, write_onnx):
    program = quantize(mixed(write_onnx), samples(60))
    assert len(program.tables) == 4
    q = program.quantize_input(samples(2, seed=9))
    assert amaranth_difference(Case(program=program, shape=shape, q=q)) is None


def test_a_network_keeps_its_accuracy(write_onnx):
    graph = mixed(write_onnx)
    x = samples(200, seed=7)
    program = quantize(graph, samples(60))
    found = evaluate(graph, program, x)
    assert found.sqnr_db > 25 and found.agreement > 90
    errors = {error.name: error for error in layer_errors(graph, program, x)}
    assert all(error.alone_db > 20 for error in errors.values() if error.alone_db is not None)
    assert errors["c"].saturated == 0 and errors["c"].worst_channel is not None


def test_the_integers_of_calibration_are_those_of_the_golden_model(write_onnx):
    """Bias correction sees what the hardware computes: a second pass changes nothing."""
    graph = mixed(write_onnx)
    first, second = (quantize(graph, samples(60)) for _ in range(2))
    assert first.digest == second.digest


def test_a_table_behind_an_average_knows_its_factor(write_onnx):
    program = quantize(mixed(write_onnx), samples(60))
    (average,) = (op for op in program.ops if type(op).__name__ == "AveragePool")
    source = program.tensor(average.input)
    step = source.scales[0] * 4 / 3 * 2.0 ** (average.shift - 2)
    assert average.table.step == pytest.approx(step)
    assert average.table.function == "sigmoid(x)"


def test_a_network_that_was_quantized_before_is_quantized_anew(write_onnx):
    """Its grids are powers of two, but those of a table are the quantizer's choice."""

    def rounded(source, target):
        quantized = f"{target}_q"
        grid = ["step", "zero"]
        return [
            op("QuantizeLinear", [source, *grid], [quantized]),
            op("DequantizeLinear", [quantized, *grid], [target]),
        ]

    nodes = [
        *rounded("x", "a"),
        op("Conv", ["a", "w", "b"], ["c"], name="c"),
        *rounded("c", "d"),
        op("Sigmoid", ["d"], ["s"]),
        *rounded("s", "e"),
        op("Mul", ["d", "e"], ["m"]),
        *rounded("m", "f"),
        op("Conv", ["f", "v"], ["y"], name="y"),
    ]
    grid = {"step": np.float32(1 / 16), "zero": np.int8(0)}
    graph = load(write_onnx(nodes, ("N", 2, 7, 6), CONSTANTS | grid))
    program = quantize(graph, samples(40))
    assert len(program.ops) == 2
    assert "sigmoid" in program.tables[0].function
    assert evaluate(graph, program, samples(40, seed=3)).sqnr_db > 24


@pytest.mark.parametrize(
    "options",
    [
        {"activations": "signed"},
        {"weights": "shared16", "sums": ("last",)},
        {"per_channel": False, "scales": "max"},
        {"accumulators": False, "rounding": "nearest"},
    ],
    ids=str,
)
def test_every_option_goes_with_tables(options, write_onnx):
    graph = mixed(write_onnx)
    program = quantize(graph, samples(60), QuantizerOptions(**options))
    assert len(program.tables) == 4
    assert evaluate(graph, program, samples(100, seed=7)).sqnr_db > 12
    if "activations" in options:
        assert all(tensor.signed for tensor in program.tensors)


def test_verilog_computes_the_same(write_onnx):
    accelerator = Accelerator(quantize(mixed(write_onnx), samples(60)), rows=2, columns=4)
    result = simulate(accelerator, samples(3, seed=9), engine="verilator")
    assert result.passed and result.layers_compared == len(accelerator.schedule.layers)
