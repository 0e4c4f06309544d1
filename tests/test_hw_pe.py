"""The processing element against sums that numpy makes."""

import numpy as np
import pytest

from shiftwork.hw import multiplier
from shiftwork.hw.pe import LATENCY, PE

CAPTURE_LATENCY = LATENCY - 1
"""``captured`` announces the sum a cycle before it stands in the drain register."""


def _random_stimulus(rng, cycles):
    return {
        "product": rng.integers(-(1 << 14) + 128, (1 << 14) + 1, cycles),
        "valid": rng.integers(0, 4, cycles) > 0,
        "last": rng.integers(0, 5, cycles) == 0,
        "scale": rng.integers(0, 6, cycles) == 0,
        "shift": rng.integers(0, 2, cycles),
        "drain_i": rng.integers(-(1 << 19), 1 << 19, cycles),
    }


def _expected_sums(stimulus, *, scaled=False):
    """The sum of each dot product, by the cycle of its last operands."""
    sums, total = {}, 0
    for cycle in np.flatnonzero(stimulus["valid"]):
        total = total * (256 if scaled and stimulus["scale"][cycle] else 1)
        total += int(stimulus["product"][cycle])
        if stimulus["last"][cycle]:
            sums[int(cycle)], total = total, 0
    return sums


def _wrapped(value, bits):
    """In two's complement of so many bits."""
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def _expected_drain(stimulus, sums):
    """``captured`` and ``drain_o`` in every cycle; the drain is unknown before the first sum."""
    captured, drain, value = [], [], None
    for cycle in range(len(stimulus["product"])):
        drain.append(value)
        captured.append(int(cycle - CAPTURE_LATENCY in sums))
        if captured[-1]:
            value = sums[cycle - CAPTURE_LATENCY]
        elif stimulus["shift"][cycle]:
            value = int(stimulus["drain_i"][cycle])
    return captured, drain


def _observe(run_component, stimulus, *, accumulator_bits=32, scaled=False):
    """``captured`` and ``drain_o`` in every cycle; the bench is the element's multiplier.

    The stimulus names a product in the cycle of its operands, as the token does.
    """
    dut = PE(accumulator_bits=accumulator_bits, scaled=scaled)
    captured, drain = [], []

    async def bench(ctx):
        for cycle in range(len(stimulus["product"])):
            for name in ("shift", "drain_i"):
                ctx.set(getattr(dut, name), int(stimulus[name][cycle]))
            ctx.set(dut.token.valid, int(stimulus["valid"][cycle]))
            ctx.set(dut.token.last, int(stimulus["last"][cycle]))
            if scaled:
                ctx.set(dut.token.scale, int(stimulus["scale"][cycle]))
            made = cycle - multiplier.LATENCY
            ctx.set(dut.product, int(stimulus["product"][made]) if made >= 0 else 0)
            captured.append(ctx.get(dut.captured))
            drain.append(ctx.get(dut.drain_o))
            await ctx.tick()

    run_component(dut, bench)
    return captured, drain


def test_the_sum_stands_a_cycle_after_the_product():
    assert LATENCY == multiplier.LATENCY + 1


@pytest.mark.parametrize("seed", range(3))
def test_sums_and_drain_chain(run_component, seed):
    stimulus = _random_stimulus(np.random.default_rng(seed), 400)
    captured, drain = _observe(run_component, stimulus)
    expected_captured, expected_drain = _expected_drain(stimulus, _expected_sums(stimulus))
    assert sum(expected_captured) > 20
    assert captured == expected_captured
    known = next(index for index, value in enumerate(expected_drain) if value is not None)
    assert drain[known:] == expected_drain[known:]


@pytest.mark.parametrize("bits", [24, 32])
def test_accumulators_are_scaled_before_a_product_is_added(run_component, bits):
    """Sums are modulo the width: what overflows on the way is harmless."""
    stimulus = _random_stimulus(np.random.default_rng(bits), 400)
    sums = _expected_sums(stimulus, scaled=True)
    assert max(abs(value) for value in sums.values()) > 1 << 32
    assert sums != _expected_sums(stimulus)
    wrapped = {cycle: _wrapped(value, bits) for cycle, value in sums.items()}
    captured, drain = _observe(run_component, stimulus, accumulator_bits=bits, scaled=True)
    expected_captured, expected_drain = _expected_drain(stimulus, wrapped)
    assert captured == expected_captured
    known = next(index for index, value in enumerate(expected_drain) if value is not None)
    assert drain[known:] == expected_drain[known:]


@pytest.mark.parametrize(
    ("product", "terms", "bits"), [(1 << 14, 31, 20), (-127 << 7, 32, 20), (-127 << 7, 16, 19)]
)
def test_extreme_sum_fills_the_accumulator(run_component, product, terms, bits):
    total = product * terms
    assert total.bit_length() == bits - 1
    last = np.arange(terms + LATENCY + 1) == terms - 1
    stimulus = {
        "product": np.full(len(last), product),
        "valid": np.ones(len(last), dtype=bool),
        "last": last,
        "shift": np.zeros(len(last), dtype=int),
        "drain_i": np.zeros(len(last), dtype=int),
    }
    _, drain = _observe(run_component, stimulus, accumulator_bits=bits)
    assert drain[terms - 1 + LATENCY] == total
