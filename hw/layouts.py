"""Layouts of the signals that travel between blocks."""

from enum import IntEnum

from amaranth import signed, unsigned
from amaranth.lib import data

PROGRAM_WORD_BITS = 32

FramedByte = data.StructLayout({"data": 8, "last": 1})
"""A byte of a framed stream; ``last`` marks the frame's final one."""

Token = data.StructLayout({"valid": 1, "last": 1, "broadcast": 1})
"""Control that travels through the array with its data.

With ``broadcast`` the operand is the column's own byte of the broadcast word, not the row's.
"""
ScaledToken = data.StructLayout({"valid": 1, "last": 1, "broadcast": 1, "scale": 1})
"""The same where accumulators are scaled: with ``scale`` before this product is added."""

FetchToken = data.StructLayout(
    {"valid": 1, "start": 1, "first": 1, "last": 1, "broadcast": 1, "advance": 1}
)
"""Control that leaves the fetch unit, one for each byte that enters row 0.

``start`` marks the first byte of a tile, ``first`` and ``last`` those of a dot product;
``broadcast`` the words of a depthwise layer. With ``advance`` the next weight is another one.
"""
ScaledFetchToken = data.StructLayout(
    {"valid": 1, "start": 1, "first": 1, "last": 1, "broadcast": 1, "advance": 1, "scale": 1}
)
"""The same with the bit ``scale`` of :data:`ScaledToken`."""


def token_layout(*, scaled: bool) -> data.StructLayout:
    """Of the tokens in an array."""
    return ScaledToken if scaled else Token


def fetch_token_layout(*, scaled: bool) -> data.StructLayout:
    """Of the tokens that leave the fetch unit."""
    return ScaledFetchToken if scaled else FetchToken


class Move(IntEnum):
    """Where the drain's next word lies, seen from this one; a greater one moves further."""

    STAY = 0
    PLANE = 1
    WORD = 2
    ROW = 3
    GROUP = 4
    TILE = 5


MOVE_BITS = 3

DrainTag = data.StructLayout(
    {"emit": 1, "layer_end": 1, "line_end": 1, "plane": 2, "move": MOVE_BITS}
)
"""What a value needs to find its place in memory; travels with it through the requantizer."""


def descriptor_layout(fields: tuple[tuple[str, int, bool], ...]) -> data.StructLayout:
    """The layout of a descriptor, padded to whole program words."""
    members = {name: signed(width) if sign else unsigned(width) for name, width, sign in fields}
    bits = sum(width for _, width, _ in fields)
    padding = -bits % PROGRAM_WORD_BITS
    if padding:
        members["padding"] = unsigned(padding)
    return data.StructLayout(members)


def descriptor_words(fields: tuple[tuple[str, int, bool], ...]) -> int:
    """Program words that a descriptor takes."""
    return -(-sum(width for _, width, _ in fields) // PROGRAM_WORD_BITS)


def pack_descriptor(
    fields: tuple[tuple[str, int, bool], ...], values: dict[str, int]
) -> tuple[int, ...]:
    """The program words of a descriptor, the first field in the lowest bits."""
    bits, position = 0, 0
    for name, width, _ in fields:
        bits |= (values[name] & ((1 << width) - 1)) << position
        position += width
    mask = (1 << PROGRAM_WORD_BITS) - 1
    return tuple(bits >> (PROGRAM_WORD_BITS * i) & mask for i in range(descriptor_words(fields)))
