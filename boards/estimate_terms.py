"""What a design's area and clock depend on, as numbers that follow from its configuration.

Each block of the design has a few terms: widths of registers, multiplexers and adders, as its
``elaborate`` makes them. An estimate is the sum of the terms times coefficients, which are fitted
to measured designs (``estimate_fit.py``) and kept in ``estimate_coefficients.py``.
"""

import math

from amaranth.utils import ceil_log2, exact_log2

from shiftwork.boards import resources
from shiftwork.boards.board import Board
from shiftwork.hw.coded_rom import CODE_BITS, decoded_bits
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.layouts import PROGRAM_WORD_BITS, descriptor_words

Terms = dict[str, float]

REGISTERS = frozenset({"operands that move", "tokens"})
"""Terms that are registers with no logic before them."""
SOFT_PRODUCTS = "products of lookup tables"
"""The array's term for multipliers that are no multiplier blocks."""
LANES_WITH_TABLES = "lanes with tables"
"""The tables' only term."""
SHIFTS = "elements that shift"
SHIFT_EXPONENTS = "exponents that they shift by"
EXACT_SHIFTS = "elements that shift beside multipliers"
LOOPS = ("chunk_pad", "groups", "tiles", "line_tiles", "tile_lines", "last_place", "last_rows")
"""Fields that count the drain's and the fetch unit's loops."""


def area_terms(config: ArrayConfig, board: Board) -> dict[str, Terms]:
    """The terms of every block of the design; blocks are those of a report."""
    blocks: dict[str, Terms] = {
        "array": _array(config, board),
        "core": _core(config),
        "drain": _drain(config, board),
        "fetch": _fetch(config),
        "loader": {"unit": 1, "address": config.address_bits},
        "memory": _memory(config, board),
        "sender": {"unit": 1, "address": config.address_bits},
        "sequencer": _sequencer(config),
    }
    if config.copies_weights:
        blocks["copier"] = {"unit": 1, "address": config.address_bits}
    if config.payload_bytes:
        blocks["flash"] = {"unit": 1, "address": config.address_bits}
    if config.pooling:
        blocks["pooling"] = {"lanes' bits": 8 * config.shape.word_bytes}
    if config.tables:
        blocks["tables"] = {LANES_WITH_TABLES: config.shape.lanes}
    return blocks


def clock_terms(config: ArrayConfig, board: Board, *, lut: float) -> Terms:
    """The terms of the clock's period.

    Slow paths begin at a block RAM and go through the multiplexer behind RAMs of many parts, or
    go through control logic and its adders; all of them get longer the more of the chip they cross.

    Args:
        lut: of the whole design.
    """
    deepest = max(
        resources.weight_parts(config, board),
        1 if board.spram_bytes else resources.byte_blocks(config.bank_depth, board),
    )
    return {
        "unit": 1,
        "memory parts": math.log2(deepest),
        "adder": max(config.accumulator_bits, config.address_bits),
        "size": math.sqrt(lut),
        "crowding": max(0.0, lut / board.lut - 0.8),
    }


def _array(config: ArrayConfig, board: Board) -> Terms:
    shape = config.shape
    parts = resources.weight_parts(config, board)
    selected = 8 * shape.columns * (parts - 1)
    if config.codebook:
        # A table for each bit of a decoded weight is as much as a part to select from.
        selected = shape.columns * (CODE_BITS * (parts - 1) + decoded_bits(config.codebook))
    moved = 8 * ((shape.rows - 1) * shape.columns + shape.rows * (shape.stages - 1))
    broadcast = 8 * shape.elements if config.depthwise else 0
    words = 8 * shape.word_bytes * (shape.stages - 1) if config.depthwise else 0
    # A multiplexer in front of the adder: a table a bit, beside one each for adder and drain.
    scaling = 1.5 if config.scaled else 1
    return {
        "accumulators' bits": shape.elements * config.accumulator_bits * scaling,
        "elements": shape.elements,
        SOFT_PRODUCTS: resources.soft_products(config),
        **_shifts(config),
        "operands that move": moved + words,
        "broadcast operands": broadcast,
        "tokens": shape.rows * shape.stages,
        "parts of weight ROMs": selected,
    }


def _shifts(config: ArrayConfig) -> Terms:
    """Elements that shift; nothing where all multiply."""
    shifted = resources.shifted_products(config)
    if not shifted:
        return {}
    exact = 0 if shifted == config.shape.elements else shifted
    return {SHIFTS: shifted, SHIFT_EXPONENTS: shifted * config.exponents, EXACT_SHIFTS: exact}


def _core(config: ArrayConfig) -> Terms:
    shape = config.shape
    return {
        "unit": 1,
        "address": config.address_bits,
        "segments' origins": config.segments * config.address_bits,
        "word": 8 * shape.word_bytes,
    }


def _drain(config: ArrayConfig, board: Board) -> Terms:
    shape = config.shape
    shifted = max(config.accumulator_bits - config.shift_base, 9)
    rom_parts = resources.parts(config.parameter_depth, board)
    return {
        "unit": 1,
        "address": config.address_bits,
        "loops": sum(width for name, width, _ in config.fields if name in LOOPS),
        "lanes": shape.lanes,
        "accumulators' bits": shape.lanes * config.accumulator_bits,
        "shifters": shape.lanes * shifted * config.shift_bits,
        "word": 9 * shape.word_bytes,
        "parts of the ROM": resources.parameter_width(config) * (rom_parts - 1),
    }


def _fetch(config: ArrayConfig) -> Terms:
    shape, segments = config.shape, config.segments
    position = config.address_bits + config.x_bits + config.y_bits
    return {
        "unit": 1,
        "segments": segments,
        "positions": segments * position,
        "window offsets": segments * config.x_bits,
        "rows' positions": segments * shape.rows * position,
        "descriptors": segments * sum(width for _, width, _ in config.segment_fields),
        "masks": segments * shape.word_bytes,
        "word": 8 * shape.word_bytes,
        "rows' words": 8 * shape.rows * shape.word_bytes,
    }


def _memory(config: ArrayConfig, board: Board) -> Terms:
    shape = config.shape
    banks = shape.word_bytes // shape.bank_bytes
    row_bits = config.address_bits - exact_log2(shape.word_bytes)
    ports = 1 if shape.single_port else 2
    width = 8 * shape.word_bytes
    in_luts = resources.activations_in_luts(config)
    parts = 1 if board.spram_bytes else resources.byte_blocks(config.bank_depth, board)
    return {
        "unit": 1,
        "word": width,
        "turned words": width * ceil_log2(shape.word_bytes),
        "banks' rows": ports * banks * row_bits,
        "banks of a byte": width if shape.bank_bytes == 1 else 0,
        "parts of the banks": width * (parts - 1),
        "lookup table RAM": shape.word_bytes * -(-config.bank_depth // 16) if in_luts else 0,
    }


def _sequencer(config: ArrayConfig) -> Terms:
    words = descriptor_words(config.header_fields) + descriptor_words(config.fields)
    return {"unit": 1, "descriptors": PROGRAM_WORD_BITS * words}
