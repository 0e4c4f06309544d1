from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from amaranth import Array, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from shiftwork.errors import OutputError
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.core import Core
from shiftwork.hw.schedule import make_schedule
from shiftwork.quant.graph import Layout
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv, Tensor
from shiftwork.sim import amaranth_engine, golden
from shiftwork.sim.example_programs import ProgramBuilder, random_inputs
from shiftwork.sim.executor import judge
from shiftwork.sim.layer_image import layer_images, stream_values
from shiftwork.sim.observation import Job, Kind, Observation

CYCLES = 8
SIZE = 4


class StandinCore(wiring.Component):
    """Bitwise inversion of frames of four signed bytes, with a fault that can be chosen."""

    i: In(stream.Signature(8))
    o: Out(stream.Signature(8))
    busy: Out(1)
    trace_valid: Out(1)
    trace_layer: Out(8)
    trace_offset: Out(24)
    trace_data: Out(16)
    trace_mask: Out(2)

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        frame = Array(Signal(8, name=f"byte{n}") for n in range(SIZE))
        filled, sent, step = Signal(3), Signal(3, init=SIZE), Signal(5)
        last = CYCLES + (self.fault == "slow")
        again = int(self.fault == "twice")
        flip = Signal(8)
        m.d.sync += flip.eq(flip + (self.fault == "unstable"))
        m.d.comb += [
            self.i.ready.eq((filled < SIZE) & (step == 0) & (sent == SIZE)),
            self.busy.eq(step != 0),
            self.o.valid.eq((sent < SIZE) & (step == 0)),
            self.o.payload.eq(~frame[sent[:2]] ^ flip),
            self.trace_valid.eq((step == 2) | (step == 4) | (again & (step == 6))),
            self.trace_layer.eq(self.fault == "layer"),
            self.trace_offset.eq((step != 2) * 2),
            self.trace_data.eq(~(frame[2] | frame[3] << 8)),
            self.trace_mask.eq(3),
        ]
        with m.If(step == 2):
            m.d.comb += self.trace_data.eq(~(frame[0] | frame[1] << 8))
        if self.fault == "wrong":
            m.d.comb += self.trace_data[9].eq(0)
        if self.fault == "never":
            m.d.comb += self.trace_mask.eq(2)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [frame[filled[:2]].eq(self.i.payload), filled.eq(filled + 1)]
        with m.If((filled == SIZE) & (step == 0)):
            m.d.sync += [step.eq(1), filled.eq(0)]
        with m.If(step != 0):
            m.d.sync += step.eq(step + (self.fault != "hang"))
        with m.If(step == last):
            m.d.sync += [step.eq(0), sent.eq(0)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += sent.eq(sent + 1)
        return m


def standin_job(frames: int = 3, stall_probability: float = 0.3) -> Job:
    shape = (1, 1, SIZE)
    program = Program(
        name="inversion",
        tensors=(Tensor(name="x", shape=shape), Tensor(name="y", shape=shape)),
        ops=(
            Conv(
                name="invert",
                input="x",
                output="y",
                weights=-np.eye(SIZE, dtype=np.int8).reshape(SIZE, 1, 1, SIZE),
                bias=np.full(SIZE, -1),
                shift=np.zeros(SIZE, np.int64),
            ),
        ),
        input="x",
        output="y",
        input_layout=Layout.identity(shape),
        output_layout=Layout.identity(shape),
    )
    return Job(
        program=program,
        images=layer_images(
            program, [SimpleNamespace(name="invert", output="y", first_channel=0, channels=SIZE)]
        ),
        q=np.random.default_rng(1).integers(-128, 128, (frames, *shape), dtype=np.int32),
        cycles=CYCLES,
        seed=1,
        stall_probability=stall_probability,
    )


def run(fault: str = "", **job: Any) -> Observation:
    return amaranth_engine.run(StandinCore(fault), standin_job(**job))


@pytest.mark.parametrize("stall_probability", [0, 0.3, 0.9])
def test_a_faultless_core_passes(stall_probability: float) -> None:
    seen = run(frames=5, stall_probability=stall_probability)
    assert (seen.mismatches, seen.first, seen.hung) == (0, None, False)
    assert seen.cycles_min == seen.cycles_max == CYCLES
    assert (seen.frames_started, seen.frames_finished, seen.input_count) == (5, 5, 5 * SIZE)
    job = standin_job(frames=5)
    sent = seen.output.astype(np.uint8).reshape(5, SIZE)
    values = stream_values(job.program.tensor("y"), sent)
    np.testing.assert_array_equal(values, golden.run(job.program, job.q))


@pytest.mark.parametrize(
    ("fault", "kind", "offset"),
    [
        ("wrong", Kind.WRONG_VALUE, 1),
        ("never", Kind.NEVER_WRITTEN, 0),
        ("twice", Kind.WRITTEN_TWICE, 2),
        ("layer", Kind.OUTSIDE, 0),
        ("unstable", Kind.UNSTABLE, None),
    ],
)
def test_a_fault_is_found(fault: str, kind: Kind, offset: int | None) -> None:
    seen = run(fault, stall_probability=0.5)
    assert seen.first is not None
    assert seen.mismatches > 0
    assert seen.first.kind is kind
    assert offset in (None, seen.first.offset)


def test_a_pass_writes_its_own_channels_and_all_of_them() -> None:
    """The stand-in writes all channels as its first layer: it is taken for a pass over three."""
    job = standin_job(frames=2)
    parts = [
        SimpleNamespace(name="invert", output="y", first_channel=first, channels=count)
        for first, count in ((0, SIZE - 1), (SIZE - 1, 1))
    ]
    job = replace(job, images=layer_images(job.program, parts))
    seen = amaranth_engine.run(StandinCore(), job)
    assert seen.layer_mismatches == (2, 2)
    assert seen.first is not None
    assert (seen.first.kind, seen.first.offset) == (Kind.OUTSIDE, SIZE - 1)
    result = judge("amaranth", job, seen, build_seconds=0.0)
    assert result.layers_compared == 1


def test_a_wrong_cycle_count_is_measured() -> None:
    seen = run("slow")
    assert seen.cycles_min == seen.cycles_max == CYCLES + 1


def test_a_hang_is_noticed() -> None:
    seen = run("hang")
    assert seen.hung
    assert (seen.frames_started, seen.frames_finished) == (1, 0)


def test_waves_are_written(tmp_path: Path) -> None:
    waves = tmp_path / "waves.vcd"
    amaranth_engine.run(StandinCore(), standin_job(), waves=waves)
    assert "trace_valid" in waves.read_text()
    assert list(tmp_path.iterdir()) == [waves]


def test_waves_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*none/waves.vcd: No such file"):
        amaranth_engine.run(StandinCore(), standin_job(), waves=tmp_path / "none" / "waves.vcd")


def check_copied(shape: ArrayShape) -> None:
    """Every value and cycle of a small network with layers of several kinds."""
    program = (
        ProgramBuilder("copied", (4, 3, 2), np.random.default_rng(5))
        .conv(6, (3, 3), padding=(1, 1, 1, 1), unsigned=True)
        .depthwise(padding=(1, 1, 1, 1), unsigned=True)
        .dense(5)
        .build()
    )
    schedule = make_schedule(program, shape)
    assert schedule.config.payload_bytes == len(schedule.payload)
    core = Core(config=schedule.config, images=schedule.images, preload=schedule.payload)
    assert not [name for name in core.signature.members if name.startswith("flash")]
    job = Job(
        program=program,
        images=layer_images(program, schedule.layers),
        q=random_inputs(program, np.random.default_rng(6), 3),
        cycles=schedule.cycles,
        seed=2,
        stall_probability=0.2,
    )
    seen = amaranth_engine.run(core, job)
    result = judge("amaranth", job, seen, build_seconds=0.0)
    assert result.passed, result.text
    assert seen.cycles_min == seen.cycles_max == schedule.cycles


@pytest.mark.parametrize("input_buffers", [1, 2])
def test_weights_from_a_flash_are_in_memory_at_power_up(input_buffers: int) -> None:
    check_copied(
        ArrayShape(
            rows=2, columns=4, single_port=True, column_bytes=512, input_buffers=input_buffers
        )
    )


@pytest.mark.parametrize("single_port", [False, True])
def test_one_input_buffer_with_weights_in_roms(single_port: bool) -> None:
    check_copied(ArrayShape(rows=2, columns=4, single_port=single_port, input_buffers=1))
