"""Where each feature map lies in activation memory."""

from dataclasses import dataclass

from shiftwork.quant.program import Program, Reshape

BUFFERS = 2
"""Input and output have two buffers each, so that streams and computation overlap."""


@dataclass(frozen=True)
class MemoryMap:
    """Byte addresses in activation memory.

    Attributes:
        base: first byte of every tensor; input and output: of their first buffer.
        input_second, output_second: first byte of their second buffers.
        size: bytes in use.
    """

    base: dict[str, int]
    input_second: int
    output_second: int
    size: int


def allocate(program: Program) -> MemoryMap:
    """Places every tensor, first fit by lifetime; reshaped tensors share their bytes."""
    alias = _aliases(program)
    last_use = {alias[op.input]: index for index, op in enumerate(program.ops)}
    source, result = alias[program.input], alias[program.output]
    sizes = {alias[t.name]: t.bytes for t in program.tensors if alias[t.name] == t.name}
    base = {source: 0, result: BUFFERS * sizes[source]}
    reserved = BUFFERS * (sizes[source] + sizes[result])
    live: dict[str, tuple[int, int]] = {}
    size = reserved
    for index, op in enumerate(program.ops):
        target = alias[op.output]
        live = {name: span for name, span in live.items() if last_use.get(name, -1) >= index}
        if target in base:
            continue
        start = _first_fit(sorted(live.values()), sizes[target], reserved)
        base[target] = start
        live[target] = (start, start + sizes[target])
        size = max(size, start + sizes[target])
    return MemoryMap(
        base={t.name: base[alias[t.name]] for t in program.tensors if alias[t.name] in base},
        input_second=base[source] + sizes[source],
        output_second=base[result] + sizes[result],
        size=size,
    )


def _aliases(program: Program) -> dict[str, str]:
    """For every tensor the one whose bytes it shares."""
    alias = {tensor.name: tensor.name for tensor in program.tensors}
    for op in program.ops:
        if isinstance(op, Reshape):
            alias[op.output] = alias[op.input]
    return alias


def _first_fit(spans: list[tuple[int, int]], size: int, start: int) -> int:
    for lo, hi in spans:
        if start + size <= lo:
            break
        start = max(start, hi)
    return start
