"""Widths and depths: as much as a program needs, and nothing beyond it."""

import hashlib
from dataclasses import replace

from shiftwork.hw import layouts
from shiftwork.hw.activation_table import table_images
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.descriptors import (
    Fields,
    address_width,
    common_fields,
    even_segments,
    is_scaled,
    make_header,
    used_bytes,
    widest_output,
)
from shiftwork.hw.images import least_conv_shift, requantized_range, shifts
from shiftwork.hw.layer_work import Work
from shiftwork.hw.memory_map import MemoryMap
from shiftwork.hw.segments import Kind, Walk
from shiftwork.hw.shift_product import exponents_of
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv, MaxPool, Op, signed_bits


def make_config(
    program: Program,
    works: list[Work],
    shape: ArrayShape,
    memory: MemoryMap,
    descriptors: list[dict[str, int]],
    engine: ArrayConfig | None,
) -> ArrayConfig:
    """The widths and depths that the works need; copied weights are not yet among the bytes.

    Args:
        works: passes, in their order.
        descriptors: of the works, idle cycles included.
        engine: if it is given, addresses and shifts count from what it has.
    """
    shift_base, shift_bits = _shift_widths(program, works, engine)
    header_fields = _header_fields(make_header(program, memory, len(works)))
    answer = program.tensor(program.output).widths or (0, 0)
    fields, segment_fields = even_segments(common_fields(descriptors))
    reach = [_reach(walk) for work in works for walk in work.walks]
    lines = [_line_reach(walk) for work in works for walk in work.walks]
    program_words = layouts.descriptor_words(header_fields)
    program_words += len(works) * layouts.descriptor_words(fields)
    return ArrayConfig(
        shape=shape,
        accumulator_bits=_accumulator_bits(program, works, shift_base),
        shift_base=shift_base,
        shift_bits=shift_bits,
        pooling=any(work.pool for work in works),
        depthwise=any(w.segment.kind is Kind.CHANNELS for work in works for w in work.walks),
        segments=max(len(work.walks) for work in works),
        scaled=is_scaled(works) or (engine is not None and engine.scaled),
        output_bits=max(widest_output(works), engine.output_bits if engine is not None else 0),
        address_bits=address_width(works, shape, memory, engine),
        x_bits=signed_bits(min(lo for lo, _ in reach), max(hi for _, hi in reach)),
        y_bits=signed_bits(min(lo for lo, _ in lines), max(hi for _, hi in lines)),
        bank_depth=-(-used_bytes(works, shape, memory) // shape.word_bytes),
        weight_depth=max(sum(work.weight_bytes for work in works), 1),
        parameter_depth=sum(work.parameters(shape) for work in works),
        fields=fields,
        segment_fields=segment_fields,
        header_fields=header_fields,
        program_depth=program_words,
        codebook=() if shape.column_bytes or engine is not None else program.codebook or (),
        class_bytes=answer[0],
        score_bytes=answer[1],
        tables=len(table_images(program)),
        exponents=exponents_of(
            program.codebook, products=shape.products, name=program.name, wide=program.wide
        ),
    )


def _ops(works: list[Work]) -> list[Op]:
    return [work.op for work in works if work.final]


def _shift_widths(
    program: Program, works: list[Work], engine: ArrayConfig | None
) -> tuple[int, int]:
    """The least shift, which is wiring, and the bits of what comes on top of it."""
    ops = _ops(works)
    least = least_conv_shift(ops)
    found = [
        shifts(program, op, least)
        for op in ops
        if not isinstance(op, MaxPool) and not (isinstance(op, Conv) and op.accumulators)
    ]
    base = int(min((shift.min() for shift in found), default=0))
    if engine is not None:
        base = min(base, engine.shift_base) if found else engine.shift_base
    most = max((int(shift.max()) - base for shift in found), default=0)
    return base, max(1, most.bit_length())


def _accumulator_bits(program: Program, works: list[Work], shift_base: int) -> int:
    """Bits for every sum that is requantized, and for the maxima, which take the same way."""
    ops = _ops(works)
    least = least_conv_shift(ops)
    dots = [op for op in ops if not isinstance(op, MaxPool)]
    ranges = [requantized_range(program, op, least) for op in dots]
    if len(dots) < len(ops):
        ranges.append((-128 << shift_base, 127 << shift_base))
    return max(signed_bits(lo, hi) for lo, hi in ranges)


def _header_fields(header: dict[str, int]) -> Fields:
    return tuple(
        (name, signed_bits(value, value), True)
        if name == "threshold"
        else (name, max(1, value.bit_length()), False)
        for name, value in header.items()
    )


def with_payload(
    program: Program, config: ArrayConfig, works: list[Work], memory: MemoryMap, *, split: bool
) -> ArrayConfig:
    """The configuration with the weights behind the feature maps, loaded from a flash."""
    shape = config.shape
    words = sum(work.copy_words(shape) for work in works)
    return replace(
        config,
        weight_depth=shape.column_bytes,
        payload_base=memory.size,
        payload_bytes=words * shape.word_bytes,
        identity=_identity(program, shape, split=split),
    )


def _identity(program: Program, shape: ArrayShape, *, split: bool) -> str:
    """What a flash image and the hardware that reads it must have in common."""
    text = f"{program.digest} {shape.rows} {shape.columns} {shape.lanes} {shape.word_bytes}"
    if split:
        text += f" {shape.column_bytes}"
    return hashlib.sha256(text.encode()).hexdigest()


def _reach(walk: Walk) -> tuple[int, int]:
    """Least and greatest byte position within a line that the fetch unit computes."""
    segment, fields = walk.segment, walk.fields()
    _, width, channels = segment.source.shape
    pixels = fields["x_step"] * (fields["out_width"] + 2)
    window = fields["run_step"] * (walk.runs_x + 1) + fields["phase_step"] * (walk.phases + 1)
    channel_end = channels + fields["group_step"] + (walk.blocks + 2) * walk.shape.word_bytes
    run = walk.words * walk.shape.word_bytes
    furthest = pixels + window + channel_end + run
    return -segment.padding[1] * channels - 1, max(furthest, width * channels)


def _line_reach(walk: Walk) -> tuple[int, int]:
    """Least and greatest line number that the fetch unit computes."""
    segment, fields = walk.segment, walk.fields()
    height = segment.source.shape[0]
    lines = (height + sum(segment.padding[::2])) // segment.stride[0] + 2
    furthest = lines * segment.stride[0] + fields["y_run_step"] * walk.runs_y
    return -segment.padding[0], max(furthest, height)
