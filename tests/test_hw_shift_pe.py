"""The processing element that shifts, against sums that numpy makes."""

import numpy as np
import pytest

from shiftwork.hw import pe
from shiftwork.hw.shift_pe import LATENCY, ShiftPE

CAPTURE_LATENCY = LATENCY - 1
"""``captured`` announces the sum a cycle before it stands in the drain register."""
WEIGHTS = np.array([0, 0, *(s << e for e in range(8) for s in (-1, 1) if s << e < 128)])


def _random_stimulus(rng, cycles):
    return {
        "a": rng.integers(-128, 128, cycles),
        "weight": rng.choice(WEIGHTS, cycles),
        "valid": rng.integers(0, 4, cycles) > 0,
        "last": rng.integers(0, 5, cycles) == 0,
        "shift": rng.integers(0, 2, cycles),
        "drain_i": rng.integers(-(1 << 19), 1 << 19, cycles),
    }


def _offset(weight, *, exact):
    """2**14 for products of 15 bits, less 1 where they are negative."""
    return 0 if exact or not weight else (1 << 14) - (weight < 0)


def _expected_sums(stimulus, *, exact):
    """The sum of each dot product, by the cycle of its last operands."""
    sums, total = {}, 0
    for cycle in np.flatnonzero(stimulus["valid"]):
        weight = int(stimulus["weight"][cycle])
        total += int(stimulus["a"][cycle]) * weight + _offset(weight, exact=exact)
        if stimulus["last"][cycle]:
            sums[int(cycle)], total = total, 0
    return sums


def _expected_drain(stimulus, sums):
    """``captured`` and ``drain_o`` in every cycle; the drain is unknown before the first sum."""
    captured, drain, value = [], [], None
    for cycle in range(len(stimulus["a"])):
        drain.append(value)
        captured.append(int(cycle - CAPTURE_LATENCY in sums))
        if captured[-1]:
            value = sums[cycle - CAPTURE_LATENCY]
        elif stimulus["shift"][cycle]:
            value = int(stimulus["drain_i"][cycle])
    return captured, drain


def _observe(run_component, stimulus, *, exact, accumulator_bits=32):
    """``captured`` and ``drain_o`` in every cycle."""
    dut = ShiftPE(accumulator_bits=accumulator_bits, exponents=8, exact=exact)
    captured, drain = [], []

    async def bench(ctx):
        for cycle, weight in enumerate(stimulus["weight"].tolist()):
            for name in ("a", "shift", "drain_i"):
                ctx.set(getattr(dut, name), int(stimulus[name][cycle]))
            ctx.set(dut.token.valid, int(stimulus["valid"][cycle]))
            ctx.set(dut.token.last, int(stimulus["last"][cycle]))
            ctx.set(dut.code.zero, int(weight == 0))
            ctx.set(dut.code.negative, int(weight < 0))
            ctx.set(dut.code.exponent, max(abs(weight).bit_length() - 1, 0))
            captured.append(ctx.get(dut.captured))
            drain.append(ctx.get(dut.drain_o))
            await ctx.tick()

    run_component(dut, bench)
    return captured, drain


def test_the_latency_is_that_of_an_element_with_a_multiplier():
    assert LATENCY == pe.LATENCY


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_sums_and_drain_chain(run_component, seed, exact):
    stimulus = _random_stimulus(np.random.default_rng(seed), 400)
    captured, drain = _observe(run_component, stimulus, exact=exact)
    sums = _expected_sums(stimulus, exact=exact)
    expected_captured, expected_drain = _expected_drain(stimulus, sums)
    assert sum(expected_captured) > 20
    assert captured == expected_captured
    known = next(index for index, value in enumerate(expected_drain) if value is not None)
    assert drain[known:] == expected_drain[known:]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("weights", [(0,), (0, 0, 0), (0, -1), (-128, 0), (64, 0, -64)])
def test_sums_that_begin_or_end_with_0(run_component, weights, exact):
    """Twice: the accumulator of the first sum must not reach the second one."""
    count, rest = len(weights), LATENCY + 1
    cycles = 2 * count + rest
    stimulus = {
        "a": np.full(cycles, -128),
        "weight": np.array([*weights, *weights, *([5] * rest)]),
        "valid": np.arange(cycles) < 2 * count,
        "last": np.arange(cycles) % count == count - 1,
        "shift": np.zeros(cycles, dtype=int),
        "drain_i": np.zeros(cycles, dtype=int),
    }
    _, drain = _observe(run_component, stimulus, exact=exact)
    total = sum(-128 * w + _offset(w, exact=exact) for w in weights)
    assert drain[count - 1 + LATENCY] == drain[2 * count - 1 + LATENCY] == total


@pytest.mark.parametrize(
    ("a", "weight", "terms", "bits", "exact"),
    [
        (-128, -128, 31, 20, True),
        (127, -128, 32, 20, True),
        (-128, -128, 15, 20, False),
        (-1, 64, 32, 20, False),
    ],
)
def test_extreme_sum_fills_the_accumulator(run_component, a, weight, terms, bits, exact):
    """Nothing is lost where the sum takes all of its bits."""
    total = (a * weight + _offset(weight, exact=exact)) * terms
    assert total.bit_length() == bits - 1
    cycles = terms + LATENCY + 1
    stimulus = {
        "a": np.full(cycles, a),
        "weight": np.full(cycles, weight),
        "valid": np.ones(cycles, dtype=bool),
        "last": np.arange(cycles) == terms - 1,
        "shift": np.zeros(cycles, dtype=int),
        "drain_i": np.zeros(cycles, dtype=int),
    }
    _, drain = _observe(run_component, stimulus, exact=exact, accumulator_bits=bits)
    assert drain[terms - 1 + LATENCY] == total
