"""The top score against numpy, with stalls on both sides and resets in between."""

from typing import Any

import numpy as np
import pytest
from amaranth import ResetInserter, Signal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shiftwork.hw.top_score import LATENCY, TopScore
from shiftwork.quant.program_ops import Tensor, class_bytes
from shiftwork.quant.program_ops import TopScore as TopScoreOp
from shiftwork.quant.top_score import answer_tensor
from shiftwork.sim import golden
from shiftwork.sim.layer_image import stream_bytes

RANGES = {(1, True): (-128, 127), (1, False): (0, 255), (4, True): (-(1 << 31), (1 << 31) - 1)}


def tensor_of(count: int, score_bytes: int, signed: bool) -> Tensor:
    lo, hi = RANGES[score_bytes, signed]
    return Tensor(name="x", shape=(1, 1, count), lo=lo, hi=hi, signed=signed, bits=8 * score_bytes)


def expected(frames: np.ndarray, tensor: Tensor, threshold: int | None) -> list[int]:
    """The bytes of the answers, by the golden model."""
    op = TopScoreOp(name="t", input="x", output="y", threshold=threshold)
    answers = golden.top_score(op, frames.reshape(len(frames), 1, 1, -1))
    return stream_bytes(answer_tensor(tensor, "y"), answers).reshape(-1).tolist()


def component(tensor: Tensor, threshold: int | None, *, framed: bool = False) -> TopScore:
    return TopScore(
        class_bytes=class_bytes(tensor.size),
        score_bytes=tensor.bits // 8,
        threshold=threshold is not None,
        framed=framed,
    )


def source(dut: TopScore, tensor: Tensor, frames: np.ndarray, threshold, *, stalls: float, taken):
    """Sends the scores; notes the cycles in which a frame's last byte is taken."""
    rng = np.random.default_rng(1)
    rows = stream_bytes(tensor, frames.reshape(len(frames), 1, 1, -1))
    stream = [(int(b), k == len(row) - 1) for row in rows for k, b in enumerate(row)]

    async def bench(ctx):
        ctx.set(dut.unsigned, int(not tensor.signed))
        if threshold is not None:
            ctx.set(dut.threshold, threshold)
        cycle = 0
        while stream:
            valid = rng.random() >= stalls
            data, last = stream[0] if valid else (0xEE, 1)
            ctx.set(dut.i.valid, int(valid))
            ctx.set(dut.i.payload, {"data": data, "last": last})
            if valid and ctx.get(dut.i.ready):
                stream.pop(0)
                if last:
                    taken.append(cycle)
            await ctx.tick()
            cycle += 1
        ctx.set(dut.i.valid, 0)

    return bench


def sink(dut: TopScore, count: int, *, stalls: float, result: list[int], cycles: list[int]):
    """Takes the answers; what waits must not change."""
    rng = np.random.default_rng(2)

    async def bench(ctx):
        cycle, waiting = 0, None
        while len(result) < count:
            ctx.set(dut.o.ready, int(rng.random() >= stalls))
            if ctx.get(dut.o.valid):
                payload = dut.o.payload.as_value() if dut.framed else dut.o.payload
                value = int(ctx.get(payload))
                assert waiting in (None, value), "a byte that waits does not change"
                waiting = value
                if ctx.get(dut.o.ready):
                    result.append(value)
                    cycles.append(cycle)
                    waiting = None
            else:
                assert waiting is None, "valid is not taken back"
            await ctx.tick()
            cycle += 1

    return bench


def answers(
    run_component: Any,
    tensor: Tensor,
    frames: np.ndarray,
    threshold: int | None = None,
    *,
    stalls: tuple[float, float] = (0, 0),
    framed: bool = False,
) -> tuple[list[int], list[int], list[int]]:
    """The bytes sent, their cycles, and those in which frames ended."""
    dut = component(tensor, threshold, framed=framed)
    result, cycles, taken = [], [], []
    count = len(frames) * (class_bytes(tensor.size) + tensor.bits // 8)
    run_component(
        dut,
        source(dut, tensor, frames, threshold, stalls=stalls[0], taken=taken),
        sink(dut, count, stalls=stalls[1], result=result, cycles=cycles),
    )
    return result, cycles, taken


def random_frames(tensor: Tensor, count: int, seed: int = 0) -> np.ndarray:
    """Any scores; scores of a few values, with ties; differences in one byte alone."""
    rng = np.random.default_rng(seed)
    shape = (count, tensor.size)
    frames = rng.integers(tensor.lo, tensor.hi, shape, endpoint=True)
    frames[1::3] = rng.choice(frames[0], frames[1::3].shape)
    if tensor.bits == 32:
        near = rng.integers(0, 3, frames[2::3].shape) << 8 * rng.integers(0, 4, (1,))
        frames[2::3] = np.clip(frames[2::3, :1] + near, tensor.lo, tensor.hi)
    return frames


@pytest.mark.parametrize(("score_bytes", "signed"), RANGES)
@pytest.mark.parametrize("stalls", [(0, 0), (0.5, 0), (0, 0.6), (0.3, 0.3)], ids=str)
@pytest.mark.parametrize("limited", [False, True])
def test_as_numpy(run_component, score_bytes, signed, stalls, limited):
    tensor = tensor_of(7, score_bytes, signed)
    frames = random_frames(tensor, 24)
    threshold = int(np.median(frames.max(axis=1))) if limited else None
    result, _, _ = answers(run_component, tensor, frames, threshold, stalls=stalls)
    assert result == expected(frames, tensor, threshold)


@pytest.mark.parametrize("signed", [True, False])
def test_every_pair_of_bytes(run_component, signed):
    """Two classes: all pairs of a spread of values, and of neighbours."""
    tensor = tensor_of(2, 1, signed)
    spread = np.unique(np.r_[np.arange(tensor.lo, tensor.hi + 1, 17), tensor.lo, tensor.hi])
    pairs = np.array([(a, b) for a in spread for b in spread])
    low = np.arange(tensor.lo, tensor.hi)
    pairs = np.concatenate([pairs, np.stack([low, low + 1], 1), np.stack([low + 1, low], 1)])
    result, _, _ = answers(run_component, tensor, pairs)
    assert result == expected(pairs, tensor, None)


@pytest.mark.parametrize(("score_bytes", "signed"), RANGES)
def test_every_threshold_near_a_score(run_component, score_bytes, signed):
    tensor = tensor_of(1, score_bytes, signed)
    for threshold in (tensor.lo, tensor.lo + 1, 0, 1, 100, tensor.hi - 1, tensor.hi):
        frames = np.clip([[threshold - 1], [threshold], [threshold + 1]], tensor.lo, tensor.hi)
        result, _, _ = answers(run_component, tensor, frames, threshold)
        assert result == expected(frames, tensor, threshold)


@pytest.mark.parametrize("count", [1, 2, 255, 256, 300])
@pytest.mark.parametrize("threshold", [None, 120])
def test_numbers_of_classes(run_component, count, threshold):
    """The winner in first, last and any place; 256 classes need an index of two bytes."""
    tensor = tensor_of(count, 1, True)
    frames = np.full((4, count), -5)
    frames[1, -1], frames[2, 0], frames[3, count // 2] = 127, 127, 100
    result, _, _ = answers(run_component, tensor, frames, threshold)
    assert result == expected(frames, tensor, threshold)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_random_scores(run_component, data):
    score_bytes, signed = data.draw(st.sampled_from(sorted(RANGES)))
    count = data.draw(st.integers(1, 6))
    tensor = tensor_of(count, score_bytes, signed)
    score = st.one_of(
        st.integers(tensor.lo, tensor.hi), st.sampled_from((tensor.lo, tensor.hi, 0, 1, 127))
    )
    frames = np.array(
        data.draw(st.lists(st.lists(score, min_size=count, max_size=count), min_size=1, max_size=4))
    )
    threshold = data.draw(st.one_of(st.none(), st.integers(tensor.lo, tensor.hi)))
    result, _, _ = answers(run_component, tensor, frames, threshold, stalls=(0.2, 0.2))
    assert result == expected(frames, tensor, threshold)


@pytest.mark.parametrize(("score_bytes", "count"), [(1, 5), (4, 5), (1, 300)])
def test_the_last_byte_of_an_answer_is_marked(run_component, score_bytes, count):
    tensor = tensor_of(count, score_bytes, True)
    frames = random_frames(tensor, 3)
    result, _, _ = answers(run_component, tensor, frames, framed=True, stalls=(0.2, 0.3))
    assert [value & 0xFF for value in result] == expected(frames, tensor, None)
    length = len(result) // 3
    assert [value >> 8 for value in result] == ([0] * (length - 1) + [1]) * 3


@pytest.mark.parametrize("score_bytes", [1, 4])
def test_latency(run_component, score_bytes):
    """An answer begins as documented, leaves a byte a cycle, and the next frame goes on at once."""
    tensor = tensor_of(6, score_bytes, True)
    length = 1 + score_bytes
    _, cycles, taken = answers(run_component, tensor, random_frames(tensor, 4))
    assert cycles[::length] == [cycle + LATENCY for cycle in taken]
    assert all(
        cycles[k + length - 1] - cycles[k] == length - 1 for k in range(0, len(cycles), length)
    )
    assert set(np.diff(taken)) == {6 * score_bytes + length}


@pytest.mark.parametrize("score_bytes", [1, 4])
def test_a_reset_in_any_cycle_drops_everything(run_component, score_bytes):
    tensor = tensor_of(3, score_bytes, True)
    frames = random_frames(tensor, 2)
    frames[1] = [7, 9, 8]
    answer = expected(frames[1:], tensor, 5)
    rows = stream_bytes(tensor, frames.reshape(2, 1, 1, -1))
    for when in range(1, 4 * score_bytes + 4):
        reset = Signal()
        dut = component(tensor, 5)

        async def bench(ctx, dut=dut, reset=reset, when=when):
            ctx.set(dut.threshold, 5)
            ctx.set(dut.o.ready, 1)
            for number, (row, cycles) in enumerate(((rows[0], when), (rows[1], len(rows[1])))):
                for cycle in range(cycles):
                    place = min(cycle, len(row) - 1)
                    ctx.set(dut.i.valid, int(cycle < len(row)))
                    ctx.set(dut.i.payload, {"data": int(row[place]), "last": place == len(row) - 1})
                    await ctx.tick()
                ctx.set(dut.i.valid, 0)
                if number == 0:
                    ctx.set(reset, 1)
                    await ctx.tick()
                    ctx.set(reset, 0)
            got = []
            for _ in range(1 + score_bytes):
                assert ctx.get(dut.o.valid)
                got.append(ctx.get(dut.o.payload))
                await ctx.tick()
            assert got == answer
            assert not ctx.get(dut.o.valid)

        run_component(ResetInserter(reset)(dut), bench)
