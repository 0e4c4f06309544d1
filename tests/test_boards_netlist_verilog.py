"""The netlists of all families against golden and the schedule, and faults put into them."""

import re
import shutil
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from shiftwork.bench_networks import NETWORKS
from shiftwork.boards import yowasp
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.registry import BoardError
from shiftwork.boards.synthesis import NETLIST
from shiftwork.hw import verilog
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.importer import load
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import quantize
from shiftwork.sim import cocotb_runner, golden
from shiftwork.sim.example_programs import random_inputs, small_cnn
from shiftwork.sim.executor import SimulationResult, judge, simulate
from shiftwork.sim.observation import Job
from shiftwork.sim.program_builder import ProgramBuilder

BOARDS = {
    "icebreaker": "SB_LUT4",
    "ice40-hx8k": "SB_LUT4",
    "ulx3s-85f": "TRELLIS_FF",
    "tang-nano-9k": "MULT9X9",
}
BUNDLED = resources.files("shiftwork.examples")
FRAMES = 2
IMAGES = 10


@cache
def accelerator(board: str | None) -> Accelerator:
    program = (
        ProgramBuilder("tiny", (2, 2, 3), np.random.default_rng(0))
        .conv(3, (2, 2), padding=(0, 0, 1, 1), unsigned=True)
        .dense(2, accumulators=True)
        .build()
    )
    return Accelerator(program, board=board, rows=1, columns=2)


def samples(program: Program, count: int = FRAMES) -> np.ndarray:
    return random_inputs(program, np.random.default_rng(1), count).astype(np.float64)


@pytest.fixture(scope="session")
def synthesis(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that gives the folder of a board's netlist, which is made once."""

    @cache
    def folder(board: str) -> Path:
        path = tmp_path_factory.mktemp("synthesis")
        accelerator(board).netlist(path)
        return path

    return folder


def check(result: SimulationResult, count: int) -> None:
    assert result.passed, result.text
    assert (result.engine, result.inputs, result.mismatches) == ("netlist", count, 0)
    assert result.cycles_measured == result.cycles_predicted
    assert result.layers_compared == 0
    assert result.text == (
        f"{count} inputs, every byte of the output as expected; no layer was visible"
    )


@pytest.mark.slow
@pytest.mark.parametrize("board", BOARDS)
def test_the_netlist_is_bit_exact(board: str, synthesis: Callable[[str], Path]) -> None:
    made = accelerator(board)
    x = samples(made.program)
    result = simulate(made, x, engine="netlist", synthesis_dir=synthesis(board))
    check(result, FRAMES)
    np.testing.assert_array_equal(result, golden.predict(made.program, x))


@pytest.mark.slow
def test_it_is_the_netlist_of_the_synthesis(
    synthesis: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = synthesis("icebreaker")
    assert (folder / "netlist" / NETLIST).exists()
    monkeypatch.setattr(yowasp, "run", lambda *_, **__: pytest.fail("what is there is taken"))
    text = accelerator("icebreaker").netlist(folder)
    assert re.findall(r"^module (\w+)", text, re.MULTILINE) == [verilog.TOP]
    assert "trace_valid" not in text
    cells = set(re.findall(r"^ +(SB_[A-Z0-9_]+) ", text, re.MULTILINE))
    assert cells >= {"SB_LUT4", "SB_CARRY", "SB_MAC16", "SB_RAM40_4K", "SB_SPRAM256KA"}


def flip(text: str, pattern: str, cell: str, bit: int) -> str:
    """Flips a bit of the number that ``pattern`` finds in front of the name of ``cell``."""
    name = re.search(cell, text)
    assert name is not None
    *_, found = re.finditer(pattern, text[: name.start()])
    digits = f"{int(found[1], 16) ^ 1 << bit:0{len(found[1])}x}"
    return text[: found.start(1)] + digits + text[found.end(1) :]


def wrong_rom(text: str) -> str:
    """A bit of a weight."""
    return flip(text, r"\.INIT_0\(256'h(\w+)\)", r"\) \\core\.array\.weights_0\.memory_0\.0\.0 ", 8)


def wrong_lut(text: str) -> str:
    """An entry of a lookup table of an accumulator: that for inputs of 0."""
    return flip(
        text, r"\.LUT_INIT\(16'h(\w+)\)", r"\) \\core\.array\.pe_0_0\.\w*accumulator\w*LUT4", 0
    )


def wrong_block_ram(text: str) -> str:
    """A bit of a weight, on ECP5."""
    return flip(
        text, r"\.INITVAL_00\(320'h(\w+)\)", r"\) \\core\.array\.weights_0\.memory_0\.0\.0 ", 4
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("board", "mutate"),
    [
        ("icebreaker", wrong_rom),
        ("icebreaker", wrong_lut),
        pytest.param("ulx3s-85f", wrong_block_ram, marks=pytest.mark.heavy),
    ],
)
def test_one_wrong_bit_is_found(
    board: str, mutate: Callable[[str], str], synthesis: Callable[[str], Path]
) -> None:
    """In Icarus where it can: built much faster. It does not read all models of ECP5's cells."""
    made = accelerator(board)
    text = mutate(made.netlist(synthesis(board)))
    job = Job(
        program=made.program,
        images=(),
        q=made.program.quantize_input(samples(made.program)),
        cycles=made.schedule.cycles,
        seed=0,
        stall_probability=0.0,
    )
    quick = board == "icebreaker" and shutil.which("iverilog")
    simulator = cocotb_runner.build("icarus" if quick else "verilator", text, job)
    seen = cocotb_runner.run(simulator, job)
    result = judge("netlist", job, seen, build_seconds=simulator.seconds)
    assert not result.passed
    assert result.mismatches > 0
    assert result.first_mismatch is not None
    assert result.first_mismatch["layer"] == "output stream"
    assert result.cycles_measured == made.schedule.cycles


def test_an_accelerator_for_no_board(tmp_path: Path) -> None:
    made = accelerator(None)
    with pytest.raises(BoardError) as caught:
        simulate(made, samples(made.program), engine="netlist", synthesis_dir=tmp_path)
    assert str(caught.value) == (
        "a netlist consists of the cells of an FPGA, but this accelerator was made for no board; "
        "choose one (--board)"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.heavy
@pytest.mark.parametrize("board", BOARDS)
def test_a_network_with_every_kind_of_layer(tmp_path: Path, board: str) -> None:
    made = Accelerator(small_cnn(), board=board, rows=2, columns=4)
    x = samples(small_cnn(), IMAGES)
    check(simulate(made, x, engine="netlist", synthesis_dir=tmp_path), IMAGES)


@pytest.mark.heavy
def test_mnist_8_on_icebreaker(tmp_path: Path, shared: Path) -> None:
    graph = load(shared / "models" / "onnx_mnist8" / "mnist-8.onnx")
    with np.load(shared / "data" / "mnist" / "mnist_train.npz") as train:
        program = quantize(graph, train["x"][:100])
    with np.load(shared / "data" / "mnist" / "mnist_dev.npz") as test:
        images = test["x"][:IMAGES]
    made = Accelerator(program, board="icebreaker")
    check(simulate(made, images, engine="netlist", synthesis_dir=tmp_path), IMAGES)


@pytest.mark.heavy
def test_the_bundled_network_on_ulx3s(tmp_path: Path) -> None:
    calibration = read_samples(str(BUNDLED / "mnist_calibration.npz"))
    program = quantize(load(str(BUNDLED / "mnist_mlp.onnx")), calibration.x)
    images = read_samples(str(BUNDLED / "mnist_samples.npz")).x[:IMAGES]
    made = Accelerator(program, board="ulx3s-85f", rows=1, columns=20)
    check(simulate(made, images, engine="netlist", synthesis_dir=tmp_path), IMAGES)


@pytest.mark.heavy
def test_keyword_spotting_from_power_up(tmp_path: Path, shared: Path) -> None:
    """Its weights come from the flash."""
    network = next(network for network in NETWORKS if network.key == "kws")
    data = network.data(shared)
    program = quantize(load(shared / network.model), data.calibration, network.options)
    made = Accelerator(program, board="icebreaker")
    assert made.flash_image is not None
    check(simulate(made, data.x[:1], engine="netlist", synthesis_dir=tmp_path), 1)
