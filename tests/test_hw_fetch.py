"""The fetch unit: what it feeds the rows is what the golden model's accumulators are made of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shiftwork.errors import CapacityError
from shiftwork.hw.activation_memory import READ_LATENCY
from shiftwork.hw.array import OPERAND_LATENCY
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.fetch import ROW_LATENCY, TOKEN_LATENCY, Fetch
from shiftwork.hw.images import least_conv_shift, rounding, stored_bias
from shiftwork.hw.schedule import LayerPlan, Schedule, make_schedule
from shiftwork.hw.segments import average_scale
from shiftwork.hw.window_walker import ADDRESS_STAGES
from shiftwork.quant.program_ops import AveragePool, Conv, MaxPool, Op, Reshape
from shiftwork.sim import case_code, golden
from shiftwork.sim.example_programs import ProgramBuilder, random_inputs, random_program
from shiftwork.sim.layer_image import stored_bytes
from shiftwork.sim.network_case import amaranth_difference

ROW_BEHIND_TOKEN = ROW_LATENCY - TOKEN_LATENCY
MOST_CYCLES = 1500
UNASKED = 0xDEADBEEF
"""What memory delivers where nothing was read."""
Token = dict[str, int]


@dataclass(frozen=True)
class Seen:
    """What left the fetch unit in every cycle.

    Attributes:
        tokens: with all members.
        rows: ``[cycles, R]``, signed bytes.
        words: ``[cycles, word_bytes]``, signed bytes.
        reads: the cycles with a read request, counted from the layer's first turn.
    """

    tokens: list[Token]
    rows: NDArray[np.int64]
    words: NDArray[np.int64]
    reads: list[int]


def memory_of(schedule: Schedule, values: dict[str, NDArray], layer: LayerPlan) -> list[int]:
    """Activation memory with all inputs of the layer; other bytes must not matter."""
    memory = np.random.default_rng(5).integers(0, 256, 1 << schedule.config.address_bits)
    for name in op_of(schedule, layer).inputs:
        base = schedule.memory.base[name]
        stored = stored_bytes(schedule.program.tensor(name), values[name])[0]
        memory[base : base + len(stored)] = stored
    return memory.tolist()


def op_of(schedule: Schedule, layer: LayerPlan) -> Op:
    return next(op for op in schedule.program.ops if op.output == layer.output)


def observe(run: Any, schedule: Schedule, layer: LayerPlan, memory: list[int]) -> Seen:
    """Runs the layer once; the bench is the memory."""
    config, shape = schedule.config, schedule.config.shape
    dut = Fetch(config=config)
    names = ("valid", "start", "first", "last", "broadcast", "advance")
    tokens: list[Token] = []
    rows: list[list[int]] = []
    words: list[bytes] = []
    reads: list[int] = []
    cycles = layer.chunk_cycles * layer.tiles * layer.groups + ROW_LATENCY + shape.rows + 4

    def word_at(address: int) -> int:
        places = [(address + k) % len(memory) for k in range(shape.word_bytes)]
        return int.from_bytes(bytes(memory[place] for place in places), "little")

    async def bench(ctx: Any) -> None:
        ctx.set(dut.layer, layer.descriptor)
        for index in range(config.segments):
            for name, _, _ in config.segment_fields:
                ctx.set(dut.segments[index][name], layer.descriptor[f"{name}_{index}"])
            ctx.set(dut.origins[index], layer.descriptor[f"input_base_{index}"])
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        answers = [0] * READ_LATENCY
        for cycle in range(cycles):
            ctx.set(dut.read_data, answers[-1])
            tokens.append({name: ctx.get(dut.token[name]) for name in names})
            rows.append([ctx.get(row) for row in dut.rows])
            words.append(ctx.get(dut.word).to_bytes(shape.word_bytes, "little"))
            answer = UNASKED % (1 << 8 * shape.word_bytes)
            if ctx.get(dut.read_enable):
                reads.append(cycle - ADDRESS_STAGES)
                answer = word_at(ctx.get(dut.read_address))
            answers = [answer, *answers[:-1]]
            await ctx.tick()

    run(dut, bench, limit=3 * MOST_CYCLES)
    by_cycle = np.frombuffer(b"".join(words), np.int8).reshape(cycles, -1).astype(np.int64)
    return Seen(tokens, np.array(rows), by_cycle, reads)


def pixels(layer: LayerPlan, height: int, width: int, tile: int) -> list[int]:
    """Numbers of the output pixels of a tile, in raster order."""
    walk = layer.walks[0]
    line_tiles = layer.descriptor["line_tiles"] + 1
    if not walk.by_line:
        return list(range(height * width))[tile * walk.rows :][: walk.rows]
    line, place = divmod(tile, line_tiles)
    return [line * width + x for x in range(width)[place * walk.rows :][: walk.rows]]


def dot_products(schedule: Schedule, layer: LayerPlan, seen: Seen) -> NDArray[np.int64]:
    """What the array would sum up, ``[pixels, channels]``; checks the tokens' order on the way."""
    shape = schedule.config.shape
    height, width, channels = schedule.program.tensor(layer.output).shape
    parts = [walk.columns().view(np.int8) for walk in layer.walks]
    weights = np.concatenate(parts, axis=2).astype(np.int64)
    result = np.zeros((height * width, layer.groups * shape.columns), np.int64)
    order = [shape.channel(column) for column in range(shape.columns)]
    chunk = address = 0
    for cycle, token in enumerate(seen.tokens):
        if not token["valid"]:
            continue
        tile, group = divmod(chunk, layer.groups)
        if token["first"]:
            assert address == 0
            assert cycle == chunk * layer.chunk_cycles + TOKEN_LATENCY
        assert token["start"] == (token["first"] and group == 0)
        for row, pixel in enumerate(pixels(layer, height, width, tile)):
            late = cycle + ROW_BEHIND_TOKEN + row
            a = np.full(shape.columns, seen.rows[late, row])
            if token["broadcast"]:
                a = seen.words[late, np.array(order) % shape.word_bytes]
            place = [group * shape.columns + channel for channel in order]
            result[pixel, place] += a * weights[group, :, address]
        address += token["advance"]
        if token["last"]:
            assert address == weights.shape[2]
            chunk, address = chunk + 1, 0
    assert chunk == layer.tiles * layer.groups
    return result[:, :channels]


def maxima(schedule: Schedule, layer: LayerPlan, seen: Seen) -> NDArray[np.int64]:
    """What the pooling unit would keep, ``[pixels, channels]``."""
    width = schedule.config.shape.word_bytes
    channels = schedule.program.tensor(layer.output).shape[2]
    result = np.zeros((layer.tiles, layer.groups * width), np.int64)
    chunk, best = 0, np.zeros(width, np.int64)
    for cycle, token in enumerate(seen.tokens):
        if not token["valid"]:
            continue
        word = seen.words[cycle + ROW_BEHIND_TOKEN]
        best = word if token["first"] else np.maximum(best, word)
        if token["last"]:
            tile, group = divmod(chunk, layer.groups)
            result[tile, group * width : (group + 1) * width] = best
            chunk += 1
    assert chunk == layer.tiles * layer.groups
    return result[:, :channels]


def check_layer(run: Any, schedule: Schedule, layer: LayerPlan, values: dict[str, Any]) -> None:
    program = schedule.program
    op = op_of(schedule, layer)
    seen = observe(run, schedule, layer, memory_of(schedule, values, layer))
    turns = [turn for walk in layer.walks for turn in walk.read_pattern()]
    chunks = layer.tiles * layer.groups
    assert seen.reads == [
        chunk * layer.chunk_cycles + k
        for chunk in range(chunks)
        for k, turn in enumerate(turns)
        if turn
    ]
    if isinstance(op, MaxPool):
        best = maxima(schedule, layer, seen) + program.tensor(op.input).stored_offset
        np.testing.assert_array_equal(best, values[op.output].reshape(best.shape))
        return
    least = least_conv_shift([op for op in program.ops if not isinstance(op, Reshape)])
    sums = dot_products(schedule, layer, seen)
    sums = sums + stored_bias(program, op, least) - rounding(program, op, least)
    if isinstance(op, Conv):
        inputs = [values[name] for name in op.inputs]
        expected = golden.accumulate(op, program.sources(op), inputs)
    else:
        assert isinstance(op, AveragePool)
        x = golden.pad(values[op.input].astype(np.int64), op.padding, op.pad_value)
        expected = golden.windows(x, op.kernel, op.stride).sum(axis=(3, 4))
        expected = expected << average_scale(program, op, least)
    np.testing.assert_array_equal(sums, expected.reshape(sums.shape))


def check(run: Any, schedule: Schedule, *, seed: int = 0, only_last: bool = False) -> None:
    inputs = random_inputs(schedule.program, np.random.default_rng(seed), count=1)
    values = golden.trace(schedule.program, inputs)
    for layer in schedule.layers[-1:] if only_last else schedule.layers:
        check_layer(run, schedule, layer, values)


def builder(*shape: int, **settings: Any) -> ProgramBuilder:
    height, width, channels = shape
    return ProgramBuilder("case", (height, width, channels), np.random.default_rng(3), **settings)


CASES = {
    "convolution": lambda: builder(4, 5, 3, zero_point=-77).conv(
        9, (3, 3), stride=(2, 1), padding=(1, 1, 0, 2)
    ),
    "dilation": lambda: builder(5, 5, 3).conv(4, (2, 2), dilation=(2, 3), padding=(2, 3, 0, 0)),
    "depthwise": lambda: builder(4, 5, 9, signed=False, zero_point=9).depthwise(
        padding=(1, 1, 1, 1)
    ),
    "strided depthwise": lambda: builder(5, 8, 3).depthwise((3, 3), stride=(2, 2)),
    "average": lambda: builder(5, 5, 9, signed=False).average_pool((3, 3), (2, 2), (1, 1, 1, 1)),
    "maximum": lambda: builder(4, 5, 9, signed=False).max_pool((3, 2), (1, 2), (1, 1, 1, 0)),
    "three inputs": lambda: (
        builder(3, 5, 3)
        .conv(5, (1, 1), name="first", unsigned=True)
        .conv(5, (3, 3), padding=(1, 1, 1, 1))
        .residual("first")
        .shortcut("input", (2, 2), padding=(0, 1, 1, 0))
    ),
}
SHAPES = [
    ArrayShape(rows=1, columns=4),
    ArrayShape(rows=3, columns=8, lanes=2, word_bytes=8),
    ArrayShape(rows=5, columns=3, word_bytes=2, single_port=True),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.rows}x{shape.columns}")
@pytest.mark.parametrize("name", CASES)
def test_sums_of_a_layer(run_component: Any, name: str, shape: ArrayShape) -> None:
    check(run_component, make_schedule(CASES[name]().build(), shape), only_last=True)


def random_schedule(seed: int) -> Schedule:
    """Of a random network whose layers are short."""
    rng = np.random.default_rng(seed)
    while True:
        shape = ArrayShape(
            rows=int(rng.integers(1, 6)),
            columns=int(rng.integers(1, 13)),
            word_bytes=int(rng.choice([2, 4, 8])),
            single_port=bool(rng.integers(2)),
        )
        try:
            schedule = make_schedule(random_program(rng, size=6, depth=3), shape)
        except CapacityError:
            continue
        if max(layer.cycles for layer in schedule.layers) <= MOST_CYCLES:
            return schedule


@pytest.mark.parametrize("seed", range(8))
def test_sums_of_random_layers(run_component: Any, seed: int) -> None:
    check(run_component, random_schedule(seed), seed=seed)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(8, 150))
def test_sums_of_more_random_layers(run_component: Any, seed: int) -> None:
    check(run_component, random_schedule(seed), seed=seed)


def test_tokens_are_early_for_the_weights() -> None:
    """The address's register and the store take as long as the row's word is later."""
    assert ROW_BEHIND_TOKEN == 1 + OPERAND_LATENCY


@pytest.mark.parametrize(
    "path",
    sorted((Path(__file__).parent / "vectors" / "networks").glob("idle_*.py")),
    ids=lambda p: p.stem,
)
def test_the_start_of_a_layer_ends_idle_cycles(path: Path) -> None:
    """Whole networks, since the time between two layers is the drain's and the sequencer's."""
    case = case_code.load(path)
    assert case.schedule.config.overtakes
    assert amaranth_difference(case) is None
