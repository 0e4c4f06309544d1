"""Simplifying a graph keeps what it computes, and leaves nothing that the quantizer cannot take."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftwork.errors import ModelError
from shiftwork.quant import float_executor
from shiftwork.quant.graph import (
    Add,
    Affine,
    AveragePool,
    Clip,
    Conv,
    Graph,
    Grid,
    Layout,
    MaxPool,
    Node,
    Reshape,
    Shape,
)
from shiftwork.quant.passes import simplify

RNG_SEED = 5


def random(*shape: int) -> np.ndarray:
    """Normal numbers, the same for the same shape."""
    rng = np.random.default_rng([RNG_SEED, *shape])
    return rng.normal(size=shape).astype(np.float32)


class Chain:
    """Builds a graph node by node; values are v0 (the input), v1 and so on."""

    def __init__(self, shape: Shape) -> None:
        self.shapes: dict[str, Shape] = {"v0": shape}
        self.nodes: list[Node] = []

    def add(self, kind: type[Node], *, source: str | None = None, **fields: Any) -> "Chain":
        """Appends a node that reads ``source``, or else the value before."""
        index = len(self.nodes)
        shape = fields.pop("shape", None)
        node = kind(name=f"n{index}", input=source or f"v{index}", output=f"v{index + 1}", **fields)
        self.nodes.append(node)
        if shape is None:
            shape = self.graph().expected_shape(node)
        self.shapes[node.output] = shape
        return self

    def conv(self, channels: int, kernel: int = 1, pad: int = 0, **fields: Any) -> "Chain":
        """Appends a convolution with random weights."""
        inputs = self.shapes[fields.get("source") or f"v{len(self.nodes)}"][2]
        depth = inputs // fields.get("groups", 1)
        return self.add(
            Conv,
            weights=random(channels, kernel, kernel, depth),
            bias=random(channels),
            padding=(pad,) * 4,
            **fields,
        )

    def affine(self, scale: Any, offset: Any, **fields: Any) -> "Chain":
        """Appends an affine node."""
        scale, offset = np.asarray(scale, np.float32), np.asarray(offset, np.float32)
        return self.add(Affine, scale=scale, offset=offset, **fields)

    def relu(self, **fields: Any) -> "Chain":
        """Appends a ReLU."""
        return self.add(Clip, lo=0.0, hi=np.inf, **fields)

    def sum(self, other: str, **fields: Any) -> "Chain":
        """Appends an addition."""
        return self.add(Add, other=other, **fields)

    def graph(self, output: str | None = None) -> Graph:
        """The graph so far, not verified."""
        output = output or f"v{len(self.nodes)}"
        return Graph(
            name="chain",
            input="v0",
            output=output,
            shapes=dict(self.shapes),
            nodes=tuple(self.nodes),
            input_layout=Layout.identity(self.shapes["v0"]),
            output_layout=Layout.identity(self.shapes.get(output, (1, 1, 1))),
        )


def kinds(graph: Graph) -> list[str]:
    """The kinds of the graph's nodes in order."""
    return [type(node).__name__ for node in graph.nodes]


def simplified(graph: Graph) -> Graph:
    """The simplified graph, after a check that it computes the same."""
    graph.verify()
    result = simplify(graph)
    x = np.random.default_rng(6).normal(size=(4, *graph.shapes[graph.input])).astype(np.float32)
    expected = float_executor.run(graph, x)
    actual = float_executor.run(result, x).reshape(expected.shape)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * max(1, abs(expected).max()))
    assert set(result.shapes) == {result.input, *(node.output for node in result.nodes)}
    return result


def test_affine_folds_into_the_convolution_before_it() -> None:
    graph = Chain((5, 4, 3)).conv(4, 3, pad=1).affine(random(4), random(4)).relu().graph()
    assert kinds(simplified(graph)) == ["Conv", "Clip"]


def test_several_affines_fold_into_one_convolution() -> None:
    chain = Chain((5, 4, 3)).conv(4).affine(random(4), [0.5]).affine([2.0], random(4))
    assert kinds(simplified(chain.graph())) == ["Conv"]


def test_folding_keeps_the_names() -> None:
    graph = Chain((5, 4, 3)).conv(4).affine(random(4), random(4)).relu().graph()
    layer = simplify(graph).nodes[0]
    assert (layer.name, layer.input, layer.output) == ("n0", "v0", "v2")


@pytest.mark.parametrize(
    ("pad", "offset", "folds"), [(0, 0.5, True), (1, 0, True), (1, 0.5, False)]
)
def test_affine_folds_into_the_next_convolution_unless_its_border_would_change(
    pad: int, offset: float, folds: bool
) -> None:
    graph = Chain((5, 4, 3)).affine(random(3), [offset] * 3).conv(4, 3, pad=pad).graph()
    assert kinds(simplified(graph)) == (["Conv"] if folds else ["Conv", "Conv"])


def test_affine_folds_into_all_its_readers() -> None:
    chain = Chain((5, 4, 3)).affine(random(3), random(3)).conv(4).conv(2, source="v1")
    graph = chain.graph()
    assert kinds(simplified(graph)) == ["Conv"]
    both = simplify(chain.conv(3, source="v2").graph())
    assert kinds(both) == ["Conv", "Conv"]


def test_affine_stays_if_the_convolution_before_it_has_other_readers() -> None:
    chain = Chain((5, 4, 3)).conv(4).affine(random(4), random(4)).relu()
    graph = chain.graph()
    assert kinds(simplified(graph)) == ["Conv", "Clip"]
    shared = Chain((5, 4, 3)).conv(4).affine(random(4), random(4)).graph("v1")
    assert kinds(simplified(shared)) == ["Conv"]


def test_affine_that_cannot_fold_becomes_a_depthwise_convolution() -> None:
    graph = Chain((5, 4, 3)).affine([2, 3, 4], [1]).relu().graph()
    result = simplified(graph)
    assert kinds(result) == ["Conv", "Clip"]
    layer = result.nodes[0]
    assert isinstance(layer, Conv)
    assert layer.groups == 3
    np.testing.assert_array_equal(layer.weights.ravel(), [2, 3, 4])
    np.testing.assert_array_equal(layer.bias, [1, 1, 1])


def test_pixelwise_affine_folds_into_a_dense_layer() -> None:
    chain = Chain((2, 3, 4)).affine(random(2, 3, 4), random(2, 3, 4))
    chain.add(Reshape, shape=(1, 1, 24)).conv(5)
    assert kinds(simplified(chain.graph())) == ["Reshape", "Conv"]


def test_pixelwise_affine_folds_into_a_convolution_over_the_whole_map() -> None:
    graph = Chain((3, 3, 2)).affine(random(3, 3, 2), random(2)).conv(5, 3).graph()
    assert kinds(simplified(graph)) == ["Conv"]


def test_pixelwise_affine_elsewhere_is_an_error() -> None:
    graph = Chain((3, 4, 2)).affine(random(3, 4, 2), random(2)).conv(5, 3).graph()
    with pytest.raises(
        ModelError,
        match=r"node 'n0' adds or multiplies .* pixel to pixel, on a feature map of shape "
        r"\[3, 4, 2\]; that is supported only right before a dense layer: use one constant",
    ):
        simplify(graph)


def test_clips_merge() -> None:
    chain = Chain((1, 1, 50)).conv(50).relu().add(Clip, lo=-1.0, hi=6.0).add(Clip, lo=0.5, hi=2.0)
    result = simplified(chain.graph())
    assert kinds(result) == ["Conv", "Clip"]
    clip = result.nodes[1]
    assert isinstance(clip, Clip)
    assert (clip.lo, clip.hi) == (0.5, 2.0)


def test_clips_that_do_not_overlap_merge_to_a_constant() -> None:
    chain = Chain((1, 1, 9)).conv(9).add(Clip, lo=3.0, hi=4.0).add(Clip, lo=0.0, hi=1.0)
    clip = simplified(chain.graph()).nodes[1]
    assert isinstance(clip, Clip)
    assert (clip.lo, clip.hi) == (1.0, 1.0)


def test_clip_moves_in_front_of_maximum_pools_and_reshapes() -> None:
    chain = Chain((4, 4, 3)).conv(2).add(MaxPool, kernel=(2, 2), stride=(2, 2))
    chain.add(Reshape, shape=(1, 1, 8)).relu()
    result = simplified(chain.graph())
    assert kinds(result) == ["Conv", "Clip", "MaxPool", "Reshape"]
    assert result.shapes[result.output] == (1, 1, 8)


def test_clip_stays_behind_an_average_pool() -> None:
    chain = Chain((4, 4, 3)).conv(2).add(AveragePool, kernel=(2, 2), stride=(2, 2)).relu()
    assert kinds(simplified(chain.graph())) == ["Conv", "AveragePool", "Clip"]


def test_nodes_that_do_nothing_are_dropped() -> None:
    chain = Chain((4, 4, 3)).conv(2).affine([1, 1], [0]).add(Clip, lo=-np.inf, hi=np.inf)
    chain.add(MaxPool, kernel=(1, 1), stride=(1, 1)).add(Reshape, shape=(4, 4, 2))
    result = simplified(chain.graph())
    assert kinds(result) == ["Conv"]
    assert result.output == "v1"


def test_nodes_that_nothing_reads_are_dropped() -> None:
    chain = Chain((4, 4, 3)).conv(2).relu().conv(5, source="v1")
    assert kinds(simplified(chain.graph("v2"))) == ["Conv", "Clip"]


def test_constants_beyond_float32_are_named() -> None:
    graph = Chain((1, 1, 1)).affine([1e30], [0]).affine([1e30], [0]).relu().graph()
    with pytest.raises(ModelError, match="node 'n1': scale must be finite"):
        simplify(graph)


def test_affines_fold_into_depthwise_convolutions() -> None:
    before = Chain((5, 4, 3)).affine(random(3), random(3)).conv(3, 3, groups=3)
    assert kinds(simplified(before.graph())) == ["Conv"]
    behind = Chain((5, 4, 3)).conv(3, 3, pad=1, groups=3).affine(random(3), random(3))
    assert kinds(simplified(behind.graph())) == ["Conv"]
    padded = Chain((5, 4, 3)).affine(random(3), [0.0]).conv(3, 3, pad=1, groups=3)
    assert kinds(simplified(padded.graph())) == ["Conv"]
    pixels = Chain((3, 3, 4)).affine(random(3, 3, 4), random(4)).conv(6, 3, groups=2)
    assert kinds(simplified(pixels.graph())) == ["Conv"]


@pytest.mark.parametrize(("groups", "channels"), [(2, 6), (2, 4), (4, 8)])
def test_grouped_convolutions_that_are_not_depthwise_become_dense(
    groups: int, channels: int
) -> None:
    graph = Chain((5, 4, 4)).conv(channels, 3, pad=1, groups=groups).graph()
    layer = simplified(graph).nodes[0]
    assert isinstance(layer, Conv)
    assert (layer.groups, layer.weights.shape) == (1, (channels, 3, 3, 4))
    assert (layer.weights != 0).sum() == channels * 9 * (4 // groups)


def test_depthwise_convolutions_stay() -> None:
    layer = simplified(Chain((5, 4, 4)).conv(4, 3, groups=4).graph()).nodes[0]
    assert isinstance(layer, Conv)
    assert layer.groups == 4


def test_residual_blocks_keep_their_form() -> None:
    chain = Chain((4, 4, 2)).conv(3).relu()
    chain.conv(3, 3, pad=1).affine(random(3), random(3)).sum("v2").relu()
    assert kinds(simplified(chain.graph())) == ["Conv", "Clip", "Conv", "Add", "Clip"]


def test_affine_in_front_of_a_sum_is_not_lost() -> None:
    chain = Chain((4, 4, 2)).conv(3).affine(random(3), random(3)).sum("v1")
    assert kinds(simplified(chain.graph())) == ["Conv", "Conv", "Add"]
    chain = Chain((4, 4, 2)).conv(3).sum("v1").affine(random(3), random(3)).relu()
    assert kinds(simplified(chain.graph())) == ["Conv", "Clip"]


def test_a_value_added_to_itself_is_doubled() -> None:
    assert kinds(simplified(Chain((4, 4, 2)).conv(3).sum("v1").graph())) == ["Conv"]
    assert kinds(simplified(Chain((4, 4, 2)).relu().sum("v1").graph())) == ["Clip", "Conv"]


def test_both_summands_may_be_nodes_that_do_nothing() -> None:
    chain = Chain((4, 4, 2)).conv(3).relu(source="v1")
    chain.add(Clip, lo=-np.inf, hi=np.inf, source="v1").affine([1.0], [0.0], source="v1")
    chain.sum("v2", source="v4").sum("v3")
    assert kinds(simplified(chain.graph())) == ["Conv", "Clip", "Add", "Add"]


def test_clips_with_other_readers_stay() -> None:
    chain = Chain((4, 4, 2)).conv(3).add(MaxPool, kernel=(2, 2), stride=(1, 1))
    chain.relu(source="v2").sum("v2")
    assert kinds(simplified(chain.graph())) == ["Conv", "MaxPool", "Clip", "Add"]
    chain = Chain((4, 4, 2)).conv(3).relu().add(Clip, lo=0.0, hi=1.0).sum("v2")
    assert kinds(simplified(chain.graph())) == ["Conv", "Clip", "Clip", "Add"]


def test_grids_follow_their_values() -> None:
    chain = Chain((4, 4, 2)).conv(3).affine(random(3), random(3))
    chain.add(MaxPool, kernel=(2, 2), stride=(1, 1)).relu()
    steps = {f"v{i}": Grid(scale=2.0**-i, zero_point=0, lo=-128, hi=127) for i in range(5)}
    graph = chain.graph()
    result = simplify(graph.with_nodes(graph.nodes, grids=steps))
    assert [(node.output, type(node)) for node in result.nodes] == [
        ("v2", Conv),
        ("v3", Clip),
        ("v4", MaxPool),
    ]
    assert result.grids == {
        "v0": steps["v0"],
        "v2": steps["v2"],
        "v3": steps["v4"],
        "v4": steps["v4"],
    }


def test_grid_of_a_node_that_does_nothing_goes_to_its_input() -> None:
    chain = Chain((4, 4, 2)).conv(3).affine([1.0], [0.0])
    grid = Grid(scale=0.5, zero_point=3, lo=0, hi=255)
    graph = chain.graph()
    result = simplify(graph.with_nodes(graph.nodes, grids={"v2": grid}))
    assert result.grids == {"v1": grid}


STEPS = ("conv", "padded", "affine", "offset", "relu", "clip", "max", "mean", "reshape")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=8))
def test_any_chain_computes_the_same_without_affines(steps: list[str]) -> None:
    chain = Chain((4, 4, 2))
    for index, step in enumerate(steps):
        height, width, channels = chain.shapes[f"v{index}"]
        match step:
            case "conv":
                chain.conv(3)
            case "padded":
                chain.conv(2, 3, pad=1)
            case "affine":
                chain.affine(random(channels), random(channels))
            case "offset":
                chain.affine([1.0], random(channels))
            case "relu":
                chain.relu()
            case "clip":
                chain.add(Clip, lo=-0.5, hi=0.5)
            case "max":
                chain.add(MaxPool, kernel=(2, 2), stride=(1, 1), padding=(1, 0, 0, 1))
            case "mean":
                chain.add(AveragePool, kernel=(2, 2), stride=(1, 1), padding=(0, 1, 1, 0))
            case "reshape":
                chain.add(Reshape, shape=(1, 1, height * width * channels))
    assert "Affine" not in kinds(simplified(chain.graph()))


BRANCHES = (*STEPS, "depthwise", "grouped", "sum", "sum", "double")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(BRANCHES), st.integers(0, 20), st.integers(0, 20)),
        min_size=1,
        max_size=12,
    ),
    end=st.integers(0, 3),
)
def test_any_graph_computes_the_same_without_affines(
    steps: list[tuple[str, int, int]], end: int
) -> None:
    chain = Chain((4, 4, 2))
    for step, first, second in steps:
        source = f"v{first % len(chain.shapes)}"
        shape = chain.shapes[source]
        channels, like = shape[2], [v for v, other in chain.shapes.items() if other == shape]
        match step:
            case "conv":
                chain.conv(2, source=source)
            case "padded":
                chain.conv(2, 3, pad=1, source=source)
            case "depthwise":
                chain.conv(channels, 3, pad=1, source=source, groups=channels)
            case "grouped":
                chain.conv(4, source=source, groups=2 if channels % 2 == 0 else 1)
            case "affine":
                chain.affine(random(channels), random(channels), source=source)
            case "offset":
                chain.affine([1.0], random(channels), source=source)
            case "relu":
                chain.relu(source=source)
            case "clip":
                chain.add(Clip, lo=-0.5, hi=0.5, source=source)
            case "max":
                pool = {"kernel": (2, 2), "stride": (1, 1), "padding": (1, 0, 0, 1)}
                chain.add(MaxPool, source=source, **pool)
            case "mean":
                pool = {"kernel": (2, 2), "stride": (1, 1), "padding": (0, 1, 1, 0)}
                chain.add(AveragePool, source=source, **pool)
            case "reshape":
                chain.add(Reshape, shape=(1, 1, shape[0] * shape[1] * channels), source=source)
            case "sum":
                chain.sum(like[second % len(like)], source=source)
            case "double":
                chain.sum(source, source=source)
    output = f"v{max(1, len(chain.nodes) - end)}"
    assert "Affine" not in kinds(simplified(chain.graph(output)))
