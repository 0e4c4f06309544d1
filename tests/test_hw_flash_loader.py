"""The flash loader against a flash in Python: commands, content, and every kind of bad image."""

import numpy as np
import pytest
from amaranth import ResetInserter, Signal
from spi_flash import SpiFlash

from shiftwork.hw.flash_image import pack
from shiftwork.hw.flash_loader import FlashError, FlashLoader

IDENTITY = "0123456789abcdef" * 4
WAKE_CYCLES = 100
FLASH_ADDRESS = 0x00_12_F3


def _flash(dut, image):
    ports = {name: getattr(dut, name) for name in ("cs_n", "sck", "mosi", "miso")}
    return SpiFlash(image=image, address=FLASH_ADDRESS, **ports)


@pytest.fixture
def load(run_component, array_config):
    """A function that loads an image; returns what was written, the loader's end and the flash."""

    def run(image, *, payload_bytes, destination=0, identity=IDENTITY, address_bits=10):
        dut = FlashLoader(
            config=array_config(address_bits=address_bits),
            payload_bytes=payload_bytes,
            identity=identity,
            destination=destination,
            flash_address=FLASH_ADDRESS,
            wake_cycles=WAKE_CYCLES,
        )
        flash, writes, end = _flash(dut, image), [], {}

        async def bench(ctx):
            for cycle in range(dut.cycles + 40):
                if ctx.get(dut.write_enable):
                    writes.append((ctx.get(dut.write_address), ctx.get(dut.write_data)))
                ended = ctx.get(dut.done), ctx.get(dut.error)
                if any(ended):
                    end.setdefault("cycle", cycle)
                    assert end.setdefault("state", ended) == ended
                    assert ctx.get(dut.cs_n)
                    assert not ctx.get(dut.sck)
                await ctx.tick()
            await ctx.tick()

        run_component(dut, bench, background=(flash.bench,), limit=200_000)
        return writes, end, flash, dut

    return run


def _payload(size):
    return np.random.default_rng(size).integers(0, 256, size).astype(np.uint8).tobytes()


@pytest.mark.parametrize("size", [1, 2, 7, 100])
@pytest.mark.parametrize("destination", [0, 1, 64, 900])
def test_payload_is_written(load, size, destination):
    payload = _payload(size)
    image = pack(payload, identity=IDENTITY)
    writes, end, _, dut = load(image, payload_bytes=size, destination=destination)
    assert writes == [(destination + index, byte) for index, byte in enumerate(payload)]
    assert end == {"cycle": dut.cycles, "state": (1, FlashError.NONE)}


def test_memory_that_is_filled_to_the_last_byte(load):
    payload = _payload(128)
    writes, end, _, _ = load(pack(payload, identity=IDENTITY), payload_bytes=128, address_bits=7)
    assert writes == list(enumerate(payload))
    assert end["state"] == (1, FlashError.NONE)


def test_flash_is_woken_and_given_time(load):
    image = pack(_payload(9), identity=IDENTITY)
    _, _, flash, _ = load(image, payload_bytes=9)
    (wake, woken_at, wake_bits), (read, read_at, read_bits) = flash.commands
    assert (wake, wake_bits) == (0xAB, 8)
    assert (read, read_bits) == (0x03, 32 + 8 * (len(image) + 1))
    assert read_at - (woken_at + 2 * wake_bits) >= WAKE_CYCLES


@pytest.mark.parametrize("bit", [*range(20), 31, 32, 63, 64, 100, 127, 128, 300, 383, 384, 415])
def test_flipped_bit(load, bit):
    good = pack(_payload(32), identity=IDENTITY)
    assert len(good) * 8 == 416
    image = bytearray(good)
    image[bit // 8] ^= 0x80 >> bit % 8
    _, end, _, _ = load(bytes(image), payload_bytes=32)
    error = FlashError.DAMAGED
    if bit < 128:
        error = FlashError.NO_IMAGE if bit < 32 else FlashError.OTHER_BUILD
    assert end["state"] == (0, error)


@pytest.mark.parametrize("level", [b"\x00", b"\xff"])
def test_absent_flash(load, level):
    writes, end, _, _ = load(level * 100, payload_bytes=32)
    assert end["state"] == (0, FlashError.NO_IMAGE)
    assert not writes


@pytest.mark.parametrize("kept", [3, 4, 12, 15, 16, 17, 30, 47, 48, 51])
@pytest.mark.parametrize("rest", [b"\x00", b"\xff"])
def test_truncated_image(load, kept, rest):
    """What follows is what an erased flash holds, or what a line without a driver reads."""
    image = pack(_payload(32), identity=IDENTITY)
    _, end, _, _ = load(image[:kept] + 100 * rest, payload_bytes=32)
    error = FlashError.DAMAGED
    if kept < 16:
        error = FlashError.NO_IMAGE if kept < 4 else FlashError.OTHER_BUILD
    assert end["state"] == (0, error)


@pytest.mark.parametrize("level", [0, 1])
def test_a_flash_that_never_answers(run_component, array_config, level):
    """There is none, or it does not wake: ``miso`` stays where it is."""
    dut = FlashLoader(
        config=array_config(),
        payload_bytes=32,
        identity=IDENTITY,
        flash_address=FLASH_ADDRESS,
        wake_cycles=WAKE_CYCLES,
    )

    async def bench(ctx):
        ctx.set(dut.miso, level)
        for _ in range(dut.cycles + 40):
            assert not ctx.get(dut.write_enable)
            assert not ctx.get(dut.done)
            await ctx.tick()
        assert ctx.get(dut.error) == FlashError.NO_IMAGE
        assert ctx.get(dut.cs_n)

    run_component(dut, bench)


def test_a_reset_in_any_cycle_of_loading(run_component, array_config):
    """Loading begins anew, with a flash that was left in the middle of a command."""
    payload = _payload(20)
    dut = FlashLoader(
        config=array_config(),
        payload_bytes=len(payload),
        identity=IDENTITY,
        flash_address=FLASH_ADDRESS,
        wake_cycles=WAKE_CYCLES,
    )
    flash, reset = _flash(dut, pack(payload, identity=IDENTITY)), Signal()
    moments = np.random.default_rng(9).integers(1, dut.cycles, 12).tolist()

    async def bench(ctx):
        for moment in [*moments, dut.cycles + 5]:
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            assert (ctx.get(dut.done), ctx.get(dut.cs_n)) == (0, 1)
            written = {}
            for cycle in range(moment):
                if ctx.get(dut.write_enable):
                    written[ctx.get(dut.write_address)] = ctx.get(dut.write_data)
                assert ctx.get(dut.done) == (cycle >= dut.cycles)
                assert ctx.get(dut.error) == FlashError.NONE
                await ctx.tick()
        assert written == dict(enumerate(payload))

    run_component(ResetInserter(reset)(dut), bench, background=(flash.bench,))


def test_image_of_another_build(load):
    other = pack(_payload(32), identity=IDENTITY[::-1])
    writes, end, _, _ = load(other, payload_bytes=32)
    assert end["state"] == (0, FlashError.OTHER_BUILD)
    assert not writes
    longer = pack(_payload(33), identity=IDENTITY)
    _, end, _, _ = load(longer, payload_bytes=32)
    assert end["state"] == (0, FlashError.OTHER_BUILD)
