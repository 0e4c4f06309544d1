import numpy as np
import pytest

from shiftwork.quant import float_executor, moments
from shiftwork.quant.graph import Conv


def conv(rng, channels, kernel, inputs, **fields):
    weights = rng.normal(size=(channels, *kernel, inputs)).astype(np.float32)
    bias = np.zeros(channels, np.float32)
    return Conv(name="conv", input="x", output="y", weights=weights, bias=bias, **fields)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("block", [1 << 24, 50])
def test_moments_give_the_error_of_a_dot_product(centred, block, monkeypatch):
    monkeypatch.setattr(moments, "BLOCK", block)
    rng = np.random.default_rng(0)
    node = conv(rng, 5, (3, 2), 4, stride=(2, 1), padding=(1, 0, 1, 1), dilation=(1, 2))
    x = (rng.normal(size=(20, 9, 8, 4)) + 1.0).astype(np.float32)
    h = moments.moments((node,), (x,), centred=centred)
    output = float_executor.execute(node, x).astype(np.float64).reshape(-1, 5)
    expected = output.var(axis=0) if centred else (output**2).mean(axis=0)
    rows = node.weights.reshape(5, -1).astype(np.float64)
    np.testing.assert_allclose(np.einsum("ok,kj,oj->o", rows, h, rows), expected, rtol=1e-4)


@pytest.mark.parametrize("centred", [True, False])
def test_depthwise_channels_have_their_own(centred):
    rng = np.random.default_rng(0)
    node = conv(rng, 6, (3, 3), 1, groups=6, padding=(1, 1, 1, 1))
    x = (rng.normal(size=(20, 7, 7, 6)) + 1.0).astype(np.float32)
    h = moments.moments((node,), (x,), centred=centred)
    assert h.shape == (6, 9, 9)
    output = float_executor.execute(node, x).astype(np.float64).reshape(-1, 6)
    expected = output.var(axis=0) if centred else (output**2).mean(axis=0)
    rows = node.weights.reshape(6, -1).astype(np.float64)
    np.testing.assert_allclose(np.einsum("ok,okj,oj->o", rows, h, rows), expected, rtol=1e-4)


def test_convolutions_that_are_added_have_common_moments():
    rng = np.random.default_rng(0)
    first = conv(rng, 3, (3, 3), 2, padding=(1, 1, 1, 1), stride=(2, 2))
    second = conv(rng, 3, (1, 1), 4, stride=(2, 2))
    x = rng.normal(size=(20, 8, 8, 2)).astype(np.float32)
    z = np.concatenate([x, x], axis=3)
    h = moments.moments((first, second), (x, z), centred=False)
    output = float_executor.execute(first, x) + float_executor.execute(second, z)
    rows = np.concatenate([n.weights.reshape(3, -1) for n in (first, second)], axis=1)
    expected = (output.reshape(-1, 3).astype(np.float64) ** 2).mean(axis=0)
    np.testing.assert_allclose(np.einsum("ok,kj,oj->o", rows, h, rows), expected, rtol=1e-4)


def test_large_sets_are_thinned(monkeypatch):
    rng = np.random.default_rng(0)
    node = conv(rng, 2, (1, 1), 4)
    x = np.zeros((50, 2, 2, 4), np.float32)
    x[::7] = 1.0
    monkeypatch.setattr(moments, "WORK", 16 * 4 * 8)
    assert moments.moments((node,), (x,), centred=False)[0, 0] == 1.0
