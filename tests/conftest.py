"""Fixtures that several tests share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from amaranth.lib import wiring
from amaranth.sim import Simulator
from hypothesis import settings
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.quant.graph import (
    Add,
    AveragePool,
    Clip,
    Conv,
    Graph,
    Layout,
    MaxPool,
    Node,
    Pair,
    Reshape,
    Shape,
    Unary,
)
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv as IntegerConv
from shiftwork.quant.program_ops import Product, Residual, Tensor
from shiftwork.quant.unary_functions import Function

# How long an example takes says more of the machine, and of what else it does, than of the code.
settings.register_profile("shiftwork", deadline=None)
settings.load_profile("shiftwork")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``-n`` a file's tests stay together, since they share what is built for them.

    Files keep their order: those that take longest, of the boards, come first by their names.
    """
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


class FloatNetwork:
    """Builds a float graph node by node; every method returns the name of the value it makes."""

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.shapes = {"x": shape}
        self.nodes: list[Node] = []

    def conv(self, source: str, channels: int, kernel: Pair = (3, 3), **fields: Any) -> str:
        """A convolution with random weights, unless ``weights`` and ``bias`` are given."""
        fan_in = self.shapes[source][2] // fields.get("groups", 1)
        shape = (channels, *kernel, fan_in)
        given = {"weights": self.rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))}
        given["bias"] = self.rng.normal(size=channels) * 0.1
        given |= {key: np.asarray(fields.pop(key)) for key in tuple(given) if key in fields}
        arrays = {key: array.astype(np.float32) for key, array in given.items()}
        return self._append(Conv, source, **arrays, **fields)

    def depthwise(self, source: str, kernel: Pair = (3, 3), **fields: Any) -> str:
        """A depthwise convolution with random weights."""
        channels = self.shapes[source][2]
        return self.conv(source, channels, kernel, groups=channels, **fields)

    def relu(self, source: str, hi: float = np.inf) -> str:
        """A Clip from 0."""
        return self._append(Clip, source, lo=0.0, hi=hi)

    def unary(self, source: str, function: Function) -> str:
        """A function of one variable."""
        return self._append(Unary, source, function=function)

    def add(self, source: str, other: str) -> str:
        """The sum of two values."""
        return self._append(Add, source, other=other)

    def pool(self, kind: type[MaxPool | AveragePool], source: str, size: int = 2) -> str:
        """A pool over squares side by side."""
        return self._append(kind, source, kernel=(size, size), stride=(size, size))

    def reshape(self, source: str, shape: Shape) -> str:
        """Another shape."""
        return self._append(Reshape, source, shape=shape)

    def build(self, output: str | None = None, **fields: Any) -> Graph:
        """The graph; its output is the last value if no other is named."""
        output = output or self.nodes[-1].output
        return Graph(
            name="network",
            input="x",
            output=output,
            shapes=self.shapes,
            nodes=tuple(self.nodes),
            input_layout=Layout.identity(self.shapes["x"]),
            output_layout=Layout.identity(self.shapes[output]),
            **fields,
        )

    def samples(self, count: int, seed: int = 1) -> NDArray[np.float32]:
        """Normally distributed inputs."""
        rng = np.random.default_rng(seed)
        return rng.normal(size=(count, *self.shapes["x"])).astype(np.float32)

    def _append(
        self, kind: type[Node], source: str, *, shape: Shape | None = None, **fields: Any
    ) -> str:
        name = f"{kind.__name__.lower()}{len(self.nodes)}"
        node = kind(name=name, input=source, output=f"{name}_out", **fields)
        self.nodes.append(node)
        if shape is None:
            self.shapes[node.output] = self.shapes[source]
            shape = Graph.expected_shape(self.build(), node)
        self.shapes[node.output] = shape
        return node.output


OnnxWriter = Callable[..., Path]
ComponentRunner = Callable[..., None]
ConfigMaker = Callable[..., ArrayConfig]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference models and data, which is not part of the repository."""
    path = Path(__file__).parents[2] / "shared"
    if not path.is_dir():
        pytest.skip(f"needs the reference models and data in {path}")
    return path


@pytest.fixture
def float_network() -> type[FloatNetwork]:
    """The builder of float graphs."""
    return FloatNetwork


@pytest.fixture
def write_onnx(tmp_path: Path) -> OnnxWriter:
    """A function that writes an ONNX model and returns its path.

    Its arguments: the nodes, the shape of the input ``x`` (batch included), the constants by name
    (arrays, or shapes that are filled with random numbers), and keywords ``opset``, ``outputs``,
    ``dtype`` (of the input) and ``name`` (of the file). The output is ``y``.
    """

    def write(
        nodes: Sequence[onnx.NodeProto],
        shape: Sequence[int | str | None],
        constants: dict[str, Any] | None = None,
        *,
        opset: int = 13,
        outputs: Sequence[str] = ("y",),
        dtype: int = TensorProto.FLOAT,
        name: str = "model.onnx",
    ) -> Path:
        rng = np.random.default_rng(1)
        arrays = {
            key: rng.normal(size=value).astype(np.float32) if isinstance(value, tuple) else value
            for key, value in (constants or {}).items()
        }
        graph = helper.make_graph(
            list(nodes),
            "network",
            [helper.make_tensor_value_info("x", dtype, list(shape))],
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, None) for key in outputs],
            [numpy_helper.from_array(np.asarray(value), key) for key, value in arrays.items()],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
        )
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        return path

    return write


@pytest.fixture
def model(write_onnx: OnnxWriter) -> Path:
    """A convolution and a dense layer on samples of the shape (2, 4, 4), with five classes."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "v"], ["y"], name="dense"),
    ]
    return write_onnx(nodes, [1, 2, 4, 4], {"w": (3, 2, 3, 3), "b": (3,), "v": (12, 5)})


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A file of 20 labelled samples for that network."""
    rng = np.random.default_rng(0)
    path = tmp_path / "samples.npz"
    np.savez(path, x=rng.normal(size=(20, 2, 4, 4)).astype(np.float32), y=rng.integers(5, size=20))
    return path


@pytest.fixture
def run_component() -> ComponentRunner:
    """A function that simulates a component until all its test benches have ended.

    Its arguments: the component, the benches (``async def bench(ctx)``), and the keywords
    ``background`` (benches that may run for ever) and ``limit``: after so many clock cycles the
    test fails.
    """

    period = 1e-6

    def run(
        component: wiring.Component,
        *benches: Any,
        background: Sequence[Any] = (),
        limit: int = 20_000,
    ) -> None:
        async def watchdog(ctx: Any) -> None:
            await ctx.delay(limit * period)
            pytest.fail(f"the test benches have not ended after {limit} cycles")

        simulator = Simulator(component)
        simulator.add_clock(period)
        for bench in benches:
            simulator.add_testbench(bench)
        for bench in (*background, watchdog):
            simulator.add_testbench(bench, background=True)
        simulator.run()

    return run


@pytest.fixture
def array_config() -> ConfigMaker:
    """A function that makes a small :class:`ArrayConfig` for the test of one component.

    Its arguments: the shape (2 x 4 by default) and any other field of the configuration.
    """

    def make(shape: ArrayShape | None = None, **fields: Any) -> ArrayConfig:
        streams = ("first", "pitch", "last", "flip")
        header = [(f"input_{name}", 8, False) for name in streams]
        header += [(f"output_{name}", 8, False) for name in (*streams, "raw", "plane_step")]
        defaults: dict[str, Any] = {
            "accumulator_bits": 24,
            "shift_base": 0,
            "shift_bits": 4,
            "pooling": True,
            "depthwise": False,
            "address_bits": 10,
            "x_bits": 8,
            "y_bits": 8,
            "bank_depth": 256,
            "weight_depth": 1,
            "parameter_depth": 1,
            "fields": (("first", 7, False), ("second", 30, True)),
            "segment_fields": (),
            "header_fields": (*header, ("layers_last", 8, False)),
            "program_depth": 1,
        }
        return ArrayConfig(shape=shape or ArrayShape(rows=2, columns=4), **(defaults | fields))

    return make


@pytest.fixture
def program_with_terms() -> Program:
    """A depthwise layer, and one with a shortcut's product and a residual."""
    rng = np.random.default_rng(5)
    weights = rng.integers(-128, 128, (4, 3, 3, 1)).astype(np.int8)
    zeros = np.zeros(4, np.int64)
    return Program(
        name="terms",
        tensors=(
            Tensor(name="x", shape=(6, 6, 4)),
            Tensor(name="d", shape=(6, 6, 4), lo=0, hi=255, signed=False),
            Tensor(name="y", shape=(3, 3, 4), lo=0, hi=100, signed=False),
            Tensor(name="z", shape=(3, 3, 4)),
        ),
        ops=(
            IntegerConv(
                name="depthwise",
                input="x",
                output="d",
                weights=weights,
                bias=rng.integers(-500, 500, 4),
                shift=np.array([3, 4, 5, 6]),
                lo=0,
                hi=255,
                padding=(1, 1, 1, 1),
                groups=4,
            ),
            IntegerConv(
                name="half",
                input="d",
                output="y",
                weights=rng.integers(-20, 20, (4, 2, 2, 4)).astype(np.int8),
                bias=zeros,
                shift=zeros + 6,
                lo=0,
                hi=100,
                stride=(2, 2),
            ),
            IntegerConv(
                name="sum",
                input="y",
                output="z",
                weights=rng.integers(-20, 20, (4, 3, 3, 4)).astype(np.int8),
                bias=zeros,
                shift=zeros + 8,
                padding=(1, 1, 1, 1),
                terms=(
                    Product(
                        input="x",
                        weights=rng.integers(-99, 99, (4, 1, 1, 4)).astype(np.int8),
                        stride=(2, 2),
                    ),
                    Residual(input="y", shift=np.array([0, 1, 5, 8])),
                ),
            ),
        ),
        input="x",
        output="z",
        input_layout=Layout.identity((6, 6, 4)),
        output_layout=Layout.identity((3, 3, 4)),
    )
