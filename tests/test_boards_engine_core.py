"""The hardware of an engine: its ROMs, and the contents that it is routed with."""

import numpy as np

from shiftwork.boards.engine import Engine
from shiftwork.boards.engine_core import network_core, random_core
from shiftwork.boards.link_protocol import Identity
from shiftwork.sim.example_programs import dense_net

ENGINE = Engine([dense_net()], board="icebreaker", rows=1, columns=2)
IDENTITY = Identity(
    version=1, state=0, clock_hz=1, cycles=1, input_bytes=35, output_bytes=5, digest="00" * 8
)


def test_random_contents_are_the_same_every_time() -> None:
    assert random_core(ENGINE.config).roms == random_core(ENGINE.config).roms


def test_no_bit_of_a_rom_is_constant_or_like_another() -> None:
    config = ENGINE.config
    columns = set()
    for rom in random_core(config).roms.values():
        for first in range(0, len(rom.words), 256):
            run = rom.words[first : first + 256]
            assert len(run) == 256
            for bit in range(rom.width):
                column = tuple(word >> bit & 1 for word in run)
                assert 64 < sum(column) < 192
                columns.add(column)
    bits = sum(rom.width * (len(rom.words) // 256) for rom in random_core(config).roms.values())
    assert len(columns) == bits


def test_a_network_fills_the_same_roms() -> None:
    config = ENGINE.config
    core = network_core(config, ENGINE.schedule(dense_net()).images, IDENTITY)
    sizes = [
        {name: (rom.width, len(rom.words)) for name, rom in roms.items()}
        for roms in (core.roms, random_core(config).roms)
    ]
    assert sizes[0] == sizes[1]
    assert set(sizes[0]) == {"weights_0", "weights_1", "parameters", "program", "link"}
    assert sizes[0]["link"] == (8, 256)
    assert np.max(core.roms["weights_0"].words) < 256
    assert core.flash_image is None


def test_the_longest_frames_follow_from_the_header() -> None:
    core = random_core(ENGINE.config)
    widths = {name: width for name, width, _ in ENGINE.config.header_fields}
    assert core.most_input_bytes == 1 << widths["input_last"] >= 35
    assert core.most_output_bytes == 4 << widths["output_last"] >= 5
