"""The requantizer against the golden model's."""

import numpy as np
import pytest

from shiftwork.hw import rom
from shiftwork.hw.requantizer import LATENCY, Requantizer
from shiftwork.sim import golden


def _run(run_component, config, *, sums, biases, shifts, planes=None, enabled=1.0, **layer):
    """The byte of every value; ``enabled`` is the probability that a cycle is enabled."""
    dut = Requantizer(config=config)
    rng = np.random.default_rng(3)
    planes = np.zeros(len(sums), dtype=int) if planes is None else planes
    ports = ((dut.sum, sums, 0), (dut.bias, biases, rom.LATENCY), (dut.shift, shifts, rom.LATENCY))
    ports += ((dut.plane, planes, rom.LATENCY + 1),)
    result = []

    async def bench(ctx):
        for name, value in layer.items():
            ctx.set(getattr(dut, name), int(value))
        step = 0
        while len(result) < len(sums):
            enable = bool(rng.random() < enabled)
            ctx.set(dut.enable, enable)
            for port, values, delay in ports:
                index = step - delay
                live = enable and 0 <= index < len(values)
                ctx.set(port, int(values[index]) if live else int(rng.integers(0, 2)))
            await ctx.tick()
            step += enable
            if enable and step >= LATENCY:
                result.append(ctx.get(dut.byte))
            elif result:
                assert ctx.get(dut.byte) == result[-1], "a held pipeline keeps its byte"

    run_component(dut, bench)
    return np.array(result)


def _random_case(rng, *, bits, shift_base, shift_bits, count=150):
    """Accumulators with their rounding constant that fill ``bits``, split in sum and bias."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    most = min(shift_base + (1 << shift_bits) - 1, 31)
    shifts = rng.integers(shift_base, most + 1, count)
    half = (np.int64(1) << shifts) >> 1
    magnitude = rng.integers(1, bits, count)
    biased = rng.integers(-(np.int64(1) << magnitude), np.int64(1) << magnitude)
    corners = (low, high, low + 1, high - 1, 0, -1, 1)
    biased[: len(corners)] = corners
    biased = np.clip(biased, low, high)
    biases = rng.integers(low // 4, high // 4, count)
    sums = np.clip(biased - biases, low, high)
    biases = np.clip(biased - sums, low, high)
    return sums, biases, shifts, sums + biases - half


CONFIGS = [
    {"bits": 32, "shift_base": 0, "shift_bits": 5},
    {"bits": 20, "shift_base": 3, "shift_bits": 3},
    {"bits": 12, "shift_base": 6, "shift_bits": 1},
    {"bits": 9, "shift_base": 0, "shift_bits": 4},
]


@pytest.mark.parametrize("widths", CONFIGS, ids=lambda widths: str(widths["bits"]))
@pytest.mark.parametrize(("lo", "hi"), [(-128, 127), (-7, 90), (3, 3)])
def test_signed_result(run_component, array_config, widths, lo, hi):
    rng = np.random.default_rng(widths["bits"])
    sums, biases, shifts, accumulators = _random_case(rng, **widths)
    config = array_config(
        accumulator_bits=widths["bits"],
        shift_base=widths["shift_base"],
        shift_bits=widths["shift_bits"],
    )
    got = _run(
        run_component,
        config,
        sums=sums,
        biases=biases,
        shifts=shifts - widths["shift_base"],
        lo=lo,
        hi=hi,
    )
    np.testing.assert_array_equal(
        got.astype(np.uint8).view(np.int8), golden.requantize(accumulators, shifts, lo, hi)
    )


@pytest.mark.parametrize(("lo", "hi"), [(0, 255), (0, 100), (128, 200)])
def test_flipped_result_under_stalls(run_component, array_config, lo, hi):
    widths = {"bits": 20, "shift_base": 2, "shift_bits": 3}
    sums, biases, shifts, accumulators = _random_case(np.random.default_rng(1), **widths)
    config = array_config(accumulator_bits=20, shift_base=2, shift_bits=3)
    got = _run(
        run_component,
        config,
        sums=sums,
        biases=biases,
        shifts=shifts - 2,
        lo=lo,
        hi=hi,
        flip=1,
        enabled=0.5,
    )
    np.testing.assert_array_equal(got ^ 0x80, golden.requantize(accumulators, shifts, lo, hi))


@pytest.mark.parametrize("bits", [18, 32])
@pytest.mark.parametrize("shift_base", [0, 5])
def test_raw_planes(run_component, array_config, bits, shift_base):
    rng = np.random.default_rng(bits + shift_base)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    accumulators = np.array([low, high, -1, 0, 1, *rng.integers(low, high, 60, endpoint=True)])
    biases = rng.integers(-1000, 1000, len(accumulators))
    sums = np.clip(accumulators - biases, low, high)
    biases = accumulators - sums
    planes = np.tile(np.arange(4), len(accumulators))
    got = _run(
        run_component,
        array_config(accumulator_bits=bits, shift_base=shift_base),
        sums=np.repeat(sums, 4),
        biases=np.repeat(biases, 4),
        shifts=np.zeros(len(planes), dtype=int),
        planes=planes,
        raw=1,
        lo=-128,
        hi=127,
        enabled=0.7,
    )
    little_endian = accumulators.astype("<i4").view(np.uint8)
    np.testing.assert_array_equal(got, little_endian)


@pytest.mark.parametrize(("lo", "hi"), [(-32768, 32767), (0, 32767), (-300, 20_000), (77, 77)])
def test_16_bits_leave_in_two_planes(run_component, array_config, lo, hi):
    """The low byte as one without a sign is stored, then the high one."""
    widths = {"bits": 26, "shift_base": 2, "shift_bits": 4}
    sums, biases, shifts, accumulators = _random_case(np.random.default_rng(5), **widths)
    config = array_config(accumulator_bits=26, shift_base=2, shift_bits=4, output_bits=16)
    got = _run(
        run_component,
        config,
        sums=np.repeat(sums, 2),
        biases=np.repeat(biases, 2),
        shifts=np.repeat(shifts - 2, 2),
        planes=np.tile([0, 1], len(sums)),
        lo=lo,
        hi=hi,
        flip=1,
        wide=1,
        enabled=0.6,
    )
    low, high = got[::2] ^ 0x80, got[1::2].astype(np.uint8).view(np.int8).astype(int)
    expected = golden.requantize(accumulators, shifts, lo, hi)
    assert lo == hi or len(np.unique(expected)) > 20
    np.testing.assert_array_equal(256 * high + low, expected)


def test_bytes_beside_16_bits(run_component, array_config):
    widths = {"bits": 20, "shift_base": 2, "shift_bits": 3}
    sums, biases, shifts, accumulators = _random_case(np.random.default_rng(1), **widths)
    config = array_config(accumulator_bits=20, shift_base=2, shift_bits=3, output_bits=16)
    settings = {"sums": sums, "biases": biases, "shifts": shifts - 2, "flip": 1, "wide": 0}
    got = _run(run_component, config, lo=3, hi=250, enabled=0.5, **settings)
    np.testing.assert_array_equal(got ^ 0x80, golden.requantize(accumulators, shifts, 3, 250))
