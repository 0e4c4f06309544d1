"""The flash loader against a flash in Python: commands, content, and every kind of bad image."""

import numpy as np
import pytest

from shiftwork.hw.flash_image import pack
from shiftwork.hw.flash_loader import FlashError, FlashLoader

IDENTITY = "0123456789abcdef" * 4
WAKE_CYCLES = 100
FLASH_ADDRESS = 0x00_12_F3


class Flash:
    """An SPI flash in mode 0 that wakes with 0xAB and reads with 0x03.

    ``image`` begins at ``FLASH_ADDRESS``; everything else is 0xFF. ``commands`` are those it got,
    each with the cycle in which ``cs_n`` fell and the number of bits.
    """

    def __init__(self, dut, image):
        self.dut = dut
        self.image = image
        self.commands = []
        self.asleep = True

    async def bench(self, ctx):
        bits, cycle, was_selected, was_high = "", 0, False, False
        while True:
            selected, high = not ctx.get(self.dut.cs_n), bool(ctx.get(self.dut.sck))
            if selected and not was_selected:
                assert not high, "mode 0: the clock is low when the flash is selected"
                bits, began = "", cycle
            if selected and high and not was_high:
                bits += str(ctx.get(self.dut.mosi))
            if selected and was_high and not high:
                ctx.set(self.dut.miso, self._answer(bits))
            if was_selected and not selected:
                self.commands.append((int(bits[:8], 2), began, len(bits)))
                self.asleep &= bits != "10101011"
            was_selected, was_high = selected, high
            await ctx.tick()
            cycle += 1

    def _answer(self, bits):
        if len(bits) < 32 or int(bits[:8], 2) != 3 or self.asleep:
            return 1
        byte, bit = divmod(len(bits) - 32, 8)
        index = int(bits[8:32], 2) + byte - FLASH_ADDRESS
        value = self.image[index] if 0 <= index < len(self.image) else 0xFF
        return value >> (7 - bit) & 1


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
        flash, writes, end = Flash(dut, image), [], {}

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


@pytest.mark.parametrize("kept", [3, 12, 16, 30, 48, 51])
def test_truncated_image(load, kept):
    image = pack(_payload(32), identity=IDENTITY)
    _, end, _, _ = load(image[:kept], payload_bytes=32)
    expected = {3: FlashError.NO_IMAGE, 12: FlashError.OTHER_BUILD}
    assert end["state"] == (0, expected.get(kept, FlashError.DAMAGED))


def test_image_of_another_build(load):
    other = pack(_payload(32), identity=IDENTITY[::-1])
    writes, end, _, _ = load(other, payload_bytes=32)
    assert end["state"] == (0, FlashError.OTHER_BUILD)
    assert not writes
    longer = pack(_payload(33), identity=IDENTITY)
    _, end, _, _ = load(longer, payload_bytes=32)
    assert end["state"] == (0, FlashError.OTHER_BUILD)
