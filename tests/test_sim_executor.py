import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from shiftwork.boards.accelerator import Accelerator
from shiftwork.errors import DataError, MismatchError, OutputError
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv
from shiftwork.quant.top_score import with_top_score
from shiftwork.sim import golden
from shiftwork.sim.example_programs import dense_net, random_inputs, small_cnn
from shiftwork.sim.executor import SimulationResult, judge, simulate
from shiftwork.sim.layer_image import layer_images, stream_bytes
from shiftwork.sim.observation import UNKNOWN_BYTE, Difference, Job, Kind, Observation

ENGINES = [
    "golden",
    "amaranth",
    "verilator",
    pytest.param(
        "icarus",
        marks=pytest.mark.skipif(
            shutil.which("iverilog") is None, reason="Icarus Verilog is not installed"
        ),
    ),
]


@cache
def accelerator(board: str | None = None) -> Accelerator:
    return Accelerator(dense_net(), board=board, rows=2, columns=2)


def samples(program: Program, count: int) -> np.ndarray:
    """Real numbers: the examples' inputs stand for themselves."""
    return random_inputs(program, np.random.default_rng(0), count).astype(np.float64)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_agrees_with_golden(engine: Any) -> None:
    x = samples(dense_net(), 4)
    result = simulate(accelerator(), x, engine=engine, limit=3)
    assert result.passed, result.text
    assert (result.engine, result.inputs) == (engine, 3)
    assert (result.mismatches, result.first_mismatch) == (0, None)
    assert result.layers_compared == (0 if engine == "golden" else 2)
    np.testing.assert_array_equal(result, golden.predict(dense_net(), x[:3]))
    assert result.cycles_predicted == accelerator().schedule.cycles
    measured = None if engine == "golden" else result.cycles_predicted
    assert result.cycles_measured == measured
    assert (result.cycles_per_second is None) == (engine == "golden")


@pytest.mark.parametrize("engine", ENGINES[2:])
def test_a_network_with_every_kind_of_layer(engine: Any) -> None:
    x = samples(small_cnn(), 3)
    result = simulate(Accelerator(small_cnn(), rows=4, columns=4), x, engine=engine, seed=5)
    assert result.passed, result.text
    np.testing.assert_array_equal(result, golden.predict(small_cnn(), x))


@pytest.mark.parametrize("engine", ENGINES[2:])
def test_class_and_score(engine: Any) -> None:
    """Some inputs have a class, and some none."""
    program = with_top_score(dense_net())
    top = program.top_score
    assert top is not None
    x = samples(program, 12)
    least = int(np.median(golden.predict(program, x)[:, 1]))
    program = replace(program, ops=(*program.ops[:-1], replace(top, threshold=least)))
    result = simulate(Accelerator(program, rows=2, columns=2), x, engine=engine)
    assert result.passed, result.text
    np.testing.assert_array_equal(result, golden.predict(program, x))
    assert 0 < (result.outputs[:, 0] == 255).sum() < len(x)


def test_a_wrong_byte_of_an_answer() -> None:
    run = job(program=with_top_score(small_cnn()))
    output = observation(run).output.copy()
    output[5 + 3] ^= 1
    result = judged(run, output=output)
    value = golden.run(run.program, run.q)[1, 0, 0, 1]
    assert "input 1, output stream (conv5_top), index (0, 0, 1)" in result.text
    assert f"expected {value}, got {value ^ 0x10000}" in result.text


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_the_primitives_of_a_board_are_simulated(engine: Any) -> None:
    x = samples(dense_net(), 2)
    assert "SB_MAC16" in accelerator("icebreaker").verilog()
    result = simulate(accelerator("icebreaker"), x, engine=engine)
    assert result.passed, result.text


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_hardware_with_another_weight_is_caught_in_its_layer(engine: Any) -> None:
    """The hardware of one network is compared with another, which differs in one weight."""
    program = dense_net()
    last = program.ops[-1]
    assert isinstance(last, Conv)
    weights = last.weights.copy()
    weights[3, 0, 0, 0] ^= 0x40
    other = replace(program, ops=(*program.ops[:-1], replace(last, weights=weights)))
    built = accelerator()
    wrong = SimpleNamespace(
        program=other,
        schedule=built.schedule,
        flash_image=built.flash_image,
        verilog=built.verilog,
        portable=built.portable,
    )
    x = samples(program, 3)
    result = simulate(wrong, x, engine=engine)
    expected, got = golden.predict(other, x), golden.predict(program, x)
    different = np.argwhere((expected != got).ravel())
    first = result.first_mismatch
    assert not result.passed
    assert result.mismatches == 2 * len(different), "once in memory and once on the stream"
    assert first is not None
    assert (first["layer"], first["index"]) == (last.name, (0, 0, 3))
    assert first["expected"] == expected[first["input"], 0, 0, 3]
    assert first["got"] == got[first["input"], 0, 0, 3]
    assert json.loads(json.dumps(first))["text"] in result.text
    np.testing.assert_array_equal(result, got)


def job(**changes: Any) -> Job:
    program = changes.pop("program", small_cnn())
    layers = [
        SimpleNamespace(
            name=op.name,
            output=op.output,
            first_channel=0,
            channels=program.tensor(op.output).shape[2],
        )
        for op in program.ops
        if type(op).__name__ not in ("Reshape", "TopScore")
    ]
    settings: dict[str, Any] = {
        "program": program,
        "images": layer_images(program, layers),
        "q": random_inputs(program, np.random.default_rng(0), 2),
        "cycles": 100,
        "seed": 0,
        "stall_probability": 0.0,
    }
    return Job(**settings | changes)


def observation(run: Job, **changes: Any) -> Observation:
    """What a faultless core shows, with changes."""
    output = stream_bytes(
        run.program.tensor(run.program.output), golden.run(run.program, run.q)
    ).ravel()
    settings: dict[str, Any] = {
        "mismatches": 0,
        "layer_mismatches": (0,) * len(run.images),
        "first": None,
        "hung": False,
        "frames_started": 2,
        "frames_finished": 2,
        "input_count": 2 * run.input_bytes,
        "output": output.astype(np.int16),
        "cycles_min": 100,
        "cycles_max": 100,
        "clock_cycles": 250,
        "seconds": 0.5,
    }
    return Observation(**settings | changes)


def judged(run: Job, **changes: Any) -> SimulationResult:
    return judge("verilator", run, observation(run, **changes), build_seconds=0.0)


def test_a_faultless_observation() -> None:
    result = judged(job())
    assert result.passed
    assert result.text == "2 inputs, every byte of every layer as expected"
    assert result.cycles_per_second == 500


def test_a_faultless_observation_without_layers() -> None:
    run = job(images=())
    result = judged(run, layer_mismatches=())
    assert result.passed
    assert result.layers_compared == 0
    assert result.text == "2 inputs, every byte of the output as expected; no layer was visible"


DIFFERENCES = {
    "value": (
        Difference(kind=Kind.WRONG_VALUE, frame=1, layer=0, offset=7, expected=0x85, got=0x7F),
        "input 1, layer conv0, index (0, 1, 1): expected 5, got 255",
    ),
    "accumulator": (
        Difference(kind=Kind.WRONG_VALUE, frame=0, layer=4, offset=13, expected=1, got=2),
        "input 0, layer conv5, index (0, 0, 3), byte 1 of the accumulator: expected 1, got 2",
    ),
    "unknown": (
        Difference(kind=Kind.WRONG_VALUE, frame=1, layer=0, offset=0, expected=0x80, got=None),
        "input 1, layer conv0, index (0, 0, 0): expected 0, got unknown bits (X)",
    ),
    "never": (
        Difference(kind=Kind.NEVER_WRITTEN, frame=1, layer=1, offset=5, expected=0x80, got=None),
        "input 1, layer max_pool1, index (0, 0, 5): never written; expected 0",
    ),
    "twice": (
        Difference(kind=Kind.WRITTEN_TWICE, frame=1, layer=1, offset=5, expected=0x81, got=0x81),
        "input 1, layer max_pool1, index (0, 0, 5): written a second time; expected 1, got 1",
    ),
    "outside": (
        Difference(kind=Kind.OUTSIDE, frame=0, layer=1, offset=999, expected=None, got=0),
        "input 0: a write to byte 999 of layer max_pool1, which is outside of its output",
    ),
    "no layer": (
        Difference(kind=Kind.OUTSIDE, frame=0, layer=9, offset=0, expected=None, got=0),
        "input 0: a write to byte 0 of layer number 9, which does not exist",
    ),
    "unstable": (
        Difference(kind=Kind.UNSTABLE, frame=0, layer=5, offset=3, expected=1, got=2),
        "the core changed or withdrew byte 3 of its output stream before it was taken",
    ),
    "extra": (
        Difference(kind=Kind.EXTRA_FRAME, frame=2, layer=5, offset=0, expected=0, got=0),
        "the core started another inference after the last of 2",
    ),
}


@pytest.mark.parametrize(("first", "text"), DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_a_difference_is_named(first: Difference, text: str) -> None:
    result = judged(job(), mismatches=3, first=first)
    assert not result.passed
    assert result.first_mismatch is not None
    assert result.first_mismatch["text"] == text
    assert result.text == f"3 bytes differ; the first: {text}"


def test_a_wrong_byte_of_the_output_stream() -> None:
    run = job()
    good = observation(run).output
    output = good.copy()
    output[40 + 6] ^= 1
    result = judged(run, output=output)
    value = golden.run(run.program, run.q)[1, 0, 0, 1]
    assert result.mismatches == 1
    assert result.text == (
        "1 bytes differ; the first: input 1, output stream (conv5), index (0, 0, 1): "
        f"expected {value}, got {value ^ 0x10000}"
    )


def test_an_unknown_byte_of_the_output_stream() -> None:
    output = observation(job()).output
    output[0] = UNKNOWN_BYTE
    result = judged(job(), output=output)
    assert result.first_mismatch is not None
    assert result.first_mismatch["got"] is None
    assert "got unknown bits (X)" in result.text


def test_superfluous_output() -> None:
    output = np.append(observation(job()).output, 0)
    result = judged(job(), output=output)
    assert result.mismatches == 1
    assert "the core sent 1 bytes more than 2 outputs have" in result.text


@pytest.mark.parametrize(("least", "most", "shown"), [(100, 103, 103), (90, 105, 90)])
def test_the_worst_cycle_count_is_shown(least: int, most: int, shown: int) -> None:
    result = judged(job(), cycles_min=least, cycles_max=most)
    assert not result.passed
    assert result.cycles_measured == shown
    assert result.text == f"an inference took {shown} cycles; the schedule says 100"


def test_a_hang_says_how_far_it_came() -> None:
    run = job()
    with pytest.raises(MismatchError) as caught:
        judged(
            run, hung=True, frames_finished=1, output=observation(run).output[:40],
            clock_cycles=5000, first=DIFFERENCES["value"][0], mismatches=1,
        )  # fmt: skip
    assert str(caught.value) == (
        "the core hung: nothing moved for 4296 cycles after cycle 704; it had accepted 288 of 288 "
        "input bytes, finished 1 of 2 inferences and sent 40 of 80 output bytes; before that: "
        "input 1, layer conv0, index (0, 1, 1): expected 5, got 255"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"engine": "vcs"}, "golden, amaranth, verilator, icarus, netlist, not 'vcs'"),
        ({"limit": 0}, "limit must be at least 1, not 0"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"stall_probability": 1.0}, "stall_probability must be in 0..1, below 1, not 1.0"),
        ({"stall_probability": -0.1}, "stall_probability must be in 0..1, below 1, not -0.1"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError, match=text):
        simulate(accelerator(), samples(dense_net(), 1), **arguments)


def test_nothing_to_simulate() -> None:
    with pytest.raises(DataError, match="nothing to simulate: the data hold no samples"):
        simulate(accelerator(), samples(dense_net(), 0), engine="golden")


@pytest.mark.parametrize(
    ("engine", "text"),
    [
        ("golden", "the engine 'golden' has no waves; use verilator, icarus or amaranth"),
        ("verilator", "the engine 'verilator' writes waves as .vcd, not as "),
        ("icarus", "the engine 'icarus' writes waves as .fst or .vcd, not as "),
        ("netlist", "the engine 'netlist' writes waves as .vcd, not as "),
    ],
)
def test_waves_of_another_format(tmp_path: Path, engine: Any, text: str) -> None:
    x = samples(dense_net(), 1)
    with pytest.raises(OutputError, match=text):
        simulate(accelerator(), x, engine=engine, waves=tmp_path / "waves.lxt")
