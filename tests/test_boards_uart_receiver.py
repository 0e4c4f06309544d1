"""The UART receiver: every byte at every phase and clock deviation, glitches, breaks."""

from itertools import pairwise

import numpy as np
import pytest

from shiftwork.boards.uart_receiver import UartReceiver
from shiftwork.errors import CapacityError

TOLERANCE = 0.02
RESTING_BITS = 3


def levels(data, *, divisor, deviation=0.0, phase=0.0, rest_bits=RESTING_BITS):
    """The line in every clock cycle while ``data`` is sent back to back, then a rest.

    A bit takes ``divisor * (1 + deviation)`` cycles; the first edge is ``phase`` of a cycle late.
    """
    bits = [1] * rest_bits
    for byte in data:
        bits += [0, *(byte >> index & 1 for index in range(8)), 1]
    bits += [1] * rest_bits
    length = divisor * (1 + deviation)
    cycles = np.arange(int(len(bits) * length + phase) + 1)
    return [bits[min(max(int((n - phase) // length), 0), len(bits) - 1)] for n in cycles]


@pytest.fixture
def receive(run_component):
    """A function that plays lines one after the other; returns the bytes of each, and the bits."""

    def run(lines, *, divisor):
        dut = UartReceiver(divisor=divisor)
        received = []

        async def bench(ctx):
            for line in lines:
                found, bits = [], []
                for level in line:
                    ctx.set(dut.rx, level)
                    if ctx.get(dut.o.valid):
                        found.append(ctx.get(dut.o.payload))
                    if ctx.get(dut.bits.valid):
                        bits.append(ctx.get(dut.bits.payload))
                    await ctx.tick()
                received.append((bytes(found), bits))

        run_component(dut, bench, limit=sum(map(len, lines)) + 10)
        return received

    return run


def bits_of(data):
    return [byte >> index & 1 for byte in data for index in range(8)]


def test_every_byte(receive):
    data = bytes(range(256))
    ((found, bits),) = receive([levels(data, divisor=4)], divisor=4)
    assert found == data
    assert bits == bits_of(data)


@pytest.mark.parametrize("divisor", [4, 5, 8, 13, 208])
def test_clock_deviation(receive, divisor):
    """All corners of clock, phase and data: long runs of equal bits and single bits at the end."""
    data = bytes([0x00, 0xFF, 0x80, 0x7F, 0x55, 0xAA, 0x01])
    deviations = (-TOLERANCE, -TOLERANCE / 2, 0.0, TOLERANCE / 2, TOLERANCE)
    phases = (0.0, 0.25, 0.5, 0.75, 0.999) if divisor < 100 else (0.5,)
    if divisor > 100:
        deviations, data = (-TOLERANCE, TOLERANCE), data[1:3]
    lines = [
        levels(data, divisor=divisor, deviation=deviation, phase=phase)
        for deviation in deviations
        for phase in phases
    ]
    assert [found for found, _ in receive(lines, divisor=divisor)] == [data] * len(lines)


@pytest.mark.parametrize("divisor", [4, 5, 8, 13])
def test_glitches(receive, divisor):
    """What is low for less than half a bit is no byte, and does not harm the next one."""
    rest = [1] * 4 * divisor
    lines = []
    for length in range(1, (divisor - 1) // 2 + 1):
        for gap in range(0, 2 * divisor, 3):
            lines.append(
                [*rest, *[0] * length, *[1] * (divisor + gap), *levels(b"Q", divisor=divisor)]
            )
    assert [found for found, _ in receive(lines, divisor=divisor)] == [b"Q"] * len(lines)


@pytest.mark.parametrize("bits", [10, 11, 19, 20, 35])
def test_break(receive, bits):
    """A line that is low for longer than a byte is no byte, however long; the next byte is one."""
    divisor = 8
    rest = [1] * 2 * divisor
    lines = [
        [*rest, *[0] * (bits * divisor + extra), *rest, *levels(b"Z", divisor=divisor)]
        for extra in range(divisor)
    ]
    assert [found for found, _ in receive(lines, divisor=divisor)] == [b"Z"] * len(lines)


def test_missing_stop_bit(receive):
    """A byte whose stop bit is low is dropped, whatever it is."""
    divisor = 4
    for byte in (0x00, 0xFF, 0xA5):
        frame = [bit for bit in (0, *bits_of([byte]), 0) for _ in range(divisor)]
        line = [1] * 8 + frame + [1] * 2 * divisor + levels(b"ok", divisor=divisor)
        ((found, _),) = receive([line], divisor=divisor)
        assert found == b"ok"


@pytest.mark.parametrize("divisor", [4, 7, 16])
def test_latency(run_component, divisor):
    dut = UartReceiver(divisor=divisor)

    async def bench(ctx):
        await ctx.tick().repeat(5)
        cycle = 0
        for bit in (0, *bits_of(b"\x5a"), 1):
            ctx.set(dut.rx, bit)
            for _ in range(divisor):
                if ctx.get(dut.o.valid):
                    assert cycle == dut.latency
                    assert ctx.get(dut.o.payload) == 0x5A
                    return
                await ctx.tick()
                cycle += 1
        for _ in range(divisor):
            if ctx.get(dut.o.valid):
                assert cycle == dut.latency
                return
            await ctx.tick()
            cycle += 1
        pytest.fail("no byte came")

    run_component(dut, bench)


def test_tick(run_component):
    dut = UartReceiver(divisor=6)

    async def bench(ctx):
        ticks = []
        for _ in range(60):
            ticks.append(ctx.get(dut.tick))
            await ctx.tick()
        assert sum(ticks) == 10
        places = [index for index, tick in enumerate(ticks) if tick]
        assert {b - a for a, b in pairwise(places)} == {6}

    run_component(dut, bench)


def test_too_fast():
    text = "at least 4 clock cycles a bit, not 3; use a lower baud rate or a faster clock"
    with pytest.raises(CapacityError, match=text):
        UartReceiver(divisor=3)
