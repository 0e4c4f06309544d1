"""From SPI flash into activation memory, once after reset."""

from enum import IntEnum

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.flash_image import CRC_BYTES, HEADER_BYTES, MAGIC, header

FLASH_ADDRESS = 0x100000
WAKE_CYCLES = 1500
"""30 us at 50 MHz."""
WAKE_COMMAND = 0xAB
READ_COMMAND = 0x03
COMMAND_BITS = 32
CRC_POLYNOMIAL = 0xEDB88320
"""Of CRC-32, for bits that come least significant first."""


class FlashError(IntEnum):
    """Why a flash image was not loaded."""

    NONE = 0
    NO_IMAGE = 1
    OTHER_BUILD = 2
    DAMAGED = 3


class FlashLoader(wiring.Component):
    """Copies the payload of a flash image (``flash_image.py``) and checks the rest of it.

    Wakes the flash from its deep power-down, waits, and reads the image in SPI mode 0 with
    ``sck`` at half the clock; ``miso`` is sampled at the end of its high half. One counter of bits
    leads through all of it: its upper part is the address of the byte before.

    Latency: ``cycles`` from the end of reset to ``done``. Flow control: none; memory must take
    every write, nothing else may use it before ``done``. A reset starts anew.

    Parameters:
        config: the array's configuration.
        payload_bytes: length of the payload, at least 1.
        identity: of the build, in hexadecimal digits.
        destination: address of the first byte in activation memory.
        flash_address: where the image lies in the flash.
        wake_cycles: least number of cycles between waking the flash and reading it.

    Members:
        cs_n, sck, mosi, miso: to the flash.
        write_enable, write_address, write_data: to activation memory, one byte.
        done: the payload is in memory and the image is good; stays.
        error: a :class:`FlashError`; stays. ``done`` never comes then.
    """

    def __init__(
        self,
        *,
        config: ArrayConfig,
        payload_bytes: int,
        identity: str,
        destination: int = 0,
        flash_address: int = FLASH_ADDRESS,
        wake_cycles: int = WAKE_CYCLES,
    ):
        self.payload_bytes = payload_bytes
        self.header = header(payload_bytes=payload_bytes, identity=identity)
        self.destination = destination
        self.flash_address = flash_address
        self.wake_cycles = wake_cycles
        self._arrived = Signal()
        super().__init__(
            {
                "cs_n": Out(1, init=1),
                "sck": Out(1),
                "mosi": Out(1),
                "miso": In(1),
                "write_enable": Out(1),
                "write_address": Out(config.address_bits),
                "write_data": Out(8),
                "done": Out(1),
                "error": Out(FlashError),
            }
        )

    @property
    def cycles(self) -> int:
        """Cycles from the end of reset to ``done``."""
        return 2 * (self._end - self._begin)

    @property
    def _payload(self) -> int:
        """Position of the payload's first bit: a byte is written while the next one comes."""
        return 8 * (self.destination - 1)

    @property
    def _command(self) -> int:
        return self._payload - 8 * HEADER_BYTES - COMMAND_BITS

    @property
    def _wait_bits(self) -> int:
        """Bits of the counter that tell the waiting time."""
        return max(6, ceil_log2(self.wake_cycles // 2 + 1 + COMMAND_BITS + 8))

    @property
    def _wake(self) -> int:
        """So that the counter's lowest six bits tell both commands' bits apart."""
        return self._command + COMMAND_BITS - (1 << self._wait_bits)

    @property
    def _begin(self) -> int:
        return self._wake - 8

    @property
    def _end(self) -> int:
        """The last byte goes into the CRC after it has come."""
        return self._payload + 8 * (self.payload_bytes + CRC_BYTES + 1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The clock's high half; all decisions fall at its end.
        high = Signal()
        running = Signal()
        bits = max(len(self.write_address) + 3, self._wait_bits)
        position = Signal(bits, init=self._begin % (1 << bits))
        byte_end = position[:3].all()
        m.d.comb += [
            running.eq(~self.done & (self.error == FlashError.NONE)),
            self.sck.eq(high),
            self.mosi.eq(self._command_bit(position)),
            self.write_address.eq(position[3:]),
        ]
        m.d.sync += high.eq(~high & running)
        with m.If(high):
            m.d.sync += position.eq(position + 1)
        receiving = Signal()
        payload = Signal()
        ending = Signal()
        self._add_bytes(m, high=high, arrived=receiving & byte_end, payload=payload & byte_end)
        good = self._add_crc(m, high=high, ending=ending)

        def decoded(value: Value, name: str) -> Signal:
            """What the position says; it stands for two cycles, and this for its second one."""
            late = Signal(name=name)
            m.d.sync += late.eq(value)
            return late

        def ends_before(boundary: int, low_bits: int = bits) -> Value:
            last = (boundary - 1) % (1 << low_bits)
            return high & decoded(position[:low_bits] == last, f"at_{last}_of_{low_bits}")

        expected = decoded(self._header_bit(position), "expected")
        in_magic = decoded(self._in_magic(position), "in_magic")

        def fail(error: FlashError) -> list:
            return [self.error.eq(error), self.cs_n.eq(1)]

        with m.FSM():
            with m.State("REST"), m.If(ends_before(self._wake, 3)):
                m.d.sync += self.cs_n.eq(0)
                m.next = "WAKE"
            with m.State("WAKE"), m.If(ends_before(self._wake + 8, 3)):
                m.d.sync += self.cs_n.eq(1)
                m.next = "WAIT"
            with m.State("WAIT"), m.If(ends_before(self._command, self._wait_bits)):
                m.d.sync += self.cs_n.eq(0)
                m.next = "COMMAND"
            with m.State("COMMAND"), m.If(ends_before(self._command + COMMAND_BITS, 5)):
                m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += receiving.eq(1)
                with m.If(ends_before(self._payload, 7)):
                    m.next = "PAYLOAD"
                with m.If(high & (self.miso != expected)):
                    m.d.sync += fail(FlashError.OTHER_BUILD)
                    with m.If(in_magic):
                        m.d.sync += fail(FlashError.NO_IMAGE)
            with m.State("PAYLOAD"):
                m.d.comb += [receiving.eq(1), payload.eq(1)]
                with m.If(ends_before(self._payload + 8 * self.payload_bytes)):
                    m.next = "LAST"
            with m.State("LAST"):
                m.d.comb += receiving.eq(1)
                with m.If(ends_before(0, 3)):
                    m.next = "CRC"
            with m.State("CRC"):
                m.d.comb += [receiving.eq(1), ending.eq(1)]
                with m.If(ends_before(self._end, 5)):
                    m.d.sync += [self.done.eq(1), self.cs_n.eq(1)]
                with m.If(high & ~good):
                    m.d.sync += [*fail(FlashError.DAMAGED), self.done.eq(0)]
        return m

    def _add_bytes(self, m: Module, *, high: Value, arrived: Value, payload: Value) -> None:
        """Collects bits to bytes, most significant bit first, and writes those of the payload."""
        incoming = Signal(8, reset_less=True)
        with m.If(high):
            m.d.sync += incoming.eq(Cat(self.miso, incoming))
        m.d.comb += self.write_data.eq(incoming)
        m.d.sync += [self._arrived.eq(high & arrived), self.write_enable.eq(high & payload)]

    def _add_crc(self, m: Module, *, high: Value, ending: Value) -> Value:
        """Feeds the CRC; returns whether its next bit is the complement of the one that came.

        At the end it has to be, as the image holds the complement. The CRC takes the bits of a byte
        in the other order than they come, so it is a byte behind.
        """
        byte = Signal(8, reset_less=True)
        crc = Signal(8 * CRC_BYTES, reset_less=True)
        begun = Signal()
        differs = Signal()
        m.d.comb += differs.eq(crc[0] ^ byte[0])
        with m.If(high):
            m.d.sync += [
                byte.eq(byte[1:]),
                crc.eq((crc >> 1) ^ Mux(differs & ~ending, CRC_POLYNOMIAL, 0)),
            ]
        with m.If(self._arrived):
            m.d.sync += [byte.eq(self.write_data), begun.eq(1)]
        with m.If(~begun):
            m.d.sync += crc.eq(~0)
        return differs

    def _command_bit(self, position: Signal) -> Value:
        """Both commands, most significant bit first, by the lowest six bits of the position."""
        read = f"{READ_COMMAND << 24 | self.flash_address:032b}"
        places = {(self._wake + i) % 64: bit for i, bit in enumerate(f"{WAKE_COMMAND:08b}")}
        places |= {(self._command + i) % 64: bit for i, bit in enumerate(read)}
        return _lookup([places.get(i, "0") == "1" for i in range(64)], position)

    def _header_bit(self, position: Signal) -> Value:
        """The bit that is expected, by the lowest seven bits of the position."""
        bits = "".join(f"{byte:08b}" for byte in self.header)
        return _lookup([bits[(i - self._payload) % len(bits)] == "1" for i in range(128)], position)

    def _in_magic(self, position: Signal) -> Value:
        first = self._payload % 128
        inside = [(i - first) % 128 < 8 * len(MAGIC) for i in range(128)]
        return _lookup(inside, position)


def _lookup(bits: list[bool], position: Signal) -> Value:
    """The bit whose index is in the lowest bits of ``position``; a handful of LUTs."""
    table = Const(sum(bit << index for index, bit in enumerate(bits)), len(bits))
    return table.bit_select(position[: ceil_log2(len(bits))], 1)
