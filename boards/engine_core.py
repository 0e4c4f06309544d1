"""The hardware of an engine with the contents of one network, or with those it is routed with."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from shiftwork.boards.link_protocol import Identity
from shiftwork.boards.link_rom import link_depth, link_words
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.core import Core
from shiftwork.hw.images import RomImages
from shiftwork.hw.layouts import PROGRAM_WORD_BITS


@dataclass(frozen=True)
class RomContents:
    """The words of a ROM, and their bits."""

    width: int
    words: tuple[int, ...]


class EngineCore(Core):
    """A core of an engine, and what its link to the host tells of the network.

    Parameters:
        config: of the engine.
        images: contents of the ROMs, as deep as ``config`` says.
        link: contents of the link's ROM.

    Members: those of :class:`shiftwork.hw.core.Core`.
    """

    def __init__(self, *, config: ArrayConfig, images: RomImages, link: bytes):
        # It is asked for its ROMs without being elaborated: no warning about that.
        self._MustUse__used = True
        self.link = link.ljust(link_depth(config.shape.family), b"\0")
        super().__init__(config=config, images=images)

    @property
    def flash_image(self) -> None:
        """There is none: all weights are in ROMs."""
        return None

    @property
    def roms(self) -> Mapping[str, RomContents]:
        """The contents of all ROMs by name."""
        config = self.array_config
        parameter_bits = config.shape.lanes * (config.accumulator_bits + config.shift_bits)
        return {
            **{
                f"weights_{column}": RomContents(8, tuple(words))
                for column, words in enumerate(self.images.weights)
            },
            "parameters": RomContents(parameter_bits, self.images.parameters),
            "program": RomContents(PROGRAM_WORD_BITS, self.images.program),
            "link": RomContents(8, tuple(self.link)),
        }

    @property
    def most_input_bytes(self) -> int:
        """The longest input frame that the core counts."""
        return 1 << self._header_bits("input_last")

    @property
    def most_output_bytes(self) -> int:
        """The longest output frame that the core counts."""
        return 4 << self._header_bits("output_last")

    def _header_bits(self, field: str) -> int:
        return next(n for name, n, _ in self.array_config.header_fields if name == field)


def random_core(config: ArrayConfig) -> EngineCore:
    """The core that is placed and routed.

    Its contents are the same every time, and as good as random: synthesis finds nothing in them to
    leave out, and no bit of a ROM is like another one.
    """
    shape = config.shape
    parameter_bits = shape.lanes * (config.accumulator_bits + config.shift_bits)
    images = RomImages(
        tuple(
            bytes(_random_words(f"weights_{column}", config.weight_depth, 8))
            for column in range(shape.columns)
        ),
        _random_words("parameters", config.parameter_depth, parameter_bits),
        _random_words("program", config.program_depth, PROGRAM_WORD_BITS),
    )
    link = bytes(_random_words("link", link_depth(shape.family), 8))
    return EngineCore(config=config, images=images, link=link)


def network_core(config: ArrayConfig, images: RomImages, identity: Identity) -> EngineCore:
    """The core with a network's contents."""
    return EngineCore(config=config, images=images, link=link_words(identity))


def _random_words(name: str, count: int, bits: int) -> tuple[int, ...]:
    size = -(-bits // 8)
    stream = hashlib.shake_256(name.encode()).digest(count * size)
    mask = (1 << bits) - 1
    return tuple(
        int.from_bytes(stream[size * index : size * (index + 1)], "little") & mask
        for index in range(count)
    )
