"""Block RAMs, multipliers and single-port RAMs of a design: exact, and known before synthesis.

The one place with these rules: planning, estimates and messages use them. They follow what yosys
does with the memories of ``hw/``; a test compares them with netlists. Bits of a ROM that are the
same in all words take no block RAM: without the ROMs' contents the counts may be a little high.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, pairwise
from operator import and_, or_

from shiftwork.boards.board import Board
from shiftwork.hw.activation_bank import SPRAM_BYTES
from shiftwork.hw.activation_table import table_bytes
from shiftwork.hw.coded_rom import CODE_BITS, coded_words, stages
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.images import RomImages
from shiftwork.hw.layouts import PROGRAM_WORD_BITS
from shiftwork.hw.multiplier import ICE40UP_PRODUCTS
from shiftwork.hw.rom import part_blocks, part_sizes
from shiftwork.hw.shift_product import multiplied

ECP5_LUT_RAM_WORDS = 160
"""A RAM of bytes with no more words is made of lookup tables on ECP5."""


@dataclass(frozen=True)
class Contents:
    """How much of the ROMs varies from word to word.

    Attributes:
        parameter_bits: of a word of the parameter ROM.
        weight_columns: columns whose weights are not all the same.
        table_bits: of a byte of the tables.
        coded_bits: of a word, for each stage of columns and each part of the ROM that they share;
            none without a codebook.
    """

    parameter_bits: int
    weight_columns: int
    coded_bits: tuple[tuple[int, ...], ...] = ()
    table_bits: int = 8

    @classmethod
    def of(cls, images: RomImages, config: ArrayConfig) -> "Contents":
        """Those of a network's images on an array of ``config``."""
        return cls(
            parameter_bits=varying_bits(images.parameters),
            weight_columns=sum(len(set(column)) > 1 for column in images.weights),
            coded_bits=_coded_bits(images, config),
            table_bits=varying_bits(images.tables),
        )


def _coded_bits(images: RomImages, config: ArrayConfig) -> tuple[tuple[int, ...], ...]:
    if not config.codebook:
        return ()
    found, columns = [], stages(images.weights, config.stage_widths)
    for part, sizes in zip(columns, coded_parts(config), strict=True):
        words = coded_words(part, config.codebook)
        starts = accumulate(sizes, initial=0)
        found.append(tuple(varying_bits(words[a:b]) for a, b in pairwise(starts)))
    return tuple(found)


def coded_parts(config: ArrayConfig) -> tuple[tuple[int, ...], ...]:
    """For each stage of columns the parts of the ROM that they share, by their words."""
    return tuple(
        part_sizes(config.weight_depth, CODE_BITS * columns, config.shape.family)
        for columns in config.stage_widths
    )


def varying_bits(words: Sequence[int]) -> int:
    """The number of bits that are not the same in all words."""
    return (reduce(or_, words, 0) & ~reduce(and_, words, -1)).bit_count()


def rom_blocks(depth: int, width: int, board: Board) -> int:
    """Block RAMs of a ROM of ``depth`` words of ``width`` bits.

    The ROM is cut into parts of as many words as a block of its widest form has; the bits of all
    parts lie side by side, and blocks are filled with them.
    """
    native = board.bram_word_bits
    return -(-width * parts(depth, board) // native)


def parts(depth: int, board: Board) -> int:
    """Block RAMs in their widest form that ``depth`` words reach through."""
    return -(-depth // (board.bram_bits // board.bram_word_bits))


def byte_blocks(depth: int, board: Board) -> int:
    """Block RAMs of a memory of bytes; parity bits lie idle."""
    return -(-depth // byte_depth(board))


def byte_depth(board: Board) -> int:
    """Bytes that a block RAM holds in byte-wide mode."""
    return 1 << (board.bram_bits // 8).bit_length() - 1


def weight_blocks(config: ArrayConfig, board: Board, contents: Contents | None = None) -> int:
    """Block RAMs of the columns' weights."""
    if config.codebook:
        return _coded_blocks(config, contents)
    columns = config.shape.columns
    if contents is not None and not config.copies_weights:
        columns = contents.weight_columns
    return columns * byte_blocks(config.weight_depth, board)


def _coded_blocks(config: ArrayConfig, contents: Contents | None) -> int:
    """Block RAMs of weights that are indices of a codebook."""
    family, total = config.shape.family, 0
    for stage, sizes in enumerate(coded_parts(config)):
        rest = config.weight_depth
        for part, size in enumerate(sizes):
            bits = CODE_BITS * config.stage_widths[stage]
            if contents is not None:
                bits = contents.coded_bits[stage][part]
            total += part_blocks(min(size, rest), bits, family)
            rest -= size
    return total


def weight_parts(config: ArrayConfig, board: Board) -> int:
    """Memories one behind the other that a column's weights are in."""
    if config.codebook:
        return max(len(sizes) for sizes in coded_parts(config))
    return byte_blocks(config.weight_depth, board)


def parameter_width(config: ArrayConfig) -> int:
    """Bits of a word of the parameter ROM."""
    return config.shape.lanes * (config.accumulator_bits + config.shift_bits)


def rom_blocks_beside_weights(
    config: ArrayConfig, board: Board, contents: Contents | None = None
) -> int:
    """Block RAMs of the parameter ROM, of the program ROM and of the tables."""
    width = parameter_width(config) if contents is None else contents.parameter_bits
    return (
        rom_blocks(config.parameter_depth, width, board)
        + rom_blocks(config.program_depth, PROGRAM_WORD_BITS, board)
        + table_blocks(config, board, contents)
    )


def table_blocks(config: ArrayConfig, board: Board, contents: Contents | None = None) -> int:
    """Block RAMs of the tables behind the requantizers, of all lanes."""
    width = 8 if contents is None else contents.table_bits
    return config.shape.lanes * rom_blocks(table_bytes(config.tables), width, board)


def activations_in_luts(config: ArrayConfig) -> bool:
    """Whether the banks of activation memory are so small that lookup tables hold them."""
    return config.shape.family == "ecp5" and config.bank_depth <= ECP5_LUT_RAM_WORDS


def activation_blocks(config: ArrayConfig, board: Board) -> int:
    """Block RAMs of activation memory; none where it is single-port RAM or lookup tables."""
    if board.spram_bytes or activations_in_luts(config):
        return 0
    return config.shape.word_bytes * byte_blocks(config.bank_depth, board)


def block_rams(config: ArrayConfig, board: Board, contents: Contents | None = None) -> int:
    """All block RAMs of a design."""
    return (
        weight_blocks(config, board, contents)
        + rom_blocks_beside_weights(config, board, contents)
        + activation_blocks(config, board)
    )


def single_port_rams(config: ArrayConfig, board: Board) -> int:
    """Single-port RAMs of ``SPRAM_BYTES``: one for each bank of activation memory."""
    if not board.spram_bytes:
        return 0
    assert board.spram_bytes >= SPRAM_BYTES
    return config.shape.word_bytes // config.shape.bank_bytes


def multipliers(config: ArrayConfig, board: Board) -> int:
    """Multiplier blocks; on the UP5K two products share one; those beyond are lookup tables."""
    elements = multiplied(config.shape.products, config.shape.elements)
    if board.family == "ice40hx":
        return 0
    if board.family == "ice40up":
        return -(-min(elements, ICE40UP_PRODUCTS) // 2)
    return elements


def soft_products(config: ArrayConfig) -> int:
    """Products that are made of lookup tables, and no shifts."""
    elements = multiplied(config.shape.products, config.shape.elements)
    if config.shape.family == "ice40hx":
        return elements
    if config.shape.family != "ice40up":
        return 0
    return max(elements - ICE40UP_PRODUCTS, 0)


def shifted_products(config: ArrayConfig) -> int:
    """Products that are shifts."""
    elements = config.shape.elements
    return elements - multiplied(config.shape.products, elements)
