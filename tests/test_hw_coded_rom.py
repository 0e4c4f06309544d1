"""Weights from a ROM of indices, and how the ROM fills block RAMs."""

from typing import get_args

import numpy as np
import pytest

from shiftwork.hw.coded_rom import CodedRom, coded_words, codes, decoded_bits
from shiftwork.hw.config import Family
from shiftwork.hw.rom import BLOCK_FORMS, LATENCY, part_blocks, part_sizes
from shiftwork.quant.codebook import INT4
from shiftwork.quant.levels import POWERS

CODEBOOKS = [INT4, POWERS, (0,), (-128, 0, 1, 127), (-3, 0, 5), tuple(range(0, 32, 2))]


@pytest.mark.parametrize("codebook", CODEBOOKS)
def test_every_value_has_an_index(codebook):
    table = codes(codebook)
    assert sorted(table) == list(codebook)
    assert len(set(table.values())) == len(codebook)
    assert set(table.values()) <= set(range(16))
    assert table[0] == 0


def test_small_values_are_their_own_indices():
    for codebook in (INT4, (-3, 0, 5)):
        assert all(codes(codebook)[value] == value & 15 for value in codebook)
        assert decoded_bits(codebook) == 0
    assert decoded_bits((0, 8)) == decoded_bits((-9, 0)) == 8


def test_words():
    columns = [[0, 1, 255], [2, 0, 254]]
    assert coded_words(columns, INT4) == (0x20, 0x01, 0xEF)


@pytest.mark.parametrize("family", get_args(Family))
@pytest.mark.parametrize(
    ("columns", "depth", "codebook"),
    [(1, 1, POWERS), (3, 2, INT4), (8, 300, (-128, 0, 1, 127)), (2, 2900, POWERS), (9, 700, INT4)],
)
def test_weights_of_an_earlier_enabled_cycle(run_component, columns, depth, codebook, family):
    rng = np.random.default_rng(depth)
    weights = rng.choice(np.array(codebook, np.int8), (columns, depth))
    dut = CodedRom(columns=weights.view(np.uint8).tolist(), codebook=codebook, family=family)

    async def bench(ctx):
        asked = []
        for _ in range(120):
            address, enable = int(rng.integers(depth)), int(rng.integers(2))
            ctx.set(dut.address, address)
            ctx.set(dut.enable, enable)
            await ctx.tick()
            if enable:
                asked.append(address)
            if len(asked) >= LATENCY:
                found = [ctx.get(dut.data[column]) for column in range(columns)]
                assert found == weights[:, asked[-LATENCY]].tolist()

    run_component(dut, bench)


@pytest.mark.parametrize(
    ("depth", "width", "family", "sizes"),
    [
        (2792, 32, "ice40up", (2048, 512, 256)),
        (1544, 32, "ice40up", (1024, 512, 256)),
        (1000, 32, "ice40up", (1024,)),
        (5000, 32, "ice40up", (2048, 2048, 1024)),
        (300, 4, "ice40up", (512,)),
        (1, 16, "ice40up", (256,)),
        (2049, 32, "ecp5", (2048, 512)),
        (1500, 32, "ecp5", (1024, 512)),
        (77, 4, "generic", (77,)),
    ],
)
def test_parts(depth, width, family, sizes):
    assert part_sizes(depth, width, family) == sizes


@pytest.mark.parametrize("family", ["ice40up", "ecp5"])
def test_no_other_parts_take_fewer_blocks(family):
    """Against all multisets of forms, by dynamic programming."""
    forms = dict(BLOCK_FORMS[family])
    for width in (4, 12, 20, 32, 64):
        blocks = {size: -(-width // bits) for size, bits in forms.items()}
        unit = min(forms)
        fewest = [0]
        for units in range(1, 40):
            fewest.append(min(fewest[max(0, units - s // unit)] + b for s, b in blocks.items()))
        for units in range(1, 40):
            for depth in (unit * (units - 1) + 1, unit * units):
                parts = part_sizes(depth, width, family)
                assert sum(parts) >= depth > sum(parts[:-1])
                assert list(parts) == sorted(parts, reverse=True)
                filled = [min(p, depth - sum(parts[:i])) for i, p in enumerate(parts)]
                assert sum(part_blocks(f, width, family) for f in filled) <= fewest[units]


@pytest.mark.parametrize("family", ["ice40up", "ecp5"])
def test_blocks_of_whole_forms(family):
    for size, bits in BLOCK_FORMS[family]:
        for width in range(1, 70):
            assert part_blocks(size, width, family) == -(-width // bits)
