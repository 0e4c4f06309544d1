"""The processing element against sums that numpy makes."""

import numpy as np
import pytest

from shiftwork.hw.pe import LATENCY, PE

CAPTURE_LATENCY = LATENCY - 1
"""``captured`` announces the sum a cycle before it stands in the drain register."""


def _random_stimulus(rng, cycles):
    return {
        "a_i": rng.integers(-128, 128, cycles),
        "w_i": rng.integers(-128, 128, cycles),
        "valid": rng.integers(0, 4, cycles) > 0,
        "last": rng.integers(0, 5, cycles) == 0,
        "shift": rng.integers(0, 2, cycles),
        "drain_i": rng.integers(-(1 << 19), 1 << 19, cycles),
    }


def _expected_sums(stimulus):
    """The sum of each dot product, by the cycle of its last operands."""
    sums, total = {}, 0
    for cycle in np.flatnonzero(stimulus["valid"]):
        total += int(stimulus["a_i"][cycle]) * int(stimulus["w_i"][cycle])
        if stimulus["last"][cycle]:
            sums[int(cycle)], total = total, 0
    return sums


def _expected_drain(stimulus, sums):
    """``captured`` and ``drain_o`` in every cycle; the drain is unknown before the first sum."""
    captured, drain, value = [], [], None
    for cycle in range(len(stimulus["a_i"])):
        drain.append(value)
        captured.append(int(cycle - CAPTURE_LATENCY in sums))
        if captured[-1]:
            value = sums[cycle - CAPTURE_LATENCY]
        elif stimulus["shift"][cycle]:
            value = int(stimulus["drain_i"][cycle])
    return captured, drain


def _observe(run_component, stimulus, *, accumulator_bits=32):
    """Everything that leaves the element, in every cycle; the bench is its multiplier."""
    dut = PE(accumulator_bits=accumulator_bits)
    seen = {name: [] for name in ("a_o", "w_o", "token_o", "captured", "drain_o")}

    async def bench(ctx):
        product = 0
        for cycle in range(len(stimulus["a_i"])):
            for name in ("a_i", "w_i", "shift", "drain_i"):
                ctx.set(getattr(dut, name), int(stimulus[name][cycle]))
            ctx.set(dut.token_i.valid, int(stimulus["valid"][cycle]))
            ctx.set(dut.token_i.last, int(stimulus["last"][cycle]))
            ctx.set(dut.product, product)
            for name in ("a_o", "w_o", "captured", "drain_o"):
                seen[name].append(ctx.get(getattr(dut, name)))
            seen["token_o"].append((ctx.get(dut.token_o.valid), ctx.get(dut.token_o.last)))
            product = seen["a_o"][-1] * seen["w_o"][-1]
            await ctx.tick()

    run_component(dut, bench)
    return seen


def test_latency_is_three_cycles():
    assert LATENCY == 3


@pytest.mark.parametrize("seed", range(3))
def test_sums_and_drain_chain(run_component, seed):
    stimulus = _random_stimulus(np.random.default_rng(seed), 400)
    sums = _expected_sums(stimulus)
    seen = _observe(run_component, stimulus)
    captured, drain = _expected_drain(stimulus, sums)
    assert sum(captured) > 20
    assert seen["captured"] == captured
    known = drain.index(next(value for value in drain if value is not None))
    assert seen["drain_o"][known:] == drain[known:]


def test_operands_and_token_are_passed_on_a_cycle_later(run_component):
    stimulus = _random_stimulus(np.random.default_rng(7), 100)
    seen = _observe(run_component, stimulus)
    assert seen["a_o"][1:] == stimulus["a_i"][:-1].tolist()
    assert seen["w_o"][1:] == stimulus["w_i"][:-1].tolist()
    tokens = list(zip(stimulus["valid"].tolist(), stimulus["last"].tolist(), strict=True))
    assert seen["token_o"][1:] == tokens[:-1]


@pytest.mark.parametrize(("a", "w", "bits"), [(-128, -128, 20), (-128, 127, 19), (127, -128, 19)])
def test_extreme_sum_fills_the_accumulator(run_component, a, w, bits):
    terms = {20: 31, 19: 16}[bits]
    last = np.arange(terms + LATENCY + 1) == terms - 1
    stimulus = {
        "a_i": np.full(len(last), a),
        "w_i": np.full(len(last), w),
        "valid": np.ones(len(last), dtype=bool),
        "last": last,
        "shift": np.zeros(len(last), dtype=int),
        "drain_i": np.zeros(len(last), dtype=int),
    }
    seen = _observe(run_component, stimulus, accumulator_bits=bits)
    assert seen["drain_o"][terms - 1 + LATENCY] == a * w * terms
