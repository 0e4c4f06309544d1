"""The systolic array against numpy's matrix product."""

from dataclasses import dataclass

import numpy as np
import pytest

from shiftwork.hw.array import OPERAND_LATENCY, SUM_LATENCY, SystolicArray
from shiftwork.hw.config import ArrayShape

SHAPES = [
    ArrayShape(rows=1, columns=1, lanes=1),
    ArrayShape(rows=2, columns=4, lanes=1),
    ArrayShape(rows=4, columns=4, lanes=2),
    ArrayShape(rows=3, columns=8, lanes=4),
    ArrayShape(rows=5, columns=2, lanes=2),
]
PRODUCTS = 3
GAP = 2


@dataclass(frozen=True)
class Case:
    """``PRODUCTS`` matrix products, each ``activations[p] @ weights[channel, addresses[p]]``."""

    shape: ArrayShape
    weights: np.ndarray
    addresses: np.ndarray
    activations: np.ndarray

    @property
    def depth(self):
        return self.addresses.shape[1]

    def expected(self, product):
        """Row-major ``[rows, channels]``, as the lanes deliver it."""
        chosen = self.weights[:, self.addresses[product]].astype(np.int64)
        return (self.activations[product].astype(np.int64) @ chosen.T).reshape(-1)

    def columns(self):
        """The ROM of each column: column q * span + j works on channel j * lanes + q."""
        span = self.shape.columns // self.shape.lanes
        channels = [
            column % span * self.shape.lanes + column // span
            for column in range(self.shape.columns)
        ]
        return [self.weights[channel].view(np.uint8).tolist() for channel in channels]


def _case(shape, seed):
    rng = np.random.default_rng(seed)
    steps = shape.rows * (shape.columns // shape.lanes)
    depth = steps + shape.rows + shape.columns
    words = depth + 3
    return Case(
        shape=shape,
        weights=rng.integers(-128, 128, (shape.columns, words), dtype=np.int8),
        addresses=rng.integers(0, words, (PRODUCTS, depth)),
        activations=rng.integers(-128, 128, (PRODUCTS, shape.rows, depth), dtype=np.int8),
    )


def _feeder(dut, case, start_cycles):
    """Addresses and tokens, and activations one cycle later, one more for each row."""
    total = start_cycles[-1] + case.depth + case.shape.rows + 2
    place = {
        start + k: (product, k)
        for product, start in enumerate(start_cycles)
        for k in range(case.depth)
    }

    async def bench(ctx):
        for cycle in range(total):
            product, k = place.get(cycle, (0, 0))
            ctx.set(dut.address, int(case.addresses[product, k]))
            ctx.set(dut.token.valid, int(cycle in place))
            ctx.set(dut.token.last, int(k == case.depth - 1 or cycle not in place))
            for r in range(case.shape.rows):
                product, k = place.get(cycle - 1 - r, (0, 0))
                ctx.set(dut.a[r], int(case.activations[product, r, k]))
            await ctx.tick()

    return bench


def _drainer(dut, case, start_cycles, result):
    """Takes the sums from their documented cycle on, a step a cycle."""
    shape = case.shape
    steps = shape.rows * (shape.columns // shape.lanes)
    latency = SUM_LATENCY + shape.rows + shape.columns - 2
    begins = [start + case.depth - 1 + latency for start in start_cycles]

    async def bench(ctx):
        for cycle in range(begins[-1] + steps):
            draining = any(begin <= cycle < begin + steps for begin in begins)
            ctx.set(dut.drain_shift, int(draining))
            assert ctx.get(dut.captured) == (cycle + 1 in begins)
            if draining:
                result.extend(ctx.get(value) for value in dut.sums)
            await ctx.tick()

    return bench


@pytest.mark.parametrize(
    "shape", SHAPES, ids=lambda shape: f"{shape.rows}x{shape.columns}x{shape.lanes}"
)
@pytest.mark.parametrize("gap", [0, GAP], ids=["back to back", "gaps"])
def test_matrix_products(run_component, array_config, shape, gap):
    case = _case(shape, seed=shape.elements + gap)
    dut = SystolicArray(config=array_config(shape), weights=case.columns())
    starts = [product * (case.depth + gap) for product in range(PRODUCTS)]
    result = []
    run_component(dut, _feeder(dut, case, starts), _drainer(dut, case, starts, result))
    expected = np.concatenate([case.expected(product) for product in range(PRODUCTS)])
    np.testing.assert_array_equal(result, expected)


def test_latencies():
    assert OPERAND_LATENCY == 2
    assert SUM_LATENCY == 4
