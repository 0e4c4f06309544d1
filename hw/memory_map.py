"""Where each feature map lies in activation memory."""

from dataclasses import dataclass

from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Reshape, TopScore

BUFFERS = 2
"""Input and output have two buffers each, so that streams and computation overlap."""


@dataclass(frozen=True)
class MemoryMap:
    """Byte addresses in activation memory.

    Attributes:
        base: first byte of every tensor; input and output: of their first buffer.
        input_second, output_second: first byte of their second buffers; a single input buffer is
            its own second one.
        size: bytes in use.
    """

    base: dict[str, int]
    input_second: int
    output_second: int
    size: int


def allocate(program: Program, *, alignment: int = 1, input_buffers: int = BUFFERS) -> MemoryMap:
    """Places every tensor: the largest first, each at the lowest address that is free.

    Tensors whose lifetimes overlap lie apart; reshaped tensors share their bytes. Input and output
    come first: streams fill and empty their buffers at any time.

    Args:
        program: the network.
        alignment: every tensor begins at a multiple of it, in bytes.
        input_buffers: 2, or 1: then the next frame's bytes wait until the input has been read.
    """
    alias = aliases(program)
    source, result = alias[program.input], alias[program.output]
    sizes = {
        t.name: -(-t.bytes // alignment) * alignment
        for t in program.tensors
        if alias[t.name] == t.name
    }
    base = {source: 0, result: input_buffers * sizes[source]}
    reserved = input_buffers * sizes[source] + BUFFERS * sizes[result]
    lives = lifetimes(program, alias)
    inner = [name for name in lives if name not in base]
    for name in sorted(inner, key=lambda name: (-sizes[name], lives[name])):
        spans = [
            (base[other], base[other] + sizes[other])
            for other in inner
            if other in base and _overlap(lives[other], lives[name])
        ]
        base[name] = _first_fit(sorted(spans), sizes[name], reserved)
    return MemoryMap(
        base={t.name: base[alias[t.name]] for t in program.tensors if alias[t.name] in base},
        input_second=base[source] + (input_buffers - 1) * sizes[source],
        output_second=base[result] + sizes[result],
        size=max([reserved, *(base[name] + sizes[name] for name in inner)]),
    )


def last_reader(program: Program) -> int:
    """Index of the last op that reads the network's input, or a reshape of it.

    A reshape itself reads nothing: it is no layer, so that nothing would free the input after it.
    """
    alias = aliases(program)
    source = alias[program.input]
    return max(
        index
        for index, op in enumerate(program.ops)
        if not isinstance(op, Reshape | TopScore) and source in {alias[name] for name in op.inputs}
    )


def lifetimes(program: Program, alias: dict[str, str]) -> dict[str, tuple[int, int]]:
    """For every tensor that an op writes the indices of that op and of its last reader."""
    lives: dict[str, tuple[int, int]] = {}
    for index, op in enumerate(program.ops):
        lives.setdefault(alias[op.output], (index, index))
        for name in {alias[name] for name in op.inputs} & set(lives):
            lives[name] = (lives[name][0], index)
    return lives


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two tensors are alive in the same op; the one read and the one written are."""
    return one[0] <= other[1] and other[0] <= one[1]


def aliases(program: Program) -> dict[str, str]:
    """For every tensor the one whose bytes it shares; what a TopScore makes has none of its own."""
    alias = {tensor.name: tensor.name for tensor in program.tensors}
    for op in program.ops:
        if isinstance(op, Reshape | TopScore):
            alias[op.output] = alias[op.input]
    return alias


def _first_fit(spans: list[tuple[int, int]], size: int, start: int) -> int:
    for lo, hi in spans:
        if start + size <= lo:
            break
        start = max(start, hi)
    return start
