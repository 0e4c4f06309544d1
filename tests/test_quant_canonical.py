import numpy as np
import pytest

from shiftwork.errors import ModelError
from shiftwork.quant import float_executor
from shiftwork.quant.canonical import canonical
from shiftwork.quant.graph import AveragePool, Clip, Graph, Layout, MaxPool, Reshape


def chain(shapes, *nodes):
    """A graph of ``nodes``, each (kind, fields), with values ``v0``, ``v1``, ... of ``shapes``."""
    built = tuple(
        kind(name=f"node{i}", input=f"v{i}", output=f"v{i + 1}", **fields)
        for i, (kind, fields) in enumerate(nodes)
    )
    return Graph(
        name="chain",
        input="v0",
        output=f"v{len(nodes)}",
        shapes={f"v{i}": shape for i, shape in enumerate(shapes)},
        nodes=built,
        input_layout=Layout.identity(shapes[0]),
        output_layout=Layout.identity(shapes[-1]),
    )


POOL = {"kernel": (2, 2), "stride": (2, 2)}


def test_clips_move_in_front_and_merge():
    graph = chain(
        [(4, 4, 2), (2, 2, 2), (1, 1, 8), (1, 1, 8), (1, 1, 8)],
        (MaxPool, POOL),
        (Reshape, {}),
        (Clip, {"lo": -1.0, "hi": 2.0}),
        (Clip, {"lo": 0.0, "hi": np.inf}),
    )
    result = canonical(graph)
    assert [type(node) for node in result.nodes] == [Clip, MaxPool]
    assert (result.nodes[0].lo, result.nodes[0].hi) == (0.0, 2.0)
    x = np.random.default_rng(0).normal(size=(9, 4, 4, 2)).astype(np.float32) * 2
    np.testing.assert_array_equal(
        float_executor.run(result, x).ravel(), float_executor.run(graph, x).ravel()
    )


def test_clips_do_not_cross_an_average():
    graph = chain(
        [(4, 4, 2), (2, 2, 2), (2, 2, 2)], (AveragePool, POOL), (Clip, {"lo": 0.0, "hi": 1.0})
    )
    assert [type(node) for node in canonical(graph).nodes] == [AveragePool, Clip]


@pytest.mark.parametrize(
    ("size", "padding", "reached"),
    [
        (4, (0, 0, 1, 1), False),
        (5, (0, 0, 1, 0), True),
        (5, (0, 0, 0, 1), True),
        (4, (1, 0, 1, 0), True),
        (4, (0, 1, 0, 1), True),
    ],
)
def test_borders_of_an_average(size, padding, reached):
    rows = (size + padding[0] + padding[2] - 2) // 2 + 1
    columns = (size + padding[1] + padding[3] - 2) // 2 + 1
    graph = chain(
        [(size, size, 1), (rows, columns, 1)], (AveragePool, {**POOL, "padding": padding})
    )
    if reached:
        with pytest.raises(ModelError, match="node 'node0' averages over a border that does not"):
            canonical(graph)
    else:
        assert canonical(graph).nodes[0].padding == (0, 0, 0, 0)
    counted = (AveragePool, {**POOL, "padding": padding, "count_include_pad": True})
    kept = canonical(chain([(size, size, 1), (rows, columns, 1)], counted))
    assert kept.nodes[0].padding == padding


def test_reshapes_at_the_end_go():
    graph = chain([(4, 4, 2), (2, 2, 2), (1, 1, 8)], (MaxPool, POOL), (Reshape, {}))
    result = canonical(graph)
    assert [type(node) for node in result.nodes] == [MaxPool]
    assert result.output == "v1"
    assert set(result.shapes) == {"v0", "v1"}


def test_shapes_stay_in_the_order_of_the_nodes():
    """Sums over them would else differ in the last bit from one process to the next."""
    shapes = [(16, 16, 2), (15, 15, 2), (14, 14, 2), (13, 13, 2), (12, 12, 2), (11, 11, 2)]
    graph = chain(shapes, *[(MaxPool, {"kernel": (2, 2), "stride": (1, 1)})] * 5)
    assert list(canonical(graph).shapes) == [f"v{i}" for i in range(6)]
