"""An SPI flash in Python, for the tests on Amaranth's simulator."""

from typing import Any

from amaranth import Signal

READ_BITS = 32
"""Of a read command, before the first bit of data."""


class SpiFlash:
    """An SPI flash in mode 0 that wakes with 0xAB and reads with 0x03.

    ``commands`` are those it got, each with the cycle in which ``cs_n`` fell and its bits.

    Parameters:
        image: begins at ``address``; everything else is 0xFF.
        address: in bytes.
        cs_n, sck, mosi, miso: its pins.
    """

    def __init__(
        self,
        *,
        image: bytes,
        address: int,
        cs_n: Signal,
        sck: Signal,
        mosi: Signal,
        miso: Signal,
    ) -> None:
        self.image = image
        self.address = address
        self.cs_n, self.sck, self.mosi, self.miso = cs_n, sck, mosi, miso
        self.commands: list[tuple[int, int, int]] = []
        self.asleep = True

    async def bench(self, ctx: Any) -> None:
        """Runs for ever."""
        bits, began, cycle, was_selected, was_high = "", 0, 0, False, False
        while True:
            selected, high = not ctx.get(self.cs_n), bool(ctx.get(self.sck))
            if selected and not was_selected:
                assert not high, "mode 0: the clock is low when the flash is selected"
                bits, began = "", cycle
            if selected and high and not was_high:
                bits += str(ctx.get(self.mosi))
            if selected and was_high and not high:
                ctx.set(self.miso, self._answer(bits))
            if was_selected and not selected and len(bits) >= 8:
                self.commands.append((int(bits[:8], 2), began, len(bits)))
                self.asleep &= bits != "10101011"
            was_selected, was_high = selected, high
            await ctx.tick()
            cycle += 1

    def _answer(self, bits: str) -> int:
        if len(bits) < READ_BITS or int(bits[:8], 2) != 3 or self.asleep:
            return 1
        byte, bit = divmod(len(bits) - READ_BITS, 8)
        index = int(bits[8:READ_BITS], 2) + byte - self.address
        value = self.image[index] if 0 <= index < len(self.image) else 0xFF
        return value >> (7 - bit) & 1
