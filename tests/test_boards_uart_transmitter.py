"""The UART transmitter: the level of the line in every cycle."""

from itertools import pairwise

import pytest

from shiftwork.boards.uart_transmitter import BYTE_BITS, UartTransmitter


def bits_of(byte):
    return [byte >> index & 1 for index in range(8)]


@pytest.fixture
def send(run_component):
    """A function that offers bytes, each after a number of cycles; returns the line's levels."""

    def run(data, pauses, *, divisor):
        dut = UartTransmitter(divisor=divisor)
        line = []

        async def watch(ctx):
            while True:
                line.append(ctx.get(dut.tx))
                await ctx.tick()

        async def bench(ctx):
            for byte, pause in zip(data, pauses, strict=True):
                await ctx.tick().repeat(pause) if pause else None
                for bit in bits_of(byte):
                    ctx.set(dut.i.payload, bit)
                    ctx.set(dut.i.valid, 1)
                    await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)
            await ctx.tick().repeat(4 * divisor)

        run_component(dut, bench, background=(watch,))
        return line

    return run


def decoded(line, divisor):
    """The bytes of a line whose bits are all ``divisor`` cycles long, and where they begin."""
    found, starts, place = [], [], 0
    while 0 in line[place:]:
        place = line.index(0, place)
        frame = line[place : place + BYTE_BITS * divisor]
        bits = [frame[index * divisor : (index + 1) * divisor] for index in range(BYTE_BITS)]
        assert all(len(set(bit)) == 1 for bit in bits), (place, bits)
        assert (bits[0][0], bits[-1][0]) == (0, 1)
        found.append(sum(bit[0] << index for index, bit in enumerate(bits[1:9])))
        starts.append(place)
        place += BYTE_BITS * divisor
    return found, starts


@pytest.mark.parametrize("divisor", [4, 5, 8])
def test_levels(send, divisor):
    data = [0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, *range(17, 250, 29)]
    found, _ = decoded(send(data, [3] * len(data), divisor=divisor), divisor)
    assert found == data


def test_back_to_back(send):
    """The next byte begins one cycle after the stop bit has ended."""
    found, starts = decoded(send([1, 2, 3, 4], [0] * 4, divisor=4), 4)
    assert found == [1, 2, 3, 4]
    assert {b - a for a, b in pairwise(starts)} == {BYTE_BITS * 4 + 1}


def test_every_byte(send):
    found, _ = decoded(send(range(256), [0] * 256, divisor=4), 4)
    assert found == list(range(256))


def test_rest(send):
    line = send([], [], divisor=4)
    assert set(line) == {1}
